"""The XLSX file: rows go to disk as they come, so that a month of a district needs no more memory than a page."""

import asyncio
from collections.abc import Mapping
from datetime import date, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from openpyxl import Workbook
from openpyxl.cell import WriteOnlyCell
from openpyxl.cell.cell import ILLEGAL_CHARACTERS_RE
from openpyxl.styles import Font

from backend.reports.rules.months import BEIJING
from backend.reports.rules.sheets import COLUMNS, TITLES, SheetName, fields_of, headings_of, title_of

ROWS_A_SHEET = 1_000_000
"""A sheet of XLSX ends at 1,048,576 rows; what is more goes on in a second one."""

SUMMARY_LINES = (
    ("orders", "订单数", "Orders"),
    ("energy_wh", "电量(Wh)", "Energy (Wh)"),
    ("energy_fee_fen", "电费(分)", "Energy fees (fen)"),
    ("service_fee_fen", "服务费(分)", "Service fees (fen)"),
    ("overstay_fee_fen", "占位费(分)", "Overstay fees (fen)"),
    ("parking_fee_fen", "停车费(分)", "Parking fees (fen)"),
    ("discount_fen", "优惠(分)", "Discounts (fen)"),
    ("total_fen", "订单合计(分)", "Total of the orders (fen)"),
)


class MonthWorkbook:
    """A workbook that is being written; `rows` counts what is in it."""

    def __init__(self, locale: str) -> None:
        self._locale = locale
        self._book = Workbook(write_only=True)
        self._summary = self._book.create_sheet(title_of("summary", locale))
        self._sheets: dict[str, Any] = {}
        self._counts = dict.fromkeys(TITLES, 0)
        for name in COLUMNS:
            self._open(name, title_of(name, locale))

    @property
    def rows(self) -> int:
        """Return how many rows were added."""
        return sum(self._counts.values())

    def _open(self, name: SheetName, title: str) -> None:
        sheet = self._book.create_sheet(title)
        sheet.freeze_panes = "A2"
        sheet.append([self._heading(sheet, heading) for heading in headings_of(name, self._locale)])
        self._sheets[name] = sheet

    def _heading(self, sheet: Any, text: str) -> Any:
        cell = WriteOnlyCell(sheet, value=text)
        cell.font = Font(bold=True)
        return cell

    def add(self, name: SheetName, values: Mapping[str, Any]) -> None:
        """Add a row; only the sheet's columns are taken from `values`."""
        count = self._counts[name]
        if count and count % ROWS_A_SHEET == 0:
            self._open(name, f"{title_of(name, self._locale)} ({count // ROWS_A_SHEET + 1})")
        self._counts[name] = count + 1
        sheet = self._sheets[name]
        sheet.append([_cell(sheet, values[field]) for field in fields_of(name)])

    def summarise(
        self,
        *,
        company: str,
        month: str,
        until: datetime,
        totals: Mapping[str, int],
        accounts: list[tuple[str, int, int]],
        differences: int,
    ) -> None:
        """Write the first sheet: totals of the bills, and the trial balance with its sum, which is zero."""
        chinese = self._locale == "zh-CN"
        sheet = self._summary
        lines: list[tuple[Any, ...]] = [
            ("服务商" if chinese else "Operator company", company),
            ("月份" if chinese else "Month", month),
            ("记账截至(北京时间)" if chinese else "Booked until (Asia/Shanghai)", until),
            (),
            *((zh if chinese else en, totals.get(key, 0)) for key, zh, en in SUMMARY_LINES),
            ("对账差异笔数" if chinese else "Differences to the provider's bills", differences),
            (),
            ("科目", "期初(分)", "本期(分)", "期末(分)")
            if chinese
            else ("Account", "Opening (fen)", "Month (fen)", "Closing (fen)"),
            *((account, opening, moved, opening + moved) for account, opening, moved in accounts),
            (
                "试算平衡" if chinese else "Trial balance",
                sum(opening for _, opening, _ in accounts),
                sum(moved for _, _, moved in accounts),
                sum(opening + moved for _, opening, moved in accounts),
            ),
        ]
        for line in lines:
            sheet.append([_cell(sheet, value) for value in line])

    async def save(self, file: Path) -> None:
        """Write the file (packing it takes seconds for a large month: in a thread)."""
        await asyncio.to_thread(self._book.save, file)


def _cell(sheet: Any, value: Any) -> Any:
    """Return what goes into a cell: text is never a formula, times are Beijing's wall clock."""
    if isinstance(value, str | UUID):
        cell = WriteOnlyCell(sheet, value=ILLEGAL_CHARACTERS_RE.sub("", str(value)))
        cell.data_type = "s"
        return cell
    if isinstance(value, datetime):
        cell = WriteOnlyCell(sheet, value=value.astimezone(BEIJING).replace(tzinfo=None))
        cell.number_format = "yyyy-mm-dd hh:mm:ss"
        return cell
    if isinstance(value, date):
        cell = WriteOnlyCell(sheet, value=value)
        cell.number_format = "yyyy-mm-dd"
        return cell
    return value
