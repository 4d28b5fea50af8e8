"""Communities, homes, topology, the device registry and safety holds: what every other feature asks of stations."""

import math
from collections.abc import Collection
from datetime import datetime
from uuid import UUID

from backend.core import db
from backend.core.errors import Conflict, NotFound
from backend.core.units import EARTH_RADIUS_M, Point, distance_m
from backend.stations import store
from backend.stations.rules import broker
from backend.stations.rules.settings import StationSettings
from backend.stations.rules.topology import (
    BayView,
    BrokerAccess,
    CommunityView,
    ConnectorView,
    DeviceView,
    HomeView,
    StationView,
)

__all__ = [
    "BayView",
    "BrokerAccess",
    "CommunityView",
    "ConnectorView",
    "DeviceView",
    "HomeView",
    "StationSettings",
    "StationView",
]


class StationUnderSafetyHold(Conflict):
    """An incident holds the station: nothing may be started and no lock raised until it is resolved."""

    code = "station_under_safety_hold"
    title_en = "The station is closed for safety"
    title_zh = "充电站安全停用中"
    detail_en = "An incident is being handled here. Stay away; choose another station."
    detail_zh = "该站正在处置安全事件，请勿靠近，请选择其他充电站。"


async def get_station(*, station_id: UUID) -> StationView:
    """Return the station; raises NotFound."""
    station = await store.find_station(station_id)
    if station is None:
        raise NotFound(kind="station")
    return station


async def get_station_by_code(*, code: str) -> StationView:
    """Return the station with this code; raises NotFound."""
    station = await store.find_station_by_code(code)
    if station is None:
        raise NotFound(kind="station")
    return station


async def list_stations(*, operator_company_id: UUID | None = None) -> list[StationView]:
    """Return all stations, or those of one operator company, by code."""
    return await store.list_stations(None if operator_company_id is None else [operator_company_id])


async def pilot_stations_within(*, lat: float, lng: float, radius_m: int = 500) -> list[tuple[StationView, int]]:
    """Return the pilot stations within `radius_m` of a GCJ-02 point with their distance in metres, nearest first."""
    north = math.degrees((radius_m + 1) / EARTH_RADIUS_M)
    east = north / max(0.01, math.cos(math.radians(lat)))
    here = Point(lat, lng)
    found = [
        (station, distance_m(here, Point(station.lat, station.lng)))
        for station in await store.list_pilot_stations_in(lat - north, lat + north, lng - east, lng + east)
    ]
    return sorted(((s, m) for s, m in found if m <= radius_m), key=lambda pair: (pair[1], pair[0].code))


async def get_connector(*, connector_id: UUID) -> ConnectorView:
    """Return the connector; raises NotFound."""
    connector = await store.find_connector(connector_id)
    if connector is None:
        raise NotFound(kind="connector")
    return connector


async def find_connector(*, station_code: str, charger_code: str, number: int) -> ConnectorView | None:
    """Return the connector a device means by its topic and number, or None."""
    return await store.find_connector_by_number(station_code, charger_code, number)


async def find_connector_by_qr(*, qr: str) -> ConnectorView | None:
    """Return the connector with this QR code, or None."""
    return await store.find_connector_by_qr(qr)


async def list_connectors(*, station_id: UUID) -> list[ConnectorView]:
    """Return the station's connectors by charger code and number."""
    return await store.list_connectors([station_id])


async def next_change_by_clock(*, station_id: UUID, after: datetime) -> datetime | None:
    """Return when a painted zone, or what a gun reaches, changes next without anybody doing anything then; or None.

    Every other change of a station's topology or settings counts up what the SQL function `station_mark` answers.
    """
    return await store.find_next_edge(station_id, after)


async def list_all_connectors() -> list[ConnectorView]:
    """Return every connector of every station (for what loads once)."""
    return await store.list_connectors(None)


async def list_stations_of(*, station_ids: Collection[UUID]) -> list[StationView]:
    """Return those of the stations that exist, by code."""
    return await store.list_stations_of(list(station_ids))


async def list_connectors_of(*, station_ids: Collection[UUID]) -> list[ConnectorView]:
    """Return the connectors of these stations by charger code and number."""
    return await store.list_connectors(list(station_ids))


async def get_bay(*, bay_id: UUID) -> BayView:
    """Return the bay; raises NotFound."""
    bay = await store.find_bay(bay_id)
    if bay is None:
        raise NotFound(kind="bay")
    return bay


async def find_bay(*, station_id: UUID, code: str) -> BayView | None:
    """Return the station's bay with this code, or None."""
    return await store.find_bay_by_code(station_id, code)


