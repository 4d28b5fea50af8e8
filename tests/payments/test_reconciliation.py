"""The morning's comparison with the sandbox's bill: the same to the fen, or a report of what is not."""

import gzip
import hashlib
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from backend.core import db
from backend.core.clock import BEIJING, Clock
from backend.core.errors import GatewayError
from backend.core.ids import new_id
from backend.core.services import Services
from backend.payments import service as payments
from backend.payments import store
from backend.payments.gateways import ProviderPayment, ProviderRefund
from backend.payments.gateways.wechat_bill import BillDamaged, read_bill, unpack
from backend.payments.rules.reconciling import BillEntry, BookEntry, compare
from backend.payments.service import reconciling, settling
from sandbox.providers import Providers
from sandbox.wechat_pay.bills import Row, render
from sandbox.wechat_pay.books import RefundBook, Trade
from tests.cast import LI, ZHOU
from tests.factories.accounts import log_in
from tests.factories.payments import start_payment
from tests.jobs import run_ticks

MERCHANT = "1900010001"


class Day:
    """The day before yesterday in Beijing, on both sides: the sandbox's books and ours."""

    def __init__(
        self, *, company: UUID, account: UUID, services: Services, providers: Providers, now: datetime
    ) -> None:
        self.company = company
        self.account = account
        self.services = services
        self.books = providers.wechat_pay.books
        self.merchant = providers.wechat_pay.keys.merchants[0]
        self.now = now
        self.date = now.astimezone(BEIJING).date() - timedelta(days=2)
        self.noon = datetime.combine(self.date, datetime.min.time(), BEIJING) + timedelta(hours=12)
        # the sandbox keeps its books for the whole test run: earlier tests' rows of this day are not ours
        for table in ("trade", "refund"):
            self.books._db.execute(f"DELETE FROM {table}")

    async def pay(self, amount: int, *, in_bill: int | None = None, at: datetime | None = None) -> UUID:
        """Pay an order at noon; the bill says `in_bill` fen (the same where it is not given, nothing for 0)."""
        at = at or self.noon
        sheet = await start_payment(
            operator_company_id=self.company,
            account_id=self.account,
            services=self.services,
            now=self.now,
            amount_fen=amount,
        )
        number = f"42000{sheet.number[:23]}"
        found = ProviderPayment(state="succeeded", transaction_no=number, amount_fen=amount, paid_at=at)
        await settling.settle_payment(payment_id=sheet.payment_id, found=found, now=self.now)
        trade = self.books.find_trade(mchid=self.merchant.mchid, out_trade_no=sheet.number)
        assert trade is not None
        if in_bill != 0:
            trade.state, trade.transaction_id, trade.total = "SUCCESS", number, in_bill or amount
            trade.success_time = at.astimezone(BEIJING).isoformat(timespec="seconds")
        self.books.keep_trade(trade)
        return sheet.payment_id

    async def refund(self, payment_id: UUID, amount: int, *, in_bill: str | None = "SUCCESS") -> UUID:
        """Give a part back at noon, done on our side; the bill has it in this state, or not at all."""
        made = await payments.refund(
            payment_id=payment_id, amount_fen=amount, reason="退款", key=str(new_id()), now=self.noon
        )
        done = ProviderRefund(state="succeeded", provider_no="5000", amount_fen=amount, answer="SUCCESS")
        await settling.settle_refund(refund_id=made.id, found=done, now=self.noon)
        if in_bill is not None:
            book = RefundBook(
                mchid=self.merchant.mchid,
                refund_id="5000",
                out_refund_no=made.id.hex,
                out_trade_no=payment_id.hex,
                transaction_id="4200",
                refund=amount,
                total=amount,
                created_at=self.noon.isoformat(timespec="seconds"),
                status=in_bill,
            )
            self.books.keep_refund(book)
        return made.id

    async def compare(self) -> list[tuple[str, str]]:
        """Reconcile the day; returns (what, kind) of the differences."""
        row = await store.find_merchant(operator_company_id=self.company, provider="wechat_pay")
        assert row is not None
        merchant = settling.as_merchant(row)
        found = await reconciling.reconcile(merchant=merchant, day=self.date, services=self.services, now=self.now)
        return sorted((each.what, each.kind) for each in found)


