"""All SQL of incidents, their time lines and tasks."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Literal, TypeAlias
from uuid import UUID

import msgspec
from asyncpg import Record

from backend.alerts.rules.incidents import IncidentStatus, TaskStatus
from backend.alerts.rules.model import Level
from backend.core import db
from backend.core.ids import new_id


class IncidentView(msgspec.Struct, frozen=True, kw_only=True):
    """Something dangerous that people handle."""

    id: UUID
    station_id: UUID
    operator_company_id: UUID
    kind: Literal["fire", "battery"]
    level: Level
    code: str
    area: str | None
    connector_id: UUID | None
    device_id: UUID | None
    status: IncidentStatus
    confirmed: bool
    escalated: int
    opened_at: datetime
    acknowledged_at: datetime | None = None
    on_site_at: datetime | None = None
    resolved_at: datetime | None = None
    reported_at: datetime | None = None
    drill: bool = False


class StepView(msgspec.Struct, frozen=True, kw_only=True):
    """One entry of an incident's time line."""

    at: datetime
    kind: str
    what: str
    actor_id: UUID | None
    detail: dict[str, Any]


class TaskView(msgspec.Struct, frozen=True, kw_only=True):
    """What a person on site must do."""

    id: UUID
    operator_company_id: UUID
    station_id: UUID
    kind: str
    level: Level
    status: TaskStatus
    incident_id: UUID | None
    alert_id: UUID | None
    device_id: UUID | None
    bay_id: UUID | None
    detail: dict[str, Any]
    assignee_id: UUID | None
    created_at: datetime
    accepted_at: datetime | None
    arrived_at: datetime | None
    resolved_at: datetime | None
    resolution: str | None
    drill: bool = False


INCIDENT_COLUMNS = tuple(IncidentView.__struct_fields__)


def _incident(row: Record) -> IncidentView:
    return IncidentView(**{name: row[name] for name in INCIDENT_COLUMNS})


async def add_incident(incident: IncidentView) -> None:
    marks = ", ".join(f"${n}" for n in range(1, len(INCIDENT_COLUMNS) + 1))
    await db.execute(
        f"INSERT INTO incident ({', '.join(INCIDENT_COLUMNS)}) VALUES ({marks})",  # noqa: S608  constant columns
        *(getattr(incident, name) for name in INCIDENT_COLUMNS),
    )


async def lock_station_incidents(station_id: UUID) -> None:
    """Two alarms of one station take turns to the end of their transactions, so that they make one incident."""
    await db.execute("SELECT pg_advisory_xact_lock(hashtextextended('incident:' || $1::text, 0))", str(station_id))


async def find_handled(
    *, station_id: UUID, kind: str, connector_id: UUID | None = None, hold: bool = False
) -> IncidentView | None:
    """The incident of this kind that is being handled at the station (a battery's: at the connector).

    With `hold` nobody ends it before the end of this transaction.
    """
    suffix = " FOR KEY SHARE" if hold else ""
    row = await db.fetchrow(
        "SELECT * FROM incident WHERE station_id = $1 AND kind = $2 AND ($2 = 'fire' OR connector_id = $3)"  # noqa: S608
        f" AND status IN ('open', 'acknowledged', 'on_site') AND NOT drill ORDER BY id LIMIT 1{suffix}",
        station_id,
        kind,
        connector_id,
    )
    return None if row is None else _incident(row)


async def is_anything_handled(station_id: UUID) -> bool:
    """Whether an incident, a drill too, is being handled at the station."""
    return bool(
        await db.fetchval(
            "SELECT EXISTS (SELECT FROM incident WHERE station_id = $1"
            " AND status IN ('open', 'acknowledged', 'on_site'))",
            station_id,
        )
    )


async def find_incident(incident_id: UUID, *, lock: bool = False) -> IncidentView | None:
    suffix = " FOR UPDATE" if lock else ""
    row = await db.fetchrow(f"SELECT * FROM incident WHERE id = $1{suffix}", incident_id)  # noqa: S608
    return None if row is None else _incident(row)


async def save_incident(incident_id: UUID, changes: dict[str, Any]) -> None:
    pairs = ", ".join(f"{name} = ${n}" for n, name in enumerate(changes, 2))
    await db.execute(f"UPDATE incident SET {pairs} WHERE id = $1", incident_id, *changes.values())  # noqa: S608


async def list_incidents(
    *, company_ids: Iterable[UUID], handled_only: bool = False, before: UUID | None = None, limit: int
) -> list[IncidentView]:
    rows = await db.fetch(
        """
        SELECT * FROM incident WHERE operator_company_id = ANY($1)
           AND (NOT $2 OR status IN ('open', 'acknowledged', 'on_site')) AND ($3::uuid IS NULL OR id < $3)
         ORDER BY id DESC LIMIT $4
        """,
        list(company_ids),
        handled_only,
        before,
        limit,
    )
    return [_incident(row) for row in rows]


