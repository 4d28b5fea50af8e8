"""What a company billed in a period, for whoever keeps its books: every bill, correction and statement, in pages."""

from collections.abc import AsyncIterator
from datetime import datetime
from uuid import UUID

from backend.charging import store_months, store_statements
from backend.charging.store_months import FIRST, MonthCorrection, MonthOrder
from backend.charging.store_statements import StatementView

PAGE = 500

__all__ = ["MonthCorrection", "MonthOrder"]


async def iterate_orders(
    *, operator_company_id: UUID, from_at: datetime, to_at: datetime
) -> AsyncIterator[list[MonthOrder]]:
    """Yield the bills closed in [from_at, to_at)."""
    after = FIRST
    while page := await store_months.list_orders(
        operator_company_id=operator_company_id, from_at=from_at, to_at=to_at, after=after, limit=PAGE
    ):
        yield page
        after = page[-1].order_id


async def iterate_corrections(
    *, operator_company_id: UUID, from_at: datetime, to_at: datetime
) -> AsyncIterator[list[MonthCorrection]]:
    """Yield the corrections applied in [from_at, to_at)."""
    after = FIRST
    while page := await store_months.list_corrections(
        operator_company_id=operator_company_id, from_at=from_at, to_at=to_at, after=after, limit=PAGE
    ):
        yield page
        after = page[-1].id


async def iterate_statements(
    *, operator_company_id: UUID, from_at: datetime, to_at: datetime
) -> AsyncIterator[list[StatementView]]:
    """Yield the statements made in [from_at, to_at), with their packages; they are of the months before."""
    after = FIRST
    while page := await store_months.list_statement_ids(
        operator_company_id=operator_company_id, from_at=from_at, to_at=to_at, after=after, limit=PAGE
    ):
        found = [await store_statements.find_statement(statement_id) for statement_id in page]
        yield [statement for statement in found if statement is not None]
        after = page[-1]
