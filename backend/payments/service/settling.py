"""What the provider says becomes what we believe: payments and refunds move on, the ledger with them, each once.

Callbacks, checks and answers all end here; every function locks the row first, so that two at once have one effect.
"""

from datetime import datetime, timedelta
from uuid import UUID

import msgspec
import structlog

from backend.core import audit, db, jobs
from backend.core.clock import Clock
from backend.core.errors import GatewayError
from backend.core.services import Services
from backend.payments import store
from backend.payments.events import PaymentSucceeded, RefundFailed, RefundSucceeded, RefundWaits
from backend.payments.gateways import Merchant, PaidPayment, PaymentGateways, ProviderPayment, ProviderRefund
from backend.payments.rules import ledger as ledger_rules
from backend.payments.rules import moves
from backend.payments.service.ledger import post_entry
from backend.payments.store import PaymentRow, RefundRow

log = structlog.get_logger()

SWEEP_AFTER = timedelta(minutes=2)
"""A check that is this late has lost its timer."""


class CheckPayment(msgspec.Struct, frozen=True):
    """Payload of the timer that asks the provider about a payment."""

    payment_id: UUID


class CheckRefund(msgspec.Struct, frozen=True):
    """Payload of the timer that sends a refund and asks what became of it."""

    refund_id: UUID


class AmountDiffers(Exception):
    """The provider names another amount than ours: nothing is changed, a person must look."""


async def merchant_of(merchant_account_id: UUID) -> Merchant:
    """Return the merchant account of a payment."""
    return as_merchant(await store.get_merchant(merchant_account_id=merchant_account_id))


def as_merchant(row: store.MerchantRow) -> Merchant:
    """Return a stored account as the gateways take it."""
    return Merchant(**msgspec.structs.asdict(row))


async def settle_payment(*, payment_id: UUID, found: ProviderPayment, now: datetime) -> bool:
    """Record that the provider has the money: state, ledger, event, in one transaction; False when known before.

    A second payment of an order that is paid already is booked and given back at once. Raises AmountDiffers.
    """
    async with db.transaction():
        payment = await store.lock_payment(payment_id=payment_id)
        if payment is None or payment.state == "succeeded":
            return False
        if found.amount_fen != payment.amount_fen or found.transaction_no is None:
            raise AmountDiffers(f"payment {payment_id}: {found.amount_fen} fen instead of {payment.amount_fen}")
        merchant = await store.get_merchant(merchant_account_id=payment.merchant_account_id)
        await store.set_succeeded(
            payment_id=payment_id, transaction_no=found.transaction_no, paid_at=found.paid_at or now
        )
        await post_entry(
            kind="payment",
            reference_id=payment_id,
            legs=ledger_rules.payment_legs(merchant_no=merchant.merchant_no, amount_fen=payment.amount_fen),
            operator_company_id=payment.operator_company_id,
            now=now,
        )
        if await store.find_paid_payment(order_id=payment.order_id, other_than=payment_id) is not None:
            await request_refund(
                payment=payment, amount_fen=payment.amount_fen, reason="重复支付", key=f"twice:{payment_id}", now=now
            )
            return True
        await jobs.emit(
            PaymentSucceeded(payment_id=payment_id, order_id=payment.order_id, amount_fen=payment.amount_fen), now=now
        )
        return True


async def request_refund(*, payment: PaymentRow, amount_fen: int, reason: str, key: str, now: datetime) -> RefundRow:
    """Write a refund and the job that sends it; the caller holds the payment's lock and has checked the amount."""
    refund = await store.add_refund(
        payment_id=payment.id,
        operator_company_id=payment.operator_company_id,
        request_key=key,
        amount_fen=amount_fen,
        reason=reason,
        check_at=now,
        now=now,
    )
    await jobs.schedule("payments.check_refund", CheckRefund(refund.id), due_at=now, now=now)
    return refund


