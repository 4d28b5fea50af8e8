"""Timers of bookings, and cars that are seen at the approach or in their bay."""

from uuid import UUID

import msgspec

from backend.bays.events import BayFreed, BayOccupied
from backend.core import db, jobs
from backend.core.jobs import JobContext, Jobs
from backend.reservations.service import bookings, claims
from backend.reservations.service.bookings import BookingNotOpen, CheckInNotOpen, LapseDue
from backend.reservations.service.claims import ConnectorTaken
from backend.telemetry.events import PlateRead

JOBS = Jobs("reservations")


class ArrivedEarly(msgspec.Struct, frozen=True, kw_only=True):
    """Payload of the timer `reservations.check_in_waiting`."""

    reservation_id: UUID


@JOBS.timer("lapse", LapseDue)
async def lapse(due: LapseDue, job: JobContext) -> None:
    """Give back a slot nobody came for."""
    await bookings.lapse(reservation_id=due.reservation_id, now=job.now)


@JOBS.on(PlateRead)
async def check_in_by_plate(event: PlateRead, job: JobContext) -> None:
    """Check in the booking of a plate that the approach camera read, and open its bay."""
    if event.plate_hash is not None:
        await _arrive(event.station_id, event.plate_hash, job)


@JOBS.on(BayOccupied)
async def check_in_by_bay(event: BayOccupied, job: JobContext) -> None:
    """A booked car stands in a bay: it has arrived, even if the approach camera missed it."""
    if event.plate_hash is not None:
        await _arrive(event.station_id, event.plate_hash, job)


async def _arrive(station_id: UUID, plate_hash: bytes, job: JobContext) -> None:
    booked = await bookings.find_booking_of_plate(station_id=station_id, plate_hash=plate_hash, at=job.now)
    if booked is None or booked.status != "confirmed":
        return
    try:
        await bookings.check_in(reservation_id=booked.id, means="plate", now=job.now)
    except ConnectorTaken:
        # Early, and somebody is still there: the car waits; its slot opens the bay.
        async with db.transaction():
            again = ArrivedEarly(reservation_id=booked.id)
            await jobs.schedule(
                "reservations.check_in_waiting",
                again,
                due_at=booked.starts_at,
                now=job.now,
                dedupe_key=str(booked.id),
            )
    except (BookingNotOpen, CheckInNotOpen):
        return  # it was closed or lapsed between the two looks


@JOBS.timer("check_in_waiting", ArrivedEarly)
async def check_in_waiting(arrived: ArrivedEarly, job: JobContext) -> None:
    """Check in a car that came early and waited for its slot."""
    try:
        await bookings.check_in(reservation_id=arrived.reservation_id, means="plate", now=job.now)
    except (BookingNotOpen, CheckInNotOpen):
        return


@JOBS.on(BayFreed)
async def give_back_gap(event: BayFreed, job: JobContext) -> None:
    """An empty bay needs no vacate gap any more."""
    await claims.release_vacated_bay(bay_id=event.bay_id, at=job.now)
