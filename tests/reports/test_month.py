"""A month as a spreadsheet, recomputed by somebody else: every bill equal to the fen, the ledger equal to the bank."""

from collections import Counter
from datetime import datetime, timedelta
from io import BytesIO
from pathlib import Path
from random import Random
from typing import Any
from uuid import UUID

import httpx
import msgspec
import pytest
from openpyxl import load_workbook

from backend.charging.service import orders, statements
from backend.core import db
from backend.core.ids import new_id
from backend.core.services import Services
from backend.payments.service import PaymentSheet
from backend.reports.rules.months import read_month
from backend.reports.service import workbook
from tests.cast import ALICE, LI, SUN, WANG, ZHOU
from tests.factories.accounts import log_in
from tests.factories.reservations import add_scene
from tests.fakes import FixedClock
from tests.reports.independent import BEIJING, Charge, bill, package_fee
from tests.reports.month import JUNE, PACKAGE_FEN, TheMonth, a_month

JULY = datetime(2026, 7, 1, tzinfo=BEIJING)
Table = list[dict[str, Any]]


def read(content: bytes) -> dict[str, Table]:
    """Return the sheets of a workbook as rows by their headings."""
    book = load_workbook(BytesIO(content), read_only=True)
    found = {}
    for sheet in book.worksheets:
        rows = list(sheet.iter_rows(values_only=True))
        found[sheet.title] = [dict(zip(rows[0], row, strict=False)) for row in rows[1:]]
    return found


async def export(month: TheMonth, name: str, headers: dict[str, str]) -> dict[str, Table]:
    answer = await month.api.get(f"/v1/operator/exports/{name}", headers=headers)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-disposition"] == f'attachment; filename="linli-{name}.xlsx"'
    return read(answer.content)


def check_bills(month: TheMonth, book: dict[str, Table]) -> int:
    """Hold every bill of the workbook against the readings; returns how many."""
    lines: dict[str, list[tuple[Any, ...]]] = {}
    for row in book["Order lines"]:
        lines.setdefault(row["Order"], []).append(
            (
                row["Band"],
                row["Energy (Wh)"],
                row["Included by package (Wh)"],
                row["Energy fee (fen)"],
                row["Service fee (fen)"],
            )
        )
    by_session = {row["Session"]: row for row in book["Orders"]}
    charges: dict[UUID, Charge] = {key: charge for car in month.cars for key, charge in car.charges.items()}
    assert by_session.keys() == {str(key) for key in charges}
    for session_id, charge in charges.items():
        row = by_session[str(session_id)]
        expected = [tuple(line.values()) for line in charge.lines]
        assert sorted(lines.get(row["Order"], [])) == sorted(expected), charge.readings
        energy = sum(int(line["energy_wh"]) for line in charge.lines)
        fees = [sum(int(line[name]) for line in charge.lines) for name in ("energy_fee_fen", "service_fee_fen")]
        assert row["Energy (Wh)"] == energy == charge.readings[-1].wh - charge.readings[0].wh
        assert [row["Energy fee (fen)"], row["Service fee (fen)"]] == fees
        assert (row["Total (fen)"], row["Overstay fee (fen)"], row["Discount (fen)"]) == (sum(fees), 0, 0)
        if charge.capped:
            assert fees[1] * 100_000 <= energy * 5_000
    return len(charges)