async def settle_refund(*, refund_id: UUID, found: ProviderRefund, now: datetime) -> bool:
    """Record the end of a refund: state, ledger, event, in one transaction; False when known before.

    Raises AmountDiffers.
    """
    async with db.transaction():
        refund = await store.lock_refund(refund_id=refund_id)
        if refund is None or refund.state in ("succeeded", "failed"):
            return False
        if found.amount_fen != refund.amount_fen:
            raise AmountDiffers(f"refund {refund_id}: {found.amount_fen} fen instead of {refund.amount_fen}")
        payment = await store.find_payment(payment_id=refund.payment_id)
        if payment is None:
            raise LookupError(f"payment {refund.payment_id}")
        succeeded = found.state == "succeeded"
        await store.settle_refund(
            refund_id=refund_id,
            state="succeeded" if succeeded else "failed",
            provider_no=found.provider_no,
            provider_answer=found.answer,
            now=now,
        )
        if not succeeded:
            await jobs.emit(
                RefundFailed(
                    refund_id=refund_id,
                    payment_id=payment.id,
                    order_id=payment.order_id,
                    amount_fen=refund.amount_fen,
                    provider_state=found.answer,
                ),
                now=now,
            )
            return True
        merchant = await store.get_merchant(merchant_account_id=payment.merchant_account_id)
        await post_entry(
            kind="refund",
            reference_id=refund_id,
            legs=ledger_rules.refund_legs(merchant_no=merchant.merchant_no, amount_fen=refund.amount_fen),
            operator_company_id=refund.operator_company_id,
            now=now,
        )
        await jobs.emit(
            RefundSucceeded(
                refund_id=refund_id, payment_id=payment.id, order_id=payment.order_id, amount_fen=refund.amount_fen
            ),
            now=now,
        )
        return True


async def check_payment(*, payment_id: UUID, services: Services) -> None:
    """Ask the provider about an open payment and do what its answer calls for; the next check is set first.

    Set first and committed, so that a crash in the middle of the call costs one check and nothing else.
    """
    clock: Clock = services.get(Clock)  # type: ignore[type-abstract]
    now = clock.now()
    async with db.transaction():
        payment = await store.lock_payment(payment_id=payment_id)
        if payment is None or payment.state not in ("created", "prepared") or payment.check_at > now:
            return
        await _set_payment_check(payment, now)
    try:
        await ask_about_payment(payment=payment, services=services)
    except GatewayError as error:
        log.warning("payment_check_failed", payment_id=str(payment_id), error=str(error))
    except AmountDiffers as error:
        await _report(payment.operator_company_id, "payment.amount_differs", payment_id, str(error), clock)


async def ask_about_payment(*, payment: PaymentRow, services: Services) -> None:
    """Ask the provider about a payment now and settle or close it; raises GatewayError, AmountDiffers."""
    clock: Clock = services.get(Clock)  # type: ignore[type-abstract]
    merchant = await merchant_of(payment.merchant_account_id)
    gateway = services.get(PaymentGateways).get(merchant.provider)
    found = await gateway.query(merchant=merchant, number=payment.number)
    now = clock.now()
    decision = moves.decide_check(provider_state=found.state, created_at=payment.created_at, now=now)
    if decision == "settle":
        await settle_payment(payment_id=payment.id, found=found, now=now)
    elif decision == "mark_closed" or (
        decision == "close_at_provider" and await gateway.close(merchant=merchant, number=payment.number)
    ):
        await store.set_closed(payment_id=payment.id, now=clock.now())


