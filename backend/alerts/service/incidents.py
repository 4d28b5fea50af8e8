"""Incidents: opened or joined by alarms, escalated by time, moved on and ended by people only."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Literal
from uuid import UUID

import msgspec

from backend.accounts import service as accounts
from backend.alerts import store, store_incidents
from backend.alerts.events import IncidentChanged, TaskChanged
from backend.alerts.rules.incidents import (
    HANDLED,
    IncidentMove,
    confirms_fire,
    escalation_roles,
    move_incident,
)
from backend.alerts.rules.words import reason_of
from backend.alerts.service import actions, duty, paging, power, residents
from backend.alerts.store import AlertView
from backend.alerts.store_incidents import IncidentView, StepView
from backend.bays import service as bays
from backend.charging.service import sessions
from backend.charging.service.sessions import SessionOver
from backend.core import audit, db, jobs
from backend.core.auth import Staff
from backend.core.errors import Conflict, DomainError, NotFound
from backend.core.ids import new_id
from backend.core.paging import read_visible
from backend.notifications import service as notifications
from backend.stations import service as stations
from backend.stations.rules.topology import StationView

READERS: tuple[Literal["guard", "lead", "operator", "inspector"], ...] = ("guard", "lead", "operator", "inspector")
HANDLERS: tuple[Literal["guard", "lead", "operator"], ...] = ("guard", "lead", "operator")


class IncidentState(Conflict):
    """The incident is not in a state that allows this."""

    code = "incident_state"
    title_en = "The incident is {status}"
    title_zh = "事件当前状态不允许此操作"
    detail_en = "It is {status}: open incidents are acknowledged, acknowledged ones resolved, resolved ones reported."
    detail_zh = "事件状态为 {status}：须先确认，再解除，最后上报。"


class EscalationDue(msgspec.Struct, frozen=True):
    """Payload of the timer `alerts.escalate`: the `step`-th call for an incident nobody has acknowledged."""

    incident_id: UUID
    step: int


class LocksDue(msgspec.Struct, frozen=True):
    """Payload of the job `alerts.lower_locks`."""

    incident_id: UUID
    code: str


async def open_or_join(
    *, kind: Literal["fire", "battery"], alert: AlertView, station: StationView, area: str | None, now: datetime
) -> UUID:
    """Open an incident for an alarm, or join the one being handled; a second detector within 60 s confirms a fire.

    Belongs inside the alert's transaction. Two alarms of one station take turns, so that they make one incident; who
    ends it waits for an alarm that joins, and an alarm that comes while it is being ended waits and opens another.
    """
    await store_incidents.lock_station_incidents(station.id)
    found = await store_incidents.find_handled(
        station_id=station.id, kind=kind, connector_id=alert.connector_id, hold=True
    )
    detail = {"code": alert.code, "device_id": str(alert.device_id), "value": alert.value, "area": area}
    if found is not None:
        await store_incidents.add_step(found.id, at=now, kind="alarm", what=alert.code, detail=detail)
        second = confirms_fire(
            first_alarm_at=found.opened_at,
            second_alarm_at=alert.raised_at,
            same_device=found.device_id == alert.device_id,
        )
        if kind == "fire" and second and not found.confirmed:
            await store_incidents.save_incident(found.id, {"confirmed": True})
            await store_incidents.add_step(found.id, at=now, kind="alarm", what="fire_confirmed", detail=detail)
            await _tell(found, "confirmed", now)
        return found.id
    incident = IncidentView(
        id=new_id(),
        station_id=station.id,
        operator_company_id=station.operator_company_id,
        kind=kind,
        level="critical",
        code=alert.code,
        area=area,
        connector_id=alert.connector_id,
        device_id=alert.device_id,
        status="open",
        confirmed=False,
        escalated=0,
        opened_at=alert.raised_at,
    )
    await store_incidents.add_incident(incident)
    await store_incidents.add_step(incident.id, at=now, kind="alarm", what=alert.code, detail=detail)
    for step, after_s in enumerate(station.settings.escalate_after_s):
        due_at = now + timedelta(seconds=after_s)
        await jobs.schedule("alerts.escalate", EscalationDue(incident.id, step), due_at=due_at, now=now)
    await _tell(incident, "opened", now)
    return incident.id


async def _tell(incident: IncidentView, what: str, now: datetime) -> None:
    await jobs.emit(
        IncidentChanged(
            incident_id=incident.id,
            operator_company_id=incident.operator_company_id,
            station_id=incident.station_id,
            status=incident.status,
            what=what,
            at=now,
        ),
        now=now,
    )


async def stop_area(*, alert: AlertView, area: str | None, now: datetime) -> int:
    """Stop every charge in the detector's area, or in the whole station where it is not mapped.

    Returns how many sessions were stopped; what charges by a card on site loses its power.
    """
    connectors = {c.id: c for c in await stations.list_connectors(station_id=alert.station_id)}
    mapped = area is not None and any(c.area == area for c in connectors.values())
    stopped = 0
    for session in await sessions.active_sessions(station_id=alert.station_id):
        if mapped and connectors[session.connector_id].area not in (area, None):
            continue
        try:
            async with db.transaction():
                await sessions.stop_session(session_id=session.id, reason="smoke", actor=f"rule:{alert.code}", now=now)
        except SessionOver:
            continue
        except DomainError as error:  # one charger that cannot be told must not keep the others running
            detail = {"session_id": str(session.id), "code": error.code}
            await _step(alert, now, "action", "session_stop_failed", detail)
            continue
        stopped += 1
        await _step(alert, now, "action", "session_stopped", {"session_id": str(session.id)})
        if alert.incident_id is not None:
            await actions.follow(incident_id=alert.incident_id, kind="stop_session", target_id=session.id, now=now)
    if alert.incident_id is not None:
        inside = [c for c in connectors.values() if not mapped or c.area in (area, None)]
        await power.cut(incident_id=alert.incident_id, connectors=inside, actor=f"rule:{alert.code}", now=now)
    return stopped


async def lower_locks(*, due: LocksDue, now: datetime) -> None:
    """Open every bay of the station; the safety hold keeps them open.

    A job of its own right behind the alarm's transaction: a large station has many locks, and the people on duty are
    not to wait for the rows of all of them. It does nothing once people have ended the incident.
    """
    async with db.transaction():
        incident = await store_incidents.find_incident(due.incident_id, lock=True)
        if incident is None or not is_handled(incident):
            return
        actor = f"rule:{due.code}"
        told = await bays.lower_all(station_id=incident.station_id, reason=due.code, now=now, actor=actor)
        await store_incidents.add_step(incident.id, at=now, kind="action", what="locks_lowered", detail={"count": told})
        for bay in await stations.list_bays(station_id=incident.station_id):
            if bay.lock_device_id is not None:
                await actions.follow(incident_id=incident.id, kind="lower_lock", target_id=bay.id, now=now)


async def people(*, station: StationView, roles: Sequence[Literal["guard", "lead", "operator"]]) -> list[UUID]:
    """The staff of a station's company with one of these roles, each once."""
    found = await accounts.list_staff(
        operator_company_id=station.operator_company_id, roles=tuple(roles), station_id=station.id
    )
    return list(dict.fromkeys(person.account_id for person in found))


