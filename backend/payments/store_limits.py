"""All SQL of the amounts above which a second person decides about a company's refunds."""

from datetime import datetime
from typing import Literal
from uuid import UUID

import msgspec
from asyncpg import Record

from backend.core import db

ChangeState = Literal["pending", "in_force", "rejected"]


class LimitChangeView(msgspec.Struct, frozen=True, kw_only=True):
    """A wish for another limit, and what became of it; `in_force` stays when a later one replaces it."""

    id: UUID
    operator_company_id: UUID
    second_person_above_fen: int
    reason: str
    state: ChangeState
    proposed_by: UUID
    proposed_at: datetime
    decided_by: UUID | None
    decided_at: datetime | None


def _view(row: Record) -> LimitChangeView:
    return LimitChangeView(**{name: row[name] for name in LimitChangeView.__struct_fields__})


async def add_change(change: LimitChangeView) -> bool:
    """Write a change; False when the company has one that waits already."""
    names = LimitChangeView.__struct_fields__
    marks = ", ".join(f"${n}" for n in range(1, len(names) + 1))
    return (
        await db.fetchval(
            f"INSERT INTO refund_limit_change ({', '.join(names)}) VALUES ({marks})"  # noqa: S608  constant columns
            " ON CONFLICT (operator_company_id) WHERE state = 'pending' DO NOTHING RETURNING true",
            *(getattr(change, name) for name in names),
        )
        is not None
    )


async def find_change(*, change_id: UUID, lock: bool = False) -> LimitChangeView | None:
    suffix = " FOR UPDATE" if lock else ""
    row = await db.fetchrow(f"SELECT * FROM refund_limit_change WHERE id = $1{suffix}", change_id)  # noqa: S608
    return None if row is None else _view(row)


async def list_changes(*, operator_company_id: UUID, limit: int) -> list[LimitChangeView]:
    """Return a company's changes, newest first."""
    rows = await db.fetch(
        "SELECT * FROM refund_limit_change WHERE operator_company_id = $1 ORDER BY id DESC LIMIT $2",
        operator_company_id,
        limit,
    )
    return [_view(row) for row in rows]


async def decide_change(*, change_id: UUID, state: ChangeState, decided_by: UUID, now: datetime) -> None:
    await db.execute(
        "UPDATE refund_limit_change SET state = $2, decided_by = $3, decided_at = $4 WHERE id = $1",
        change_id,
        state,
        decided_by,
        now,
    )
