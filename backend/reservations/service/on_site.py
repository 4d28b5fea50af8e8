"""What people on site may do for residents, each with a reason and on record; others' stations are NotFound."""

from contextlib import suppress
from datetime import datetime
from uuid import UUID

import msgspec

from backend.bays import service as bays
from backend.core import audit, crypto, db
from backend.core.auth import Role, Staff
from backend.core.errors import Conflict, NotFound
from backend.notifications import service as notifications
from backend.reservations.rules.words import OPEN, ReservationView
from backend.reservations.service import bay_reports, bookings, moving
from backend.reservations.service.bay_reports import CarMayStand, ReportingSuspended, TooManyReports
from backend.reservations.service.bookings import BookingNotOpen
from backend.reservations.store import bookings as store
from backend.reservations.store import claims as claims_store
from backend.reservations.store import suspensions
from backend.reservations.store.suspensions import SuspensionView
from backend.stations import service as stations
from backend.stations.rules.topology import StationView

HANDLERS: tuple[Role, ...] = ("guard", "lead", "operator")
DECIDERS: tuple[Role, ...] = ("lead", "operator")
"""Who decides about residents: guards may work for the property company, and an appeal is not written for them."""
BOTH_ZONES: moving.Zones = frozenset({"resident", "public"})


class NoPlaceToMove(Conflict):
    """No other place at the station can take the booking."""

    code = "no_place_to_move"
    title_en = "No other place is free"
    title_zh = "没有可调整的车位"
    detail_en = "No connector of the same kind at this station is free for the whole slot."
    detail_zh = "本站没有同类型且整个时段空闲的充电枪。"


class NotSuspended(Conflict):
    """There is no suspension in force, or it was appealed already."""

    code = "not_suspended"
    title_en = "There is nothing to appeal"
    title_zh = "没有可申诉的暂停"
    detail_en = "No suspension is in force, or it was appealed already."
    detail_zh = "当前没有生效的预约暂停，或已提交过申诉。"


async def _own(staff: Staff, station_id: UUID) -> StationView:
    station = await stations.get_station(station_id=station_id)
    if not staff.may(*HANDLERS, operator_company_id=station.operator_company_id, station_id=station_id):
        raise NotFound(kind="station")
    return station


async def _record(
    staff: Staff, station: StationView, action: str, kind: str, object_id: UUID, reason: str, now: datetime
) -> None:
    await audit.record(
        actor_id=staff.account_id,
        actor_role=staff.role_at(station.operator_company_id),
        action=action,
        object_kind=kind,
        object_id=object_id,
        detail={"reason": reason},
        now=now,
        operator_company_id=station.operator_company_id,
    )


async def lower_bay(*, staff: Staff, bay_id: UUID, reason: str, now: datetime) -> None:
    """Open a bay; its lock rises again by the usual rules. Raises NotFound, also for a bay without a lock."""
    station = await _own(staff, (await stations.get_bay(bay_id=bay_id)).station_id)
    async with db.transaction():
        if not await bays.lower_lock(
            bay_id=bay_id, reason=f"staff: {reason}"[:120], actor=str(staff.account_id), now=now
        ):
            raise NotFound(kind="lock")
        await _record(staff, station, "bay.lowered", "bay", bay_id, reason, now)


async def _booking(staff: Staff, reservation_id: UUID) -> tuple[ReservationView, StationView]:
    booked = await store.find_reservation(reservation_id)
    if booked is None:
        raise NotFound(kind="reservation")
    return booked, await _own(staff, booked.station_id)


async def move_booking(
    *, staff: Staff, reservation_id: UUID, connector_id: UUID | None, reason: str, now: datetime
) -> ReservationView:
    """Move a booking to that connector, or to any equivalent one; raises NotFound, BookingNotOpen, NoPlaceToMove."""
    booked, station = await _booking(staff, reservation_id)
    if booked.status not in OPEN:
        raise BookingNotOpen(status=booked.status)
    async with db.transaction():
        became = await moving.move_bookings(
            station_id=station.id,
            reservation_ids=[booked.id],
            reason="staff",
            actor=str(staff.account_id),
            now=now,
            zones=BOTH_ZONES if connector_id is not None else moving.RESIDENT,
            only=None if connector_id is None else frozenset({connector_id}),
            strand=False,
        )
        if not became.moved:
            raise NoPlaceToMove
        await _record(staff, station, "reservation.moved", "reservation", booked.id, reason, now)
    return (await _booking(staff, reservation_id))[0]


