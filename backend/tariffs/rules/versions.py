"""Tariff versions as data: what is right about one, and when it may be published."""

from collections.abc import Sequence
from datetime import datetime
from typing import Literal
from uuid import UUID

import msgspec

from backend.tariffs.rules.bands import (
    AGREEMENT_SERVICE_CAP_E4,
    ALL_MONTHS,
    Band,
    BandName,
    ParkingTerms,
    PriceSnapshot,
    UserClass,
    span_problems,
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
    supply_class: str
    name: str
    status: Literal["draft", "approved", "published"]
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


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """What is wrong with a field and what would be right, in English."""

    field: str
    problem: str


def find_faults(spans: Sequence[Span], prices: Sequence[Price], parking: ParkingTerms) -> list[Fault]:
    """Return what keeps a version from being stored: spans that do not tile, prices missing, doubled or above the
    cap.
    """
    faults = [
        Fault(field="spans", problem=f"{p.problem} at minute {p.minute} of month {p.month}")
        for p in span_problems([(s.from_min, s.to_min, s.months) for s in spans])
    ]
    wanted = {(user_class, span.band) for span in spans for user_class in ("agreement", "market")}
    given = [(price.user_class, price.band) for price in prices]
    faults.extend(
        Fault(field="prices", problem=f"the {user_class} price of band {band} is missing")
        for user_class, band in sorted(wanted - set(given))
    )
    faults.extend(
        Fault(field="prices", problem=f"the {user_class} price of band {band} is given twice")
        for user_class, band in sorted({pair for pair in given if given.count(pair) > 1})
    )
    for price in prices:
        if price.user_class == "agreement" and price.service_e4 > AGREEMENT_SERVICE_CAP_E4:
            faults.append(
                Fault(
                    field="prices",
                    problem=f"the agreement service price of band {price.band} is {price.service_e4},"
                    f" at most {AGREEMENT_SERVICE_CAP_E4} (0.5 yuan/kWh) is allowed",
                )
            )
        if price.energy_e4 < 0 or price.service_e4 < 0:
            faults.append(Fault(field="prices", problem=f"a price of band {price.band} is below zero"))
    if parking.free_min < 0 or parking.fen_per_hour < 0 or parking.day_cap_fen < 0:
        faults.append(Fault(field="parking", problem="no number may be below zero"))
    return faults


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
    is refused, except for the first version of a scope.
    """
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
