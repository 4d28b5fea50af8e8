"""Tasks of the people on site: accepted, arrived at, resolved, each with who and when."""

from contextlib import suppress
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from backend.alerts import store_incidents
from backend.alerts.events import TaskChanged
from backend.alerts.rules.incidents import TaskMove, move_task
from backend.alerts.service import duty, incidents
from backend.alerts.service.incidents import HANDLERS, READERS, IncidentState
from backend.alerts.store_incidents import TaskView
from backend.core import audit, db, jobs
from backend.core.auth import Staff
from backend.core.errors import Conflict, NotFound
from backend.core.paging import read_visible

__all__ = ["TaskView"]


class TaskState(Conflict):
    """The task is not in a state that allows this."""

    code = "task_state"
    title_en = "The task is {status}"
    title_zh = "任务当前状态不允许此操作"
    detail_en = "It is {status}; open tasks are accepted, then arrived at, then resolved."
    detail_zh = "任务状态为 {status}：须先接单，再到场，最后处理完成。"


class TaskTaken(Conflict):
    """Somebody else has accepted the task."""

    code = "task_taken"
    title_en = "A colleague has the task"
    title_zh = "任务已被他人接单"
    detail_en = "Another member of staff accepted it first; it can still be resolved by anybody on site."
    detail_zh = "该任务已由其他工作人员接单。"


async def list_tasks(*, staff: Staff, status: str | None, before: UUID | None, limit: int) -> list[TaskView]:
    """Return tasks of the caller's companies and stations, newest first."""
    companies = staff.company_ids(*READERS)
    return await read_visible(
        lambda below: store_incidents.list_tasks(company_ids=companies, status=status, before=below, limit=limit),
        visible=lambda t: staff.may(*READERS, operator_company_id=t.operator_company_id, station_id=t.station_id),
        before=before,
        limit=limit,
    )


async def move(*, task_id: UUID, step: TaskMove, note: str, staff: Staff, now: datetime) -> TaskView:
    """Accept, arrive at or resolve a task; made twice by the same person, it changes nothing.

    Arriving at an incident's task moves the incident to on_site. Raises NotFound, TaskState, TaskTaken.
    """
    async with db.transaction():
        person_id = await duty.person_behind(account_id=staff.account_id, now=now)
        task = await store_incidents.find_task(task_id, lock=True)
        if task is None or not staff.may(
            *HANDLERS, operator_company_id=task.operator_company_id, station_id=task.station_id
        ):
            raise NotFound(kind="task")
        after = move_task(task.status, step)
        if after is None:
            raise TaskState(status=task.status)
        if step == "accept" and task.assignee_id not in (None, person_id):
            raise TaskTaken
        if after == task.status:
            return task
        stamp = {"accept": "accepted_at", "arrive": "arrived_at", "resolve": "resolved_at"}[step]
        changes: dict[str, Any] = {"status": after, stamp: now}
        if task.assignee_id is None:
            changes["assignee_id"] = person_id
        if step == "resolve":
            changes["resolution"] = note or "resolved"
        await store_incidents.save_task(task_id, changes)
        await audit.record(
            actor_id=person_id,
            actor_role=staff.role_at(task.operator_company_id),
            action=f"task.{after}",
            object_kind="task",
            object_id=task_id,
            detail={"kind": task.kind},
            now=now,
            operator_company_id=task.operator_company_id,
        )
        await jobs.emit(
            TaskChanged(
                task_id=task_id,
                operator_company_id=task.operator_company_id,
                station_id=task.station_id,
                status=after,
                at=now,
            ),
            now=now,
        )
        if step == "arrive" and task.incident_id is not None:
            with suppress(IncidentState):  # the incident may be past that: arriving late is no error
                await incidents.move(incident_id=task.incident_id, step="arrive", note=note, staff=staff, now=now)
    return msgspec.structs.replace(task, **changes)
