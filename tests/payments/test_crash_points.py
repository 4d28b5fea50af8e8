"""Processes that die at any point between our commits and the provider's answers: the money ends up right all the same.

A provider in memory that knows orders and refunds by our numbers, and a database whose writes can be made to fail; a
plan of steps drawn by Hypothesis, each of which may be cut off at any of its calls (before the provider heard of it or
after) or at any of its writes. Nobody tidies up: what is left is healed by the timers in the queue and by the sweep,
run as a worker runs them, never by the test. In the end our ledger says to the fen what the provider says.
"""

import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import datetime, timedelta
from uuid import UUID

import asyncpg
import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from piccolo.engine.postgres import PostgresEngine

from backend.core import db
from backend.core.clock import BEIJING, Clock
from backend.core.ids import new_id
from backend.core.services import Services
from backend.payments import service as payments
from backend.payments import store
from backend.payments.gateways import CallbackRefused, Merchant, PaymentGateways, PaymentOrder
from backend.payments.service import callbacks, reconciling, settling
from backend.payments.store import PaymentRow
from sandbox.servers.postgres import SUPERUSER, PostgresServer
from sandbox.wechat_pay.keys import Merchant as Keys
from sandbox.wechat_pay.keys import new_keys
from tests.factories.accounts import add_company
from tests.factories.payments import add_merchant_account, start_payment
from tests.fakes import FixedClock
from tests.jobs import run_due_jobs, run_ticks
from tests.payments.memory_provider import Killed, MemoryProvider, fail_write, install_write_faults

START = datetime.fromisoformat("2026-06-10T10:00:00+08:00")
OPS = (
    "order", "order", "again", "pay", "pay", "tell", "tell", "tell_again", "work", "work", "refund", "refund_ends",
    "refund_fails", "tell_refund", "correct", "lose_jobs", "sweep", "wait",
)  # fmt: skip
CALL_FAULTS = ("before", "after", "lost_before", "lost_after", "pays")

PATHS = (
    {"order": 700, "again": 702, "pay": 1},  # the callback is lost
    {"order": 700, "wait": 1, "work": 1, "pay": 1},  # closed when its time is over, and paid in that moment
    {"order": 700, "pay": 1, "tell": 1, "refund": 300, "work": 1, "refund_ends": 1, "tell_refund": 1},
    {"order": 700, "pay": 1, "lose_jobs": 1, "sweep": 1, "work": 1, "correct": 200},
)
"""What is done and with which amount (fen, or seconds that pass)."""

Fault = tuple[str, int] | None
Step = tuple[str, int, int, Fault]
faults = st.one_of(
    st.none(),
    st.tuples(st.sampled_from(CALL_FAULTS), st.integers(0, 2)),
    st.tuples(st.just("write"), st.integers(0, 12)),
)
plans = st.lists(
    st.tuples(st.sampled_from(OPS), st.integers(0, 9), st.integers(1, 5000), faults), min_size=3, max_size=25
)
ANYTHING = (HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large)


