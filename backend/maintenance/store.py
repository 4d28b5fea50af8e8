"""All SQL of inspections, findings, photos and works."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

import asyncpg
import msgspec

from backend.core import db
from backend.maintenance.rules.checks import Item
from backend.maintenance.views import (
    AnswerView,
    ChecklistView,
    FindingView,
    InspectionView,
    PhotoView,
    PlanView,
    WorkView,
)

V = TypeVar("V", bound=msgspec.Struct)


def _view(kind: type[V], row: asyncpg.Record) -> V:
    fields = {name: row[name] for name in kind.__struct_fields__}
    if "items" in fields:
        fields["items"] = msgspec.json.decode(row["items"], type=tuple[Item, ...])
    return kind(**fields)


def encode_items(items: Sequence[Item]) -> str:
    return msgspec.json.encode(list(items)).decode()


async def insert(table: str, fields: dict[str, Any]) -> None:
    """Insert a row; the names come from this package, never from outside."""
    names = ", ".join(fields)
    places = ", ".join(f"${n}" for n in range(1, len(fields) + 1))
    await db.execute(f"INSERT INTO {table} ({names}) VALUES ({places})", *fields.values())  # noqa: S608


async def list_checklists(company_ids: Sequence[UUID]) -> list[ChecklistView]:
    rows = await db.fetch(
        "SELECT * FROM checklist WHERE operator_company_id = ANY($1) ORDER BY active DESC, created_at, id",
        list(company_ids),
    )
    return [_view(ChecklistView, row) for row in rows]


async def find_checklist(checklist_id: UUID) -> ChecklistView | None:
    row = await db.fetchrow("SELECT * FROM checklist WHERE id = $1", checklist_id)
    return None if row is None else _view(ChecklistView, row)


async def retire_checklist(checklist_id: UUID) -> None:
    await db.execute("UPDATE checklist SET active = false WHERE id = $1", checklist_id)
    await db.execute("UPDATE inspection_plan SET active = false WHERE checklist_id = $1", checklist_id)


async def put_plan(
    plan_id: UUID, checklist_id: UUID, station_id: UUID, period_days: int, next_due_at: datetime, now: datetime
) -> PlanView:
    row = await db.fetchrow(
        "INSERT INTO inspection_plan (id, checklist_id, station_id, period_days, next_due_at, active, created_at)"
        " VALUES ($1, $2, $3, $4, $5, true, $6) ON CONFLICT (checklist_id, station_id) DO UPDATE"
        " SET period_days = excluded.period_days, next_due_at = excluded.next_due_at, active = true RETURNING *",
        plan_id,
        checklist_id,
        station_id,
        period_days,
        next_due_at,
        now,
    )
    assert row is not None
    return _view(PlanView, row)


async def list_plans(station_ids: Sequence[UUID]) -> list[PlanView]:
    rows = await db.fetch(
        "SELECT * FROM inspection_plan WHERE station_id = ANY($1) AND active ORDER BY next_due_at, id",
        list(station_ids),
    )
    return [_view(PlanView, row) for row in rows]


async def claim_due_plans(before: datetime) -> list[asyncpg.Record]:
    """Return the plans whose next inspection comes up, locked, with what the inspection is made of."""
    return await db.fetch(
        "SELECT p.id, p.station_id, p.period_days, p.next_due_at, c.name, c.items, c.operator_company_id"
        " FROM inspection_plan p JOIN checklist c ON c.id = p.checklist_id"
        " WHERE p.active AND p.next_due_at <= $1 ORDER BY p.id FOR UPDATE OF p SKIP LOCKED",
        before,
    )


async def move_plan(plan_id: UUID, next_due_at: datetime) -> None:
    await db.execute("UPDATE inspection_plan SET next_due_at = $2 WHERE id = $1", plan_id, next_due_at)


async def add_inspection(fields: dict[str, Any]) -> bool:
    tag = await db.execute(
        "INSERT INTO inspection (id, plan_id, station_id, operator_company_id, name, items, due_at, status, created_at)"
        " VALUES ($1, $2, $3, $4, $5, $6::jsonb, $7, 'open', $8) ON CONFLICT (plan_id, due_at) DO NOTHING",
        *fields.values(),
    )
    return tag.endswith("1")


async def find_inspection(inspection_id: UUID, *, lock: bool = False) -> InspectionView | None:
    sql = "SELECT * FROM inspection WHERE id = $1"
    row = await db.fetchrow(sql + " FOR UPDATE" if lock else sql, inspection_id)
    return None if row is None else _view(InspectionView, row)


async def list_inspections(
    station_ids: Sequence[UUID], *, open_only: bool, overdue_at: datetime | None
) -> list[InspectionView]:
    rows = await db.fetch(
        "SELECT * FROM inspection WHERE station_id = ANY($1) AND (NOT $2 OR status <> 'completed')"
        " AND ($3::timestamptz IS NULL OR (status <> 'completed' AND due_at < $3)) ORDER BY due_at DESC, id LIMIT 500",
        list(station_ids),
        open_only,
        overdue_at,
    )
    return [_view(InspectionView, row) for row in rows]


async def mark_started(inspection_id: UUID, actor_id: UUID, now: datetime) -> None:
    await db.execute(
        "UPDATE inspection SET status = 'started', started_at = $2, started_by = $3 WHERE id = $1",
        inspection_id,
        now,
        actor_id,
    )


async def mark_completed(inspection_id: UUID, actor_id: UUID, now: datetime) -> None:
    await db.execute(
        "UPDATE inspection SET status = 'completed', completed_at = $2, completed_by = $3 WHERE id = $1",
        inspection_id,
        now,
        actor_id,
    )


async def put_answer(
    answer_id: UUID, inspection_id: UUID, item: str, result: str, note: str, actor_id: UUID, now: datetime
) -> None:
    await db.execute(
        "INSERT INTO inspection_answer (id, inspection_id, item, result, note, answered_at, answered_by)"
        " VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (inspection_id, item) DO UPDATE SET"
        " result = excluded.result, note = excluded.note, answered_at = excluded.answered_at,"
        " answered_by = excluded.answered_by",
        answer_id,
        inspection_id,
        item,
        result,
        note,
        now,
        actor_id,
    )


async def list_answers(inspection_id: UUID) -> list[AnswerView]:
    rows = await db.fetch(
        "SELECT * FROM inspection_answer WHERE inspection_id = $1 ORDER BY answered_at, item", inspection_id
    )
    return [_view(AnswerView, row) for row in rows]


async def find_finding(finding_id: UUID, *, lock: bool = False) -> FindingView | None:
    sql = "SELECT * FROM finding WHERE id = $1"
    row = await db.fetchrow(sql + " FOR UPDATE" if lock else sql, finding_id)
    return None if row is None else _view(FindingView, row)


async def find_finding_of_item(inspection_id: UUID, item: str) -> FindingView | None:
    row = await db.fetchrow(
        "SELECT * FROM finding WHERE inspection_id = $1 AND item = $2 AND status = 'open'", inspection_id, item
    )
    return None if row is None else _view(FindingView, row)


async def list_findings(
    station_ids: Sequence[UUID], *, status: str | None, overdue_at: datetime | None, inspection_id: UUID | None = None
) -> list[FindingView]:
    rows = await db.fetch(
        "SELECT * FROM finding WHERE station_id = ANY($1) AND ($2::text IS NULL OR status = $2)"
        " AND ($3::timestamptz IS NULL OR (status = 'open' AND due_at < $3))"
        " AND ($4::uuid IS NULL OR inspection_id = $4) ORDER BY (status <> 'open'), due_at, id LIMIT 500",
        list(station_ids),
        status,
        overdue_at,
        inspection_id,
    )
    return [_view(FindingView, row) for row in rows]


async def mark_rectified(finding_id: UUID, actor_id: UUID, note: str, now: datetime) -> None:
    await db.execute(
        "UPDATE finding SET status = 'rectified', rectified_at = $2, rectified_by = $3, rectified_note = $4"
        " WHERE id = $1",
        finding_id,
        now,
        actor_id,
        note,
    )


async def mark_verified(finding_id: UUID, actor_id: UUID, now: datetime) -> None:
    await db.execute(
        "UPDATE finding SET status = 'verified', verified_at = $2, verified_by = $3 WHERE id = $1",
        finding_id,
        now,
        actor_id,
    )


async def reopen(finding_id: UUID) -> None:
    await db.execute(
        "UPDATE finding SET status = 'open', rectified_at = NULL, rectified_by = NULL WHERE id = $1", finding_id
    )


async def claim_overdue(table: str, condition: str, now: datetime) -> list[asyncpg.Record]:
    """Mark what is overdue as told and return it: each is told once. Table and condition come from this package."""
    return await db.fetch(
        f"UPDATE {table} SET overdue_told_at = $1 WHERE due_at < $1 AND overdue_told_at IS NULL AND {condition}"  # noqa: S608
        " RETURNING id, station_id, operator_company_id, due_at",
        now,
    )


async def find_photo(photo_id: UUID) -> tuple[PhotoView, str] | None:
    row = await db.fetchrow("SELECT * FROM maintenance_photo WHERE id = $1", photo_id)
    return None if row is None else (_view(PhotoView, row), row["store_key"])


async def list_photos(*, inspection_id: UUID | None = None, finding_id: UUID | None = None) -> list[PhotoView]:
    rows = await db.fetch(
        "SELECT * FROM maintenance_photo WHERE inspection_id = $1 OR finding_id = $2 ORDER BY added_at, id",
        inspection_id,
        finding_id,
    )
    return [_view(PhotoView, row) for row in rows]


async def list_photos_past(closed_before: datetime, *, limit: int) -> list[tuple[UUID, str]]:
    """The pictures (id, store key) whose inspection, with all its findings, or whose finding was closed before then."""
    rows = await db.fetch(
        """
        SELECT p.id, p.store_key FROM maintenance_photo p
          LEFT JOIN inspection i ON i.id = p.inspection_id
          LEFT JOIN finding f ON f.id = p.finding_id
         WHERE p.deleted_at IS NULL AND (
            f.verified_at < $1
            OR (i.completed_at < $1 AND NOT EXISTS (SELECT FROM finding g WHERE g.inspection_id = i.id
                AND (g.verified_at IS NULL OR g.verified_at >= $1))))
         ORDER BY p.id LIMIT $2
        """,
        closed_before,
        limit,
    )
    return [(row["id"], row["store_key"]) for row in rows]


async def mark_photos_deleted(photo_ids: Sequence[UUID], now: datetime) -> None:
    await db.execute("UPDATE maintenance_photo SET deleted_at = $2 WHERE id = ANY($1)", list(photo_ids), now)


async def find_work(work_id: UUID, *, lock: bool = False) -> WorkView | None:
    sql = "SELECT * FROM maintenance_work WHERE id = $1"
    row = await db.fetchrow(sql + " FOR UPDATE" if lock else sql, work_id)
    return None if row is None else _view(WorkView, row)


async def list_works(station_ids: Sequence[UUID], *, after: datetime) -> list[WorkView]:
    rows = await db.fetch(
        "SELECT * FROM maintenance_work WHERE station_id = ANY($1) AND ends_at > $2 ORDER BY starts_at, id LIMIT 500",
        list(station_ids),
        after,
    )
    return [_view(WorkView, row) for row in rows]


async def close_work(work_id: UUID, status: str, actor_id: UUID, now: datetime) -> None:
    await db.execute(
        "UPDATE maintenance_work SET status = $2, ended_at = $3, ended_by = $4 WHERE id = $1",
        work_id,
        status,
        now,
        actor_id,
    )
