"""Bays: opening and closing them, and knowing whether they are taken.

Every change of a lock goes through the state machine of `rules/locks.py`, with the bay's row locked, in one
transaction with the command it sends and the entry in the safety log. A raise also locks the station's row against
a safety hold that is being set (domain.md "Booking").
"""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec

from backend.accounts import service as accounts
from backend.bays import store
from backend.bays.events import BayFreed, BayOccupied, LockFailed
from backend.bays.rules import locks
from backend.bays.rules.locks import (
    CameraSaw,
    CheckRaiseAt,
    LockInput,
    LockIntent,
    LowerWanted,
    NoteBlocked,
    Position,
    RaiseDue,
    RaiseWanted,
    Reported,
    ReportFailure,
    SendLower,
    SendRaise,
)
from backend.bays.rules.occupancy import Occupancy, combine
from backend.bays.store import BayRow
from backend.core import db, jobs
from backend.stations import service as stations
from backend.stations.service import BayView
from backend.telemetry import service as telemetry

OPEN_FOR = timedelta(minutes=5)
"""How long a lowered lock waits for its car when nobody said how long."""
PLATES_KEPT = timedelta(days=30)


class BayOccupancy(msgspec.Struct, frozen=True, kw_only=True):
    """A bay now. `plate_hash` where a camera read it; `lock_position` None without a lock, `unknown` while it is
    offline.
    """

    bay_id: UUID
    station_id: UUID
    state: Occupancy
    since: datetime | None
    plate_hash: bytes | None
    energy_type: str
    lock_position: Position | None
    image_ref: str | None = None


class RaiseCheck(msgspec.Struct, frozen=True, kw_only=True):
    """Payload of the timer `bays.raise_due`."""

    bay_id: UUID


class PlateSeen(msgspec.Struct, frozen=True, kw_only=True):
    """What a bay camera read beside the fact that a car is there."""

    plate_hash: bytes | None
    plate_cipher: bytes | None
    energy_type: str
    confidence: float
    image_ref: str | None


NOBODY = PlateSeen(plate_hash=None, plate_cipher=None, energy_type="unknown", confidence=0.0, image_ref=None)


async def lower_lock(
    *, bay_id: UUID, reason: str, actor: str, now: datetime, keep_down_until: datetime | None = None
) -> bool:
    """Open the bay: send `lower` and repeat it until the lock answers, else report LockFailed. False without a lock.

    The lock then stays down at least until `keep_down_until` (5 minutes unless given), so that the car finds it open.
    `actor` is an account id or the name of the rule that decided.
    """
    bay = await stations.get_bay(bay_id=bay_id)
    if bay.lock_device_id is None:
        return False
    async with db.transaction():
        row = await store.lock_row(bay.id, bay.station_id, now)
        wanted = LowerWanted(at=now, keep_down_until=keep_down_until or now + OPEN_FOR)
        await advance(bay=bay, row=row, event=wanted, now=now, actor=actor, reason=reason)
    return True


async def request_raise(*, bay_id: UUID, reason: str, actor: str, now: datetime) -> bool:
    """Close the bay as soon as the rules allow: nobody is expected there any more. False without a lock.

    Whether and when it rises is decided by the state machine; nothing here can force it.
    """
    bay = await stations.get_bay(bay_id=bay_id)
    if bay.lock_device_id is None:
        return False
    async with db.transaction():
        row = await store.lock_row(bay.id, bay.station_id, now)
        await advance(bay=bay, row=row, event=RaiseWanted(at=now), now=now, actor=actor, reason=reason)
    return True


async def lower_all(*, station_id: UUID, reason: str, now: datetime, actor: str = "safety") -> int:
    """Open every bay of a station (an incident); the safety hold keeps them open. Returns how many locks were told."""
    told = 0
    for bay in sorted(await stations.list_bays(station_id=station_id), key=lambda bay: bay.id):
        told += await lower_lock(bay_id=bay.id, reason=reason, actor=actor, now=now)
    return told


