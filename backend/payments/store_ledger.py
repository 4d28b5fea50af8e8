"""All SQL of the ledger."""

from collections.abc import Sequence
from datetime import datetime
from typing import cast
from uuid import UUID

from backend.core import db
from backend.core.ids import new_id
from backend.payments.rules.ledger import Leg


async def add_entry(
    *, kind: str, reference_id: UUID, operator_company_id: UUID, legs: Sequence[Leg], now: datetime
) -> UUID | None:
    """Write an entry with its legs; None when (kind, reference) has one already."""
    entry_id = await db.fetchval(
        """
        INSERT INTO ledger_entry (id, operator_company_id, kind, reference_id, posted_at)
        VALUES ($1, $2, $3, $4, $5) ON CONFLICT (kind, reference_id) DO NOTHING RETURNING id
        """,
        new_id(),
        operator_company_id,
        kind,
        reference_id,
        now,
    )
    if entry_id is None:
        return None
    await db.execute(
        "INSERT INTO ledger_leg (id, entry_id, account_code, amount_fen)"
        " SELECT l.id, $1, l.account, l.fen FROM unnest($2::uuid[], $3::text[], $4::bigint[]) AS l(id, account, fen)",
        entry_id,
        [new_id() for _ in legs],
        [account for account, _ in legs],
        [amount for _, amount in legs],
    )
    return cast(UUID, entry_id)


async def find_entry(*, kind: str, reference_id: UUID) -> tuple[UUID, list[Leg]] | None:
    """Return an entry's id and legs."""
    rows = await db.fetch(
        """
        SELECT e.id, l.account_code, l.amount_fen FROM ledger_entry e JOIN ledger_leg l ON l.entry_id = e.id
        WHERE e.kind = $1 AND e.reference_id = $2
        """,
        kind,
        reference_id,
    )
    if not rows:
        return None
    return rows[0]["id"], [(row["account_code"], row["amount_fen"]) for row in rows]


async def sum_by_account(*, operator_company_id: UUID | None) -> dict[str, int]:
    """Return the balance of every account, of one company or of all."""
    rows = await db.fetch(
        """
        SELECT l.account_code, sum(l.amount_fen)::bigint AS balance
        FROM ledger_leg l JOIN ledger_entry e ON e.id = l.entry_id
        WHERE $1::uuid IS NULL OR e.operator_company_id = $1
        GROUP BY l.account_code ORDER BY l.account_code
        """,
        operator_company_id,
    )
    return {row["account_code"]: row["balance"] for row in rows}
