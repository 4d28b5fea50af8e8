"""A wait computed again from what cameras and chargers said, by arithmetic of its own. Pure.

Nothing the service stored about the arrival goes into it, except whose arrival it is, the slot that was booked, and
which claims held connectors (no device knows those). Source: issue 4, "Waits recomputed independently".
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID

VISIT = timedelta(minutes=30)
"""Sightings of a plate further apart are two visits, unless the car charged or stood in a bay between them."""
LONGEST = timedelta(hours=4)
START_WITHIN = timedelta(minutes=3)
"""A resident plugs in, and the charger tells of it, at the latest so long after asking to start."""
TOLERANCE_S = 60
"""A charger tells of the plug some seconds before or after its resident asked to start."""
Verdict = Literal["equal", "differs", "no evidence"]


@dataclass(frozen=True)
class Seen:
    """A camera read a plate: at the approach (`bay_id` None), or in a bay; `plate_hash` None: a bay became empty."""

    at: datetime
    plate_hash: bytes | None
    bay_id: UUID | None = None


@dataclass(frozen=True)
class Plug:
    """A charger told of a plug, or of a session it began (`plugged`), or that the gun is free again."""

    at: datetime
    connector_id: UUID
    plugged: bool


@dataclass(frozen=True)
class Held:
    """A claim of somebody else on a connector."""

    connector_id: UUID
    starts_at: datetime
    ends_at: datetime


@dataclass(frozen=True)
class Gun:
    """A connector somebody of the arrival's class may use, and its bays."""

    connector_id: UUID
    bay_ids: tuple[UUID, ...]


@dataclass(frozen=True)
class Case:
    """One stored wait: whose, the slot if there was one, the connector it ended at, and whether a session was asked
    for.
    """

    plate_hash: bytes
    usable_at: datetime
    connector_id: UUID
    slot_starts_at: datetime | None
    guns: tuple[Gun, ...]
    shortest: timedelta


def recount(case: Case, *, seen: Sequence[Seen], plugs: Sequence[Plug], held: Sequence[Held]) -> int | None:
    """Return the wait in whole seconds that the devices' words tell of, or None where no camera saw the car come.

    With a slot: from its start, or the arrival if that was later, until no other car was plugged in at the connector or
    stood in its only bay. Without: none where some connector could be used at the arrival, else until its own plug.
    """
    arrived = arrival_of(case.plate_hash, before=case.usable_at + timedelta(seconds=TOLERANCE_S), seen=seen)
    if arrived is None:
        return None
    if case.slot_starts_at is not None:
        gun = next((gun for gun in case.guns if gun.connector_id == case.connector_id), Gun(case.connector_id, ()))
        moments = [arrived, *sorted({at for at in _moments(seen, plugs) if at > arrived})]
        usable = next((at for at in moments if is_empty(gun, at, case.plate_hash, seen, plugs)), None)
        begins = max(arrived, case.slot_starts_at)
    else:
        begins = arrived
        usable = arrived
        if not any(
            is_empty(gun, arrived, case.plate_hash, seen, plugs) and not _is_held(gun, arrived, case.shortest, held)
            for gun in case.guns
        ):
            usable = own_plug(case, plugs)
    return None if usable is None else max(0, int((usable - begins).total_seconds()))


def verdict(stored_s: int, recounted_s: int | None) -> Verdict:
    """Compare a stored wait with the recounted one."""
    if recounted_s is None:
        return "no evidence"
    return "equal" if abs(stored_s - recounted_s) <= TOLERANCE_S else "differs"


def arrival_of(plate_hash: bytes, *, before: datetime, seen: Sequence[Seen]) -> datetime | None:
    """Return when the visit that led to `before` began: the first sighting without a longer break after it."""
    own = [sight.at for sight in seen if sight.plate_hash == plate_hash and before - LONGEST <= sight.at <= before]
    if not own:
        return None
    first = own[-1]
    for at in reversed(own):
        if first - at > VISIT:
            break
        first = at
    return first


def own_plug(case: Case, plugs: Sequence[Plug]) -> datetime | None:
    """Return when the car was plugged in with which the wait ended: after whoever stood there before had unplugged."""
    found: datetime | None = None
    until = case.usable_at + START_WITHIN
    for plug in reversed([p for p in plugs if p.connector_id == case.connector_id and p.at <= until]):
        if not plug.plugged:
            break
        found = plug.at
    return found


def is_empty(gun: Gun, at: datetime, plate_hash: bytes, seen: Sequence[Seen], plugs: Sequence[Plug]) -> bool:
    """Say whether by then nobody was plugged in at the gun and a bay of it had no other car."""
    last = [plug.plugged for plug in plugs if plug.connector_id == gun.connector_id and plug.at <= at]
    if last and last[-1]:
        return False
    in_bays = []
    for bay_id in gun.bay_ids:
        sights = [sight.plate_hash for sight in seen if sight.bay_id == bay_id and sight.at <= at]
        in_bays.append(bool(sights) and sights[-1] not in (None, plate_hash))
    return not in_bays or not all(in_bays)


def _is_held(gun: Gun, at: datetime, shortest: timedelta, held: Sequence[Held]) -> bool:
    return any(
        claim.connector_id == gun.connector_id and claim.starts_at < at + shortest and claim.ends_at > at
        for claim in held
    )


def _moments(seen: Sequence[Seen], plugs: Sequence[Plug]) -> list[datetime]:
    return [sight.at for sight in seen] + [plug.at for plug in plugs]
