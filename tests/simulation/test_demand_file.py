"""Files of arrivals: what is read, and how each fault is told with its line."""

from datetime import timedelta
from pathlib import Path

import pytest

from backend.simulation.demand import MONDAY
from backend.simulation.demand_file import BadDemandFile, read_demand
from backend.simulation.playing import simulate_week
from backend.simulation.station import made_up

HEADER = "vehicle,resident,arrives_at,energy_kwh,power,books_hours_ahead,shows_up"
GOOD = "a,yes,2026-03-02T18:30,20,dc,5,yes"


def written(folder: Path, *rows: str, header: str = HEADER) -> Path:
    """Write a file."""
    path = folder / "week.csv"
    path.write_text("\n".join((header, *rows)) + "\n", encoding="utf-8")
    return path


class TestAFileOfArrivals:
    def test_is_read_as_beijing_wrote_it(self, tmp_path: Path) -> None:
        demand = read_demand(written(tmp_path, GOOD, "b,no,2026-03-03T09:00+08:00,12.5,,,"))
        first, second = demand.week
        assert first.arrives_at == MONDAY + timedelta(hours=18, minutes=30)
        assert first.books_at == first.arrives_at - timedelta(hours=5)
        assert (first.resident, first.energy_wh, first.power) == (True, 20_000, "dc")
        assert (second.resident, second.energy_wh, second.power, second.books_at) == (False, 12_500, None, None)
        assert (demand.name, demand.agreements) == ("week", 1)

    @pytest.mark.parametrize(
        ("row", "field"),
        [
            (",yes,2026-03-02T18:30,20,dc,,", "vehicle"),
            ("b,maybe,2026-03-02T18:30,20,dc,,", "resident"),
            ("b,yes,Monday evening,20,dc,,", "arrives_at"),
            ("b,yes,2026-03-09T00:00,20,dc,,", "arrives_at"),
            ("b,yes,2026-03-02T18:30,much,dc,,", "energy_kwh"),
            ("b,yes,2026-03-02T18:30,-1,dc,,", "energy_kwh"),
            ("b,yes,2026-03-02T18:30,nan,dc,,", "energy_kwh"),
            ("b,yes,2026-03-02T18:30,20,steam,,", "power"),
            ("b,no,2026-03-02T18:30,20,dc,5,", "books_hours_ahead"),
            ("b,yes,2026-03-02T18:30,20,dc,500,", "books_hours_ahead"),
            ("a,no,2026-03-04T18:30,20,dc,,", "resident"),
            ("b,yes,2026-03-02T18:30,20,dc,,yes,too many", ""),
            ("b,yes", "arrives_at"),
        ],
    )
    def test_tells_what_is_wrong_in_which_line(self, tmp_path: Path, row: str, field: str) -> None:
        with pytest.raises(BadDemandFile) as bad:
            read_demand(written(tmp_path, GOOD, row))
        assert (bad.value.rows[0].line, bad.value.rows[0].field) == (3, field)
        assert bad.value.rows[0].right

    def test_tells_every_fault_at_once(self, tmp_path: Path) -> None:
        with pytest.raises(BadDemandFile) as bad:
            read_demand(written(tmp_path, "b,maybe,never,20,dc,,", GOOD, "c,yes,2026-03-02T18:30,x,dc,,"))
        assert [(row.line, row.field) for row in bad.value.rows] == [
            (2, "arrives_at"),
            (2, "resident"),
            (4, "energy_kwh"),
        ]

    @pytest.mark.parametrize("header", ["vehicle,resident,arrives_at", HEADER + ",colour", ""])
    def test_wants_its_columns_and_no_others(self, tmp_path: Path, header: str) -> None:
        with pytest.raises(BadDemandFile) as bad:
            read_demand(written(tmp_path, header=header))
        assert bad.value.rows[0].line == 1

    def test_without_arrivals_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(BadDemandFile):
            read_demand(written(tmp_path))

    def test_that_is_no_text_is_refused(self, tmp_path: Path) -> None:
        path = tmp_path / "week.csv"
        path.write_bytes(b"\xff\xfe\x00\x01\x92")
        with pytest.raises(BadDemandFile):
            read_demand(path)


class TestSimulatingAFile:
    def test_plays_its_own_week_as_it_is(self, tmp_path: Path) -> None:
        demand = read_demand(written(tmp_path, GOOD, "b,no,2026-03-03T09:00,12.5,,,"))
        run = simulate_week(made_up(), demand)
        assert [arrival.trip.vehicle for arrival in run.arrivals] == [b"a", b"b"]
        assert [arrival.outcome for arrival in run.arrivals] == ["served", "served"]

    def test_draws_as_many_residents_as_are_asked_for(self, tmp_path: Path) -> None:
        demand = read_demand(written(tmp_path, GOOD, "b,no,2026-03-03T09:00,12.5,,,"))
        run = simulate_week(made_up(), demand, agreements=7, seed=1)
        residents = {arrival.trip.vehicle for arrival in run.arrivals if arrival.trip.resident}
        assert len(residents) == 7
        assert len(run.arrivals) == 8
