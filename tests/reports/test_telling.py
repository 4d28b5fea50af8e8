"""Refunds and differing bills reach the people they concern, once."""

from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from piccolo.engine.postgres import PostgresEngine

from backend.core import db, jobs
from backend.core.clock import Clock
from backend.core.errors import GatewayError
from backend.core.services import Services
from backend.payments import service as payments
from backend.payments.events import BillDiffered, BillUnreadable
from backend.payments.gateways import PaymentGateways, ProviderPayment, ProviderRefund
from backend.payments.rules.moves import CHECK_GAPS_S
from backend.payments.service import PaymentSheet, settling
from sandbox.wechat_pay.keys import new_keys
from tests.cast import ALICE, LI, SUN, ZHAO, ZHOU
from tests.factories.accounts import add_company, add_person
from tests.factories.payments import add_merchant_account, start_payment
from tests.fakes import FixedClock
from tests.jobs import run_due_jobs
from tests.payments.memory_provider import MemoryProvider


async def told(template: str) -> set[UUID]:
    rows = await db.fetch("SELECT recipient_id FROM inbox_message WHERE template = $1", template)
    assert len(rows) == len({row["recipient_id"] for row in rows}), "told twice"
    return {row["recipient_id"] for row in rows}


@pytest.fixture
async def people(database: PostgresEngine, now: datetime) -> dict[str, UUID]:
    """Li (operator), zhao (lead) and sun (inspector) of the company, zhou of another, alice who pays."""
    cast = {"li": LI, "zhao": ZHAO, "sun": SUN, "zhou": ZHOU, "alice": ALICE}
    return {name: await add_person(person, now=now) for name, person in cast.items()}


@pytest.fixture
async def paid(people: dict[str, UUID], services: Services, now: datetime) -> PaymentSheet:
    """Alice has paid 23.45 yuan to the company."""
    services.put(PaymentGateways, PaymentGateways({"wechat_pay": MemoryProvider(now)}))
    company = await add_company(now=now)
    merchant = new_keys(appid="wx1", merchants=1).merchants[0]
    await add_merchant_account(operator_company_id=company, merchant=merchant, now=now)
    sheet = await start_payment(operator_company_id=company, account_id=people["alice"], services=services, now=now)
    found = ProviderPayment(state="succeeded", transaction_no="4200", amount_fen=2345, paid_at=now)
    await settling.settle_payment(payment_id=sheet.payment_id, found=found, now=now)
    return sheet


class TestRefund:
    async def test_that_was_made_is_told_to_the_payer(
        self, paid: PaymentSheet, people: dict[str, UUID], services: Services, now: datetime
    ) -> None:
        refund = await payments.refund(payment_id=paid.payment_id, amount_fen=45, reason="x", key="k", now=now)
        done = ProviderRefund(state="succeeded", provider_no="5000", amount_fen=45, answer="SUCCESS")
        for _ in range(2):
            await settling.settle_refund(refund_id=refund.id, found=done, now=now)
        await run_due_jobs(now=now, services=services, only="reports.")
        assert await told("refund_done") == {people["alice"]}

    async def test_that_failed_is_told_to_who_can_do_something_about_it(
        self, paid: PaymentSheet, people: dict[str, UUID], services: Services, now: datetime
    ) -> None:
        refund = await payments.refund(payment_id=paid.payment_id, amount_fen=45, reason="x", key="k", now=now)
        failed = ProviderRefund(state="failed", provider_no="5000", amount_fen=45, answer="ABNORMAL")
        await settling.settle_refund(refund_id=refund.id, found=failed, now=now)
        await run_due_jobs(now=now, services=services, only="reports.")
        assert await told("refund_failed") == {people["li"], people["zhao"]}
        assert await told("refund_done") == set()


class ShortOfMoney(MemoryProvider):
    """A provider whose merchant account cannot pay a refund."""

    async def refund(self, **_: Any) -> ProviderRefund:
        raise GatewayError("基本账户余额不足，请充值后重新发起", permanent=False, code="NOT_ENOUGH")


class TestARefundThatIsNotTaken:
    async def test_is_told_when_the_tries_are_an_hour_apart_and_then_each_day(
        self, paid: PaymentSheet, people: dict[str, UUID], services: Services, now: datetime
    ) -> None:
        services.put(PaymentGateways, PaymentGateways({"wechat_pay": ShortOfMoney(now)}))
        refund = await payments.refund(payment_id=paid.payment_id, amount_fen=45, reason="x", key="k", now=now)
        clock = FixedClock(now)
        services.put(Clock, clock)  # type: ignore[type-abstract]
        told_at = []
        for _ in range(len(CHECK_GAPS_S) + 25):
            clock.move_to(await db.fetchval("SELECT check_at FROM refund WHERE id = $1", refund.id))
            await settling.check_refund(refund_id=refund.id, services=services)
            await run_due_jobs(now=clock.now(), services=services, only="reports.")
            rows = await db.fetch("SELECT recipient_id FROM inbox_message WHERE template = 'refund_waits'")
            if len(rows) > 2 * len(told_at):
                told_at.append(clock.now())
        assert {row["recipient_id"] for row in rows} == {people["li"], people["zhao"]}
        assert len(rows) == 4
        assert told_at[1] - told_at[0] == timedelta(days=1)
        assert told_at[0] - now <= timedelta(hours=1, minutes=30)
        assert (await payments.list_refunds(payment_id=paid.payment_id))[0].state == "created"


class TestBill:
    async def test_that_differs_is_told_once_and_again_when_the_number_changes(
        self, people: dict[str, UUID], services: Services, now: datetime
    ) -> None:
        company = await add_company(now=now)
        for differences in (2, 2, 1):
            async with db.transaction():
                event = BillDiffered(
                    operator_company_id=company,
                    merchant_no="1900010001",
                    day=date(2026, 6, 9),
                    differences=differences,
                )
                await jobs.emit(event, now=now)
        await run_due_jobs(now=now, services=services, only="reports.")
        rows = await db.fetch("SELECT recipient_id FROM inbox_message WHERE template = 'bill_differs'")
        assert sorted(row["recipient_id"] for row in rows) == sorted([people["li"], people["zhao"]] * 2)

    async def test_that_cannot_be_read_is_told_once(
        self, people: dict[str, UUID], services: Services, now: datetime
    ) -> None:
        company = await add_company(now=now)
        for _ in range(2):
            async with db.transaction():
                event = BillUnreadable(operator_company_id=company, merchant_no="1900010001", day=date(2026, 6, 9))
                await jobs.emit(event, now=now)
        await run_due_jobs(now=now, services=services, only="reports.")
        assert await told("bill_unreadable") == {people["li"], people["zhao"]}
