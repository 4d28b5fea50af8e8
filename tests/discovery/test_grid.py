"""The grid against plain measuring of every point."""

from hypothesis import given, settings
from hypothesis import strategies as st

from backend.core.units import Point, distance_m
from backend.discovery.rules.grid import Grid

CITY = st.builds(Point, st.floats(39.5, 40.5), st.floats(116.0, 117.0))
STREET = st.builds(Point, st.floats(39.90, 39.92), st.floats(116.40, 116.43))
ANYWHERE = st.builds(Point, st.floats(-85, 85), st.floats(-179, 179))
POINTS = st.one_of(st.lists(STREET, max_size=40), st.lists(CITY, max_size=40))


class TestGrid:
    @settings(deadline=None)
    @given(POINTS, st.one_of(STREET, CITY), st.integers(1, 5000))
    def test_finds_within_a_radius_what_measuring_every_point_finds(
        self, points: list[Point], centre: Point, radius_m: int
    ) -> None:
        found = Grid(enumerate(points)).within(centre, radius_m)
        measured = [(distance_m(centre, point), number) for number, point in enumerate(points)]
        assert sorted(found) == sorted((away, number) for away, number in measured if away <= radius_m)
        assert [away for away, _ in found] == sorted(away for away, _ in found)

    @settings(deadline=None)
    @given(POINTS, st.one_of(STREET, CITY, ANYWHERE), st.integers(1, 5000), st.integers(1, 3))
    def test_finds_beyond_it_the_nearest_that_is_wanted(
        self, points: list[Point], centre: Point, radius_m: int, every: int
    ) -> None:
        found = Grid(enumerate(points)).nearest_beyond(centre, radius_m, lambda number: number % every == 0)
        measured = [
            distance_m(centre, point)
            for number, point in enumerate(points)
            if number % every == 0 and distance_m(centre, point) > radius_m
        ]
        assert (None if found is None else found[0]) == min(measured, default=None)

    def test_of_nothing_finds_nothing(self) -> None:
        grid: Grid[int] = Grid([])
        assert grid.within(Point(39.9, 116.4), 500) == []
        assert grid.nearest_beyond(Point(39.9, 116.4), 500, lambda _: True) is None