async def add_step(
    incident_id: UUID,
    *,
    at: datetime,
    kind: str,
    what: str,
    actor_id: UUID | None = None,
    detail: dict[str, Any] | None = None,
) -> None:
    await add_steps(incident_id, at=at, kind=kind, what=what, actor_id=actor_id, details=[detail or {}])


async def add_steps(
    incident_id: UUID,
    *,
    at: datetime,
    kind: str,
    what: str,
    actor_id: UUID | None = None,
    details: Sequence[Mapping[str, Any]],
) -> None:
    """Add an entry for each of these details, at the end of the transaction: nothing in it reads them."""
    rows = [
        (new_id(), incident_id, at, kind, what, actor_id, msgspec.json.encode(detail).decode()) for detail in details
    ]
    await db.write_at_end(_write_steps, rows)


_Step: TypeAlias = tuple[UUID, UUID, datetime, str, str, UUID | None, str]


async def _write_steps(rows: list[_Step]) -> None:
    await db.execute(
        "INSERT INTO incident_step (id, incident_id, at, kind, what, actor_id, detail)"
        " SELECT id, incident_id, at, kind, what, actor_id, detail::jsonb"
        " FROM unnest($1::uuid[], $2::uuid[], $3::timestamptz[], $4::text[], $5::text[], $6::uuid[], $7::text[])"
        " AS s (id, incident_id, at, kind, what, actor_id, detail)",
        *(list(column) for column in zip(*rows, strict=True)),
    )


async def list_steps(incident_id: UUID) -> list[StepView]:
    rows = await db.fetch("SELECT * FROM incident_step WHERE incident_id = $1 ORDER BY at, id", incident_id)
    return [
        StepView(
            at=row["at"],
            kind=row["kind"],
            what=row["what"],
            actor_id=row["actor_id"],
            detail=msgspec.json.decode(row["detail"]),
        )
        for row in rows
    ]


def _task(row: Record) -> TaskView:
    values = {name: row[name] for name in TaskView.__struct_fields__}
    return TaskView(**{**values, "detail": msgspec.json.decode(values["detail"])})


async def add_task(
    *,
    operator_company_id: UUID,
    station_id: UUID,
    kind: str,
    level: str,
    now: datetime,
    incident_id: UUID | None = None,
    alert_id: UUID | None = None,
    device_id: UUID | None = None,
    bay_id: UUID | None = None,
    detail: dict[str, Any] | None = None,
    drill: bool = False,
) -> UUID | None:
    """Add a task; None where its incident or alert has one already."""
    task_id: UUID | None = await db.fetchval(
        """
        INSERT INTO task (id, operator_company_id, station_id, kind, level, status, incident_id, alert_id, device_id,
            bay_id, detail, created_at, drill)
        VALUES ($1, $2, $3, $4, $5, 'open', $6, $7, $8, $9, $10::jsonb, $11, $12) ON CONFLICT DO NOTHING RETURNING id
        """,
        new_id(),
        operator_company_id,
        station_id,
        kind,
        level,
        incident_id,
        alert_id,
        device_id,
        bay_id,
        msgspec.json.encode(detail or {}).decode(),
        now,
        drill,
    )
    return task_id


async def find_task(task_id: UUID, *, lock: bool = False) -> TaskView | None:
    suffix = " FOR UPDATE" if lock else ""
    row = await db.fetchrow(f"SELECT * FROM task WHERE id = $1{suffix}", task_id)  # noqa: S608
    return None if row is None else _task(row)


async def find_task_of(*, incident_id: UUID | None = None, alert_id: UUID | None = None) -> TaskView | None:
    row = await db.fetchrow(
        "SELECT * FROM task WHERE incident_id = $1 OR alert_id = $2 ORDER BY id LIMIT 1 FOR UPDATE",
        incident_id,
        alert_id,
    )
    return None if row is None else _task(row)


async def save_task(task_id: UUID, changes: dict[str, Any]) -> None:
    pairs = ", ".join(f"{name} = ${n}" for n, name in enumerate(changes, 2))
    await db.execute(f"UPDATE task SET {pairs} WHERE id = $1", task_id, *changes.values())  # noqa: S608


async def list_tasks(
    *, company_ids: Iterable[UUID], status: str | None = None, before: UUID | None = None, limit: int
) -> list[TaskView]:
    rows = await db.fetch(
        """
        SELECT * FROM task WHERE operator_company_id = ANY($1) AND ($2::text IS NULL OR status = $2)
           AND ($3::uuid IS NULL OR id < $3) ORDER BY id DESC LIMIT $4
        """,
        list(company_ids),
        status,
        before,
        limit,
    )
    return [_task(row) for row in rows]
