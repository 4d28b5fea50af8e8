"""Payments and refunds through the merchant account of the operator company, and the ledger behind them.

The order of things: a row is committed in a state from which it can go on (the recovery point), then the provider is
asked, then the answer is recorded. A crash anywhere in between is healed by the checks in `.settling`.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from backend.accounts import service as accounts
from backend.core import audit, db, jobs
from backend.core.errors import Conflict, GatewayError, Invalid, NotFound, Unavailable
from backend.core.services import Services
from backend.payments import store
from backend.payments.gateways import Merchant, PaymentGateways, PaymentOrder
from backend.payments.rules import moves
from backend.payments.service import settling
from backend.payments.service.ledger import post_entry, trial_balance
from backend.payments.service.settling import CheckPayment
from backend.payments.store import PaymentRow

__all__ = ["post_entry", "trial_balance"]


class PaymentSheet(msgspec.Struct, frozen=True, kw_only=True):
    """What an app needs to open the provider's payment sheet."""

    payment_id: UUID
    order_id: UUID
    channel: str
    provider: str
    amount_fen: int
    number: str
    expires_at: datetime
    parameters: Mapping[str, str]


class PaymentView(msgspec.Struct, frozen=True, kw_only=True):
    """A payment as other features see it."""

    id: UUID
    order_id: UUID
    operator_company_id: UUID
    account_id: UUID
    channel: str
    amount_fen: int
    refunded_fen: int
    state: moves.PaymentState
    number: str
    transaction_no: str | None
    created_at: datetime
    paid_at: datetime | None


class RefundView(msgspec.Struct, frozen=True, kw_only=True):
    """A refund as other features see it."""

    id: UUID
    payment_id: UUID
    amount_fen: int
    reason: str
    state: moves.RefundState
    created_at: datetime
    settled_at: datetime | None


class ChannelUnknown(Invalid):
    """The payment channel is none of ours."""

    code = "payment_channel_unknown"
    title_en = "This payment channel does not exist"
    title_zh = "支付渠道不存在"
    detail_en = "`channel` is one of: {allowed}."
    detail_zh = "channel 可选：{allowed}。"


class OpenidMissing(Conflict):
    """Paying in the mini-program needs the payer's openid, and this account has none."""

    code = "payment_openid_missing"
    title_en = "Log in by WeChat first"
    title_zh = "请先使用微信登录"
    detail_en = "Paying in the mini-program needs a WeChat login of this account; from the app use channel wechat_app."
    detail_zh = "小程序内支付需要先完成微信登录；App 内支付请使用 wechat_app。"


class OrderAlreadyPaid(Conflict):
    """The order is paid."""

    code = "order_already_paid"
    title_en = "The order is paid"
    title_zh = "订单已支付"
    detail_en = "Nothing is left to pay."
    detail_zh = "无需重复支付。"


class NothingToPay(Conflict):
    """The order costs nothing."""

    code = "nothing_to_pay"
    title_en = "Nothing is to be paid"
    title_zh = "无需支付"
    detail_en = "The order costs nothing."
    detail_zh = "该订单金额为零。"


class MerchantMissing(Conflict):
    """The operator company has no account at this provider."""

    code = "merchant_account_missing"
    title_en = "This company cannot be paid in this way yet"
    title_zh = "该服务商暂不支持此支付方式"


class ProviderUnavailable(Unavailable):
    """The payment provider does not answer."""

    code = "payment_provider_unavailable"
    title_en = "The payment provider does not answer"
    title_zh = "支付服务暂时不可用"
    detail_en = "Nothing was charged. Try again in a moment."
    detail_zh = "未扣款，请稍后重试。"


class ProviderRefused(Conflict):
    """The payment provider refuses this payment."""

    code = "payment_refused"
    title_en = "The payment provider refused"
    title_zh = "支付服务拒绝了该请求"
    detail_en = "The provider said: {provider_code}."
    detail_zh = "支付服务返回：{provider_code}。"


class PaymentNotFound(NotFound):
    """No such payment."""

    code = "payment_not_found"


class NotPaid(Conflict):
    """A refund of something that was not paid."""

    code = "payment_not_paid"
    title_en = "Only a paid order can be refunded"
    title_zh = "仅已支付的订单可以退款"


class RefundTooLarge(Invalid):
    """More than what was paid and not given back yet."""

    code = "refund_too_large"
    title_en = "The refund is larger than what is left of the payment"
    title_zh = "退款金额超过可退金额"
    detail_en = "At most {refundable_fen} fen can be refunded; at least 1."
    detail_zh = "最多可退 {refundable_fen} 分，至少 1 分。"


