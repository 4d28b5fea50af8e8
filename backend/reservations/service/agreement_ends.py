"""What the end of an agreement does to bookings ahead: they are given back at once, and their resident is told."""

from datetime import datetime
from uuid import UUID

from backend.core import db, jobs
from backend.notifications import service as notifications
from backend.reservations.events import ReservationCancelled
from backend.reservations.service import claims
from backend.reservations.store import agreement_ends as ends_store
from backend.reservations.store import bookings as store
from backend.stations import service as stations


async def cancel_bookings_ahead(*, agreement_id: UUID, now: datetime, account_id: UUID | None = None) -> list[UUID]:
    """Give back the agreement's open bookings (of one driver, where `account_id` is given) whose slot has not begun;
    returns them.

    A booking whose slot runs, or whose car has checked in, stays: who is here may charge, at the price of the second
    the session starts. Nothing counts as a no-show. A repeat finds nothing.
    """
    cancelled = []
    for reservation_id in await ends_store.list_open_ahead(agreement_id, now):
        async with db.transaction():
            booked = await store.find_reservation(reservation_id, lock=True)
            if booked is None or booked.status != "confirmed" or booked.starts_at <= now:
                continue
            if account_id is not None and booked.account_id != account_id:
                continue
            await store.close_reservation(booked.id, "cancelled", "agreement_ended", now)
            await claims.release_claim(claim_id=booked.claim_id, now=now)
            await jobs.emit(
                ReservationCancelled(
                    reservation_id=booked.id,
                    account_id=booked.account_id,
                    station_id=booked.station_id,
                    connector_id=booked.connector_id,
                    late=False,
                    at=now,
                ),
                now=now,
            )
            station = await stations.get_station(station_id=booked.station_id)
            await notifications.notify(
                recipient=booked.account_id,
                event_key=f"reservation:{booked.id}:agreement_ended",
                template="reservation_agreement_ended",
                params={"station": station.name},
                safety=False,
                now=now,
            )
        cancelled.append(reservation_id)
    return cancelled
