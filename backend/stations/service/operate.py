"""What an operator company does with its own stations and devices, on record; others' are NotFound."""

from collections.abc import Collection, Sequence
from datetime import date, datetime
from typing import Literal
from uuid import UUID

import msgspec

from backend.accounts.service.staff import CompanyUnclear
from backend.core import audit, db, jobs
from backend.core.auth import Staff
from backend.core.errors import Conflict, NotFound
from backend.stations import store, store_operate
from backend.stations.events import ConnectorServiceChanged
from backend.stations.rules.records import ChargerRecord, StationFields, StationRecord
from backend.stations.rules.settings import StationSettings
from backend.stations.rules.topology import BayView, CameraRole, ConnectorView, DeviceView, PowerKind, StationView, Zone
from backend.stations.service import build, imports

READERS: tuple[Literal["operator", "lead", "inspector"], ...] = ("operator", "lead", "inspector")


class ZoneNeedsPlan(Conflict):
    """A painted zone changes on a date, after notice and by two people: never by the way."""

    code = "zone_needs_plan"
    title_en = "A change of zone has to be planned"
    title_zh = "分区调整须先公示"
    detail_en = "Plan it with POST /v1/operator/zone-changes: it needs a date, notice and a second person."
    detail_zh = "请通过 POST /v1/operator/zone-changes 提出：须有生效日期、公示并由第二人审批。"


def own_company(staff: Staff, operator_company_id: UUID | None) -> UUID:
    """Return the company an operator writes for: the one named, or the only one; raises NotFound, CompanyUnclear."""
    own = staff.company_ids("operator")
    if operator_company_id is not None:
        if operator_company_id not in own:
            raise NotFound(kind="operator_company")
        return operator_company_id
    if len(own) > 1:
        raise CompanyUnclear(field="operator_company_id")
    return next(iter(own))


def _company_ids(staff: Staff) -> list[UUID]:
    return sorted(staff.company_ids(*READERS))


async def list_own_stations(*, staff: Staff, after: str | None, limit: int) -> list[StationRecord]:
    """Return the stations of the caller's companies by code."""
    return await store_operate.list_records(_company_ids(staff), after, limit)


async def get_own_station(*, staff: Staff, station_id: UUID) -> StationRecord:
    """Return a station of the caller's companies; raises NotFound, also for another company's."""
    record = await store_operate.find_record(station_id)
    if record is None or record.operator_company_id not in staff.company_ids(*READERS):
        raise NotFound(kind="station")
    return record


async def _writable(staff: Staff, station_id: UUID) -> StationView:
    station = await store.find_station(station_id)
    if station is None or station.operator_company_id not in staff.company_ids("operator"):
        raise NotFound(kind="station")
    return station


async def topology(*, station_id: UUID) -> tuple[list[ChargerRecord], list[ConnectorView], list[BayView]]:
    """Return the station's chargers, connectors and bays, those out of service too."""
    return (
        await store_operate.list_chargers(station_id),
        await store.list_connectors([station_id]),
        await store.list_bays(station_id),
    )


async def create_station(
    *, staff: Staff, operator_company_id: UUID, code: str, fields: StationFields, now: datetime
) -> StationRecord:
    """Add a station; raises CodeTaken when the code names one already."""
    async with db.transaction():
        if await store.find_station_by_code(code) is not None:
            raise build.CodeTaken(value=code)
        station_id = await build.put_station(
            code=code, operator_company_id=operator_company_id, now=now, **msgspec.structs.asdict(fields)
        )
        await _record(staff, "station.created", "station", station_id, operator_company_id, now)
    return await get_own_station(staff=staff, station_id=station_id)


async def replace_station(*, staff: Staff, station_id: UUID, fields: StationFields, now: datetime) -> StationRecord:
    """Replace what may change of a station; its code, company and settings stay."""
    async with db.transaction():
        station = await _writable(staff, station_id)
        await build.put_station(
            code=station.code,
            operator_company_id=station.operator_company_id,
            settings=station.settings,
            now=now,
            **msgspec.structs.asdict(fields),
        )
        await _record(staff, "station.replaced", "station", station_id, station.operator_company_id, now)
    return await get_own_station(staff=staff, station_id=station_id)