def check_money(month: TheMonth, books: list[dict[str, Table]], days: int) -> None:
    """Hold payments, refunds and ledger of the workbooks against the provider's bills."""
    provider: Counter[str] = Counter()
    for number in range(days):
        provider.update(dict(month.provider_bill(JUNE + timedelta(days=number))))
    moved: Counter[str] = Counter()
    for book in books:
        for row in book["Payments"]:
            moved[row["Our number"]] += row["Amount (fen)"]
        for row in book["Refunds"]:
            moved[row["Our number"]] -= row["Amount (fen)"]
    assert moved == provider and len(provider) > 10
    legs = [row for book in books for row in book["Ledger"]]
    entries: Counter[str] = Counter()
    accounts: Counter[str] = Counter()
    for row in legs:
        entries[row["Entry"]] += row["Debit positive (fen)"]
        accounts[row["Account"]] += row["Debit positive (fen)"]
    assert set(entries.values()) == {0}
    assert accounts[f"provider:{month.merchant.mchid}"] == sum(provider.values())
    billed = sum(row["Total (fen)"] for book in books for row in book["Orders"])
    package = sum(row["Package fee (fen)"] for book in books for row in book["Statements"])
    assert accounts["receivable"] == billed + package - sum(provider.values())
    assert -accounts["energy_fee"] - accounts["service_fee"] == billed
    assert -accounts["package_fee"] == package
    assert [row["Differences"] for book in books for row in book["Reconciliation"] if row["Differences"]] == []
    assert sum(row["Our payments (fen)"] for book in books for row in book["Reconciliation"]) == sum(
        fen for fen in provider.values() if fen > 0
    )


async def live_through(month: TheMonth, *, days: int, seed: int, services: Services) -> None:
    """Live a month through, pay its statement, export it as an operator, and have it recomputed."""
    random = Random(seed)
    now = month.clock.now()
    li = (await log_in(LI, services=services, now=now)).headers
    for number in range(1, days):
        before = {key for car in month.cars for key in car.charges}
        await month.day(JUNE + timedelta(days=number), random)
        for car in month.cars:
            for key, charge in car.charges.items():
                if key not in before:
                    bill(charge)
        if number % 3 == 0:
            ours = frozenset({month.scene.company_id})
            paid = await orders.list_orders(company_ids=ours, status="paid", limit=9)
            order = random.choice(paid)
            li = (await log_in(LI, services=services, now=month.clock.now())).headers
            await month.refund(order.id, random.randrange(1, min(order.total_fen, 300) + 1), li)
        await month.next_morning()
    month.clock.move_to(max(month.clock.now(), min(JUNE + timedelta(days=days + 1), JULY)))
    await month.next_morning()
    month.clock.move_to(max(month.clock.now(), JULY + timedelta(hours=3)))
    await month.work()
    (statement,) = await statements.list_statements(account_id=month.scene.alice.account_id, limit=5)
    fee = package_fee(list(month.alice.charges.values()), PACKAGE_FEN)
    assert (statement.package_fee_fen, statement.status) == (fee, "unpaid" if fee else "free")
    alice = (await log_in(ALICE, services=services, now=month.clock.now())).headers
    sheet = await month.api.post(f"/v1/statements/{statement.id}/pay", json={"channel": "wechat_app"}, headers=alice)
    assert (sheet.status_code, sheet.json()["amount_fen"]) == (200, fee)
    await month.pay([msgspec.convert(sheet.json(), PaymentSheet)], random)
    assert (await statements.get_statement(statement_id=statement.id, account_id=statement.account_id)).status == "paid"
    month.clock.move_to(JULY + timedelta(days=1, hours=11))
    await month.next_morning()
    li = (await log_in(LI, services=services, now=month.clock.now())).headers
    books = [await export(month, name, li) for name in ("2026-06", "2026-07")]
    assert check_bills(month, books[0]) == 3 * (days - 1)
    check_money(month, books, 31)
    (line,) = [row for row in books[1]["Statements"] if row["Package kind"] == "bundle"]
    assert (line["Package fee (fen)"], line["Status"]) == (fee, "paid")
    assert line["Energy (Wh)"] == sum(c.readings[-1].wh - c.readings[0].wh for c in month.alice.charges.values())


