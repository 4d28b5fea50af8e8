"""Charging: sessions, orders and what is kept here of a person. The use cases are modules of their own."""

from datetime import datetime
from typing import Any
from uuid import UUID

from backend.charging import store, store_credits, store_orders, store_statements
from backend.core import db

EXPORTED = 1000
"""More sessions than a car charges in three years of days."""


async def export_personal_data(*, account_id: UUID) -> dict[str, Any]:
    """Return the person's sessions, bills, statements, promised discounts and disputes."""
    sessions = await store.list_of_account(account_id, None, EXPORTED)
    orders = await store_orders.list_orders(account_id=account_id, limit=EXPORTED)
    statements = await store_statements.list_statements(
        account_id=account_id, company_ids=None, before=None, limit=EXPORTED
    )
    disputes = [d for order in orders for d in await store_orders.list_disputes(order.id)]
    return {
        "sessions": [
            {
                "id": s.id,
                "station_id": s.station_id,
                "connector_id": s.connector_id,
                "vehicle_id": s.vehicle_id,
                "status": s.status,
                "requested_at": s.requested_at,
                "started_at": s.started_at,
                "ended_at": s.ended_at,
                "end_reason": s.end_reason,
            }
            for s in sessions
        ],
        "orders": [
            {
                "id": o.id,
                "session_id": o.session_id,
                "status": o.status,
                "energy_wh": o.energy_wh,
                "total_fen": o.total_fen,
                "closed_at": o.closed_at,
                "paid_at": o.paid_at,
            }
            for o in orders
        ],
        "statements": [
            {
                "id": s.id,
                "starts_at": s.starts_at,
                "ends_at": s.ends_at,
                "status": s.status,
                "orders_total_fen": s.orders_total_fen,
                "package_fee_fen": s.package_fee_fen,
                "packages": [{"name": p.name_zh, "package_fee_fen": p.package_fee_fen} for p in s.packages],
                "made_at": s.made_at,
                "paid_at": s.paid_at,
            }
            for s in statements
        ],
        "credits": [
            {
                "amount_fen": c.amount_fen,
                "remaining_fen": c.remaining_fen,
                "granted_at": c.granted_at,
                "expires_at": c.expires_at,
            }
            for c in await store_credits.list_of_account(account_id)
        ],
        "disputes": [{"order_id": d.order_id, "reason": d.reason, "answer": d.answer} for d in disputes],
    }


async def erase_personal_data(*, account_id: UUID, now: datetime) -> None:
    """Forget the car and the words of a person, and what was still promised; bills stay three years under an id that
    leads to nobody.
    """
    async with db.transaction():
        await store.forget_person(account_id)
        await store_orders.forget_words(account_id)
        await store_credits.void(account_id)
