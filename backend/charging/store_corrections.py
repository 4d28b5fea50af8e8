"""All SQL of corrections of bills and of what is to be paid beside a paid one."""

from datetime import datetime
from typing import Any, Literal, TypeAlias
from uuid import UUID

import msgspec
from asyncpg import Record

from backend.charging.rules.billing import BillLine, MeterPoint
from backend.core import db
from backend.core.ids import new_id

SupplementOf: TypeAlias = Literal["order", "statement"]


class BillState(msgspec.Struct, frozen=True, kw_only=True):
    """What a bill said before, or says after, a correction."""

    energy_wh: int
    energy_fee_fen: int
    service_fee_fen: int
    overstay_fee_fen: int
    parking_fee_fen: int
    discount_fen: int
    total_fen: int
    lines: tuple[BillLine, ...]


class CorrectionView(msgspec.Struct, frozen=True, kw_only=True):
    """A correction of a bill: what it was, what it becomes, who asked and who decided."""

    id: UUID
    order_id: UUID
    operator_company_id: UUID
    state: Literal["pending", "applied", "rejected"]
    reason: str
    before: BillState
    after: BillState
    difference_fen: int
    requested_by: UUID
    requested_at: datetime
    decided_by: UUID | None
    decided_at: datetime | None
    decision_note: str | None
    tariff_correction_id: UUID | None = None


