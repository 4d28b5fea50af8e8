"""SQL of painted zones over time and of their planned changes."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

import msgspec

from backend.core import db
from backend.core.ids import new_id
from backend.stations.rules.topology import Zone
from backend.stations.rules.zones import BEGINNING, END, ZoneSpan

ChangeStatus = Literal["proposed", "approved", "in_force", "cancelled"]


class ZoneChangeView(msgspec.Struct, frozen=True, kw_only=True):
    """A planned (or past) change of a bay's painted zone."""

    id: UUID
    station_id: UUID
    operator_company_id: UUID
    bay_id: UUID
    bay_code: str
    zone_from: Zone
    zone_to: Zone
    wanted_at: datetime
    effective_at: datetime
    reason: str
    status: ChangeStatus
    proposed_by: UUID
    proposed_at: datetime
    approved_by: UUID | None
    approved_at: datetime | None
    closed_by: UUID | None
    closed_at: datetime | None
    moved: int
    kept: int


_COLUMNS = ", ".join(
    "b.code AS bay_code" if name == "bay_code" else f"z.{name}" for name in ZoneChangeView.__struct_fields__
)
_SELECT = f"SELECT {_COLUMNS} FROM zone_change z JOIN bay b ON b.id = z.bay_id"  # noqa: S608  constant columns


async def list_spans_ahead(connector_ids: Sequence[UUID]) -> dict[UUID, list[list[ZoneSpan]]]:
    """Return, for those guns whose zone may change ahead, the zones of each bay they reach from now on."""
    rows = await db.fetch(
        """
        SELECT bc.connector_id, z.bay_id, z.zone, z.valid_from, z.valid_to
        FROM bay_connector_now bc JOIN bay_zone z ON z.bay_id = bc.bay_id
        WHERE bc.connector_id IN (
            SELECT r.connector_id FROM bay_zone ahead JOIN bay_connector_now r ON r.bay_id = ahead.bay_id
            WHERE ahead.valid_from > now() AND r.connector_id = ANY($1))
          AND (z.valid_to IS NULL OR z.valid_to > now())
        ORDER BY bc.connector_id, z.bay_id, z.valid_from NULLS FIRST
        """,
        list(connector_ids),
    )
    found: dict[UUID, dict[UUID, list[ZoneSpan]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        span = ZoneSpan(row["zone"], row["valid_from"] or BEGINNING, row["valid_to"] or END)
        found[row["connector_id"]][row["bay_id"]].append(span)
    return {connector_id: list(bays.values()) for connector_id, bays in found.items()}


async def add_change(values: dict[str, Any]) -> UUID | None:
    """Insert a proposed change; None where the bay has an open one."""
    change_id: UUID | None = await db.fetchval(
        "INSERT INTO zone_change (id, station_id, operator_company_id, bay_id, zone_from, zone_to, wanted_at,"
        " effective_at, reason, status, proposed_by, proposed_at, moved, kept)"
        " VALUES ($1, $2, $3, $4, $5, $6, $7, $7, $8, 'proposed', $9, $10, 0, 0)"
        " ON CONFLICT (bay_id) WHERE status IN ('proposed', 'approved') DO NOTHING RETURNING id",
        new_id(),
        values["station_id"],
        values["operator_company_id"],
        values["bay_id"],
        values["zone_from"],
        values["zone_to"],
        values["wanted_at"],
        values["reason"],
        values["proposed_by"],
        values["proposed_at"],
    )
    return change_id


async def find_change(change_id: UUID, *, lock: bool = False) -> ZoneChangeView | None:
    row = await db.fetchrow(f"{_SELECT} WHERE z.id = $1{' FOR UPDATE OF z' if lock else ''}", change_id)
    return None if row is None else ZoneChangeView(**dict(row))


async def save_change(change_id: UUID, changes: dict[str, Any]) -> None:
    pairs = ", ".join(f"{name} = ${n}" for n, name in enumerate(changes, 2))
    await db.execute(f"UPDATE zone_change SET {pairs} WHERE id = $1", change_id, *changes.values())  # noqa: S608


async def list_changes(
    *,
    company_ids: Sequence[UUID] | None = None,
    station_id: UUID | None = None,
    statuses: Sequence[ChangeStatus] = (),
    before: UUID | None = None,
    limit: int = 200,
) -> list[ZoneChangeView]:
    """Return changes, the newest first."""
    rows = await db.fetch(
        f"{_SELECT} WHERE ($1::uuid[] IS NULL OR z.operator_company_id = ANY($1))"
        " AND ($2::uuid IS NULL OR z.station_id = $2) AND (cardinality($3::text[]) = 0 OR z.status = ANY($3))"
        " AND ($4::uuid IS NULL OR z.id < $4) ORDER BY z.id DESC LIMIT $5",
        None if company_ids is None else list(company_ids),
        station_id,
        list(statuses),
        before,
        limit,
    )
    return [ZoneChangeView(**dict(row)) for row in rows]


async def plan_zone(bay_id: UUID, zone: Zone, at: datetime) -> None:
    """Let the bay's present zone end, and the new one begin, at an instant ahead."""
    await db.execute("DELETE FROM bay_zone WHERE bay_id = $1 AND valid_from > now()", bay_id)
    await db.execute(
        "UPDATE bay_zone SET valid_to = $2 WHERE bay_id = $1 AND (valid_from IS NULL OR valid_from <= now())"
        " AND (valid_to IS NULL OR valid_to > now())",
        bay_id,
        at,
    )
    await db.execute(
        "INSERT INTO bay_zone (id, bay_id, zone, valid_from) VALUES ($1, $2, $3, $4)", new_id(), bay_id, zone, at
    )


async def forget_plan(bay_id: UUID) -> None:
    """Let the bay's present zone go on: what was planned after it is forgotten."""
    await db.execute("DELETE FROM bay_zone WHERE bay_id = $1 AND valid_from > now()", bay_id)
    await db.execute("UPDATE bay_zone SET valid_to = NULL WHERE bay_id = $1 AND valid_to > now()", bay_id)


async def tell(station_id: UUID) -> None:
    """Let everybody who keeps a picture of the station read it again at the commit: a zone began by the clock."""
    await db.execute("SELECT pg_notify('station_changed', $1)", str(station_id))
