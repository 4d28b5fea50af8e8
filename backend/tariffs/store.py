"""All SQL of tariffs."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg
import msgspec

from backend.core import db
from backend.core.ids import new_id
from backend.tariffs.rules.bands import ParkingTerms
from backend.tariffs.rules.versions import Price, Span, TariffVersionView


def _version(row: asyncpg.Record, prices: Sequence[asyncpg.Record]) -> TariffVersionView:
    return TariffVersionView(
        **{
            name: row[name]
            for name in TariffVersionView.__struct_fields__
            if name not in ("spans", "parking", "prices")
        },
        spans=msgspec.json.decode(row["spans"], type=tuple[Span, ...]),
        parking=msgspec.json.decode(row["parking"], type=ParkingTerms),
        prices=tuple(
            Price(user_class=p["user_class"], band=p["band"], energy_e4=p["energy_e4"], service_e4=p["service_e4"])
            for p in prices
        ),
    )


async def _with_prices(rows: Sequence[asyncpg.Record]) -> list[TariffVersionView]:
    prices = await db.fetch(
        "SELECT * FROM tariff_price WHERE version_id = ANY($1) ORDER BY user_class, band", [row["id"] for row in rows]
    )
    by_version: dict[UUID, list[asyncpg.Record]] = {}
    for price in prices:
        by_version.setdefault(price["version_id"], []).append(price)
    return [_version(row, by_version.get(row["id"], [])) for row in rows]


async def find_version(version_id: UUID, *, lock: bool = False) -> TariffVersionView | None:
    if lock:
        row = await db.fetchrow("SELECT * FROM tariff_version WHERE id = $1 FOR UPDATE", version_id)
    else:
        row = await db.fetchrow("SELECT * FROM tariff_version WHERE id = $1", version_id)
    return None if row is None else (await _with_prices([row]))[0]


async def list_versions(company_ids: Sequence[UUID], status: str | None) -> list[TariffVersionView]:
    rows = await db.fetch(
        "SELECT * FROM tariff_version WHERE operator_company_id = ANY($1) AND ($2::text IS NULL OR status = $2)"
        " ORDER BY effective_from DESC, id DESC",
        list(company_ids),
        status,
    )
    return await _with_prices(rows)


async def list_in_force(at: datetime, scope_ids: Sequence[UUID]) -> list[TariffVersionView]:
    """Return the published versions of these scopes (stations or companies) in force at `at`."""
    rows = await db.fetch(
        "SELECT * FROM tariff_version WHERE status IN ('published', 'retired') AND scope_id = ANY($2)"
        " AND effective_from <= $1 AND (effective_to IS NULL OR effective_to > $1)",
        at,
        list(scope_ids),
    )
    return await _with_prices(rows)


async def list_in_period(starts_at: datetime, ends_at: datetime, scope_ids: Sequence[UUID]) -> list[TariffVersionView]:
    """Return the published versions of these scopes that hold at any time of `[starts_at, ends_at)`, earliest first."""
    rows = await db.fetch(
        "SELECT * FROM tariff_version WHERE status IN ('published', 'retired') AND scope_id = ANY($3)"
        " AND tstzrange(effective_from, effective_to) && tstzrange($1, $2) ORDER BY effective_from",
        starts_at,
        ends_at,
        list(scope_ids),
    )
    return await _with_prices(rows)


async def list_published(scope_id: UUID, supply_class: str) -> list[asyncpg.Record]:
    """Return id and period of the scope's published versions, earliest first, locked against other publishers."""
    await db.execute("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", f"tariff:{scope_id}")
    return await db.fetch(
        "SELECT id, effective_from, effective_to FROM tariff_version"
        " WHERE status IN ('published', 'retired') AND effective_from IS DISTINCT FROM effective_to"
        " AND scope_id = $1 AND supply_class = $2 ORDER BY effective_from",
        scope_id,
        supply_class,
    )


async def next_start_after(scope_ids: Sequence[UUID], at: datetime) -> datetime | None:
    """Return when the next published version of these scopes begins or ends after `at`."""
    moment: datetime | None = await db.fetchval(
        "SELECT min(edge) FROM (SELECT effective_from AS edge FROM tariff_version WHERE status = 'published'"
        " AND scope_id = ANY($1) UNION ALL SELECT effective_to FROM tariff_version"
        " WHERE status IN ('published', 'retired') AND scope_id = ANY($1)) edges WHERE edge > $2",
        list(scope_ids),
        at,
    )
    return moment


