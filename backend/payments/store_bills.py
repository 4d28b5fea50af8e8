"""All SQL of reconciliations: bills, their rows and differences, and our books of the same day."""

from collections.abc import Sequence
from datetime import date, datetime
from typing import Literal
from uuid import UUID

import msgspec
from asyncpg import Record

from backend.core import db
from backend.core.ids import new_id
from backend.payments.rules.reconciling import BillEntry, BookEntry, Difference


class ReconciliationView(msgspec.Struct, frozen=True, kw_only=True):
    """A day of one merchant account held against the provider's bill."""

    id: UUID
    operator_company_id: UUID
    merchant_no: str
    provider: str
    day: date
    state: Literal["matched", "differs"]
    bill_sha1: str
    bill_payments_fen: int
    bill_refunds_fen: int
    bill_fees_fen: int
    our_payments_fen: int
    our_refunds_fen: int
    checked_at: datetime
    rows: int
    differences: int


VIEW = """
    SELECT r.*, m.merchant_no, m.provider,
           (SELECT count(*) FROM bill_row b WHERE b.reconciliation_id = r.id) AS rows,
           (SELECT count(*) FROM bill_difference d WHERE d.reconciliation_id = r.id) AS differences
      FROM reconciliation r JOIN merchant_account m ON m.id = r.merchant_account_id
"""


def _view(row: Record) -> ReconciliationView:
    return ReconciliationView(**{name: row[name] for name in ReconciliationView.__struct_fields__})


async def list_merchants_to_reconcile(*, days: Sequence[date]) -> list[tuple[UUID, date]]:
    """(merchant account, day) without a reconciliation, oldest first; accounts opened later are left out."""
    rows = await db.fetch(
        """
        SELECT m.id, d.day FROM merchant_account m CROSS JOIN unnest($1::date[]) AS d(day)
         WHERE (m.created_at AT TIME ZONE 'Asia/Shanghai')::date <= d.day
           AND (m.active OR EXISTS (SELECT 1 FROM payment p WHERE p.merchant_account_id = m.id))
           AND NOT EXISTS (SELECT 1 FROM reconciliation r WHERE r.merchant_account_id = m.id AND r.day = d.day)
         ORDER BY d.day, m.id
        """,
        list(days),
    )
    return [(row["id"], row["day"]) for row in rows]


BOOKS = """
    WITH booked AS (
        SELECT e.kind, e.reference_id, sum(l.amount_fen)::bigint AS fen
          FROM ledger_entry e JOIN ledger_leg l ON l.entry_id = e.id
         WHERE l.account_code = $2 AND e.kind IN ('payment', 'refund') GROUP BY 1, 2)
    SELECT 'payment' AS kind, p.id, p.amount_fen, p.state, p.transaction_no AS provider_no,
           coalesce(b.fen, 0) AS ledger_fen, p.paid_at >= $3 AND p.paid_at < $4 AS expected
      FROM payment p LEFT JOIN booked b ON b.kind = 'payment' AND b.reference_id = p.id
     WHERE p.merchant_account_id = $1 AND (p.id = ANY($7::uuid[]) OR (p.paid_at >= $3 AND p.paid_at < $4))
    UNION ALL
    SELECT 'refund', f.id, f.amount_fen, f.state, f.provider_no, coalesce(b.fen, 0),
           f.created_at >= $5 AND f.created_at < $6 AND f.state IN ('processing', 'succeeded')
           AND NOT EXISTS (SELECT 1 FROM bill_row r JOIN reconciliation c ON c.id = r.reconciliation_id
                            WHERE r.kind = 'refund' AND r.number = replace(f.id::text, '-', '') AND c.day <> $9
                              AND c.merchant_account_id = $1)
      FROM refund f JOIN payment p ON p.id = f.payment_id
      LEFT JOIN booked b ON b.kind = 'refund' AND b.reference_id = f.id
     WHERE p.merchant_account_id = $1 AND (f.id = ANY($8::uuid[]) OR (f.created_at >= $5 AND f.created_at < $6))
"""