async def raise_all(*, station_id: UUID, reason: str, now: datetime, actor: str) -> int:
    """Ask for every lock of a station to rise as soon as the rules allow (a safety hold was lifted)."""
    asked = 0
    for bay in sorted(await stations.list_bays(station_id=station_id), key=lambda bay: bay.id):
        asked += await request_raise(bay_id=bay.id, reason=reason, actor=actor, now=now)
    return asked


async def bay_occupancy(*, station_id: UUID) -> dict[UUID, BayOccupancy]:
    """Return every bay of the station; one that no device ever reported is unknown."""
    rows = {row.bay_id: row for row in await store.list_rows(station_ids=[station_id])}
    return {bay.id: _view(bay, rows.get(bay.id)) for bay in await stations.list_bays(station_id=station_id)}


async def get_occupancy(*, bay_id: UUID) -> BayOccupancy:
    """Return one bay; raises NotFound for an unknown one."""
    bay = await stations.get_bay(bay_id=bay_id)
    rows = await store.list_rows(bay_ids=[bay_id])
    return _view(bay, rows[0] if rows else None)


def _view(bay: BayView, row: BayRow | None) -> BayOccupancy:
    position: Position | None = None
    if bay.lock_device_id is not None:
        position = row.lock_position if row is not None and row.lock_online else "unknown"
    return BayOccupancy(
        bay_id=bay.id,
        station_id=bay.station_id,
        state="unknown" if row is None else row.state,
        since=None if row is None else row.since,
        plate_hash=None if row is None else row.plate_hash,
        energy_type="unknown" if row is None else row.energy_type,
        lock_position=position,
        image_ref=None if row is None else row.image_ref,
    )


async def advance(
    *,
    bay: BayView,
    row: BayRow,
    event: LockInput,
    now: datetime,
    actor: str,
    reason: str,
    source: str = "",
    occurred_at: datetime | None = None,
    plate: PlateSeen | None = None,
) -> BayRow:
    """Let one event happen to a bay whose row the caller has locked: step, log, commands, occupancy, history,
    events.
    """
    station = await stations.get_station(station_id=bay.station_id)
    before = row.lock()
    lock, intents = locks.step(before, event, delay=timedelta(seconds=station.settings.lock_raise_delay_s))
    row = row.with_lock(lock)
    for intent in intents:
        row = await _carry_out(intent, bay=bay, row=row, now=now, actor=actor, reason=reason)
    if isinstance(event, Reported | CameraSaw | locks.WentSilent):
        row = await _see(row, source=source, occurred_at=occurred_at or now, now=now, plate=plate)
    if (before.position, before.car, before.online) != (lock.position, lock.car, lock.online):
        await store.add_log(row, entry="state", actor=actor, reason=reason, known=_known(row), now=now)
    await store.save_row(row, now)
    return row


async def _carry_out(
    intent: LockIntent, *, bay: BayView, row: BayRow, now: datetime, actor: str, reason: str
) -> BayRow:
    match intent:
        case SendLower(attempt=attempt) | SendRaise(attempt=attempt):
            name = "lower" if isinstance(intent, SendLower) else "raise"
            if bay.lock_code is not None:
                command_id = await telemetry.send_command(
                    device_code=bay.lock_code, name=name, args={}, now=now, actor=actor
                )
                row = msgspec.structs.replace(row, lock_command_id=command_id)
            known = {**_known(row), "attempt": attempt}
            await store.add_log(row, entry=name, actor=actor, reason=reason, known=known, now=now)
        case CheckRaiseAt(due_at=due_at):
            await jobs.schedule("bays.raise_due", RaiseCheck(bay_id=bay.id), due_at=due_at, now=now)
        case ReportFailure(error=error):
            await store.add_log(row, entry="failed", actor=actor, reason=error, known=_known(row), now=now)
            await jobs.emit(LockFailed(bay_id=bay.id, station_id=bay.station_id, error=error, at=now), now=now)
        case NoteBlocked(reasons=reasons):
            why = ", ".join(reasons)
            await store.add_log(row, entry="raise_blocked", actor=actor, reason=why, known=_known(row), now=now)
    return row


