"""Importing compounds and stations from CSV files: safe to repeat, row by row, with a reason for each row refused."""

import csv
import io
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from uuid import UUID

import msgspec

from backend.accounts import service as accounts
from backend.core import db
from backend.core.errors import Invalid
from backend.stations import store_import
from backend.stations.rules.rows import (
    CommunityRow,
    RefusedRow,
    StationRow,
    read_community,
    read_station,
    read_table,
)

COMMUNITY_COLUMNS = ("name", "district", "lng", "lat")
STATION_COLUMNS = ("station_id", "lat", "lng", "fast_chargers", "slow_chargers")
BATCH = 100
FAST_POWER_W, SLOW_POWER_W = 60_000, 7000
"""What a fast and a slow charger of a file without powers is taken for."""
PUBLIC_COMPANY_CODE, PUBLIC_COMPANY_NAME = "public-data", "公开数据充电站"
"""The company that holds stations of public data sets, which no operator company of ours runs."""
CODE_PREFIX = "SZ-"

Progress = Callable[[int, int], None]
"""Called with (rows done, rows in all) as the import goes on."""


class FileRefused(Invalid):
    """The file as a whole cannot be read; nothing was imported."""

    code = "file_refused"
    title_en = "The file cannot be read"
    title_zh = "文件无法读取"
    detail_en = "{problem}"
    detail_zh = "文件无法读取：须为 UTF-8 编码、带表头的 CSV。"


class ImportReport(msgspec.Struct, frozen=True, kw_only=True):
    """What became of the file's rows: `rows` = `added` + `updated` + `unchanged` + the rows in `refused`."""

    rows: int
    added: int
    updated: int
    unchanged: int
    refused: tuple[RefusedRow, ...]

    @property
    def refused_rows(self) -> int:
        """How many rows were refused; one row may be refused for several fields."""
        return len({refusal.line for refusal in self.refused})


def _ignore(done: int, total: int) -> None:
    """Report to nobody."""


def _open(source: Path | bytes) -> Iterator[list[str]]:
    if isinstance(source, bytes):
        data = source
    else:
        try:
            data = source.read_bytes()
        except OSError as error:
            raise FileRefused(problem=f"{source}: {error.strerror or error}") from error
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise FileRefused(
            problem=f"byte {error.start} is not UTF-8; save the file as UTF-8 (in Excel: 'CSV UTF-8')"
        ) from error
    if not text.strip():
        raise FileRefused(problem="the file is empty; the first line names the columns")
    return csv.reader(io.StringIO(text, newline=""))


def _table(source: Path | bytes, columns: Sequence[str]) -> list[tuple[int, dict[str, str] | RefusedRow]]:
    try:
        return list(read_table(_open(source), columns))
    except KeyError as error:
        raise FileRefused(
            problem=f"the header lacks {error.args[0]}; it must name {', '.join(columns)}, separated by commas"
        ) from error
    except csv.Error as error:
        raise FileRefused(problem=f"not a CSV: {error}") from error


def read_columns(
    content: bytes, columns: Sequence[str], *, alternative: Sequence[str]
) -> list[tuple[int, dict[str, str] | RefusedRow]]:
    """Return the rows of a CSV that names `columns`, or instead of them those of `alternative`; raises FileRefused."""
    try:
        return _table(content, columns)
    except FileRefused:
        try:
            return _table(content, alternative)
        except FileRefused:
            pass
        raise


async def import_communities(
    *, file: Path | bytes, now: datetime, on_progress: Progress = _ignore, source: str = ""
) -> ImportReport:
    """Add or change compounds by name and district (columns name, district, lng, lat; GCJ-02); raises FileRefused."""
    table = _table(file, COMMUNITY_COLUMNS)
    refused: list[RefusedRow] = []
    taken: dict[tuple[str, str], CommunityRow] = {}
    for number, fields in table:
        found = [fields] if isinstance(fields, RefusedRow) else read_community(number, fields)
        if isinstance(found, list):
            refused.extend(found)
            continue
        first = taken.setdefault((found.name, found.district), found)
        if first is not found:
            refused.append(
                RefusedRow(
                    line=number,
                    field="name",
                    value=found.name,
                    right=f"one row for each name in a district; row {first.row} has it already",
                )
            )
    rows = list(taken.values())
    written: list[bool] = []
    for start in range(0, len(rows), BATCH):
        written += await store_import.put_communities(rows[start : start + BATCH], source or _name_of(file), now)
        on_progress(len(table) - len(rows) + min(start + BATCH, len(rows)), len(table))
    on_progress(len(table), len(table))
    return ImportReport(
        rows=len(table),
        added=sum(written),
        updated=len(written) - sum(written),
        unchanged=len(rows) - len(written),
        refused=tuple(refused),
    )


