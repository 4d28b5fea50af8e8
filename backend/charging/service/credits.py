"""Discounts that are owed: an expiring discount line on the account's next bills, never cash (domain.md "The three
fives").
"""

from datetime import datetime
from uuid import UUID

from backend.charging import store_credits as store
from backend.charging.store_credits import CreditView
from backend.core import db

__all__ = ["CreditView", "grant", "list_credits", "take"]


async def grant(
    *,
    account_id: UUID,
    operator_company_id: UUID,
    amount_fen: int,
    reference: str,
    expires_at: datetime,
    now: datetime,
) -> bool:
    """Promise a discount once per `reference`; False when it was promised before."""
    return await store.add_credit(account_id, operator_company_id, amount_fen, reference, expires_at, now)


async def take(*, account_id: UUID, operator_company_id: UUID, order_id: UUID, most_fen: int, now: datetime) -> int:
    """Use up to `most_fen` of what is promised for this order, what expires first; returns how much. In the caller's
    transaction.
    """
    taken = 0
    async with db.transaction():
        for credit in await store.list_open(account_id, operator_company_id, now, lock=True):
            part = min(credit.remaining_fen, most_fen - taken)
            if part <= 0:
                break
            await store.use(credit.id, part, order_id)
            taken += part
    return taken


async def list_credits(*, account_id: UUID, now: datetime) -> list[CreditView]:
    """Return what is still promised to the account."""
    return await store.list_open(account_id, None, now)
