"""Importing compounds and stations from files, whole, broken and repeated."""

from pathlib import Path

import pytest

from backend.core import db
from backend.stations import service as stations
from backend.stations.service.imports import FileRefused, ImportReport, import_communities, import_stations
from tests.conftest import NOW
from tests.factories.accounts import add_company
from tests.factories.stations import add_station

DATA = Path(__file__).parents[2] / "data"
STATIONS_HEADER = "station_id,lat,lng,fast_chargers,slow_chargers\n"
COMMUNITIES_HEADER = "name,district,lng,lat\n"

pytestmark = pytest.mark.usefixtures("database")


def counts(report: ImportReport) -> tuple[int, int, int, int, int]:
    return report.rows, report.added, report.updated, report.unchanged, report.refused_rows


class TestTheRealFiles:
    async def test_take_all_236_compounds_and_change_nothing_the_second_time(self) -> None:
        assert counts(await import_communities(now=NOW, file=DATA / "beijing_communities.csv")) == (236, 236, 0, 0, 0)
        assert counts(await import_communities(now=NOW, file=DATA / "beijing_communities.csv")) == (236, 0, 0, 236, 0)

    async def test_take_all_1706_stations_without_devices_and_change_nothing_the_second_time(self) -> None:
        steps: list[tuple[int, int]] = []
        report = await import_stations(
            now=NOW, file=DATA / "shenzhen_stations.csv", on_progress=lambda done, total: steps.append((done, total))
        )
        assert counts(report) == (1706, 1706, 0, 0, 0)
        assert steps[-1] == (1706, 1706)
        assert steps == sorted(steps)
        assert await db.fetchval("SELECT count(*) FROM connector_now") == 22_872
        station = await stations.get_station_by_code(code="SZ-1")
        assert (station.pilot, station.has_devices, station.lat, station.lng) == (False, False, 22.716272, 113.826349)
        guns = await stations.list_connectors(station_id=station.id)
        assert [gun.kind for gun in guns] == ["dc"] * 5 + ["ac"] * 5
        assert await stations.list_connectors(station_id=(await stations.get_station_by_code(code="SZ-199")).id) == []
        assert counts(await import_stations(now=NOW, file=DATA / "shenzhen_stations.csv")) == (1706, 0, 0, 1706, 0)


