"""The story's own arithmetic: a bill from raw meter readings, written apart from the service's on purpose.

It shares no code with backend/charging: exact fractions instead of integers, a loop over edges instead of rules.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from fractions import Fraction
from itertools import pairwise
from math import floor

BEIJING = timezone(timedelta(hours=8))


@dataclass(frozen=True)
class Band:
    """A priced band: minutes of the Beijing day [from_min, to_min), prices in 1/10000 yuan per kWh."""

    name: str
    from_min: int
    to_min: int
    energy_e4: int
    service_e4: int


def half_up(value: Fraction) -> int:
    """Round half up."""
    return floor(value + Fraction(1, 2))


def meter_at(readings: Sequence[tuple[datetime, int]], instant: datetime) -> int:
    """Return the cumulative reading at `instant`, linear between its neighbours, rounded to the Wh."""
    before = max((r for r in readings if r[0] <= instant), key=lambda r: r[0])
    after = min((r for r in readings if r[0] >= instant), key=lambda r: r[0])
    if before[0] == after[0]:
        return before[1]
    share = Fraction(int((instant - before[0]) / timedelta(microseconds=1))) / Fraction(
        int((after[0] - before[0]) / timedelta(microseconds=1))
    )
    return half_up(before[1] + share * (after[1] - before[1]))


def band_of(bands: Sequence[Band], instant: datetime) -> Band:
    """Return the band in force at `instant`."""
    local = instant.astimezone(BEIJING)
    minute = local.hour * 60 + local.minute
    return next(band for band in bands if band.from_min <= minute < band.to_min)


def edges_between(bands: Sequence[Band], start: datetime, end: datetime) -> list[datetime]:
    """Return the instants strictly inside (start, end) at which the band changes."""
    edges, minute = [], start.astimezone(BEIJING).replace(second=0, microsecond=0) + timedelta(minutes=1)
    while minute < end:
        if minute > start and band_of(bands, minute).name != band_of(bands, minute - timedelta(minutes=1)).name:
            edges.append(minute)
        minute += timedelta(minutes=1)
    return edges


def bill(
    bands: Sequence[Band], readings: Sequence[tuple[datetime, int]], *, capped: bool
) -> dict[str, tuple[int, int, int]]:
    """Return energy (Wh), energy fee and service fee (fen) per band name for cumulative readings in order."""
    start, end = readings[0][0], readings[-1][0]
    points = [start, *edges_between(bands, start, end), end]
    energy: dict[str, int] = {}
    for left, right in pairwise(points):
        name = band_of(bands, left).name
        energy[name] = energy.get(name, 0) + meter_at(readings, right) - meter_at(readings, left)
    priced = {band.name: band for band in bands}
    exact = {name: Fraction(wh * priced[name].service_e4, 100_000) for name, wh in energy.items()}
    service = {name: half_up(value) for name, value in exact.items()}
    if capped:
        cap = floor(Fraction(sum(energy.values()) * 5000, 100_000))
        while sum(service.values()) > cap:
            most = max(service, key=lambda name: service[name] - exact[name])
            service[most] -= 1
    return {
        name: (wh, half_up(Fraction(wh * priced[name].energy_e4, 100_000)), service[name])
        for name, wh in energy.items()
    }
