"""Use cases of bookings by topic: `claims` (who holds a connector), `reserve`, `bookings`, `slots`, `calendar`.

Here: what concerns all of them, the personal data.
"""

from datetime import datetime
from uuid import UUID

from backend.core import db
from backend.reservations.service import bookings
from backend.reservations.store import bookings as store
from backend.reservations.store import claims as claims_store


async def export_personal_data(*, account_id: UUID) -> dict[str, object]:
    """Return the account's bookings."""
    found = await store.list_reservations(account_id, before=None, limit=10_000)
    return {
        "reservations": [
            {
                "id": str(booked.id),
                "station_id": str(booked.station_id),
                "starts_at": booked.starts_at.isoformat(),
                "ends_at": booked.ends_at.isoformat(),
                "status": booked.status,
                "created_at": booked.created_at.isoformat(),
            }
            for booked in found
        ]
    }


async def erase_personal_data(*, account_id: UUID, now: datetime) -> None:
    """Cancel what is open, and forget the calendar address and the plates; the bookings stay under the bare id."""
    async with db.transaction():
        for booked in await store.list_reservations(account_id, before=None, limit=10_000, open_only=True):
            await bookings.cancel_reservation(account_id=account_id, reservation_id=booked.id, now=now)
        for plate_hash in await store.forget(account_id):
            await claims_store.forget_plate(plate_hash, now)