async def import_stations(
    *,
    file: Path | bytes,
    now: datetime,
    on_progress: Progress = _ignore,
    source: str = "",
    operator_company_id: UUID | None = None,
    code_prefix: str = CODE_PREFIX,
) -> ImportReport:
    """Add or change stations by `code_prefix` + station_id (columns station_id, lat, lng, fast_chargers,
    slow_chargers).

    They have no devices, so their connectors are unknown, never free, and they are not pilot stations. Without a
    company they go to the holder of public data. A charger that is no longer counted is retired. Raises FileRefused.
    """
    table = _table(file, STATION_COLUMNS)
    if operator_company_id is None:
        operator_company_id = await accounts.add_operator_company(
            code=PUBLIC_COMPANY_CODE, name=PUBLIC_COMPANY_NAME, now=now
        )
    refused: list[RefusedRow] = []
    taken: dict[str, StationRow] = {}
    for number, fields in table:
        found = [fields] if isinstance(fields, RefusedRow) else read_station(number, fields)
        if isinstance(found, list):
            refused.extend(found)
            continue
        first = taken.setdefault(found.station_id, found)
        if first is not found:
            refused.append(
                RefusedRow(
                    line=number,
                    field="station_id",
                    value=found.station_id,
                    right=f"one row for each station; row {first.row} has it already",
                )
            )
    foreign = await store_import.list_foreign_codes([code_prefix + key for key in taken], operator_company_id)
    for row in [row for key, row in taken.items() if code_prefix + key in foreign]:
        del taken[row.station_id]
        refused.append(
            RefusedRow(
                line=row.row,
                field="station_id",
                value=row.station_id,
                right="a new station, or one of your own company without devices",
            )
        )
    rows = list(taken.values())
    added = updated = 0
    for start in range(0, len(rows), BATCH):
        batch = rows[start : start + BATCH]
        new, touched = await _put_batch(batch, code_prefix, operator_company_id, source or _name_of(file), now)
        added += len(new)
        updated += len(touched - new)
        on_progress(len(table) - len(rows) + start + len(batch), len(table))
    on_progress(len(table), len(table))
    return ImportReport(
        rows=len(table),
        added=added,
        updated=updated,
        unchanged=len(rows) - added - updated,
        refused=tuple(sorted(refused, key=lambda refusal: refusal.line)),
    )


async def _put_batch(
    batch: Sequence[StationRow], prefix: str, company_id: UUID, source: str, now: datetime
) -> tuple[set[str], set[str]]:
    codes = [prefix + row.station_id for row in batch]
    chargers = [
        (code, f"{code}-{letter}{number:02d}", kind, power_w)
        for code, row in zip(codes, batch, strict=True)
        for letter, kind, power_w, count in (("F", "dc", FAST_POWER_W, row.fast), ("S", "ac", SLOW_POWER_W, row.slow))
        for number in range(1, count + 1)
    ]
    async with db.transaction():
        written = await store_import.put_stations(batch, codes, company_id, source, now)
        touched = {row["code"] for row in written}
        if chargers:
            touched |= await store_import.put_chargers(*(list(column) for column in zip(*chargers, strict=True)))
        touched |= await store_import.retire_chargers(codes, [charger[1] for charger in chargers])
    return {row["code"] for row in written if row["added"]}, touched


def _name_of(file: Path | bytes) -> str:
    return "upload" if isinstance(file, bytes) else file.name[:120]
