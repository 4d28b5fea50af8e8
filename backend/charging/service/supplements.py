"""What is to be paid beside a bill that was paid: after a correction, or where a payment was of another amount."""

from datetime import datetime
from uuid import UUID

from backend.charging import store_corrections
from backend.charging.store_corrections import SupplementView
from backend.core import db
from backend.payments import service as payments


async def find_unpaid(*, order_id: UUID) -> SupplementView | None:
    """Return what is still to be paid of a paid bill."""
    known = await store_corrections.list_supplements(order_id)
    return next((each for each in known if each.status == "unpaid"), None)


async def was_corrected(*, order_id: UUID) -> bool:
    """Say whether a correction changed the bill, so that a payment of its old amount may still come."""
    return any(view.state == "applied" for view in await store_corrections.list_corrections(order_id))


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


async def settle_amount(*, order_id: UUID, payment_id: UUID, paid_fen: int, total_fen: int, now: datetime) -> None:
    """A bill was paid with another amount, as it was corrected meanwhile: give back, or ask for, the difference."""
    if paid_fen > total_fen:
        await payments.refund(
            payment_id=payment_id,
            amount_fen=paid_fen - total_fen,
            reason="订单更正",
            key=f"difference:{payment_id}",
            now=now,
        )
    elif paid_fen < total_fen:
        await store_corrections.add_supplement(order_id, amount_fen=total_fen - paid_fen, now=now)
