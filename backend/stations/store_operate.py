"""SQL of the operators' own lists."""

from collections.abc import Sequence
from uuid import UUID

import asyncpg
import msgspec

from backend.core import db
from backend.stations.rules.records import ChargerRecord, StationRecord
from backend.stations.rules.settings import StationSettings
from backend.stations.rules.topology import DeviceView


def _record(row: asyncpg.Record) -> StationRecord:
    fields = {name: row[name] for name in StationRecord.__struct_fields__}
    fields["settings"] = msgspec.json.decode(row["settings"], type=StationSettings)
    return StationRecord(**fields)


async def list_records(company_ids: Sequence[UUID], after: str | None, limit: int) -> list[StationRecord]:
    rows = await db.fetch(
        "SELECT * FROM station WHERE operator_company_id = ANY($1) AND ($2::text IS NULL OR code > $2)"
        " ORDER BY code LIMIT $3",
        list(company_ids),
        after,
        limit,
    )
    return [_record(row) for row in rows]


async def find_record(station_id: UUID) -> StationRecord | None:
    row = await db.fetchrow("SELECT * FROM station WHERE id = $1", station_id)
    return None if row is None else _record(row)


async def list_chargers(station_id: UUID) -> list[ChargerRecord]:
    rows = await db.fetch(
        "SELECT id, code, kind, model, maker, max_power_w, area, commissioned_on, active FROM charger"
        " WHERE station_id = $1 ORDER BY code",
        station_id,
    )
    return [ChargerRecord(**dict(row)) for row in rows]


async def list_devices(
    company_ids: Sequence[UUID], station_id: UUID | None, after: str | None, limit: int
) -> list[DeviceView]:
    rows = await db.fetch(
        "SELECT d.* FROM device_now d JOIN station s ON s.id = d.station_id WHERE s.operator_company_id = ANY($1)"
        " AND ($2::uuid IS NULL OR d.station_id = $2) AND ($3::text IS NULL OR d.code > $3) ORDER BY d.code LIMIT $4",
        list(company_ids),
        station_id,
        after,
        limit,
    )
    return [DeviceView(**dict(row)) for row in rows]
