"""What counts as waiting, and how long the next one is likely to wait (domain.md "The three fives")."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID

UserClass = Literal["booking", "agreement", "other"]
Zone = Literal["resident", "public"]


def wait_from(*, arrived_at: datetime, slot_starts_at: datetime | None) -> datetime:
    """Return when the wait begins: at the arrival, or at the slot's start if that is later."""
    return arrived_at if slot_starts_at is None else max(arrived_at, slot_starts_at)


def wait_seconds(*, from_at: datetime, usable_at: datetime) -> int:
    """Return whole seconds from then until a connector was usable; never negative."""
    return max(0, int((usable_at - from_at).total_seconds()))


def may_use(*, user_class: UserClass, zone: Zone) -> bool:
    """Say whether somebody may use a zone without a booking of that very connector: others only the public one."""
    return zone == "public" or user_class != "other"


def can_start_now(
    *,
    usable_at: datetime,
    now: datetime,
    user_class: UserClass,
    zone: Zone,
    bay_ids: Collection[UUID],
    occupied: Collection[UUID],
) -> bool:
    """Say whether somebody can use a connector at once: it is usable, in a zone of theirs, and a bay of it is empty.

    A connector without bays on record has no bay that could be taken.
    """
    reachable = not bay_ids or any(bay_id not in occupied for bay_id in bay_ids)
    return usable_at <= now and may_use(user_class=user_class, zone=zone) and reachable


@dataclass(frozen=True)
class Holder:
    """Who holds a connector when; `remaining` is what the car itself says it still needs (DC)."""

    starts_at: datetime
    ends_at: datetime
    held_until: datetime
    remaining: timedelta | None = None


def usable_from(
    holders: Sequence[Holder], *, now: datetime, shortest: timedelta, gap: timedelta, free_now: bool
) -> datetime:
    """Return when a connector is next usable for at least the shortest slot.

    A car that says how long it still charges is believed when that is sooner than its claim's end. One whose time is
    not over yet is expected to leave then, though its connector is not sold before morning where it may stay overnight:
    in simulated weeks counting on the night made predictions five minutes too long on average (docs/simulation.md).
    `free_now` False without a holder (a car that is still plugged in after its time) counts as one gap from now.
    """
    at = now if free_now else now + gap
    for holder in sorted(holders, key=lambda h: h.starts_at):
        if holder.held_until <= at:
            continue
        if holder.starts_at >= at + shortest + gap:
            break
        until = holder.held_until
        if holder.starts_at <= now < holder.ends_at:
            until = min(until, holder.ends_at + gap)
        if holder.starts_at <= now and holder.remaining is not None:
            until = min(until, max(now, now + holder.remaining) + gap)
        at = max(at, until)
    return at


def predict_wait(usable: Sequence[datetime], *, ahead: int, now: datetime) -> int | None:
    """Return the seconds the next arrival will wait behind `ahead` others, or None where nothing is known.

    Each of those ahead takes one connector, in the order they become usable; behind more people than connectors it
    is at least as long as until the last one.
    """
    if not usable:
        return None
    return wait_seconds(from_at=now, usable_at=sorted(usable)[min(ahead, len(usable) - 1)])
