"""SQL of the device registry: access, and what stands where for the detector map."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg

from backend.core import db
from backend.stations.rules.registry import RegistryEntry
from backend.stations.rules.topology import DeviceView

_ENTRIES = """
    SELECT n.id, n.code, n.kind, n.station_id, n.station_code, s.name AS station_name, s.operator_company_id,
        n.report_interval_s, n.charger_id, n.bay_id, n.role, n.area, n.lane, n.active, d.model,
        d.credentials_issued_at, d.credentials_count, d.revoked_at, d.revoked_reason, d.created_at
    FROM device_now n JOIN device d ON d.id = n.id JOIN station s ON s.id = n.station_id
"""


async def list_entries(
    company_ids: Sequence[UUID], station_id: UUID | None, kind: str | None, after: str | None, limit: int
) -> list[RegistryEntry]:
    rows = await db.fetch(
        _ENTRIES + " WHERE s.operator_company_id = ANY($1) AND ($2::uuid IS NULL OR n.station_id = $2)"
        " AND ($3::text IS NULL OR n.kind = $3) AND ($4::text IS NULL OR n.code > $4) ORDER BY n.code LIMIT $5",
        list(company_ids),
        station_id,
        kind,
        after,
        limit,
    )
    return [RegistryEntry(**dict(row)) for row in rows]


async def list_entries_on_site(
    company_ids: Sequence[UUID], station_ids: Sequence[UUID], only: UUID | None, after: str | None, limit: int
) -> list[RegistryEntry]:
    """The devices that are not retired, of these companies or of these stations alone, by code beyond `after`."""
    rows = await db.fetch(
        _ENTRIES + " WHERE n.active AND (s.operator_company_id = ANY($1) OR n.station_id = ANY($2))"
        " AND ($3::uuid IS NULL OR n.station_id = $3) AND ($4::text IS NULL OR n.code > $4) ORDER BY n.code LIMIT $5",
        list(company_ids),
        list(station_ids),
        only,
        after,
        limit,
    )
    return [RegistryEntry(**dict(row)) for row in rows]


async def find_entry(device_id: UUID) -> RegistryEntry | None:
    row = await db.fetchrow(_ENTRIES + " WHERE n.id = $1", device_id)
    return None if row is None else RegistryEntry(**dict(row))


async def revoke(device_id: UUID, reason: str, now: datetime) -> bool:
    """Revoke a device's credentials; False when they are revoked already."""
    tag = await db.execute(
        "UPDATE device SET revoked_at = $2, revoked_reason = $3, updated_at = $2 WHERE id = $1 AND revoked_at IS NULL",
        device_id,
        now,
        reason,
    )
    return tag.endswith("1")


async def list_area_parts(station_id: UUID) -> list[asyncpg.Record]:
    """Return (area, what, id, code) of everything that a detector may guard."""
    rows: list[Any] = await db.fetch(
        """
        SELECT area, 'detector' AS what, id, code FROM device WHERE station_id = $1 AND active AND kind = 'smoke'
        UNION ALL SELECT area, 'charger', id, code FROM charger WHERE station_id = $1 AND active
        UNION ALL SELECT area, 'bay', id, code FROM bay WHERE station_id = $1 AND active
        ORDER BY 1 NULLS FIRST, 2, 4
        """,
        station_id,
    )
    return rows


async def list_active(station_ids: Sequence[UUID]) -> list[DeviceView]:
    rows = await db.fetch("SELECT * FROM device_now WHERE active AND station_id = ANY($1) ORDER BY code", station_ids)
    return [DeviceView(**dict(row)) for row in rows]
