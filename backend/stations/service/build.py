"""Putting stations, chargers, bays and devices in place: for operators, the import, the demo and tests.

Everything is named by its immutable code, and putting it again changes what may change (an upsert).
"""

from collections.abc import Sequence
from datetime import date, datetime
from typing import Literal
from uuid import UUID

import msgspec

from backend.core import db
from backend.core.errors import Conflict, Invalid, NotFound
from backend.core.ids import new_id
from backend.stations import store, store_topology
from backend.stations.rules import broker
from backend.stations.rules.settings import StationSettings
from backend.stations.rules.topology import CameraRole, DeviceView, PowerKind, Zone, is_code

REPORT_INTERVALS_S = {"charger": 15, "lock": 60, "camera": 60, "smoke": 60}
"""The contract's defaults (mqtt.md): a DC charger reports every 15 s as well while no car talks, 5 s with `bms`."""


class CodeTaken(Conflict):
    """Another company, station or device has this code; codes are never used twice."""

    code = "code_taken"
    title_en = "The code is taken"
    title_zh = "编码已被使用"
    detail_en = "The code {value} names something else already, or the place has such a device; codes never move."
    detail_zh = "编码 {value} 已被占用，或该位置已有同类设备；编码不可转移。"


class CodeInvalid(Invalid):
    """A code cannot stand in an MQTT topic."""

    code = "code_invalid"
    title_en = "The code is not valid"
    title_zh = "编码无效"
    detail_en = "A code has 1 to 64 letters A-Z a-z, digits, '_' or '-': {value} does not fit."
    detail_zh = "编码须为 1 至 64 位字母、数字、下划线或连字符：{value} 不符合。"


class SettingsInvalid(Invalid):
    """A station's number cannot be what it was set to; `faults` says which and what would be right."""

    code = "settings_invalid"
    title_en = "A setting is not valid"
    title_zh = "设置项无效"
    detail_en = "See `faults` for each field and what would be right."
    detail_zh = "请见 faults 中各字段的要求。"


class DeviceMappingInvalid(Invalid):
    """A device lacks the place its kind needs, or has one it cannot have."""

    code = "device_mapping_invalid"
    title_en = "The device's place is not valid"
    title_zh = "设备位置信息无效"
    detail_en = "{problem}"
    detail_zh = "充电桩需 charger，地锁需 bay，摄像头需 role，区域仅用于烟感，车道仅用于入口摄像头。"


def _check_code(value: str, field: str) -> None:
    if not is_code(value):
        raise CodeInvalid(field=field, value=value)


def check_settings(settings: StationSettings) -> None:
    """Raise SettingsInvalid when a number cannot be."""
    faults = settings.problems()
    if faults:
        raise SettingsInvalid(faults=[{"field": field, "problem": right} for field, right in faults])


async def put_station(
    *,
    code: str,
    name: str,
    operator_company_id: UUID,
    lat: float,
    lng: float,
    now: datetime,
    pilot: bool = False,
    address: str = "",
    property_owner: str = "",
    commissioned_on: date | None = None,
    construction: Literal["new", "extended"] | None = None,
    supply_class: str = "below_1kv",
    transformer_limit_w: int | None = None,
    parking: str = "",
    opening_hours: str = "00:00-24:00",
    has_devices: bool = True,
    settings: StationSettings | None = None,
    source: str = "",
) -> UUID:
    """Add the station or change what may change of it; raises CodeInvalid, CodeTaken (another company's),
    SettingsInvalid.
    """
    _check_code(code, "code")
    used = settings or StationSettings()
    check_settings(used)
    present = await store.find_station_by_code(code)
    if present is not None and present.operator_company_id != operator_company_id:
        raise CodeTaken(value=code)
    return await store_topology.put_station(
        {
            "code": code,
            "name": name,
            "operator_company_id": operator_company_id,
            "pilot": pilot,
            "lat": lat,
            "lng": lng,
            "address": address,
            "property_owner": property_owner,
            "commissioned_on": commissioned_on,
            "construction": construction,
            "supply_class": supply_class,
            "transformer_limit_w": transformer_limit_w,
            "parking": parking,
            "opening_hours": opening_hours,
            "has_devices": has_devices,
            "settings": msgspec.json.encode(used).decode(),
            "source": source,
        },
        now,
    )


async def put_settings(*, station_id: UUID, settings: StationSettings, now: datetime) -> None:
    """Replace the station's numbers; raises SettingsInvalid."""
    check_settings(settings)
    await store_topology.put_settings(station_id, msgspec.json.encode(settings).decode(), now)


async def put_charger(
    *,
    station_id: UUID,
    code: str,
    kind: PowerKind,
    max_power_w: int,
    guns: int = 1,
    gun_power_w: int | None = None,
    model: str = "",
    maker: str = "",
    area: str | None = None,
    commissioned_on: date | None = None,
) -> tuple[UUID, list[UUID]]:
    """Add a charger with its guns; returns its id and the connector ids by number. QR codes are `{code}-{number}`."""
    _check_code(code, "code")
    async with db.transaction():
        charger_id: UUID | None = await store_topology.put_charger(
            station_id,
            {
                "code": code,
                "kind": kind,
                "model": model,
                "maker": maker,
                "max_power_w": max_power_w,
                "area": area,
                "commissioned_on": commissioned_on,
            },
        )
        if charger_id is None:
            raise CodeTaken(value=code)
        connector_ids = [
            await store_topology.put_connector(
                station_id, charger_id, number, f"{code}-{number}", gun_power_w or max_power_w
            )
            for number in range(1, guns + 1)
        ]
    return charger_id, connector_ids


