"""Drills: the whole way of a smoke alarm with real pages, tasks and escalation, while nothing is switched.

No resident is told, no session stopped, no lock moved, no hold set. What an alarm would do is looked up and written
into the time line, with what would not obey (a lock or charger out of contact), so that the drill finds it. A real
alarm during a drill opens its own incident.
"""

from datetime import datetime, timedelta
from uuid import UUID

from backend.alerts import store_incidents
from backend.alerts.events import IncidentChanged, TaskChanged
from backend.alerts.rules.words import reason_of
from backend.alerts.service import duty, paging, residents
from backend.alerts.service.incidents import EscalationDue
from backend.alerts.store_incidents import IncidentView
from backend.bays import service as bays
from backend.charging.service import sessions
from backend.core import audit, db, jobs
from backend.core.auth import Staff
from backend.core.errors import Conflict, NotFound
from backend.core.ids import new_id
from backend.stations import service as stations
from backend.stations.rules.topology import StationView
from backend.telemetry import service as telemetry

CODE = "smoke_alarm"


class DrillImpossible(Conflict):
    """A drill or a real incident is being handled at the station."""

    code = "drill_impossible"
    title_en = "Not now"
    title_zh = "当前无法开始演练"
    detail_en = "A drill or a real incident is being handled at this station."
    detail_zh = "该站正在处置真实事件或已有演练进行中。"


async def start_drill(*, staff: Staff, station_id: UUID, note: str, now: datetime) -> IncidentView:
    """Begin a drill at a station; raises NotFound, DrillImpossible."""
    station = await stations.get_station(station_id=station_id)
    if not staff.may("lead", "operator", operator_company_id=station.operator_company_id, station_id=station_id):
        raise NotFound(kind="station")
    async with db.transaction():
        await store_incidents.lock_station_incidents(station_id)
        if await store_incidents.is_anything_handled(station_id):
            raise DrillImpossible
        drill = IncidentView(
            id=new_id(),
            station_id=station_id,
            operator_company_id=station.operator_company_id,
            kind="fire",
            level="critical",
            code=CODE,
            area=None,
            connector_id=None,
            device_id=None,
            status="open",
            confirmed=False,
            escalated=0,
            opened_at=now,
            drill=True,
        )
        await store_incidents.add_incident(drill)
        await store_incidents.add_step(
            drill.id, at=now, kind="person", what="drill_started", actor_id=staff.account_id, detail={"note": note}
        )
        await _write_what_would_be_done(drill, station, now)
        await _page(drill, station, now)
        for step, after_s in enumerate(station.settings.escalate_after_s):
            due_at = now + timedelta(seconds=after_s)
            await jobs.schedule("alerts.escalate", EscalationDue(drill.id, step), due_at=due_at, now=now)
        await _make_task(drill, now)
        await audit.record(
            actor_id=staff.account_id,
            actor_role=staff.role_at(station.operator_company_id),
            action="incident.drill_started",
            object_kind="incident",
            object_id=drill.id,
            detail={},
            now=now,
            operator_company_id=station.operator_company_id,
        )
        await jobs.emit(
            IncidentChanged(
                incident_id=drill.id,
                operator_company_id=drill.operator_company_id,
                station_id=station_id,
                status="open",
                what="drill_started",
                at=now,
            ),
            now=now,
        )
    return drill


async def _write_what_would_be_done(drill: IncidentView, station: StationView, now: datetime) -> None:
    async def would(what: str, **detail: object) -> None:
        await store_incidents.add_step(drill.id, at=now, kind="action", what=what, detail=detail)

    await would("would_set_safety_hold")
    connectors = {c.id: c for c in await stations.list_connectors(station_id=station.id)}
    states = await telemetry.connector_states(connector_ids=list(connectors))
    for session in await sessions.active_sessions(station_id=station.id):
        state = states.get(session.connector_id)
        obeys = state is not None and state.online
        await would("would_stop_session", session_id=str(session.id), in_contact=obeys)
    for bay_id, bay in (await bays.bay_occupancy(station_id=station.id)).items():
        if bay.lock_position is not None:
            in_contact = bay.lock_position != "unknown"
            await would("would_lower_lock", bay_id=str(bay_id), position=bay.lock_position, in_contact=in_contact)
    devices = await stations.list_devices(station_id=station.id)
    known = await telemetry.device_states(device_ids=[d.id for d in devices])
    silent = [d.code for d in devices if d.id not in known or not known[d.id].online]
    await would("devices_out_of_contact", count=len(silent), codes=silent[:50])
    there = await residents.residents_there(station_id=station.id, now=now)
    expected = await residents.residents_expected(station_id=station.id, there=there, now=now)
    neighbours = await residents.count_neighbours(station_id=station.id)
    await would("would_tell_residents", there=len(there), expected=len(expected), neighbours=neighbours)


async def _page(drill: IncidentView, station: StationView, now: datetime) -> None:
    await paging.page(
        people=await duty.whom_to_page_first(station=station, now=now),
        incident_id=drill.id,
        event_key=f"incident:{drill.id}:drill",
        template="drill_page",
        params={"station": station.name, "reason": reason_of(CODE)},
        now=now,
    )


async def _make_task(drill: IncidentView, now: datetime) -> None:
    task_id = await store_incidents.add_task(
        operator_company_id=drill.operator_company_id,
        station_id=drill.station_id,
        kind=CODE,
        level="critical",
        now=now,
        incident_id=drill.id,
        detail={"reason": reason_of(CODE)},
        drill=True,
    )
    if task_id is not None:
        await store_incidents.add_step(drill.id, at=now, kind="action", what="task_made")
        await jobs.emit(
            TaskChanged(
                task_id=task_id,
                operator_company_id=drill.operator_company_id,
                station_id=drill.station_id,
                status="open",
                at=now,
            ),
            now=now,
        )
