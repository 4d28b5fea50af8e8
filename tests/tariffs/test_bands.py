"""Bands on the Beijing clock."""

import itertools
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.tariffs.rules.bands import (
    BEIJING,
    Band,
    ParkingTerms,
    PriceSnapshot,
    band_at,
    band_edges,
    next_edge,
    span_problems,
    split_by_band,
)

NAMES = ("sharp", "peak", "flat", "valley")
PRICES = {"sharp": 12_000, "peak": 10_737, "flat": 7970, "valley": 5476}


def band(name: str, start_h: float, end_h: float, months: tuple[int, ...] = tuple(range(1, 13))) -> Band:
    return Band(
        name=name,  # type: ignore[arg-type]
        from_min=round(start_h * 60),
        to_min=round(end_h * 60),
        energy_e4=PRICES[name],
        service_e4=5000,
        months=months,
    )


def snapshot(*bands: Band) -> PriceSnapshot:
    return PriceSnapshot(
        version_id=UUID(int=1), user_class="market", supply_class="1_10kv_single", bands=bands, parking=ParkingTerms()
    )


SUMMER, WINTER = (7, 8), (1, 12)
REST = (2, 3, 4, 5, 6, 9, 10, 11)
BEIJING_ABOVE_1KV = snapshot(
    band("valley", 0, 7),
    band("flat", 7, 10),
    band("peak", 10, 11),
    band("peak", 11, 13, REST + WINTER),
    band("sharp", 11, 13, SUMMER),
    band("flat", 13, 16),
    band("flat", 16, 17, REST + WINTER),
    band("sharp", 16, 17, SUMMER),
    band("peak", 17, 18),
    band("peak", 18, 21, REST + SUMMER),
    band("sharp", 18, 21, WINTER),
    band("peak", 21, 22),
    band("flat", 22, 23),
    band("valley", 23, 24),
)
"""domain.md: sharp in Jul/Aug 11-13 and 16-17, in Jan/Dec 18-21."""


def beijing(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=BEIJING).astimezone(UTC)


class TestBandAt:
    @pytest.mark.parametrize(
        ("wall_clock", "name"),
        [
            ("2026-06-10T09:59:59", "flat"),
            ("2026-06-10T10:00:00", "peak"),
            ("2026-06-10T11:30:00", "peak"),
            ("2026-07-10T11:30:00", "sharp"),
            ("2026-07-10T13:00:00", "flat"),
            ("2026-08-31T16:59:59", "sharp"),
            ("2026-09-01T16:00:00", "flat"),
            ("2026-12-31T20:59:59", "sharp"),
            ("2026-12-31T23:59:59", "valley"),
            ("2027-01-01T00:00:00", "valley"),
            ("2027-01-31T18:00:00", "sharp"),
            ("2027-02-01T18:00:00", "peak"),
        ],
    )
    def test_names_the_band_of_domain_md(self, wall_clock: str, name: str) -> None:
        assert band_at(BEIJING_ABOVE_1KV, beijing(wall_clock)).name == name

    def test_goes_by_beijing_and_not_by_utc(self) -> None:
        assert band_at(BEIJING_ABOVE_1KV, datetime(2026, 6, 30, 16, 0, tzinfo=UTC)).name == "valley"
        assert band_at(BEIJING_ABOVE_1KV, datetime(2026, 6, 30, 16 + 0, 0, tzinfo=UTC)).months == tuple(range(1, 13))

    def test_says_so_when_a_schedule_has_a_hole(self) -> None:
        with pytest.raises(ValueError, match="no band at minute 720"):
            band_at(snapshot(band("flat", 0, 12)), beijing("2026-06-10T12:00:00"))


class TestBandEdges:
    def test_lists_the_edges_of_a_day(self) -> None:
        edges = band_edges(BEIJING_ABOVE_1KV, beijing("2026-06-10T00:00:00"), beijing("2026-06-11T00:00:00"))
        assert [edge.astimezone(BEIJING).hour for edge in edges] == [7, 10, 13, 17, 22, 23]

    def test_has_no_edge_at_midnight_inside_the_valley(self) -> None:
        assert band_edges(BEIJING_ABOVE_1KV, beijing("2026-06-10T23:00:00"), beijing("2026-06-11T07:00:00")) == []

    def test_has_an_edge_at_midnight_when_the_new_month_costs_other(self) -> None:
        by_month = snapshot(band("flat", 0, 24, (6,)), band("peak", 0, 24, tuple(m for m in range(1, 13) if m != 6)))
        edges = band_edges(by_month, beijing("2026-06-30T20:00:00"), beijing("2026-07-01T04:00:00"))
        assert edges == [beijing("2026-07-01T00:00:00")]

    def test_leaves_out_the_ends_of_the_stretch(self) -> None:
        assert band_edges(BEIJING_ABOVE_1KV, beijing("2026-06-10T07:00:00"), beijing("2026-06-10T10:00:00")) == []

    def test_finds_the_next_edge(self) -> None:
        assert next_edge(BEIJING_ABOVE_1KV, beijing("2026-06-10T23:30:00")) == beijing("2026-06-11T07:00:00")
        assert next_edge(snapshot(band("flat", 0, 24)), beijing("2026-06-10T23:30:00")) is None