async def add_version(fields: dict[str, Any]) -> None:
    await db.execute(
        "INSERT INTO tariff_version (id, operator_company_id, station_id, supply_class, name, status, effective_from,"
        " effective_to, spans, parking, created_by, created_at, station_group_id)"
        " VALUES ($1, $2, $3, $4, $5, 'draft', $6, $7, $8::jsonb, $9::jsonb, $10, $11, $12)",
        fields["id"],
        fields["operator_company_id"],
        fields["station_id"],
        fields["supply_class"],
        fields["name"],
        fields["effective_from"],
        fields["effective_to"],
        msgspec.json.encode(fields["spans"]).decode(),
        msgspec.json.encode(fields["parking"]).decode(),
        fields["created_by"],
        fields["created_at"],
        fields["station_group_id"],
    )


async def replace_draft(version_id: UUID, fields: dict[str, Any]) -> None:
    await db.execute("DELETE FROM tariff_price WHERE version_id = $1", version_id)
    await db.execute(
        "UPDATE tariff_version SET station_id = $2, supply_class = $3, name = $4, effective_from = $5, effective_to"
        " = $6,"
        " spans = $7::jsonb, parking = $8::jsonb, created_by = $9, station_group_id = $10 WHERE id = $1",
        version_id,
        fields["station_id"],
        fields["supply_class"],
        fields["name"],
        fields["effective_from"],
        fields["effective_to"],
        msgspec.json.encode(fields["spans"]).decode(),
        msgspec.json.encode(fields["parking"]).decode(),
        fields["created_by"],
        fields["station_group_id"],
    )


async def add_prices(version_id: UUID, prices: Sequence[Price]) -> None:
    await db.executemany(
        "INSERT INTO tariff_price (id, version_id, user_class, band, energy_e4, service_e4) VALUES ($1, $2, $3, $4,"
        " $5, $6)",
        [(new_id(), version_id, p.user_class, p.band, p.energy_e4, p.service_e4) for p in prices],
    )


async def approve(version_id: UUID, approved_by: UUID, now: datetime) -> None:
    await db.execute(
        "UPDATE tariff_version SET status = 'approved', approved_by = $2, approved_at = $3 WHERE id = $1",
        version_id,
        approved_by,
        now,
    )


async def publish(version_id: UUID, published_by: UUID, now: datetime) -> None:
    await db.execute(
        "UPDATE tariff_version SET status = 'published', published_by = $2, published_at = $3 WHERE id = $1",
        version_id,
        published_by,
        now,
    )


async def close_version(version_id: UUID, effective_to: datetime) -> None:
    await db.execute("UPDATE tariff_version SET effective_to = $2 WHERE id = $1", version_id, effective_to)


async def delete_draft(version_id: UUID) -> None:
    await db.execute("DELETE FROM tariff_price WHERE version_id = $1", version_id)
    await db.execute("DELETE FROM tariff_version WHERE id = $1", version_id)


async def retire(version_id: UUID, *, effective_to: datetime, retired_by: UUID | None, now: datetime) -> None:
    await db.execute(
        "UPDATE tariff_version SET status = 'retired', effective_to = $2, retired_by = $3, retired_at = $4"
        " WHERE id = $1",
        version_id,
        effective_to,
        retired_by,
        now,
    )


async def reopen_before(version: TariffVersionView) -> None:
    """Let the version that ended where `version` (just taken back) was to begin go on to the end that one had."""
    await db.execute(
        "UPDATE tariff_version SET effective_to = $4 WHERE scope_id = $1 AND supply_class = $2"
        " AND status = 'published' AND effective_to = $3",
        version.scope_id,
        version.supply_class,
        version.effective_from,
        version.effective_to,
    )


async def list_over(now: datetime) -> list[asyncpg.Record]:
    """Return the published versions whose period is over."""
    return await db.fetch(
        "SELECT id, operator_company_id, effective_to FROM tariff_version"
        " WHERE status = 'published' AND effective_to <= $1 ORDER BY id LIMIT 500",
        now,
    )


async def groups_of(station_ids: Collection[UUID]) -> dict[UUID, UUID]:
    """Return the group of each of these stations that is in one."""
    rows = await db.fetch(
        "SELECT station_id, group_id FROM station_group_member WHERE station_id = ANY($1)", list(station_ids)
    )
    return {row["station_id"]: row["group_id"] for row in rows}


async def company_of_group(group_id: UUID) -> UUID | None:
    found: UUID | None = await db.fetchval("SELECT operator_company_id FROM station_group WHERE id = $1", group_id)
    return found


async def find_before(version: TariffVersionView) -> TariffVersionView | None:
    row = await db.fetchrow(
        "SELECT * FROM tariff_version WHERE scope_id = $1 AND supply_class = $2 AND id <> $3 AND effective_from < $4"
        " AND status IN ('published', 'retired') AND effective_from IS DISTINCT FROM effective_to"
        " ORDER BY effective_from DESC LIMIT 1",
        version.scope_id,
        version.supply_class,
        version.id,
        version.effective_from,
    )
    return None if row is None else (await _with_prices([row]))[0]
