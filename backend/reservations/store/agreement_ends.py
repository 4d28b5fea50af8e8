"""SQL of what the end of an agreement does to bookings."""

from datetime import datetime
from uuid import UUID

from backend.core import db


async def list_open_ahead(agreement_id: UUID, now: datetime) -> list[UUID]:
    """Return the agreement's confirmed bookings whose slot has not begun, soonest first."""
    rows = await db.fetch(
        "SELECT id FROM reservation WHERE agreement_id = $1 AND status = 'confirmed' AND starts_at > $2"
        " ORDER BY starts_at, id",
        agreement_id,
        now,
    )
    return [row["id"] for row in rows]
