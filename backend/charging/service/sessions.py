"""The life of sessions: signals of devices, people and timers are put through the state rule and acted on.

Each signal is one transaction under a lock on the session's row: state, commands, claim and events change together.
"""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec

from backend.charging import store
from backend.charging.events import SessionEnded, SessionFailed, SessionStarted
from backend.charging.rules.states import (
    BROKEN,
    END_WITHIN,
    NOT_CHARGING,
    OPEN,
    ConnectorBecame,
    Decision,
    DeviceEnded,
    DeviceStarted,
    EndOverdue,
    SessionState,
    Signal,
    StartAccepted,
    StartOverdue,
    StopAsked,
    decide,
)
from backend.charging.rules.words import reason_of
from backend.charging.store import SessionView
from backend.core import db, jobs
from backend.core.errors import Conflict, NotFound
from backend.notifications import service as notifications
from backend.reservations.service import bookings, claims, outages
from backend.stations import service as stations
from backend.telemetry import service as telemetry

__all__ = ["SessionView", "active_sessions", "stop_session"]

SAFETY_REASONS = frozenset({"smoke", "battery", "charger", "safety"})
"""Reasons of a stop for which the resident is told by alerts, in its own words."""


class SessionOver(Conflict):
    """The session has ended or failed; there is nothing to stop."""

    code = "session_over"
    title_en = "The session is over"
    title_zh = "充电已结束"
    detail_en = "It is {status} already; see its bill under /v1/orders."
    detail_zh = "该充电当前状态为 {status}，请在订单中查看账单。"


class SessionTimer(msgspec.Struct, frozen=True):
    """Payload of the session's timers; the stored times are checked again."""

    session_id: UUID


async def get_session(*, session_id: UUID, account_id: UUID | None = None) -> SessionView:
    """Return the session, of this account where given; raises NotFound, also for another resident's."""
    session = await store.find_session(session_id)
    if session is None or (account_id is not None and session.account_id != account_id):
        raise NotFound(kind="session")
    return session


async def find_session(*, session_id: UUID) -> SessionView | None:
    """Return the session, or None."""
    return await store.find_session(session_id)


async def list_sessions(*, account_id: UUID, before: UUID | None, limit: int) -> list[SessionView]:
    """Return the account's sessions, newest first."""
    return await store.list_of_account(account_id, before, limit)


async def active_sessions(
    *,
    station_id: UUID | None = None,
    connector_ids: list[UUID] | None = None,
    plate_hash: bytes | None = None,
) -> list[SessionView]:
    """Return sessions that hold a connector now (asked for, starting, charging or ending)."""
    return await store.list_open(station_id=station_id, connector_ids=connector_ids, plate_hash=plate_hash)


async def cars_still_there(*, station_id: UUID) -> list[SessionView]:
    """Return sessions of cars at the station: those that hold a connector and those not yet seen to leave."""
    return [*await store.list_open(station_id=station_id), *await store.list_staying(station_id=station_id)]


async def stop_session(*, session_id: UUID, reason: str, actor: str, now: datetime) -> SessionView:
    """Ask for a session to end; `actor` is an account id or the name of the rule. Stopping twice is no error.

    Works inside the caller's transaction (an incident stops sessions in its own). Raises NotFound, SessionOver.
    """
    session = await get_session(session_id=session_id)
    if session.status not in OPEN:
        raise SessionOver(status=session.status)
    await apply(session_id=session_id, signal=StopAsked(reason), at=now, now=now, actor=actor)
    return await get_session(session_id=session_id)


async def apply(
    *,
    session_id: UUID,
    signal: Signal,
    at: datetime,
    now: datetime,
    meter_wh: int | None = None,
    actor: str = "charging",
) -> SessionView | None:
    """Put a signal of instant `at` through the state rule; returns the session, None where it is unknown."""
    async with db.transaction():
        session = await store.find_session(session_id, lock=True)
        if session is None:
            return None
        decision = decide(_state(session), signal)
        if session.status == "failed" and decision.state.status == "ending" and await _connector_is_used(session):
            # The connector or the car is in another session by now: stop what started late, bill nothing here.
            await _send_stop(session, "late_start", actor, now)
            return session
        changes = _changes(session, decision, signal, at, meter_wh)
        await store.save_session(session_id, changes)
        changed = msgspec.structs.replace(session, **changes)
        await _act(changed, decision, actor=actor, now=now)
        if decision.state.status == "ending" and session.status != "ending":
            await _schedule_end_check(changed, now + END_WITHIN, now)
    return changed


