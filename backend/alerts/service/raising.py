"""Raise and clear alerts, and do what the rule says.

One alert is open per device, connector or bay, and code; further reports are counted. The alert, its incident, the
safety hold, stop commands, pages and tasks are rows of one transaction: either all of them or none.
"""

from collections.abc import Awaitable, Callable
from datetime import datetime
from uuid import UUID

import msgspec

from backend.alerts import store, store_incidents, store_reports
from backend.alerts.events import AlertCleared, AlertRaised, TaskChanged
from backend.alerts.rules.model import RANK, Action, Level, Rule
from backend.alerts.rules.words import reason_of
from backend.alerts.service import actions, duty, incidents, power, residents
from backend.alerts.store import AlertView
from backend.bays import service as bays
from backend.charging.service import sessions
from backend.core import db, jobs
from backend.core.errors import DomainError
from backend.core.ids import new_id
from backend.notifications import service as notifications
from backend.stations import service as stations
from backend.stations.rules.topology import StationView

FIRE_SOURCES = ("smoke", "camera")


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What was measured or said: of which device, when (corrected device time and arrival), and how bad."""

    device_id: UUID
    station_id: UUID
    occurred_at: datetime
    received_at: datetime
    clock_flagged: bool = False
    connector_id: UUID | None = None
    bay_id: UUID | None = None
    value: float | None = None
    limit: float | None = None
    word: str | None = None
    area: str | None = None


async def raise_alert(*, rule: Rule, level: Level, report: Report, now: datetime) -> AlertView:
    """Raise a rule's alert or count a repeat; act when it is new, worse than before, or met in another session.

    A report is never refused for its time: late and wrongly dated ones raise like any other (domain.md "Safety").
    """
    try:
        return await _raise_alert(rule, level, report, now, one_by_one=False)
    except DomainError:
        # Taken back whole. Now each action by itself, so that a refused one stops none of the others: their savepoints
        # cost time that an alarm need not spend as a rule.
        return await _raise_alert(rule, level, report, now, one_by_one=True)


async def _raise_alert(rule: Rule, level: Level, report: Report, now: datetime, *, one_by_one: bool) -> AlertView:
    async with db.transaction():
        station = await stations.get_station(station_id=report.station_id)
        session_id = await _session_of(report)
        alert, acts = await _keep(rule, level, report, station, session_id, now)
        await store.add_log(
            at=now,
            station_id=station.id,
            operator_company_id=station.operator_company_id,
            what="raised" if acts else "repeated",
            code=rule.code,
            level=level,
            device_id=report.device_id,
            connector_id=report.connector_id,
            occurred_at=report.occurred_at,
            clock_flagged=report.clock_flagged,
            detail={"value": report.value, "limit": report.limit, "word": report.word},
        )
        if not acts:
            return alert
        alert = await _act(rule, level, alert, report, station, now, one_by_one=one_by_one)
        await jobs.emit(
            AlertRaised(
                alert_id=alert.id,
                operator_company_id=alert.operator_company_id,
                station_id=alert.station_id,
                device_id=alert.device_id,
                connector_id=alert.connector_id,
                session_id=alert.session_id,
                incident_id=alert.incident_id,
                code=alert.code,
                level=level,
                value=alert.value,
                at=now,
            ),
            now=now,
        )
    return alert


async def _session_of(report: Report) -> UUID | None:
    if report.connector_id is None:
        return None
    active = await sessions.active_sessions(connector_ids=[report.connector_id])
    return active[0].id if active else None


async def _keep(
    rule: Rule, level: Level, report: Report, station: StationView, session_id: UUID | None, now: datetime
) -> tuple[AlertView, bool]:
    """Store the report; says whether something has to be done about it."""
    alert = AlertView(
        id=new_id(),
        device_id=report.device_id,
        connector_id=report.connector_id,
        bay_id=report.bay_id,
        station_id=station.id,
        operator_company_id=station.operator_company_id,
        code=rule.code,
        source=rule.source,
        level=level,
        value=report.value,
        limit_value=report.limit,
        session_id=session_id,
        incident_id=None,
        first_at=report.occurred_at,
        last_at=report.occurred_at,
        raised_at=report.received_at,
    )
    if await store.add_alert(alert):
        return alert, True
    present = await store.find_open_alert(report.device_id, report.connector_id, report.bay_id, rule.code, lock=True)
    if present is None and await store.add_alert(alert):  # it was cleared between the two
        return alert, True
    if present is None:
        raise RuntimeError("an alert that could neither be added nor found")
    worse = RANK[level] > RANK[present.level]
    elsewhere = session_id is not None and session_id != present.session_id
    changes = {
        "repeats": present.repeats + 1,
        "last_at": max(present.last_at, report.occurred_at),
        "level": level if worse else present.level,
        "value": report.value if report.value is not None else present.value,
        "limit_value": report.limit if report.limit is not None else present.limit_value,
        "session_id": session_id or present.session_id,
    }
    await store.save_alert(present.id, changes)
    return msgspec.structs.replace(present, **changes), worse or elsewhere


async def _act(
    rule: Rule,
    level: Level,
    alert: AlertView,
    report: Report,
    station: StationView,
    now: datetime,
    *,
    one_by_one: bool,
) -> AlertView:
    """Do what the rule says, incident first. One by one, a refused action is written down and stops no other."""
    actions = rule.actions.get(level, ())
    if "open_incident" in actions:
        kind = "fire" if rule.source in FIRE_SOURCES else "battery"
        incident_id = await incidents.open_or_join(
            kind="fire" if kind == "fire" else "battery", alert=alert, station=station, area=report.area, now=now
        )
        await store.save_alert(alert.id, {"incident_id": incident_id})
        alert = msgspec.structs.replace(alert, incident_id=incident_id)
    steps: dict[Action, Callable[[], Awaitable[object]]] = {
        "hold_station": lambda: _hold(alert, now),
        "stop_area": lambda: incidents.stop_area(alert=alert, area=report.area, now=now),
        "lower_locks": lambda: _lower_locks(alert, now),
        "page_staff": lambda: incidents.page_staff(alert=alert, station=station, now=now),
        "tell_residents": lambda: _tell_residents(alert, now),
        "stop_session": lambda: _stop_session(rule, alert, now),
        "tell_resident": lambda: _tell_resident(rule, level, alert, station, now),
        "make_task": lambda: make_task(alert=alert, level=level, now=now),
    }
    for action in actions:
        if action == "open_incident":
            continue
        if not one_by_one:
            await steps[action]()
            continue
        try:
            async with db.transaction():
                await steps[action]()
        except DomainError as error:
            await _write_failure(alert, action, error.code, now)
    return alert


async def _write_failure(alert: AlertView, action: str, code: str, now: datetime) -> None:
    if alert.incident_id is not None:
        await store_incidents.add_step(
            alert.incident_id, at=now, kind="action", what=f"{action}_failed", detail={"code": code}
        )
    await store.add_log(
        at=now,
        station_id=alert.station_id,
        operator_company_id=alert.operator_company_id,
        what="action_failed",
        code=alert.code,
        level=alert.level,
        device_id=alert.device_id,
        connector_id=alert.connector_id,
        incident_id=alert.incident_id,
        detail={"action": action, "error": code},
    )


async def _hold(alert: AlertView, now: datetime) -> None:
    if alert.incident_id is None:
        return
    if await stations.set_safety_hold(station_id=alert.station_id, incident_id=alert.incident_id, now=now):
        await store_incidents.add_step(alert.incident_id, at=now, kind="action", what="safety_hold_set")


async def _lower_locks(alert: AlertView, now: datetime) -> None:
    if alert.incident_id is not None:
        due = incidents.LocksDue(alert.incident_id, alert.code)
        await jobs.schedule("alerts.lower_locks", due, due_at=now, now=now)


async def _tell_residents(alert: AlertView, now: datetime) -> None:
    if alert.incident_id is not None:
        due = residents.ResidentsDue(alert.incident_id)
        await jobs.schedule("alerts.tell_residents", due, due_at=now, now=now)


async def _stop_session(rule: Rule, alert: AlertView, now: datetime) -> None:
    """Stop what charges on the connector; on a charger-wide alert, on every connector of the charger."""
    if alert.connector_id is not None:
        connector_ids = [alert.connector_id]
    else:
        device = await stations.get_device(device_id=alert.device_id)
        connectors = await stations.list_connectors(station_id=alert.station_id)
        connector_ids = [c.id for c in connectors if c.charger_id == device.charger_id]
    if alert.incident_id is not None:
        concerned = [await stations.get_connector(connector_id=c) for c in connector_ids]
        await power.cut(incident_id=alert.incident_id, connectors=concerned, actor=f"rule:{rule.code}", now=now)
    reason = "battery" if rule.source == "battery" else "charger"
    for session in await sessions.active_sessions(connector_ids=connector_ids):
        if session.status == "ending":
            continue
        await sessions.stop_session(session_id=session.id, reason=reason, actor=f"rule:{rule.code}", now=now)
        if alert.incident_id is not None:
            await store_incidents.add_step(
                alert.incident_id, at=now, kind="action", what="session_stopped", detail={"session_id": str(session.id)}
            )
            await actions.follow(incident_id=alert.incident_id, kind="stop_session", target_id=session.id, now=now)


async def _tell_resident(rule: Rule, level: Level, alert: AlertView, station: StationView, now: datetime) -> None:
    if alert.session_id is None:
        return
    session = await sessions.find_session(session_id=alert.session_id)
    if session is None:
        return
    if rule.source == "battery":
        template = "battery_critical" if level == "critical" else "battery_warning"
    elif rule.code == "charge_slow":
        template = "charge_slow"
    elif level == "critical":
        template = "charge_stopped_for_safety"
    else:
        return
    await notifications.notify(
        recipient=session.account_id,
        event_key=f"alert:{alert.id}:{level}:{session.id}",
        template=template,
        params={"station": station.name},
        safety=level == "critical",
        now=now,
    )
    if alert.incident_id is not None:
        detail = {"account_id": str(session.account_id)}
        await store_incidents.add_step(alert.incident_id, at=now, kind="message", what=template, detail=detail)


async def make_task(*, alert: AlertView, level: Level, now: datetime) -> UUID | None:
    """Make the task of an alert (one per incident, else one per alert) and tell the people on site.

    A task that a resident's report of the same bay has made already becomes the alert's.
    """
    if alert.bay_id is not None and alert.incident_id is None:
        known = await store_reports.take_over_task(alert.bay_id, alert.code, alert.id)
        if known is not None:
            return known
    task_id = await store_incidents.add_task(
        operator_company_id=alert.operator_company_id,
        station_id=alert.station_id,
        kind=alert.code,
        level=level,
        now=now,
        incident_id=alert.incident_id,
        alert_id=None if alert.incident_id is not None else alert.id,
        device_id=alert.device_id,
        bay_id=alert.bay_id,
        detail={"reason": reason_of(alert.code), "value": alert.value, **await _picture_of(alert.bay_id)},
    )
    if task_id is None:
        return None
    if alert.incident_id is not None:
        await store_incidents.add_step(alert.incident_id, at=now, kind="action", what="task_made")
    else:
        station = await stations.get_station(station_id=alert.station_id)
        for person in await duty.whom_to_page(station=station, roles=("guard",), now=now):
            await notifications.notify(
                recipient=person,
                event_key=f"task:{task_id}",
                template="task_assigned",
                params={"station": station.name, "reason": reason_of(alert.code)},
                safety=False,
                now=now,
            )
    await jobs.emit(
        TaskChanged(
            task_id=task_id,
            operator_company_id=alert.operator_company_id,
            station_id=alert.station_id,
            status="open",
            at=now,
        ),
        now=now,
    )
    return task_id


async def _picture_of(bay_id: UUID | None) -> dict[str, str | None]:
    """What the bay camera took of the car, for whoever goes there."""
    return {} if bay_id is None else {"image_ref": (await bays.get_occupancy(bay_id=bay_id)).image_ref}


async def clear_alert(
    *,
    device_id: UUID,
    connector_id: UUID | None,
    code: str,
    occurred_at: datetime,
    now: datetime,
    bay_id: UUID | None = None,
    why: str | None = None,
) -> bool:
    """Clear an open alert by the device's word; a word older than the newest report of the alert changes nothing.

    With `why` it is cleared because what it was about is over, whatever the dates, and the reason is kept.
    """
    async with db.transaction():
        alert = await store.find_open_alert(device_id, connector_id, bay_id, code, lock=True)
        if alert is None or (why is None and occurred_at < alert.last_at):
            return False
        await store.save_alert(alert.id, {"cleared_at": now})
        await store.add_log(
            at=now,
            station_id=alert.station_id,
            operator_company_id=alert.operator_company_id,
            what="cleared",
            code=code,
            level=alert.level,
            device_id=device_id,
            connector_id=connector_id,
            incident_id=alert.incident_id,
            occurred_at=occurred_at,
            detail={} if why is None else {"why": why},
        )
        if alert.incident_id is not None:
            detail = {"device_id": str(device_id), **({} if why is None else {"why": why})}
            await store_incidents.add_step(
                alert.incident_id, at=now, kind="alarm", what=f"{code}_cleared", detail=detail
            )
        else:
            await _close_untouched_task(alert, now)
        await jobs.emit(
            AlertCleared(
                alert_id=alert.id,
                operator_company_id=alert.operator_company_id,
                station_id=alert.station_id,
                code=code,
                at=now,
            ),
            now=now,
        )
    return True


async def _close_untouched_task(alert: AlertView, now: datetime) -> None:
    """A task nobody has begun falls away with its alert; one under way stays with its person."""
    task = await store_incidents.find_task_of(alert_id=alert.id)
    if task is None or task.status != "open":
        return
    await store_incidents.save_task(task.id, {"status": "resolved", "resolved_at": now, "resolution": "cleared"})
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
