"""What other features see of stations: frozen views, and the words of the topology."""

import re
from typing import Literal
from uuid import UUID

import msgspec

from backend.stations.rules.settings import StationSettings

Zone = Literal["resident", "public"]
PowerKind = Literal["ac", "dc"]
DeviceKind = Literal["charger", "lock", "camera", "smoke"]
CameraRole = Literal["approach", "bay"]

CODE_PATTERN = r"^[A-Za-z0-9_-]{1,64}$"
"""What MQTT topics and QR codes may name (mqtt.md)."""

SUPPLY_CLASSES = ("residential", "below_1kv", "1_10kv_single", "1_10kv_two_part", "resold")
"""居民合表, below 1 kV, 1-10 kV single or two-part, 转供电 (domain.md "Money")."""


class StationView(msgspec.Struct, frozen=True, kw_only=True):
    """A charging station; `safety_hold` says whether any incident holds it now."""

    id: UUID
    code: str
    name: str
    operator_company_id: UUID
    pilot: bool
    lat: float
    lng: float
    address: str
    has_devices: bool
    settings: StationSettings
    safety_hold: bool
    supply_class: str
    opening_hours: str
    parking: str


class ConnectorView(msgspec.Struct, frozen=True, kw_only=True):
    """One gun. `zone` is resident when every bay it reaches is; without bays it is public."""

    id: UUID
    station_id: UUID
    charger_id: UUID
    charger_code: str
    number: int
    qr: str
    kind: PowerKind
    max_power_w: int
    zone: Zone
    bay_ids: tuple[UUID, ...]
    in_service: bool
    area: str | None


class BayView(msgspec.Struct, frozen=True, kw_only=True):
    """One parking bay with the guns that reach it and its ground lock, if it has one."""

    id: UUID
    station_id: UUID
    code: str
    zone: Zone
    connector_ids: tuple[UUID, ...]
    lock_device_id: UUID | None
    lock_code: str | None
    area: str | None


class DeviceView(msgspec.Struct, frozen=True, kw_only=True):
    """One device of the registry. `bay_id` is a lock's bay, `role` a camera's, `area` a smoke detector's."""

    id: UUID
    code: str
    kind: DeviceKind
    station_id: UUID
    station_code: str
    report_interval_s: int
    charger_id: UUID | None
    bay_id: UUID | None
    role: str | None
    area: str | None
    lane: str | None
    active: bool


class HomeView(msgspec.Struct, frozen=True, kw_only=True):
    """The compound a resident lives in, GCJ-02."""

    community_id: UUID
    name: str
    lat: float
    lng: float


class CommunityView(msgspec.Struct, frozen=True, kw_only=True):
    """A housing compound, GCJ-02."""

    id: UUID
    name: str
    district: str
    lat: float
    lng: float


class BrokerAccess(msgspec.Struct, frozen=True, kw_only=True):
    """The texts of Mosquitto's password file and access list for the devices."""

    passwords: str
    acl: str


def is_code(text: str) -> bool:
    """Say whether `text` may stand in a topic and in a QR code."""
    return re.fullmatch(CODE_PATTERN, text) is not None
