"""Price tables: what a sheet may say, and every wrong cell told; nothing of a half broken file is taken."""

import io
import random
import zipfile
from datetime import datetime, time
from itertools import pairwise
from typing import Any

import httpx
import openpyxl
import pytest

from backend.core import db
from backend.core.services import Services
from backend.tariffs.rules.sheet import read_sheet
from backend.tariffs.service import importing
from backend.tariffs.service.importing import TariffFileUnreadable, read_rows
from tests.cast import LI, SUN
from tests.factories.accounts import log_in

HEADER = "supply_class,effective_from,from,to,band,energy,agreement_service,market_service"
ROWS = [
    "below_1kv,2026-07-01,00:00,07:00,valley,0.5476,0.3000,0.6000",
    "below_1kv,2026-07-01,07:00,23:00,peak,1.0737,0.5000,0.8",
    "below_1kv,2026-07-01,23:00,24:00,valley,0.5476,0.3000,0.6000",
]

SPOILT = ["", "24:00", "0.5", "0.50001", "valley", "１", "\x00", "9" * 40, "-", "07:00", "2026-07-01"]
FIRST_OF_JULY = datetime(2026, 7, 1)  # noqa: DTZ001  as a spreadsheet keeps it


def sheet(*rows: str, header: str = HEADER) -> list[list[str]]:
    return [header.split(","), *(row.split(",") for row in rows)]


def changed(row: int, column: str, value: str) -> list[list[str]]:
    """The right table with one cell changed; rows are numbered as in a spreadsheet."""
    cells = sheet(*ROWS)
    cells[row - 1][HEADER.split(",").index(column)] = value
    return cells


def workbook(rows: list[list[Any]]) -> bytes:
    book = openpyxl.Workbook()
    for row in rows:
        book.active.append(row)
    made = io.BytesIO()
    book.save(made)
    return made.getvalue()


