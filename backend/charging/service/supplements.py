"""What becomes of the difference when a paid bill changes: money goes back over what paid it, or more is asked for.

One way for orders and for statements: an unpaid supplement is replaced, a paid one is given back as the bill is.
"""

from datetime import datetime
from uuid import UUID

from backend.charging import store_corrections
from backend.charging.store_corrections import SupplementOf, SupplementView
from backend.core import db
from backend.payments import service as payments
from backend.payments.service import RefundTooLarge


async def find_unpaid(*, subject_id: UUID) -> SupplementView | None:
    """Return what is still to be paid of a paid order or statement."""
    known = await store_corrections.list_supplements(subject_id)
    return next((each for each in known if each.status == "unpaid"), None)


async def unpaid_of(*, account_id: UUID) -> SupplementView | None:
    """Return the account's oldest unpaid supplement; like an unpaid order it stops new sessions."""
    return await store_corrections.find_unpaid_of(account_id)


async def sum_unpaid(*, subject_ids: list[UUID]) -> dict[UUID, int]:
    """Return what is still to be paid beside these orders or statements, fen, of those with anything."""
    return await store_corrections.sum_unpaid(subject_ids)


async def was_corrected(*, order_id: UUID) -> bool:
    """Say whether a correction changed the bill, so that a payment of its old amount may still come."""
    return any(view.state == "applied" for view in await store_corrections.list_corrections(order_id))


async def settle_difference(
    *,
    of: SupplementOf,
    subject_id: UUID,
    payment_id: UUID | None,
    difference_fen: int,
    key: UUID,
    actor_id: UUID,
    role: str,
    now: datetime,
) -> None:
    """Refund the difference of a paid order or statement over what paid it, or ask for it.

    In the caller's transaction, with the row locked. `key` names the correction, so that nothing goes back twice.
    Raises RefundTooLarge where less is left of the payments than has to go back.
    """
    known = await store_corrections.list_supplements(subject_id)
    net = difference_fen
    for supplement in known:
        if supplement.status == "unpaid":
            net += supplement.amount_fen
            await store_corrections.set_supplement(supplement.id, status="cancelled")
    if net > 0:
        await store_corrections.add_supplement(of, subject_id, amount_fen=net, now=now)
    back = -net
    paid = [(subject_id, payment_id), *((s.id, s.payment_id) for s in known if s.status == "paid")]
    for paid_for, paid_by in paid:
        for payment in await payments.list_payments(order_id=paid_for):
            if back <= 0 or payment.id != paid_by:
                continue
            given = await payments.list_refunds(payment_id=payment.id)
            left = payment.amount_fen - sum(refund.amount_fen for refund in given if refund.state != "failed")
            part = min(back, left)
            if part > 0:
                await payments.refund(
                    payment_id=payment.id,
                    amount_fen=part,
                    reason="订单更正",
                    key=f"correction:{key}:{payment.id}",
                    now=now,
                    actor_id=actor_id,
                    actor_role=role,
                )
                back -= part
    if back > 0:
        raise RefundTooLarge(field="readings", refundable_fen=-net - back)


async def mark_paid(*, supplement_id: UUID, payment_id: UUID, now: datetime) -> None:
    """A supplement was paid; one that a later correction took back is refunded. Told twice, it changes nothing."""
    async with db.transaction():
        supplement = await store_corrections.lock_supplement(supplement_id)
        if supplement is None or supplement.status == "paid":
            return
        if supplement.status == "cancelled":
            paid = next(p for p in await payments.list_payments(order_id=supplement_id) if p.id == payment_id)
            await payments.refund(
                payment_id=payment_id,
                amount_fen=paid.amount_fen,
                reason="订单更正",
                key=f"cancelled:{payment_id}",
                now=now,
            )
            return
        await store_corrections.set_supplement(supplement_id, status="paid", payment_id=payment_id, paid_at=now)


async def settle_amount(
    *, of: SupplementOf, subject_id: UUID, payment_id: UUID, paid_fen: int, total_fen: int, now: datetime
) -> None:
    """It was paid with another amount, as it was corrected meanwhile: give back, or ask for, the difference."""
    if paid_fen > total_fen:
        await payments.refund(
            payment_id=payment_id,
            amount_fen=paid_fen - total_fen,
            reason="订单更正",
            key=f"difference:{payment_id}",
            now=now,
        )
    elif paid_fen < total_fen:
        await store_corrections.add_supplement(of, subject_id, amount_fen=total_fen - paid_fen, now=now)
