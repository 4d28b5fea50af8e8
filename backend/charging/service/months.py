"""What a company billed in a period, for whoever keeps its books: every bill, correction and statement, in pages."""

from collections.abc import AsyncIterator
from datetime import datetime
from uuid import UUID

from backend.charging import store_months, store_statements
from backend.charging.store_months import MonthCorrection, MonthOrder
from backend.charging.store_statements import StatementView
from backend.core.paging import read_all

PAGE = 500

__all__ = ["MonthCorrection", "MonthOrder"]


def iterate_orders(*, operator_company_id: UUID, from_at: datetime, to_at: datetime) -> AsyncIterator[list[MonthOrder]]:
    """Yield the bills closed in [from_at, to_at)."""
    where = {"operator_company_id": operator_company_id, "from_at": from_at, "to_at": to_at}
    return read_all(store_months.list_orders, key=lambda order: order.order_id, limit=PAGE, **where)


def iterate_corrections(
    *, operator_company_id: UUID, from_at: datetime, to_at: datetime
) -> AsyncIterator[list[MonthCorrection]]:
    """Yield the corrections applied in [from_at, to_at)."""
    where = {"operator_company_id": operator_company_id, "from_at": from_at, "to_at": to_at}
    return read_all(store_months.list_corrections, key=lambda correction: correction.id, limit=PAGE, **where)


async def iterate_statements(
    *, operator_company_id: UUID, from_at: datetime, to_at: datetime
) -> AsyncIterator[list[StatementView]]:
    """Yield the statements made in [from_at, to_at), with their packages; they are of the months before."""
    where = {"operator_company_id": operator_company_id, "from_at": from_at, "to_at": to_at}
    async for page in read_all(store_months.list_statement_ids, key=lambda one: one, limit=PAGE, **where):
        found = [await store_statements.find_statement(statement_id) for statement_id in page]
        yield [statement for statement in found if statement is not None]
