"""What clients see of the search and of one station's live picture."""

from datetime import date, datetime
from typing import Annotated, Literal
from uuid import UUID

import msgspec
from msgspec import Meta

from backend.discovery.rules.picture import GunPicture, ZoneCounts, is_claimed, is_free, next_claim_at
from backend.discovery.service.nearby import PriceNow
from backend.tariffs.rules.bands import ParkingTerms

Metres = Annotated[int, Meta(description="Metres along the great circle, rounded")]
PriceE4 = Annotated[int, Meta(description="1/10000 yuan per kWh")]


class NearbyItem(msgspec.Struct, kw_only=True):
    """A station found."""

    id: Annotated[UUID, Meta(description="Id of the station")]
    code: Annotated[str, Meta(description="Immutable code, as in topics and on signs")]
    name: Annotated[str, Meta(description="Name of the station")]
    pilot: Annotated[bool, Meta(description="Part of the pilot 统建统服")]
    lat: Annotated[float, Meta(description="Latitude, GCJ-02 degrees")]
    lng: Annotated[float, Meta(description="Longitude, GCJ-02 degrees")]
    address: Annotated[str, Meta(description="Address; empty where not known")]
    opening_hours: Annotated[str, Meta(description="When it is open; empty where not known")]
    safety_hold: Annotated[bool, Meta(description="Closed while an incident is handled: stay away")]
    connectors: Annotated[
        ZoneCounts,
        Meta(description="Connectors in service by painted zone; of the asked power only, where one was asked for"),
    ]
    price: Annotated[PriceNow | None, Meta(description="The price now; null where none is published")]
    wait_s: Annotated[
        int | None, Meta(description="Predicted wait in seconds from arrival on site; null where nothing is known")
    ]
    distance_m: Metres
    user_class: Annotated[
        Literal["agreement", "market"],
        Meta(description="Which service price this caller pays: agreement_service_e4 or service_e4"),
    ]


class NearbyOut(msgspec.Struct, kw_only=True):
    """Stations within the radius, nearest first."""

    items: list[NearbyItem]
    next: Annotated[str | None, Meta(description="Cursor of the following page, null on the last")]
    nearest_beyond: Annotated[
        NearbyItem | None,
        Meta(description="The next station when nothing lies within the radius; the radius is never widened silently"),
    ]
    measured_from: Annotated[
        Literal["point", "community_centre"], Meta(description="Where distances are measured from")
    ]
    coord: Annotated[Literal["gcj02"], Meta(description="Datum of every point in the answer")]


class ZoneChangeOut(msgspec.Struct, kw_only=True):
    """A bay that goes to the other painted zone on a date."""

    bay: Annotated[str, Meta(description="Code of the bay")]
    zone_from: Literal["resident", "public"]
    zone_to: Literal["resident", "public"]
    effective_at: Annotated[datetime, Meta(tz=True, description="From when on")]


class StationOut(msgspec.Struct, kw_only=True):
    """One station now."""

    id: UUID
    code: str
    name: str
    pilot: bool
    operator: Annotated[str, Meta(description="Name of the company that runs it")]
    operator_company_id: UUID
    hotline: Annotated[str, Meta(description="Telephone number of the company; empty where not known")]
    lat: float
    lng: float
    coord: Literal["gcj02"] = "gcj02"
    address: str
    opening_hours: str
    parking: Annotated[str, Meta(description="What parking costs, in words")]
    supply_class: Annotated[str, Meta(description="Class of the electricity supply, which decides the energy price")]
    has_devices: Annotated[bool, Meta(description="Whether it reports its state; else all connectors are unknown")]
    safety_hold: bool
    connectors: ZoneCounts
    price: PriceNow | None
    wait_s: int | None
    user_class: Literal["agreement", "market"]
    zone_changes: Annotated[list[ZoneChangeOut], Meta(description="Painted zones that change, the first first")] = []


class ConnectorOut(msgspec.Struct, kw_only=True):
    """One connector now."""

    id: UUID
    charger_code: Annotated[str, Meta(description="Code of the charger, as on its sign")]
    number: Annotated[int, Meta(description="Number of the gun at its charger, from 1")]
    qr: Annotated[str, Meta(description="Text of the QR code at the gun")]
    kind: Annotated[Literal["ac", "dc"], Meta(description="AC gives no battery data")]
    power: Annotated[Literal["fast", "slow"], Meta(description="DC is fast, AC is slow")]
    max_power_w: Annotated[int, Meta(description="Watt")]
    zone: Literal["resident", "public"]
    bays: Annotated[list[str], Meta(description="Codes of the bays it reaches")]
    status: Annotated[
        str,
        Meta(
            description="available, preparing, charging, suspended, finishing, faulted, unavailable; unknown when the"
            " charger is silent or has none of our devices"
        ),
    ]
    status_since: Annotated[datetime | None, Meta(description="Since when; null where it never spoke")]
    free: Annotated[bool, Meta(description="Available by its own word, held by nobody, station not closed")]
    claimed: Annotated[bool, Meta(description="Somebody holds it now (booking, offer, session)")]
    next_claim_at: Annotated[
        datetime | None, Meta(description="When somebody holds it next, within 24 h; null where nobody does")
    ]


class ConnectorsOut(msgspec.Struct, kw_only=True):
    """The connectors of a station in service."""

    items: list[ConnectorOut]
    next: None = None


class LiveOut(msgspec.Struct, kw_only=True):
    """A message of the live path: all connectors in the snapshot, then those that changed."""

    type: Literal["snapshot", "change", "ping"]
    station_id: UUID
    safety_hold: bool
    counts: ZoneCounts
    wait_s: int | None
    connectors: list[ConnectorOut]


class DayBandOut(msgspec.Struct, kw_only=True):
    """A stretch of the day at one price."""

    starts_at: datetime
    ends_at: datetime
    from_min: Annotated[int, Meta(description="Minute of the Beijing day it begins at")]
    to_min: Annotated[int, Meta(description="Minute it ends at; 1440 is midnight")]
    band: Annotated[str, Meta(description="sharp 尖, peak 峰, flat 平, valley 谷")]
    energy_e4: PriceE4
    service_e4: Annotated[int, Meta(description="Service price of this caller, 1/10000 yuan per kWh")]
    total_e4: Annotated[int, Meta(description="Energy and service of this caller, 1/10000 yuan per kWh")]
    market_service_e4: PriceE4
    agreement_service_e4: PriceE4
    parking: ParkingTerms
    tariff_version_id: Annotated[UUID, Meta(description="The version that prices sessions that start then")]


class DayPricesOut(msgspec.Struct, kw_only=True):
    """What a day costs; a session is priced as a whole by the version in force when it starts."""

    station_id: UUID
    date: Annotated[date, Meta(description="Day of Beijing")]
    user_class: Literal["agreement", "market"]
    items: list[DayBandOut]
    next: None = None


def connector_out(gun: GunPicture, *, held: bool, bay_codes: dict[UUID, str], now: datetime) -> ConnectorOut:
    """Return a gun as clients see it."""
    return ConnectorOut(
        id=gun.id,
        charger_code=gun.charger_code,
        number=gun.number,
        qr=gun.qr,
        kind=gun.kind,
        power="fast" if gun.kind == "dc" else "slow",
        max_power_w=gun.max_power_w,
        zone=gun.zone,
        bays=[bay_codes[bay_id] for bay_id in gun.bay_ids if bay_id in bay_codes],
        status=gun.status,
        status_since=gun.status_since,
        free=is_free(gun, held=held, now=now),
        claimed=is_claimed(gun, now),
        next_claim_at=next_claim_at(gun, now),
    )
