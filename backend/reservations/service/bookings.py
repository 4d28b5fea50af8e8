"""A booking's life after it was made: reading, giving back, arriving, charging, and what happens when nobody comes."""

from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID

import msgspec

from backend.bays import service as bays
from backend.core import db, jobs
from backend.core.errors import Conflict, Invalid, NotFound
from backend.core.units import Point, distance_m
from backend.notifications import service as notifications
from backend.reservations.events import (
    BookingSuspended,
    ReservationCancelled,
    ReservationCheckedIn,
    ReservationNotUsed,
)
from backend.reservations.rules.bookings import (
    decide_lapse,
    decide_suspension,
    is_free_cancellation,
    refuse_check_in,
)
from backend.reservations.rules.periods import BEIJING
from backend.reservations.rules.words import OPEN, CheckInMeans, ReservationView
from backend.reservations.service import claims
from backend.reservations.service.claims import ConnectorTaken
from backend.reservations.store import bookings as store
from backend.reservations.store import claims as claims_store
from backend.stations import service as stations
from backend.stations.rules.topology import StationView

ACTOR = "reservations"


class BookingNotOpen(Conflict):
    """The booking is over: used, cancelled or lapsed."""

    code = "booking_not_open"
    title_en = "The booking is over"
    title_zh = "预约已结束"
    detail_en = "Its state is {status}."
    detail_zh = "当前状态：{status}。"


class CheckInNotOpen(Conflict):
    """Check-in is not open: `reason` too_early or too_late; `opens_at` and `until` say when it is."""

    code = "check_in_not_open"
    title_en = "Check-in is not open"
    title_zh = "当前不可签到"
    detail_en = "Check in between {opens_at} and {until}."
    detail_zh = "请在{opens_at}至{until}之间签到。"


class TooFarToCheckIn(Conflict):
    """The app is farther from the station than check-in allows."""

    code = "too_far"
    title_en = "You are too far from the station"
    title_zh = "距离充电站过远"
    detail_en = "You are {distance_m} m away; check in within {limit_m} m, or scan the code on the connector."
    detail_zh = "您距充电站{distance_m}米，请在{limit_m}米内签到，或扫描充电枪二维码。"


class WrongConnector(Conflict):
    """The scanned connector is not the booked one."""

    code = "wrong_connector"
    title_en = "This is another connector"
    title_zh = "不是您预约的充电枪"
    detail_en = "Your booking is for connector {number} of charger {charger_code}."
    detail_zh = "您预约的是{charger_code}号桩{number}号枪。"


class LapseDue(msgspec.Struct, frozen=True, kw_only=True):
    """Payload of the timer `reservations.lapse`."""

    reservation_id: UUID


Reminder = Literal["start", "hold"]


class ReminderDue(msgspec.Struct, frozen=True, kw_only=True):
    """Payload of the timer `reservations.remind`; one whose slot was changed meanwhile is void."""

    reservation_id: UUID
    what: Reminder
    starts_at: datetime


