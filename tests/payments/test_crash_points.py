"""Processes that die at any point around a call to the provider: whatever the order, the money ends up right.

A provider in memory that knows orders and refunds by our numbers; a plan of steps drawn by Hypothesis, each of which
may be cut off before the provider hears of it, after it did, or before our own commit. In the end everybody recovers,
and our ledger says to the fen what the provider says.
"""

from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from backend.core import db
from backend.core.clock import Clock
from backend.core.ids import new_id
from backend.core.services import Services
from backend.payments import service as payments
from backend.payments import store
from backend.payments.gateways import (
    CallbackPayment,
    CallbackRefund,
    Merchant,
    PaymentGateways,
    PaymentOrder,
    ProviderBill,
    ProviderPayment,
    ProviderRefund,
)
from backend.payments.rules.reconciling import BillEntry
from backend.payments.service import reconciling, settling
from sandbox.wechat_pay.keys import Merchant as Keys
from sandbox.wechat_pay.keys import new_keys
from tests.cast import ALICE
from tests.factories.accounts import add_company, add_person
from tests.factories.payments import add_merchant_account
from tests.fakes import FixedClock

START = datetime.fromisoformat("2026-06-10T10:00:00+08:00")
END_OF_TIME = START + timedelta(days=30)


class Killed(BaseException):
    """kill -9, as far as one coroutine can tell."""


class Provider:
    """A provider's books in memory; `fault` cuts the next call off `before` or `after` it has its effect."""

    def __init__(self) -> None:
        self.orders: dict[str, dict[str, Any]] = {}
        self.refunds: dict[str, dict[str, Any]] = {}
        self.fault: str | None = None

    def _call(self, effect: Callable[[], Any]) -> Any:
        fault, self.fault = self.fault, None
        if fault == "before":
            raise Killed
        outcome = effect()
        if fault == "after":
            raise Killed
        return outcome

    async def prepare(self, *, merchant: Merchant, order: PaymentOrder) -> str:
        def effect() -> str:
            self.orders.setdefault(order.number, {"amount": order.amount_fen, "state": "waiting", "refunded": 0})
            return "token"

        return str(self._call(effect))

    def sheet(self, *, merchant: Merchant, channel: str, token: str, now: datetime) -> dict[str, str]:
        return {"token": token}

    def pay(self, number: str) -> None:
        """The payer's thumb."""
        if number in self.orders and self.orders[number]["state"] == "waiting":
            self.orders[number]["state"] = "succeeded"

    def view(self, number: str) -> ProviderPayment:
        order = self.orders.get(number)
        if order is None:
            return ProviderPayment(state="unknown")
        return ProviderPayment(
            state=order["state"],
            transaction_no=f"t{number}" if order["state"] == "succeeded" else None,
            amount_fen=order["amount"],
            paid_at=START if order["state"] == "succeeded" else None,
        )

    async def query(self, *, merchant: Merchant, number: str) -> ProviderPayment:
        found: ProviderPayment = self._call(lambda: self.view(number))
        return found

    async def close(self, *, merchant: Merchant, number: str) -> bool:
        def effect() -> bool:
            order = self.orders.get(number)
            if order is not None and order["state"] == "succeeded":
                return False
            if order is not None:
                order["state"] = "closed"
            return True

        return bool(self._call(effect))

    async def refund(
        self, *, merchant: Merchant, number: str, payment_number: str, amount_fen: int, total_fen: int, reason: str
    ) -> ProviderRefund:
        def effect() -> ProviderRefund:
            if number not in self.refunds:
                order = self.orders[payment_number]
                assert order["refunded"] + amount_fen <= order["amount"], "given back more than was paid"
                order["refunded"] += amount_fen
                self.refunds[number] = {"amount": amount_fen, "state": "processing"}
            return self.refund_view(number)

        found: ProviderRefund = self._call(effect)
        return found

    def refund_view(self, number: str) -> ProviderRefund:
        refund = self.refunds[number]
        return ProviderRefund(
            state=refund["state"], provider_no=f"r{number}", amount_fen=refund["amount"], answer=refund["state"]
        )

    async def query_refund(self, *, merchant: Merchant, number: str) -> ProviderRefund:
        found: ProviderRefund = self._call(lambda: self.refund_view(number))
        return found

    async def download_bill(self, *, merchant: Merchant, day: date) -> ProviderBill:
        rows = [
            BillEntry("payment", number, f"t{number}", order["amount"], "succeeded", START)
            for number, order in self.orders.items()
            if order["state"] == "succeeded"
        ]
        rows += [
            BillEntry("refund", number, f"r{number}", refund["amount"], refund["state"], START)
            for number, refund in self.refunds.items()
        ]
        return ProviderBill(sha1="0" * 40, rows=tuple(rows))

    def read_payment_callback(
        self, *, merchant: Merchant, headers: Mapping[str, str], body: bytes, now: datetime
    ) -> CallbackPayment:
        raise NotImplementedError

    def read_refund_callback(
        self, *, merchant: Merchant, headers: Mapping[str, str], body: bytes, now: datetime
    ) -> CallbackRefund:
        raise NotImplementedError

    async def close_clients(self) -> None:
        return None


