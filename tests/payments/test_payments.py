"""Opening a payment, and what becomes of it when callbacks come, do not come, or processes die in between."""

from datetime import datetime, timedelta
from uuid import UUID

import pytest

from backend.accounts.gateways.wechat import WeChatCodes
from backend.accounts.service import logins
from backend.core import db
from backend.core.ids import new_id
from backend.core.services import Services
from backend.payments import service as payments
from backend.payments import store
from backend.payments.service import merchants, settling
from sandbox.providers import Providers
from sandbox.wechat_pay.server import CannotPay
from tests.factories.accounts import add_company
from tests.factories.payments import add_merchant_account, start_payment
from tests.fakes import FixedClock
from tests.jobs import run_due_jobs


async def events(name: str) -> int:
    count = await db.fetchval("SELECT count(*) FROM domain_event WHERE name = $1", name)
    assert isinstance(count, int)
    return count


async def check(payment_id: UUID, paying: Services, clock: FixedClock, **later: float) -> None:
    """Let the payment's next check come."""
    clock.advance(**later)
    await settling.check_payment(payment_id=payment_id, services=paying)


class TestStartPayment:
    async def test_returns_a_signed_sheet_of_the_app(
        self, company: UUID, alice: UUID, paying: Services, now: datetime
    ) -> None:
        sheet = await start_payment(operator_company_id=company, account_id=alice, services=paying, now=now)
        assert sheet.provider == "wechat_pay"
        assert sheet.parameters["package"] == "Sign=WXPay"
        assert sheet.parameters["prepayid"].startswith("wx")
        (view,) = await payments.list_payments(order_id=sheet.order_id)
        assert (view.state, view.amount_fen, view.number) == ("prepared", 2345, sheet.number)

    async def test_returns_a_sheet_of_the_mini_program_to_who_is_known_to_wechat(
        self, company: UUID, alice: UUID, paying: Services, providers: Providers, now: datetime
    ) -> None:
        settings = providers.settings
        wechat = WeChatCodes(
            base_url=settings["LINLI_WECHAT_URL"],
            app_id=settings["LINLI_WECHAT_APP_ID"],
            app_secret=settings["LINLI_WECHAT_APP_SECRET"],
        )
        await logins.bind_wechat(account_id=alice, code=providers.new_login_code("openid-of-alice"), wechat=wechat)
        sheet = await start_payment(
            operator_company_id=company, account_id=alice, services=paying, now=now, channel="wechat_jsapi"
        )
        assert sheet.parameters["signType"] == "RSA"
        assert sheet.parameters["package"].startswith("prepay_id=wx")
        trade = providers.wechat_pay.books.find_trade_of_anybody(out_trade_no=sheet.number)
        assert trade is not None and trade.openid == "openid-of-alice"

    async def test_the_mini_program_needs_an_openid(
        self, company: UUID, alice: UUID, paying: Services, now: datetime
    ) -> None:
        with pytest.raises(payments.OpenidMissing):
            await start_payment(
                operator_company_id=company, account_id=alice, services=paying, now=now, channel="wechat_jsapi"
            )

    async def test_a_company_without_an_account_cannot_be_paid(
        self, alice: UUID, paying: Services, now: datetime
    ) -> None:
        with pytest.raises(payments.MerchantMissing):
            await start_payment(operator_company_id=new_id(), account_id=alice, services=paying, now=now)

    async def test_nothing_is_to_be_paid_for_nothing(
        self, company: UUID, alice: UUID, paying: Services, now: datetime
    ) -> None:
        with pytest.raises(payments.NothingToPay):
            await start_payment(operator_company_id=company, account_id=alice, services=paying, now=now, amount_fen=0)

    async def test_a_merchant_number_belongs_to_one_company(
        self, company: UUID, providers: Providers, now: datetime
    ) -> None:
        other = await add_company(name="远邻充电", now=now)
        with pytest.raises(merchants.MerchantTaken):
            await add_merchant_account(
                operator_company_id=other, merchant=providers.wechat_pay.keys.merchants[0], now=now
            )

    async def test_an_unknown_channel_is_refused(
        self, company: UUID, alice: UUID, paying: Services, now: datetime
    ) -> None:
        with pytest.raises(payments.ChannelUnknown):
            await start_payment(operator_company_id=company, account_id=alice, services=paying, now=now, channel="cash")

    async def test_asking_twice_opens_one_payment(
        self, company: UUID, alice: UUID, paying: Services, now: datetime
    ) -> None:
        order_id = new_id()
        sheets = [
            await start_payment(
                operator_company_id=company, account_id=alice, services=paying, now=now, order_id=order_id
            )
            for _ in range(2)
        ]
        assert sheets[0].payment_id == sheets[1].payment_id

    async def test_another_amount_closes_the_old_payment(
        self, company: UUID, alice: UUID, paying: Services, providers: Providers, now: datetime
    ) -> None:
        order_id = new_id()
        old = await start_payment(
            operator_company_id=company, account_id=alice, services=paying, now=now, order_id=order_id
        )
        new = await start_payment(
            operator_company_id=company, account_id=alice, services=paying, now=now, order_id=order_id, amount_fen=99
        )
        assert new.payment_id != old.payment_id
        with pytest.raises(CannotPay):
            await providers.pay(old.number)

    async def test_a_silent_provider_is_unavailable_and_the_next_try_goes_on(
        self, company: UUID, alice: UUID, paying: Services, providers: Providers, now: datetime
    ) -> None:
        order_id = new_id()
        for fault in ("drop", "500", "bad_signature", "drop_after"):
            providers.faults["wechat_pay"].add(fault)
            with pytest.raises(payments.ProviderUnavailable):
                await start_payment(
                    operator_company_id=company, account_id=alice, services=paying, now=now, order_id=order_id
                )
        sheet = await start_payment(
            operator_company_id=company, account_id=alice, services=paying, now=now, order_id=order_id
        )
        assert len(await payments.list_payments(order_id=order_id)) == 1
        assert sheet.parameters["prepayid"]