class TestReadSheet:
    def test_makes_a_version_of_the_rows_of_one_scope(self) -> None:
        found = read_sheet(sheet(*ROWS))
        [version] = found.versions
        assert (found.faults, found.rows, len(version.spans), len(version.prices)) == ([], 3, 3, 4)
        assert {(p.user_class, p.band, p.energy_e4, p.service_e4) for p in version.prices} == {
            ("agreement", "valley", 5476, 3000),
            ("market", "valley", 5476, 6000),
            ("agreement", "peak", 10737, 5000),
            ("market", "peak", 10737, 8000),
        }
        assert version.effective_from.isoformat() == "2026-07-01T00:00:00+08:00"

    def test_takes_chinese_headers_bands_and_classes_and_several_versions(self) -> None:
        header = "供电类别,站点编码,生效时间,月份,开始,结束,时段,电价（元/度）,协议服务费,市场服务费,停车费(元/小时)"
        found = read_sheet(
            sheet(
                "不满1千伏,,2026-07-01 00:00,1-6、9-12,00:00,24:00,平,0.7970,0.45,0.7,2.50",
                "不满1千伏,,2026-07-01 00:00,7-8,00:00,24:00,尖,1.2,0.45,0.7,2.50",
                "转供电,A01,2026-08-01,,00:00,24:00,谷,0.8,0.1,0.2,0",
                header=header,
            )
        )
        assert found.faults == []
        first, second = found.versions
        assert [(s.band, s.months) for s in first.spans] == [
            ("flat", (1, 2, 3, 4, 5, 6, 9, 10, 11, 12)),
            ("sharp", (7, 8)),
        ]
        assert (first.parking.fen_per_hour, second.supply_class, second.station) == (250, "resold", "A01")

    @pytest.mark.parametrize(
        ("row", "column", "value", "code", "right"),
        [
            (2, "energy", "０．５４７６", "full_width", "0.5476"),
            (3, "agreement_service", "０.5", "full_width", "0.5"),
            (2, "to", "07：00", "full_width", "07:00"),
            (3, "market_service", "0.80001", "too_many_decimals", "at most 4 decimals"),
            (3, "agreement_service", "0.5001", "agreement_price_above_cap", "at most 0.5000"),
            (3, "agreement_service", "5000", "too_large", "yuan, not fen"),
            (4, "energy", "", "missing", "a value"),
            (4, "energy", "0.5476元", "not_a_number", "no unit"),
            (4, "energy", "1e-1", "not_a_number", "digits with a point"),
            (4, "energy", "-0.1", "negative", "0 or more"),
            (2, "band", "night", "unknown_band", "sharp, peak, flat or valley"),
            (2, "supply_class", "10kV", "unknown_supply_class", "below_1kv"),
            (2, "effective_from", "2026-02-30", "date_invalid", "YYYY-MM-DD"),
            (2, "effective_from", "1.7.2026", "date_invalid", "YYYY-MM-DD"),
            (4, "to", "23:60", "time_invalid", "HH:MM"),
            (4, "to", "25:00", "time_invalid", "HH:MM"),
        ],
    )
    def test_names_the_row_the_column_and_what_is_right(
        self, row: int, column: str, value: str, code: str, right: str
    ) -> None:
        [fault] = read_sheet(changed(row, column, value)).faults
        assert (fault.row, fault.column, fault.code) == (row, column, code)
        assert right in fault.right

    def test_names_a_hole_an_overlap_and_two_prices_of_a_band(self) -> None:
        [hole] = read_sheet(sheet(*ROWS[:2])).faults
        assert (hole.row, hole.column, hole.code) == (2, "spans", "band_gap")
        assert "23:00 to 24:00" in hole.right
        [overlap] = read_sheet(changed(3, "from", "06:00")).faults
        assert (overlap.code, "06:00 to 07:00" in overlap.right) == ("band_overlap", True)
        [conflict] = read_sheet(changed(4, "energy", "0.6")).faults
        assert (conflict.row, conflict.column, conflict.code) == (4, "energy", "price_conflict")

    @pytest.mark.parametrize(
        ("header", "codes"),
        [
            ("", {"missing_column"}),
            (HEADER.replace("energy", "price"), {"unknown_column", "missing_column"}),
            (HEADER + ",band", {"unknown_column"}),
        ],
    )
    def test_refuses_a_wrong_header_with_every_column_named(self, header: str, codes: set[str]) -> None:
        found = read_sheet(sheet(*ROWS, header=header))
        assert {fault.code for fault in found.faults} == codes
        assert found.versions == []

    @pytest.mark.parametrize("seed", range(300))
    def test_never_raises_over_a_spoilt_table_and_takes_nothing_that_breaks_a_rule(self, seed: int) -> None:
        chance = random.Random(seed)
        cells = sheet(*ROWS)
        for _ in range(chance.randint(1, 3)):
            row = cells[chance.randrange(len(cells))]
            at = chance.randrange(len(row))
            row[at] = chance.choice(
                ["", "24:00", "0.5", "0.50001", "valley", "１", "\x00", "9" * 40, "-", "07:00", "2026-07-01"]
            )
        found = read_sheet(cells)
        for version in found.versions if not found.faults else []:
            for month in range(1, 13):
                minutes = sorted((s.from_min, s.to_min) for s in version.spans if month in s.months)
                assert minutes[0][0] == 0 and minutes[-1][1] == 1440
                assert all(a[1] == b[0] for a, b in pairwise(minutes))
            assert all(p.service_e4 <= 5000 for p in version.prices if p.user_class == "agreement")


