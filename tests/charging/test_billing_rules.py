"""The bill of a session: energy by band, rounding, cap, doubts."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.charging.rules.billing import (
    Bill,
    BillLine,
    MeterPoint,
    PricePeriod,
    bill_session,
    cap_fen,
    fee_fen,
    find_doubts,
    keep_cap,
    meter_at,
    order_points,
    thin_points,
)

T0 = datetime(2026, 7, 1, 1, 0, tzinfo=UTC)
BANDS = ("flat", "peak", "sharp", "valley")
Session = tuple[list[MeterPoint], list[PricePeriod]]


def at(seconds: float) -> datetime:
    return T0 + timedelta(seconds=seconds)


def points(*pairs: tuple[float, int]) -> list[MeterPoint]:
    return [MeterPoint(at(seconds), meter) for seconds, meter in pairs]


def period(start: float, end: float, band: str = "flat", energy: int = 6813, service: int = 5000) -> PricePeriod:
    return PricePeriod(at(start), at(end), band, energy, service)


@st.composite
def sessions(draw: st.DrawFn, service: st.SearchStrategy[int] | None = None) -> Session:
    """Readings at uneven intervals over up to six price periods of four bands."""
    steps = draw(st.lists(st.tuples(st.integers(1, 900), st.integers(0, 700)), min_size=1, max_size=25))
    meter, second = draw(st.integers(0, 10**9)), 0
    readings = [MeterPoint(T0, meter)]
    for gap, energy in steps:
        second, meter = second + gap, meter + energy
        readings.append(MeterPoint(at(second), meter))
    cuts = sorted(draw(st.sets(st.integers(1, max(second, 2)), max_size=5)))
    price = service if service is not None else st.integers(0, 5000)
    prices = {band: (draw(st.integers(0, 20_000)), draw(price)) for band in BANDS}
    stops = [-1, *cuts, second + 1]
    periods = []
    for start, end in pairwise(stops):
        if start < end:
            band = draw(st.sampled_from(BANDS))
            periods.append(period(start, end, band, *prices[band]))
    return readings, periods


class TestEnergyInABand:
    def test_is_interpolated_at_the_band_edge_and_rounded_to_the_wh(self) -> None:
        readings = points((0, 1000), (15, 1010))
        bill = bill_session(readings, [period(0, 4, "flat"), period(4, 60, "peak")], capped=True)
        assert [(line.band, line.energy_wh) for line in bill.lines] == [("flat", 3), ("peak", 7)]

    @pytest.mark.parametrize(
        ("second", "expected"), [(-5, 1000), (0, 1000), (5, 1003), (10, 1005), (12, 1006), (20, 1010), (99, 1010)]
    )
    def test_follows_the_meter_and_is_constant_outside_it(self, second: int, expected: int) -> None:
        assert meter_at(points((0, 1000), (10, 1005), (20, 1010)), at(second)) == expected

    def test_rounds_a_half_wh_up(self) -> None:
        assert meter_at(points((0, 1000), (10, 1001)), at(5)) == 1001

    def test_of_a_band_that_comes_twice_is_one_line(self) -> None:
        bill = bill_session(
            points((0, 0), (30, 3000)),
            [period(0, 10, "peak"), period(10, 20, "sharp"), period(20, 40, "peak")],
            capped=True,
        )
        assert [(line.band, line.energy_wh) for line in bill.lines] == [("peak", 2000), ("sharp", 1000)]

    def test_of_a_session_without_energy_has_no_lines(self) -> None:
        assert bill_session(points((0, 500), (900, 500)), [period(0, 1000)], capped=True) == Bill(lines=())

    def test_is_kept_when_start_and_end_are_one_reading(self) -> None:
        assert bill_session(points((0, 500)), [period(0, 1000)], capped=True).energy_wh == 0


class TestFees:
    @pytest.mark.parametrize(
        ("energy_wh", "price_e4", "fen"),
        [(30_000, 9268, 2780), (30_000, 5000, 1500), (1, 5000, 0), (10, 5000, 1), (9, 5000, 0), (7_350, 10578, 777)],
    )
    def test_are_rounded_half_up_once_per_line(self, energy_wh: int, price_e4: int, fen: int) -> None:
        assert fee_fen(energy_wh=energy_wh, price_e4=price_e4) == fen

    def test_give_the_fen_back_from_the_line_rounded_up_the_most(self) -> None:
        lines = [
            BillLine("flat", 30, 0, 5000, 0, 2),  # 1.5 fen, rounded up by 0.50
            BillLine("peak", 35, 0, 5000, 0, 2),  # 1.75 fen, rounded up by 0.25
        ]
        assert [line.service_fee_fen for line in keep_cap(lines)] == [1, 2]

    def test_of_a_market_order_have_no_cap(self) -> None:
        bill = bill_session(points((0, 0), (60, 10_000)), [period(0, 60, service=8000)], capped=False)
        assert bill.service_fee_fen == 800 > cap_fen(energy_wh=10_000)

    @given(sessions())
    def test_of_lines_add_to_the_totals_and_the_energy_is_the_meters(self, session: Session) -> None:
        readings, periods = session
        bill = bill_session(readings, periods, capped=True)
        assert bill.energy_wh == readings[-1].meter_wh - readings[0].meter_wh
        assert bill.total_fen == sum(line.energy_fee_fen + line.service_fee_fen for line in bill.lines)
        assert all(line.energy_wh > 0 and line.service_fee_fen >= 0 for line in bill.lines)

    @given(sessions(service=st.sampled_from([5000, 4999, 4500])))
    def test_never_pass_the_cap(self, session: Session) -> None:
        bill = bill_session(*session, capped=True)
        assert bill.service_fee_fen <= bill.energy_wh * 5000 // 100_000

    @given(sessions())
    def test_of_a_line_are_within_a_fen_of_the_exact_amount(self, session: Session) -> None:
        for line in bill_session(*session, capped=True).lines:
            assert abs(line.energy_fee_fen * 100_000 - line.energy_wh * line.energy_e4) <= 50_000
            assert abs(line.service_fee_fen * 100_000 - line.energy_wh * line.service_e4) <= 100_000

    @given(sessions(service=st.sampled_from([5000, 4999, 3000])), st.data())
    def test_split_at_any_reading_move_no_line_by_more_than_a_fen(self, session: Session, data: st.DataObject) -> None:
        readings, periods = session
        cut = data.draw(st.integers(0, len(readings) - 1))
        whole = bill_session(readings, periods, capped=True)
        parts = [bill_session(part, periods, capped=True) for part in (readings[: cut + 1], readings[cut:])]
        keys = {(line.band, line.energy_e4, line.service_e4) for bill in (whole, *parts) for line in bill.lines}
        for key in keys:
            of = [
                [line for line in bill.lines if (line.band, line.energy_e4, line.service_e4) == key]
                for bill in (whole, *parts)
            ]
            for field in ("energy_fee_fen", "service_fee_fen"):
                total, first, second = (sum(getattr(line, field) for line in lines) for lines in of)
                assert abs(total - first - second) <= 1
            assert sum(line.energy_wh for line in of[0]) == sum(line.energy_wh for line in of[1] + of[2])
        assert sum(part.service_fee_fen for part in parts) <= cap_fen(energy_wh=whole.energy_wh)


class TestThinPoints:
    @given(sessions())
    def test_changes_no_line_of_the_bill(self, session: Session) -> None:
        readings, periods = session
        thinned = thin_points(readings, [p.from_at for p in periods] + [p.to_at for p in periods])
        assert bill_session(thinned, periods, capped=True) == bill_session(readings, periods, capped=True)
        assert len(thinned) <= 2 + 2 * len(periods)


class TestDoubts:
    @pytest.mark.parametrize(
        ("readings", "expected"),
        [
            (points((0, 1000), (15, 1010), (30, 1020)), []),
            (points((0, 1000), (15, 1010), (30, 1009)), ["rollback"]),
            (points((0, 1000), (15, 1010), (30, 3)), ["reset"]),
            (points((0, 1000), (15, 1010), (900, 1500), (915, 1510)), ["gap"]),
            (points((0, 1000), (15, 1010), (900, 1010), (915, 1020)), []),
            (points((0, 1000), (300, 1010)), []),
        ],
        ids=["none", "falls", "below the start", "over a price change", "no energy moved", "pause just allowed"],
    )
    def test_are_named(self, readings: list[MeterPoint], expected: list[str]) -> None:
        periods = [period(0, 100, "flat", 6000), period(100, 2000, "peak", 9000)]
        found = find_doubts(readings, periods, start=readings[0], max_gap_s=300)
        assert [doubt.reason for doubt in found] == expected

    def test_do_not_arise_from_a_pause_within_one_price(self) -> None:
        readings = points((0, 1000), (3000, 9000))
        periods = [period(0, 100, "flat"), period(100, 5000, "flat")]
        assert find_doubts(readings, periods, start=readings[0], max_gap_s=300) == ()

    def test_do_not_arise_from_repeated_or_shuffled_readings(self) -> None:
        shuffled = points((30, 1020), (0, 1000), (15, 1010), (15, 1010))
        ordered = order_points(shuffled)
        assert ordered == points((0, 1000), (15, 1010), (30, 1020))
        assert find_doubts(ordered, [period(0, 100)], start=ordered[0], max_gap_s=300) == ()
