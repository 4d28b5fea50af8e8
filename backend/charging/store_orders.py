"""All SQL of orders, their lines and disputes."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any, Literal, TypeAlias
from uuid import UUID

import msgspec
from asyncpg import Record

from backend.charging.rules.billing import BillLine
from backend.core import db
from backend.core.ids import new_id
from backend.tariffs.rules.bands import PriceSnapshot, UserClass

OrderStatus: TypeAlias = Literal["open", "review", "unpaid", "paid", "free"]


class OrderView(msgspec.Struct, frozen=True, kw_only=True):
    """A bill. `lines` add up to it; `review_reasons` say why a person looks at it."""

    id: UUID
    session_id: UUID
    account_id: UUID
    operator_company_id: UUID
    station_id: UUID
    user_class: UserClass
    tariff: PriceSnapshot
    status: OrderStatus
    energy_wh: int = 0
    energy_fee_fen: int = 0
    service_fee_fen: int = 0
    overstay_fee_fen: int = 0
    parking_fee_fen: int = 0
    discount_fen: int = 0
    total_fen: int = 0
    review_reasons: tuple[str, ...] = ()
    starts_at: datetime | None = None
    ends_at: datetime | None = None
    overstay_from_at: datetime | None = None
    opened_at: datetime
    closed_at: datetime | None = None
    parked_until_at: datetime | None = None
    paid_at: datetime | None = None
    payment_id: UUID | None = None
    lines: tuple[BillLine, ...] = ()


class DisputeView(msgspec.Struct, frozen=True, kw_only=True):
    """A resident's objection and, once given, the operator's answer."""

    id: UUID
    order_id: UUID
    status: Literal["open", "answered"]
    reason: str
    opened_at: datetime
    answer: str | None
    answered_at: datetime | None


COLUMNS = tuple(name for name in OrderView.__struct_fields__ if name != "lines")
JSON_COLUMNS = ("tariff", "review_reasons")


def _order(row: Record, lines: Iterable[BillLine]) -> OrderView:
    values = {name: row[name] for name in COLUMNS}
    values["tariff"] = msgspec.json.decode(values["tariff"], type=PriceSnapshot)
    values["review_reasons"] = msgspec.json.decode(values["review_reasons"], type=tuple[str, ...])
    return OrderView(**values, lines=tuple(lines))


async def _with_lines(rows: list[Record]) -> list[OrderView]:
    found = await db.fetch(
        "SELECT * FROM charge_order_line WHERE order_id = ANY($1) ORDER BY order_id, position", [r["id"] for r in rows]
    )
    lines: dict[UUID, list[BillLine]] = {}
    for line in found:
        lines.setdefault(line["order_id"], []).append(
            BillLine(**{name: line[name] for name in BillLine.__dataclass_fields__})
        )
    return [_order(row, lines.get(row["id"], [])) for row in rows]


async def add_order(order: OrderView) -> bool:
    """Insert an order with its lines; False when its session has one already."""
    values: list[Any] = [
        msgspec.json.encode(getattr(order, name)).decode() if name in JSON_COLUMNS else getattr(order, name)
        for name in COLUMNS
    ]
    marks = ", ".join(f"${n}::jsonb" if c in JSON_COLUMNS else f"${n}" for n, c in enumerate(COLUMNS, 1))
    added = await db.fetchval(
        f"INSERT INTO charge_order ({', '.join(COLUMNS)}) VALUES ({marks}) "  # noqa: S608  constant columns
        "ON CONFLICT (session_id) DO NOTHING RETURNING true",
        *values,
    )
    if not added:
        return False
    await add_lines(order.id, order.lines)
    return True


async def add_lines(order_id: UUID, lines: Iterable[BillLine], *, first: int = 1) -> None:
    await db.executemany(
        "INSERT INTO charge_order_line (id, order_id, position, band, energy_wh, energy_e4, service_e4, energy_fee_fen,"
        " service_fee_fen, included_wh) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        [
            (
                new_id(),
                order_id,
                position,
                line.band,
                line.energy_wh,
                line.energy_e4,
                line.service_e4,
                line.energy_fee_fen,
                line.service_fee_fen,
                line.included_wh,
            )
            for position, line in enumerate(lines, first)
        ],
    )


async def save_order(order_id: UUID, changes: dict[str, Any]) -> None:
    """Write the changed columns of an order that is locked."""
    pairs = ", ".join(f"{name} = ${n}" for n, name in enumerate(changes, 2))
    await db.execute(f"UPDATE charge_order SET {pairs} WHERE id = $1", order_id, *changes.values())  # noqa: S608


async def find_order(order_id: UUID, *, lock: bool = False) -> OrderView | None:
    suffix = " FOR UPDATE" if lock else ""
    rows = await db.fetch(f"SELECT * FROM charge_order WHERE id = $1{suffix}", order_id)  # noqa: S608
    return (await _with_lines(rows))[0] if rows else None


async def find_order_of_session(session_id: UUID, *, lock: bool = False) -> OrderView | None:
    suffix = " FOR UPDATE" if lock else ""
    rows = await db.fetch(f"SELECT * FROM charge_order WHERE session_id = $1{suffix}", session_id)  # noqa: S608
    return (await _with_lines(rows))[0] if rows else None


async def find_unpaid(account_id: UUID) -> UUID | None:
    """The account's oldest order that is to be paid."""
    found: UUID | None = await db.fetchval(
        "SELECT id FROM charge_order WHERE account_id = $1 AND status = 'unpaid' ORDER BY id LIMIT 1", account_id
    )
    return found