async def put_bay(
    *,
    station_id: UUID,
    code: str,
    zone: Zone,
    connector_ids: Sequence[UUID] = (),
    area: str | None = None,
) -> UUID:
    """Add a bay with its zone (from ever on, when it is new) and the guns that reach it."""
    _check_code(code, "code")
    async with db.transaction():
        bay_id = await store_topology.put_bay(station_id, code, area)
        if not await store_topology.has_zone(bay_id):
            await store_topology.add_zone(bay_id, zone, None)
        for connector_id in connector_ids:
            await store_topology.add_reach(bay_id, connector_id, None)
    return bay_id


async def change_zone(*, bay_id: UUID, zone: Zone, at: datetime) -> None:
    """Move a bay to another painted zone from `at` on; what was before stays on record."""
    async with db.transaction():
        await store_topology.close_zone(bay_id, at)
        await store_topology.add_zone(bay_id, zone, at)


async def set_connector_in_service(*, connector_id: UUID, in_service: bool) -> None:
    """Take a connector out of service or back."""
    await store_topology.set_connector_in_service(connector_id, in_service)


def _mapping_problem(
    kind: str, charger_id: UUID | None, bay_id: UUID | None, role: str | None, area: str | None, lane: str | None
) -> str | None:
    if (kind == "charger") != (charger_id is not None):
        return "a charger, and only a charger, names its charger"
    if (kind == "lock") != (bay_id is not None):
        return "a lock, and only a lock, names its bay"
    if (kind == "camera") != (role is not None):
        return "a camera, and only a camera, has a role: approach or bay"
    if area is not None and kind != "smoke":
        return "only a smoke detector has an area"
    if lane is not None and role != "approach":
        return "only an approach camera has a lane"
    return None


async def register_device(
    *,
    station_id: UUID,
    code: str,
    kind: str,
    now: datetime,
    charger_id: UUID | None = None,
    bay_id: UUID | None = None,
    camera_bay_ids: Sequence[UUID] = (),
    role: CameraRole | None = None,
    area: str | None = None,
    lane: str | None = None,
    report_interval_s: int | None = None,
    model: str = "",
    password: str | None = None,
) -> tuple[DeviceView, str]:
    """Add a device and return it with its broker password, which is shown this once and kept only as a hash.

    A charger's device carries its charger's code. Raises CodeInvalid, CodeTaken, DeviceMappingInvalid, NotFound.
    """
    _check_code(code, "code")
    problem = _mapping_problem(kind, charger_id, bay_id, role, area, lane)
    if problem is not None:
        raise DeviceMappingInvalid(problem=problem)
    secret = password or broker.new_password()
    async with db.transaction():
        own_bays = {bay.id for bay in await store.list_bays(station_id)}
        if not own_bays.issuperset({bay_id, *camera_bay_ids} - {None}):
            raise NotFound(kind="bay")
        if charger_id is not None:
            guns = [c for c in await store.list_connectors([station_id]) if c.charger_id == charger_id]
            if not guns:
                raise NotFound(kind="charger")
            if guns[0].charger_code != code:
                raise DeviceMappingInvalid(
                    problem=f"a charger's device carries its charger's code {guns[0].charger_code}"
                )
        added = await store_topology.add_device(
            {
                "id": new_id(),
                "code": code,
                "kind": kind,
                "station_id": station_id,
                "charger_id": charger_id,
                "bay_id": bay_id,
                "role": role,
                "area": area,
                "lane": lane,
                "report_interval_s": report_interval_s or REPORT_INTERVALS_S[kind],
                "model": model,
                "password_hash": broker.hash_password(secret),
            },
            now,
        )
        device = await store.find_device_by_code(code)
        if not added or device is None:
            raise CodeTaken(value=code)
        await store_topology.put_device_bays(device.id, camera_bay_ids)
    return device, secret


async def replace_device(
    *,
    device_id: UUID,
    now: datetime,
    role: CameraRole | None,
    area: str | None,
    lane: str | None,
    report_interval_s: int,
    model: str,
    active: bool,
    camera_bay_ids: Sequence[UUID] = (),
) -> DeviceView:
    """Replace what may change of a device; its code, kind and place never do. Raises DeviceMappingInvalid, NotFound."""
    async with db.transaction():
        device = await store.find_device(device_id)
        if device is None:
            raise NotFound(kind="device")
        problem = _mapping_problem(device.kind, device.charger_id, device.bay_id, role, area, lane)
        if problem is not None:
            raise DeviceMappingInvalid(problem=problem)
        if not {bay.id for bay in await store.list_bays(device.station_id)}.issuperset(camera_bay_ids):
            raise NotFound(kind="bay")
        await store_topology.replace_device(
            device_id,
            {
                "role": role,
                "area": area,
                "lane": lane,
                "report_interval_s": report_interval_s,
                "model": model,
                "active": active,
            },
            now,
        )
        await store_topology.put_device_bays(device_id, camera_bay_ids)
        replaced = await store.find_device(device_id)
    if replaced is None:
        raise NotFound(kind="device")
    return replaced


async def renew_password(*, device_id: UUID, now: datetime, password: str | None = None) -> str:
    """Give the device a new broker password and return it; the old one ends when the broker reads its file again."""
    secret = password or broker.new_password()
    await store_topology.put_password(device_id, broker.hash_password(secret), now)
    return secret
