"""Tariff versions as data: what is right about one, and when it may be published."""

from collections.abc import Sequence
from datetime import datetime
from typing import Literal
from uuid import UUID

import msgspec

from backend.tariffs.rules.bands import (
    ALL_MONTHS,
    Band,
    BandName,
    ParkingTerms,
    PriceSnapshot,
    UserClass,
)


class Span(msgspec.Struct, frozen=True, kw_only=True):
    """Minutes of the day `[from_min, to_min)` (Asia/Shanghai) that lie in `band` in these months."""

    band: BandName
    from_min: int
    to_min: int
    months: tuple[int, ...] = ALL_MONTHS


class Price(msgspec.Struct, frozen=True, kw_only=True):
    """What one user class pays in one band, 1/10000 yuan per kWh."""

    user_class: UserClass
    band: BandName
    energy_e4: int
    service_e4: int


class TariffVersionView(msgspec.Struct, frozen=True, kw_only=True):
    """One version with its schedule and prices."""

    id: UUID
    operator_company_id: UUID
    station_id: UUID | None
    station_group_id: UUID | None = None
    supply_class: str
    name: str
    status: Literal["draft", "approved", "published", "retired"]
    effective_from: datetime
    effective_to: datetime | None
    spans: tuple[Span, ...]
    prices: tuple[Price, ...]
    parking: ParkingTerms
    created_by: UUID
    created_at: datetime
    approved_by: UUID | None
    approved_at: datetime | None
    published_by: UUID | None
    published_at: datetime | None
    retired_by: UUID | None = None
    retired_at: datetime | None = None

    @property
    def scope_id(self) -> UUID:
        """What it is for: the station, the group, or all stations of the company."""
        return self.station_id or self.station_group_id or self.operator_company_id


def snapshot_of(version: TariffVersionView, user_class: UserClass) -> PriceSnapshot:
    """Return what `user_class` pays under `version`, complete in itself."""
    prices = {price.band: price for price in version.prices if price.user_class == user_class}
    bands = tuple(
        Band(
            name=span.band,
            from_min=span.from_min,
            to_min=span.to_min,
            months=span.months,
            energy_e4=prices[span.band].energy_e4,
            service_e4=prices[span.band].service_e4,
        )
        for span in sorted(version.spans, key=lambda s: (s.from_min, s.months))
    )
    return PriceSnapshot(
        version_id=version.id,
        user_class=user_class,
        supply_class=version.supply_class,
        bands=bands,
        parking=version.parking,
    )


class Publication(msgspec.Struct, frozen=True, kw_only=True):
    """What publishing does: nothing stands against it, and the open end of `closes` becomes the new start."""

    closes: UUID | None


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """Why a version cannot be published, and the instant that stands against it."""

    reason: Literal["past", "overlap", "gap"]
    at: datetime


def decide_publication(
    *,
    effective_from: datetime,
    effective_to: datetime | None,
    published: Sequence[tuple[UUID, datetime, datetime | None]],
    now: datetime,
) -> Publication | Refusal:
    """Decide whether a version may be published beside the scope's published ones (id, from, to).

    Versions neither overlap nor leave gaps (domain.md "Money"), so a new one starts where the last one ends; an
    open end is closed at the new start. Sessions under way were priced by what was in force, so a start in the past
    is refused, except for the first version of a scope. Where the last one is over nothing was sold since, so that the
    next may begin at any time from its end on.
    """
    ended = [ends for _, _, ends in published if ends is not None]
    if published and len(ended) == len(published) and max(ended) <= now:
        return Publication(closes=None) if effective_from >= max(ended) else Refusal(reason="past", at=max(ended))
    if published and effective_from < now:
        return Refusal(reason="past", at=now)
    closes: UUID | None = None
    before: datetime | None = None
    for version_id, starts, ends in sorted(published, key=lambda v: v[1]):
        if starts >= effective_from:
            if effective_to is None or effective_to > starts:
                return Refusal(reason="overlap", at=starts)
            if effective_to < starts:
                return Refusal(reason="gap", at=effective_to)
            break
        if ends is None:
            closes, before = version_id, effective_from
        elif ends > effective_from:
            return Refusal(reason="overlap", at=ends)
        else:
            before = ends
    if before is not None and before < effective_from:
        return Refusal(reason="gap", at=before)
    return Publication(closes=closes)
