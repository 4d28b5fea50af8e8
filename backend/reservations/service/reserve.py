"""Booking a slot: the terms, the agreement's limit, the place, the claim."""

from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID

from backend.accounts import service as accounts
from backend.agreements import service as agreements
from backend.agreements.service import households
from backend.core import db, jobs
from backend.core.errors import Conflict, Forbidden, Invalid, NotFound
from backend.core.ids import new_id
from backend.reservations.events import SlotReserved
from backend.reservations.rules.moves import READY_BEFORE
from backend.reservations.rules.periods import held_until
from backend.reservations.rules.slots import Place, rank_places, refuse_slot
from backend.reservations.rules.words import ClaimView, Power, ReservationView
from backend.reservations.service import claims, slots
from backend.reservations.service.bookings import LapseDue, Reminder, ReminderDue, on_the_clock
from backend.reservations.service.claims import AgreementNeeded, VehicleElsewhere
from backend.reservations.service.moving import ReadyDue
from backend.reservations.store import bookings as store
from backend.reservations.store import claims as claims_store
from backend.stations import service as stations
from backend.stations.rules.topology import StationView


class SlotTaken(Conflict):
    """Somebody else holds every connector that could take the slot."""

    code = "slot_taken"
    title_en = "The slot is taken"
    title_zh = "该时段已被预约"
    detail_en = "Another booking holds this slot; try one of the alternatives."
    detail_zh = "该时段已被占用，请选择其他可预约时段。"


class SlotInvalid(Invalid):
    """The period can never be a slot; `reason`: in_the_past, too_far_ahead, off_grid, too_short, too_long, closed."""

    code = "slot_invalid"
    title_en = "This period cannot be booked"
    title_zh = "该时段不可预约"
    detail_en = (
        "Slots start and end on the quarter hour, {min_minutes} to {max_minutes} minutes, up to {max_days} days ahead."
    )
    detail_zh = "预约须以刻钟为单位，时长{min_minutes}至{max_minutes}分钟，最多提前{max_days}天。"


class NothingToBook(Conflict):
    """The station has no connector in service in the resident zone that fits what was asked for."""

    code = "nothing_to_book"
    title_en = "Nothing can be booked here"
    title_zh = "没有可预约的充电枪"
    detail_en = "This station has no such connector in its resident zone that is in service."
    detail_zh = "该充电站的居民预约专区没有符合条件且在用的充电枪。"


class TooManyOpenBookings(Conflict):
    """The agreement has as many open bookings as it may (two, unless the station says otherwise)."""

    code = "too_many_open_bookings"
    title_en = "You have too many open bookings"
    title_zh = "未完成的预约过多"
    detail_en = "An agreement may have {limit} open bookings. Use or cancel one first."
    detail_zh = "每份协议最多同时保留{limit}个预约，请先使用或取消。"


class TooManyNewBookings(Conflict):
    """The agreement made as many bookings within a day as it may: cancelling and booking anew keeps no place."""

    code = "too_many_new_bookings"
    title_en = "You have booked too often today"
    title_zh = "今日预约次数过多"
    detail_en = "An agreement may make {limit} bookings within 24 hours, cancelled ones included. Change one instead."
    detail_zh = "每份协议24小时内最多预约{limit}次（含已取消），请改用修改预约。"


class BookingIsSuspended(Forbidden):
    """Booking is suspended after too many no-shows; it can be appealed with the company's lead."""

    code = "booking_suspended"
    title_en = "Booking is suspended"
    title_zh = "预约功能已暂停"
    detail_en = "After repeated no-shows you may book again from {until}. You can appeal to the operator."
    detail_zh = "因多次爽约，预约功能暂停至{until}，如有异议可向服务商申诉。"


async def reserve_slot(
    *,
    account_id: UUID,
    station_id: UUID,
    vehicle_id: UUID,
    starts_at: datetime,
    ends_at: datetime,
    power: Power | None,
    connector_id: UUID | None,
    now: datetime,
) -> ReservationView:
    """Book a slot in the resident zone; the service assigns connector and bay.

    Needs an agreement with the station's operator that is in force at the start; its row is locked while its open
    bookings are counted. Raises NotFound, SlotInvalid, AgreementNeeded, BookingIsSuspended, TooManyOpenBookings,
    NothingToBook, VehicleElsewhere, and SlotTaken with the three nearest alternatives.
    """
    vehicle = await accounts.get_vehicle(account_id=account_id, vehicle_id=vehicle_id)
    station = await stations.get_station(station_id=station_id)
    terms = claims.terms_of(station.settings)
    connectors = await slots.bookable_connectors(station=station, power=power, connector_id=connector_id)
    if connector_id is not None and not connectors:
        known = await stations.get_connector(connector_id=connector_id)
        if known.station_id != station.id:
            raise NotFound(kind="connector")
    check_period(station, {c.kind for c in connectors}, power, starts_at, ends_at, now)
    if not connectors:
        raise NothingToBook
    agreement = await agreements.active_agreement(
        account_id=account_id,
        plate_hash=vehicle.plate_hash,
        operator_company_id=station.operator_company_id,
        at=starts_at,
    )
    until = await store.suspended_until(account_id, None if agreement is None else agreement.id, now)
    if until is not None:
        raise BookingIsSuspended(until=on_the_clock(until))
    if agreement is None:
        raise AgreementNeeded
    longest = [c for c in connectors if ends_at - starts_at <= terms.longest(c.kind)]
    places = await slots.places_of(longest, since=now, until=ends_at + slots.LOOK_BEYOND, now=now)
    ranked = rank_places(places, starts_at=starts_at, ends_at=ends_at, now=now, terms=terms)
    async with db.transaction():
        await _check_limits(account_id, agreement.id, station, now)
        reservation_id = new_id()
        claim = await claim_first_free(
            ranked,
            station=station,
            plate_hash=vehicle.plate_hash,
            starts_at=starts_at,
            ends_at=ends_at,
            reservation_id=reservation_id,
            now=now,
        )
        if claim is not None:
            kinds = {connector.id: connector.kind for connector in connectors}
            booked = ReservationView(
                id=reservation_id,
                account_id=account_id,
                agreement_id=agreement.id,
                vehicle_id=vehicle_id,
                operator_company_id=station.operator_company_id,
                station_id=station.id,
                connector_id=claim.connector_id,
                bay_id=claim.bay_id,
                claim_id=claim.id,
                plate_hash=vehicle.plate_hash,
                power=kinds[claim.connector_id],
                status="confirmed",
                starts_at=starts_at,
                ends_at=ends_at,
                hold_until=min(starts_at + timedelta(seconds=station.settings.hold_after_start_s), ends_at),
                checked_in_at=None,
                checked_in_by=None,
                fulfilled_at=None,
                closed_at=None,
                closed_reason=None,
                sequence=0,
                created_at=now,
                updated_at=now,
            )
            await _record_booking(booked, now=now)
            return booked
    raise SlotTaken(
        alternatives=await slots.alternatives(
            station=station, starts_at=starts_at, ends_at=ends_at, power=power, now=now
        )
    )


