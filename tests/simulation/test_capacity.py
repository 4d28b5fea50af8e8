"""The search for the signing limit, and the picture of it."""

import struct

import pytest

from backend.cli.simulate import verdict
from backend.simulation.capacity import Capacity, find_capacity, judge
from backend.simulation.demand import PRESETS
from backend.simulation.figures import figures_of
from backend.simulation.picture import draw_week
from backend.simulation.playing import simulate_week
from backend.simulation.station import made_up
from backend.simulation.words import share

COMPOUND = PRESETS["compound"]


class TestJudge:
    def test_takes_off_what_may_be_luck(self) -> None:
        trial = judge(10, [0.98, 1.0, 0.99], 300)
        # Student's t, 2 degrees of freedom: 2.920 x 0.01 / sqrt(3)
        assert trial.mean == pytest.approx(0.99)
        assert trial.lower == pytest.approx(0.99 - 2.920 * 0.01 / 3**0.5)
        assert not trial.holds(0.99)

    def test_is_sure_where_every_week_is_alike(self) -> None:
        assert judge(10, [0.99, 0.99], 100).holds(0.99)


class TestFindCapacity:
    def test_finds_a_number_that_holds_beside_one_that_does_not(self) -> None:
        station = made_up(resident_dc=1, resident_ac=2, public_dc=1)
        found = find_capacity(station, COMPOUND, weeks=3, seed=1)
        assert not found.unbounded
        by_number = {trial.agreements: trial for trial in found.trials}
        failing = min(n for n, trial in by_number.items() if not trial.holds(0.99))
        assert 0 < found.agreements < failing
        assert by_number[found.agreements].holds(0.99)
        assert failing - found.agreements <= max(1, found.agreements // 50)
        assert found == find_capacity(station, COMPOUND, weeks=3, seed=1)

    def test_grows_with_the_station(self) -> None:
        small = find_capacity(made_up(resident_dc=1, resident_ac=1, public_dc=0), COMPOUND, weeks=3)
        large = find_capacity(made_up(resident_dc=4, resident_ac=4, public_dc=0), COMPOUND, weeks=3, at_most=128)
        assert small.agreements < large.agreements

    def test_says_that_it_has_found_no_end(self) -> None:
        found = find_capacity(made_up(resident_dc=6, resident_ac=6), COMPOUND, weeks=2, at_most=16)
        assert (found.agreements, found.unbounded) == (16, True)
        assert "at least 16" in verdict(found, 300)


class TestWords:
    @pytest.mark.parametrize(("value", "text"), [(0.98999, "98.9 %"), (0.99, "99.0 %"), (1.0, "100.0 %"), (None, "–")])
    def test_a_share_is_never_rounded_up_to_the_promise(self, value: float | None, text: str) -> None:
        assert share(value) == text


class TestThePicture:
    @pytest.mark.parametrize("preset", ["compound", "nobody"])
    @pytest.mark.parametrize("searched", [True, False])
    def test_is_a_png_wide_enough_to_read(self, preset: str, searched: bool) -> None:
        run = simulate_week(made_up(resident_dc=20, resident_ac=20), PRESETS[preset], seed=1)
        trials = tuple(judge(n, [low, low + 0.004], 100) for n, low in ((8, 0.996), (16, 0.99), (32, 0.5)))
        capacity = Capacity(agreements=16, goal=0.99, weeks=2, trials=trials)
        made = draw_week(run, figures_of(run), capacity=capacity if searched else None, demand=preset)
        assert made.startswith(b"\x89PNG\r\n\x1a\n")
        width, height = struct.unpack(">II", made[16:24])
        assert width > 1000
        assert height > 500