async def list_books(
    *,
    merchant_account_id: UUID,
    account_code: str,
    day: date,
    period: tuple[datetime, datetime],
    refund_period: tuple[datetime, datetime],
    payment_ids: Sequence[UUID],
    refund_ids: Sequence[UUID],
) -> list[BookEntry]:
    """Our payments and refunds that the bill of a day names or should name."""
    rows = await db.fetch(
        BOOKS,
        merchant_account_id,
        account_code,
        *period,
        *refund_period,
        list(payment_ids),
        list(refund_ids),
        day,
    )
    return [
        BookEntry(
            kind=row["kind"],
            number=row["id"].hex,
            amount_fen=row["amount_fen"],
            state=row["state"],
            ledger_fen=row["ledger_fen"],
            provider_no=row["provider_no"],
            expected=bool(row["expected"]),
        )
        for row in rows
    ]


async def put_reconciliation(
    *,
    operator_company_id: UUID,
    merchant_account_id: UUID,
    day: date,
    bill_sha1: str,
    bill_fees_fen: int,
    rows: Sequence[BillEntry],
    differences: Sequence[Difference],
    our_payments_fen: int,
    our_refunds_fen: int,
    now: datetime,
) -> UUID:
    """Write the outcome of a day, in place of an earlier one."""
    await db.execute("DELETE FROM reconciliation WHERE merchant_account_id = $1 AND day = $2", merchant_account_id, day)
    reconciliation_id = new_id()
    await db.execute(
        """
        INSERT INTO reconciliation (id, operator_company_id, merchant_account_id, day, state, bill_sha1,
            bill_payments_fen, bill_refunds_fen, bill_fees_fen, our_payments_fen, our_refunds_fen, checked_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
        """,
        reconciliation_id,
        operator_company_id,
        merchant_account_id,
        day,
        "differs" if differences else "matched",
        bill_sha1,
        sum(row.amount_fen for row in rows if row.kind == "payment"),
        sum(row.amount_fen for row in rows if row.kind == "refund"),
        bill_fees_fen,
        our_payments_fen,
        our_refunds_fen,
        now,
    )
    await db.executemany(
        "INSERT INTO bill_row (id, reconciliation_id, kind, number, provider_no, amount_fen, state, at)"
        " VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        [(new_id(), reconciliation_id, r.kind, r.number, r.provider_no, r.amount_fen, r.state, r.at) for r in rows],
    )
    await db.executemany(
        "INSERT INTO bill_difference (id, reconciliation_id, what, kind, number, provider_no, ours_fen, bill_fen,"
        " our_state, bill_state) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        [
            (
                new_id(),
                reconciliation_id,
                d.what,
                d.kind,
                d.number,
                d.provider_no,
                d.ours_fen,
                d.bill_fen,
                d.our_state,
                d.bill_state,
            )
            for d in differences
        ],
    )
    return reconciliation_id


async def list_reconciliations(
    *, company_ids: frozenset[UUID], day: date | None = None, before: date | None = None, limit: int = 100
) -> list[ReconciliationView]:
    rows = await db.fetch(
        f"{VIEW} WHERE r.operator_company_id = ANY($1) AND ($2::date IS NULL OR r.day = $2)"
        " AND ($3::date IS NULL OR r.day < $3) ORDER BY r.day DESC, m.merchant_no LIMIT $4",
        list(company_ids),
        day,
        before,
        limit,
    )
    return [_view(row) for row in rows]


async def list_differences(*, reconciliation_id: UUID) -> list[Difference]:
    rows = await db.fetch("SELECT * FROM bill_difference WHERE reconciliation_id = $1 ORDER BY id", reconciliation_id)
    return [Difference(**{name: row[name] for name in Difference.__dataclass_fields__}) for row in rows]