@pytest.fixture
def day(company: UUID, alice: UUID, paying: Services, providers: Providers, now: datetime) -> Day:
    """A day on which nothing happened yet."""
    return Day(company=company, account=alice, services=paying, providers=providers, now=now)


class TestReconcile:
    async def test_agrees_to_the_fen_with_a_bill_of_payments_and_refunds(self, day: Day) -> None:
        first = await day.pay(1234)
        await day.pay(1)
        await day.pay(99_999)
        await day.refund(first, 234)
        assert await day.compare() == []
        ((view, differences),) = await reconciling.get_day(company_ids=frozenset({day.company}), day=day.date)
        assert (view.state, view.rows, differences) == ("matched", 4, [])
        assert (view.bill_payments_fen, view.bill_refunds_fen) == (101_234, 234)
        assert (view.our_payments_fen, view.our_refunds_fen) == (101_234, 234)
        assert view.bill_fees_fen == 7 + 0 + 600 - 1
        balance = await payments.trial_balance(operator_company_id=day.company)
        assert balance[f"provider:{day.merchant.mchid}"] == view.bill_payments_fen - view.bill_refunds_fen

    async def test_a_day_on_which_nothing_moved_agrees(self, day: Day) -> None:
        assert await day.compare() == []

    async def test_reports_missing_extra_and_differing_rows(self, day: Day) -> None:
        await day.pay(500)
        await day.pay(600, in_bill=0)
        other = await day.pay(700, in_bill=701)
        await day.refund(other, 100, in_bill=None)
        day.books.keep_trade(
            Trade(
                mchid=day.merchant.mchid,
                appid=day.merchant.appid,
                out_trade_no="not-one-of-ours",
                description="?",
                notify_url="https://x",
                total=9,
                openid="o",
                prepay_id="p",
                state="SUCCESS",
                transaction_id="42009",
                success_time=day.noon.isoformat(timespec="seconds"),
            )
        )
        assert await day.compare() == [
            ("amount_differs", "payment"),
            ("missing_in_bill", "payment"),
            ("missing_in_bill", "refund"),
            ("unknown_to_us", "payment"),
        ]

    async def test_reports_money_the_provider_has_and_we_do_not_know_of(self, day: Day) -> None:
        sheet = await start_payment(
            operator_company_id=day.company, account_id=day.account, services=day.services, now=day.now
        )
        trade = day.books.find_trade(mchid=day.merchant.mchid, out_trade_no=sheet.number)
        assert trade is not None
        trade.state, trade.transaction_id = "SUCCESS", "4200"
        trade.success_time = day.noon.isoformat(timespec="seconds")
        day.books.keep_trade(trade)
        assert await day.compare() == [("state_differs", "payment")]

    @pytest.mark.parametrize("status", ["CLOSED", "ABNORMAL"])
    async def test_reports_a_refund_that_failed_at_the_provider(self, day: Day, status: str) -> None:
        await day.refund(await day.pay(500), 100, in_bill=status)
        assert await day.compare() == [("state_differs", "refund")]

    async def test_a_refund_under_way_in_the_bill_is_no_difference(self, day: Day) -> None:
        await day.refund(await day.pay(500), 100, in_bill="PROCESSING")
        assert await day.compare() == []

    async def test_again_replaces_the_report(self, day: Day) -> None:
        await day.pay(600, in_bill=601)
        assert await day.compare() == [("amount_differs", "payment")]
        day.books._db.execute("DELETE FROM trade")
        await day.pay(600, at=day.noon - timedelta(days=3))
        assert await day.compare() == [("missing_in_bill", "payment")]
        assert await db.fetchval("SELECT count(*) FROM reconciliation") == 1

    async def test_payments_belong_to_the_day_in_beijing(self, day: Day) -> None:
        last = datetime.combine(day.date, datetime.max.time(), BEIJING).replace(microsecond=0)
        await day.pay(100, at=last)
        await day.pay(200, at=last + timedelta(seconds=1))
        assert await day.compare() == []
        ((view, _),) = await reconciling.get_day(company_ids=frozenset({day.company}), day=day.date)
        assert (view.rows, view.bill_payments_fen, view.our_payments_fen) == (1, 100, 100)

    async def test_a_bill_with_another_hash_is_not_believed(self, day: Day, providers: Providers) -> None:
        await day.pay(100)
        providers.faults["wechat_pay"].add("bad_hash")
        with pytest.raises(GatewayError, match="SHA-1"):
            await day.compare()
        assert await db.fetchval("SELECT count(*) FROM reconciliation") == 0