async def check_refund(*, refund_id: UUID, services: Services) -> None:
    """Send a refund, or ask what became of it; safe at any moment, because the provider knows it by our number."""
    clock: Clock = services.get(Clock)  # type: ignore[type-abstract]
    now = clock.now()
    async with db.transaction():
        refund = await store.lock_refund(refund_id=refund_id)
        if refund is None or refund.state in ("succeeded", "failed") or refund.check_at > now:
            return
        check_at = moves.next_check_at(checks=refund.checks, now=now)
        await store.set_refund_check(refund_id=refund_id, check_at=check_at)
        await jobs.schedule("payments.check_refund", CheckRefund(refund_id), due_at=check_at, now=now)
        payment = await store.find_payment(payment_id=refund.payment_id)
    if payment is None:
        raise LookupError(f"payment {refund.payment_id}")
    try:
        found = await _send_or_query(refund, payment, services)
    except GatewayError as error:
        if not error.permanent:
            log.warning("refund_check_failed", refund_id=str(refund_id), error=str(error))
            if refund.state == "created":
                await _tell_waiting(refund, payment, error.code, clock.now())
            return
        found = ProviderRefund(state="failed", amount_fen=refund.amount_fen, answer=error.code or "refused")
    try:
        if found.state in ("succeeded", "failed"):
            await settle_refund(refund_id=refund_id, found=found, now=clock.now())
        elif refund.state == "created":
            await store.set_refund_processing(refund_id=refund_id, provider_no=found.provider_no)
    except AmountDiffers as error:
        await _report(refund.operator_company_id, "refund.amount_differs", refund_id, str(error), clock)


async def _tell_waiting(refund: RefundRow, payment: PaymentRow, why: str, now: datetime) -> None:
    """Tell the company of a refund that is not taken, once the tries are an hour apart, and then each day."""
    hourly = refund.checks - len(moves.CHECK_GAPS_S)
    if hourly < 0 or hourly % 24:
        return
    async with db.transaction():
        await jobs.emit(
            RefundWaits(
                refund_id=refund.id,
                payment_id=payment.id,
                order_id=payment.order_id,
                amount_fen=refund.amount_fen,
                why=why or "no answer",
            ),
            now=now,
        )


async def _send_or_query(refund: RefundRow, payment: PaymentRow, services: Services) -> ProviderRefund:
    merchant = await merchant_of(payment.merchant_account_id)
    gateway = services.get(PaymentGateways).get(merchant.provider)
    paid = PaidPayment(number=payment.number, transaction_no=payment.transaction_no, amount_fen=payment.amount_fen)
    if refund.state == "processing":
        return await gateway.query_refund(merchant=merchant, number=refund.number, paid=paid)
    return await gateway.refund(
        merchant=merchant, number=refund.number, paid=paid, amount_fen=refund.amount_fen, reason=refund.reason
    )


async def sweep(*, now: datetime) -> int:
    """Set the timers of open payments and refunds that have lost theirs; returns how many."""
    async with db.transaction():
        overdue = await store.list_overdue(before=now - SWEEP_AFTER)
        for kind, row_id in overdue:
            if kind == "payment":
                await jobs.schedule("payments.check_payment", CheckPayment(row_id), due_at=now, now=now)
            else:
                await jobs.schedule("payments.check_refund", CheckRefund(row_id), due_at=now, now=now)
    return len(overdue)


async def _set_payment_check(payment: PaymentRow, now: datetime) -> None:
    check_at = moves.next_check_at(checks=payment.checks, now=now)
    await store.set_payment_check(payment_id=payment.id, check_at=check_at)
    await jobs.schedule("payments.check_payment", CheckPayment(payment.id), due_at=check_at, now=now)


async def _report(operator_company_id: UUID, action: str, object_id: UUID, text: str, clock: Clock) -> None:
    """Keep a difference of amounts where auditors look; it never settles by itself."""
    log.error(action.replace(".", "_"), object_id=str(object_id), text=text)
    async with db.transaction():
        await audit.record(
            actor_id=None,
            actor_role="payment provider",
            action=action,
            object_kind=action.partition(".")[0],
            object_id=object_id,
            detail={"text": text},
            now=clock.now(),
            operator_company_id=operator_company_id,
        )
