"""Bills over the calendar: midnight, month ends, leap days, band edges, days on end, against another computation.

A few hundred cases by default; `./dev test --all` runs thousands.
"""

import random
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from fractions import Fraction
from itertools import pairwise
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.charging.rules.billing import Bill, MeterPoint, bill_session, cap_fen, order_points
from backend.charging.rules.packages import Allowance, OrderFigures, bill_period
from backend.charging.service.metering import free, price_periods
from backend.tariffs.rules.bands import BEIJING, Band, ParkingTerms, PriceSnapshot
from sandbox.demo.prices import ABOVE_1KV

DAYS = [
    date(2026, 6, 30), date(2026, 7, 1), date(2026, 8, 31), date(2026, 12, 31), date(2027, 1, 31), date(2027, 2, 28),
    date(2028, 2, 28), date(2028, 2, 29), date(2028, 3, 1), date(2026, 11, 30), date(2026, 10, 15),
]  # fmt: skip
"""Ends of months with and without sharp bands (July, August, December, January), of years, and leap days."""
MINUTES = [0, 1, 419, 420, 421, 599, 600, 660, 779, 780, 960, 1020, 1080, 1260, 1320, 1379, 1380, 1439]

Charge = tuple[list[MeterPoint], PriceSnapshot]


@st.composite
def charges(draw: st.DrawFn) -> Charge:
    """Readings of a charge that begins near an edge of the calendar and lasts up to three days."""
    start = datetime.combine(draw(st.sampled_from(DAYS)), time(), BEIJING).astimezone(UTC)
    start += timedelta(minutes=draw(st.sampled_from(MINUTES)), seconds=draw(st.integers(-30, 30)))
    steps = draw(st.lists(st.tuples(st.integers(1, 20_000), st.integers(0, 9_000)), min_size=1, max_size=14))
    points = [MeterPoint(start, draw(st.integers(0, 10**8)))]
    for seconds, energy in steps:
        points.append(MeterPoint(points[-1].at + timedelta(seconds=seconds), points[-1].meter_wh + energy))
    prices = {
        span.band: (draw(st.integers(0, 20_000)), draw(st.sampled_from([5000, 4999, 3000, 1]))) for span in ABOVE_1KV
    }
    bands = tuple(
        Band(
            name=span.band,
            from_min=span.from_min,
            to_min=span.to_min,
            months=span.months,
            energy_e4=prices[span.band][0],
            service_e4=prices[span.band][1],
        )
        for span in ABOVE_1KV
    )
    return points, PriceSnapshot(
        version_id=UUID(int=1),
        user_class="agreement",
        supply_class="1_10kv_two_part",
        bands=bands,
        parking=ParkingTerms(),
    )


def billed(points: list[MeterPoint], tariff: PriceSnapshot) -> Bill:
    return bill_session(points, price_periods(tariff, start=points[0].at, end=points[-1].at), capped=True)


def by_the_wall_clock(points: list[MeterPoint], tariff: PriceSnapshot) -> dict[str, int]:
    """Energy by band computed another way: every whole hour of Beijing is an edge, read off the line by fractions."""
    edges = [points[0].at]
    at = points[0].at.replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)
    while at < points[-1].at:
        edges.append(at)
        at += timedelta(hours=1)
    edges.append(points[-1].at)
    energy: dict[str, int] = {}
    for start, end in pairwise(edges):
        wall = start.astimezone(BEIJING)
        minute = wall.hour * 60 + wall.minute
        [name] = [b.name for b in tariff.bands if b.from_min <= minute < b.to_min and wall.month in b.months]
        energy[name] = energy.get(name, 0) + _meter(points, end) - _meter(points, start)
    return {name: wh for name, wh in energy.items() if wh}


