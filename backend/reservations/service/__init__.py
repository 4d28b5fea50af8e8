"""Use cases of bookings by topic: `claims` (who holds a connector), `reserve`, `bookings`, `slots`, `calendar`.

Here: what concerns all of them, the personal data.
"""

from datetime import datetime
from uuid import UUID

from backend.core import crypto, db
from backend.reservations.service import bay_reports, bookings
from backend.reservations.store import bay_reports as reports_store
from backend.reservations.store import bookings as store
from backend.reservations.store import claims as claims_store
from backend.reservations.store import moves as moves_store
from backend.reservations.store import suspensions


async def export_personal_data(*, account_id: UUID) -> dict[str, object]:
    """Return the account's bookings with their moves, its suspensions with the appeals, and its reports of bays."""
    found = await store.list_reservations(account_id, before=None, limit=10_000)
    moves = await moves_store.list_moves_of([booked.id for booked in found])
    return {
        "reservations": [
            {
                "id": str(booked.id),
                "station_id": str(booked.station_id),
                "starts_at": booked.starts_at.isoformat(),
                "ends_at": booked.ends_at.isoformat(),
                "status": booked.status,
                "created_at": booked.created_at.isoformat(),
                "moves": [
                    {"outcome": move.outcome, "reason": move.reason, "at": move.at.isoformat()}
                    for move in moves.get(booked.id, [])
                ],
            }
            for booked in found
        ],
        "suspensions": [
            {
                "starts_at": one.starts_at.isoformat(),
                "ends_at": one.ends_at.isoformat(),
                "lifted_at": None if one.lifted_at is None else one.lifted_at.isoformat(),
                "appeal": None if one.appeal_cipher is None else crypto.decrypt(one.appeal_cipher),
                "appeal_lifted": one.appeal_lifted,
            }
            for one in await suspensions.list_of_account(account_id)
        ],
        "bay_reports": [
            {
                "station_id": str(one.station_id),
                "bay_id": str(one.bay_id),
                "reported_at": one.reported_at.isoformat(),
                "note": bay_reports.note_of(one),
                "has_photo": one.has_photo,
                "verdict": one.verdict,
            }
            for one in await reports_store.list_of_account(account_id, 10_000)
        ],
    }


async def erase_personal_data(*, account_id: UUID, now: datetime) -> None:
    """Cancel what is open, and forget the calendar address, the plates, the words of appeals and reports and their
    pictures; the bookings stay under the bare id.
    """
    async with db.transaction():
        for booked in await store.list_reservations(account_id, before=None, limit=10_000, open_only=True):
            await bookings.cancel_reservation(account_id=account_id, reservation_id=booked.id, now=now)
        for plate_hash in await store.forget(account_id):
            await claims_store.forget_plate(plate_hash, now)
        await suspensions.forget_words(account_id)
        await reports_store.forget_account(account_id, now)
