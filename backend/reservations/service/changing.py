"""Changing a booking: its place is kept until the new one is held, in one transaction."""

from datetime import datetime, timedelta
from uuid import UUID

import msgspec

from backend.agreements import service as agreements
from backend.core import db, jobs
from backend.core.errors import Conflict
from backend.core.ids import new_id
from backend.reservations.events import ReservationMoved
from backend.reservations.rules.bookings import is_free_cancellation
from backend.reservations.rules.slots import rank_places
from backend.reservations.rules.words import Power, ReservationView
from backend.reservations.service import bookings, claims, reserve, slots
from backend.reservations.service.bookings import BookingNotOpen
from backend.reservations.service.claims import AgreementNeeded
from backend.reservations.service.reserve import NothingToBook, SlotTaken
from backend.reservations.store import bookings as store
from backend.reservations.store import claims as claims_store
from backend.reservations.store import moves as moves_store
from backend.stations import service as stations


class ChangeTooLate(Conflict):
    """The free time is over, or the car is here already."""

    code = "change_too_late"
    title_en = "It is too late to change this booking"
    title_zh = "已过可修改时间"
    detail_en = "A booking can be changed until {minutes} minutes before its start."
    detail_zh = "预约可在开始前{minutes}分钟修改。"


class TooManyChanges(Conflict):
    """A booking may be changed a few times only, so that nobody keeps slots open by moving one about."""

    code = "too_many_changes"
    title_en = "This booking was changed too often"
    title_zh = "修改次数过多"
    detail_en = "A booking may be changed {limit} times."
    detail_zh = "每个预约最多修改{limit}次。"


async def change_slot(
    *,
    account_id: UUID,
    reservation_id: UUID,
    starts_at: datetime,
    ends_at: datetime,
    power: Power | None,
    connector_id: UUID | None,
    now: datetime,
) -> ReservationView:
    """Give a booking another slot at its station under the same id; refused, it stays as it was.

    Raises NotFound, BookingNotOpen, ChangeTooLate, TooManyChanges, SlotInvalid, AgreementNeeded, NothingToBook,
    VehicleElsewhere, and SlotTaken with alternatives.
    """
    booked = await bookings.get_reservation(account_id=account_id, reservation_id=reservation_id)
    station = await stations.get_station(station_id=booked.station_id)
    connectors = await slots.bookable_connectors(station=station, power=power, connector_id=connector_id)
    reserve.check_period(station, {c.kind for c in connectors}, power, starts_at, ends_at, now)
    if not connectors:
        raise NothingToBook
    terms = claims.terms_of(station.settings)
    longest = [c for c in connectors if ends_at - starts_at <= terms.longest(c.kind)]
    async with db.transaction():
        await claims_store.lock_station_claims(station.id)
        present = await store.find_reservation(reservation_id, lock=True)
        if present is None or present.status != "confirmed":
            raise BookingNotOpen(status="absent" if present is None else present.status)
        free_before = timedelta(seconds=station.settings.free_cancel_before_s)
        if not is_free_cancellation(starts_at=present.starts_at, free_before=free_before, now=now):
            raise ChangeTooLate(minutes=station.settings.free_cancel_before_s // 60)
        if present.changes >= station.settings.max_changes:
            raise TooManyChanges(limit=station.settings.max_changes)
        agreement = await agreements.active_agreement(
            account_id=account_id,
            plate_hash=present.plate_hash,
            operator_company_id=station.operator_company_id,
            at=starts_at,
        )
        if agreement is None:
            raise AgreementNeeded
        await claims_store.delete_claim(present.claim_id)
        places = await slots.places_of(longest, since=now, until=ends_at + slots.LOOK_BEYOND, now=now)
        claim = await reserve.claim_first_free(
            rank_places(places, starts_at=starts_at, ends_at=ends_at, now=now, terms=terms),
            station=station,
            plate_hash=present.plate_hash,
            starts_at=starts_at,
            ends_at=ends_at,
            reservation_id=present.id,
            now=now,
        )
        if claim is None:
            raise SlotTaken(
                alternatives=await slots.alternatives(
                    station=station, starts_at=starts_at, ends_at=ends_at, power=power, now=now
                )
            )
        changed = msgspec.structs.replace(
            present,
            connector_id=claim.connector_id,
            bay_id=claim.bay_id,
            claim_id=claim.id,
            power={c.id: c.kind for c in connectors}[claim.connector_id],
            starts_at=starts_at,
            ends_at=ends_at,
            hold_until=min(starts_at + timedelta(seconds=station.settings.hold_after_start_s), ends_at),
            updated_at=now,
        )
        await store.save_slot(changed)
        await reserve.set_timers(changed, now=now)
        await _record(present, changed, now)
    return await bookings.get_reservation(account_id=account_id, reservation_id=reservation_id)


async def _record(before: ReservationView, after: ReservationView, now: datetime) -> None:
    await moves_store.add_move(
        moves_store.MoveView(
            id=new_id(),
            reservation_id=before.id,
            station_id=before.station_id,
            outcome="moved",
            reason="change",
            actor=str(before.account_id),
            from_connector_id=before.connector_id,
            from_bay_id=before.bay_id,
            to_connector_id=after.connector_id,
            to_bay_id=after.bay_id,
            at=now,
        )
    )
    await jobs.emit(
        ReservationMoved(
            reservation_id=before.id,
            account_id=before.account_id,
            station_id=before.station_id,
            from_connector_id=before.connector_id,
            connector_id=after.connector_id,
            reason="change",
            at=now,
        ),
        now=now,
    )
