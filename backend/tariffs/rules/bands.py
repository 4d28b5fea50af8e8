"""Time-of-use bands on the Asia/Shanghai wall clock: which band holds at an instant, and where bands change.

Source: domain.md "Money" (尖峰平谷). A schedule is a list of bands, each with the months it holds in and a span of
minutes of the day, `[from_min, to_min)`; for every month the spans tile the day exactly.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, time, timedelta
from typing import Literal
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec

BEIJING = ZoneInfo("Asia/Shanghai")
DAY_MIN = 1440
ALL_MONTHS = tuple(range(1, 13))
AGREEMENT_SERVICE_CAP_E4 = 5000
"""0.5 yuan/kWh: the most an agreement's service price may be (P 8)."""

BandName = Literal["sharp", "peak", "flat", "valley"]
UserClass = Literal["agreement", "market"]


class Band(msgspec.Struct, frozen=True, kw_only=True):
    """A span of the day with its prices, 1/10000 yuan per kWh."""

    name: BandName
    from_min: int
    to_min: int
    energy_e4: int
    service_e4: int
    months: tuple[int, ...] = ALL_MONTHS


class ParkingTerms(msgspec.Struct, frozen=True, kw_only=True):
    """What parking costs: free minutes, then fen an hour begun, at most so much a day; in words for the display."""

    free_min: int = 0
    fen_per_hour: int = 0
    day_cap_fen: int = 0
    text_zh: str = ""
    text_en: str = ""


class PriceSnapshot(msgspec.Struct, frozen=True, kw_only=True):
    """The prices one user class pays under one tariff version; stored on the order, so complete in itself."""

    version_id: UUID
    user_class: UserClass
    supply_class: str
    bands: tuple[Band, ...]
    parking: ParkingTerms


class Segment(msgspec.Struct, frozen=True, kw_only=True):
    """A stretch of time, `[starts_at, ends_at)` in UTC, within one band."""

    starts_at: datetime
    ends_at: datetime
    band: Band


class SpanProblem(msgspec.Struct, frozen=True, kw_only=True):
    """Where a schedule does not tile: the month and minute, and what is wrong there."""

    month: int
    minute: int
    problem: Literal["gap", "overlap", "outside", "empty"]


def band_at(snapshot: PriceSnapshot, at: datetime) -> Band:
    """Return the band that holds at `at`; a ValueError tells of a schedule that does not tile (refused before
    storing).
    """
    local = at.astimezone(BEIJING)
    minute = local.hour * 60 + local.minute
    for band in snapshot.bands:
        if band.from_min <= minute < band.to_min and local.month in band.months:
            return band
    raise ValueError(f"no band at minute {minute} of month {local.month} in tariff version {snapshot.version_id}")


def _same(a: Band, b: Band) -> bool:
    return (a.name, a.energy_e4, a.service_e4) == (b.name, b.energy_e4, b.service_e4)


def split_by_band(snapshot: PriceSnapshot, starts_at: datetime, ends_at: datetime) -> list[Segment]:
    """Cut `[starts_at, ends_at)` where the band's name or price changes; neighbours that are the same stay together.

    Midnight and the month's end are no edges by themselves: valley before and after midnight is one stretch.
    """
    segments: list[Segment] = []
    cursor = starts_at.astimezone(UTC)
    end = ends_at.astimezone(UTC)
    while cursor < end:
        band = band_at(snapshot, cursor)
        midnight = datetime.combine(cursor.astimezone(BEIJING).date(), time(), BEIJING)
        upto = min(end, (midnight + timedelta(minutes=band.to_min)).astimezone(UTC))
        if segments and _same(segments[-1].band, band):
            segments[-1] = Segment(starts_at=segments[-1].starts_at, ends_at=upto, band=segments[-1].band)
        else:
            segments.append(Segment(starts_at=cursor, ends_at=upto, band=band))
        cursor = upto
    return segments


def band_edges(snapshot: PriceSnapshot, start: datetime, end: datetime) -> list[datetime]:
    """Return the instants (UTC) strictly between `start` and `end` at which the band's name or price changes."""
    return [segment.starts_at for segment in split_by_band(snapshot, start, end)[1:]]


def next_edge(snapshot: PriceSnapshot, at: datetime) -> datetime | None:
    """Return the next instant the band changes, looking two months ahead; None where one price holds always."""
    edges = band_edges(snapshot, at, at + timedelta(days=2)) or band_edges(snapshot, at, at + timedelta(days=62))
    return edges[0] if edges else None


def span_problems(spans: Sequence[tuple[int, int, tuple[int, ...]]]) -> list[SpanProblem]:
    """Return where spans of (from_min, to_min, months) fail to tile the day of some month; empty when they do."""
    problems: list[SpanProblem] = []
    for start, end, months in spans:
        if not (start >= 0 and end <= DAY_MIN) or any(month not in ALL_MONTHS for month in months):
            problems.append(SpanProblem(month=months[0] if months else 0, minute=start, problem="outside"))
        elif start >= end or not months or len(set(months)) != len(months):
            problems.append(SpanProblem(month=months[0] if months else 0, minute=start, problem="empty"))
    if problems:
        return problems
    for month in ALL_MONTHS:
        cursor = 0
        for start, end in sorted((s, e) for s, e, months in spans if month in months):
            if start != cursor:
                problems.append(
                    SpanProblem(month=month, minute=min(start, cursor), problem="gap" if start > cursor else "overlap")
                )
            cursor = max(cursor, end)
        if cursor != DAY_MIN:
            problems.append(SpanProblem(month=month, minute=cursor, problem="gap"))
    return problems
