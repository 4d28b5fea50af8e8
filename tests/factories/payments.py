"""Merchant accounts, payments and callbacks as tests need them."""

from collections.abc import Mapping
from datetime import datetime
from uuid import UUID

from backend.core.ids import new_id
from backend.core.services import Services
from backend.payments import service as payments
from backend.payments.service import PaymentSheet, merchants
from sandbox.wechat_pay.callbacks import CallbackSender
from sandbox.wechat_pay.keys import Keys, Merchant


async def add_merchant_account(*, operator_company_id: UUID, merchant: Merchant, now: datetime) -> UUID:
    """Give a company one of the sandbox's merchant accounts."""
    return await merchants.put_merchant_account(
        operator_company_id=operator_company_id,
        merchant_no=merchant.mchid,
        app_id=merchant.appid,
        cert_serial_no=merchant.cert_serial_no,
        private_key=merchant.private_key,
        api_key=merchant.api_v3_key,
        platform_key_id=merchant.platform_public_key_id,
        platform_public_key=merchant.platform_public_key,
        now=now,
    )


async def start_payment(
    *,
    operator_company_id: UUID,
    account_id: UUID,
    services: Services,
    now: datetime,
    order_id: UUID | None = None,
    amount_fen: int = 2345,
    channel: str = "wechat_app",
) -> PaymentSheet:
    """Open a payment of an order."""
    return await payments.start_payment(
        order_id=order_id or new_id(),
        operator_company_id=operator_company_id,
        account_id=account_id,
        amount_fen=amount_fen,
        description="邻里充电 充电费",
        channel=channel,
        services=services,
        now=now,
    )


class Callbacks:
    """Builds callbacks as WeChat Pay would at an instant, true or forged."""

    def __init__(self, *, keys: Keys, merchant: Merchant, now: datetime) -> None:
        self.keys = keys
        self.merchant = merchant
        self._sender = CallbackSender(keys=keys, clock=lambda: now.timestamp())

    def payment(self, *, number: str, total: int, **changes: object) -> bytes:
        """Return the body of a TRANSACTION.SUCCESS callback; `changes` go into the resource."""
        resource: dict[str, object] = {
            "appid": self.merchant.appid,
            "mchid": self.merchant.mchid,
            "out_trade_no": number,
            "transaction_id": f"4200{number[:24]}",
            "trade_state": "SUCCESS",
            "trade_state_desc": "支付成功",
            "success_time": "2026-06-10T10:00:00+08:00",
            "amount": {"total": total, "payer_total": total, "currency": "CNY"},
        }
        return self.build(resource | changes, event_type="TRANSACTION.SUCCESS", original_type="transaction")

    def refund(self, *, number: str, payment_number: str, amount: int, total: int, status: str = "SUCCESS") -> bytes:
        """Return the body of a REFUND callback."""
        resource: dict[str, object] = {
            "mchid": self.merchant.mchid,
            "out_trade_no": payment_number,
            "transaction_id": f"4200{payment_number[:24]}",
            "out_refund_no": number,
            "refund_id": f"5000{number[:24]}",
            "refund_status": status,
            "user_received_account": "支付用户零钱",
            "amount": {"total": total, "refund": amount, "payer_total": total, "payer_refund": amount},
        }
        return self.build(resource, event_type=f"REFUND.{status}", original_type="refund")

    def build(self, resource: Mapping[str, object], *, event_type: str, original_type: str) -> bytes:
        """Return a callback's body."""
        return self._sender.build(
            merchant=self.merchant,
            event_type=event_type,
            original_type=original_type,
            summary="测试",
            resource=resource,
        )

    def headers(self, body: bytes) -> dict[str, str]:
        """Return true headers, with a nonce of their own."""
        return self._sender.headers(body)
