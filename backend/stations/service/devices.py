"""The device registry: enrolment one by one, by label or by file, credentials, revocation, the detector map.

A change of access is told by NOTIFY (`device_access`, a trigger): bridges refuse a revoked device at its next message,
and whoever keeps the broker's files writes them and has the broker read them, which cuts its live connection.
"""

from collections.abc import Collection, Iterable
from datetime import datetime
from uuid import UUID

import msgspec

from backend.core import audit, db
from backend.core.auth import Staff
from backend.core.errors import Conflict, DomainError, Invalid, NotFound
from backend.stations import store, store_devices
from backend.stations.rules.labels import COLUMNS, DeviceLabel, DeviceRow, read_device, read_label
from backend.stations.rules.registry import DetectorMap, RegistryEntry, map_detectors
from backend.stations.rules.rows import RefusedRow
from backend.stations.rules.topology import CameraRole, DeviceView
from backend.stations.service import build, imports, operate


class LabelInvalid(Invalid):
    """The scanned code is not a device's label."""

    code = "label_invalid"
    title_en = "This is not a device's label"
    title_zh = "不是有效的设备标签"
    detail_en = "{problem}"
    detail_zh = "请扫描设备上以 linli:device? 开头的二维码。"


class AlreadyRevoked(Conflict):
    """The credentials were revoked before."""

    code = "already_revoked"
    title_en = "The credentials are revoked already"
    title_zh = "设备凭证已吊销"
    detail_en = "They were revoked at {revoked_at}. Give the device a new password to let it in again."
    detail_zh = "凭证已于 {revoked_at} 吊销；重新生成密码后方可接入。"


class Credential(msgspec.Struct, frozen=True, kw_only=True):
    """A device and its password, shown this once."""

    device: DeviceView
    password: str


class EnrolmentReport(msgspec.Struct, frozen=True, kw_only=True):
    """What became of an enrolment file: `rows` = enrolled + unchanged + the rows in `refused`."""

    rows: int
    enrolled: tuple[Credential, ...]
    unchanged: int
    refused: tuple[RefusedRow, ...]


async def list_registry(
    *, staff: Staff, station_id: UUID | None, kind: str | None, after: str | None, limit: int
) -> list[RegistryEntry]:
    """Return the devices of the caller's companies by code, retired and revoked ones too."""
    return await store_devices.list_entries(sorted(staff.company_ids(*operate.READERS)), station_id, kind, after, limit)


async def list_on_site(*, staff: Staff, station_id: UUID | None, after: str | None, limit: int) -> list[RegistryEntry]:
    """Return the devices at the stations where the caller works, by code: a guard of one station sees that one's.

    A grant for a station counts only where the station is the granting company's. Raises StaffOnly.
    """
    staff.company_ids("guard", *operate.READERS)
    grants = [grant for grant in staff.grants if grant.role in ("guard", *operate.READERS)]
    companies = {grant.operator_company_id for grant in grants if grant.station_id is None}
    granted = {grant.station_id: grant.operator_company_id for grant in grants if grant.station_id is not None}
    own = await store.list_stations_of(list(granted))
    station_ids = [station.id for station in own if station.operator_company_id == granted[station.id]]
    return await store_devices.list_entries_on_site(sorted(companies), station_ids, station_id, after, limit)


async def get_registered(*, staff: Staff, device_id: UUID) -> RegistryEntry:
    """Return a device of the caller's companies; raises NotFound."""
    entry = await store_devices.find_entry(device_id)
    if entry is None or entry.operator_company_id not in staff.company_ids(*operate.READERS):
        raise NotFound(kind="device")
    return entry


async def revoke(*, staff: Staff, device_id: UUID, reason: str, now: datetime) -> RegistryEntry:
    """Shut a device out at once: at the bridge by registry, at the broker by its files, its connection cut.

    It stays in the registry and counts as silent; a new password lets it in again. Raises NotFound, AlreadyRevoked.
    """
    async with db.transaction():
        entry = await get_registered(staff=staff, device_id=device_id)
        if entry.operator_company_id not in staff.company_ids("operator"):
            raise NotFound(kind="device")
        if not await store_devices.revoke(device_id, reason, now):
            raise AlreadyRevoked(revoked_at=entry.revoked_at.isoformat() if entry.revoked_at else "")
        await audit.record(
            actor_id=staff.account_id,
            actor_role=staff.role_at(entry.operator_company_id),
            action="device.revoked",
            object_kind="device",
            object_id=device_id,
            detail={"reason": reason},
            now=now,
            operator_company_id=entry.operator_company_id,
        )
    return await get_registered(staff=staff, device_id=device_id)


