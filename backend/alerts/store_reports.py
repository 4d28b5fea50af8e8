"""SQL of the tasks that residents' reports of bays lead to."""

from uuid import UUID

from backend.core import db


async def find_open_task_of_bay(bay_id: UUID, kind: str) -> UUID | None:
    """Return the newest task of this kind about the bay that is not resolved, its row locked."""
    task_id: UUID | None = await db.fetchval(
        "SELECT id FROM task WHERE bay_id = $1 AND kind = $2 AND status <> 'resolved' ORDER BY id DESC LIMIT 1"
        " FOR UPDATE",
        bay_id,
        kind,
    )
    return task_id


async def take_over_task(bay_id: UUID, kind: str, alert_id: UUID) -> UUID | None:
    """Make the open task that a report led to the alert's own; None where there is none, or the alert has one."""
    task_id: UUID | None = await db.fetchval(
        "UPDATE task SET alert_id = $3 WHERE id = (SELECT id FROM task WHERE bay_id = $1 AND kind = $2"
        " AND status <> 'resolved' AND alert_id IS NULL AND incident_id IS NULL ORDER BY id DESC LIMIT 1)"
        " AND NOT EXISTS (SELECT FROM task WHERE alert_id = $3) RETURNING id",
        bay_id,
        kind,
        alert_id,
    )
    return task_id


async def add_report_to_task(task_id: UUID, report_id: UUID) -> None:
    """Note in a task that this report is about it too."""
    await db.execute(
        "UPDATE task SET detail = jsonb_set(detail, '{reports}',"
        " coalesce(detail -> 'reports', '[]'::jsonb) || to_jsonb($2::text)) WHERE id = $1"
        " AND NOT coalesce(detail -> 'reports', '[]'::jsonb) ? $2",
        task_id,
        str(report_id),
    )
