"""Timers of sessions and bills, and what charging does when devices, bays and payments report."""

from uuid import UUID

import structlog

from backend.bays.events import BayFreed
from backend.charging import store
from backend.charging.events import OrderClosed, SessionEnded, SessionFailed, SessionStarted
from backend.charging.rules.states import (
    DeviceEnded,
    DeviceStarted,
    Signal,
    StartAccepted,
    StartRefused,
    StartUnanswered,
    StopUnanswered,
)
from backend.charging.rules.words import end_template, reason_of
from backend.charging.service import orders, overstay, sessions, statements, tariff_corrections
from backend.charging.service.sessions import SAFETY_REASONS, SessionTimer
from backend.charging.service.statements import StatementDue
from backend.charging.service.tariff_corrections import TariffCorrectionDue
from backend.core import db
from backend.core.jobs import JobContext, Jobs
from backend.core.live import Live
from backend.notifications import service as notifications
from backend.payments.events import PaymentSucceeded
from backend.stations import service as stations
from backend.telemetry.events import (
    ChargerEventReported,
    CommandAcknowledged,
    CommandTimedOut,
    ConnectorStatusChanged,
)

JOBS = Jobs("charging")
log = structlog.get_logger()


def _session_id(text: object) -> UUID | None:
    try:
        return UUID(str(text))
    except ValueError:
        return None


@JOBS.on(CommandAcknowledged)
async def command_acknowledged(event: CommandAcknowledged, job: JobContext) -> None:
    """A charger answered `start` or `stop`."""
    session_id = _session_id(event.args.get("session_id"))
    if session_id is None or event.name not in ("start", "stop"):
        return
    signal: Signal
    if event.name == "start":
        signal = StartAccepted() if event.ok else StartRefused(event.error or "refused")
    elif event.ok:
        return
    else:
        signal = StopUnanswered()
    await sessions.apply(session_id=session_id, signal=signal, at=event.occurred_at, now=job.now)


@JOBS.on(CommandTimedOut)
async def command_timed_out(event: CommandTimedOut, job: JobContext) -> None:
    """A charger did not answer `start` or `stop` in time."""
    session_id = _session_id(event.args.get("session_id"))
    if session_id is None or event.name not in ("start", "stop"):
        return
    signal: Signal = StartUnanswered() if event.name == "start" else StopUnanswered()
    await sessions.apply(session_id=session_id, signal=signal, at=job.now, now=job.now)


@JOBS.on(ChargerEventReported)
async def charger_reported(event: ChargerEventReported, job: JobContext) -> None:
    """A charger says that a session started or ended; what it says is believed of its own connector only."""
    if event.code not in ("session_started", "session_ended"):
        return
    session_id = _session_id(event.session_id)
    session = None if session_id is None else await store.find_session(session_id)
    if event.session_id is None:
        # Started on site by card, so not ours; but an end without an id ends what we have there.
        running = [] if event.connector_id is None else await store.list_open(connector_ids=[event.connector_id])
        session = next((s for s in running if s.status in ("charging", "ending")), None)
        if session is None or event.code == "session_started":
            return
    if session is None or (event.connector_id is not None and session.connector_id != event.connector_id):
        log.warning("unknown_session_reported", device=event.device_code, code=event.code)
        return
    if event.connector_id is None and session.charger_code != event.device_code:
        log.warning("foreign_session_reported", device=event.device_code, code=event.code)
        return
    signal: Signal = DeviceStarted() if event.code == "session_started" else DeviceEnded(event.reason or "ended")
    await sessions.apply(
        session_id=session.id, signal=signal, at=event.occurred_at, now=job.now, meter_wh=event.meter_wh
    )


@JOBS.on(ConnectorStatusChanged)
async def connector_changed(event: ConnectorStatusChanged, job: JobContext) -> None:
    """A connector's state changed."""
    await sessions.connector_changed(
        connector_id=event.connector_id, status=event.status, at=event.occurred_at, now=job.now
    )
    if event.status == "available":
        await overstay.check_gone(connector_ids=[event.connector_id], at=event.occurred_at, now=job.now)


@JOBS.on(BayFreed)
async def bay_freed(event: BayFreed, job: JobContext) -> None:
    """A bay is empty."""
    await overstay.bay_freed(bay_id=event.bay_id, at=event.at, now=job.now)


@JOBS.on(PaymentSucceeded)
async def payment_succeeded(event: PaymentSucceeded, job: JobContext) -> None:
    """A bill was paid."""
    await orders.mark_paid(
        order_id=event.order_id, payment_id=event.payment_id, amount_fen=event.amount_fen, now=job.now
    )


