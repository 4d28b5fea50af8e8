"""A bill as an auditor with a pocket calculator would make it: the published rules, fractions, nothing of ours.

Written from the texts alone (P clause 8; design/domain.md, "Money"), on purpose without a look at backend/charging.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from fractions import Fraction
from itertools import pairwise
from math import floor

BEIJING = timezone(timedelta(hours=8))
"""Beijing has had no summer time since 1991."""
BANDS = (
    (0, "valley"), (7, "flat"), (10, "peak"), (13, "flat"), (17, "peak"), (22, "flat"), (23, "valley"),
)  # fmt: skip
"""From which hour which band holds (a supply below 1 kV, no sharp band)."""
ENERGY_YUAN = {"peak": Fraction("1.0737"), "flat": Fraction("0.7970"), "valley": Fraction("0.5476")}
CAP_YUAN = Fraction("0.5")


@dataclass(frozen=True)
class Reading:
    """A cumulative meter at an instant."""

    at: datetime
    wh: int


@dataclass
class Charge:
    """What the charger said of one session: the reading before its start, those on the way, the last."""

    readings: list[Reading]
    service_yuan: Fraction
    capped: bool
    package_left_wh: int = 0
    lines: list[dict[str, int | str]] = field(default_factory=list)


def half_up(value: Fraction) -> int:
    """Round half up to a whole number."""
    return floor(value + Fraction(1, 2))


def hours_between(start: datetime, end: datetime) -> list[datetime]:
    """Return the instants in (start, end) at which another band begins."""
    found = []
    day = start.astimezone(BEIJING).replace(hour=0, minute=0, second=0, microsecond=0)
    while day <= end:
        found += [day.replace(hour=hour) for hour, _ in BANDS]
        day += timedelta(days=1)
    return sorted(edge for edge in found if start < edge < end)


def band_of(at: datetime) -> str:
    """Return the band that holds at an instant."""
    hour = at.astimezone(BEIJING).hour
    return [band for begins, band in BANDS if begins <= hour][-1]


def wh_at(readings: Sequence[Reading], at: datetime) -> int:
    """Return the meter at an instant between two readings, on the straight line through them."""
    before = max((r for r in readings if r.at <= at), key=lambda r: r.at)
    after = min((r for r in readings if r.at >= at), key=lambda r: r.at)
    if before.at == after.at:
        return after.wh
    share = Fraction((at - before.at) // timedelta(microseconds=1), (after.at - before.at) // timedelta(microseconds=1))
    return half_up(before.wh + share * (after.wh - before.wh))


def bill(charge: Charge) -> int:
    """Fill in the lines of a charge; returns how much of the package it used (Wh)."""
    readings = sorted(charge.readings, key=lambda r: (r.at, r.wh))
    edges = [readings[0].at, *hours_between(readings[0].at, readings[-1].at), readings[-1].at]
    energy: dict[str, int] = {}
    for start, end in pairwise(edges):
        moved = wh_at(readings, end) - wh_at(readings, start)
        energy[band_of(start)] = energy.get(band_of(start), 0) + moved
    left, used = charge.package_left_wh, 0
    exact: list[Fraction] = []
    for band, wh in energy.items():
        if not wh:
            continue
        free = min(left, wh)
        left, used = left - free, used + free
        service = Fraction(wh - free, 1000) * charge.service_yuan * 100
        exact.append(service)
        charge.lines.append(
            {
                "band": band,
                "energy_wh": wh,
                "included_wh": free,
                "energy_fee_fen": half_up(Fraction(wh, 1000) * ENERGY_YUAN[band] * 100),
                "service_fee_fen": half_up(service),
            }
        )
    if charge.capped:
        most = floor(Fraction(sum(energy.values()), 1000) * CAP_YUAN * 100)
        while sum(int(line["service_fee_fen"]) for line in charge.lines) > most:
            over = [int(line["service_fee_fen"]) - value for line, value in zip(charge.lines, exact, strict=True)]
            worst = over.index(max(o for o, line in zip(over, charge.lines, strict=True) if line["service_fee_fen"]))
            charge.lines[worst]["service_fee_fen"] = int(charge.lines[worst]["service_fee_fen"]) - 1
    return used


def package_fee(charges: Sequence[Charge], price_fen: int) -> int:
    """Return what a package of this price costs for the period: its price, or what the cap leaves of it."""
    wh = sum(int(line["energy_wh"]) for charge in charges for line in charge.lines)
    fees = sum(int(line["service_fee_fen"]) for charge in charges for line in charge.lines)
    return min(price_fen, floor(Fraction(wh, 1000) * CAP_YUAN * 100) - fees)
