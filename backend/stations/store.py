"""All SQL that reads the topology and writes homes and safety holds; writing the topology is in `store_topology`."""

from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg
import msgspec

from backend.core import db
from backend.core.ids import new_id
from backend.stations.rules.settings import StationSettings, opening_hours
from backend.stations.rules.topology import BayView, CommunityView, ConnectorView, DeviceView, HomeView, StationView


def _station(row: asyncpg.Record) -> StationView:
    fields = dict(row)
    settings = fields["settings"] = msgspec.json.decode(row["settings"], type=StationSettings)
    fields["opening_hours"] = opening_hours(settings) or row["opening_hours"]
    return StationView(**fields)


def _connector(row: asyncpg.Record) -> ConnectorView:
    fields = dict(row)
    fields["bay_ids"] = tuple(row["bay_ids"])
    return ConnectorView(**fields)


def _bay(row: asyncpg.Record) -> BayView:
    fields = dict(row)
    fields["connector_ids"] = tuple(row["connector_ids"])
    return BayView(**fields)


def _device(row: asyncpg.Record) -> DeviceView:
    return DeviceView(**dict(row))


async def find_station(station_id: UUID) -> StationView | None:
    row = await db.fetchrow("SELECT * FROM station_now WHERE id = $1", station_id)
    return None if row is None else _station(row)


async def find_station_by_code(code: str) -> StationView | None:
    row = await db.fetchrow("SELECT * FROM station_now WHERE code = $1", code)
    return None if row is None else _station(row)


async def list_stations(company_ids: list[UUID] | None) -> list[StationView]:
    rows = await db.fetch(
        "SELECT * FROM station_now WHERE $1::uuid[] IS NULL OR operator_company_id = ANY($1) ORDER BY code", company_ids
    )
    return [_station(row) for row in rows]


async def list_stations_of(station_ids: list[UUID]) -> list[StationView]:
    rows = await db.fetch("SELECT * FROM station_now WHERE id = ANY($1) ORDER BY code", station_ids)
    return [_station(row) for row in rows]


async def list_pilot_stations_in(south: float, north: float, west: float, east: float) -> list[StationView]:
    rows = await db.fetch(
        "SELECT * FROM station_now WHERE pilot AND lat BETWEEN $1 AND $2 AND lng BETWEEN $3 AND $4",
        south,
        north,
        west,
        east,
    )
    return [_station(row) for row in rows]


async def lock_station(station_id: UUID) -> bool:
    """Lock the station's row to the transaction's end, shared, so that no safety hold is set meanwhile."""
    return await db.fetchval("SELECT true FROM station WHERE id = $1 FOR SHARE", station_id) is True


async def find_connector(connector_id: UUID) -> ConnectorView | None:
    row = await db.fetchrow("SELECT * FROM connector_now WHERE id = $1", connector_id)
    return None if row is None else _connector(row)


async def find_connector_by_qr(qr: str) -> ConnectorView | None:
    row = await db.fetchrow("SELECT * FROM connector_now WHERE qr = $1", qr)
    return None if row is None else _connector(row)


async def find_connector_by_number(station_code: str, charger_code: str, number: int) -> ConnectorView | None:
    row = await db.fetchrow(
        "SELECT c.* FROM connector_now c JOIN station s ON s.id = c.station_id"
        " WHERE c.charger_code = $2 AND c.number = $3 AND s.code = $1",
        station_code,
        charger_code,
        number,
    )
    return None if row is None else _connector(row)


async def list_connectors(station_ids: list[UUID] | None) -> list[ConnectorView]:
    if station_ids is None:
        rows = await db.fetch("SELECT * FROM connector_now ORDER BY charger_code, number")
    else:
        rows = await db.fetch(
            "SELECT * FROM connector_now WHERE station_id = ANY($1) ORDER BY charger_code, number", station_ids
        )
    return [_connector(row) for row in rows]


async def find_next_edge(station_id: UUID, after: datetime) -> datetime | None:
    edge: datetime | None = await db.fetchval(
        "SELECT min(edge) FROM (SELECT unnest(ARRAY[z.valid_from, z.valid_to]) AS edge"
        " FROM bay b JOIN bay_zone z ON z.bay_id = b.id WHERE b.station_id = $1 UNION ALL"
        " SELECT unnest(ARRAY[r.valid_from, r.valid_to]) FROM bay b JOIN bay_connector r ON r.bay_id = b.id"
        " WHERE b.station_id = $1) edges WHERE edge > $2",
        station_id,
        after,
    )
    return edge


async def find_bay(bay_id: UUID) -> BayView | None:
    row = await db.fetchrow("SELECT * FROM bay_now WHERE id = $1", bay_id)
    return None if row is None else _bay(row)


async def find_bay_by_code(station_id: UUID, code: str) -> BayView | None:
    row = await db.fetchrow("SELECT * FROM bay_now WHERE station_id = $1 AND code = $2", station_id, code)
    return None if row is None else _bay(row)


