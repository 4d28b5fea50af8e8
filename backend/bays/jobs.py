"""What bays make of the words of locks and cameras, and the timer of a raise."""

from uuid import UUID

import msgspec

from backend.bays import service, store
from backend.bays.rules.locks import Acknowledged, CameraSaw, Complained, Reported, TimedOut, WentSilent
from backend.bays.service import PlateSeen, RaiseCheck
from backend.core import db
from backend.core.jobs import JobContext, Jobs
from backend.stations import service as stations
from backend.telemetry import service as telemetry
from backend.telemetry.events import (
    BayCameraReported,
    CommandAcknowledged,
    CommandTimedOut,
    DeviceCameBack,
    DeviceWentSilent,
    LockEventReported,
    LockReported,
)

JOBS = Jobs("bays")


@JOBS.timer("raise_due", RaiseCheck)
async def raise_due(check: RaiseCheck, job: JobContext) -> None:
    """Raise the lock if its time has come and every rule allows it now."""
    await service.try_raise(bay_id=check.bay_id, now=job.now)


@JOBS.on(LockReported)
async def note_lock(event: LockReported, job: JobContext) -> None:
    """Take a lock's report; one that arrived before the last one taken only brings the row up to date."""
    if event.bay_id is None:
        return
    bay = await stations.get_bay(bay_id=event.bay_id)
    async with db.transaction():
        row = await store.lock_row(bay.id, bay.station_id, job.now)
        if row.lock_heard_at is None or event.received_at >= row.lock_heard_at:
            report = Reported(
                at=job.now,
                position=event.position,
                car=event.car_present if event.online else None,
                online=event.online,
            )
            row = await service.advance(
                bay=bay,
                row=msgspec.structs.replace(row, lock_heard_at=event.received_at),
                event=report,
                now=job.now,
                actor=event.device_code,
                reason=event.error or "reported",
                source="lock",
                occurred_at=event.occurred_at,
            )
        await service.refresh_lock(bay=bay, row=row, now=job.now)


@JOBS.on(LockEventReported)
async def note_lock_event(event: LockEventReported, job: JobContext) -> None:
    """Take a lock's complaint; a low battery is none of the choreography's."""
    if event.bay_id is None or event.code == "low_battery":
        return
    bay = await stations.get_bay(bay_id=event.bay_id)
    async with db.transaction():
        row = await store.lock_row(bay.id, bay.station_id, job.now)
        complaint = Complained(at=job.now, code=event.code)
        row = await service.advance(
            bay=bay, row=row, event=complaint, now=job.now, actor=event.device_code, reason=event.code
        )
        await store.add_log(
            row, entry=event.code, actor=event.device_code, reason="reported by the lock", known={}, now=job.now
        )


@JOBS.on(BayCameraReported)
async def note_camera(event: BayCameraReported, job: JobContext) -> None:
    """Take what a bay camera saw; a plate is believed from this camera only."""
    if event.bay_id is None:
        return
    car = {"bay_occupied": True, "bay_free": False}.get(event.code)
    plate = PlateSeen(
        plate_hash=event.plate_hash,
        plate_cipher=event.plate_cipher,
        energy_type=event.energy_type,
        confidence=event.confidence,
        image_ref=event.image_ref,
    )
    bay = await stations.get_bay(bay_id=event.bay_id)
    async with db.transaction():
        row = await store.lock_row(bay.id, bay.station_id, job.now)
        if row.camera_heard_at is not None and event.received_at < row.camera_heard_at:
            return
        await service.advance(
            bay=bay,
            row=msgspec.structs.replace(row, camera_heard_at=event.received_at),
            event=CameraSaw(at=job.now, car=car),
            now=job.now,
            actor=event.device_code,
            reason=event.code,
            source="camera",
            occurred_at=event.occurred_at,
            plate=plate,
        )