async def list_orders(
    *,
    account_id: UUID | None = None,
    company_ids: frozenset[UUID] | None = None,
    status: str | None = None,
    before: UUID | None = None,
    limit: int,
) -> list[OrderView]:
    """Orders of an account, or of operator companies, newest first."""
    rows = await db.fetch(
        """
        SELECT * FROM charge_order
         WHERE ($1::uuid IS NULL OR account_id = $1) AND ($2::uuid[] IS NULL OR operator_company_id = ANY($2))
           AND ($3::text IS NULL OR status = $3) AND ($4::uuid IS NULL OR id < $4)
         ORDER BY id DESC LIMIT $5
        """,
        account_id,
        None if company_ids is None else list(company_ids),
        status,
        before,
        limit,
    )
    return await _with_lines(rows)


def _dispute(row: Record) -> DisputeView:
    return DisputeView(**{name: row[name] for name in DisputeView.__struct_fields__})


async def add_dispute(order_id: UUID, account_id: UUID, reason: str, now: datetime) -> DisputeView | None:
    """Open a dispute; None when one is open already."""
    row = await db.fetchrow(
        "INSERT INTO order_dispute (id, order_id, account_id, status, reason, opened_at)"
        " VALUES ($1, $2, $3, 'open', $4, $5) ON CONFLICT DO NOTHING RETURNING *",
        new_id(),
        order_id,
        account_id,
        reason,
        now,
    )
    return None if row is None else _dispute(row)


async def answer_dispute(order_id: UUID, answer: str, actor_id: UUID, now: datetime) -> DisputeView | None:
    """Answer the open dispute of an order; None when there is none."""
    row = await db.fetchrow(
        "UPDATE order_dispute SET status = 'answered', answer = $2, answered_by = $3, answered_at = $4"
        " WHERE order_id = $1 AND status = 'open' RETURNING *",
        order_id,
        answer,
        actor_id,
        now,
    )
    return None if row is None else _dispute(row)


async def list_disputes(order_id: UUID) -> list[DisputeView]:
    rows = await db.fetch("SELECT * FROM order_dispute WHERE order_id = $1 ORDER BY id", order_id)
    return [_dispute(row) for row in rows]


async def forget_words(account_id: UUID) -> None:
    """Empty what a person wrote in disputes; that there was one stays with the bill."""
    await db.execute("UPDATE order_dispute SET reason = '' WHERE account_id = $1", account_id)
