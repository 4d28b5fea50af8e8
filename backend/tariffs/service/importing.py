"""Price tables from CSV and XLSX: read whole, checked whole, then drafted whole or not at all."""

import asyncio
import csv
import io
import zipfile
import zlib
from collections.abc import Iterable
from datetime import datetime, time, timedelta
from typing import Any
from uuid import UUID
from xml.etree.ElementTree import ParseError

import msgspec
import openpyxl
from openpyxl.utils.exceptions import InvalidFileException

from backend.core import db
from backend.core.errors import Invalid
from backend.stations import service as stations
from backend.tariffs import service as tariffs
from backend.tariffs.rules.sheet import RowFault, SheetRead, SheetVersion, read_sheet
from backend.tariffs.rules.versions import TariffVersionView
from backend.tariffs.service import groups

MAX_BYTES = 2 * 1024 * 1024
MAX_ROWS = 5_000
MAX_UNPACKED = 50 * 1024 * 1024
"""What a spreadsheet may unpack to: one of 2 MB that becomes gigabytes is an attack, not a price table."""
SHOWN = 200
DAMAGED = (
    zipfile.BadZipFile,
    InvalidFileException,
    ParseError,
    zlib.error,
    KeyError,
    IndexError,
    ValueError,
    TypeError,
    AttributeError,
    OSError,
)
"""What openpyxl, zip and XML raise over a damaged or foreign workbook; nothing else is done within."""


class TariffImportRefused(Invalid):
    """The table has wrong rows; nothing of it was taken."""

    code = "tariff_import_refused"
    title_en = "The price table has wrong rows"
    title_zh = "价格表有误"
    detail_en = (
        "{count} cells are wrong, the first in row {row}, column {column}: right is {right}. Nothing was imported."
    )
    detail_zh = "共 {count} 处有误，第一处在第 {row} 行 {column} 列，应为：{right}。未导入任何内容。"


class TariffFileUnreadable(Invalid):
    """The file is no CSV and no XLSX that can be read."""

    code = "tariff_file_unreadable"
    title_en = "The file cannot be read"
    title_zh = "文件无法读取"
    detail_en = "{problem}. Send a CSV (UTF-8 or GB18030) or an XLSX workbook with one header row."
    detail_zh = "请上传带一行表头的 CSV（UTF-8 或 GB18030）或 XLSX 文件：{problem}。"


