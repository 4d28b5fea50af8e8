"""What an operator reads and writes of its own stations."""

from datetime import date, datetime
from typing import Literal
from uuid import UUID

import msgspec

from backend.stations.rules.settings import StationSettings
from backend.stations.rules.topology import PowerKind


class StationRecord(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that is kept of a station itself."""

    id: UUID
    code: str
    name: str
    operator_company_id: UUID
    pilot: bool
    lat: float
    lng: float
    address: str
    property_owner: str
    commissioned_on: date | None
    construction: str | None
    supply_class: str
    transformer_limit_w: int | None
    parking: str
    opening_hours: str
    has_devices: bool
    settings: StationSettings
    created_at: datetime
    updated_at: datetime


class ChargerRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A charger as it was installed."""

    id: UUID
    code: str
    kind: PowerKind
    model: str
    maker: str
    max_power_w: int
    area: str | None
    commissioned_on: date | None
    active: bool


class StationFields(msgspec.Struct, frozen=True, kw_only=True):
    """What an operator writes of a station; GCJ-02."""

    name: str
    lat: float
    lng: float
    pilot: bool = False
    address: str = ""
    property_owner: str = ""
    commissioned_on: date | None = None
    construction: Literal["new", "extended"] | None = None
    supply_class: str = "below_1kv"
    transformer_limit_w: int | None = None
    parking: str = ""
    opening_hours: str = "00:00-24:00"
    has_devices: bool = True
