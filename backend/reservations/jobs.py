"""Timers of bookings, and cars that are seen at the approach or in their bay."""

from uuid import UUID

import msgspec

from backend.agreements.events import AgreementTerminated, DriverRemoved
from backend.bays.events import BayFreed, BayOccupied
from backend.core import db, jobs
from backend.core.jobs import JobContext, Jobs
from backend.notifications import service as notifications
from backend.reservations.events import BayReportClosed, ZoneChangePlanned
from backend.reservations.service import agreement_ends, bay_reports, bookings, claims, moving, outages, zones
from backend.reservations.service.bookings import BookingNotOpen, CheckInNotOpen, LapseDue, ReminderDue
from backend.reservations.service.claims import ConnectorTaken
from backend.reservations.service.moving import ReadyDue
from backend.reservations.service.outages import FAULT_SETTLES, OutageDue
from backend.reservations.service.zones import ZoneChangeDue
from backend.stations import service as stations
from backend.stations.events import ConnectorServiceChanged
from backend.telemetry.events import ConnectorStatusChanged, PlateRead

JOBS = Jobs("reservations")


class ArrivedEarly(msgspec.Struct, frozen=True, kw_only=True):
    """Payload of the timer `reservations.check_in_waiting`."""

    reservation_id: UUID


@JOBS.timer("lapse", LapseDue)
async def lapse(due: LapseDue, job: JobContext) -> None:
    """Give back a slot nobody came for."""
    await bookings.lapse(reservation_id=due.reservation_id, now=job.now)


@JOBS.timer("remind", ReminderDue)
async def remind(due: ReminderDue, job: JobContext) -> None:
    """Remind somebody of a booking."""
    await bookings.remind(due=due, now=job.now)


@JOBS.timer("ready", ReadyDue)
async def ready(due: ReadyDue, job: JobContext) -> None:
    """Look whether a booking's place can serve it."""
    await moving.check_ready(reservation_id=due.reservation_id, now=job.now)


@JOBS.on(ConnectorStatusChanged)
async def note_connector(event: ConnectorStatusChanged, job: JobContext) -> None:
    """A connector broke (bookings move if it stays so for a minute), or works again."""
    if event.status in ("faulted", "unavailable"):
        async with db.transaction():
            due = OutageDue(connector_id=event.connector_id)
            await jobs.schedule("reservations.outage", due, due_at=job.now + FAULT_SETTLES, now=job.now)
    elif event.status != "unknown":
        await outages.connector_works(connector_id=event.connector_id, now=job.now)


@JOBS.on(ConnectorServiceChanged)
async def note_service(event: ConnectorServiceChanged, job: JobContext) -> None:
    """An operator took a connector out of service, or put it back: what counts is how it is now."""
    if not await outages.connector_failed(connector_id=event.connector_id, now=job.now):
        await outages.connector_works(connector_id=event.connector_id, now=job.now)


@JOBS.timer("outage", OutageDue)
async def outage(due: OutageDue, job: JobContext) -> None:
    """A connector has been broken for a while."""
    await outages.connector_failed(connector_id=due.connector_id, now=job.now)


@JOBS.on(BayOccupied)
async def look_at_strangers(event: BayOccupied, job: JobContext) -> None:
    """A car in a bay that is booked now, and not the booker's: look at the place in a minute, it may drive on."""
    for booked in await bookings.list_due_in_bay(bay_id=event.bay_id, at=job.now):
        if booked.plate_hash != event.plate_hash:
            async with db.transaction():
                due = ReadyDue(reservation_id=booked.id)
                await jobs.schedule("reservations.ready", due, due_at=job.now + moving.LOOK_AGAIN, now=job.now)


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


@JOBS.on(ZoneChangePlanned)
async def announce_zone_change(event: ZoneChangePlanned, job: JobContext) -> None:
    """Tell residents of a zone change ahead."""
    await zones.announce(change_id=event.change_id, now=job.now)


@JOBS.timer("zone_change_due", ZoneChangeDue)
async def zone_change_due(due: ZoneChangeDue, job: JobContext) -> None:
    """A zone change comes into force."""
    await zones.come_into_force(change_id=due.change_id, now=job.now)


@JOBS.on(BayFreed)
async def end_reports(event: BayFreed, job: JobContext) -> None:
    """An empty bay is not blocked any more."""
    await bay_reports.close_all(bay_id=event.bay_id, verdict="gone", decided_by=None, reason=None, now=job.now)


@JOBS.on(BayReportClosed)
async def tell_reporter(event: BayReportClosed, job: JobContext) -> None:
    """Tell who reported a bay what was found."""
    if event.account_id is None or event.verdict == "gone":
        return
    station = await stations.get_station(station_id=event.station_id)
    bay = await stations.get_bay(bay_id=event.bay_id)
    async with db.transaction():
        await notifications.notify(
            recipient=event.account_id,
            event_key=f"bay_report:{event.report_id}:{event.verdict}",
            template=f"bay_report_{event.verdict}",
            params={"station": station.name, "bay": bay.code},
            safety=False,
            now=job.now,
        )


@JOBS.every("forget_photos", seconds=3600)
async def forget_photos(job: JobContext) -> None:
    """Pictures of reports are kept 30 days."""
    await bay_reports.forget_photos(now=job.now)


@JOBS.on(AgreementTerminated)
async def cancel_bookings_ahead(event: AgreementTerminated, job: JobContext) -> None:
    """Give back what an agreement that ended had booked."""
    await agreement_ends.cancel_bookings_ahead(agreement_id=event.agreement_id, now=job.now)


@JOBS.on(DriverRemoved)
async def cancel_drivers_bookings(event: DriverRemoved, job: JobContext) -> None:
    """Give back what a driver who was taken off had booked under the agreement."""
    await agreement_ends.cancel_bookings_ahead(
        agreement_id=event.agreement_id, account_id=event.account_id, now=job.now
    )
