"""All SQL that writes stations, chargers, connectors, bays and devices; everything is an upsert by its immutable
code.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from backend.core import db
from backend.core.ids import new_id


async def put_station(fields: dict[str, Any], now: datetime) -> UUID:
    station_id: UUID = await db.fetchval(
        "INSERT INTO station (id, code, name, operator_company_id, pilot, lat, lng, address, property_owner,"
        " commissioned_on, construction, supply_class, transformer_limit_w, parking, opening_hours, has_devices,"
        " settings, source, created_at, updated_at)"
        " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17::jsonb, $18, $19, $19)"
        " ON CONFLICT (code) DO UPDATE SET name = EXCLUDED.name, pilot = EXCLUDED.pilot, lat = EXCLUDED.lat,"
        " lng = EXCLUDED.lng, address = EXCLUDED.address, property_owner = EXCLUDED.property_owner,"
        " commissioned_on = EXCLUDED.commissioned_on, construction = EXCLUDED.construction,"
        " supply_class = EXCLUDED.supply_class, transformer_limit_w = EXCLUDED.transformer_limit_w,"
        " parking = EXCLUDED.parking, opening_hours = EXCLUDED.opening_hours, has_devices = EXCLUDED.has_devices,"
        " settings = EXCLUDED.settings, source = EXCLUDED.source, updated_at = EXCLUDED.updated_at RETURNING id",
        new_id(),
        fields["code"],
        fields["name"],
        fields["operator_company_id"],
        fields["pilot"],
        fields["lat"],
        fields["lng"],
        fields["address"],
        fields["property_owner"],
        fields["commissioned_on"],
        fields["construction"],
        fields["supply_class"],
        fields["transformer_limit_w"],
        fields["parking"],
        fields["opening_hours"],
        fields["has_devices"],
        fields["settings"],
        fields["source"],
        now,
    )
    return station_id


async def put_settings(station_id: UUID, settings: str, now: datetime) -> None:
    await db.execute(
        "UPDATE station SET settings = $2::jsonb, updated_at = $3 WHERE id = $1", station_id, settings, now
    )


async def put_charger(station_id: UUID, fields: dict[str, Any]) -> UUID:
    charger_id: UUID = await db.fetchval(
        "INSERT INTO charger (id, station_id, code, kind, model, maker, max_power_w, area, commissioned_on, active)"
        " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, true)"
        " ON CONFLICT (code) DO UPDATE SET model = EXCLUDED.model, maker = EXCLUDED.maker,"
        " max_power_w = EXCLUDED.max_power_w, area = EXCLUDED.area, commissioned_on = EXCLUDED.commissioned_on,"
        " active = true WHERE charger.station_id = EXCLUDED.station_id RETURNING id",
        new_id(),
        station_id,
        fields["code"],
        fields["kind"],
        fields["model"],
        fields["maker"],
        fields["max_power_w"],
        fields["area"],
        fields["commissioned_on"],
    )
    return charger_id


async def put_connector(station_id: UUID, charger_id: UUID, number: int, qr: str, max_power_w: int) -> UUID:
    connector_id: UUID = await db.fetchval(
        "INSERT INTO connector (id, station_id, charger_id, number, qr, max_power_w, in_service)"
        " VALUES ($1, $2, $3, $4, $5, $6, true) ON CONFLICT (charger_id, number)"
        " DO UPDATE SET max_power_w = EXCLUDED.max_power_w RETURNING id",
        new_id(),
        station_id,
        charger_id,
        number,
        qr,
        max_power_w,
    )
    return connector_id


async def set_connector_in_service(connector_id: UUID, in_service: bool) -> None:
    await db.execute("UPDATE connector SET in_service = $2 WHERE id = $1", connector_id, in_service)


async def put_bay(station_id: UUID, code: str, area: str | None) -> UUID:
    bay_id: UUID = await db.fetchval(
        "INSERT INTO bay (id, station_id, code, area, active) VALUES ($1, $2, $3, $4, true)"
        " ON CONFLICT (station_id, code) DO UPDATE SET area = EXCLUDED.area, active = true RETURNING id",
        new_id(),
        station_id,
        code,
        area,
    )
    return bay_id


async def has_zone(bay_id: UUID) -> bool:
    known: bool = await db.fetchval("SELECT EXISTS (SELECT FROM bay_zone WHERE bay_id = $1)", bay_id)
    return known


async def close_zone(bay_id: UUID, at: datetime) -> None:
    """End the zone that holds at `at`, and forget what was planned after it."""
    await db.execute("DELETE FROM bay_zone WHERE bay_id = $1 AND valid_from >= $2", bay_id, at)
    await db.execute(
        "UPDATE bay_zone SET valid_to = $2 WHERE bay_id = $1 AND (valid_to IS NULL OR valid_to > $2)", bay_id, at
    )


async def add_zone(bay_id: UUID, zone: str, valid_from: datetime | None) -> None:
    await db.execute(
        "INSERT INTO bay_zone (id, bay_id, zone, valid_from) VALUES ($1, $2, $3, $4)",
        new_id(),
        bay_id,
        zone,
        valid_from,
    )


async def add_reach(bay_id: UUID, connector_id: UUID, valid_from: datetime | None) -> None:
    await db.execute(
        "INSERT INTO bay_connector (id, bay_id, connector_id, valid_from) VALUES ($1, $2, $3, $4)"
        " ON CONFLICT DO NOTHING",
        new_id(),
        bay_id,
        connector_id,
        valid_from,
    )


async def add_device(fields: dict[str, Any], now: datetime) -> bool:
    tag = await db.execute(
        "INSERT INTO device (id, code, kind, station_id, charger_id, bay_id, role, area, lane, report_interval_s,"
        " model,"
        " password_hash, active, created_at, updated_at, credentials_issued_at)"
        " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, true, $13, $13, $13) ON CONFLICT DO NOTHING",
        fields["id"],
        fields["code"],
        fields["kind"],
        fields["station_id"],
        fields["charger_id"],
        fields["bay_id"],
        fields["role"],
        fields["area"],
        fields["lane"],
        fields["report_interval_s"],
        fields["model"],
        fields["password_hash"],
        now,
    )
    return tag.endswith("1")


async def replace_device(device_id: UUID, fields: dict[str, Any], now: datetime) -> None:
    await db.execute(
        "UPDATE device SET role = $2, area = $3, lane = $4, report_interval_s = $5, model = $6, active = $7,"
        " updated_at = $8 WHERE id = $1",
        device_id,
        fields["role"],
        fields["area"],
        fields["lane"],
        fields["report_interval_s"],
        fields["model"],
        fields["active"],
        now,
    )


async def put_password(device_id: UUID, password_hash: str, now: datetime) -> None:
    """A new password ends the old one and, where the device was revoked, lets it in again."""
    await db.execute(
        "UPDATE device SET password_hash = $2, updated_at = $3, credentials_issued_at = $3,"
        " credentials_count = credentials_count + 1, revoked_at = NULL, revoked_reason = NULL WHERE id = $1",
        device_id,
        password_hash,
        now,
    )


async def put_device_bays(device_id: UUID, bay_ids: Sequence[UUID]) -> None:
    await db.execute("DELETE FROM device_bay WHERE device_id = $1 AND bay_id <> ALL($2)", device_id, list(bay_ids))
    await db.executemany(
        "INSERT INTO device_bay (id, device_id, bay_id) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
        [(new_id(), device_id, bay_id) for bay_id in bay_ids],
    )