class NothingLeft(RefundTooLarge):
    """All of the payment went back, is on its way, or waits for a second person."""

    code = "refund_nothing_left"
    title_en = "Nothing is left to refund"
    title_zh = "已无可退金额"
    detail_en = "All of this payment was refunded, is being refunded, or waits for a second person."
    detail_zh = "该笔支付已全部退款、正在退款或待复核。"


class RefundNotPositive(Invalid):
    """Nothing, or less than nothing, is no refund."""

    code = "refund_not_positive"
    title_en = "A refund is at least one fen"
    title_zh = "退款金额至少 1 分"
    detail_en = "`amount_fen` is a whole number of fen from 1 to {refundable_fen}."
    detail_zh = "amount_fen 为 1 至 {refundable_fen} 的整数（分）。"


class RefundKeyReused(Conflict):
    """The same key came before for another refund."""

    code = "refund_key_reused"
    title_en = "The refund's key belongs to another refund"
    title_zh = "退款幂等键已用于其他退款"


async def start_payment(
    *,
    order_id: UUID,
    operator_company_id: UUID,
    account_id: UUID,
    amount_fen: int,
    description: str,
    channel: str,
    services: Services,
    now: datetime,
) -> PaymentSheet:
    """Open a payment of an order and return its sheet; call it outside a transaction, it asks the provider.

    Asking again for the same order, amount and channel returns a fresh sheet of the same payment; another amount or
    channel closes the old payment first. Raises NothingToPay, ChannelUnknown, OpenidMissing, MerchantMissing,
    OrderAlreadyPaid, ProviderUnavailable, ProviderRefused.
    """
    if amount_fen < 1:
        raise NothingToPay
    gateways = services.get(PaymentGateways)
    provider = gateways.provider_of(channel)
    if provider is None:
        raise ChannelUnknown(field="channel", allowed=", ".join(gateways.list_channels()))
    gateway = gateways.get(provider)
    payer: str | None = None
    if gateway.channels[channel]:
        payer = (await accounts.get_contact(account_id=account_id)).wechat_openid
        if payer is None:
            raise OpenidMissing
    found = await store.find_merchant(operator_company_id=operator_company_id, provider=provider)
    if found is None:
        raise MerchantMissing
    merchant = settling.as_merchant(found)
    try:
        payment = await _open_payment(
            order_id=order_id,
            merchant=merchant,
            account_id=account_id,
            amount_fen=amount_fen,
            description=description,
            channel=channel,
            services=services,
            now=now,
        )
        token = await gateway.prepare(
            merchant=merchant,
            order=PaymentOrder(
                number=payment.number,
                channel=channel,
                amount_fen=amount_fen,
                description=description,
                payer=payer,
                expires_at=payment.expires_at,
            ),
        )
        if not await store.set_prepared(payment_id=payment.id, prepay_token=token):
            # Closed by another call while the provider was still being asked: it must not stay payable there.
            await _close_old(payment, services, now)
            raise ProviderUnavailable
    except GatewayError as error:
        if error.permanent:
            raise ProviderRefused(provider_code=error.code or "refused") from error
        raise ProviderUnavailable from error
    return PaymentSheet(
        payment_id=payment.id,
        order_id=order_id,
        channel=channel,
        provider=merchant.provider,
        amount_fen=amount_fen,
        number=payment.number,
        expires_at=payment.expires_at,
        parameters=gateway.sheet(merchant=merchant, channel=channel, token=token, now=now),
    )


async def _open_payment(
    *,
    order_id: UUID,
    merchant: Merchant,
    account_id: UUID,
    amount_fen: int,
    description: str,
    channel: str,
    services: Services,
    now: datetime,
) -> PaymentRow:
    """Return the order's open payment for this amount and channel, new where need be; one that differs is closed."""
    for _ in range(3):
        if await store.find_paid_payment(order_id=order_id) is not None:
            raise OrderAlreadyPaid
        check_at = moves.next_check_at(checks=0, now=now)
        async with db.transaction():
            made = await store.add_payment(
                order_id=order_id,
                operator_company_id=merchant.operator_company_id,
                account_id=account_id,
                merchant_account_id=merchant.id,
                channel=channel,
                amount_fen=amount_fen,
                description=description[:120],
                check_at=check_at,
                expires_at=now + moves.PAY_WITHIN,
                now=now,
            )
            if made is not None:
                await jobs.schedule("payments.check_payment", CheckPayment(made.id), due_at=check_at, now=now)
                return made
        known = await store.find_open_payment(order_id=order_id)
        if known is None:
            continue
        same = (known.amount_fen, known.channel, known.account_id, known.merchant_account_id, known.description) == (
            amount_fen,
            channel,
            account_id,
            merchant.id,
            description[:120],
        )
        if same and known.expires_at > now:
            return known
        await _close_old(known, services, now)
    raise ProviderUnavailable


