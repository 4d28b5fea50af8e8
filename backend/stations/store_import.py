"""SQL of the import: whole batches at once, each row an upsert by its natural key that touches nothing when nothing
changed.
"""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import asyncpg

from backend.core import db
from backend.core.ids import new_id
from backend.stations.rules.rows import CommunityRow, StationRow


async def put_communities(rows: Sequence[CommunityRow], source: str, now: datetime) -> list[bool]:
    """Add or change compounds by (name, district); returns for each row written whether it was new."""
    written = await db.fetch(
        "INSERT INTO community (id, name, district, lat, lng, source, updated_at)"
        " SELECT id, name, district, lat, lng, $6, $7"
        " FROM unnest($1::uuid[], $2::text[], $3::text[], $4::float8[], $5::float8[]) AS t(id, name, district, lat,"
        " lng)"
        " ON CONFLICT (name, district) DO UPDATE SET lat = EXCLUDED.lat, lng = EXCLUDED.lng, source = EXCLUDED.source,"
        " updated_at = EXCLUDED.updated_at"
        " WHERE (community.lat, community.lng) IS DISTINCT FROM (EXCLUDED.lat, EXCLUDED.lng)"
        " RETURNING (xmax = 0) AS added",
        [new_id() for _ in rows],
        [row.name for row in rows],
        [row.district for row in rows],
        [row.lat for row in rows],
        [row.lng for row in rows],
        source,
        now,
    )
    return [row["added"] for row in written]


async def list_foreign_codes(codes: Sequence[str], operator_company_id: UUID) -> set[str]:
    """Return those of `codes` that name another company's station, or one whose chargers are registered one by one."""
    rows = await db.fetch(
        "SELECT code FROM station WHERE code = ANY($1) AND (operator_company_id <> $2 OR has_devices)",
        list(codes),
        operator_company_id,
    )
    return {row["code"] for row in rows}


async def put_stations(
    rows: Sequence[StationRow], codes: Sequence[str], operator_company_id: UUID, source: str, now: datetime
) -> list[asyncpg.Record]:
    """Add or change stations without devices by code; returns (code, added) for each row written."""
    return await db.fetch(
        "INSERT INTO station (id, code, name, operator_company_id, pilot, lat, lng, address, property_owner,"
        " supply_class, parking, opening_hours, has_devices, settings, source, created_at, updated_at)"
        " SELECT id, code, name, $7, false, lat, lng, address, '', 'below_1kv', '', '', false, '{}', $8, $9, $9"
        " FROM unnest($1::uuid[], $2::text[], $3::text[], $4::float8[], $5::float8[], $6::text[])"
        " AS t(id, code, name, lat, lng, address)"
        " ON CONFLICT (code) DO UPDATE SET name = EXCLUDED.name, lat = EXCLUDED.lat, lng = EXCLUDED.lng,"
        " address = EXCLUDED.address, source = EXCLUDED.source, updated_at = EXCLUDED.updated_at"
        " WHERE (station.name, station.lat, station.lng, station.address)"
        " IS DISTINCT FROM (EXCLUDED.name, EXCLUDED.lat, EXCLUDED.lng, EXCLUDED.address)"
        " RETURNING code, (xmax = 0) AS added",
        [new_id() for _ in rows],
        list(codes),
        [row.name or code for row, code in zip(rows, codes, strict=True)],
        [row.lat for row in rows],
        [row.lng for row in rows],
        [row.address for row in rows],
        operator_company_id,
        source,
        now,
    )


async def put_chargers(
    station_codes: Sequence[str], codes: Sequence[str], kinds: Sequence[str], powers_w: Sequence[int]
) -> set[str]:
    """Add chargers with one gun each to their stations, bring back retired ones; returns the station codes touched."""
    touched = await db.fetch(
        "WITH given AS (SELECT s.id AS station_id, s.code AS station_code, t.* FROM"
        " unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::int[]) AS t(id, station, code, kind, power_w)"
        " JOIN station s ON s.code = t.station), put AS ("
        " INSERT INTO charger (id, station_id, code, kind, model, maker, max_power_w, active)"
        " SELECT id, station_id, code, kind, '', '', power_w, true FROM given"
        " ON CONFLICT (code) DO UPDATE SET active = true WHERE NOT charger.active"
        " RETURNING id, station_id, code, max_power_w), guns AS ("
        " INSERT INTO connector (id, station_id, charger_id, number, qr, max_power_w, in_service)"
        " SELECT gen_random_uuid(), station_id, id, 1, code || '-1', max_power_w, true FROM put"
        " ON CONFLICT (charger_id, number) DO NOTHING)"
        " SELECT DISTINCT s.code FROM put JOIN station s ON s.id = put.station_id",
        [new_id() for _ in codes],
        list(station_codes),
        list(codes),
        list(kinds),
        list(powers_w),
    )
    return {row["code"] for row in touched}


async def retire_chargers(station_codes: Sequence[str], keep: Sequence[str]) -> set[str]:
    """Retire the stations' active chargers that are not in `keep`; returns the station codes touched."""
    touched = await db.fetch(
        "UPDATE charger SET active = false FROM station s WHERE s.id = charger.station_id AND charger.active"
        " AND s.code = ANY($1) AND charger.code <> ALL($2) RETURNING s.code",
        list(station_codes),
        list(keep),
    )
    return {row["code"] for row in touched}