class TestReadRows:
    def test_reads_utf8_with_mark_and_gb18030_alike(self) -> None:
        text = "供电类别,生效时间\r\n转供电,2026-07-01\r\n"
        expected = [["供电类别", "生效时间"], ["转供电", "2026-07-01"]]
        assert read_rows(text.encode("utf-8-sig")) == read_rows(text.encode("gb18030")) == expected

    def test_reads_a_workbook_with_numbers_dates_and_times(self) -> None:
        rows: list[list[Any]] = [HEADER.split(",")]
        rows.append(["below_1kv", FIRST_OF_JULY, time(0), time(7), "valley", 0.5476, 0.3, 0.1 + 0.5])
        rows.append(["below_1kv", FIRST_OF_JULY, time(7), "24:00", "peak", 1.0737, 0.5, 1])
        found = read_sheet(read_rows(workbook(rows)))
        assert found.faults == []
        assert found.versions[0].prices[1].service_e4 == 6000

    @pytest.mark.parametrize(
        ("content", "problem"),
        [
            (b"", "empty"),
            (b" \n", "empty"),
            (b"\xff\xfe\xff\xff\xff", "neither UTF-8 nor GB18030"),
            (b"a,b\x00c", "not a text file"),
            (b'a,"b\nc', "not a CSV"),
            (b"x" * (importing.MAX_BYTES + 1), "larger than 2 MB"),
            (b"a\n" * (importing.MAX_ROWS + 1), "more than 5000 rows"),
            (b"PK\x03\x04 no zip at all", "damaged"),
        ],
    )
    def test_refuses_what_is_no_table(self, content: bytes, problem: str) -> None:
        with pytest.raises(TariffFileUnreadable) as refused:
            read_rows(content)
        assert problem in str(refused.value.params["problem"])

    def test_refuses_a_workbook_that_unpacks_to_much_more_and_one_that_is_another_zip(self) -> None:
        made = io.BytesIO()
        with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as packed:
            packed.writestr("xl/workbook.xml", b"0" * (importing.MAX_UNPACKED + 1))
        for content, problem in ((made.getvalue(), "too large"), (workbook([[1]])[:2000], "damaged")):
            with pytest.raises(TariffFileUnreadable) as refused:
                read_rows(content)
            assert problem in str(refused.value.params["problem"])


class TestImportOverHttp:
    async def _send(
        self, api: httpx.AsyncClient, headers: dict[str, str], content: bytes, **query: str
    ) -> httpx.Response:
        return await api.post(
            "/v1/operator/tariffs/import", files={"file": ("prices.csv", content)}, params=query, headers=headers
        )

    async def test_drafts_every_version_of_the_table_and_a_dry_run_none(
        self, api: httpx.AsyncClient, services: Services, now: datetime
    ) -> None:
        li = (await log_in(LI, services=services, now=now)).headers
        content = "\n".join([HEADER, *ROWS, *(row.replace("below_1kv", "resold") for row in ROWS)]).encode()
        dry = await self._send(api, li, content, dry_run="true")
        assert (dry.status_code, dry.json()["versions_found"], dry.json()["drafted"]) == (201, 2, []), dry.text
        assert await db.fetchval("SELECT count(*) FROM tariff_version") == 0
        made = (await self._send(api, li, content)).json()
        assert [(v["supply_class"], v["status"]) for v in made["drafted"]] == [
            ("below_1kv", "draft"),
            ("resold", "draft"),
        ]

    async def test_takes_nothing_of_a_half_broken_table_and_reports_every_row(
        self, api: httpx.AsyncClient, services: Services, now: datetime
    ) -> None:
        li = (await log_in(LI, services=services, now=now)).headers
        bad = [*ROWS, ROWS[0].replace("below_1kv", "resold").replace("0.5476", "０.5476"), "resold,,,,,,,"]
        answer = await self._send(api, li, "\n".join([HEADER, *bad]).encode())
        told = answer.json()
        assert (answer.status_code, told["code"]) == (422, "tariff_import_refused")
        assert told["rows"][0] == {
            "row": 5, "column": "energy", "code": "full_width", "value": "０.5476", "right": "0.5476",
        }  # fmt: skip
        assert {fault["row"] for fault in told["rows"]} == {5, 6}
        assert await db.fetchval("SELECT count(*) FROM tariff_version") == 0

    async def test_refuses_a_station_the_company_does_not_have_no_file_and_an_inspector(
        self, api: httpx.AsyncClient, services: Services, now: datetime
    ) -> None:
        li = (await log_in(LI, services=services, now=now)).headers
        sun = (await log_in(SUN, services=services, now=now)).headers
        content = "\n".join([HEADER + ",station", *(row + ",NOWHERE" for row in ROWS)]).encode()
        told = (await self._send(api, li, content)).json()
        assert [(f["row"], f["column"], f["code"]) for f in told["rows"]] == [(2, "station", "unknown_station")]
        nothing = await api.post("/v1/operator/tariffs/import", files={"other": ("x", b"y")}, headers=li)
        assert (nothing.status_code, nothing.json()["code"]) == (422, "tariff_file_unreadable")
        assert (await self._send(api, sun, content)).status_code == 403
