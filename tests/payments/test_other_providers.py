"""A provider of another shape through the same use cases: Alipay's form callbacks, closed orders, immediate refunds.

Written from opendocs.alipay.com (异步通知, alipay.trade.refund, alipay.trade.fastpay.refund.query); no Alipay is wired.
It shows that a second provider is a gateway and a merchant account, and no change of ours.
"""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from urllib.parse import parse_qsl, urlencode
from uuid import UUID

import pytest

from backend.core.clock import Clock
from backend.core.services import Services
from backend.payments import service as payments
from backend.payments.gateways import (
    CallbackPayment,
    CallbackRefused,
    Merchant,
    PaidPayment,
    PaymentGateways,
    PaymentOrder,
    ProviderPayment,
    ProviderRefund,
)
from backend.payments.service import callbacks, merchants, settling
from sandbox.providers import Providers
from tests.factories.payments import start_payment
from tests.fakes import FixedClock
from tests.jobs import run_due_jobs
from tests.payments.memory_provider import MemoryProvider


class AlipayShaped(MemoryProvider):
    """The token is the whole order string; callbacks are forms; a refund is done when it is answered."""

    @property
    def channels(self) -> Mapping[str, bool]:
        """Return its one way to pay."""
        return {"alipay_app": False}

    async def prepare(self, *, merchant: Merchant, order: PaymentOrder) -> str:
        """Sign the order string; nothing is asked (alipay.trade.app.pay), the app brings it to the provider."""
        await super().prepare(merchant=merchant, order=order)
        return urlencode({"app_id": merchant.app_id, "out_trade_no": order.number, "sign": "s" * 344, "biz": "x" * 900})

    def sheet(self, *, merchant: Merchant, channel: str, token: str, now: datetime) -> dict[str, str]:
        """Return what the SDK takes."""
        return {"orderString": token}

    async def refund(
        self, *, merchant: Merchant, number: str, paid: PaidPayment, amount_fen: int, reason: str
    ) -> ProviderRefund:
        """Give money back at once (fund_change=Y), by the provider's own number of the payment."""
        assert paid.transaction_no is not None
        await super().refund(merchant=merchant, number=number, paid=paid, amount_fen=amount_fen, reason=reason)
        self.refunds[number]["state"] = "succeeded"
        return self.refund_view(number)

    def read_payment_callback(
        self, *, merchant: Merchant, headers: Mapping[str, str], body: bytes, now: datetime
    ) -> CallbackPayment:
        """Read a form; the signature is in it, and notify_id is its nonce."""
        form = dict(parse_qsl(body.decode()))
        if form.get("sign") != "good" or form["app_id"] != merchant.app_id:
            raise CallbackRefused(401, "the signature does not verify")
        states = {"TRADE_SUCCESS": "succeeded", "TRADE_CLOSED": "closed", "WAIT_BUYER_PAY": "waiting"}
        payment = ProviderPayment(
            state=states[form["trade_status"]],  # type: ignore[arg-type]
            transaction_no=form["trade_no"],
            amount_fen=int(Decimal(form["total_amount"]) * 100),
        )
        return CallbackPayment(nonce=form["notify_id"], number=form["out_trade_no"], payment=payment)


@pytest.fixture
async def alipay(
    company: UUID, services: Services, providers: Providers, clock: FixedClock, now: datetime
) -> AlipayShaped:
    """The company has an account at both providers."""
    keys = providers.wechat_pay.keys.merchants[0]
    await merchants.put_merchant_account(
        operator_company_id=company,
        provider="alipay",
        merchant_no="2088721234567890",
        app_id="2021004100000000",
        cert_serial_no="",
        private_key=keys.private_key,
        api_key="",
        platform_key_id="",
        platform_public_key=keys.platform_public_key,
        now=now,
    )
    gateway = AlipayShaped(now)
    services.put(PaymentGateways, PaymentGateways({"wechat_pay": MemoryProvider(now), "alipay": gateway}))
    services.put(Clock, clock)  # type: ignore[type-abstract]
    return gateway


async def tell(services: Services, now: datetime, sheet: payments.PaymentSheet, status: str, **changes: str) -> None:
    form = {
        "app_id": "2021004100000000",
        "notify_id": f"{status}{sheet.number}",
        "out_trade_no": sheet.number,
        "trade_no": "2026061022001",
        "trade_status": status,
        "total_amount": "23.45",
        "sign": "good",
    }
    await callbacks.take_payment_callback(
        provider="alipay",
        merchant_no="2088721234567890",
        headers={},
        body=urlencode(form | changes).encode(),
        services=services,
        now=now,
    )


class TestAnotherProvider:
    async def test_pays_refunds_and_balances_by_the_same_use_cases(
        self, company: UUID, alice: UUID, services: Services, alipay: AlipayShaped, clock: FixedClock
    ) -> None:
        now = clock.now()
        sheet = await start_payment(
            operator_company_id=company, account_id=alice, services=services, now=now, channel="alipay_app"
        )
        assert (sheet.provider, len(sheet.parameters["orderString"]) > 1200) == ("alipay", True)
        alipay.pay(sheet.number)
        with pytest.raises(CallbackRefused):
            await tell(services, now, sheet, "TRADE_SUCCESS", sign="forged")
        await tell(services, now, sheet, "TRADE_SUCCESS")
        refund = await payments.refund(payment_id=sheet.payment_id, amount_fen=45, reason="x", key="k", now=now)
        await run_due_jobs(now=now, services=services, only="payments.")
        (view,) = await payments.list_refunds(payment_id=sheet.payment_id)
        assert (view.id, view.state) == (refund.id, "succeeded")
        assert await payments.trial_balance(operator_company_id=company) == {
            "provider:2088721234567890": 2300,
            "receivable": -2300,
        }

    async def test_tells_of_closed_and_waiting_orders_without_paying_them(
        self, company: UUID, alice: UUID, services: Services, alipay: AlipayShaped, clock: FixedClock
    ) -> None:
        now = clock.now()
        sheet = await start_payment(
            operator_company_id=company, account_id=alice, services=services, now=now, channel="alipay_app"
        )
        for status, state in (
            ("WAIT_BUYER_PAY", "prepared"),
            ("TRADE_CLOSED", "closed"),
            ("TRADE_SUCCESS", "succeeded"),
        ):
            await tell(services, now, sheet, status)
            (view,) = await payments.list_payments(order_id=sheet.order_id)
            assert view.state == state
        await tell(services, now, sheet, "TRADE_CLOSED", notify_id="after a whole refund")
        (view,) = await payments.list_payments(order_id=sheet.order_id)
        assert view.state == "succeeded"

    async def test_a_change_of_provider_closes_the_payment_at_the_first(
        self, company: UUID, alice: UUID, services: Services, alipay: AlipayShaped, clock: FixedClock
    ) -> None:
        now = clock.now()
        first = await start_payment(
            operator_company_id=company, account_id=alice, services=services, now=now, channel="alipay_app"
        )
        second = await start_payment(
            operator_company_id=company, account_id=alice, services=services, now=now, order_id=first.order_id
        )
        assert (second.provider, alipay.orders[first.number]["state"]) == ("wechat_pay", "closed")
        await settling.check_payment(payment_id=second.payment_id, services=services)