async def _close_old(payment: PaymentRow, services: Services, now: datetime) -> None:
    """Close an open payment at the provider, so that an order is never paid twice; settle it when it was paid."""
    merchant = await settling.merchant_of(payment.merchant_account_id)
    gateway = services.get(PaymentGateways).get(merchant.provider)
    if await gateway.close(merchant=merchant, number=payment.number):
        await store.set_closed(payment_id=payment.id, now=now)
        return
    await settling.ask_about_payment(payment=payment, services=services)


async def refund(
    *,
    payment_id: UUID,
    amount_fen: int,
    reason: str,
    key: str,
    now: datetime,
    actor_id: UUID | None = None,
    actor_role: str = "service",
) -> RefundView:
    """Give money back to the channel that paid; returns the refund, which a job sends and follows.

    Belongs inside the caller's transaction (or makes its own). `key` makes it idempotent: the same key again returns
    the same refund. Raises PaymentNotFound, NotPaid, RefundNotPositive, NothingLeft, RefundTooLarge, RefundKeyReused.
    """
    async with db.transaction():
        payment = await store.lock_payment(payment_id=payment_id)
        if payment is None:
            raise PaymentNotFound
        known = await store.find_refund_by_key(request_key=key)
        if known is not None:
            if (known.payment_id, known.amount_fen) != (payment_id, amount_fen):
                raise RefundKeyReused
            return _refund_view(known)
        if payment.state != "succeeded":
            raise NotPaid
        live = [row.amount_fen for row in await store.list_refunds(payment_id=payment_id) if row.state != "failed"]
        refundable = moves.refundable_fen(paid_fen=payment.amount_fen, refunds_fen=live)
        check_refundable(amount_fen=amount_fen, refundable_fen=refundable)
        made = await settling.request_refund(payment=payment, amount_fen=amount_fen, reason=reason, key=key, now=now)
        await audit.record(
            actor_id=actor_id,
            actor_role=actor_role,
            action="refund.requested",
            object_kind="payment",
            object_id=payment_id,
            detail={"refund_id": str(made.id), "amount_fen": amount_fen, "reason": reason},
            now=now,
            operator_company_id=payment.operator_company_id,
        )
        return _refund_view(made)


def check_refundable(*, amount_fen: int, refundable_fen: int) -> None:
    """Refuse an amount that cannot go back; raises RefundNotPositive, NothingLeft, RefundTooLarge."""
    if amount_fen < 1:
        raise RefundNotPositive(field="amount_fen", refundable_fen=refundable_fen)
    if amount_fen > refundable_fen:
        refusal = RefundTooLarge if refundable_fen else NothingLeft
        raise refusal(field="amount_fen", refundable_fen=refundable_fen)


async def list_payments(*, order_id: UUID) -> list[PaymentView]:
    """Return the payments of an order, oldest first, with what was given back."""
    return [await _payment_view(row) for row in await store.list_payments(order_id=order_id)]


async def find_paid(*, order_id: UUID) -> PaymentView | None:
    """Return the payment that paid an order."""
    row = await store.find_paid_payment(order_id=order_id)
    return None if row is None else await _payment_view(row)


async def list_refunds(*, payment_id: UUID) -> list[RefundView]:
    """Return the refunds of a payment, oldest first."""
    return [_refund_view(row) for row in await store.list_refunds(payment_id=payment_id)]


async def export_personal_data(*, account_id: UUID) -> dict[str, Any]:
    """Return a person's payments and what went back of them (PIPL art. 45)."""
    views = [await _payment_view(row) for row in await store.list_payments(account_id=account_id)]
    refunds = [refund for view in views for refund in await list_refunds(payment_id=view.id)]
    return {
        "payments": [msgspec.to_builtins(view) for view in views],
        "refunds": [msgspec.to_builtins(refund) for refund in refunds],
    }


async def erase_personal_data(*, account_id: UUID, now: datetime) -> None:
    """Keep a person's payments: transactions stay 3 years (domain.md), and hold nothing but the account's id."""


async def _payment_view(row: PaymentRow) -> PaymentView:
    refunds = await store.list_refunds(payment_id=row.id)
    return PaymentView(
        id=row.id,
        order_id=row.order_id,
        operator_company_id=row.operator_company_id,
        account_id=row.account_id,
        channel=row.channel,
        amount_fen=row.amount_fen,
        refunded_fen=sum(refund.amount_fen for refund in refunds if refund.state == "succeeded"),
        state=row.state,
        number=row.number,
        transaction_no=row.transaction_no,
        created_at=row.created_at,
        paid_at=row.paid_at,
    )


def _refund_view(row: store.RefundRow) -> RefundView:
    return RefundView(
        id=row.id,
        payment_id=row.payment_id,
        amount_fen=row.amount_fen,
        reason=row.reason,
        state=row.state,
        created_at=row.created_at,
        settled_at=row.settled_at,
    )