def _state(session: SessionView) -> SessionState:
    return SessionState(session.status, session.started_at is not None, session.starts_sent, session.stops_sent)


def _changes(
    session: SessionView, decision: Decision, signal: Signal, at: datetime, meter_wh: int | None
) -> dict[str, Any]:
    state = decision.state
    changes: dict[str, Any] = {}
    if state.status != session.status:
        changes["status"] = state.status
    if (state.starts_sent, state.stops_sent) != (session.starts_sent, session.stops_sent):
        changes |= {"starts_sent": state.starts_sent, "stops_sent": state.stops_sent}
    if isinstance(signal, StartAccepted) and session.accepted_at is None:
        changes["accepted_at"] = at
    if state.started and session.started_at is None:
        changes["started_at"] = at
    if isinstance(signal, DeviceStarted) and session.start_meter_wh is None:
        changes["start_meter_wh"] = meter_wh
    if decision.reason is not None and session.end_reason in (None, "interrupted"):
        # What asked for the end stays the reason: the charger then only reports that it obeyed.
        changes["end_reason"] = decision.reason[:64]
    if state.status == "ending" and session.status != "ending":
        changes["ending_since"] = at
    if state.status == "ended":
        if session.status == "ended":
            return _late_report(session, signal, at, meter_wh)
        changes["ended_at"] = max(at, changes.get("started_at") or session.started_at or at)
        changes["end_meter_wh"] = None if isinstance(signal, EndOverdue) else meter_wh
        changes["end_unclear"] = decision.unclear
    return changes


def _late_report(session: SessionView, signal: Signal, at: datetime, meter_wh: int | None) -> dict[str, Any]:
    """A session that ended without the charger's own report takes it when it comes after all, for the bill."""
    if not isinstance(signal, DeviceEnded) or session.end_meter_wh is not None or meter_wh is None:
        return {}
    ended_at = max(at, session.started_at or at)
    return {"ended_at": ended_at, "end_meter_wh": meter_wh, "end_unclear": False}


async def _connector_is_used(session: SessionView) -> bool:
    return bool(
        await store.list_open(connector_ids=[session.connector_id])
        or await store.list_open(plate_hash=session.plate_hash)
    )


async def _act(session: SessionView, decision: Decision, *, actor: str, now: datetime) -> None:
    about = {
        "session_id": session.id,
        "connector_id": session.connector_id,
        "station_id": session.station_id,
        "account_id": session.account_id,
    }
    for intent in decision.intents:
        match intent:
            case "send_start":
                await send_start(session, now=now)
            case "send_stop":
                await _send_stop(session, session.end_reason or "stop", actor, now)
            case "announce_start":
                if session.reservation_id is not None:
                    await bookings.mark_fulfilled(reservation_id=session.reservation_id, now=now)
                await jobs.emit(SessionStarted(**about, at=session.started_at or now), now=now)
            case "announce_end":
                ended = SessionEnded(**about, at=session.ended_at or now, reason=session.end_reason or "ended")
                await jobs.emit(ended, now=now)
            case "announce_failure":
                await _give_connector_back(session, now)
                await jobs.emit(SessionFailed(**about, at=now, reason=session.end_reason or "failed"), now=now)
                await _tell_failure(session, now)


async def send_start(session: SessionView, *, now: datetime) -> None:
    """Send the charger its `start`; the same session id again is no second start."""
    args: dict[str, Any] = {"connector": session.connector_number, "session_id": str(session.id)}
    if session.target_soc_pct is not None:
        args["target_soc_pct"] = session.target_soc_pct
    if session.target_energy_wh is not None:
        args["target_energy_wh"] = session.target_energy_wh
    await telemetry.send_command(
        device_code=session.charger_code, name="start", args=args, now=now, actor=str(session.account_id)
    )