class TestCheckPayment:
    async def test_finds_a_payment_whose_callback_was_lost(
        self, company: UUID, alice: UUID, paying: Services, providers: Providers, clock: FixedClock, now: datetime
    ) -> None:
        sheet = await start_payment(operator_company_id=company, account_id=alice, services=paying, now=now)
        providers.faults["wechat_callback"].add("lose_callback")
        await providers.pay(sheet.number)
        await check(sheet.payment_id, paying, clock, seconds=11)
        paid = await payments.find_paid(order_id=sheet.order_id)
        assert paid is not None and paid.state == "succeeded"
        balance = await payments.trial_balance(operator_company_id=company)
        assert sum(balance.values()) == 0
        assert balance["receivable"] == -2345
        assert await events("PaymentSucceeded") == 1

    async def test_an_order_that_never_reached_the_provider_is_closed_when_its_time_is_over(
        self, company: UUID, alice: UUID, paying: Services, providers: Providers, clock: FixedClock, now: datetime
    ) -> None:
        order_id = new_id()
        providers.faults["wechat_pay"].add("drop")
        with pytest.raises(payments.ProviderUnavailable):
            await start_payment(
                operator_company_id=company, account_id=alice, services=paying, now=now, order_id=order_id
            )
        (view,) = await payments.list_payments(order_id=order_id)
        await check(view.id, paying, clock, seconds=11)
        assert (await payments.list_payments(order_id=order_id))[0].state == "created"
        await check(view.id, paying, clock, minutes=31)
        assert (await payments.list_payments(order_id=order_id))[0].state == "closed"

    async def test_an_unpaid_order_is_closed_at_the_provider_too(
        self, company: UUID, alice: UUID, paying: Services, providers: Providers, clock: FixedClock, now: datetime
    ) -> None:
        sheet = await start_payment(operator_company_id=company, account_id=alice, services=paying, now=now)
        await check(sheet.payment_id, paying, clock, minutes=31)
        assert (await payments.list_payments(order_id=sheet.order_id))[0].state == "closed"
        with pytest.raises(CannotPay):
            await providers.pay(sheet.number)

    async def test_a_provider_that_fails_is_asked_again_later(
        self, company: UUID, alice: UUID, paying: Services, providers: Providers, clock: FixedClock, now: datetime
    ) -> None:
        sheet = await start_payment(operator_company_id=company, account_id=alice, services=paying, now=now)
        providers.faults["wechat_callback"].add("lose_callback")
        await providers.pay(sheet.number)
        providers.faults["wechat_pay"].add("drop")
        await check(sheet.payment_id, paying, clock, seconds=11)
        assert await payments.find_paid(order_id=sheet.order_id) is None
        await check(sheet.payment_id, paying, clock, seconds=1)
        assert await payments.find_paid(order_id=sheet.order_id) is None, "the next check is not due yet"
        await check(sheet.payment_id, paying, clock, seconds=60)
        assert await payments.find_paid(order_id=sheet.order_id) is not None

    async def test_a_lost_timer_is_found_by_the_sweep(
        self, company: UUID, alice: UUID, paying: Services, now: datetime
    ) -> None:
        await start_payment(operator_company_id=company, account_id=alice, services=paying, now=now)
        await db.execute("DELETE FROM pgqueuer")
        assert await settling.sweep(now=now + timedelta(seconds=60)) == 0
        assert await settling.sweep(now=now + timedelta(minutes=3)) == 1


