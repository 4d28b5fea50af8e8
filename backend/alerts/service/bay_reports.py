"""What follows from a resident's report of a blocked bay: the car's owner is warned first where known, then a guard
has a task. A car that the cameras already watch is followed there; its task then counts for the report too.
"""

from datetime import datetime, timedelta
from uuid import UUID

import msgspec

from backend.agreements.service import cars
from backend.alerts import store, store_incidents, store_reports
from backend.alerts.events import TaskChanged
from backend.alerts.rules.table import BY_CODE
from backend.alerts.rules.words import reason_of
from backend.alerts.service import duty
from backend.bays import service as bays
from backend.core import db, jobs
from backend.notifications import service as notifications
from backend.reservations.service import bay_reports
from backend.stations import service as stations

KIND = BY_CODE["blocked_bay"].code


class BayReportDue(msgspec.Struct, frozen=True):
    """Payload of the timer `alerts.bay_report`."""

    report_id: UUID


async def follow(*, report_id: UUID, now: datetime) -> None:
    """Warn the owner of the car where the camera knows it and nobody did so yet, else send a guard at once."""
    async with db.transaction():
        report = await bay_reports.find_report(report_id=report_id)
        if report is None or report.closed_at is not None:
            return
        station = await stations.get_station(station_id=report.station_id)
        watched = await store.find_blocked(report.bay_id, lock=True)
        seen = await bays.get_occupancy(bay_id=report.bay_id)
        people: list[UUID] = []
        if seen.plate_hash is not None and (watched is None or watched.owner_told_at is None):
            people = await cars.people_of_car(plate_hash=seen.plate_hash, at=now)
        if not people:
            await _send_guard(report.id, report.bay_id, report.station_id, now)
            return
        for person in people:
            await notifications.notify(
                recipient=person,
                event_key=f"bay-report:{report.bay_id}:{report.id}",
                template="move_your_car",
                params={"station": station.name},
                safety=False,
                now=now,
            )
        if watched is not None:
            await store.save_blocked(watched.id, {"owner_told_at": now})  # told once, whoever noticed the car first
        due_at = now + timedelta(seconds=station.settings.blocked_bay_after_s)
        await jobs.schedule("alerts.bay_report", BayReportDue(report_id), due_at=due_at, now=now)


async def send_guard(*, report_id: UUID, now: datetime) -> None:
    """A timer: the owner was warned; the car still stands there unless the report was closed meanwhile."""
    async with db.transaction():
        report = await bay_reports.find_report(report_id=report_id)
        if report is not None and report.closed_at is None:
            await _send_guard(report.id, report.bay_id, report.station_id, now)


async def _send_guard(report_id: UUID, bay_id: UUID, station_id: UUID, now: datetime) -> None:
    known = await store_reports.find_open_task_of_bay(bay_id, KIND)
    if known is not None:
        await store_reports.add_report_to_task(known, report_id)
        return
    station = await stations.get_station(station_id=station_id)
    bay = await stations.get_bay(bay_id=bay_id)
    seen = await bays.get_occupancy(bay_id=bay_id)
    task_id = await store_incidents.add_task(
        operator_company_id=station.operator_company_id,
        station_id=station_id,
        kind=KIND,
        level="warning",
        now=now,
        bay_id=bay_id,
        detail={"reason": reason_of(KIND), "reports": [str(report_id)], "image_ref": seen.image_ref},
    )
    assert task_id is not None, "it belongs to no alert and no incident"
    for person in await duty.whom_to_page(station=station, roles=("guard",), now=now):
        await notifications.notify(
            recipient=person,
            event_key=f"task:{task_id}",
            template="bay_reported",
            params={"station": station.name, "bay": bay.code},
            safety=False,
            now=now,
        )
    await _tell(task_id, station.operator_company_id, station_id, "open", now)


async def closed(*, bay_id: UUID, verdict: str, now: datetime) -> None:
    """The reports of a bay were decided, or the bay is empty: its task is over, unless somebody is under way to an
    empty bay, who says so.
    """
    async with db.transaction():
        task_id = await store_reports.find_open_task_of_bay(bay_id, KIND)
        task = None if task_id is None else await store_incidents.find_task(task_id, lock=True)
        if task is None or (verdict == "gone" and task.status != "open") or task.alert_id is not None:
            return
        await store_incidents.save_task(
            task.id, {"status": "resolved", "resolved_at": now, "resolution": f"report {verdict}"}
        )
        await _tell(task.id, task.operator_company_id, task.station_id, "resolved", now)


async def task_resolved(*, task_id: UUID, now: datetime) -> None:
    """Whoever resolves the task has seen to the car: its reports were right, unless they were decided before."""
    task = await store_incidents.find_task(task_id)
    if task is None or task.kind != KIND or task.status != "resolved" or task.bay_id is None:
        return
    if task.assignee_id is not None:
        await bay_reports.close_all(
            bay_id=task.bay_id,
            verdict="confirmed",
            decided_by=task.assignee_id,
            reason=(task.resolution or "resolved")[:200],
            now=now,
        )


async def _tell(task_id: UUID, operator_company_id: UUID, station_id: UUID, status: str, now: datetime) -> None:
    changed = TaskChanged(
        task_id=task_id, operator_company_id=operator_company_id, station_id=station_id, status=status, at=now
    )
    await jobs.emit(changed, now=now)
