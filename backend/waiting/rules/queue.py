"""Who is next: live bookings, then agreement residents, then others; within each, first come, first served.

Fairness: in the public zone others never wait more than twice as long as the residents' worst. Whoever of the others
has waited as long as the longest-waiting resident has (and five minutes at least) goes before the residents there: the
second half of the allowance is the time until the next public connector is free. The resident zone stays theirs.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID

from backend.waiting.rules.waits import UserClass, Zone, may_use

QueueStatus = Literal["waiting", "offered", "accepted", "served", "left", "expired"]
OPEN_STATUSES: frozenset[QueueStatus] = frozenset({"waiting", "offered", "accepted"})
AT_LEAST = timedelta(minutes=5)
_RANK: dict[UserClass, int] = {"booking": 0, "agreement": 1, "other": 2}


@dataclass(frozen=True)
class Waiting:
    """Somebody in the queue; `power` None takes any."""

    id: UUID
    user_class: UserClass
    power: Literal["ac", "dc"] | None
    joined_at: datetime


@dataclass(frozen=True)
class Free:
    """A connector that can be offered now."""

    id: UUID
    zone: Zone
    power: Literal["ac", "dc"]


def in_order(entries: Sequence[Waiting]) -> list[Waiting]:
    """Return the queue, the next one first."""
    return sorted(entries, key=lambda e: (_RANK[e.user_class], e.joined_at, str(e.id)))


def must_go_first(
    entry: Waiting, entries: Sequence[Waiting], *, now: datetime, residents_worst: timedelta = timedelta(0)
) -> bool:
    """Say whether one of the others has waited so long that a public connector is theirs before any resident's.

    `residents_worst` is the longest recorded wait of residents lately; those who wait now count too.
    """
    if entry.user_class != "other":
        return False
    waiting = [now - e.joined_at for e in entries if e.user_class != "other"]
    return now - entry.joined_at >= max([residents_worst, AT_LEAST, *waiting])


def suits(entry: Waiting, connector: Free) -> bool:
    """Say whether the connector can be offered to this one."""
    return may_use(user_class=entry.user_class, zone=connector.zone) and entry.power in (None, connector.power)


def match_offers(
    entries: Sequence[Waiting],
    connectors: Sequence[Free],
    *,
    now: datetime | None = None,
    residents_worst: timedelta = timedelta(0),
) -> list[tuple[UUID, UUID]]:
    """Return (entry, connector) pairs to offer now: each in turn gets the first free connector that suits.

    Those under agreement take the resident zone first, so that the public zone stays for those who have only it.
    """
    free = sorted(connectors, key=lambda c: (c.zone == "public", c.power == "dc", str(c.id)))
    offers: list[tuple[UUID, UUID]] = []
    first = [
        entry
        for entry in in_order(entries)
        if now is not None and must_go_first(entry, entries, now=now, residents_worst=residents_worst)
    ]
    for entry in [*first, *(entry for entry in in_order(entries) if entry not in first)]:
        found = next((connector for connector in free if suits(entry, connector)), None)
        if found is not None:
            offers.append((entry.id, found.id))
            free.remove(found)
    return offers


def position_of(entry_id: UUID, entries: Sequence[Waiting]) -> int | None:
    """Return the place in the queue, 1 for the next one, or None for somebody who is not in it."""
    ids = [entry.id for entry in in_order(entries)]
    return ids.index(entry_id) + 1 if entry_id in ids else None