class TestEachMorning:
    async def test_the_job_makes_up_for_missed_days_and_asks_again_when_the_provider_was_away(
        self, day: Day, providers: Providers, clock: Any
    ) -> None:
        await db.execute("UPDATE merchant_account SET created_at = $1", day.now - timedelta(days=9))
        days = reconciling.due_days(now=day.now)
        account_days = [each for each in days if each >= (day.now - timedelta(days=9)).astimezone(BEIJING).date()]
        await day.pay(100)
        providers.faults["wechat_pay"].add("drop")
        await run_ticks("payments.reconcile", now=day.now, services=day.services)
        assert await db.fetchval("SELECT count(*) FROM reconciliation") == len(account_days) - 1
        await run_ticks("payments.reconcile", now=day.now, services=day.services)
        await run_ticks("payments.reconcile", now=day.now, services=day.services)
        states = await db.fetch("SELECT day, state FROM reconciliation ORDER BY day")
        assert [row["day"] for row in states] == account_days
        assert {row["state"] for row in states} == {"matched"}

    async def test_a_bill_that_cannot_be_believed_is_told_in_the_mornings_first_hour(
        self, day: Day, providers: Providers
    ) -> None:
        await db.execute("UPDATE merchant_account SET created_at = $1", day.noon)
        await day.pay(100)
        for minutes, told in ((80, 0), (-100, 1)):  # 13:20, then 10:20
            providers.faults["wechat_pay"].add("bad_hash")
            at = day.noon + timedelta(days=1, minutes=minutes)
            assert await reconciling.reconcile_due(services=day.services, now=at) == 0
            assert await db.fetchval("SELECT count(*) FROM domain_event WHERE name = 'BillUnreadable'") == told
        assert await reconciling.reconcile_due(services=day.services, now=day.noon + timedelta(days=1)) == 1

    @pytest.mark.parametrize(
        ("beijing", "last"),
        [
            ("2026-03-01T10:14:59", "2026-02-27"),
            ("2026-03-01T10:15:00", "2026-02-28"),
            ("2028-03-01T11:00", "2028-02-29"),
        ],
    )
    def test_yesterday_is_due_from_a_quarter_past_ten_in_beijing(self, beijing: str, last: str) -> None:
        now = datetime.fromisoformat(beijing).replace(tzinfo=BEIJING).astimezone(UTC)
        assert reconciling.due_days(now=now)[-1] == date.fromisoformat(last)


class TestOverHttp:
    async def test_operators_read_their_own_days(self, api: httpx.AsyncClient, day: Day, services: Services) -> None:
        await day.pay(600, in_bill=601)
        await day.compare()
        li = (await log_in(LI, services=services, now=services.get(Clock).now())).headers
        zhou = (await log_in(ZHOU, services=services, now=services.get(Clock).now())).headers
        listed = (await api.get("/v1/operator/reconciliations", headers=li)).json()["items"]
        assert [(item["day"], item["state"], item["difference_count"]) for item in listed] == [
            (day.date.isoformat(), "differs", 1)
        ]
        shown = (await api.get(f"/v1/operator/reconciliations/{day.date}", headers=li)).json()["items"][0]
        assert [(d["what"], d["ours_fen"], d["bill_fen"]) for d in shown["differences"]] == [
            ("amount_differs", 600, 601)
        ]
        foreign = await api.get(f"/v1/operator/reconciliations/{day.date}", headers=zhou)
        assert (foreign.status_code, foreign.json()["code"]) == (404, "reconciliation_not_found")
        assert (await api.get("/v1/operator/reconciliations", headers=zhou)).json()["items"] == []
        assert (await api.get("/v1/operator/reconciliations")).status_code == 401


