"""All SQL of refund requests and of the amounts above which a second person decides."""

from datetime import datetime
from typing import Literal, cast
from uuid import UUID

import msgspec
from asyncpg import Record

from backend.core import db
from backend.core.ids import new_id

RequestState = Literal["pending", "approved", "rejected"]


class RefundRequestView(msgspec.Struct, frozen=True, kw_only=True):
    """A refund that staff asked for; `refund_state` is where the money is once it was approved."""

    id: UUID
    operator_company_id: UUID
    payment_id: UUID
    order_id: UUID
    amount_fen: int
    reason: str
    state: RequestState
    requested_by: UUID
    requested_at: datetime
    decided_by: UUID | None
    decided_at: datetime | None
    decision_note: str | None
    refund_id: UUID | None
    refund_state: str | None


SELECT = "SELECT q.*, f.state AS refund_state FROM refund_request q LEFT JOIN refund f ON f.id = q.refund_id"


def _view(row: Record) -> RefundRequestView:
    return RefundRequestView(**{name: row[name] for name in RefundRequestView.__struct_fields__})


async def find_limit(*, operator_company_id: UUID) -> int | None:
    return cast(
        "int | None",
        await db.fetchval(
            "SELECT second_person_above_fen FROM refund_rule WHERE operator_company_id = $1", operator_company_id
        ),
    )


async def put_limit(*, operator_company_id: UUID, amount_fen: int) -> None:
    await db.execute(
        "INSERT INTO refund_rule (id, operator_company_id, second_person_above_fen) VALUES ($1, $2, $3)"
        " ON CONFLICT (operator_company_id) DO UPDATE SET second_person_above_fen = excluded.second_person_above_fen",
        new_id(),
        operator_company_id,
        amount_fen,
    )


async def add_request(
    *,
    request_id: UUID,
    operator_company_id: UUID,
    payment_id: UUID,
    order_id: UUID,
    amount_fen: int,
    reason: str,
    requested_by: UUID,
    refund_id: UUID | None,
    now: datetime,
) -> None:
    """Write a request: pending, or with its refund where none else need look."""
    await db.execute(
        """
        INSERT INTO refund_request (id, operator_company_id, payment_id, order_id, amount_fen, reason, state,
            requested_by, requested_at, decided_at, refund_id)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
        """,
        request_id,
        operator_company_id,
        payment_id,
        order_id,
        amount_fen,
        reason,
        "pending" if refund_id is None else "approved",
        requested_by,
        now,
        None if refund_id is None else now,
        refund_id,
    )


async def find_request(*, request_id: UUID, lock: bool = False) -> RefundRequestView | None:
    row = await db.fetchrow(f"{SELECT} WHERE q.id = $1{' FOR UPDATE OF q' if lock else ''}", request_id)
    return None if row is None else _view(row)


async def list_requests(
    *, company_ids: frozenset[UUID], state: str | None, before: UUID | None, limit: int
) -> list[RefundRequestView]:
    rows = await db.fetch(
        f"{SELECT} WHERE q.operator_company_id = ANY($1) AND ($2::text IS NULL OR q.state = $2)"
        " AND ($3::uuid IS NULL OR q.id < $3) ORDER BY q.id DESC LIMIT $4",
        list(company_ids),
        state,
        before,
        limit,
    )
    return [_view(row) for row in rows]


async def sum_of_payment(*, payment_id: UUID) -> tuple[int, int]:
    """(fen waiting for a second person, fen that went back without one) of a payment."""
    row = await db.fetchrow(
        """
        SELECT coalesce(sum(q.amount_fen) FILTER (WHERE q.state = 'pending'), 0)::bigint AS pending,
               coalesce(sum(q.amount_fen) FILTER (WHERE q.state = 'approved' AND q.decided_by IS NULL
                                                    AND f.state <> 'failed'), 0)::bigint AS alone
          FROM refund_request q LEFT JOIN refund f ON f.id = q.refund_id WHERE q.payment_id = $1
        """,
        payment_id,
    )
    return (0, 0) if row is None else (row["pending"], row["alone"])


async def decide(
    *, request_id: UUID, state: RequestState, decided_by: UUID, note: str | None, refund_id: UUID | None, now: datetime
) -> None:
    await db.execute(
        "UPDATE refund_request SET state = $2, decided_by = $3, decided_at = $4, decision_note = $5, refund_id = $6"
        " WHERE id = $1 AND state = 'pending'",
        request_id,
        state,
        decided_by,
        now,
        note,
        refund_id,
    )