async def remind(*, due: ReminderDue, now: datetime) -> None:
    """Remind somebody of a booking that is still expected: before its start, or before its hold ends."""
    async with db.transaction():
        booked = await _locked(due.reservation_id)
        if booked.status != "confirmed" or booked.starts_at != due.starts_at or now >= booked.hold_until:
            return
        station = await stations.get_station(station_id=booked.station_id)
        bay = None if booked.bay_id is None else await stations.get_bay(bay_id=booked.bay_id)
        params: dict[str, str | int] = {"station": station.name}
        if due.what == "start":
            params |= {"starts": on_the_clock(booked.starts_at), "bay": "—" if bay is None else bay.code}
        else:
            params["minutes"] = max(1, int((booked.hold_until - now).total_seconds() // 60))
        await notifications.notify(
            recipient=booked.account_id,
            event_key=f"reservation:{booked.id}:remind:{due.what}:{booked.starts_at.isoformat()}",
            template="reservation_reminder" if due.what == "start" else "reservation_hold_ends",
            params=params,
            safety=False,
            now=now,
        )


async def get_reservation(*, account_id: UUID, reservation_id: UUID) -> ReservationView:
    """Return the account's own booking; another resident's is as absent as one that never was (NotFound)."""
    found = await store.find_reservation(reservation_id)
    if found is None or found.account_id != account_id:
        raise NotFound(kind="reservation")
    return found


async def find_reservation(*, reservation_id: UUID) -> ReservationView | None:
    """Return any booking, for the features above."""
    return await store.find_reservation(reservation_id)


async def list_reservations(
    *, account_id: UUID, before: UUID | None, limit: int, open_only: bool = False
) -> list[ReservationView]:
    """Return the account's bookings, the newest first."""
    return await store.list_reservations(account_id, before=before, limit=limit, open_only=open_only)


async def cancel_reservation(*, account_id: UUID, reservation_id: UUID, now: datetime) -> ReservationView:
    """Give a booking back; free until 15 minutes before the start, later it counts as not shown up.

    One that is cancelled already is answered as it is. Raises NotFound, BookingNotOpen.
    """
    await get_reservation(account_id=account_id, reservation_id=reservation_id)
    async with db.transaction():
        booked = await _locked(reservation_id)
        if booked.status == "cancelled":
            return booked
        if booked.status not in OPEN:
            raise BookingNotOpen(status=booked.status)
        station = await stations.get_station(station_id=booked.station_id)
        free_before = timedelta(seconds=station.settings.free_cancel_before_s)
        free = is_free_cancellation(starts_at=booked.starts_at, free_before=free_before, now=now)
        late = not free and booked.status == "confirmed" and booked.stranded_at is None
        reason = "cancelled_late" if late else "cancelled"
        await store.close_reservation(booked.id, "cancelled", reason, now, counts_as_no_show=late)
        await _give_back(booked, reason="booking cancelled", now=now)
        await jobs.emit(
            ReservationCancelled(
                reservation_id=booked.id,
                account_id=booked.account_id,
                station_id=booked.station_id,
                connector_id=booked.connector_id,
                late=late,
                at=now,
            ),
            now=now,
        )
        if late:
            await _suspend_if_due(booked, station, now)
        return await _locked(reservation_id)


async def _locked(reservation_id: UUID) -> ReservationView:
    booked = await store.find_reservation(reservation_id, lock=True)
    if booked is None:
        raise NotFound(kind="reservation")
    return booked


async def _give_back(booked: ReservationView, *, reason: str, now: datetime) -> None:
    """End the claim at once, and close the bay if it had been opened for this booking."""
    await claims.release_claim(claim_id=booked.claim_id, now=now)
    if booked.bay_id is not None and booked.status == "checked_in":
        await bays.request_raise(bay_id=booked.bay_id, reason=reason, actor=ACTOR, now=now)


async def check_in_by_app(
    *, account_id: UUID, reservation_id: UUID, position: Point | None, qr: str | None, now: datetime
) -> ReservationView:
    """Check in from the phone, within 100 m of the station or with the connector's QR code.

    The position is compared and forgotten (location is never stored). Raises NotFound, TooFarToCheckIn, WrongConnector
    and what `check_in` raises.
    """
    booked = await get_reservation(account_id=account_id, reservation_id=reservation_id)
    if qr is not None:
        connector = await stations.find_connector_by_qr(qr=qr)
        if connector is None:
            raise NotFound(kind="connector")
        if connector.id != booked.connector_id:
            mine = await stations.get_connector(connector_id=booked.connector_id)
            raise WrongConnector(number=mine.number, charger_code=mine.charger_code)
        return await check_in(reservation_id=reservation_id, means="qr", now=now)
    if position is None:
        raise Invalid(field="lat")
    station = await stations.get_station(station_id=booked.station_id)
    away = distance_m(position, Point(station.lat, station.lng))
    if away > station.settings.check_in_radius_m:
        raise TooFarToCheckIn(distance_m=away, limit_m=station.settings.check_in_radius_m)
    return await check_in(reservation_id=reservation_id, means="app", now=now)


async def check_in(*, reservation_id: UUID, means: CheckInMeans, now: datetime) -> ReservationView:
    """Take the arrival of a booking's car: hold its connector from now and open its bay.

    Before the start only while the connector is free. Checking in again opens the bay again. Raises BookingNotOpen,
    CheckInNotOpen, ConnectorTaken (somebody is still there before the start).
    """
    async with db.transaction():
        first = await store.find_reservation(reservation_id)
        if first is not None and now < first.starts_at:
            await claims_store.lock_station_claims(first.station_id)  # before the booking's row, as moves do
        booked = await _locked(reservation_id)
        station = await stations.get_station(station_id=booked.station_id)
        check_open(booked, station, now)
        if booked.status == "confirmed":
            if now < booked.starts_at:
                await _take_early(booked, now)
            await store.mark_checked_in(booked.id, means, now)
            await jobs.emit(
                ReservationCheckedIn(
                    reservation_id=booked.id,
                    account_id=booked.account_id,
                    station_id=booked.station_id,
                    connector_id=booked.connector_id,
                    bay_id=booked.bay_id,
                    plate_hash=booked.plate_hash,
                    means=means,
                    starts_at=booked.starts_at,
                    at=now,
                ),
                now=now,
            )
        if booked.bay_id is not None:
            await bays.lower_lock(
                bay_id=booked.bay_id,
                reason=f"check-in by {means}",
                actor=ACTOR if means in ("plate", "qr") else str(booked.account_id),
                now=now,
                keep_down_until=max(booked.hold_until, now + bays.OPEN_FOR),
            )
        return await _locked(reservation_id)


def check_open(booked: ReservationView, station: StationView, now: datetime) -> None:
    """Raise BookingNotOpen or CheckInNotOpen unless the booking can be checked in now."""
    opens_before = timedelta(seconds=station.settings.check_in_before_s)
    refusal = refuse_check_in(
        status=booked.status,
        starts_at=booked.starts_at,
        hold_until=booked.hold_until,
        opens_before=opens_before,
        now=now,
    )
    if refusal == "not_open":
        raise BookingNotOpen(status=booked.status)
    if refusal is not None:
        opens_at = booked.starts_at - opens_before
        raise CheckInNotOpen(reason=refusal, opens_at=on_the_clock(opens_at), until=on_the_clock(booked.hold_until))


async def _take_early(booked: ReservationView, now: datetime) -> None:
    """Hold the connector from now; the bay must not be seen taken by another car."""
    if booked.bay_id is not None:
        bay = await bays.get_occupancy(bay_id=booked.bay_id)
        if bay.state == "occupied" and bay.plate_hash != booked.plate_hash:
            raise ConnectorTaken(free_from=booked.starts_at)
    await claims.start_claim_earlier(claim_id=booked.claim_id, starts_at=now, now=now)


async def find_booking_of_plate(*, station_id: UUID, plate_hash: bytes, at: datetime) -> ReservationView | None:
    """Return the plate's open booking at the station whose check-in is open at `at`, or None."""
    station = await stations.get_station(station_id=station_id)
    return await store.find_due_for_plate(station_id, plate_hash, at, station.settings.check_in_before_s)


async def list_due_in_bay(*, bay_id: UUID, at: datetime) -> list[ReservationView]:
    """Return the confirmed bookings of the bay whose check-in is open at `at`."""
    station_id = (await stations.get_bay(bay_id=bay_id)).station_id
    station = await stations.get_station(station_id=station_id)
    return await store.list_due_in_bay(bay_id, at, station.settings.check_in_before_s)


async def mark_fulfilled(*, reservation_id: UUID, now: datetime) -> None:
    """Record that the booking's car charges; one that never checked in arrived by doing so. Idempotent."""
    async with db.transaction():
        booked = await _locked(reservation_id)
        if booked.status not in OPEN:
            return
        if booked.status == "confirmed":
            await store.mark_checked_in(booked.id, "qr", now)
        await store.close_reservation(booked.id, "fulfilled", "charging", now)


async def lapse(*, reservation_id: UUID, now: datetime) -> None:
    """End a booking nobody used when its hold is over; the stored due time decides, not the timer that rang."""
    async with db.transaction():
        booked = await _locked(reservation_id)
        bay = None if booked.bay_id is None else await bays.get_occupancy(bay_id=booked.bay_id)
        decision = decide_lapse(
            status=booked.status,
            hold_until=booked.hold_until,
            ends_at=booked.ends_at,
            bay="unknown" if bay is None else bay.state,
            now=now,
        )
        if decision == "nothing":
            return
        if decision == "no_show" and bay is not None and bay.plate_hash == booked.plate_hash and now < booked.ends_at:
            await store.mark_checked_in(booked.id, "plate", now)  # it stands in its bay, whoever missed it on the way
            decision = "wait"
        if decision == "wait":
            await store.move_hold(booked.id, booked.ends_at, now)
            due = LapseDue(reservation_id=booked.id)
            await jobs.schedule("reservations.lapse", due, due_at=booked.ends_at, now=now)
            return
        ours = booked.stranded_at is not None
        counted = decision == "no_show" and not ours
        if ours:
            await store.close_reservation(booked.id, "failed", "no_connector", now)
        else:
            await store.close_reservation(booked.id, "no_show", decision, now, counts_as_no_show=counted)
        await _give_back(booked, reason="booking lapsed", now=now)
        await jobs.emit(
            ReservationNotUsed(
                reservation_id=booked.id,
                account_id=booked.account_id,
                station_id=booked.station_id,
                connector_id=booked.connector_id,
                counted=counted,
                at=now,
            ),
            now=now,
        )
        if ours:
            station = await stations.get_station(station_id=booked.station_id)
            await _tell(booked, station, "reservation_failed", now)
        elif not counted:
            station = await stations.get_station(station_id=booked.station_id)
            await _tell(booked, station, "reservation_unused", now)
        if counted:
            station = await stations.get_station(station_id=booked.station_id)
            await _tell(booked, station, "reservation_no_show", now)
            await _suspend_if_due(booked, station, now)


async def _suspend_if_due(booked: ReservationView, station: StationView, now: datetime) -> None:
    window = timedelta(days=station.settings.no_show_window_days)
    until = decide_suspension(
        no_shows=await store.list_no_shows(booked.account_id, now - window),
        now=now,
        limit=station.settings.no_show_limit,
        window=window,
        length=timedelta(days=station.settings.suspension_days),
    )
    if until is None:
        return
    added = await store.add_suspension(
        booked.account_id, booked.agreement_id, booked.operator_company_id, booked.id, now, until
    )
    if added:
        await jobs.emit(BookingSuspended(account_id=booked.account_id, until=until, at=now), now=now)
        await notifications.notify(
            recipient=booked.account_id,
            event_key=f"reservation:{booked.id}:suspended",
            template="booking_suspended",
            params={"until": on_the_clock(until)},
            safety=False,
            now=now,
        )


async def _tell(booked: ReservationView, station: StationView, template: str, now: datetime) -> None:
    await notifications.notify(
        recipient=booked.account_id,
        event_key=f"reservation:{booked.id}:{template}",
        template=template,
        params={"station": station.name, "starts": on_the_clock(booked.starts_at)},
        safety=False,
        now=now,
    )


def on_the_clock(at: datetime) -> str:
    """Return an instant as people in Beijing read it."""
    return at.astimezone(BEIJING).strftime("%m-%d %H:%M")
