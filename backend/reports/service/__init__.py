"""The month of an operator company as a workbook: every bill, statement, movement of money and ledger entry."""

from collections import Counter
from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, TypedDict
from uuid import UUID

import msgspec

from backend.accounts import service as accounts
from backend.charging.service import months
from backend.core import audit, db
from backend.core.errors import Invalid
from backend.payments.service import books
from backend.reports.rules.months import read_month
from backend.reports.rules.sheets import SheetName
from backend.reports.service.workbook import MonthWorkbook
from backend.stations import service as stations


class Span(TypedDict):
    """Whose books, from when to when (half-open)."""

    operator_company_id: UUID
    from_at: datetime
    to_at: datetime


class MonthInvalid(Invalid):
    """The month is not one, or has not begun."""

    code = "month_invalid"
    title_en = "There is no such month"
    title_zh = "月份无效"
    detail_en = "The month is written like 2026-06 (Asia/Shanghai) and has begun."
    detail_zh = "月份格式为 2026-06（北京时间），且须已开始。"


async def write_month(
    *,
    operator_company_id: UUID,
    month: str,
    file: Path,
    locale: str,
    actor_id: UUID | None,
    actor_role: str,
    now: datetime,
) -> None:
    """Write the month's workbook (XLSX) to `file`; of a month that runs, what was booked before `now`.

    What counts is when something was booked: bills by their closing, statements by their making (they are of the month
    before), payments, refunds and entries by the ledger. No personal data is in it. Raises MonthInvalid.
    """
    wanted = read_month(month, now=now)
    if wanted is None:
        raise MonthInvalid(field="month", value=month[:20])
    company = await accounts.get_operator_company(company_id=operator_company_id)
    to_at = min(wanted.to_at, now)
    span: Span = {"operator_company_id": operator_company_id, "from_at": wanted.from_at, "to_at": to_at}
    book = MonthWorkbook(locale)
    totals: Counter[str] = Counter()
    names = {s.id: s.name for s in await stations.list_stations(operator_company_id=operator_company_id)}
    async for orders in months.iterate_orders(**span):
        for order in orders:
            book.add("orders", {**_fields(order), "station": names.get(order.station_id, "")})
            for line in order.lines:
                book.add("lines", {"order_id": order.order_id, **_fields(line)})
            totals.update(_amounts(order))
    async for statements in months.iterate_statements(**span):
        for statement in statements:
            for package in statement.packages:
                name = package.name_zh if locale == "zh-CN" else package.name_en
                whole = {**_fields(statement), **_fields(package), "statement_id": statement.id, "name": name}
                book.add("packages", whole)
    await _fill(book, "corrections", months.iterate_corrections(**span))
    await _fill(book, "payments", books.iterate_payments(**span))
    await _fill(book, "refunds", books.iterate_refunds(**span))
    await _fill(book, "ledger", books.iterate_legs(**span))
    days = await books.list_days(operator_company_id=operator_company_id, from_day=wanted.first, to_day=wanted.end)
    for day in days:
        book.add("days", _fields(day))
    accounts_moved = await books.sum_by_account(**span)
    book.summarise(
        company=company.name,
        month=wanted.name,
        until=to_at,
        totals=totals,
        accounts=accounts_moved,
        differences=sum(day.differences for day in days),
    )
    await book.save(file)
    async with db.transaction():
        await audit.record(
            actor_id=actor_id,
            actor_role=actor_role,
            action="month.exported",
            object_kind="operator_company",
            object_id=operator_company_id,
            detail={"month": wanted.name, "rows": book.rows},
            now=now,
            operator_company_id=operator_company_id,
        )


async def _fill(book: MonthWorkbook, sheet: SheetName, pages: AsyncIterator[Sequence[Any]]) -> None:
    async for page in pages:
        for row in page:
            book.add(sheet, _fields(row))


def _fields(row: Any) -> dict[str, Any]:
    if isinstance(row, msgspec.Struct):
        return msgspec.structs.asdict(row)
    return {name: getattr(row, name) for name in row.__dataclass_fields__}


def _amounts(order: months.MonthOrder) -> dict[str, int]:
    return {
        "orders": 1,
        **{name: value for name, value in _fields(order).items() if name.endswith(("_fen", "energy_wh"))},
    }