def _meter(points: list[MeterPoint], at: datetime) -> int:
    for before, after in pairwise(points):
        if before.at <= at <= after.at:
            part = Fraction((at - before.at) // timedelta(seconds=1), (after.at - before.at) // timedelta(seconds=1))
            exact = before.meter_wh + (after.meter_wh - before.meter_wh) * part
            return int(exact + Fraction(1, 2))
    raise AssertionError("the instant lies within the readings")


def check_the_bill(charge: Charge) -> None:
    points, tariff = charge
    bill = billed(points, tariff)
    assert {line.band: line.energy_wh for line in bill.lines} == by_the_wall_clock(points, tariff)
    assert bill.energy_wh == points[-1].meter_wh - points[0].meter_wh
    assert bill.service_fee_fen <= cap_fen(energy_wh=bill.energy_wh)
    for line in bill.lines:
        assert line.energy_fee_fen == int(Fraction(line.energy_wh * line.energy_e4, 100_000) + Fraction(1, 2))
        assert abs(line.service_fee_fen * 100_000 - line.energy_wh * line.service_e4) <= 100_000


def check_a_split(charge: Charge, seed: int) -> None:
    points, tariff = charge
    cut = random.Random(seed).randrange(len(points))
    whole, parts = billed(points, tariff), [billed(p, tariff) for p in (points[: cut + 1], points[cut:])]
    for band in {line.band for line in whole.lines}:
        for field in ("energy_fee_fen", "service_fee_fen"):
            one = sum(getattr(line, field) for line in whole.lines if line.band == band)
            two = sum(getattr(line, field) for part in parts for line in part.lines if line.band == band)
            assert abs(one - two) <= 1
    assert sum(part.energy_wh for part in parts) == whole.energy_wh
    assert sum(part.service_fee_fen for part in parts) <= cap_fen(energy_wh=whole.energy_wh)


def check_late_readings(charge: Charge, seed: int) -> None:
    """Readings that come hours late, twice and in any order make the same bill."""
    points, tariff = charge
    chance = random.Random(seed)
    arrived = [*points, *chance.sample(points, chance.randrange(len(points)))]
    chance.shuffle(arrived)
    assert billed(order_points(arrived), tariff) == billed(points, tariff)


def check_a_clock(charge: Charge, offset_ms: int) -> None:
    """A clock that is believed (within 1 s) moves no band by more than what flows in that time at each edge."""
    points, tariff = charge
    off = timedelta(milliseconds=offset_ms)
    shifted = [MeterPoint(point.at + off, point.meter_wh) for point in points]
    one, two = billed(points, tariff), billed(shifted, tariff)
    rate = max(Fraction(b.meter_wh - a.meter_wh, int((b.at - a.at).total_seconds())) for a, b in pairwise(points))
    edges = 14 * (2 + (points[-1].at - points[0].at) // timedelta(days=1))
    assert one.energy_wh == two.energy_wh
    for band in {line.band for line in (*one.lines, *two.lines)}:
        moved = [sum(line.energy_wh for line in bill.lines if line.band == band) for bill in (one, two)]
        assert abs(moved[0] - moved[1]) <= edges * (rate + 1)


def check_a_period(found: list[Charge], price_fen: int, included_wh: int, seed: int) -> None:
    """A package period after any corrections: orders are billed again with other readings, the line follows."""
    chance = random.Random(seed)
    left, orders = included_wh, []
    for points, tariff in found:
        bill = free(billed(points, tariff), Allowance(left_wh=left))
        left -= sum(line.included_wh for line in bill.lines)
        orders.append(_figures(bill))
    for _ in range(4):
        bill = bill_period(orders, price_fen=price_fen)
        assert bill.service_fee_fen + bill.package_fee_fen <= bill.energy_wh * 5000 // 100_000
        if orders:
            which = chance.randrange(len(orders))
            points, tariff = found[which]
            scale = chance.random() * 2
            meter = points[0].meter_wh
            other = [MeterPoint(p.at, meter + int((p.meter_wh - meter) * scale)) for p in points]
            again = Allowance(left_wh=left + orders[which].included_wh)
            corrected = free(billed(other, tariff), again)
            left = again.left_wh - sum(line.included_wh for line in corrected.lines)
            orders[which] = _figures(corrected)


def _figures(bill: Bill) -> OrderFigures:
    return OrderFigures(bill.energy_wh, bill.service_fee_fen, sum(line.included_wh for line in bill.lines))


SEEDS = st.integers(0, 2**32)


def in_cases(cases: int) -> list[Callable[[], None]]:
    """The properties, each over so many cases."""
    many = settings(max_examples=cases)
    return [
        many(given(charges())(check_the_bill)),
        many(given(charges(), SEEDS)(check_a_split)),
        many(given(charges(), SEEDS)(check_late_readings)),
        many(given(charges(), st.integers(-1000, 1000))(check_a_clock)),
        many(
            given(st.lists(charges(), max_size=4), st.integers(0, 9_000), st.integers(0, 40_000), SEEDS)(check_a_period)
        ),
    ]


def named(properties: list[Callable[[], None]], *, slow: bool) -> list[object]:
    marks = [pytest.mark.slow] if slow else []
    return [pytest.param(p, id=p.__name__.removeprefix("check_"), marks=marks) for p in properties]


class TestBillsOverTheCalendar:
    @pytest.mark.parametrize("check", named(in_cases(120), slow=False))
    def test_hold_for_hundreds_of_cases(self, check: Callable[[], None]) -> None:
        check()

    @pytest.mark.parametrize("check", named(in_cases(5_000), slow=True))
    def test_hold_for_thousands_of_cases(self, check: Callable[[], None]) -> None:
        check()