async def _check_limits(account_id: UUID, agreement_id: UUID, station: StationView, now: datetime) -> None:
    """Count under locks: the household's first (all its accounts, in one order), then the agreement's own."""
    household = sorted(await households.household_of(account_id=account_id, at=now))
    for member in household:
        await store.lock_household(member)
    await agreements.lock_agreement(agreement_id=agreement_id)
    limits = station.settings
    if await store.count_open(agreement_id) >= limits.max_open_bookings:
        raise TooManyOpenBookings(limit=limits.max_open_bookings)
    if await store.count_open_of_household(household) >= limits.max_open_bookings_household:
        raise TooManyOpenBookings(limit=limits.max_open_bookings_household)
    if await store.count_made(agreement_id, now - timedelta(days=1)) >= limits.max_new_bookings_a_day:
        raise TooManyNewBookings(limit=limits.max_new_bookings_a_day)


def check_period(
    station: StationView,
    kinds: set[Literal["ac", "dc"]],
    power: Power | None,
    starts_at: datetime,
    ends_at: datetime,
    now: datetime,
) -> None:
    """Raise SlotInvalid unless the period can be a slot of these kinds of connectors at the station."""
    terms = claims.terms_of(station.settings)
    longest = max((terms.longest(kind) for kind in kinds), default=terms.longest(power or "ac"))
    reason = refuse_slot(starts_at=starts_at, ends_at=ends_at, longest=longest, now=now, terms=terms)
    if reason is not None:
        raise SlotInvalid(
            field="ends_at" if reason in ("too_short", "too_long") else "starts_at",
            reason=reason,
            min_minutes=int(terms.shortest.total_seconds() // 60),
            max_minutes=int(longest.total_seconds() // 60),
            max_days=terms.ahead.days,
        )


async def claim_first_free(
    ranked: list[Place],
    *,
    station: StationView,
    plate_hash: bytes,
    starts_at: datetime,
    ends_at: datetime,
    reservation_id: UUID,
    now: datetime,
) -> ClaimView | None:
    """Try the places in order; None when others were faster everywhere. Raises VehicleElsewhere."""
    for place in ranked:
        wanted = ClaimView(
            id=new_id(),
            connector_id=place.connector_id,
            station_id=station.id,
            bay_id=place.bay_id,
            plate_hash=plate_hash,
            kind="booking",
            reference_id=reservation_id,
            starts_at=starts_at,
            ends_at=ends_at,
            held_until=held_until(ends_at, claims.terms_of(station.settings)),
        )
        if await claims_store.add_claim(wanted, now):
            return wanted
        if await claims_store.find_plate_elsewhere(plate_hash, starts_at, ends_at):
            raise VehicleElsewhere
    if not ranked and await claims_store.find_plate_elsewhere(plate_hash, starts_at, ends_at):
        raise VehicleElsewhere
    return None


def reminders_of(booked: ReservationView, station: StationView) -> list[tuple[Reminder, datetime]]:
    """Return when its owner is reminded of a booking: before the start, and before the hold ends."""
    return [
        ("start", booked.starts_at - timedelta(seconds=station.settings.remind_before_s)),
        ("hold", booked.hold_until - timedelta(seconds=station.settings.remind_hold_before_s)),
    ]


async def set_timers(booked: ReservationView, *, now: datetime) -> None:
    """Set what watches over a slot: the look at its place, the reminders, the end of the hold."""
    station = await stations.get_station(station_id=booked.station_id)
    await jobs.schedule("reservations.lapse", LapseDue(reservation_id=booked.id), due_at=booked.hold_until, now=now)
    for what, at in reminders_of(booked, station):
        if at > now:
            due = ReminderDue(reservation_id=booked.id, what=what, starts_at=booked.starts_at)
            await jobs.schedule("reservations.remind", due, due_at=at, now=now)
    ready_at = max(now, booked.starts_at - READY_BEFORE)
    await jobs.schedule("reservations.ready", ReadyDue(reservation_id=booked.id), due_at=ready_at, now=now)


async def _record_booking(booked: ReservationView, *, now: datetime) -> None:
    await store.add_reservation(booked)
    await set_timers(booked, now=now)
    await jobs.emit(
        SlotReserved(
            reservation_id=booked.id,
            account_id=booked.account_id,
            station_id=booked.station_id,
            connector_id=booked.connector_id,
            starts_at=booked.starts_at,
            ends_at=booked.ends_at,
        ),
        now=now,
    )