class ImportReport(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a table: how many rows it has and the versions drafted from it (none in a dry run)."""

    rows: int
    versions_found: int
    drafted: list[TariffVersionView]


async def import_table(
    *, content: bytes, operator_company_id: UUID, actor_id: UUID, now: datetime, dry_run: bool
) -> ImportReport:
    """Draft every version of a price table; raises TariffFileUnreadable, TariffImportRefused with all wrong cells.

    A dry run checks everything and writes nothing.
    """
    rows = await asyncio.get_running_loop().run_in_executor(None, read_rows, content)
    found = read_sheet(rows)
    faults = list(found.faults)
    places: dict[int, tuple[UUID | None, UUID | None]] = {}
    if not faults:
        places, faults = await _places(found, operator_company_id)
    if faults:
        first = faults[0]
        raise TariffImportRefused(
            count=len(faults),
            row=first.row,
            column=first.column,
            right=first.right,
            rows=[msgspec.structs.asdict(fault) for fault in faults[:SHOWN]],
        )
    drafted: list[TariffVersionView] = []
    if not dry_run:
        async with db.transaction():
            for version in found.versions:
                drafted.append(await _draft(version, places[version.row], operator_company_id, actor_id, now))  # noqa: PERF401
    return ImportReport(rows=found.rows, versions_found=len(found.versions), drafted=drafted)


async def _draft(
    version: SheetVersion, place: tuple[UUID | None, UUID | None], company_id: UUID, actor_id: UUID, now: datetime
) -> TariffVersionView:
    return await tariffs.draft_version(
        operator_company_id=company_id,
        station_id=place[0],
        station_group_id=place[1],
        supply_class=version.supply_class,
        name=version.name,
        effective_from=version.effective_from,
        effective_to=version.effective_to,
        spans=version.spans,
        prices=version.prices,
        parking=version.parking,
        actor_id=actor_id,
        now=now,
    )


async def _places(
    found: SheetRead, company_id: UUID
) -> tuple[dict[int, tuple[UUID | None, UUID | None]], list[RowFault]]:
    """Return station and group of each version by its first row, and those that the company does not have."""
    by_code = {s.code: s.id for s in await stations.list_stations(operator_company_id=company_id)}
    by_name = {g.name: g.id for g in await groups.list_groups(company_ids=frozenset({company_id}))}
    places: dict[int, tuple[UUID | None, UUID | None]] = {}
    faults = []
    for version in found.versions:
        places[version.row] = (by_code.get(version.station), by_name.get(version.group))
        for column, value, known in (("station", version.station, by_code), ("group", version.group, by_name)):
            if value and value not in known:
                faults.append(
                    RowFault(
                        row=version.row,
                        column=column,
                        code=f"unknown_{column}",
                        value=value,
                        right=f"a {column} of the company, or empty for all of the supply class",
                    )
                )
    return places, faults


def read_rows(content: bytes) -> list[list[str]]:
    """Return the cells of a CSV or of a workbook's first sheet as text; raises TariffFileUnreadable."""
    if not content.strip():
        raise TariffFileUnreadable(field="file", problem="the file is empty")
    if len(content) > MAX_BYTES:
        raise TariffFileUnreadable(field="file", problem="larger than 2 MB")
    rows = _workbook(content) if content.startswith(b"PK\x03\x04") else _csv(content)
    if len(rows) > MAX_ROWS:
        raise TariffFileUnreadable(field="file", problem=f"more than {MAX_ROWS} rows")
    return rows


def _csv(content: bytes) -> list[list[str]]:
    for encoding in ("utf-8-sig", "gb18030"):
        try:
            text = content.decode(encoding)
            break
        except UnicodeDecodeError:
            continue
    else:
        raise TariffFileUnreadable(field="file", problem="neither UTF-8 nor GB18030 text")
    if "\x00" in text:
        raise TariffFileUnreadable(field="file", problem="not a text file")
    try:
        return list(csv.reader(io.StringIO(text, newline=""), strict=True))
    except csv.Error as error:
        raise TariffFileUnreadable(field="file", problem=f"not a CSV: {error}") from error


def _workbook(content: bytes) -> list[list[str]]:
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as packed:
            if sum(entry.file_size for entry in packed.infolist()) > MAX_UNPACKED:
                raise TariffFileUnreadable(field="file", problem="the workbook is too large when unpacked")
        book = openpyxl.load_workbook(io.BytesIO(content), read_only=True, data_only=True)
        sheet = book.worksheets[0]
        sheet.reset_dimensions()
        rows = []
        for n, cells in enumerate(sheet.iter_rows(values_only=True)):
            if n > MAX_ROWS:
                break
            rows.append(_texts(cells))
        book.close()
    except TariffFileUnreadable:
        raise
    except Exception as error:
        raise TariffFileUnreadable(field="file", problem="a damaged or foreign workbook") from error
    return rows


def _texts(cells: Iterable[Any]) -> list[str]:
    return [_text(cell) for cell in cells]


def _text(cell: Any) -> str:
    """A cell as a person reads it: numbers with Excel's 15 digits, times and dates in the forms of a CSV."""
    match cell:
        case None:
            return ""
        case bool():
            return str(cell)
        case float():
            text = f"{cell:.15g}"
            return text if "e" not in text else f"{cell:f}"
        case datetime() if cell.year <= 1900:  # a time of the day that Excel keeps as a day of 1900; 1.0 is 24:00
            return "24:00" if (cell.hour, cell.minute) == (0, 0) else f"{cell:%H:%M}"
        case datetime():
            return f"{cell:%Y-%m-%d %H:%M}"
        case time():
            return f"{cell:%H:%M}"
        case timedelta():
            minutes = cell // timedelta(minutes=1)
            return f"{minutes // 60:02}:{minutes % 60:02}"
        case _:
            return str(cell)
