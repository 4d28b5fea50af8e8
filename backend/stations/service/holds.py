"""Safety holds of the past, for whoever keeps what happened around them."""

from datetime import datetime
from uuid import UUID

import msgspec

from backend.core import db


class HoldView(msgspec.Struct, frozen=True, kw_only=True):
    """An incident's hold of a station."""

    station_id: UUID
    incident_id: UUID
    set_at: datetime
    lifted_at: datetime | None


async def list_holds(*, in_force_since: datetime) -> list[HoldView]:
    """Return the holds that were in force at any time from an instant on."""
    rows = await db.fetch(
        "SELECT station_id, incident_id, set_at, lifted_at FROM safety_hold WHERE coalesce(lifted_at, 'infinity') > $1",
        in_force_since,
    )
    return [HoldView(**dict(row)) for row in rows]
