"""SQL of groups of stations and of monthly grid prices."""

from datetime import date, datetime
from typing import Any
from uuid import UUID

import asyncpg
import msgspec

from backend.core import db
from backend.core.ids import new_id


async def list_groups(company_ids: list[UUID]) -> list[dict[str, Any]]:
    rows = await db.fetch(
        """
        SELECT g.id, g.operator_company_id, g.name,
               coalesce(array_agg(m.station_id ORDER BY m.station_id) FILTER (WHERE m.station_id IS NOT NULL), '{}')
                   AS station_ids
          FROM station_group g LEFT JOIN station_group_member m ON m.group_id = g.id
         WHERE g.operator_company_id = ANY($1::uuid[]) GROUP BY g.id ORDER BY g.name
        """,
        company_ids,
    )
    return [{**dict(row), "station_ids": tuple(row["station_ids"])} for row in rows]


async def put_group(group_id: UUID, company_id: UUID, name: str, actor_id: UUID, now: datetime) -> bool:
    """Write a group; False when another one of the company has the name."""
    taken = await db.fetchval(
        "SELECT id FROM station_group WHERE operator_company_id = $1 AND name = $2 AND id <> $3",
        company_id,
        name,
        group_id,
    )
    if taken is not None:
        return False
    saved = await db.fetchval(
        "INSERT INTO station_group (id, operator_company_id, name, created_by, created_at) VALUES ($1, $2, $3, $4, $5)"
        " ON CONFLICT DO NOTHING RETURNING true",
        group_id,
        company_id,
        name,
        actor_id,
        now,
    )
    if not saved:
        await db.execute("UPDATE station_group SET name = $2 WHERE id = $1", group_id, name)
    return await db.fetchval("SELECT true FROM station_group WHERE id = $1", group_id) is True


async def set_members(group_id: UUID, station_ids: list[UUID]) -> list[UUID]:
    """Make these the stations of a group; returns those that are in another group, which keeps them."""
    await db.execute(
        "DELETE FROM station_group_member WHERE group_id = $1 AND NOT station_id = ANY($2::uuid[])",
        group_id,
        station_ids,
    )
    await db.execute(
        "INSERT INTO station_group_member (station_id, group_id) SELECT unnest($2::uuid[]), $1 ON CONFLICT DO NOTHING",
        group_id,
        station_ids,
    )
    rows = await db.fetch(
        "SELECT station_id FROM station_group_member WHERE station_id = ANY($2::uuid[]) AND group_id <> $1",
        group_id,
        station_ids,
    )
    return [row["station_id"] for row in rows]


async def list_grid_prices(company_ids: list[UUID]) -> list[asyncpg.Record]:
    return await db.fetch(
        "SELECT * FROM grid_price WHERE operator_company_id = ANY($1::uuid[]) ORDER BY month DESC, supply_class",
        company_ids,
    )


async def put_grid_price(
    company_id: UUID,
    supply_class: str,
    month: date,
    bands: dict[str, int],
    source: str,
    actor_id: UUID,
    now: datetime,
) -> asyncpg.Record:
    row = await db.fetchrow(
        "INSERT INTO grid_price (id, operator_company_id, supply_class, month, bands, source, entered_by, entered_at)"
        " VALUES ($1, $2, $3, $4, $5::jsonb, $6, $7, $8)"
        " ON CONFLICT (operator_company_id, supply_class, month) DO UPDATE SET bands = excluded.bands,"
        " source = excluded.source, entered_by = excluded.entered_by, entered_at = excluded.entered_at RETURNING *",
        new_id(),
        company_id,
        supply_class,
        month,
        msgspec.json.encode(bands).decode(),
        source,
        actor_id,
        now,
    )
    if row is None:
        raise RuntimeError("an upsert returns its row")
    return row


async def lock_drafting(company_id: UUID) -> None:
    """Be alone with drafting a month for a company, so that no scope gets two drafts."""
    await db.execute("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", f"tariff-month:{company_id}")