@JOBS.on(CommandAcknowledged)
async def note_answer(event: CommandAcknowledged, job: JobContext) -> None:
    """Take a lock's answer to a command."""
    answer = Acknowledged(at=job.now, command_id=event.command_id, ok=event.ok, error=event.error)
    await _note_command(event.device_id, event.name, answer, "acknowledged" if event.ok else "refused", job)


@JOBS.on(CommandTimedOut)
async def note_no_answer(event: CommandTimedOut, job: JobContext) -> None:
    """A lock did not answer: lower again, or plan the raise anew."""
    answer = TimedOut(at=job.now, command_id=event.command_id)
    await _note_command(event.device_id, event.name, answer, "no_answer", job)


async def _note_command(
    device_id: UUID, name: str, answer: Acknowledged | TimedOut, entry: str, job: JobContext
) -> None:
    if name not in ("lower", "raise"):
        return
    device = await stations.get_device(device_id=device_id)
    if device.bay_id is None:
        return
    bay = await stations.get_bay(bay_id=device.bay_id)
    error = (answer.error or "") if isinstance(answer, Acknowledged) else "timeout"
    async with db.transaction():
        row = await store.lock_row(bay.id, bay.station_id, job.now)
        reason = f"{name} {error}".strip()
        await store.add_log(
            row, entry=entry, actor=device.code, reason=reason, known={"command_id": answer.command_id}, now=job.now
        )
        await service.advance(bay=bay, row=row, event=answer, now=job.now, actor="bays.answer", reason=reason)


@JOBS.on(DeviceWentSilent)
async def note_silence(event: DeviceWentSilent, job: JobContext) -> None:
    """What a silent lock or camera last said counts no more."""
    for bay_id in await _bays_of(event.device_id, event.kind):
        bay = await stations.get_bay(bay_id=bay_id)
        silent = WentSilent(at=job.now) if event.kind == "lock" else CameraSaw(at=job.now, car=None)
        async with db.transaction():
            row = await store.lock_row(bay.id, bay.station_id, job.now)
            await service.advance(
                bay=bay,
                row=row,
                event=silent,
                now=job.now,
                actor="telemetry",
                reason=f"{event.kind} silent",
                source=event.kind,
                occurred_at=event.occurred_at,
            )


@JOBS.on(DeviceCameBack)
async def note_return(event: DeviceCameBack, job: JobContext) -> None:
    """A device that is back may say nothing new: its newest state is taken as a first report."""
    for bay_id in await _bays_of(event.device_id, event.kind):
        bay = await stations.get_bay(bay_id=bay_id)
        async with db.transaction():
            row = await store.lock_row(bay.id, bay.station_id, job.now)
            if event.kind == "lock":
                await service.refresh_lock(bay=bay, row=row, now=job.now)
                continue
            status = (await telemetry.device_states(device_ids=[event.device_id])).get(event.device_id)
            seen = ((status.state or {}).get("bays") or {}).get(bay.code) if status and status.online else None
            car = {"occupied": True, "free": False}.get(seen or "")
            if car is not row.camera_car:
                await service.advance(
                    bay=bay,
                    row=row,
                    event=CameraSaw(at=job.now, car=car),
                    now=job.now,
                    actor="telemetry",
                    reason="camera back",
                    source="camera",
                    occurred_at=event.occurred_at,
                )


async def _bays_of(device_id: UUID, kind: str) -> list[UUID]:
    """Return the bays a lock closes or a bay camera watches, in one order for all who lock several rows."""
    device = await stations.get_device(device_id=device_id)
    if kind == "lock":
        return [] if device.bay_id is None else [device.bay_id]
    if kind == "camera" and device.role == "bay":
        return sorted(await stations.list_camera_bays(device_id=device_id))
    return []


@JOBS.every("forget_plates", seconds=3600)
async def forget_plates(job: JobContext) -> None:
    """Plates and pictures are kept 30 days (domain.md "Personal data")."""
    while await store.forget_plates(job.now - service.PLATES_KEPT) >= 5000:
        pass
