"""Another station instead: a place there is held without a plate until the resident answers, then the booking goes.

A booking that goes to another station ends as `relocated` and names the new one (domain.md "Booking"). The old place is
kept until the new one is taken, in one transaction.
"""

from datetime import datetime, timedelta
from uuid import UUID

import msgspec

from backend.core import db, jobs
from backend.core.ids import new_id
from backend.reservations.events import ReservationMoved, SlotReserved
from backend.reservations.rules.periods import held_until
from backend.reservations.rules.slots import rank_places
from backend.reservations.rules.words import OPEN, ClaimView, Power, ReservationView
from backend.reservations.service import claims, moving, reserve, slots
from backend.reservations.service.bookings import BookingNotOpen
from backend.reservations.service.claims import ConnectorTaken, VehicleElsewhere, terms_of
from backend.reservations.store import bookings as store
from backend.reservations.store import claims as claims_store
from backend.reservations.store import moves as moves_store
from backend.stations import service as stations
from backend.stations.rules.topology import StationView


async def hold_elsewhere(
    *,
    station: StationView,
    power: Power | None,
    starts_at: datetime,
    ends_at: datetime,
    reference_id: UUID,
    now: datetime,
) -> ClaimView | None:
    """Hold a place of the resident zone for somebody who is asked whether they will come; None where nothing is free.

    The claim names no plate: the car may still hold its old place, and nobody is in two places.
    """
    if station.safety_hold:
        return None
    connectors = await moving.working(await slots.bookable_connectors(station=station, power=power))
    places = await slots.places_of(connectors, since=now, until=ends_at + slots.LOOK_BEYOND, now=now)
    terms = terms_of(station.settings)
    for place in rank_places(places, starts_at=starts_at, ends_at=ends_at, now=now, terms=terms):
        wanted = ClaimView(
            id=new_id(),
            connector_id=place.connector_id,
            station_id=station.id,
            bay_id=place.bay_id,
            plate_hash=None,
            kind="offer",
            reference_id=reference_id,
            starts_at=starts_at,
            ends_at=ends_at,
            held_until=held_until(ends_at, terms),
        )
        if await claims_store.add_claim(wanted, now):
            return wanted
    return None


async def take_offer(*, claim_id: UUID, plate_hash: bytes, ends_at: datetime, now: datetime) -> ClaimView:
    """Give a held place to the car that said it will come, until `ends_at`; raises ConnectorTaken, VehicleElsewhere."""
    async with db.transaction():
        present = await claims_store.find_claim(claim_id, lock=True)
        if present is None:
            raise ConnectorTaken
        await claims_store.delete_claim(claim_id)
        after = msgspec.structs.replace(present, plate_hash=plate_hash, ends_at=ends_at, held_until=ends_at)
        if not await claims_store.add_claim(after, now):
            if await claims_store.find_plate_elsewhere(plate_hash, after.starts_at, after.ends_at):
                raise VehicleElsewhere
            raise ConnectorTaken
        return after


async def relocate(*, reservation_id: UUID, claim_id: UUID, now: datetime) -> ReservationView:
    """Put the booking to the station where a place is held for it; returns the new booking.

    Raises BookingNotOpen, ConnectorTaken (the held place is gone), VehicleElsewhere; the old booking then stays.
    """
    async with db.transaction():
        old = await store.find_reservation(reservation_id, lock=True)
        if old is None or old.status not in OPEN:
            raise BookingNotOpen(status="absent" if old is None else old.status)
        offered = await claims_store.find_claim(claim_id, lock=True)
        if offered is None:
            raise ConnectorTaken
        station = await stations.get_station(station_id=offered.station_id)
        connector = await stations.get_connector(connector_id=offered.connector_id)
        hold = timedelta(seconds=station.settings.hold_after_start_s)
        await claims.release_claim(claim_id=old.claim_id, now=now)
        await claims_store.delete_claim(claim_id)
        new = msgspec.structs.replace(
            old,
            id=new_id(),
            station_id=station.id,
            connector_id=offered.connector_id,
            bay_id=offered.bay_id,
            claim_id=new_id(),
            power=connector.kind,
            status="confirmed",
            starts_at=offered.starts_at,
            ends_at=offered.ends_at,
            hold_until=min(max(offered.starts_at, now) + hold, offered.ends_at),
            checked_in_at=None,
            checked_in_by=None,
            sequence=0,
            created_at=now,
            updated_at=now,
            stranded_at=None,
        )
        claim = msgspec.structs.replace(
            offered,
            id=new.claim_id,
            plate_hash=old.plate_hash,
            kind="booking",
            reference_id=new.id,
            starts_at=max(offered.starts_at, now),
        )
        if not await claims_store.add_claim(claim, now):
            if await claims_store.find_plate_elsewhere(old.plate_hash, claim.starts_at, claim.ends_at):
                raise VehicleElsewhere
            raise ConnectorTaken
        await store.close_reservation(old.id, "relocated", "relocated", now)
        await store.add_reservation(new)
        await moves_store.save_relocated(old.id, new.id)
        await reserve.set_timers(new, now=now)
        await _tell(old, new, now)
        return new


async def _tell(old: ReservationView, new: ReservationView, now: datetime) -> None:
    await moves_store.add_move(
        moves_store.MoveView(
            id=new_id(),
            reservation_id=old.id,
            station_id=new.station_id,
            outcome="relocated",
            reason="fallback",
            actor=str(old.account_id),
            from_connector_id=old.connector_id,
            from_bay_id=old.bay_id,
            to_connector_id=new.connector_id,
            to_bay_id=new.bay_id,
            at=now,
        )
    )
    await jobs.emit(
        ReservationMoved(
            reservation_id=old.id,
            account_id=old.account_id,
            station_id=old.station_id,
            from_connector_id=old.connector_id,
            connector_id=new.connector_id,
            reason="fallback",
            at=now,
        ),
        now=now,
    )
    await jobs.emit(
        SlotReserved(
            reservation_id=new.id,
            account_id=new.account_id,
            station_id=new.station_id,
            connector_id=new.connector_id,
            starts_at=new.starts_at,
            ends_at=new.ends_at,
        ),
        now=now,
    )
