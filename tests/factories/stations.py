"""Stations as tests need them: built through the same use cases as real ones.

`add_station` gives an empty station, `add_gun` a charger with one gun and one bay beside it (and a lock, if asked),
`add_demo_station` a small whole: an AC and a DC gun in the resident zone, an AC gun in the public one, locks,
cameras, smoke.
"""

from datetime import UTC, datetime
from itertools import count
from uuid import UUID

import msgspec

from backend.stations import service as stations
from backend.stations.rules.topology import CameraRole, PowerKind, Zone
from backend.stations.service import BayView, ConnectorView, DeviceView, StationSettings, StationView, build
from tests.factories.accounts import add_company

LONG_AGO = datetime(2024, 1, 1, tzinfo=UTC)
BEIJING_LAT, BEIJING_LNG = 39.942908, 116.426399
"""东直门内北小街, GCJ-02."""

_numbers = count(1)


class Gun(msgspec.Struct, frozen=True, kw_only=True):
    """A connector with the bay beside it, its charger's device and its lock."""

    connector: ConnectorView
    bay: BayView
    charger: DeviceView
    lock: DeviceView | None


class DemoStation(msgspec.Struct, frozen=True, kw_only=True):
    """A small whole station."""

    station: StationView
    ac: Gun
    dc: Gun
    public: Gun
    approach_camera: DeviceView
    bay_camera: DeviceView
    smoke: DeviceView


async def add_station(
    *,
    operator_company_id: UUID | None = None,
    code: str | None = None,
    pilot: bool = True,
    lat: float = BEIJING_LAT,
    lng: float = BEIJING_LNG,
    settings: StationSettings | None = None,
    has_devices: bool = True,
    supply_class: str = "below_1kv",
) -> StationView:
    """Add a station without chargers, of the company 邻里示范 unless told otherwise."""
    number = next(_numbers)
    station_id = await build.put_station(
        code=code or f"S{number}",
        name=f"Station {number}",
        operator_company_id=operator_company_id or await add_company(),
        lat=lat,
        lng=lng,
        pilot=pilot,
        settings=settings,
        has_devices=has_devices,
        supply_class=supply_class,
        now=LONG_AGO,
    )
    return await stations.get_station(station_id=station_id)


async def add_gun(
    *,
    station_id: UUID,
    kind: PowerKind = "ac",
    zone: Zone = "resident",
    with_lock: bool = True,
    area: str | None = None,
) -> Gun:
    """Add a charger (AC 7 kW or DC 60 kW) with one gun, its device, its bay and the bay's lock."""
    number = next(_numbers)
    power_w = 7000 if kind == "ac" else 60_000
    code = f"C{number}"
    charger_id, (connector_id,) = await build.put_charger(
        station_id=station_id, code=code, kind=kind, max_power_w=power_w, area=area
    )
    bay_id = await build.put_bay(
        station_id=station_id, code=f"B{number}", zone=zone, connector_ids=[connector_id], area=area
    )
    charger, _ = await build.register_device(
        station_id=station_id, code=code, kind="charger", charger_id=charger_id, now=LONG_AGO
    )
    lock = None
    if with_lock:
        lock, _ = await build.register_device(
            station_id=station_id, code=f"L{number}", kind="lock", bay_id=bay_id, now=LONG_AGO
        )
    return Gun(
        connector=await stations.get_connector(connector_id=connector_id),
        bay=await stations.get_bay(bay_id=bay_id),
        charger=charger,
        lock=lock,
    )


async def add_camera(
    *, station_id: UUID, role: CameraRole = "bay", bay_ids: tuple[UUID, ...] = (), lane: str | None = None
) -> DeviceView:
    """Add a camera."""
    device, _ = await build.register_device(
        station_id=station_id,
        code=f"K{next(_numbers)}",
        kind="camera",
        role=role,
        lane=lane,
        camera_bay_ids=bay_ids,
        now=LONG_AGO,
    )
    return device


async def add_smoke_detector(*, station_id: UUID, area: str | None = None) -> DeviceView:
    """Add a smoke detector."""
    device, _ = await build.register_device(
        station_id=station_id, code=f"F{next(_numbers)}", kind="smoke", area=area, now=LONG_AGO
    )
    return device


async def add_demo_station(
    *,
    operator_company_id: UUID | None = None,
    lat: float = BEIJING_LAT,
    lng: float = BEIJING_LNG,
    settings: StationSettings | None = None,
    supply_class: str = "below_1kv",
) -> DemoStation:
    """Add a small whole station."""
    station = await add_station(
        operator_company_id=operator_company_id, lat=lat, lng=lng, settings=settings, supply_class=supply_class
    )
    ac = await add_gun(station_id=station.id, kind="ac")
    dc = await add_gun(station_id=station.id, kind="dc")
    public = await add_gun(station_id=station.id, kind="ac", zone="public")
    return DemoStation(
        station=station,
        ac=ac,
        dc=dc,
        public=public,
        approach_camera=await add_camera(station_id=station.id, role="approach", lane="in"),
        bay_camera=await add_camera(station_id=station.id, bay_ids=(ac.bay.id, dc.bay.id, public.bay.id)),
        smoke=await add_smoke_detector(station_id=station.id),
    )
