"""SQL of promised discounts."""

from datetime import datetime
from uuid import UUID

import msgspec

from backend.core import db
from backend.core.ids import new_id


class CreditView(msgspec.Struct, frozen=True, kw_only=True):
    """A discount that is still (partly) promised."""

    id: UUID
    operator_company_id: UUID
    amount_fen: int
    remaining_fen: int
    granted_at: datetime
    expires_at: datetime


async def add_credit(
    account_id: UUID, operator_company_id: UUID, amount_fen: int, reference: str, expires_at: datetime, now: datetime
) -> bool:
    added = await db.fetchval(
        "INSERT INTO discount_credit (id, account_id, operator_company_id, reference, amount_fen, remaining_fen,"
        " granted_at, expires_at) VALUES ($1, $2, $3, $4, $5, $5, $6, $7)"
        " ON CONFLICT (reference) DO NOTHING RETURNING true",
        new_id(),
        account_id,
        operator_company_id,
        reference,
        amount_fen,
        now,
        expires_at,
    )
    return bool(added)


async def list_open(
    account_id: UUID, operator_company_id: UUID | None, now: datetime, *, lock: bool = False
) -> list[CreditView]:
    rows = await db.fetch(
        f"SELECT {', '.join(CreditView.__struct_fields__)} FROM discount_credit WHERE account_id = $1"  # noqa: S608
        " AND ($2::uuid IS NULL OR operator_company_id = $2) AND remaining_fen > 0 AND expires_at > $3"
        f" ORDER BY expires_at, id{' FOR UPDATE' if lock else ''}",
        account_id,
        operator_company_id,
        now,
    )
    return [CreditView(**dict(row)) for row in rows]


async def list_of_account(account_id: UUID) -> list[CreditView]:
    """Every discount the account was ever promised, oldest first."""
    rows = await db.fetch(
        f"SELECT {', '.join(CreditView.__struct_fields__)} FROM discount_credit"  # noqa: S608
        " WHERE account_id = $1 ORDER BY granted_at, id",
        account_id,
    )
    return [CreditView(**dict(row)) for row in rows]


async def void(account_id: UUID) -> None:
    """Nothing is promised to the account any more; what was used stays on its bills."""
    await db.execute("UPDATE discount_credit SET remaining_fen = 0 WHERE account_id = $1", account_id)


async def use(credit_id: UUID, part_fen: int, order_id: UUID) -> None:
    await db.execute(
        "UPDATE discount_credit SET remaining_fen = remaining_fen - $2, last_order_id = $3 WHERE id = $1",
        credit_id,
        part_fen,
        order_id,
    )
