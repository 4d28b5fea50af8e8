"""What clients send and read of communities, homes and, for operators, stations and devices."""

from datetime import date
from typing import Annotated, Literal
from uuid import UUID

import msgspec
from msgspec import Meta

from backend.stations.rules.records import ChargerRecord, StationFields, StationRecord
from backend.stations.rules.settings import StationSettings
from backend.stations.rules.topology import CODE_PATTERN, BayView, CommunityView, ConnectorView

Code = Annotated[
    str, Meta(description="Immutable code, 1 to 64 of A-Z a-z 0-9 _ -", pattern=CODE_PATTERN, examples=["BJ-01"])
]
Latitude = Annotated[float, Meta(description="Latitude, GCJ-02 degrees", ge=3, le=54)]
Longitude = Annotated[float, Meta(description="Longitude, GCJ-02 degrees", ge=73, le=136)]
SupplyClass = Literal["residential", "below_1kv", "1_10kv_single", "1_10kv_two_part", "resold"]


class CommunityAnswer(msgspec.Struct, kw_only=True):
    """A housing compound."""

    id: UUID
    name: Annotated[str, Meta(description="Name of the compound", examples=["东直门内北小街"])]
    district: Annotated[str, Meta(description="District of Beijing", examples=["东城区"])]
    lat: Annotated[float, Meta(description="Latitude of its centre, GCJ-02")]
    lng: Annotated[float, Meta(description="Longitude of its centre, GCJ-02")]
    distance_m: Annotated[int | None, Meta(description="Metres from the point asked; null without a point")]

    @staticmethod
    def of(view: CommunityView, away: int | None) -> "CommunityAnswer":
        """Return what clients see of a compound."""
        return CommunityAnswer(
            id=view.id, name=view.name, district=view.district, lat=view.lat, lng=view.lng, distance_m=away
        )


class HomeBody(msgspec.Struct, kw_only=True):
    """Where a resident lives."""

    community_id: Annotated[UUID, Meta(description="Id of a compound of GET /v1/communities")]


class HomeAnswer(msgspec.Struct, kw_only=True):
    """The compound a resident lives in."""

    community_id: UUID
    name: str
    lat: Annotated[float, Meta(description="GCJ-02")]
    lng: Annotated[float, Meta(description="GCJ-02")]
    stations_within_500_m: Annotated[int, Meta(description="Pilot stations within 500 m of the compound's centre")]


class StationBody(msgspec.Struct, kw_only=True):
    """What an operator writes of a station."""

    name: Annotated[str, Meta(description="Name residents see", min_length=1, max_length=120)]
    lat: Latitude
    lng: Longitude
    pilot: Annotated[bool, Meta(description="Part of the pilot 统建统服")] = False
    address: Annotated[str, Meta(max_length=240)] = ""
    property_owner: Annotated[str, Meta(description="产权单位", max_length=120)] = ""
    commissioned_on: Annotated[date | None, Meta(description="Day it went into service")] = None
    construction: Annotated[Literal["new", "extended"] | None, Meta(description="新建 or 改扩建")] = None
    supply_class: Annotated[SupplyClass, Meta(description="Class of the electricity supply")] = "below_1kv"
    transformer_limit_w: (
        Annotated[int, Meta(description="Limit of the transformer, watt", gt=0, le=2**31 - 1)] | None
    ) = None
    parking: Annotated[str, Meta(description="What parking costs, in words", max_length=240)] = ""
    opening_hours: Annotated[str, Meta(max_length=120)] = "00:00-24:00"
    has_devices: Annotated[bool, Meta(description="Whether its chargers report to us")] = True

    def fields(self) -> StationFields:
        """Return the fields for the service."""
        return StationFields(**{name: getattr(self, name) for name in StationFields.__struct_fields__})


class NewStationBody(StationBody, kw_only=True):
    """A new station."""

    code: Code
    operator_company_id: Annotated[UUID | None, Meta(description="Needed only by staff of several companies")] = None


class ChargerBody(msgspec.Struct, kw_only=True):
    """A charger with its guns."""

    kind: Annotated[Literal["ac", "dc"], Meta(description="AC is slow and gives no battery data")]
    max_power_w: Annotated[int, Meta(description="Watt, all guns together", gt=0, le=10_000_000)]
    guns: Annotated[int, Meta(description="Number of guns; never fewer than before", ge=1, le=16)] = 1
    gun_power_w: (
        Annotated[int, Meta(description="Watt of one gun; the charger's if left out", gt=0, le=10_000_000)] | None
    ) = None
    model: Annotated[str, Meta(max_length=80)] = ""
    maker: Annotated[str, Meta(max_length=80)] = ""
    area: Annotated[str, Meta(description="Part of the station, as smoke detectors name it", max_length=64)] | None = (
        None
    )
    commissioned_on: date | None = None


class BayBody(msgspec.Struct, kw_only=True):
    """A parking bay."""

    zone: Annotated[
        Literal["resident", "public"], Meta(description="Painted zone; a change holds from now on and stays on record")
    ]
    connector_ids: Annotated[list[UUID], Meta(description="Guns that reach the bay")] = []
    area: Annotated[str, Meta(max_length=64)] | None = None


class ServiceBody(msgspec.Struct, kw_only=True):
    """Whether a connector may be used."""

    in_service: bool


class StationDetail(msgspec.Struct, kw_only=True):
    """A station with everything that stands in it."""

    station: StationRecord
    chargers: list[ChargerRecord]
    connectors: list[ConnectorView]
    bays: list[BayView]


class SettingsAnswer(msgspec.Struct, kw_only=True):
    """A station's numbers."""

    station_id: UUID
    code: str
    settings: Annotated[StationSettings, Meta(description="Times in seconds (_s), money in fen (_fen)")]


class RefusedRowAnswer(msgspec.Struct, kw_only=True):
    """A row that was not imported."""

    line: Annotated[int, Meta(description="Row of the file; the header is row 1")]
    field: Annotated[str, Meta(description="Column; empty when the row as a whole is wrong")]
    value: str
    right: Annotated[str, Meta(description="What would be right")]


class ImportAnswer(msgspec.Struct, kw_only=True):
    """What became of the rows."""

    rows: int
    added: int
    updated: int
    unchanged: int
    refused: list[RefusedRowAnswer]