async def page_staff(*, alert: AlertView, station: StationView, now: datetime) -> None:
    """Ring the guards and the lead, or the operators where there are none; a further alarm rings again."""
    subject = alert.id if alert.incident_id is None else alert.incident_id
    await paging.page(
        people=await duty.whom_to_page_first(station=station, now=now),
        incident_id=alert.incident_id,
        event_key=f"incident:{subject}:{alert.code}:{alert.device_id}",
        template="incident_page",
        params={"station": station.name, "reason": reason_of(alert.code)},
        now=now,
    )


async def _step(alert: AlertView, now: datetime, kind: str, what: str, detail: dict[str, Any]) -> None:
    if alert.incident_id is not None:
        await store_incidents.add_step(alert.incident_id, at=now, kind=kind, what=what, detail=detail)


async def note_person_seen(*, station_id: UUID, device_id: UUID, now: datetime) -> None:
    """A camera sees a person while a fire is handled: an entry of the time line, never an alarm."""
    async with db.transaction():
        incident = await store_incidents.find_handled(station_id=station_id, kind="fire")
        if incident is not None:
            detail = {"device_id": str(device_id)}
            await store_incidents.add_step(incident.id, at=now, kind="alarm", what="person_seen", detail=detail)
            await _tell(incident, "person_seen", now)


async def escalate(*, incident_id: UUID, step: int, now: datetime) -> None:
    """A timer: nobody has acknowledged the incident; ring again, and more people."""
    async with db.transaction():
        incident = await store_incidents.find_incident(incident_id, lock=True)
        if incident is None or incident.status != "open" or incident.escalated > step:
            return
        station = await stations.get_station(station_id=incident.station_id)
        await store_incidents.save_incident(incident_id, {"escalated": step + 1})
        params: dict[str, str | int] = {"station": station.name, "level": incident.level}
        if incident.drill:
            params = {"station": station.name, "reason": reason_of(incident.code)}
        called = await duty.whom_to_page(station=station, roles=escalation_roles(step), now=now)
        everybody = await people(station=station, roles=escalation_roles(step))
        rung = list(dict.fromkeys([*called, *(everybody if step > 0 else [])]))
        await notifications.page(
            recipients=rung,
            event_key=f"incident:{incident_id}:escalation-{step}",
            template="drill_page" if incident.drill else "incident_escalated",
            params=params,
            now=now,
        )
        told = [{"step": step + 1, "account_id": str(person)} for person in rung]
        await store_incidents.add_steps(incident_id, at=now, kind="escalation", what="incident_escalated", details=told)
        await _tell(incident, "escalated", now)


