"""What arrivals, waits and the queue make of the words of the features below, and their timers."""

from datetime import datetime, timedelta
from uuid import UUID

from backend.bays.events import BayFreed
from backend.charging.events import SessionEnded, SessionStarted
from backend.charging.service import sessions
from backend.core import db, jobs
from backend.core.jobs import JobContext, Jobs
from backend.core.live import Live
from backend.reservations.events import (
    BookingRestored,
    BookingStranded,
    ReservationCancelled,
    ReservationCheckedIn,
    ReservationMoved,
    ReservationNotUsed,
)
from backend.telemetry.events import ConnectorStatusChanged, PlateRead
from backend.waiting import service as waiting
from backend.waiting import store, store_fallback
from backend.waiting.events import QueueChanged, WaitRecorded
from backend.waiting.live import channel_of
from backend.waiting.service import ArrivalDue, fallback, queue
from backend.waiting.service.fallback import AnswerDue
from backend.waiting.service.queue import OfferDue, WatchDue

JOBS = Jobs("waiting")
PLATES_KEPT = timedelta(days=30)


@JOBS.on(PlateRead)
async def note_approach(event: PlateRead, job: JobContext) -> None:
    """A resident's car is on site."""
    if event.plate_hash is None:
        return
    await waiting.record_arrival(
        station_id=event.station_id,
        plate_hash=event.plate_hash,
        source="plate",
        at=event.occurred_at,
        now=job.now,
    )
    await queue.arrived(station_id=event.station_id, plate_hash=event.plate_hash, now=job.now)


@JOBS.on(ReservationCheckedIn)
async def note_check_in(event: ReservationCheckedIn, job: JobContext) -> None:
    """A booked car is on site; its wait may be over at once."""
    async with db.transaction():
        arrival_id = await waiting.record_arrival(
            station_id=event.station_id,
            plate_hash=event.plate_hash,
            source=event.means,
            at=event.at,
            now=job.now,
            account_id=event.account_id,
            reservation_id=event.reservation_id,
            slot_starts_at=event.starts_at,
        )
        if arrival_id is not None:
            await waiting.check_booked_connector(arrival_id=arrival_id, at=event.at, now=job.now)
            watch = WatchDue(arrival_id=arrival_id)
            await jobs.schedule("waiting.watch_wait", watch, due_at=max(job.now, event.starts_at), now=job.now)


@JOBS.timer("watch_wait", WatchDue)
async def watch_wait(due: WatchDue, job: JobContext) -> None:
    """Look at somebody who waits on site."""
    await fallback.watch(arrival_id=due.arrival_id, now=job.now)


@JOBS.on(BookingStranded)
async def begin_fallback(event: BookingStranded, job: JobContext) -> None:
    """A booking's place cannot serve it."""
    await fallback.booking_stranded(reservation_id=event.reservation_id, now=job.now)


@JOBS.on(BookingRestored)
async def end_restored(event: BookingRestored, job: JobContext) -> None:
    """The place of a booking serves again."""
    await fallback.booking_over(reservation_id=event.reservation_id, status="restored", now=job.now)
    await _something_is_free(event.station_id, event.at, job)


@JOBS.on(ReservationMoved)
async def note_move(event: ReservationMoved, job: JobContext) -> None:
    """A booking has another place: its car may wait no more."""
    await _something_is_free(event.station_id, event.at, job)


@JOBS.on(WaitRecorded)
async def end_fallback(event: WaitRecorded, job: JobContext) -> None:
    """A wait is over."""
    await fallback.wait_ended(arrival_id=event.arrival_id, now=job.now)


@JOBS.timer("fallback_due", AnswerDue)
async def fallback_due(due: AnswerDue, job: JobContext) -> None:
    """An offer of a fallback plan was not answered."""
    await fallback.answer_overdue(plan_id=due.plan_id, now=job.now)


@JOBS.on(SessionStarted)
async def note_session(event: SessionStarted, job: JobContext) -> None:
    """Whoever charges has a connector."""
    session = await sessions.find_session(session_id=event.session_id)
    if session is None:
        return
    await waiting.serve_session(
        session_id=session.id,
        station_id=session.station_id,
        plate_hash=session.plate_hash,
        account_id=session.account_id,
        connector_id=session.connector_id,
        asked_at=session.requested_at,
        now=job.now,
    )
    await queue.serve(plate_hash=session.plate_hash, now=job.now)


@JOBS.on(ConnectorStatusChanged)
async def note_connector(event: ConnectorStatusChanged, job: JobContext) -> None:
    """A connector may have become usable."""
    if event.status == "available":
        await _something_is_free(event.station_id, event.occurred_at, job)


@JOBS.on(BayFreed)
async def note_empty_bay(event: BayFreed, job: JobContext) -> None:
    """A bay is empty."""
    await _something_is_free(event.station_id, event.at, job)


@JOBS.on(SessionEnded)
async def note_session_end(event: SessionEnded, job: JobContext) -> None:
    """A session has ended."""
    await _something_is_free(event.station_id, event.at, job)


@JOBS.on(ReservationCancelled)
async def note_cancellation(event: ReservationCancelled, job: JobContext) -> None:
    """A slot was given back."""
    await fallback.booking_over(reservation_id=event.reservation_id, status="left", now=job.now)
    await _something_is_free(event.station_id, event.at, job)


@JOBS.on(ReservationNotUsed)
async def note_lapse(event: ReservationNotUsed, job: JobContext) -> None:
    """A slot was not used."""
    await fallback.booking_over(reservation_id=event.reservation_id, status="left", now=job.now)
    await _something_is_free(event.station_id, event.at, job)


async def _something_is_free(station_id: UUID, at: datetime, job: JobContext) -> None:
    async with db.transaction():
        for arrival in await store.list_waiting_bookings(station_id):
            await waiting.check_booked_connector(arrival_id=arrival.id, at=at, now=job.now)
    await queue.offer_free(station_id=station_id, now=job.now)
    await job.services.get(Live).publish(channel_of(station_id), {"type": "wait"})


@JOBS.on(QueueChanged)
async def show_queue(event: QueueChanged, job: JobContext) -> None:
    """Let whoever looks at a place in the queue see it anew."""
    await job.services.get(Live).publish(channel_of(event.station_id), {"type": "queue"})


@JOBS.timer("offer_due", OfferDue)
async def offer_due(due: OfferDue, job: JobContext) -> None:
    """An offer stands 90 s on site, 5 minutes from elsewhere, 10 minutes once accepted."""
    await queue.expire_offer(entry_id=due.entry_id, now=job.now)


@JOBS.timer("close_arrival", ArrivalDue)
async def close_arrival(due: ArrivalDue, job: JobContext) -> None:
    """An arrival nobody was served for ends."""
    await waiting.close_arrival(arrival_id=due.arrival_id, now=job.now)


@JOBS.every("forget_plates", seconds=3600)
async def forget_plates(job: JobContext) -> None:
    """Plates of arrivals are kept 30 days (domain.md "Personal data")."""
    await store.forget_plates(job.now - PLATES_KEPT)
    await store_fallback.forget_plates(job.now - PLATES_KEPT)
