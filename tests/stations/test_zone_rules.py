"""Painted zones over time, by tables of cases and against a look at every instant."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.stations.rules.topology import Zone
from backend.stations.rules.zones import BEGINNING, END, ZoneSpan, outside, periods_of_zone

T0 = datetime(2026, 6, 10, tzinfo=UTC)
DAY = timedelta(days=1)


def on(day: int) -> datetime:
    return T0 + day * DAY


def bay(*zones: tuple[Zone, int, int]) -> list[ZoneSpan]:
    """A bay's zones by (zone, first day, day it ends); -1 and 99 are for ever."""
    return [
        ZoneSpan(zone, BEGINNING if since < 0 else on(since), END if until == 99 else on(until))
        for zone, since, until in zones
    ]


class TestPeriodsOfAGun:
    @pytest.mark.parametrize(
        ("bays", "resident"),
        [
            ([], []),
            ([bay(("resident", -1, 99))], [(BEGINNING, END)]),
            ([bay(("public", -1, 99))], []),
            ([bay(("resident", -1, 3), ("public", 3, 99))], [(BEGINNING, on(3))]),
            ([bay(("public", -1, 3), ("resident", 3, 99))], [(on(3), END)]),
            ([bay(("resident", -1, 99)), bay(("resident", -1, 3), ("public", 3, 99))], [(BEGINNING, on(3))]),
            (
                [bay(("resident", -1, 5), ("public", 5, 99)), bay(("public", -1, 3), ("resident", 3, 99))],
                [(on(3), on(5))],
            ),
        ],
    )
    def test_are_those_in_which_every_bay_is_resident(
        self, bays: list[list[ZoneSpan]], resident: list[tuple[datetime, datetime]]
    ) -> None:
        assert periods_of_zone(bays, "resident") == resident
        assert periods_of_zone(bays, "public") == outside(resident)

    @given(st.lists(st.lists(st.integers(0, 12), unique=True, max_size=4), max_size=3), st.booleans())
    def test_agree_with_a_look_at_each_day(self, edges_of_bays: list[list[int]], starts_resident: bool) -> None:
        bays = []
        for edges in edges_of_bays:
            steps = [-1, *sorted(edges), 99]
            zones: list[Zone] = ["resident", "public"] if starts_resident else ["public", "resident"]
            bays.append(bay(*((zones[n % 2], a, b) for n, (a, b) in enumerate(pairwise(steps)))))
        periods = periods_of_zone(bays, "resident")
        for day in range(-2, 14):
            at = on(day) + timedelta(hours=1)
            seen = bool(bays) and all(
                next(span.zone for span in one if span.starts_at <= at < span.ends_at) == "resident" for one in bays
            )
            assert any(since <= at < until for since, until in periods) == seen
