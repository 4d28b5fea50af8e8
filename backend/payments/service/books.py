"""A company's books over a period, in pages: what was booked, and how it stands to the provider's bills."""

from collections.abc import AsyncIterator
from datetime import date, datetime
from uuid import UUID

from backend.core.paging import read_all
from backend.payments import store_books
from backend.payments.store_books import BookedLeg, BookedPayment, BookedRefund, ReconciledDay

PAGE = 1000

__all__ = ["BookedLeg", "BookedPayment", "BookedRefund", "ReconciledDay"]


def iterate_payments(
    *, operator_company_id: UUID, from_at: datetime, to_at: datetime
) -> AsyncIterator[list[BookedPayment]]:
    """Yield the payments booked in [from_at, to_at)."""
    where = {"operator_company_id": operator_company_id, "from_at": from_at, "to_at": to_at}
    return read_all(store_books.list_payments, key=lambda row: row.id, limit=PAGE, **where)


def iterate_refunds(
    *, operator_company_id: UUID, from_at: datetime, to_at: datetime
) -> AsyncIterator[list[BookedRefund]]:
    """Yield the refunds booked in [from_at, to_at)."""
    where = {"operator_company_id": operator_company_id, "from_at": from_at, "to_at": to_at}
    return read_all(store_books.list_refunds, key=lambda row: row.id, limit=PAGE, **where)


def iterate_legs(*, operator_company_id: UUID, from_at: datetime, to_at: datetime) -> AsyncIterator[list[BookedLeg]]:
    """Yield the legs of the ledger entries posted in [from_at, to_at)."""
    where = {"operator_company_id": operator_company_id, "from_at": from_at, "to_at": to_at}
    return read_all(store_books.list_legs, key=lambda row: row.id, limit=PAGE, **where)


async def list_days(*, operator_company_id: UUID, from_day: date, to_day: date) -> list[ReconciledDay]:
    """Return the days in [from_day, to_day) that were held against the provider's bill."""
    return await store_books.list_days(operator_company_id=operator_company_id, from_day=from_day, to_day=to_day)


async def sum_by_account(
    *, operator_company_id: UUID, from_at: datetime, to_at: datetime
) -> list[tuple[str, int, int]]:
    """Return (account, balance at from_at, movement in [from_at, to_at)), fen; both columns add up to zero."""
    return await store_books.sum_by_account(operator_company_id=operator_company_id, from_at=from_at, to_at=to_at)
