"""What operators send and read of tariff versions."""

from datetime import datetime
from typing import Annotated, Literal, TypeAlias
from uuid import UUID

import msgspec
from msgspec import Meta

from backend.tariffs.rules.bands import ALL_MONTHS, BandName, ParkingTerms, UserClass
from backend.tariffs.rules.versions import Price, Span

Minute = Annotated[int, Meta(description="Minute of the Beijing day, 0 to 1440", ge=0, le=1440)]
PriceE4 = Annotated[int, Meta(description="1/10000 yuan per kWh", ge=0, le=1_000_000)]
SupplyClass: TypeAlias = Literal["residential", "below_1kv", "1_10kv_single", "1_10kv_two_part", "resold"]


class SpanBody(msgspec.Struct, frozen=True, kw_only=True):
    """Minutes `[from_min, to_min)` of the days of some months that lie in a band."""

    band: BandName
    from_min: Minute
    to_min: Minute
    months: Annotated[list[int], Meta(description="Months 1 to 12; all of them if left out")] = []


class PriceBody(msgspec.Struct, frozen=True, kw_only=True):
    """What one user class pays in one band."""

    user_class: UserClass
    band: BandName
    energy_e4: PriceE4
    service_e4: Annotated[
        int, Meta(description="1/10000 yuan per kWh; at most 5000 for agreements", ge=0, le=1_000_000)
    ]


class ParkingBody(msgspec.Struct, frozen=True, kw_only=True):
    """What parking costs."""

    free_min: Annotated[int, Meta(description="Free minutes", ge=0, le=100_000)] = 0
    fen_per_hour: Annotated[int, Meta(description="Fen an hour begun", ge=0, le=100_000)] = 0
    day_cap_fen: Annotated[int, Meta(description="Fen a day at most; 0: no cap", ge=0, le=1_000_000)] = 0
    text_zh: Annotated[str, Meta(max_length=240)] = ""
    text_en: Annotated[str, Meta(max_length=240)] = ""


class TariffBody(msgspec.Struct, kw_only=True):
    """A tariff version to draft."""

    station_id: Annotated[
        UUID | None, Meta(description="For this station only; all stations of the supply class if left out")
    ] = None
    station_group_id: Annotated[UUID | None, Meta(description="For the stations of this group only")] = None
    operator_company_id: Annotated[UUID | None, Meta(description="Needed only by staff of several companies")] = None
    supply_class: Annotated[SupplyClass, Meta(description="Class of the electricity supply it is for")]
    name: Annotated[str, Meta(max_length=120)] = ""
    effective_from: Annotated[datetime, Meta(description="From when it holds", tz=True)]
    effective_to: Annotated[datetime, Meta(description="Until when", tz=True)] | None = None
    spans: Annotated[
        list[SpanBody], Meta(description="Band schedule: tiles every day of every month", min_length=1, max_length=400)
    ]
    prices: Annotated[list[PriceBody], Meta(description="Both user classes for every band", min_length=1, max_length=8)]
    parking: ParkingBody = ParkingBody()

    def span_rules(self) -> list[Span]:
        """Return the schedule for the service."""
        return [
            Span(band=s.band, from_min=s.from_min, to_min=s.to_min, months=tuple(s.months) or ALL_MONTHS)
            for s in self.spans
        ]

    def price_rules(self) -> list[Price]:
        """Return the prices for the service."""
        return [
            Price(user_class=p.user_class, band=p.band, energy_e4=p.energy_e4, service_e4=p.service_e4)
            for p in self.prices
        ]

    def parking_terms(self) -> ParkingTerms:
        """Return the parking terms for the service."""
        return ParkingTerms(**msgspec.structs.asdict(self.parking))


class CopyBody(msgspec.Struct, kw_only=True):
    """When the copy is to hold; schedule, prices and parking are those of the version that is copied."""

    effective_from: Annotated[datetime, Meta(description="The next Beijing month if left out", tz=True)] | None = None
    effective_to: Annotated[datetime, Meta(description="Until when", tz=True)] | None = None
    name: Annotated[str, Meta(description="As the version that is copied if left out", max_length=120)] | None = None


class ChangeOut(msgspec.Struct, frozen=True, kw_only=True):
    """One difference between two versions."""

    field: Annotated[str, Meta(description="Which field", examples=["prices.agreement.peak.service_e4"])]
    before: Annotated[str | None, Meta(description="What it was; null where it was not there")]
    after: Annotated[str | None, Meta(description="What it is; null where it is gone")]
    text: Annotated[str, Meta(description="The difference in words, in the caller's language")]


class DiffOut(msgspec.Struct, frozen=True, kw_only=True):
    """What differs between a version and the one it is compared with."""

    tariff_id: Annotated[UUID, Meta(description="The version")]
    against_id: Annotated[UUID | None, Meta(description="Compared with; null where there is none before it")]
    items: Annotated[list[ChangeOut], Meta(description="In a fixed order; empty where nothing differs")]


class StationGroupBody(msgspec.Struct, kw_only=True):
    """A group of stations that share their prices."""

    name: Annotated[str, Meta(description="Unique in the company", min_length=1, max_length=120)]
    station_ids: Annotated[list[UUID], Meta(description="Its stations; a station is in one group", max_length=2000)]
    operator_company_id: Annotated[UUID | None, Meta(description="Needed only by staff of several companies")] = None


class GridBandBody(msgspec.Struct, frozen=True, kw_only=True):
    """The published energy price of a band."""

    band: BandName
    energy_e4: PriceE4


class GridPriceBody(msgspec.Struct, kw_only=True):
    """What the grid company published for a month (电网代购电价)."""

    prices: Annotated[list[GridBandBody], Meta(description="Each band once", min_length=1, max_length=4)]
    source: Annotated[str, Meta(description="Where it was published", max_length=240)] = ""
    operator_company_id: Annotated[UUID | None, Meta(description="Needed only by staff of several companies")] = None
