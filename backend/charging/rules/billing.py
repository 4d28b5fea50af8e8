"""Price the energy of a session from cumulative meter readings: one line per band, rounded once, never above the cap.

Pure arithmetic on integers. A reading that cannot be trusted (rollback, reset, a gap over a price change) is named as a
doubt and the bill goes to a person: nothing is guessed (domain.md, "Money").
"""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import pairwise

import msgspec

PRICE_SCALE = 100_000
"""Wh x e4 (1/10000 yuan per kWh) makes 1/100,000 of a fen."""

CAP_E4 = 5_000
"""Highest service price under an agreement, 0.5 yuan/kWh (P goals)."""

MICROSECOND = timedelta(microseconds=1)


class MeterPoint(msgspec.Struct, frozen=True, order=True, gc=False):
    """A cumulative meter value at a corrected device time."""

    at: datetime
    meter_wh: int


@dataclass(frozen=True, slots=True)
class PricePeriod:
    """A half-open stretch of one band and its two prices."""

    from_at: datetime
    to_at: datetime
    band: str
    energy_e4: int
    service_e4: int


@dataclass(frozen=True, slots=True)
class BillLine:
    """One printed line: the energy of a band at its prices, each fee rounded half up to the fen."""

    band: str
    energy_wh: int
    energy_e4: int
    service_e4: int
    energy_fee_fen: int
    service_fee_fen: int
    included_wh: int = 0
    """Of the energy, what a package frees of service fee."""


@dataclass(frozen=True, slots=True)
class Bill:
    """The lines of a session; every total is the sum of its lines."""

    lines: tuple[BillLine, ...]

    @property
    def energy_wh(self) -> int:
        return sum(line.energy_wh for line in self.lines)

    @property
    def energy_fee_fen(self) -> int:
        return sum(line.energy_fee_fen for line in self.lines)

    @property
    def service_fee_fen(self) -> int:
        return sum(line.service_fee_fen for line in self.lines)

    @property
    def total_fen(self) -> int:
        return self.energy_fee_fen + self.service_fee_fen


@dataclass(frozen=True, slots=True)
class Doubt:
    """Why a bill needs a person: `rollback`, `reset`, `gap`, and the readings around it."""

    reason: str
    before: MeterPoint
    after: MeterPoint