@JOBS.on(PaymentSucceeded)
async def statement_payment_succeeded(event: PaymentSucceeded, job: JobContext) -> None:
    """A statement's package fee was paid."""
    await statements.mark_paid(
        statement_id=event.order_id, payment_id=event.payment_id, amount_fen=event.amount_fen, now=job.now
    )


@JOBS.timer("make_statement", StatementDue)
async def make_statement(due: StatementDue, job: JobContext) -> None:
    """A month is over."""
    await statements.make(due=due, now=job.now)


@JOBS.on(SessionStarted)
async def tell_start(event: SessionStarted, job: JobContext) -> None:
    """Tell the resident and whoever watches that energy flows."""
    station = await stations.get_station(station_id=event.station_id)
    connector = await stations.get_connector(connector_id=event.connector_id)
    async with db.transaction():
        await notifications.notify(
            recipient=event.account_id,
            event_key=f"session:{event.session_id}:started",
            template="session_started",
            params={"station": station.name, "connector": f"{connector.charger_code}-{connector.number}"},
            safety=False,
            now=job.now,
        )
    await _publish(job, event.session_id)


@JOBS.on(SessionEnded)
async def settle(event: SessionEnded, job: JobContext) -> None:
    """Begin to settle the bill and to follow the car."""
    await _publish(job, event.session_id)
    await orders.settle(session_id=event.session_id, now=job.now)


@JOBS.on(SessionEnded)
async def follow_ended(event: SessionEnded, job: JobContext) -> None:
    """Tell the resident that charging is over, and follow the car until it leaves."""
    session = await store.find_session(event.session_id)
    if session is None:
        return
    station = await stations.get_station(station_id=event.station_id)
    if event.reason not in SAFETY_REASONS:
        template = end_template(event.reason)
        energy_wh = max(0, (session.end_meter_wh or 0) - (session.start_meter_wh or session.end_meter_wh or 0))
        params = {"station": station.name}
        if template == "charge_interrupted":
            params["reason"] = reason_of(event.reason)
        else:
            params["energy_kwh"] = orders.kwh(energy_wh)
        async with db.transaction():
            await notifications.notify(
                recipient=event.account_id,
                event_key=f"session:{event.session_id}:ended",
                template=template,
                params=params,
                safety=False,
                now=job.now,
            )
    await overstay.follow(session_id=event.session_id, now=job.now)


@JOBS.on(SessionFailed)
async def tell_failure(event: SessionFailed, job: JobContext) -> None:
    """Show the failure to whoever watches the session."""
    await _publish(job, event.session_id)


@JOBS.on(OrderClosed)
async def tell_order(event: OrderClosed, job: JobContext) -> None:
    """Show the final bill to whoever watches the session."""
    await _publish(job, event.session_id)


@JOBS.on(OrderClosed)
async def correct_closed(event: OrderClosed, job: JobContext) -> None:
    """An order whose tariff version was corrected while the car was there."""
    await tariff_corrections.order_closed(order_id=event.order_id, now=job.now)


@JOBS.timer("correct_orders", TariffCorrectionDue)
async def correct_orders(due: TariffCorrectionDue, job: JobContext) -> None:
    """Correct the next orders of a mispublished version."""
    await tariff_corrections.work(correction_id=due.correction_id, now=job.now)


@JOBS.every("look_for_corrections", seconds=3600)
async def look_for_corrections(job: JobContext) -> None:
    """Go on with corrections whose job was lost, and find orders that came later."""
    await tariff_corrections.look_again(now=job.now)


@JOBS.timer("start_overdue", SessionTimer)
async def start_overdue(timer: SessionTimer, job: JobContext) -> None:
    """The time for starting is over."""
    await sessions.check_start(session_id=timer.session_id, now=job.now)


@JOBS.timer("limit_reached", SessionTimer)
async def limit_reached(timer: SessionTimer, job: JobContext) -> None:
    """The session's time on the connector is over."""
    await sessions.check_limit(session_id=timer.session_id, now=job.now)


@JOBS.timer("end_overdue", SessionTimer)
async def end_overdue(timer: SessionTimer, job: JobContext) -> None:
    """The charger's own end report is overdue."""
    await sessions.check_end(session_id=timer.session_id, now=job.now)


@JOBS.timer("settle_again", SessionTimer)
async def settle_again(timer: SessionTimer, job: JobContext) -> None:
    """Readings that were missing may have come."""
    await orders.settle(session_id=timer.session_id, now=job.now)


@JOBS.timer("follow_car", SessionTimer)
async def follow_car(timer: SessionTimer, job: JobContext) -> None:
    """Look at a car that stays."""
    await overstay.follow(session_id=timer.session_id, now=job.now)


async def _publish(job: JobContext, session_id: UUID) -> None:
    await job.services.get(Live).publish(f"session:{session_id}", {"type": "status"})