async def check_in(*, staff: Staff, reservation_id: UUID, reason: str, now: datetime) -> ReservationView:
    """Check in somebody whose plate, phone and code failed; raises NotFound and what `bookings.check_in` raises."""
    booked, station = await _booking(staff, reservation_id)
    async with db.transaction():
        view = await bookings.check_in(reservation_id=booked.id, means="staff", now=now)
        await _record(staff, station, "reservation.checked_in", "reservation", booked.id, reason, now)
    return view


async def list_suspensions(*, staff: Staff, now: datetime, limit: int) -> list[SuspensionView]:
    """Return the suspensions in force of the caller's companies, those with an open appeal first; a guard sees those
    whose last missed booking was at a station of theirs.
    """
    found = await suspensions.list_in_force(sorted(staff.company_ids(*HANDLERS, "inspector")), now, limit)
    return [one for one in found if _concerns(staff, one, *HANDLERS, "inspector")]


def _concerns(staff: Staff, view: SuspensionView, *roles: Role) -> bool:
    return staff.may(*roles, operator_company_id=view.operator_company_id, station_id=view.station_id)


def appeal_text(view: SuspensionView, staff: Staff) -> str | None:
    """Return what the resident wrote against the suspension, for those who decide about appeals; None for guards."""
    if view.appeal_cipher is None or not _concerns(staff, view, *DECIDERS, "inspector"):
        return None
    return crypto.decrypt(view.appeal_cipher)


async def lift_suspension(*, staff: Staff, suspension_id: UUID, reason: str, lift: bool, now: datetime) -> None:
    """Lift a suspension, or refuse the appeal against it; raises StaffOnly, NotFound (another company's or past).

    A guard, who saw what happened at the gate, lifts those of the own station; only leads and operators uphold.
    """
    roles = HANDLERS if lift else DECIDERS
    staff.company_ids(*roles)
    async with db.transaction():
        found = await suspensions.find_in_force(suspension_id, now)
        if found is None or not _concerns(staff, found, *roles):
            raise NotFound(kind="suspension")
        if lift:
            await suspensions.lift(suspension_id, staff.account_id, reason, now)
        await suspensions.decide_appeal(suspension_id, lift, now)
        await audit.record(
            actor_id=staff.account_id,
            actor_role=staff.role_at(found.operator_company_id),
            action="suspension.lifted" if lift else "suspension.upheld",
            object_kind="booking_suspension",
            object_id=suspension_id,
            detail={"reason": reason},
            now=now,
            operator_company_id=found.operator_company_id,
        )
        await notifications.notify(
            recipient=found.account_id,
            event_key=f"suspension:{suspension_id}:{'lifted' if lift else 'upheld'}",
            template="suspension_lifted" if lift else "suspension_upheld",
            params={},
            safety=False,
            now=now,
        )


async def my_suspension(*, account_id: UUID, now: datetime) -> SuspensionView | None:
    """Return the suspension in force of the account, or None."""
    return await suspensions.find_of_account(account_id, now)


async def appeal(*, account_id: UUID, text: str, now: datetime) -> SuspensionView:
    """Object to the suspension in force, once; the text is kept encrypted. Raises NotSuspended."""
    async with db.transaction():
        found = await suspensions.find_of_account(account_id, now)
        if found is None or not await suspensions.add_appeal(
            found.id, account_id, found.operator_company_id, crypto.encrypt(text), now
        ):
            raise NotSuspended
        return msgspec.structs.replace(found, appealed_at=now)


async def report_blocked(*, account_id: UUID, reservation_id: UUID, now: datetime) -> ReservationView:
    """A resident finds another car in the booked bay: move the booking at once, or begin the fallback plan, and follow
    the car as any report of a bay. Raises NotFound, BookingNotOpen, CheckInNotOpen.
    """
    booked = await bookings.get_reservation(account_id=account_id, reservation_id=reservation_id)
    station = await stations.get_station(station_id=booked.station_id)
    async with db.transaction():
        await claims_store.lock_station_claims(station.id)
        bookings.check_open(booked, station, now)
        await moving.move_bookings(
            station_id=station.id,
            reservation_ids=[booked.id],
            reason="blocked",
            actor=str(account_id),
            now=now,
            strand=now >= booked.starts_at,
        )
        if booked.bay_id is not None:
            with suppress(CarMayStand, ReportingSuspended, TooManyReports):  # the move stands, whoever goes there
                await bay_reports.report(
                    account_id=account_id, bay_id=booked.bay_id, note=None, now=now, reservation_id=booked.id
                )
    return await bookings.get_reservation(account_id=account_id, reservation_id=reservation_id)