class TestReadMonth:
    @pytest.mark.parametrize(
        "text",
        ["", "2026", "2026-13", "2026-00", "2026-6", "２０２６-06", "2026-06-01", "2026-08", "1999-12", "0000-01"],
    )
    def test_refuses_what_is_no_month_or_has_not_begun(self, text: str) -> None:
        assert read_month(text, now=JULY) is None

    def test_is_a_month_of_beijing(self) -> None:
        month = read_month("2025-12", now=JULY)
        assert month is not None
        assert month.from_at.isoformat() == "2025-12-01T00:00:00+08:00"
        assert month.to_at.isoformat() == "2026-01-01T00:00:00+08:00"
        assert read_month("2026-07", now=JULY) is not None
        assert read_month("2026-07", now=JULY - timedelta(microseconds=1)) is None


class TestWorkbook:
    async def test_writes_text_as_text_and_goes_on_in_a_second_sheet(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(workbook, "ROWS_A_SHEET", 2)
        book = workbook.MonthWorkbook("zh-CN")
        for number, reason in enumerate(("=HYPERLINK(0)", "@cmd", "bell\x07", "+1", "补偿")):
            row = {"id": new_id(), "order_id": new_id(), "difference_fen": number, "reason": reason, "decided_at": JULY}
            book.add("corrections", row)
        await book.save(tmp_path / "x.xlsx")
        made = load_workbook(tmp_path / "x.xlsx")
        sheets = [made[name] for name in ("订单更正", "订单更正 (2)", "订单更正 (3)")]
        cells = [row[3] for sheet in sheets for row in sheet.iter_rows(min_row=2)]
        assert [(cell.value, cell.data_type) for cell in cells] == [
            ("=HYPERLINK(0)", "s"), ("@cmd", "s"), ("bell", "s"), ("+1", "s"), ("补偿", "s"),
        ]  # fmt: skip
        assert sheets[0]["E2"].value == datetime(2026, 7, 1)  # noqa: DTZ001  a wall clock, as spreadsheets have it
        assert book.rows == 5


class TestExport:
    async def test_is_for_staff_of_the_company_and_for_months_that_began(
        self, api: httpx.AsyncClient, services: Services, clock: FixedClock
    ) -> None:
        await add_scene()
        heads = {who: (await log_in(who, services=services, now=clock.now())).headers for who in (LI, SUN, WANG, ZHOU)}
        path = "/v1/operator/exports"
        assert (await api.get(f"{path}/2026-06")).status_code == 401
        assert (await api.get(f"{path}/2026-06", headers=heads[WANG])).status_code == 403
        assert (await api.get(f"{path}/2026-06", headers=heads[SUN])).status_code == 200
        for month in ("2026-07", "june", "2026-6"):
            refused = await api.get(f"{path}/{month}", headers=heads[LI])
            assert (refused.status_code, refused.json()["code"]) == (422, "month_invalid")
        foreign = await api.get(f"{path}/2026-06?operator_company_id={new_id()}", headers=heads[LI])
        assert foreign.status_code == 404
        chinese = await api.get(f"{path}/2026-06", headers=heads[LI] | {"Accept-Language": "zh-CN"})
        assert list(read(chinese.content)) == [
            "概要", "订单", "订单明细", "月度账单", "订单更正", "收款", "退款", "分录", "对账",
        ]  # fmt: skip
        told = await db.fetch("SELECT actor_id FROM audit_entry WHERE action = 'month.exported'")
        assert len(told) == 2


class TestMonth:
    async def test_is_recomputed_to_the_fen_by_somebody_else(
        self, api: httpx.AsyncClient, services: Services, clock: FixedClock
    ) -> None:
        async with a_month(api=api, services=services, clock=clock) as month:
            await live_through(month, days=6, seed=20260601, services=services)

    @pytest.mark.slow
    @pytest.mark.parametrize("seed", range(4))
    async def test_of_thirty_days_is_recomputed_to_the_fen(
        self, api: httpx.AsyncClient, services: Services, clock: FixedClock, seed: int
    ) -> None:
        async with a_month(api=api, services=services, clock=clock) as month:
            await live_through(month, days=30, seed=seed, services=services)
