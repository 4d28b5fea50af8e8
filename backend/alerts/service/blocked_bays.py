"""Cars in resident bays that nobody expects: judged after the station's wait, the owner told, then a guard's task."""

from datetime import datetime, timedelta
from uuid import UUID

import msgspec

from backend.agreements.service import cars
from backend.alerts import store
from backend.alerts.rules.blocked import BlockReason, why_blocked
from backend.alerts.rules.table import BY_CODE
from backend.alerts.service.raising import Report, clear_alert, raise_alert
from backend.alerts.store import BlockedBayRow
from backend.bays import service as bays
from backend.charging.service import sessions
from backend.core import db, jobs
from backend.core.ids import new_id
from backend.notifications import service as notifications
from backend.reservations.service import claims
from backend.stations import service as stations
from backend.stations.rules.topology import BayView

RULE = BY_CODE["blocked_bay"]


class BlockedBayDue(msgspec.Struct, frozen=True):
    """Payload of the timer `alerts.blocked_bay`."""

    bay_id: UUID
    blocked_id: UUID


async def why(*, bay: BayView, plate_hash: bytes | None, energy_type: str, at: datetime) -> BlockReason | None:
    """Why the car blocks the bay now, after matching bookings, sessions and cars that have only just charged."""
    active = await sessions.active_sessions(connector_ids=list(bay.connector_ids))
    stays = [
        s for s in await sessions.cars_still_there(station_id=bay.station_id) if s.connector_id in bay.connector_ids
    ]
    expected = await claims.expected_plate_hashes(bay_id=bay.id, at=at) | {s.plate_hash for s in (*active, *stays)}
    return why_blocked(
        zone=bay.zone,
        plate_hash=plate_hash,
        energy_type=energy_type,
        expected=frozenset(expected),
        charging_here=plate_hash is None and bool(active or stays),
    )


async def car_seen(*, bay_id: UUID, plate_hash: bytes | None, energy_type: str, at: datetime, now: datetime) -> None:
    """A car stands in a bay: begin to watch it if nobody expects it; a plate read later is judged anew."""
    bay = await stations.get_bay(bay_id=bay_id)
    reason = await why(bay=bay, plate_hash=plate_hash, energy_type=energy_type, at=now)
    station = await stations.get_station(station_id=bay.station_id)
    async with db.transaction():
        present = await store.find_blocked(bay_id, lock=True)
        if reason is None:
            if present is not None:
                await _end(present, now)
            return
        if present is not None:
            await store.save_blocked(present.id, {"plate_hash": plate_hash or present.plate_hash, "reason": reason})
            return
        due_at = max(at, now - timedelta(hours=1)) + timedelta(seconds=station.settings.blocked_bay_after_s)
        blocked = BlockedBayRow(
            id=new_id(),
            bay_id=bay_id,
            station_id=bay.station_id,
            plate_hash=plate_hash,
            seen_at=at,
            due_at=due_at,
            reason=reason,
            owner_told_at=None,
            alert_id=None,
        )
        if await store.add_blocked(blocked):
            due = BlockedBayDue(bay_id, blocked.id)
            await jobs.schedule("alerts.blocked_bay", due, due_at=due_at, now=now)


async def judge(*, bay_id: UUID, blocked_id: UUID, now: datetime) -> None:
    """A timer: the car has stood there for the station's wait. Tell its owner where known and wait once more, then
    raise the alert that makes the guard's task.
    """
    bay = await stations.get_bay(bay_id=bay_id)
    station = await stations.get_station(station_id=bay.station_id)
    async with db.transaction():
        blocked = await store.find_blocked(bay_id, lock=True)
        if blocked is None or blocked.id != blocked_id or now < blocked.due_at or blocked.alert_id is not None:
            return
        occupancy = await bays.get_occupancy(bay_id=bay_id)
        plate_hash = occupancy.plate_hash or blocked.plate_hash
        reason = await why(bay=bay, plate_hash=plate_hash, energy_type=occupancy.energy_type, at=now)
        if occupancy.state == "free" or reason is None:
            await _end(blocked, now)
            return
        if blocked.owner_told_at is None and await _tell_owner(blocked, plate_hash, station.name, now):
            due_at = now + timedelta(seconds=station.settings.blocked_bay_after_s)
            await store.save_blocked(blocked.id, {"owner_told_at": now, "due_at": due_at})
            await jobs.schedule("alerts.blocked_bay", BlockedBayDue(bay_id, blocked_id), due_at=due_at, now=now)
            return
        device_id = await _watcher(bay)
        if device_id is None:
            return
        report = Report(
            device_id=device_id,
            station_id=bay.station_id,
            bay_id=bay_id,
            occurred_at=blocked.seen_at,
            received_at=now,
            word=reason,
        )
        alert = await raise_alert(rule=RULE, level="warning", report=report, now=now)
        await store.save_blocked(blocked.id, {"alert_id": alert.id, "reason": reason})


async def _tell_owner(blocked: BlockedBayRow, plate_hash: bytes | None, station_name: str, now: datetime) -> bool:
    people = [] if plate_hash is None else await cars.people_of_car(plate_hash=plate_hash, at=now)
    for person in people:
        await notifications.notify(
            recipient=person,
            event_key=f"blocked-bay:{blocked.id}",
            template="move_your_car",
            params={"station": station_name},
            safety=False,
            now=now,
        )
    return bool(people)


async def _watcher(bay: BayView) -> UUID | None:
    """The device that watches the bay: its camera, else its lock."""
    for device in await stations.list_devices(station_id=bay.station_id, kind="camera"):
        if device.role == "bay" and bay.id in await stations.list_camera_bays(device_id=device.id):
            return device.id
    return bay.lock_device_id


async def car_gone(*, bay_id: UUID, at: datetime, now: datetime) -> None:
    """The bay is empty again."""
    async with db.transaction():
        blocked = await store.find_blocked(bay_id, lock=True)
        if blocked is not None:
            await _end(blocked, now)


async def _end(blocked: BlockedBayRow, now: datetime) -> None:
    await store.save_blocked(blocked.id, {"gone_at": now})
    if blocked.alert_id is None:
        return
    bay = await stations.get_bay(bay_id=blocked.bay_id)
    device_id = await _watcher(bay)
    if device_id is not None:
        await clear_alert(
            device_id=device_id, connector_id=None, code=RULE.code, occurred_at=now, now=now, bay_id=blocked.bay_id
        )