async def list_bays(station_id: UUID) -> list[BayView]:
    rows = await db.fetch("SELECT * FROM bay_now WHERE station_id = $1 ORDER BY code", station_id)
    return [_bay(row) for row in rows]


async def find_device(device_id: UUID) -> DeviceView | None:
    row = await db.fetchrow("SELECT * FROM device_now WHERE id = $1", device_id)
    return None if row is None else _device(row)


async def find_device_by_code(code: str) -> DeviceView | None:
    row = await db.fetchrow("SELECT * FROM device_now WHERE code = $1", code)
    return None if row is None else _device(row)


async def list_devices(station_id: UUID | None, kind: str | None) -> list[DeviceView]:
    rows = await db.fetch(
        "SELECT * FROM device_now WHERE active AND ($1::uuid IS NULL OR station_id = $1) AND ($2::text IS NULL OR"
        " kind = $2)"
        " ORDER BY code",
        station_id,
        kind,
    )
    return [_device(row) for row in rows]


async def list_device_bays(device_id: UUID) -> list[UUID]:
    rows = await db.fetch("SELECT bay_id FROM device_bay WHERE device_id = $1 ORDER BY bay_id", device_id)
    return [row["bay_id"] for row in rows]


async def list_broker_devices() -> list[asyncpg.Record]:
    return await db.fetch(
        "SELECT d.code, d.kind, s.code AS station_code, d.password_hash FROM device d JOIN station s ON s.id ="
        " d.station_id"
        " WHERE d.active AND d.revoked_at IS NULL ORDER BY d.code"
    )


async def add_safety_hold(station_id: UUID, incident_id: UUID, now: datetime) -> bool:
    """Set the hold under an exclusive lock on the station's row; False when this incident holds it already."""
    await db.execute("SELECT FROM station WHERE id = $1 FOR NO KEY UPDATE", station_id)
    tag = await db.execute(
        "INSERT INTO safety_hold (id, station_id, incident_id, set_at) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
        new_id(),
        station_id,
        incident_id,
        now,
    )
    return tag.endswith("1")


async def lift_safety_hold(station_id: UUID, incident_id: UUID, actor_id: UUID | None, now: datetime) -> bool:
    tag = await db.execute(
        "UPDATE safety_hold SET lifted_at = GREATEST($4, set_at), lifted_by = $3"
        " WHERE station_id = $1 AND incident_id = $2 AND lifted_at IS NULL",
        station_id,
        incident_id,
        actor_id,
        now,
    )
    return tag.endswith("1")


async def has_safety_hold(station_id: UUID) -> bool:
    held: bool = await db.fetchval(
        "SELECT EXISTS (SELECT FROM safety_hold WHERE station_id = $1 AND lifted_at IS NULL)", station_id
    )
    return held


async def find_home(account_id: UUID) -> HomeView | None:
    row = await db.fetchrow(
        "SELECT c.id AS community_id, c.name, c.lat, c.lng FROM home h JOIN community c ON c.id = h.community_id"
        " WHERE h.account_id = $1",
        account_id,
    )
    return None if row is None else HomeView(**dict(row))


async def put_home(account_id: UUID, community_id: UUID, now: datetime) -> None:
    await db.execute(
        "INSERT INTO home (id, account_id, community_id, set_at) VALUES ($1, $2, $3, $4)"
        " ON CONFLICT (account_id) DO UPDATE SET community_id = EXCLUDED.community_id, set_at = EXCLUDED.set_at",
        new_id(),
        account_id,
        community_id,
        now,
    )


async def delete_home(account_id: UUID) -> None:
    await db.execute("DELETE FROM home WHERE account_id = $1", account_id)


async def list_residents_of(community_ids: list[UUID], after: UUID | None, limit: int) -> list[UUID]:
    """The accounts that live in one of these compounds, by id, beyond `after`."""
    rows = await db.fetch(
        "SELECT account_id FROM home WHERE community_id = ANY($1) AND ($2::uuid IS NULL OR account_id > $2)"
        " ORDER BY account_id LIMIT $3",
        community_ids,
        after,
        limit,
    )
    return [row["account_id"] for row in rows]


def _community(row: asyncpg.Record) -> CommunityView:
    return CommunityView(id=row["id"], name=row["name"], district=row["district"], lat=row["lat"], lng=row["lng"])


async def find_community(community_id: UUID) -> CommunityView | None:
    row = await db.fetchrow("SELECT * FROM community WHERE id = $1", community_id)
    return None if row is None else _community(row)


async def list_communities(text: str | None) -> list[CommunityView]:
    """Return the compounds whose name or district contains `text` (taken literally), all of them without it."""
    rows: list[Any] = await db.fetch(
        "SELECT * FROM community WHERE $1::text IS NULL OR position(lower($1) IN lower(name)) > 0"
        " OR position($1 IN district) > 0 ORDER BY district, name, id",
        text,
    )
    return [_community(row) for row in rows]