class TestPaidTwice:
    async def test_the_second_payment_of_an_order_goes_back(
        self, company: UUID, alice: UUID, paying: Services, providers: Providers, clock: FixedClock, now: datetime
    ) -> None:
        order_id = new_id()
        first = await start_payment(
            operator_company_id=company, account_id=alice, services=paying, now=now, order_id=order_id
        )
        providers.faults["wechat_callback"].add("lose_callback", times=2)
        await providers.pay(first.number)
        # Our side believes the first one closed (a crash lost it), and a second one is opened and paid.
        await db.execute("UPDATE payment SET state = 'closed', closed_at = now() WHERE id = $1", first.payment_id)
        second = await start_payment(
            operator_company_id=company, account_id=alice, services=paying, now=now, order_id=order_id
        )
        await providers.pay(second.number)
        await check(second.payment_id, paying, clock, seconds=11)
        payment = (await payments.list_payments(order_id=order_id))[0]
        row = await store.find_payment(payment_id=payment.id)
        assert row is not None
        await settling.ask_about_payment(payment=row, services=paying)
        await run_due_jobs(now=clock.now(), services=paying, only="payments.check_refund")
        (refund,) = await payments.list_refunds(payment_id=first.payment_id)
        assert refund.amount_fen == 2345
        assert await events("PaymentSucceeded") == 1


class TestRefund:
    async def paid(
        self, company: UUID, alice: UUID, paying: Services, providers: Providers, clock: FixedClock
    ) -> payments.PaymentSheet:
        sheet = await start_payment(operator_company_id=company, account_id=alice, services=paying, now=clock.now())
        providers.faults["wechat_callback"].add("lose_callback")
        await providers.pay(sheet.number)
        await check(sheet.payment_id, paying, clock, seconds=11)
        return sheet

    async def test_goes_back_to_the_channel_and_balances(
        self, company: UUID, alice: UUID, paying: Services, providers: Providers, clock: FixedClock
    ) -> None:
        sheet = await self.paid(company, alice, paying, providers, clock)
        asked = await payments.refund(
            payment_id=sheet.payment_id, amount_fen=345, reason="多收退款", key="dispute:1", now=clock.now()
        )
        await run_due_jobs(now=clock.now(), services=paying, only="payments.check_refund")
        (refund,) = await payments.list_refunds(payment_id=sheet.payment_id)
        assert (refund.id, refund.state) == (asked.id, "processing")
        for _ in range(3):
            clock.advance(minutes=2)
            await settling.check_refund(refund_id=refund.id, services=paying)
        (refund,) = await payments.list_refunds(payment_id=sheet.payment_id)
        assert refund.state == "succeeded"
        balance = await payments.trial_balance(operator_company_id=company)
        assert sum(balance.values()) == 0
        assert balance["receivable"] == -2000
        assert await events("RefundSucceeded") == 1

    async def test_the_same_key_is_the_same_refund(
        self, company: UUID, alice: UUID, paying: Services, providers: Providers, clock: FixedClock
    ) -> None:
        sheet = await self.paid(company, alice, paying, providers, clock)
        first, again = [
            await payments.refund(payment_id=sheet.payment_id, amount_fen=100, reason="退款", key="k", now=clock.now())
            for _ in range(2)
        ]
        assert first.id == again.id
        with pytest.raises(payments.RefundKeyReused):
            await payments.refund(payment_id=sheet.payment_id, amount_fen=101, reason="退款", key="k", now=clock.now())

    @pytest.mark.parametrize("amount_fen", [0, -5, 2346, 10**9])
    async def test_more_than_what_was_paid_or_nothing_is_refused(
        self,
        company: UUID,
        alice: UUID,
        paying: Services,
        providers: Providers,
        clock: FixedClock,
        amount_fen: int,
    ) -> None:
        sheet = await self.paid(company, alice, paying, providers, clock)
        refusal = payments.RefundTooLarge if amount_fen > 0 else payments.RefundNotPositive
        with pytest.raises(refusal):
            await payments.refund(
                payment_id=sheet.payment_id, amount_fen=amount_fen, reason="退款", key="k", now=clock.now()
            )

    async def test_an_unpaid_order_has_nothing_to_give_back(
        self, company: UUID, alice: UUID, paying: Services, now: datetime
    ) -> None:
        sheet = await start_payment(operator_company_id=company, account_id=alice, services=paying, now=now)
        with pytest.raises(payments.NotPaid):
            await payments.refund(payment_id=sheet.payment_id, amount_fen=1, reason="退款", key="k", now=now)

    @pytest.mark.parametrize("fault", ["drop", "drop_after", "500", "bad_signature"])
    async def test_a_crash_around_the_call_neither_loses_nor_doubles_it(
        self, company: UUID, alice: UUID, paying: Services, providers: Providers, clock: FixedClock, fault: str
    ) -> None:
        sheet = await self.paid(company, alice, paying, providers, clock)
        asked = await payments.refund(
            payment_id=sheet.payment_id, amount_fen=2345, reason="退款", key="k", now=clock.now()
        )
        providers.faults["wechat_pay"].add(fault)
        for _ in range(4):
            await settling.check_refund(refund_id=asked.id, services=paying)
            clock.advance(minutes=5)
        trade = providers.wechat_pay.books.find_trade_of_anybody(out_trade_no=sheet.number)
        assert trade is not None and trade.refunded == 2345
        (refund,) = await payments.list_refunds(payment_id=sheet.payment_id)
        assert refund.state == "succeeded"
        assert await events("RefundSucceeded") == 1