def _known(row: BayRow) -> dict[str, Any]:
    """Return what was known of the lock, for the log; no plates."""
    return {
        "position": row.lock_position,
        "car": row.lock_car,
        "camera": row.camera_car,
        "online": row.lock_online,
        "empty_since": row.lock_empty_since,
        "keep_down_until": row.lock_keep_down_until,
        "target": row.lock_target,
    }


async def _see(row: BayRow, *, source: str, occurred_at: datetime, now: datetime, plate: PlateSeen | None) -> BayRow:
    """Work out the occupancy anew; keep and tell a change, and a plate or kind of car that was seen later or
    differs.
    """
    state = combine(lock_car=row.lock_car, camera_car=row.camera_car)
    previous = row.state
    seen = plate if plate is not None and state == "occupied" else None
    if state != previous:
        row = msgspec.structs.replace(row, state=state, since=occurred_at, **msgspec.structs.asdict(seen or NOBODY))
    elif seen is not None and seen.plate_hash not in (None, row.plate_hash):
        row = msgspec.structs.replace(row, **msgspec.structs.asdict(seen))
    elif seen is not None and seen.energy_type not in ("unknown", row.energy_type):
        row = msgspec.structs.replace(row, energy_type=seen.energy_type, confidence=seen.confidence)
    else:
        return row
    await store.add_change(row, previous=previous, source=source, occurred_at=occurred_at, now=now)
    if state == "occupied":
        told = BayOccupied(
            bay_id=row.bay_id,
            station_id=row.station_id,
            plate_hash=row.plate_hash,
            energy_type=row.energy_type,
            at=occurred_at,
        )
        await jobs.emit(told, now=now)
    elif state == "free":
        await jobs.emit(BayFreed(bay_id=row.bay_id, station_id=row.station_id, at=occurred_at), now=now)
    return row


async def try_raise(*, bay_id: UUID, now: datetime) -> None:
    """Raise a lock whose time has come, if every rule still allows it at this moment.

    The station's row is locked first, so that no safety hold is set between the check and the command; the lock's
    newest report is read too, in case its event is still waiting to be handled.
    """
    bay = await stations.get_bay(bay_id=bay_id)
    async with db.transaction():
        held = await stations.has_safety_hold(station_id=bay.station_id, lock=True)
        row = await store.lock_row(bay.id, bay.station_id, now)
        row = await refresh_lock(bay=bay, row=row, now=now)
        due = RaiseDue(at=now, held=held)
        await advance(bay=bay, row=row, event=due, now=now, actor="bays.raise_due", reason="bay empty")


async def refresh_lock(*, bay: BayView, row: BayRow, now: datetime) -> BayRow:
    """Bring the row up to the lock's newest report where that differs from what is known here."""
    if bay.lock_device_id is None:
        return row
    status = (await telemetry.device_states(device_ids=[bay.lock_device_id])).get(bay.lock_device_id)
    if status is None or status.state is None:
        return row
    position: Position = status.state.get("position", "unknown")
    car: bool | None = status.state.get("car_present") if status.online else None
    if status.online == row.lock_online and (not status.online or (position, car) == (row.lock_position, row.lock_car)):
        return row
    report = Reported(at=now, position=position, car=car, online=status.online)
    return await advance(
        bay=bay, row=row, event=report, now=now, actor="telemetry", reason="newest report", source="lock"
    )


async def export_personal_data(*, account_id: UUID) -> dict[str, object]:
    """Return when the account's cars stood in which bay, as far as it is still kept."""
    plates = [vehicle.plate_hash for vehicle in await accounts.list_vehicles(account_id=account_id)]
    seen = await store.list_changes_of_plate(plates)
    return {
        "bays": [
            {"station_id": str(station_id), "bay_id": str(bay_id), "state": state, "at": at.isoformat()}
            for station_id, bay_id, state, at in seen
        ]
    }


async def erase_personal_data(*, account_id: UUID, now: datetime) -> None:
    """Forget the plates of the account's cars at the bays; call it before accounts forgets which they are."""
    for vehicle in await accounts.list_vehicles(account_id=account_id):
        await store.forget_plate(vehicle.plate_hash)