class Shop:
    """One company, its provider and what happened so far."""

    def __init__(self, company: UUID, payer: UUID) -> None:
        self.company = company
        self.payer = payer
        self.provider = Provider()
        self.clock = FixedClock(START)
        self.services = Services()
        self.services.put(PaymentGateways, PaymentGateways({"wechat_pay": self.provider}))
        self.services.put(Clock, self.clock)  # type: ignore[type-abstract]
        self.orders: list[tuple[UUID, int]] = []

    async def step(self, what: str, which: int, amount: int, fault: str | None) -> None:
        """Do one thing, cut off where the fault says; nobody tidies up after it."""
        now = self.clock.advance(seconds=1 + amount % 700)
        self.provider.fault = fault if fault in ("before", "after") else None
        with suppress(Killed):
            if fault == "rollback":
                async with db.transaction():
                    await self._do(what, which, amount, now)
                    raise Killed
            await self._do(what, which, amount, now)
        self.provider.fault = None
        assert sum((await payments.trial_balance(operator_company_id=self.company)).values()) == 0

    async def _do(self, what: str, which: int, amount: int, now: datetime) -> None:
        rows = await db.fetch("SELECT id FROM payment WHERE operator_company_id = $1 ORDER BY id", self.company)
        if what == "order" or not self.orders:
            self.orders.append((new_id(), amount))
            await self._start(*self.orders[-1], now)
        elif what == "again":
            order_id, first = self.orders[which % len(self.orders)]
            await self._start(order_id, first if amount % 2 else amount, now)
        elif rows and what == "pay":
            self.provider.pay(rows[which % len(rows)]["id"].hex)
        elif rows and what == "callback":
            payment_id = rows[which % len(rows)]["id"]
            found = self.provider.view(payment_id.hex)
            if found.state == "succeeded":
                await settling.settle_payment(payment_id=payment_id, found=found, now=now)
        elif rows and what == "check":
            await settling.check_payment(payment_id=rows[which % len(rows)]["id"], services=self.services)
        elif rows and what == "refund":
            with suppress(payments.NotPaid, payments.RefundTooLarge):
                await payments.refund(
                    payment_id=rows[which % len(rows)]["id"], amount_fen=amount, reason="x", key=str(new_id()), now=now
                )
        elif what == "refund_check":
            await self._check_refunds()
        elif what == "refund_ends":
            for refund in self.provider.refunds.values():
                refund["state"] = "succeeded"
        elif what == "sweep":
            await settling.sweep(now=now)

    async def _start(self, order_id: UUID, amount: int, now: datetime) -> None:
        with suppress(payments.OrderAlreadyPaid, payments.ProviderUnavailable):
            await payments.start_payment(
                order_id=order_id,
                operator_company_id=self.company,
                account_id=self.payer,
                amount_fen=amount,
                description="x",
                channel="wechat_app",
                services=self.services,
                now=now,
            )

    async def _check_refunds(self) -> None:
        rows = await db.fetch("SELECT id FROM refund WHERE operator_company_id = $1", self.company)
        for row in rows:
            await settling.check_refund(refund_id=row["id"], services=self.services)

    async def recover(self) -> None:
        """Let the timers run to their end, long after everybody is back."""
        self.provider.fault = None
        self.clock.move_to(END_OF_TIME)
        for row in await db.fetch("SELECT id FROM payment WHERE operator_company_id = $1", self.company):
            await settling.check_payment(payment_id=row["id"], services=self.services)
        for _ in range(2):
            self.clock.advance(days=1)
            await self._check_refunds()
            for refund in self.provider.refunds.values():
                refund["state"] = "succeeded"
        self.clock.advance(days=1)
        await self._check_refunds()

    async def compare(self) -> None:
        """Our books against the provider's."""
        held = sum(o["amount"] - o["refunded"] for o in self.provider.orders.values() if o["state"] == "succeeded")
        balance = await payments.trial_balance(operator_company_id=self.company)
        row = await store.find_merchant(operator_company_id=self.company, provider="wechat_pay")
        assert row is not None
        assert balance.get(f"provider:{row.merchant_no}", 0) == held
        assert balance.get("receivable", 0) == -held
        states = await db.fetch("SELECT id, state, order_id FROM payment WHERE operator_company_id = $1", self.company)
        for payment in states:
            assert (payment["state"] == "succeeded") == (self.provider.view(payment["id"].hex).state == "succeeded")
            assert payment["state"] in ("succeeded", "closed")
        open_refunds = await db.fetchval(
            "SELECT count(*) FROM refund WHERE operator_company_id = $1 AND state <> 'succeeded'", self.company
        )
        assert open_refunds == 0
        # an order that was paid twice gave one payment back, whole
        for order_id, _ in self.orders:
            paid = [v for v in await payments.list_payments(order_id=order_id) if v.state == "succeeded"]
            assert len([v for v in paid if v.refunded_fen < v.amount_fen]) <= 1
        found = await reconciling.reconcile(
            merchant=settling.as_merchant(row), day=START.date(), services=self.services, now=self.clock.now()
        )
        assert found == []
        await db.execute("SET CONSTRAINTS ALL IMMEDIATE")


