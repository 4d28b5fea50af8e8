"""All SQL of a company's books over a period: payments, refunds, ledger entries, reconciled days, a page at a time."""

from datetime import date, datetime
from uuid import UUID

import msgspec

from backend.core import db


class BookedPayment(msgspec.Struct, frozen=True, kw_only=True):
    """A payment that was booked in the period."""

    id: UUID
    paid_for: UUID
    merchant_no: str
    provider: str
    channel: str
    number: str
    transaction_no: str
    amount_fen: int
    paid_at: datetime
    booked_at: datetime


class BookedRefund(msgspec.Struct, frozen=True, kw_only=True):
    """A refund that was booked in the period."""

    id: UUID
    payment_id: UUID
    merchant_no: str
    provider: str
    number: str
    provider_no: str | None
    amount_fen: int
    reason: str
    asked_at: datetime
    booked_at: datetime


class BookedLeg(msgspec.Struct, frozen=True, kw_only=True):
    """One side of a ledger entry of the period."""

    id: UUID
    entry_id: UUID
    kind: str
    reference_id: UUID
    posted_at: datetime
    account_code: str
    amount_fen: int


class ReconciledDay(msgspec.Struct, frozen=True, kw_only=True):
    """A day of the period held against the provider's bill."""

    id: UUID
    merchant_no: str
    provider: str
    day: date
    state: str
    bill_payments_fen: int
    bill_refunds_fen: int
    bill_fees_fen: int
    our_payments_fen: int
    our_refunds_fen: int
    differences: int


PAYMENTS = """
    SELECT p.id, p.order_id AS paid_for, m.merchant_no, m.provider, p.channel, replace(p.id::text, '-', '') AS number,
           p.transaction_no, p.amount_fen, p.paid_at, e.posted_at AS booked_at
      FROM ledger_entry e JOIN payment p ON p.id = e.reference_id
      JOIN merchant_account m ON m.id = p.merchant_account_id
     WHERE e.kind = 'payment' AND e.operator_company_id = $1 AND e.posted_at >= $2 AND e.posted_at < $3 AND p.id > $4
     ORDER BY p.id LIMIT $5
"""
REFUNDS = """
    SELECT f.id, f.payment_id, m.merchant_no, m.provider, replace(f.id::text, '-', '') AS number, f.provider_no,
           f.amount_fen, f.reason, f.created_at AS asked_at, e.posted_at AS booked_at
      FROM ledger_entry e JOIN refund f ON f.id = e.reference_id JOIN payment p ON p.id = f.payment_id
      JOIN merchant_account m ON m.id = p.merchant_account_id
     WHERE e.kind = 'refund' AND e.operator_company_id = $1 AND e.posted_at >= $2 AND e.posted_at < $3 AND f.id > $4
     ORDER BY f.id LIMIT $5
"""
LEGS = """
    SELECT l.id, l.entry_id, e.kind, e.reference_id, e.posted_at, l.account_code, l.amount_fen
      FROM ledger_entry e JOIN ledger_leg l ON l.entry_id = e.id
     WHERE e.operator_company_id = $1 AND e.posted_at >= $2 AND e.posted_at < $3 AND l.id > $4
     ORDER BY l.id LIMIT $5
"""
DAYS = """
    SELECT r.*, m.merchant_no, m.provider,
           (SELECT count(*) FROM bill_difference d WHERE d.reconciliation_id = r.id) AS differences
      FROM reconciliation r JOIN merchant_account m ON m.id = r.merchant_account_id
     WHERE r.operator_company_id = $1 AND r.day >= $2 AND r.day < $3 ORDER BY r.day, m.merchant_no
"""


async def list_payments(
    *, operator_company_id: UUID, from_at: datetime, to_at: datetime, after: UUID, limit: int
) -> list[BookedPayment]:
    rows = await db.fetch(PAYMENTS, operator_company_id, from_at, to_at, after, limit)
    return [BookedPayment(**dict(row)) for row in rows]


async def list_refunds(
    *, operator_company_id: UUID, from_at: datetime, to_at: datetime, after: UUID, limit: int
) -> list[BookedRefund]:
    rows = await db.fetch(REFUNDS, operator_company_id, from_at, to_at, after, limit)
    return [BookedRefund(**dict(row)) for row in rows]


async def list_legs(
    *, operator_company_id: UUID, from_at: datetime, to_at: datetime, after: UUID, limit: int
) -> list[BookedLeg]:
    rows = await db.fetch(LEGS, operator_company_id, from_at, to_at, after, limit)
    return [BookedLeg(**dict(row)) for row in rows]


async def list_days(*, operator_company_id: UUID, from_day: date, to_day: date) -> list[ReconciledDay]:
    rows = await db.fetch(DAYS, operator_company_id, from_day, to_day)
    return [ReconciledDay(**{name: row[name] for name in ReconciledDay.__struct_fields__}) for row in rows]


async def sum_by_account(
    *, operator_company_id: UUID, from_at: datetime, to_at: datetime
) -> list[tuple[str, int, int]]:
    """(account, balance before the period, movement in it) of every account that ever moved."""
    rows = await db.fetch(
        """
        SELECT l.account_code, coalesce(sum(l.amount_fen) FILTER (WHERE e.posted_at < $2), 0)::bigint AS opening,
               coalesce(sum(l.amount_fen) FILTER (WHERE e.posted_at >= $2), 0)::bigint AS moved
          FROM ledger_leg l JOIN ledger_entry e ON e.id = l.entry_id
         WHERE e.operator_company_id = $1 AND e.posted_at < $3 GROUP BY 1 ORDER BY 1
        """,
        operator_company_id,
        from_at,
        to_at,
    )
    return [(row["account_code"], row["opening"], row["moved"]) for row in rows]