class TestImportStations:
    @pytest.mark.parametrize(
        ("line", "field", "right"),
        [
            ("1,abc,114.1,1,1", "lat", "degrees from 3 to 54"),
            ("1,nan,114.1,1,1", "lat", "degrees"),
            ("1,inf,114.1,1,1", "lat", "degrees"),
            ("1,,114.1,1,1", "lat", "degrees"),
            ("1,114.1,22.5,1,1", "lat", "swapped"),
            ("1,22.5,200,1,1", "lng", "degrees from 73 to 136"),
            ("1,22.5,114.1,-1,1", "fast_chargers", "a whole number"),
            ("1,22.5,114.1,1.5,1", "fast_chargers", "a whole number"),
            ("1,22.5,114.1,٣,1", "fast_chargers", "a whole number"),
            ("1,22.5,114.1,1,99999999999999", "slow_chargers", "a whole number"),
            (",22.5,114.1,1,1", "station_id", "not empty"),
            ("a/b,22.5,114.1,1,1", "station_id", "letters"),
            ("1,22.5,114.1,1", "", "5 cells as in the header; here are 4"),
            ("1,22.5,114.1,1,1,1", "", "5 cells as in the header; here are 6"),
            ('1,"22.5,114.1,1,1', "", "5 cells"),
        ],
    )
    async def test_refuses_a_bad_row_by_number_field_and_reason_and_takes_the_rest(
        self, line: str, field: str, right: str
    ) -> None:
        report = await import_stations(now=NOW, file=(STATIONS_HEADER + "9,22.5,114.1,1,0\n" + line + "\n").encode())
        assert counts(report) == (2, 1, 0, 0, 1)
        (refusal, *_) = [r for r in report.refused if r.field == field]
        assert refusal.line == 3
        assert right in refusal.right

    async def test_tells_everything_that_is_wrong_with_a_row(self) -> None:
        report = await import_stations(now=NOW, file=(STATIONS_HEADER + "1,x,y,-,1\n").encode())
        assert [refusal.field for refusal in report.refused] == ["lat", "lng", "fast_chargers"]
        assert report.refused_rows == 1

    async def test_refuses_the_second_row_of_one_station(self) -> None:
        report = await import_stations(
            now=NOW, file=(STATIONS_HEADER + "1,22.5,114.1,1,0\n1,22.6,114.1,1,0\n").encode()
        )
        assert counts(report) == (2, 1, 0, 0, 1)
        assert report.refused[0].right == "one row for each station; row 2 has it already"

    async def test_refuses_the_station_of_another_company(self) -> None:
        await add_station(code="SZ-1")
        report = await import_stations(
            now=NOW,
            file=(STATIONS_HEADER + "1,22.5,114.1,1,0\n").encode(),
            operator_company_id=await add_company(name="远邻充电"),
        )
        assert counts(report) == (1, 0, 0, 0, 1)

    async def test_changes_what_changed_and_retires_chargers_no_longer_counted(self) -> None:
        await import_stations(now=NOW, file=(STATIONS_HEADER + "1,22.5,114.1,2,1\n2,22.5,114.1,1,1\n").encode())
        station = await stations.get_station_by_code(code="SZ-1")
        before = {gun.id for gun in await stations.list_connectors(station_id=station.id)}
        report = await import_stations(
            now=NOW, file=(STATIONS_HEADER + "1,22.6,114.1,1,1\n2,22.5,114.1,1,1\n").encode()
        )
        assert counts(report) == (2, 0, 1, 1, 0)
        after = await stations.list_connectors(station_id=station.id)
        assert {gun.id for gun in after} == before
        assert [gun.in_service for gun in after] == [True, False, True]
        report = await import_stations(now=NOW, file=(STATIONS_HEADER + "1,22.6,114.1,2,1\n").encode())
        assert counts(report) == (1, 0, 1, 0, 0)
        assert all(gun.in_service for gun in await stations.list_connectors(station_id=station.id))

    async def test_passes_over_blank_lines_and_a_byte_order_mark_and_takes_extra_columns(self) -> None:
        text = "\ufeffname,slow_chargers,station_id,lat,lng,fast_chargers\r\n\r\n甲站,1,7,22.5,114.1,0\r\n,,,,,\r\n"
        assert counts(await import_stations(now=NOW, file=text.encode())) == (1, 1, 0, 0, 0)
        assert (await stations.get_station_by_code(code="SZ-7")).name == "甲站"


class TestImportCommunities:
    @pytest.mark.parametrize(
        ("line", "field"),
        [
            (",东城区,116.4,39.9", "name"),
            ("甲,,116.4,39.9", "district"),
            ("甲,东城区,39.9,116.4", "lat"),
            ("甲\x00,东城区,116.4,39.9", "name"),
            ("甲" * 121 + ",东城区,116.4,39.9", "name"),
        ],
    )
    async def test_refuses_a_bad_row(self, line: str, field: str) -> None:
        report = await import_communities(now=NOW, file=(COMMUNITIES_HEADER + line + "\n").encode())
        assert (report.added, report.refused[0].field) == (0, field)

    async def test_takes_one_name_in_two_districts_but_not_twice_in_one(self) -> None:
        text = COMMUNITIES_HEADER + "甲,东城区,116.4,39.9\n甲,西城区,116.3,39.9\n甲,东城区,116.5,39.9\n"
        assert counts(await import_communities(now=NOW, file=text.encode())) == (3, 2, 0, 0, 1)


class TestABrokenFile:
    @pytest.mark.parametrize(
        ("data", "problem"),
        [
            (b"", "empty"),
            (b" \n \n", "empty"),
            ("name,district,lng,lat\n甲,东城区,116.4,39.9\n".encode("gbk"), "not UTF-8"),
            (b"name,district\nA,B\n", "the header lacks lng, lat"),
            (b"name;district;lng;lat\nA;B;1;2\n", "the header lacks name, district, lng, lat"),
            (b"\x89PNG\r\n\x1a\n\x00", "not UTF-8"),
            (b"name,district,lng,lat\n" + b"x" * 200_000 + b",B,1,2\n", "not a CSV"),
        ],
    )
    async def test_is_refused_whole_with_the_reason(self, data: bytes, problem: str) -> None:
        with pytest.raises(FileRefused) as refused:
            await import_communities(now=NOW, file=data)
        assert problem in refused.value.params["problem"]

    async def test_that_is_not_there_is_named(self) -> None:
        with pytest.raises(FileRefused) as refused:
            await import_stations(now=NOW, file=Path("/nowhere/stations.csv"))
        assert "/nowhere/stations.csv: No such file" in refused.value.params["problem"]