async def put_charger(
    *,
    staff: Staff,
    station_id: UUID,
    code: str,
    kind: PowerKind,
    max_power_w: int,
    guns: int,
    gun_power_w: int | None,
    model: str,
    maker: str,
    area: str | None,
    commissioned_on: date | None,
    now: datetime,
) -> None:
    """Add a charger with its guns, or change what may change of it; a gun is never taken away."""
    async with db.transaction():
        station = await _writable(staff, station_id)
        charger_id, _ = await build.put_charger(
            station_id=station_id,
            code=code,
            kind=kind,
            max_power_w=max_power_w,
            guns=guns,
            gun_power_w=gun_power_w,
            model=model,
            maker=maker,
            area=area,
            commissioned_on=commissioned_on,
        )
        await _record(staff, "charger.put", "charger", charger_id, station.operator_company_id, now)


async def put_bay(
    *,
    staff: Staff,
    station_id: UUID,
    code: str,
    zone: Zone,
    connector_ids: Sequence[UUID],
    area: str | None,
    now: datetime,
) -> None:
    """Add a bay, or let more guns reach it. Raises ZoneNeedsPlan where a known bay, or a gun that has bays, would
    change its zone by that: such changes have a date and notice.
    """
    async with db.transaction():
        station = await _writable(staff, station_id)
        before = {connector.id: connector for connector in await store.list_connectors([station_id])}
        if not before.keys() >= set(connector_ids):
            raise NotFound(kind="connector")
        bay_id = await build.put_bay(
            station_id=station_id, code=code, zone=zone, connector_ids=connector_ids, area=area
        )
        present = await store.find_bay(bay_id)
        after = await store.list_connectors([station_id])
        if present is None or present.zone != zone:
            raise ZoneNeedsPlan
        if any(before[c.id].bay_ids and before[c.id].zone != c.zone for c in after):
            raise ZoneNeedsPlan
        await _record(staff, "bay.put", "bay", bay_id, station.operator_company_id, now)


async def set_in_service(
    *, staff: Staff, station_id: UUID, connector_id: UUID, in_service: bool, now: datetime
) -> None:
    """Take a connector out of service or back; what is booked there moves away by the event, the same told twice is
    told once.
    """
    async with db.transaction():
        station = await _writable(staff, station_id)
        present = {connector.id: connector.in_service for connector in await store.list_connectors([station_id])}
        if connector_id not in present:
            raise NotFound(kind="connector")
        if present[connector_id] == in_service:
            return
        await build.set_connector_in_service(connector_id=connector_id, in_service=in_service)
        await jobs.emit(
            ConnectorServiceChanged(connector_id=connector_id, station_id=station_id, in_service=in_service, at=now),
            now=now,
        )
        action = "connector.in_service" if in_service else "connector.out_of_service"
        await _record(staff, action, "connector", connector_id, station.operator_company_id, now)


async def put_settings(*, staff: Staff, station_id: UUID, settings: StationSettings, now: datetime) -> StationRecord:
    """Replace a station's numbers; raises SettingsInvalid."""
    async with db.transaction():
        station = await _writable(staff, station_id)
        await build.put_settings(station_id=station_id, settings=settings, now=now)
        await _record(staff, "station.settings", "station", station_id, station.operator_company_id, now)
    return await get_own_station(staff=staff, station_id=station_id)


async def list_own_devices(*, staff: Staff, station_id: UUID | None, after: str | None, limit: int) -> list[DeviceView]:
    """Return the devices of the caller's companies by code, retired ones too."""
    return await store_operate.list_devices(_company_ids(staff), station_id, after, limit)


