"""Many at once, on a database where transactions commit: one effect each, and the ledger balanced at every commit."""

import asyncio
from contextlib import suppress
from datetime import datetime, timedelta
from random import Random
from uuid import UUID

import asyncpg
import httpx
import pytest
from piccolo.engine.postgres import PostgresEngine

from backend.app import create_app
from backend.core import db
from backend.core.ids import new_id
from backend.core.services import Services
from backend.payments import service as payments
from backend.payments import store, store_ledger
from backend.payments.gateways import ProviderPayment, ProviderRefund
from backend.payments.rules.moves import next_check_at
from backend.payments.service import settling
from sandbox.providers import Providers
from sandbox.wechat_pay.server import CannotPay
from tests.cast import ALICE
from tests.factories.accounts import add_company, add_person
from tests.factories.payments import Callbacks, add_merchant_account, start_payment

pytestmark = pytest.mark.usefixtures("committing")


@pytest.fixture
async def company(committing: PostgresEngine, providers: Providers, now: datetime) -> UUID:
    """An operator company that can be paid."""
    company_id = await add_company(now=now)
    await add_merchant_account(operator_company_id=company_id, merchant=providers.wechat_pay.keys.merchants[0], now=now)
    return company_id


@pytest.fixture
async def alice(committing: PostgresEngine, now: datetime) -> UUID:
    """A resident who pays."""
    return await add_person(ALICE, now=now)


async def count(table: str) -> int:
    found = await db.fetchval(f"SELECT count(*) FROM {table}")
    assert isinstance(found, int)
    return found


class TestStartPayment:
    async def test_twenty_taps_at_once_open_one_payment(
        self, company: UUID, alice: UUID, paying: Services, now: datetime
    ) -> None:
        order_id = new_id()
        sheets = await asyncio.gather(
            *(
                start_payment(
                    operator_company_id=company, account_id=alice, services=paying, now=now, order_id=order_id
                )
                for _ in range(20)
            )
        )
        assert len({sheet.payment_id for sheet in sheets}) == 1
        assert await count("payment") == 1


class TestCallbacks:
    async def test_a_hundred_at_once_have_one_effect(
        self, company: UUID, alice: UUID, paying: Services, callbacks: Callbacks, now: datetime
    ) -> None:
        sheet = await start_payment(operator_company_id=company, account_id=alice, services=paying, now=now)
        body = callbacks.payment(number=sheet.number, total=2345)
        path = f"/v1/payments/wechat/{callbacks.merchant.mchid}/notify"
        transport = httpx.ASGITransport(app=create_app(paying), raise_app_exceptions=False)
        replayed = callbacks.headers(body)
        async with httpx.AsyncClient(transport=transport, base_url="http://linli.test") as api:
            answers = await asyncio.gather(
                *(
                    api.post(path, content=body, headers=replayed if number % 2 else callbacks.headers(body))
                    for number in range(100)
                )
            )
        statuses = sorted({answer.status_code for answer in answers})
        assert statuses == [200, 409]
        assert (await count("ledger_entry"), await count("ledger_leg")) == (1, 2)
        assert await db.fetchval("SELECT count(*) FROM domain_event WHERE name = 'PaymentSucceeded'") == 1


class TestRefund:
    async def test_thirty_at_once_never_give_back_more_than_was_paid(
        self, company: UUID, alice: UUID, paying: Services, now: datetime
    ) -> None:
        sheet = await start_payment(
            operator_company_id=company, account_id=alice, services=paying, now=now, amount_fen=1000
        )
        paid = ProviderPayment(state="succeeded", transaction_no="4200", amount_fen=1000, paid_at=now)
        await settling.settle_payment(payment_id=sheet.payment_id, found=paid, now=now)

        async def ask(number: int) -> int:
            try:
                view = await payments.refund(
                    payment_id=sheet.payment_id, amount_fen=90, reason="退款", key=f"k{number}", now=now
                )
            except payments.RefundTooLarge:
                return 0
            return view.amount_fen

        given = await asyncio.gather(*(ask(number) for number in range(30)))
        assert sum(given) == 990