async def list_bays(*, station_id: UUID) -> list[BayView]:
    """Return the station's bays by code."""
    return await store.list_bays(station_id)


async def get_device(*, device_id: UUID) -> DeviceView:
    """Return the device, also a retired one; raises NotFound."""
    device = await store.find_device(device_id)
    if device is None:
        raise NotFound(kind="device")
    return device


async def find_device(*, code: str) -> DeviceView | None:
    """Return the device with this code, also a retired one, or None."""
    return await store.find_device_by_code(code)


async def list_devices(*, station_id: UUID | None = None, kind: str | None = None) -> list[DeviceView]:
    """Return the active devices, of one station or kind where given, by code."""
    return await store.list_devices(station_id, kind)


async def list_camera_bays(*, device_id: UUID) -> list[UUID]:
    """Return the bays a bay camera watches."""
    return await store.list_device_bays(device_id)


async def set_safety_hold(*, station_id: UUID, incident_id: UUID, now: datetime) -> bool:
    """Hold the station for an incident; False when this incident held it before (a lifted hold is not set again).

    Call it in the incident's transaction: the exclusive lock on the station's row waits for raises and session starts
    under way, and later ones see the hold (domain.md "Booking").
    """
    async with db.joined():
        return await store.add_safety_hold(station_id, incident_id, now)


async def lift_safety_hold(*, station_id: UUID, incident_id: UUID, actor_id: UUID | None, now: datetime) -> bool:
    """Lift the incident's hold; others may remain. False when there was none in force."""
    return await store.lift_safety_hold(station_id, incident_id, actor_id, now)


async def has_safety_hold(*, station_id: UUID, lock: bool = False) -> bool:
    """Say whether any incident holds the station.

    With `lock` (inside a transaction) the answer stays true to the transaction's end: no hold can be set meanwhile.
    """
    if lock:
        await store.lock_station(station_id)
    return await store.has_safety_hold(station_id)


async def find_home(*, account_id: UUID) -> HomeView | None:
    """Return the compound the account lives in, or None."""
    return await store.find_home(account_id)


async def set_home(*, account_id: UUID, community_id: UUID, now: datetime) -> HomeView:
    """Make a compound the account's home; raises NotFound."""
    if await store.find_community(community_id) is None:
        raise NotFound(kind="community")
    await store.put_home(account_id, community_id, now)
    home = await store.find_home(account_id)
    if home is None:
        raise NotFound(kind="community")
    return home


async def get_community(*, community_id: UUID) -> CommunityView:
    """Return the compound; raises NotFound."""
    community = await store.find_community(community_id)
    if community is None:
        raise NotFound(kind="community")
    return community


async def list_communities(
    *, text: str | None = None, near: Point | None = None
) -> list[tuple[CommunityView, int | None]]:
    """Return compounds whose name or district contains `text`, with the distance in metres from `near`, nearest
    first.
    """
    found = await store.list_communities(text or None)
    if near is None:
        return [(community, None) for community in found]
    measured = [(community, distance_m(near, Point(community.lat, community.lng))) for community in found]
    return [(c, m) for c, m in sorted(measured, key=lambda pair: (pair[1], pair[0].name))]


async def list_neighbours(*, station_id: UUID, after: UUID | None, limit: int) -> list[UUID]:
    """Return the accounts whose compound lies within `neighbours_within_m` of the station, by id, beyond `after`.

    The plan's own "nearby" is 500 m (点位周边500米范围内小区); a station may say another distance, 0 for none.
    """
    station = await get_station(station_id=station_id)
    within = station.settings.neighbours_within_m
    near = await list_communities(near=Point(station.lat, station.lng))
    there = [community.id for community, metres in near if metres is not None and metres <= within]
    return await store.list_residents_of(there, after, limit) if there and within else []


async def broker_access() -> BrokerAccess:
    """Return Mosquitto's password file and access list for every active device; `linli up` writes them beside its
    own users.
    """
    rows = await store.list_broker_devices()
    return BrokerAccess(
        passwords=broker.password_file((row["code"], row["password_hash"]) for row in rows),
        acl=broker.access_file((row["station_code"], row["kind"], row["code"]) for row in rows),
    )


async def export_personal_data(*, account_id: UUID) -> dict[str, object]:
    """Return what is kept here about the account: its home."""
    home = await store.find_home(account_id)
    return {"home": None if home is None else {"community_id": str(home.community_id), "name": home.name}}


async def erase_personal_data(*, account_id: UUID, now: datetime) -> None:
    """Forget the account's home."""
    await store.delete_home(account_id)