class SupplementView(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be paid beside a paid order or statement."""

    id: UUID
    order_id: UUID | None
    statement_id: UUID | None
    amount_fen: int
    status: Literal["unpaid", "paid", "cancelled"]
    payment_id: UUID | None


def _correction(row: Record) -> CorrectionView:
    values = {name: row[name] for name in CorrectionView.__struct_fields__}
    for name in ("before", "after"):
        values[name] = msgspec.json.decode(values[name], type=BillState)
    return CorrectionView(**values)


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()


async def add_correction(view: CorrectionView, *, readings: Any) -> bool:
    """Write a correction; False while another one of the order is pending, or where this version's is there."""
    added = await db.fetchval(
        """
        INSERT INTO order_correction (id, order_id, operator_company_id, state, reason, readings, before, after,
            difference_fen, requested_by, requested_at, tariff_correction_id, decided_by, decided_at)
        VALUES ($1, $2, $3, $14, $4, $5::jsonb, $6::jsonb, $7::jsonb, $8, $9, $10, $11, $12, $13)
        ON CONFLICT DO NOTHING RETURNING true
        """,
        view.id,
        view.order_id,
        view.operator_company_id,
        view.reason,
        _json(readings),
        _json(view.before),
        _json(view.after),
        view.difference_fen,
        view.requested_by,
        view.requested_at,
        view.tariff_correction_id,
        view.decided_by,
        view.decided_at,
        view.state,
    )
    return bool(added)


async def find_correction(correction_id: UUID, *, lock: bool = False) -> CorrectionView | None:
    suffix = " FOR UPDATE" if lock else ""
    row = await db.fetchrow(f"SELECT * FROM order_correction WHERE id = $1{suffix}", correction_id)  # noqa: S608
    return None if row is None else _correction(row)


async def list_corrections(order_id: UUID) -> list[CorrectionView]:
    rows = await db.fetch("SELECT * FROM order_correction WHERE order_id = $1 ORDER BY id", order_id)
    return [_correction(row) for row in rows]


async def find_readings(order_id: UUID) -> list[MeterPoint] | None:
    """Return the readings of the newest applied correction of an order's energy; None where there is none."""
    found = await db.fetchval(
        "SELECT readings FROM order_correction WHERE order_id = $1 AND state = 'applied' AND readings IS NOT NULL"
        " AND readings <> 'null'::jsonb ORDER BY id DESC LIMIT 1",
        order_id,
    )
    return None if found is None else msgspec.json.decode(found, type=list[MeterPoint])


async def stated_by_band(order_id: UUID) -> bool:
    """Say whether an applied correction gave an order's energy by band, without readings."""
    found: bool = await db.fetchval(
        "SELECT EXISTS (SELECT 1 FROM order_correction WHERE order_id = $1 AND state = 'applied'"
        " AND tariff_correction_id IS NULL AND (readings IS NULL OR readings = 'null'::jsonb)"
        " AND before -> 'lines' <> after -> 'lines')",
        order_id,
    )
    return found


async def decide(correction_id: UUID, *, state: str, decided_by: UUID | None, note: str | None, now: datetime) -> None:
    await db.execute(
        "UPDATE order_correction SET state = $2, decided_by = $3, decision_note = $4, decided_at = $5"
        " WHERE id = $1 AND state = 'pending'",
        correction_id,
        state,
        decided_by,
        note,
        now,
    )


async def moved_alone(order_id: UUID) -> int:
    """Return how much corrections without a second person moved of an order so far, fen."""
    found: int = await db.fetchval(
        """
        SELECT coalesce(sum(abs((after ->> 'energy_fee_fen')::bigint - (before ->> 'energy_fee_fen')::bigint)
                          + abs((after ->> 'service_fee_fen')::bigint - (before ->> 'service_fee_fen')::bigint)
                          + abs((after ->> 'overstay_fee_fen')::bigint - (before ->> 'overstay_fee_fen')::bigint)),
                        0)::bigint
          FROM order_correction WHERE order_id = $1 AND state = 'applied' AND decided_by IS NULL
        """,
        order_id,
    )
    return found


async def remove_lines(order_id: UUID) -> None:
    await db.execute("DELETE FROM charge_order_line WHERE order_id = $1", order_id)


def _supplement(row: Record) -> SupplementView:
    return SupplementView(**{name: row[name] for name in SupplementView.__struct_fields__})


async def add_supplement(of: SupplementOf, subject_id: UUID, *, amount_fen: int, now: datetime) -> None:
    """Ask for more beside the paid order or statement `subject_id`."""
    await db.execute(
        "INSERT INTO order_supplement (id, order_id, statement_id, amount_fen, status, created_at)"
        " VALUES ($1, $2, $3, $4, 'unpaid', $5)",
        new_id(),
        subject_id if of == "order" else None,
        subject_id if of == "statement" else None,
        amount_fen,
        now,
    )


async def list_supplements(subject_id: UUID) -> list[SupplementView]:
    """Return the supplements of an order or a statement, oldest first."""
    rows = await db.fetch(
        "SELECT * FROM order_supplement WHERE order_id = $1 UNION ALL"
        " SELECT * FROM order_supplement WHERE statement_id = $1 ORDER BY id",
        subject_id,
    )
    return [_supplement(row) for row in rows]


async def sum_unpaid(subject_ids: list[UUID]) -> dict[UUID, int]:
    """Return what is still to be paid beside these orders or statements, of those with anything."""
    rows = await db.fetch(
        """
        SELECT coalesce(order_id, statement_id) AS subject_id, sum(amount_fen)::bigint AS amount FROM order_supplement
         WHERE status = 'unpaid' AND (order_id = ANY($1::uuid[]) OR statement_id = ANY($1::uuid[])) GROUP BY 1
        """,
        subject_ids,
    )
    return {row["subject_id"]: row["amount"] for row in rows}


async def find_unpaid_of(account_id: UUID) -> SupplementView | None:
    """Return the account's oldest supplement that is to be paid."""
    row = await db.fetchrow(
        """
        SELECT x.* FROM order_supplement x
          LEFT JOIN charge_order o ON o.id = x.order_id LEFT JOIN statement t ON t.id = x.statement_id
         WHERE x.status = 'unpaid' AND coalesce(o.account_id, t.account_id) = $1 ORDER BY x.id LIMIT 1
        """,
        account_id,
    )
    return None if row is None else _supplement(row)


async def lock_supplement(supplement_id: UUID) -> SupplementView | None:
    row = await db.fetchrow("SELECT * FROM order_supplement WHERE id = $1 FOR UPDATE", supplement_id)
    return None if row is None else _supplement(row)


async def find_supplement(supplement_id: UUID) -> SupplementView | None:
    row = await db.fetchrow("SELECT * FROM order_supplement WHERE id = $1", supplement_id)
    return None if row is None else _supplement(row)


async def set_supplement(
    supplement_id: UUID, *, status: str, payment_id: UUID | None = None, paid_at: datetime | None = None
) -> None:
    await db.execute(
        "UPDATE order_supplement SET status = $2, payment_id = $3, paid_at = $4 WHERE id = $1",
        supplement_id,
        status,
        payment_id,
        paid_at,
    )