def scan(text: str) -> DeviceLabel:
    """Return what a label says; raises LabelInvalid."""
    label = read_label(text)
    if isinstance(label, str):
        raise LabelInvalid(problem=label)
    return label


async def enrol_scanned(
    *,
    staff: Staff,
    station_id: UUID,
    qr: str,
    bay_code: str | None,
    camera_bay_codes: Iterable[str],
    role: CameraRole | None,
    area: str | None,
    lane: str | None,
    now: datetime,
) -> Credential:
    """Enrol the device whose label was scanned, at the place it hangs; raises LabelInvalid and what enrolling does."""
    label = scan(qr)
    device, password = await operate.create_device(
        staff=staff,
        station_id=station_id,
        code=label.code,
        kind=label.kind,
        charger_code=label.code if label.kind == "charger" else None,
        bay_code=bay_code,
        camera_bay_codes=tuple(camera_bay_codes),
        role=role,
        area=area,
        lane=lane,
        report_interval_s=None,
        model=label.model,
        now=now,
    )
    return Credential(device=device, password=password)


async def enrol_file(*, staff: Staff, station_id: UUID, content: bytes, now: datetime) -> EnrolmentReport:
    """Enrol the devices of a CSV at one station, row by row: a wrong row is refused with its reason, the rest is taken.

    Safe to repeat: a device that stands there already is left as it is, its password too. Raises FileRefused, NotFound.
    """
    await operate.get_own_station(staff=staff, station_id=station_id)
    table = imports.read_columns(content, COLUMNS, alternative=("qr",))
    enrolled: list[Credential] = []
    refused: list[RefusedRow] = []
    unchanged = 0
    for number, fields in table:
        found = [fields] if isinstance(fields, RefusedRow) else read_device(number, fields)
        if isinstance(found, list):
            refused.extend(found)
            continue
        present = await store.find_device_by_code(found.code)
        if present is not None and (present.station_id, present.kind) == (station_id, found.kind):
            unchanged += 1
            continue
        try:
            enrolled.append(await _enrol_row(staff, station_id, found, now))
        except (build.CodeTaken, build.DeviceMappingInvalid, NotFound) as error:
            refused.append(_refusal(found, error))
    return EnrolmentReport(rows=len(table), enrolled=tuple(enrolled), unchanged=unchanged, refused=tuple(refused))


async def _enrol_row(staff: Staff, station_id: UUID, row: DeviceRow, now: datetime) -> Credential:
    device, password = await operate.create_device(
        staff=staff,
        station_id=station_id,
        code=row.code,
        kind=row.kind,
        charger_code=row.charger_code,
        bay_code=row.bay_code,
        camera_bay_codes=row.camera_bay_codes,
        role=row.role,
        area=row.area,
        lane=row.lane,
        report_interval_s=row.report_interval_s,
        model=row.model,
        now=now,
    )
    return Credential(device=device, password=password)


def _refusal(row: DeviceRow, error: DomainError) -> RefusedRow:
    if isinstance(error, NotFound):
        field = {"bay": "bay" if row.bay_code else "bays", "charger": "charger"}.get(str(error.params.get("kind")), "")
        value = {"bay": row.bay_code or "", "bays": " ".join(row.camera_bay_codes), "charger": row.charger_code or ""}
        return RefusedRow(line=row.row, field=field, value=value.get(field, ""), right="a code of this station")
    if isinstance(error, build.CodeTaken):
        return RefusedRow(line=row.row, field="code", value=row.code, right="a code, and a place, no other device has")
    return RefusedRow(line=row.row, field="", value=row.code, right=error.detail("en"))


async def detector_map(*, staff: Staff, station_id: UUID) -> DetectorMap:
    """Return which detector of the station guards what, and what is wrong with the map; raises NotFound."""
    await operate.get_own_station(staff=staff, station_id=station_id)
    rows = await store_devices.list_area_parts(station_id)
    return map_detectors((row["area"], row["what"], row["id"], row["code"]) for row in rows)


async def list_active(*, station_ids: Collection[UUID]) -> list[DeviceView]:
    """Return the devices of these stations that are not retired."""
    return await store_devices.list_active(list(station_ids))


async def is_revoked(*, device_id: UUID) -> bool:
    """Say whether a device's credentials are revoked."""
    entry = await store_devices.find_entry(device_id)
    return entry is not None and entry.revoked_at is not None