PAID = Row(
    at="2026-01-02 03:04:05",
    appid="wx",
    mchid=MERCHANT,
    transaction_id="42",
    out_trade_no="a" * 32,
    openid="o",
    trade_type="JSAPI",
    total=1234,
    description='a "quoted", text',
)


class TestReadBill:
    def test_reads_what_is_published(self) -> None:
        bill = read_bill(render([PAID]), merchant_no=MERCHANT)
        (row,) = bill.rows
        assert (row.kind, row.number, row.amount_fen, row.provider_no) == ("payment", "a" * 32, 1234, "42")
        assert row.at == datetime(2026, 1, 1, 19, 4, 5, tzinfo=UTC)

    @pytest.mark.parametrize(
        "spoil",
        [
            lambda text: text[::-1].replace("43.21`", "53.21`", 1)[::-1],
            lambda text: text.replace("`12.34", "`12.345", 2),
            lambda text: text.replace("`SUCCESS", "`WHATEVER"),
            lambda text: text.replace(f"`{MERCHANT}", "`1900000000"),
            lambda text: text.replace("订单金额", "金额"),
            lambda text: text.replace("`CNY", "`USD"),
            lambda text: text.replace("总交易单数", "总数"),
            lambda text: text.replace("`1,`12.34", "`2,`12.34"),
            lambda text: text[: len(text) // 2],
            lambda text: "",
        ],
    )
    def test_believes_nothing_that_does_not_add_up(self, spoil: Any) -> None:
        text = render([PAID]).decode("utf-8-sig")
        assert spoil(text) != text
        with pytest.raises(BillDamaged):
            read_bill(spoil(text).encode(), merchant_no=MERCHANT)

    def test_unpacks_gzip_and_checks_the_hash_of_what_was_inside(self) -> None:
        content = render([PAID])
        digest = hashlib.sha1(content).hexdigest()
        assert unpack(gzip.compress(content), sha1=digest.upper()) == content
        assert unpack(content, sha1=digest) == content
        with pytest.raises(BillDamaged, match="SHA-1"):
            unpack(gzip.compress(content + b" "), sha1=digest)
        with pytest.raises(BillDamaged, match="cut off"):
            unpack(gzip.compress(content)[:-4], sha1=digest)


amounts = st.dictionaries(st.integers(0, 30), st.integers(1, 10**6), max_size=12)


class TestCompare:
    @settings(suppress_health_check=[HealthCheck.too_slow])
    @given(amounts, amounts, amounts)
    def test_finds_exactly_what_differs(
        self, both: dict[int, int], ours: dict[int, int], theirs: dict[int, int]
    ) -> None:
        books = {**ours, **both}
        bill = {**theirs, **both}
        at = datetime(2026, 1, 1, tzinfo=UTC)
        found = compare(
            [BillEntry("payment", str(n), f"t{n}", fen, "succeeded", at) for n, fen in bill.items()],
            [BookEntry("payment", str(n), fen, "succeeded", fen, f"t{n}") for n, fen in books.items()],
        )
        expected = {(str(n), "unknown_to_us") for n in bill.keys() - books.keys()}
        expected |= {(str(n), "missing_in_bill") for n in books.keys() - bill.keys()}
        expected |= {(str(n), "amount_differs") for n in books.keys() & bill.keys() if books[n] != bill[n]}
        assert {(each.number, each.what) for each in found} == expected
        assert len(found) == len(expected)

    @pytest.mark.parametrize("ledger_fen", [0, 99, -100, 200])
    def test_names_what_the_ledger_has_wrong(self, ledger_fen: int) -> None:
        row = BillEntry("payment", "1", "t", 100, "succeeded", datetime(2026, 1, 1, tzinfo=UTC))
        (found,) = compare([row], [BookEntry("payment", "1", 100, "succeeded", ledger_fen, "t")])
        assert found.what == "ledger_differs"
