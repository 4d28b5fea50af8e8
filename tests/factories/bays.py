"""What locks and bay cameras say, as events of telemetry, and the commands a lock was sent."""

from datetime import datetime
from typing import Any

import msgspec

from backend.core import db, jobs
from backend.telemetry.events import (
    BayCameraReported,
    CommandAcknowledged,
    CommandTimedOut,
    DeviceWentSilent,
    LockEventReported,
    LockReported,
)
from tests.factories.stations import Gun
from tests.jobs import run_due_jobs


async def lock_says(
    gun: Gun, *, now: datetime, position: str = "down", car: bool | None = False, online: bool = True
) -> None:
    """Let the gun's lock report itself, and the bays feature react."""
    assert gun.lock is not None
    event = LockReported(
        device_id=gun.lock.id,
        device_code=gun.lock.code,
        station_id=gun.lock.station_id,
        occurred_at=now,
        received_at=now,
        bay_id=gun.bay.id,
        position=position,  # type: ignore[arg-type]
        car_present=car,
        online=online,
    )
    await _tell(event, now)


async def lock_complains(gun: Gun, code: str, *, now: datetime) -> None:
    """Let the gun's lock send an event such as `refused_car`."""
    assert gun.lock is not None
    event = LockEventReported(
        device_id=gun.lock.id,
        device_code=gun.lock.code,
        station_id=gun.lock.station_id,
        occurred_at=now,
        received_at=now,
        bay_id=gun.bay.id,
        code=code,  # type: ignore[arg-type]
    )
    await _tell(event, now)


async def camera_says(
    gun: Gun, code: str, *, now: datetime, camera: Any, plate_hash: bytes | None = None, energy_type: str = "nev"
) -> None:
    """Let the bay camera report `bay_occupied`, `bay_free` or `unreadable` for the gun's bay."""
    event = BayCameraReported(
        device_id=camera.id,
        device_code=camera.code,
        station_id=camera.station_id,
        occurred_at=now,
        received_at=now,
        bay_id=gun.bay.id,
        code=code,  # type: ignore[arg-type]
        plate_hash=plate_hash,
        plate_cipher=None if plate_hash is None else b"cipher",
        energy_type=energy_type,  # type: ignore[arg-type]
        confidence=0.97,
    )
    await _tell(event, now)


async def lock_answers(gun: Gun, *, now: datetime, ok: bool = True, error: str | None = None) -> None:
    """Let the gun's lock answer the last command it was sent."""
    assert gun.lock is not None
    command = (await commands_of(gun))[-1]
    event = CommandAcknowledged(
        device_id=gun.lock.id,
        device_code=gun.lock.code,
        station_id=gun.lock.station_id,
        occurred_at=now,
        received_at=now,
        command_id=command["id"],
        name=command["name"],
        ok=ok,
        error=error,
    )
    await _tell(event, now)


async def lock_is_mute(gun: Gun, *, now: datetime) -> None:
    """Let the last command of the gun's lock time out."""
    assert gun.lock is not None
    command = (await commands_of(gun))[-1]
    event = CommandTimedOut(
        device_id=gun.lock.id,
        device_code=gun.lock.code,
        station_id=gun.lock.station_id,
        occurred_at=now,
        received_at=now,
        command_id=command["id"],
        name=command["name"],
    )
    await _tell(event, now)


async def lock_goes_silent(gun: Gun, *, now: datetime) -> None:
    """Let the gun's lock fall silent."""
    assert gun.lock is not None
    event = DeviceWentSilent(
        device_id=gun.lock.id,
        device_code=gun.lock.code,
        station_id=gun.lock.station_id,
        occurred_at=now,
        received_at=now,
        kind="lock",
        last_seen_at=None,
    )
    await _tell(event, now)


async def commands_of(gun: Gun) -> list[dict[str, Any]]:
    """Return the commands the gun's lock was sent, oldest first."""
    assert gun.lock is not None
    rows = await db.fetch("SELECT id, name FROM command WHERE device_id = $1 ORDER BY id", gun.lock.id)
    return [dict(row) for row in rows]


async def command_names(gun: Gun) -> list[str]:
    """Return the names of the commands the gun's lock was sent, oldest first."""
    return [command["name"] for command in await commands_of(gun)]


async def events_named(name: str) -> list[dict[str, Any]]:
    """Return the payloads of the recorded events of one name, oldest first."""
    rows = await db.fetch("SELECT payload FROM domain_event WHERE name = $1 ORDER BY id", name)
    return [msgspec.json.decode(row["payload"]) for row in rows]


async def _tell(event: jobs.Event, now: datetime) -> None:
    async with db.transaction():
        await jobs.emit(event, now=now)
    await run_due_jobs(now=now, only="bays.")