@st.composite
def schedules(draw: st.DrawFn) -> PriceSnapshot:
    """Any schedule that tiles: months in up to three groups, each with its own cuts of the day."""
    groups = draw(st.lists(st.integers(0, 2), min_size=12, max_size=12))
    bands: list[Band] = []
    for group in sorted(set(groups)):
        months = tuple(month for month in range(1, 13) if groups[month - 1] == group)
        cuts = [0, *sorted(draw(st.sets(st.integers(1, 1439), max_size=6))), 1440]
        for start, end in itertools.pairwise(cuts):
            name = draw(st.sampled_from(NAMES))
            bands.append(
                Band(name=name, from_min=start, to_min=end, energy_e4=PRICES[name], service_e4=1, months=months)
            )
    return snapshot(*bands)


INSTANTS = st.datetimes(datetime(2026, 1, 1), datetime(2027, 12, 31), timezones=st.just(UTC))  # noqa: DTZ001


class TestSplitByBand:
    @settings(deadline=None)
    @given(schedules(), INSTANTS, st.integers(1, 3 * 86_400))
    def test_covers_the_stretch_without_hole_or_overlap_and_each_piece_is_in_its_band(
        self, schedule: PriceSnapshot, start: datetime, seconds: int
    ) -> None:
        end = start + timedelta(seconds=seconds)
        pieces = split_by_band(schedule, start, end)
        assert pieces[0].starts_at == start
        assert pieces[-1].ends_at == end
        for before, after in itertools.pairwise(pieces):
            assert before.ends_at == after.starts_at
            assert before.band.name != after.band.name
        for piece in pieces:
            assert piece.starts_at < piece.ends_at
            last = max(piece.starts_at, piece.ends_at - timedelta(seconds=1))
            for at in (piece.starts_at, last):
                assert band_at(schedule, at).name == piece.band.name

    @settings(deadline=None)
    @given(schedules(), INSTANTS, st.integers(2, 86_400), st.integers(1, 86_399))
    def test_cuts_the_same_whether_taken_whole_or_in_two(
        self, schedule: PriceSnapshot, start: datetime, seconds: int, first: int
    ) -> None:
        end = start + timedelta(seconds=seconds)
        middle = start + timedelta(seconds=min(first, seconds - 1))
        whole = set(band_edges(schedule, start, end))
        parts = {*band_edges(schedule, start, middle), *band_edges(schedule, middle, end)}
        assert whole - {middle} == parts


class TestSpanProblems:
    @settings(deadline=None)
    @given(schedules())
    def test_finds_none_in_a_schedule_that_tiles(self, schedule: PriceSnapshot) -> None:
        assert span_problems([(b.from_min, b.to_min, b.months) for b in schedule.bands]) == []

    @settings(deadline=None)
    @given(schedules(), st.data())
    def test_finds_the_hole_a_missing_span_leaves(self, schedule: PriceSnapshot, data: st.DataObject) -> None:
        spans = [(b.from_min, b.to_min, b.months) for b in schedule.bands]
        gone = spans.pop(data.draw(st.integers(0, len(spans) - 1)))
        found = span_problems(spans)
        assert {(p.month, p.problem) for p in found} == {(month, "gap") for month in gone[2]}

    @pytest.mark.parametrize(
        ("spans", "problem"),
        [
            ([(0, 1441, (1,))], "outside"),
            ([(-1, 10, (1,))], "outside"),
            ([(0, 1440, (13,))], "outside"),
            ([(5, 5, (1,))], "empty"),
            ([(0, 1440, ())], "empty"),
            ([(0, 800, tuple(range(1, 13))), (700, 1440, tuple(range(1, 13)))], "overlap"),
        ],
    )
    def test_names_what_is_wrong(self, spans: list[tuple[int, int, tuple[int, ...]]], problem: str) -> None:
        assert problem in {found.problem for found in span_problems(spans)}