async def get_incident(*, incident_id: UUID, staff: Staff) -> IncidentView:
    """Return an incident of the caller's company (and station, for a guard of one); raises NotFound."""
    incident = await store_incidents.find_incident(incident_id)
    if incident is None or not staff.may(
        *READERS, operator_company_id=incident.operator_company_id, station_id=incident.station_id
    ):
        raise NotFound(kind="incident")
    return incident


async def list_incidents(*, staff: Staff, handled_only: bool, before: UUID | None, limit: int) -> list[IncidentView]:
    """Return incidents of the caller's companies and stations, newest first."""
    companies = staff.company_ids(*READERS)
    return await read_visible(
        lambda below: store_incidents.list_incidents(
            company_ids=companies, handled_only=handled_only, before=below, limit=limit
        ),
        visible=lambda i: staff.may(*READERS, operator_company_id=i.operator_company_id, station_id=i.station_id),
        before=before,
        limit=limit,
    )


async def is_handled_at(*, station_id: UUID, connector_id: UUID) -> bool:
    """Say whether an incident that concerns this connector (a fire: the whole station) is being handled."""
    fire = await store_incidents.find_handled(station_id=station_id, kind="fire")
    battery = await store_incidents.find_handled(station_id=station_id, kind="battery", connector_id=connector_id)
    return fire is not None or battery is not None


async def list_steps(*, incident_id: UUID) -> list[StepView]:
    """Return an incident's time line, oldest first."""
    return await store_incidents.list_steps(incident_id)


async def list_open_alerts(*, incident_id: UUID) -> list[AlertView]:
    """Return the alarms of an incident that have not cleared."""
    return await store.list_open_alerts(incident_id=incident_id)


async def move(*, incident_id: UUID, step: IncidentMove, note: str, staff: Staff, now: datetime) -> IncidentView:
    """Acknowledge, arrive at, resolve or report an incident; made twice, it changes nothing.

    Resolving lifts the safety hold, lets the locks rise by their own rules, ends the task and gives the all-clear to
    who was told to stay away. No timer and no device ever does. Raises NotFound, IncidentState.
    """
    async with db.transaction():
        found = await get_incident(incident_id=incident_id, staff=staff)
        if not staff.may(*HANDLERS, operator_company_id=found.operator_company_id, station_id=found.station_id):
            raise NotFound(kind="incident")
        person_id = await duty.person_behind(account_id=staff.account_id, now=now)
        incident = await store_incidents.find_incident(incident_id, lock=True)
        after = None if incident is None else move_incident(incident.status, step)
        if incident is None or after is None:
            raise IncidentState(status=found.status)
        if after == incident.status:
            return incident
        stamp = {"acknowledge": "acknowledged_at", "arrive": "on_site_at", "resolve": "resolved_at"}
        changes: dict[str, Any] = {"status": after, stamp.get(step, "reported_at"): now}
        if incident.acknowledged_at is None:
            changes["acknowledged_at"] = now
        await store_incidents.save_incident(incident_id, changes)
        await store_incidents.add_step(
            incident_id, at=now, kind="person", what=after, actor_id=person_id, detail={"note": note}
        )
        moved = msgspec.structs.replace(incident, **changes)
        if step == "resolve":
            await _end(moved, staff, note, now)
        await audit.record(
            actor_id=person_id,
            actor_role=staff.role_at(incident.operator_company_id),
            action=f"incident.{after}",
            object_kind="incident",
            object_id=incident_id,
            detail={},
            now=now,
            operator_company_id=incident.operator_company_id,
        )
        await _tell(moved, after, now)
    return moved


async def _end(incident: IncidentView, staff: Staff, note: str, now: datetime) -> None:
    lifted = await stations.lift_safety_hold(
        station_id=incident.station_id, incident_id=incident.id, actor_id=staff.account_id, now=now
    )
    if lifted:
        await store_incidents.add_step(
            incident.id, at=now, kind="person", what="safety_hold_lifted", actor_id=staff.account_id
        )
        if not await stations.has_safety_hold(station_id=incident.station_id):
            await bays.raise_all(
                station_id=incident.station_id, reason="incident resolved", now=now, actor=str(staff.account_id)
            )
    await power.give_back(incident_id=incident.id, actor=str(staff.account_id), now=now)
    task = await store_incidents.find_task_of(incident_id=incident.id)
    if task is not None and task.status != "resolved":
        changes = {"status": "resolved", "resolved_at": now, "resolution": note or "incident resolved"}
        await store_incidents.save_task(task.id, changes)
        await jobs.emit(
            TaskChanged(
                task_id=task.id,
                operator_company_id=task.operator_company_id,
                station_id=task.station_id,
                status="resolved",
                at=now,
            ),
            now=now,
        )
    await residents.give_all_clear(incident_id=incident.id, station_id=incident.station_id, now=now)


def is_handled(incident: IncidentView) -> bool:
    """Whether people are still to deal with it."""
    return incident.status in HANDLED