def fee_fen(*, energy_wh: int, price_e4: int) -> int:
    """Round energy times price half up to the fen."""
    return (energy_wh * price_e4 + PRICE_SCALE // 2) // PRICE_SCALE


def cap_fen(*, energy_wh: int) -> int:
    """The highest service fee of an agreement order, rounded down, so that the cap holds exactly."""
    return energy_wh * CAP_E4 // PRICE_SCALE


def order_points(points: Iterable[MeterPoint]) -> list[MeterPoint]:
    """Sort by time; of several values of one instant keep the highest, which is the newest of a cumulative meter."""
    ordered = sorted(points)
    return [point for point, later in pairwise(ordered) if point.at != later.at] + ordered[-1:]


def meter_at(points: Sequence[MeterPoint], at: datetime) -> int:
    """The meter at an instant: read where there is a reading, else interpolated and rounded half up to the Wh.

    Outside the readings the nearest one holds: no energy is invented before the first or after the last.
    """
    index = bisect_left(points, at, key=lambda p: p.at)
    if index == 0:
        return points[0].meter_wh
    if index == len(points):
        return points[-1].meter_wh
    after = points[index]
    if after.at == at:
        return after.meter_wh
    before = points[index - 1]
    part, whole = (at - before.at) // MICROSECOND, (after.at - before.at) // MICROSECOND
    return before.meter_wh + (2 * (after.meter_wh - before.meter_wh) * part + whole) // (2 * whole)


def find_doubts(
    points: Sequence[MeterPoint], periods: Sequence[PricePeriod], *, start: MeterPoint, max_gap_s: int
) -> tuple[Doubt, ...]:
    """Name what makes the ordered readings unfit to be billed without a person.

    A meter below the session's start was reset, one that falls otherwise was rolled back. A pause longer than
    `max_gap_s` is a doubt only where energy moved in it and the price changed inside: elsewhere the cumulative meter
    still tells it all.
    """
    doubts: list[Doubt] = []
    changes = [
        later.from_at
        for earlier, later in pairwise(periods)
        if (earlier.energy_e4, earlier.service_e4) != (later.energy_e4, later.service_e4)
    ]
    longest = timedelta(seconds=max_gap_s)
    for before, after in pairwise(points):
        if after.meter_wh < before.meter_wh:
            doubts.append(Doubt("reset" if after.meter_wh < start.meter_wh else "rollback", before, after))
        elif (
            after.at - before.at > longest
            and after.meter_wh > before.meter_wh
            and any(before.at < change < after.at for change in changes)
        ):
            doubts.append(Doubt("gap", before, after))
    return tuple(doubts)


def bill_session(points: Sequence[MeterPoint], periods: Sequence[PricePeriod], *, capped: bool) -> Bill:
    """Bill ordered readings, first and last being the session's start and end, over the price periods that cover them.

    Energy of a band is the difference of the meter at its edges, so the energy of the lines is the meter's to the Wh.
    `capped` is set for agreement orders; market orders have no cap.
    """
    energy: dict[tuple[str, int, int], int] = {}
    if points:
        start, end = points[0].at, points[-1].at
        meter_before = points[0].meter_wh
        for period in periods:
            if period.to_at <= start or (period.from_at >= end and end > start):
                continue
            meter_after = points[-1].meter_wh if period.to_at >= end else meter_at(points, period.to_at)
            key = (period.band, period.energy_e4, period.service_e4)
            energy[key] = energy.get(key, 0) + meter_after - meter_before
            meter_before = meter_after
    lines = [
        BillLine(
            band=band,
            energy_wh=energy_wh,
            energy_e4=energy_e4,
            service_e4=service_e4,
            energy_fee_fen=fee_fen(energy_wh=energy_wh, price_e4=energy_e4),
            service_fee_fen=fee_fen(energy_wh=energy_wh, price_e4=service_e4),
        )
        for (band, energy_e4, service_e4), energy_wh in energy.items()
        if energy_wh
    ]
    return Bill(lines=tuple(keep_cap(lines) if capped else lines))


def keep_cap(lines: Sequence[BillLine]) -> list[BillLine]:
    """Give back, fen by fen, what line rounding took above the cap: each time from the line rounded up the most.

    Of equals the first in time gives, so that a bill is the same every time it is computed.
    """
    kept = list(lines)
    excess = sum(line.service_fee_fen for line in kept) - cap_fen(energy_wh=sum(line.energy_wh for line in kept))
    for _ in range(max(excess, 0)):
        index = max(
            (i for i, line in enumerate(kept) if line.service_fee_fen > 0),
            key=lambda i: (_rounded_up(kept[i]), -i),
        )
        kept[index] = replace(kept[index], service_fee_fen=kept[index].service_fee_fen - 1)
    return kept


def _rounded_up(line: BillLine) -> int:
    """By how much a line's service fee lies above its exact value, in 1/100,000 fen."""
    return line.service_fee_fen * PRICE_SCALE - (line.energy_wh - line.included_wh) * line.service_e4


def thin_points(points: Sequence[MeterPoint], edges: Sequence[datetime]) -> list[MeterPoint]:
    """Drop the readings that no bill needs: all but the first, the last and those that bracket a band edge.

    A running session may so be priced at every sample without keeping every reading.
    """
    kept: list[MeterPoint] = []
    for point in points:
        while len(kept) >= 2 and not any(kept[-2].at < edge < point.at for edge in edges):
            kept.pop()
        kept.append(point)
    return kept