class Shop:
    """One company, its provider and what happened so far."""

    def __init__(self, company: UUID, merchant_no: str) -> None:
        self.company = company
        self.merchant_no = merchant_no
        self.provider = MemoryProvider(START)
        self.clock = FixedClock(START)
        self.services = Services()
        self.services.put(PaymentGateways, PaymentGateways({"wechat_pay": self.provider}))
        self.services.put(Clock, self.clock)  # type: ignore[type-abstract]
        self.orders: dict[UUID, int] = {}
        self.told: list[bytes] = []
        self.began = new_id()

    async def step(self, step: Step) -> bool:
        """Do one thing, cut off where the fault says; nobody tidies up after it. Says whether the fault was reached."""
        what, which, amount, fault = step
        seconds = 2400 if what == "wait" else 1 + amount % 700
        self.provider.now = now = self.clock.advance(seconds=seconds)
        if fault is not None and fault[0] == "write":
            await fail_write(fault[1])
        elif fault is not None:
            self.provider.fault = (fault[1], fault[0])
        with suppress(Killed, asyncpg.exceptions.AdminShutdownError):
            await self._do(what, which, amount, now)
        failed = await fail_write(None)
        reached = fault is not None and (failed if fault[0] == "write" else self.provider.fault is None)
        self.provider.fault = None
        assert sum((await payments.trial_balance(operator_company_id=self.company)).values()) == 0
        return reached

    async def payments(self, state: str | None = None) -> list[PaymentRow]:
        """Every payment of the company, oldest first."""
        rows = await db.fetch("SELECT * FROM payment WHERE operator_company_id = $1 ORDER BY id", self.company)
        return [PaymentRow(**dict(row)) for row in rows if state in (None, row["state"])]

    async def _do(self, what: str, which: int, amount: int, now: datetime) -> None:
        if what == "order" or not self.orders:
            await self._bill(amount, now)
        elif what == "again":
            order_id = list(self.orders)[which % len(self.orders)]
            await self._start(order_id, self.orders[order_id] if amount % 2 else amount, now)
        elif what == "work":
            await run_due_jobs(now=now, services=self.services, only="payments.")
        elif what == "sweep":
            await run_ticks("payments.sweep", "payments.forget_nonces", now=now, services=self.services)
        elif what == "lose_jobs":
            await db.execute("DELETE FROM pgqueuer WHERE entrypoint LIKE 'payments.%'")
        elif what in ("refund_ends", "refund_fails"):
            self.provider.end_refunds("succeeded" if what == "refund_ends" else "failed")
        elif what == "tell_again" and self.told:
            await self._tell(self.told[which % len(self.told)], now)
        elif what == "tell_refund" and self.provider.refunds:
            await self._tell(
                self._notice("refund", sorted(self.provider.refunds)[which % len(self.provider.refunds)]), now
            )
        elif rows := await self.payments():
            await self._do_with(rows[which % len(rows)], what, amount, now)

    async def _do_with(self, payment: PaymentRow, what: str, amount: int, now: datetime) -> None:
        if what == "pay":
            self.provider.pay(payment.number)
        elif what == "tell":
            await self._tell(self._notice("payment", payment.number), now)
        elif what == "refund":
            with suppress(payments.NotPaid, payments.RefundTooLarge):
                await payments.refund(payment_id=payment.id, amount_fen=amount, reason="x", key=str(new_id()), now=now)
        elif what == "correct":
            with suppress(payments.NotPaid, payments.RefundTooLarge):
                async with db.transaction():
                    correction = new_id()
                    await payments.post_entry(
                        kind="order_corrected",
                        reference_id=correction,
                        legs=[("energy_fee", amount), ("receivable", -amount)],
                        operator_company_id=self.company,
                        now=now,
                    )
                    await payments.refund(
                        payment_id=payment.id, amount_fen=amount, reason="x", key=f"c:{correction}", now=now
                    )

    async def _bill(self, amount: int, now: datetime) -> None:
        order_id = new_id()
        self.orders[order_id] = amount
        await payments.post_entry(
            kind="order_closed",
            reference_id=order_id,
            legs=[("receivable", amount), ("energy_fee", -amount)],
            operator_company_id=self.company,
            now=now,
        )
        await self._start(order_id, amount, now)

    async def _start(self, order_id: UUID, amount: int, now: datetime) -> None:
        with suppress(payments.OrderAlreadyPaid, payments.ProviderUnavailable, payments.ProviderRefused):
            await payments.start_payment(
                order_id=order_id,
                operator_company_id=self.company,
                account_id=self.company,
                amount_fen=amount,
                description="x",
                channel="wechat_app",
                services=self.services,
                now=now,
            )

    def _notice(self, kind: str, number: str) -> bytes:
        body = json.dumps({"kind": kind, "number": number, "nonce": new_id().hex}).encode()
        self.told.append(body)
        return body

    async def _tell(self, body: bytes, now: datetime) -> None:
        """The provider's callback; a repeated one has the nonce of the first."""
        kind = json.loads(body)["kind"]
        take = callbacks.take_payment_callback if kind == "payment" else callbacks.take_refund_callback
        with suppress(CallbackRefused):
            await take(
                provider="wechat_pay",
                merchant_no=self.merchant_no,
                headers={},
                body=body,
                services=self.services,
                now=now,
            )

    async def recover(self) -> None:
        """Let a worker's timers and sweeps run for a day and a half, and nothing else."""
        for minutes in (3, 35, 3, 65, 3, 65, 3, 24 * 60, 3, 65, 3):
            self.provider.end_refunds("succeeded")
            self.provider.now = now = self.clock.advance(minutes=minutes)
            await run_ticks("payments.sweep", now=now, services=self.services)
            await run_due_jobs(now=now, services=self.services, only="payments.")
            if not await store.list_overdue(before=now + timedelta(days=9)):
                return

    async def compare(self) -> None:
        """Our books against the provider's."""
        held = self.provider.held_fen()
        balance = await payments.trial_balance(operator_company_id=self.company)
        assert balance.get(f"provider:{self.merchant_no}", 0) == held
        assert sum(balance.values()) == 0
        rows = await self.payments()
        for row in rows:
            assert row.state == ("succeeded" if self.provider.view(row.number).state == "succeeded" else "closed")
        stuck = await db.fetchval(
            "SELECT count(*) FROM refund WHERE operator_company_id = $1 AND state IN ('created', 'processing')",
            self.company,
        )
        assert stuck == 0
        await self._compare_events({row.id for row in rows if row.state == "succeeded"})
        for order_id in self.orders:
            paid = [v for v in await payments.list_payments(order_id=order_id) if v.state == "succeeded"]
            twice = [v for v in paid if await store.find_refund_by_key(request_key=f"twice:{v.id}") is not None]
            assert len(paid) - len(twice) == min(len(paid), 1), "all but one payment of an order go back"
        merchant = await store.find_merchant(operator_company_id=self.company, provider="wechat_pay")
        assert merchant is not None
        day = START.astimezone(BEIJING).date()
        found = await reconciling.reconcile(
            merchant=settling.as_merchant(merchant), day=day, services=self.services, now=self.clock.now()
        )
        assert [each for each in found if each.what != "missing_in_bill"] == []

    async def _compare_events(self, succeeded: set[UUID]) -> None:
        """Each payment was told of once, or given back because the order was paid before; each refund once."""
        rows = await db.fetch("SELECT name, payload FROM domain_event WHERE id > $1", self.began)
        told: Counter[tuple[str, str]] = Counter()
        for row in rows:
            payload = json.loads(row["payload"])
            told[row["name"], payload["refund_id" if row["name"].startswith("Refund") else "payment_id"]] += 1
        for payment_id in succeeded:
            twice = await store.find_refund_by_key(request_key=f"twice:{payment_id}")
            assert told.pop(("PaymentSucceeded", str(payment_id)), 0) == (twice is None)
        for row in await db.fetch("SELECT id, state FROM refund WHERE operator_company_id = $1", self.company):
            name = "RefundSucceeded" if row["state"] == "succeeded" else "RefundFailed"
            assert told.pop((name, str(row["id"])), 0) == 1
        assert not told
        booked = await db.fetchval(
            "SELECT count(*) FROM ledger_entry e WHERE operator_company_id = $1 AND kind IN ('payment', 'refund')"
            " AND NOT EXISTS (SELECT 1 FROM payment p WHERE p.id = e.reference_id AND p.state = 'succeeded')"
            " AND NOT EXISTS (SELECT 1 FROM refund f WHERE f.id = e.reference_id AND f.state = 'succeeded')",
            self.company,
        )
        assert booked == 0


