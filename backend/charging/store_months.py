"""All SQL of what a company billed in a month: closed orders, corrections, statements, a page at a time."""

from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from backend.charging.rules.billing import BillLine
from backend.core import db


class MonthOrder(msgspec.Struct, frozen=True, kw_only=True):
    """A bill that was closed in the month, with what of its session an auditor recomputes it from."""

    order_id: UUID
    session_id: UUID
    station_id: UUID
    charger_code: str
    connector_number: int
    agreement_id: UUID | None
    user_class: str
    status: str
    accepted_at: datetime | None
    started_at: datetime | None
    ended_at: datetime | None
    start_meter_wh: int | None
    end_meter_wh: int | None
    energy_wh: int
    energy_fee_fen: int
    service_fee_fen: int
    overstay_fee_fen: int
    parking_fee_fen: int
    discount_fen: int
    total_fen: int
    closed_at: datetime
    paid_at: datetime | None
    payment_id: UUID | None
    lines: tuple[BillLine, ...] = ()


class MonthCorrection(msgspec.Struct, frozen=True, kw_only=True):
    """A correction that was applied in the month."""

    id: UUID
    order_id: UUID
    reason: str
    difference_fen: int
    decided_at: datetime


COLUMNS = tuple(name for name in MonthOrder.__struct_fields__ if name != "lines")


async def list_orders(
    *, operator_company_id: UUID, from_at: datetime, to_at: datetime, after: UUID, limit: int
) -> list[MonthOrder]:
    """Return the company's bills closed in a period, by id."""
    rows = await db.fetch(
        """
        SELECT o.id AS order_id, o.session_id, o.station_id, s.charger_code, s.connector_number, s.agreement_id,
               o.user_class, o.status, s.accepted_at, s.started_at, s.ended_at, s.start_meter_wh, s.end_meter_wh,
               o.energy_wh, o.energy_fee_fen, o.service_fee_fen, o.overstay_fee_fen, o.parking_fee_fen, o.discount_fen,
               o.total_fen, o.closed_at, o.paid_at, o.payment_id
          FROM charge_order o JOIN charging_session s ON s.id = o.session_id
         WHERE o.operator_company_id = $1 AND o.closed_at >= $2 AND o.closed_at < $3 AND o.id > $4
         ORDER BY o.id LIMIT $5
        """,
        operator_company_id,
        from_at,
        to_at,
        after,
        limit,
    )
    found = await db.fetch(
        "SELECT * FROM charge_order_line WHERE order_id = ANY($1) ORDER BY order_id, position",
        [row["order_id"] for row in rows],
    )
    lines: dict[UUID, list[BillLine]] = {}
    for line in found:
        values: dict[str, Any] = {name: line[name] for name in BillLine.__dataclass_fields__}
        lines.setdefault(line["order_id"], []).append(BillLine(**values))
    return [
        MonthOrder(**{name: row[name] for name in COLUMNS}, lines=tuple(lines.get(row["order_id"], ()))) for row in rows
    ]


async def list_corrections(
    *, operator_company_id: UUID, from_at: datetime, to_at: datetime, after: UUID, limit: int
) -> list[MonthCorrection]:
    """Return the corrections applied in a period, by id."""
    rows = await db.fetch(
        """
        SELECT id, order_id, reason, difference_fen, coalesce(decided_at, requested_at) AS decided_at
          FROM order_correction
         WHERE operator_company_id = $1 AND state = 'applied' AND coalesce(decided_at, requested_at) >= $2
           AND coalesce(decided_at, requested_at) < $3 AND id > $4
         ORDER BY id LIMIT $5
        """,
        operator_company_id,
        from_at,
        to_at,
        after,
        limit,
    )
    return [MonthCorrection(**dict(row)) for row in rows]


async def list_statement_ids(
    *, operator_company_id: UUID, from_at: datetime, to_at: datetime, after: UUID, limit: int
) -> list[UUID]:
    """Return the statements made in a period, by id."""
    rows = await db.fetch(
        "SELECT id FROM statement WHERE operator_company_id = $1 AND made_at >= $2 AND made_at < $3 AND id > $4"
        " ORDER BY id LIMIT $5",
        operator_company_id,
        from_at,
        to_at,
        after,
        limit,
    )
    return [row["id"] for row in rows]