async def _send_stop(session: SessionView, reason: str, actor: str, now: datetime) -> None:
    args = {"connector": session.connector_number, "session_id": str(session.id), "reason": reason}
    await telemetry.send_command(device_code=session.charger_code, name="stop", args=args, now=now, actor=actor)


async def _give_connector_back(session: SessionView, now: datetime) -> None:
    """A walk-up that never started holds nothing; a booking keeps its time for another try."""
    if session.claim_id is not None and session.reservation_id is None:
        await claims.release_claim(claim_id=session.claim_id, now=now)


async def _tell_failure(session: SessionView, now: datetime) -> None:
    if session.end_reason in SAFETY_REASONS or session.end_reason == "resident":
        return
    station = await stations.get_station(station_id=session.station_id)
    await notifications.notify(
        recipient=session.account_id,
        event_key=f"session:{session.id}:failed",
        template="charge_interrupted",
        params={"station": station.name, "reason": reason_of(session.end_reason or "no_answer")},
        safety=False,
        now=now,
    )


async def _schedule_end_check(session: SessionView, due_at: datetime, now: datetime) -> None:
    await jobs.schedule("charging.end_overdue", SessionTimer(session.id), due_at=due_at, now=now)


async def check_end(*, session_id: UUID, now: datetime) -> None:
    """A timer: the charger's own end report is overdue; the connector's state now decides, or we wait longer."""
    session = await store.find_session(session_id)
    if session is None or session.status != "ending" or session.ending_since is None:
        return
    states = await telemetry.connector_states(connector_ids=[session.connector_id])
    state = states.get(session.connector_id)
    waited = now - session.ending_since
    status = "unknown" if state is None else state.status
    # When it stopped delivering, as far as its charger told: since when it is in this state, or its last word.
    told_at = None if state is None else state.observed_at if status == "unknown" else state.status_since
    ended_at = max(told_at or now, session.ending_since)
    after = await apply(session_id=session_id, signal=EndOverdue(status, waited), at=ended_at, now=now)
    if after is not None and after.status == "ending":
        if session.claim_id is not None:  # it may charge on past its time: whoever is next goes elsewhere
            await outages.overrun(claim_id=session.claim_id, now=now)
        again = min(max(waited, END_WITHIN), timedelta(minutes=10))
        async with db.transaction():
            await _schedule_end_check(after, now + again, now)


async def check_start(*, session_id: UUID, now: datetime) -> None:
    """A timer: the time for starting is over."""
    session = await store.find_session(session_id)
    if session is None or session.status not in ("requested", "starting") or now < session.start_due_at:
        return
    await apply(session_id=session_id, signal=StartOverdue(), at=now, now=now)


async def check_limit(*, session_id: UUID, now: datetime) -> None:
    """A timer: the time the resident was shown before the start is over, and the connector goes to the next."""
    session = await store.find_session(session_id)
    if session is None or session.status not in OPEN or now < session.limit_at:
        return
    await apply(session_id=session_id, signal=StopAsked("time_over"), at=now, now=now)


async def connector_changed(*, connector_id: UUID, status: str, at: datetime, now: datetime) -> None:
    """A connector's state changed: tell its session, if what came is not older than the session's own start.

    Reports of one charger may be handled out of order, so a change that would end a session is believed only while
    the newest known state says so too.
    """
    for session in await store.list_open(connector_ids=[connector_id]):
        if at < (session.started_at or session.requested_at):
            continue
        if status in NOT_CHARGING or status in BROKEN:
            states = await telemetry.connector_states(connector_ids=[connector_id])
            state = states.get(connector_id)
            newest = None if state is None else state.status
            seen_at = None if state is None else state.observed_at
            if newest != status or seen_at is None or (session.started_at and seen_at <= session.started_at):
                continue
        await apply(session_id=session.id, signal=ConnectorBecame(status), at=at, now=now)