@pytest.fixture(scope="module")
def merchant() -> Keys:
    """One merchant account for all plans."""
    return new_keys(appid="wx1", merchants=1).merchants[0]


OPS = ("order", "again", "pay", "pay", "callback", "check", "refund", "refund_check", "refund_ends", "sweep")
FAULTS = (None, None, "before", "after", "rollback")
plans = st.lists(
    st.tuples(st.sampled_from(OPS), st.integers(0, 9), st.integers(1, 5000), st.sampled_from(FAULTS)),
    min_size=3,
    max_size=25,
)
ANYTHING = (HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large)


async def run(plan: list[tuple[str, int, int, str | None]], merchant: Keys) -> None:
    """Run a plan, recover, compare; nothing of it stays."""

    class Done(Exception):
        pass

    with suppress(Done):
        async with db.transaction():
            company = await add_company(now=START)
            await add_merchant_account(operator_company_id=company, merchant=merchant, now=START)
            shop = Shop(company, await add_person(ALICE, now=START))
            for what, which, amount, fault in plan:
                await shop.step(what, which, amount, fault)
            await shop.recover()
            await shop.compare()
            raise Done


@pytest.mark.usefixtures("database")
class TestCrashPoints:
    @settings(max_examples=40, deadline=None, suppress_health_check=ANYTHING)
    @given(plan=plans)
    async def test_money_ends_up_right_whatever_is_cut_off(
        self, plan: list[tuple[str, int, int, str | None]], merchant: Keys
    ) -> None:
        await run(plan, merchant)

    @pytest.mark.slow
    @settings(max_examples=2000, deadline=None, suppress_health_check=ANYTHING)
    @given(plan=plans)
    async def test_money_ends_up_right_in_thousands_of_plans(
        self, plan: list[tuple[str, int, int, str | None]], merchant: Keys
    ) -> None:
        await run(plan, merchant)