@pytest.fixture(scope="module")
def merchant() -> Keys:
    """The keys of every plan's merchant account."""
    return new_keys(appid="wx1", merchants=1).merchants[0]


@pytest.fixture
async def fragile(committing: PostgresEngine, postgres: PostgresServer) -> AsyncIterator[None]:
    """A database where transactions commit and writes can be made to fail."""
    name: str = await db.fetchval("SELECT current_database()")
    await install_write_faults(postgres.url(SUPERUSER, name))
    yield


async def run(plan: list[Step], merchant: Keys) -> bool:
    """Run a plan in a company of its own, recover, compare; says whether any of its faults was reached."""
    await db.execute("DELETE FROM pgqueuer")
    company = await add_company(name=new_id().hex, now=START)
    merchant = msgspec.structs.replace(merchant, mchid=str(company.int % 10**10))
    await add_merchant_account(operator_company_id=company, merchant=merchant, now=START)
    shop = Shop(company, merchant.mchid)
    reached = [await shop.step(step) for step in plan]
    await shop.recover()
    await shop.compare()
    return any(reached)


@pytest.mark.usefixtures("fragile")
class TestCrashPoints:
    @pytest.mark.parametrize("path", PATHS, ids=lambda path: "-".join(path))
    async def test_money_ends_up_right_wherever_a_path_is_cut_off(self, path: dict[str, int], merchant: Keys) -> None:
        """Each call and each write of each step, one by one."""
        reached = 0
        for at in range(len(path)):
            for kind in (*CALL_FAULTS, "write"):
                for number in range(30):
                    plan: list[Step] = [
                        (what, 0, amount, (kind, number) if n == at else None)
                        for n, (what, amount) in enumerate(path.items())
                    ]
                    if not await run(plan, merchant):
                        break
                    reached += 1
        assert reached >= 15, "the path has that many places at which it can be cut off"

    @settings(max_examples=40, deadline=None, suppress_health_check=ANYTHING)
    @given(plan=plans)
    async def test_money_ends_up_right_whatever_is_cut_off(self, plan: list[Step], merchant: Keys) -> None:
        await run(plan, merchant)

    @pytest.mark.slow
    @settings(max_examples=2000, deadline=None, suppress_health_check=ANYTHING)
    @given(plan=plans)
    async def test_money_ends_up_right_in_thousands_of_plans(self, plan: list[Step], merchant: Keys) -> None:
        await run(plan, merchant)


class ClosedMeanwhile(MemoryProvider):
    """A provider so slow to take an order that another call has given the payment up before it answers."""

    async def prepare(self, *, merchant: Merchant, order: PaymentOrder) -> str:
        """Let the payment be closed on our side, then take the order."""
        await store.set_closed(payment_id=UUID(hex=order.number), now=self.now)
        return await super().prepare(merchant=merchant, order=order)


@pytest.mark.usefixtures("fragile")
class TestGivenUp:
    async def test_a_payment_closed_while_the_provider_took_it_does_not_stay_payable_there(
        self, merchant: Keys
    ) -> None:
        company = await add_company(name=new_id().hex, now=START)
        await add_merchant_account(operator_company_id=company, merchant=merchant, now=START)
        provider = ClosedMeanwhile(START)
        services = Services()
        services.put(PaymentGateways, PaymentGateways({"wechat_pay": provider}))
        with pytest.raises(payments.ProviderUnavailable):
            await start_payment(operator_company_id=company, account_id=company, services=services, now=START)
        assert [order["state"] for order in provider.orders.values()] == ["closed"]