class TestLedger:
    async def test_an_unbalanced_commit_is_refused_by_the_database(self, company: UUID, now: datetime) -> None:
        with pytest.raises(asyncpg.CheckViolationError):
            async with db.transaction():
                await store_ledger.add_entry(
                    kind="order",
                    reference_id=new_id(),
                    operator_company_id=company,
                    legs=[("receivable", 5), ("energy_fee", -4)],
                    now=now,
                )
        assert await count("ledger_entry") == 0
        assert not db.in_transaction()
        pool = db.engine().pool
        assert pool is not None and pool.get_size() == pool.get_idle_size(), "a failed COMMIT kept its connection"

    @pytest.mark.parametrize("seed", range(5))
    async def test_is_balanced_after_any_sequence_of_payments_refunds_corrections_and_crashes(
        self, company: UUID, alice: UUID, paying: Services, providers: Providers, now: datetime, seed: int
    ) -> None:
        """Random steps, each of which may lose the provider's answer or be done twice; at the end all is settled."""
        random = Random(seed)
        faults = ("drop", "drop_after", "500", "bad_signature")
        orders: dict[UUID, int] = {}
        sheets: list[payments.PaymentSheet] = []
        moment = now
        for step in range(40):
            moment += timedelta(seconds=random.randrange(1, 20))
            if random.random() < 0.3:
                providers.faults["wechat_pay"].add(random.choice(faults))
            if random.random() < 0.5:
                providers.faults["wechat_callback"].add("lose_callback")
            what = random.choice(("order", "order", "pay", "check", "check", "refund", "correct", "again"))
            if what == "order":
                order_id, amount = new_id(), random.randrange(1, 5000)
                orders[order_id] = amount
                await payments.post_entry(
                    kind="order",
                    reference_id=order_id,
                    legs=[("receivable", amount), ("energy_fee", -amount)],
                    operator_company_id=company,
                    now=moment,
                )
                with suppress(payments.ProviderUnavailable, payments.ProviderRefused):
                    sheets.append(
                        await start_payment(
                            operator_company_id=company,
                            account_id=alice,
                            services=paying,
                            now=moment,
                            order_id=order_id,
                            amount_fen=amount,
                        )
                    )
            elif sheets and what == "pay":
                with suppress(CannotPay):
                    await providers.pay(random.choice(sheets).number)
            elif sheets and what in ("check", "again"):
                await check(random.choice(sheets).payment_id, paying)
            elif sheets and what == "refund":
                sheet = random.choice(sheets)
                with suppress(payments.NotPaid, payments.RefundTooLarge):
                    await payments.refund(
                        payment_id=sheet.payment_id,
                        amount_fen=random.randrange(1, sheet.amount_fen + 1),
                        reason="退款",
                        key=f"refund {step}",
                        now=moment,
                    )
            elif sheets and what == "correct":
                amount = random.randrange(1, 100)
                await payments.post_entry(
                    kind="correction",
                    reference_id=new_id(),
                    legs=[("energy_fee", amount), ("receivable", -amount)],
                    operator_company_id=company,
                    now=moment,
                )
            assert sum((await payments.trial_balance()).values()) == 0
        providers.faults["wechat_pay"].clear()
        for sheet in sheets:
            await check(sheet.payment_id, paying)
        for _ in range(3):
            for row in await db.fetch("SELECT id FROM refund WHERE state IN ('created', 'processing')"):
                await db.execute("UPDATE refund SET check_at = $2 WHERE id = $1", row["id"], now - timedelta(hours=1))
                await settling.check_refund(refund_id=row["id"], services=paying)
        await compare_with_the_provider(company, sheets, providers)


async def check(payment_id: UUID, paying: Services) -> None:
    """Let a payment's check be due and run it, whatever the fault."""
    await db.execute(
        "UPDATE payment SET check_at = '2000-01-01' WHERE id = $1 AND state IN ('created', 'prepared')", payment_id
    )
    await settling.check_payment(payment_id=payment_id, services=paying)


async def compare_with_the_provider(company: UUID, sheets: list[payments.PaymentSheet], providers: Providers) -> None:
    """What our ledger says the provider holds is what the provider says it holds, to the fen."""
    merchant = providers.wechat_pay.keys.merchants[0]
    held = 0
    for sheet in sheets:
        trade = providers.wechat_pay.books.find_trade(mchid=merchant.mchid, out_trade_no=sheet.number)
        assert trade is not None
        if trade.transaction_id is not None:
            held += trade.total - trade.refunded
        view = await store.find_payment(payment_id=sheet.payment_id)
        assert view is not None
        assert (view.state == "succeeded") == (trade.transaction_id is not None)
    balance = await payments.trial_balance(operator_company_id=company)
    assert sum(balance.values()) == 0
    assert balance.get(f"provider:{merchant.mchid}", 0) == held


class TestSettle:
    async def test_a_refund_that_ends_twice_at_once_is_booked_once(
        self, company: UUID, alice: UUID, paying: Services, now: datetime
    ) -> None:
        sheet = await start_payment(operator_company_id=company, account_id=alice, services=paying, now=now)
        paid = ProviderPayment(state="succeeded", transaction_no="4200", amount_fen=2345, paid_at=now)
        await asyncio.gather(
            *(settling.settle_payment(payment_id=sheet.payment_id, found=paid, now=now) for _ in range(8))
        )
        refund = await payments.refund(payment_id=sheet.payment_id, amount_fen=45, reason="退款", key="k", now=now)
        done = ProviderRefund(state="succeeded", provider_no="5000", amount_fen=45, answer="SUCCESS")
        outcomes = await asyncio.gather(
            *(settling.settle_refund(refund_id=refund.id, found=done, now=now) for _ in range(8))
        )
        assert outcomes.count(True) == 1
        assert await count("ledger_entry") == 2
        assert next_check_at(checks=99, now=now) == now + timedelta(hours=1)
