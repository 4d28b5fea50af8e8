"""Callbacks of the provider: verified first, then one transaction with the effect and the nonce.

A forged or mismatched one changes nothing and is a CallbackRefused (4xx); a repeat of something known is fine.
"""

from collections.abc import Mapping
from datetime import datetime
from uuid import UUID

import msgspec
import structlog

from backend.core import db
from backend.core.services import Services
from backend.payments import store
from backend.payments.gateways import CallbackRefused, Merchant, PaymentGateways
from backend.payments.service import settling
from backend.payments.service.settling import AmountDiffers

log = structlog.get_logger()


async def take_payment_callback(
    *, provider: str, merchant_no: str, headers: Mapping[str, str], body: bytes, services: Services, now: datetime
) -> None:
    """Believe a callback about a payment, or raise CallbackRefused.

    Providers tell of payments made, and some of orders closed when their time was over; what is still open is left to
    the checks.
    """
    merchant = await _merchant(provider, merchant_no)
    gateway = services.get(PaymentGateways).get(merchant.provider)
    found = gateway.read_payment_callback(merchant=merchant, headers=headers, body=body, now=now)
    async with db.transaction():
        await _use_nonce(merchant, found.nonce, now)
        payment = await store.find_payment(payment_id=_id_of(found.number))
        if payment is None or payment.merchant_account_id != merchant.id:
            raise CallbackRefused(404, "unknown order")
        if found.payment.state == "closed":
            await store.set_closed(payment_id=payment.id, now=now)
        if found.payment.state != "succeeded":
            return
        try:
            await settling.settle_payment(payment_id=payment.id, found=found.payment, now=now)
        except AmountDiffers as error:
            log.error("payment_callback_amount_differs", payment_id=str(payment.id))
            raise CallbackRefused(422, "another amount") from error
        if found.payment.amount_fen != payment.amount_fen:
            raise CallbackRefused(422, "another amount")


async def take_refund_callback(
    *, provider: str, merchant_no: str, headers: Mapping[str, str], body: bytes, services: Services, now: datetime
) -> None:
    """Believe a callback about a refund, or raise CallbackRefused."""
    merchant = await _merchant(provider, merchant_no)
    gateway = services.get(PaymentGateways).get(merchant.provider)
    found = gateway.read_refund_callback(merchant=merchant, headers=headers, body=body, now=now)
    async with db.transaction():
        await _use_nonce(merchant, found.nonce, now)
        refund = await store.find_refund(refund_id=_id_of(found.number))
        payment = await store.find_payment(payment_id=refund.payment_id) if refund is not None else None
        if refund is None or payment is None or payment.merchant_account_id != merchant.id:
            raise CallbackRefused(404, "unknown refund")
        if payment.number != found.payment_number or found.refund.amount_fen != refund.amount_fen:
            raise CallbackRefused(422, "another payment or amount")
        if found.refund.state in ("succeeded", "failed"):
            await settling.settle_refund(refund_id=refund.id, found=found.refund, now=now)


async def _merchant(provider: str, merchant_no: str) -> Merchant:
    row = await store.find_merchant_by_number(provider=provider, merchant_no=merchant_no)
    if row is None:
        raise CallbackRefused(404, "unknown merchant")
    return Merchant(**msgspec.structs.asdict(row))


async def _use_nonce(merchant: Merchant, nonce: str, now: datetime) -> None:
    if not await store.use_nonce(merchant_account_id=merchant.id, nonce=nonce, now=now):
        raise CallbackRefused(409, "the nonce was used before")


def _id_of(number: str) -> UUID:
    try:
        return UUID(hex=number)
    except ValueError as error:
        raise CallbackRefused(404, "unknown order") from error
