"""Automatic actions of an incident followed until their effect is seen: a command that was taken is not yet a deed.

The charger says "ended", the lock says "down", the meter stands: that is the acknowledgement. What does not come is
asked for again, and after `MAX_ATTEMPTS` a person is called, because then only hands help.
"""

from datetime import datetime, timedelta
from uuid import UUID

import msgspec

from backend.alerts import store, store_actions, store_incidents
from backend.alerts.events import TaskChanged
from backend.alerts.rules.incidents import HANDLED
from backend.alerts.rules.words import reason_of
from backend.alerts.service import duty, paging
from backend.alerts.store_actions import ActionKind, ActionView
from backend.alerts.store_incidents import IncidentView
from backend.bays import service as bays
from backend.charging.service import sessions
from backend.core import db, jobs
from backend.core.errors import DomainError
from backend.stations import service as stations
from backend.telemetry import service as telemetry

LOOK_AFTER = timedelta(seconds=12)
"""A device answers a command within 10 s or not at all (mqtt.md)."""
MAX_ATTEMPTS = 5
STILL_W = 100
"""Below this nothing charges; meters of the power electronics flicker around zero."""


class ActionDue(msgspec.Struct, frozen=True):
    """Payload of the timer `alerts.action`."""

    action_id: UUID


async def follow(*, incident_id: UUID, kind: ActionKind, target_id: UUID, now: datetime) -> None:
    """Watch for the effect of an action that was just asked for; belongs inside the asking transaction."""
    action_id = await store_actions.add_action(incident_id, kind, target_id, now)
    if action_id is not None:
        await jobs.schedule("alerts.action", ActionDue(action_id), due_at=now + LOOK_AFTER, now=now)


async def look(*, action_id: UUID, now: datetime) -> None:
    """A timer: see whether the action had its effect, else ask again, and at last call a person."""
    async with db.transaction():
        action = await store_actions.find_action(action_id)
        if action is None or action.status != "asked" or now < action.asked_at + LOOK_AFTER:
            return
        incident = await store_incidents.find_incident(action.incident_id)
        if incident is None:
            return
        if await _has_effect(action):
            await _settle(action, "seen", now)
        elif action.kind == "restore_power" and await _is_cut_again(action, incident):
            await _settle(action, "failed", now)
        elif incident.status not in HANDLED and action.kind != "restore_power":
            await _settle(action, "failed", now)  # people have ended the incident: nothing is switched behind them
        elif action.attempts >= MAX_ATTEMPTS:
            await _settle(action, "failed", now)
            if action.kind == "restore_power":
                await _make_task(action, incident, now)
            else:
                await _call_for_hands(action, incident, now)
        else:
            await _ask_again(action, incident, now)


async def list_actions(*, incident_id: UUID) -> list[ActionView]:
    """Return the automatic actions of an incident and what became of them."""
    return await store_actions.list_actions(incident_id)


async def _has_effect(action: ActionView) -> bool:
    if action.kind == "stop_session":
        session = await sessions.find_session(session_id=action.target_id)
        if session is None:
            return True
        running = await sessions.active_sessions(connector_ids=[session.connector_id])
        return session.id not in {s.id for s in running}
    if action.kind == "lower_lock":
        return (await bays.get_occupancy(bay_id=action.target_id)).lock_position in ("down", None)
    if action.kind == "restore_power":
        kept = (await store.list_watches([action.target_id])).get(action.target_id)
        return (
            kept is not None and kept.limit_at is not None and kept.limit_at >= action.asked_at and bool(kept.limit_w)
        )
    state = (await telemetry.connector_states(connector_ids=[action.target_id])).get(action.target_id)
    return state is not None and state.online and (state.power_w or 0) < STILL_W


async def _is_cut_again(action: ActionView, incident: IncidentView) -> bool:
    """Whether another incident holds the power of the connector back by now: nobody gives it back behind that one."""
    for kind in ("fire", "battery"):
        other = await store_incidents.find_handled(
            station_id=incident.station_id, kind=kind, connector_id=action.target_id
        )
        if other is not None and other.id != incident.id:
            return True
    return False


async def _make_task(action: ActionView, incident: IncidentView, now: datetime) -> None:
    """A charger that does not take its power back is a repair, not an emergency."""
    connector = await stations.get_connector(connector_id=action.target_id)
    task_id = await store_incidents.add_task(
        operator_company_id=incident.operator_company_id,
        station_id=incident.station_id,
        kind="power_not_restored",
        level="warning",
        now=now,
        detail={"reason": reason_of("power_not_restored"), "charger": connector.charger_code},
    )
    if task_id is not None:
        await jobs.emit(
            TaskChanged(
                task_id=task_id,
                operator_company_id=incident.operator_company_id,
                station_id=incident.station_id,
                status="open",
                at=now,
            ),
            now=now,
        )


async def _ask_again(action: ActionView, incident: IncidentView, now: datetime) -> None:
    actor = f"incident:{incident.id}"
    detail: dict[str, object] = {"target_id": str(action.target_id), "attempt": action.attempts + 1}
    try:
        async with db.transaction():
            await _ask(action, actor, now)
    except DomainError as error:
        detail["code"] = error.code
    await store_actions.count_attempt(action.id)
    await store_incidents.add_step(incident.id, at=now, kind="action", what=f"{action.kind}_repeated", detail=detail)
    due_at = now + LOOK_AFTER * (action.attempts + 1)
    await jobs.schedule("alerts.action", ActionDue(action.id), due_at=due_at, now=now)


async def _ask(action: ActionView, actor: str, now: datetime) -> None:
    if action.kind == "lower_lock":
        await bays.lower_lock(bay_id=action.target_id, reason="incident", actor=actor, now=now)
        return
    connector_id, session_id = action.target_id, None
    if action.kind == "stop_session":
        session = await sessions.get_session(session_id=action.target_id)
        connector_id, session_id = session.connector_id, session.id
    connector = await stations.get_connector(connector_id=connector_id)
    if session_id is not None:
        args = {"connector": connector.number, "session_id": str(session_id), "reason": "safety"}
        await telemetry.send_command(device_code=connector.charger_code, name="stop", args=args, now=now, actor=actor)
    else:
        power_w = connector.max_power_w if action.kind == "restore_power" else 0
        args = {"connector": connector.number, "power_w": power_w}
        await telemetry.send_command(
            device_code=connector.charger_code, name="set_limit", args=args, now=now, actor=actor
        )


async def _settle(action: ActionView, status: store_actions.ActionStatus, now: datetime) -> None:
    await store_actions.settle_action(action.id, status, now)
    detail = {"target_id": str(action.target_id), "attempts": action.attempts}
    await store_incidents.add_step(
        action.incident_id, at=now, kind="action", what=f"{action.kind}_{status}", detail=detail
    )


async def _call_for_hands(action: ActionView, incident: IncidentView, now: datetime) -> None:
    station = await stations.get_station(station_id=incident.station_id)
    await paging.page(
        people=await duty.whom_to_page(station=station, roles=("guard", "lead"), now=now),
        incident_id=incident.id,
        event_key=f"incident:{incident.id}:action:{action.id}",
        template="action_failed",
        params={"station": station.name, "kind": KINDS[action.kind]},
        detail={"action": action.kind},
        now=now,
    )


KINDS: dict[ActionKind, str] = {
    "stop_session": "停止充电 stop charging",
    "lower_lock": "降下地锁 lower the lock",
    "cut_power": "切断输出 cut the power",
    "restore_power": "恢复输出 give the power back",
}