async def get_own_device(*, staff: Staff, device_id: UUID) -> DeviceView:
    """Return a device of the caller's companies; raises NotFound."""
    device = await store.find_device(device_id)
    if device is None:
        raise NotFound(kind="device")
    await get_own_station(staff=staff, station_id=device.station_id)
    return device


async def create_device(
    *,
    staff: Staff,
    station_id: UUID,
    code: str,
    kind: str,
    charger_code: str | None,
    bay_code: str | None,
    camera_bay_codes: Collection[str],
    role: CameraRole | None,
    area: str | None,
    lane: str | None,
    report_interval_s: int | None,
    model: str,
    now: datetime,
) -> tuple[DeviceView, str]:
    """Register a device at one of the caller's stations; returns it with its broker password, shown this once."""
    async with db.transaction():
        station = await _writable(staff, station_id)
        chargers = {charger.code: charger.id for charger in await store_operate.list_chargers(station_id)}
        if charger_code is not None and charger_code not in chargers:
            raise NotFound(kind="charger")
        device, password = await build.register_device(
            station_id=station_id,
            code=code,
            kind=kind,
            charger_id=chargers[charger_code] if charger_code is not None else None,
            bay_id=(await _bay_ids(station_id, [bay_code]))[0] if bay_code is not None else None,
            camera_bay_ids=await _bay_ids(station_id, camera_bay_codes),
            role=role,
            area=area,
            lane=lane,
            report_interval_s=report_interval_s,
            model=model,
            now=now,
        )
        await _record(staff, "device.created", "device", device.id, station.operator_company_id, now)
    return device, password


async def replace_device(
    *,
    staff: Staff,
    device_id: UUID,
    camera_bay_codes: Collection[str],
    role: CameraRole | None,
    area: str | None,
    lane: str | None,
    report_interval_s: int,
    model: str,
    active: bool,
    now: datetime,
) -> DeviceView:
    """Replace what may change of a device; a retired one (`active` false) is refused by the broker and the bridge."""
    async with db.transaction():
        device = await get_own_device(staff=staff, device_id=device_id)
        station = await _writable(staff, device.station_id)
        replaced = await build.replace_device(
            device_id=device_id,
            role=role,
            area=area,
            lane=lane,
            report_interval_s=report_interval_s,
            model=model,
            active=active,
            camera_bay_ids=await _bay_ids(device.station_id, camera_bay_codes),
            now=now,
        )
        await _record(staff, "device.replaced", "device", device_id, station.operator_company_id, now)
    return replaced


async def renew_password(*, staff: Staff, device_id: UUID, now: datetime) -> str:
    """Give a device a new broker password and return it, this once."""
    async with db.transaction():
        device = await get_own_device(staff=staff, device_id=device_id)
        station = await _writable(staff, device.station_id)
        password = await build.renew_password(device_id=device_id, now=now)
        await _record(staff, "device.password_renewed", "device", device_id, station.operator_company_id, now)
    return password


async def import_stations(
    *, staff: Staff, operator_company_id: UUID, content: bytes, now: datetime
) -> imports.ImportReport:
    """Import a CSV of stations without devices into the caller's company; raises FileRefused."""
    async with db.transaction():
        report = await imports.import_stations(
            file=content, now=now, operator_company_id=operator_company_id, code_prefix=""
        )
        await _record(staff, "station.imported", "company", operator_company_id, operator_company_id, now)
    return report


async def _bay_ids(station_id: UUID, codes: Collection[str]) -> list[UUID]:
    found = [await store.find_bay_by_code(station_id, code) for code in codes]
    ids = [bay.id for bay in found if bay is not None]
    if len(ids) != len(found):
        raise NotFound(kind="bay")
    return ids


async def _record(
    staff: Staff, action: str, kind: str, object_id: UUID, operator_company_id: UUID, now: datetime
) -> None:
    await audit.record(
        actor_id=staff.account_id,
        actor_role=staff.role_at(operator_company_id),
        action=action,
        object_kind=kind,
        object_id=object_id,
        detail={},
        now=now,
        operator_company_id=operator_company_id,
    )
