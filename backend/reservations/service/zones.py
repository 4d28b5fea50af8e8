"""Dated changes of painted zones: proposed, approved by a second person after notice, told, and never on top of a
confirmed booking.

A bay that leaves the resident zone is closed to new bookings from that instant at once; those that reach past it move
to other connectors when the change is approved. Whoever cannot move keeps the bay: the change then waits until the
last of them is done (domain.md "Words": changes need signs and notice; the length of the notice is a station's own
number, seven days unless it says otherwise).
"""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import msgspec

from backend.agreements.service import households
from backend.core import audit, db, jobs
from backend.core.auth import Role, Staff
from backend.core.errors import Conflict, Forbidden, Invalid, NotFound
from backend.notifications import service as notifications
from backend.reservations.events import ZoneChangePlanned
from backend.reservations.rules.words import ReservationView
from backend.reservations.service import moving
from backend.reservations.service.bookings import on_the_clock
from backend.reservations.store import claims as claims_store
from backend.reservations.store import moves as moves_store
from backend.stations import service as stations
from backend.stations.rules.topology import StationView, Zone
from backend.stations.rules.zones import earliest_change
from backend.stations.service import zones as zone_changes
from backend.stations.service.zones import ZoneChangeView

PLANNERS: tuple[Role, ...] = ("operator", "lead")
READERS: tuple[Role, ...] = ("operator", "lead", "inspector", "guard")
FOR_GOOD = datetime.max.replace(tzinfo=UTC)
FARTHEST = timedelta(days=366)


class NoticeTooShort(Invalid):
    """The change comes sooner than its notice allows; `earliest_at` is the first instant that would do."""

    code = "notice_too_short"
    title_en = "The notice is too short"
    title_zh = "公示时间不足"
    detail_en = "A zone changes {days} days after it was announced at the earliest: from {earliest_at}."
    detail_zh = "分区调整须提前{days}天公示，最早{earliest_at}生效。"


class ChangeTooFar(Invalid):
    """The date lies more than a year ahead."""

    code = "change_too_far"
    title_en = "The date is too far ahead"
    title_zh = "生效日期过远"
    detail_en = "A change is planned at most a year ahead: until {latest_at}."
    detail_zh = "分区调整最多提前一年，最晚{latest_at}。"


class ZoneUnchanged(Conflict):
    """The bay is of that zone already."""

    code = "zone_unchanged"
    title_en = "The bay is in that zone already"
    title_zh = "车位已属该分区"


class ZoneChangeOpen(Conflict):
    """Another change of this bay is planned; cancel it first."""

    code = "zone_change_open"
    title_en = "A change of this bay is planned already"
    title_zh = "该车位已有待生效的分区调整"
    detail_en = "A bay has one planned change at a time. Cancel the other one first."
    detail_zh = "每个车位同时只能有一项待生效的调整，请先取消原调整。"


class ZoneChangeOver(Conflict):
    """The change is in force or cancelled, or was approved before."""

    code = "zone_change_over"
    title_en = "The change cannot be decided any more"
    title_zh = "该调整已无法处理"
    detail_en = "Its status is {status}."
    detail_zh = "当前状态：{status}。"


class ZoneChangeNeedsSecondPerson(Forbidden):
    """Whoever proposed a change does not approve it."""

    code = "zone_change_needs_second_person"
    title_en = "A second person must approve it"
    title_zh = "须由第二人审批"
    detail_en = "Whoever proposed the change cannot approve it."
    detail_zh = "提出调整的人员不能审批。"


class ZoneChangeDue(msgspec.Struct, frozen=True, kw_only=True):
    """Payload of the timer `reservations.zone_change_due`."""

    change_id: UUID


async def propose(
    *, staff: Staff, station_id: UUID, bay_id: UUID, zone: Zone, effective_at: datetime, reason: str, now: datetime
) -> ZoneChangeView:
    """Propose that a bay goes to the other zone; nothing changes before a second person approves.

    Raises NotFound, ZoneUnchanged, NoticeTooShort, ChangeTooFar, ZoneChangeOpen.
    """
    station = await stations.get_station(station_id=station_id)
    if not staff.may(*PLANNERS, operator_company_id=station.operator_company_id, station_id=station_id):
        raise NotFound(kind="station")
    bay = await stations.get_bay(bay_id=bay_id)
    if bay.station_id != station_id:
        raise NotFound(kind="bay")
    if bay.zone == zone:
        raise ZoneUnchanged
    _check_notice(effective_at, station, now)
    async with db.transaction():
        change = await zone_changes.add_change(
            station_id=station_id,
            operator_company_id=station.operator_company_id,
            bay_id=bay_id,
            zone_from=bay.zone,
            zone_to=zone,
            wanted_at=effective_at,
            reason=reason,
            proposed_by=staff.account_id,
            now=now,
        )
        if change is None:
            raise ZoneChangeOpen
        await _record(staff, change, "proposed", {"effective_at": effective_at.isoformat(), "reason": reason}, now)
    return change


def _check_notice(effective_at: datetime, station: StationView, now: datetime) -> None:
    earliest = earliest_change(now, station.settings.zone_notice_days)
    if effective_at < earliest or effective_at <= now:
        raise NoticeTooShort(
            field="effective_at", days=station.settings.zone_notice_days, earliest_at=earliest.isoformat()
        )
    if effective_at > now + FARTHEST:
        raise ChangeTooFar(field="effective_at", latest_at=(now + FARTHEST).isoformat())


async def _open(staff: Staff, change_id: UUID) -> tuple[ZoneChangeView, StationView]:
    change = await zone_changes.get_change(change_id=change_id, lock=True)
    if not staff.may(*PLANNERS, operator_company_id=change.operator_company_id, station_id=change.station_id):
        raise NotFound(kind="zone_change")
    return change, await stations.get_station(station_id=change.station_id)


async def approve(*, staff: Staff, change_id: UUID, now: datetime) -> ZoneChangeView:
    """Approve a change as the second person: the bookings it concerns move or keep their bay, residents are told.

    The notice counts from here. Raises NotFound, ZoneChangeOver, ZoneChangeNeedsSecondPerson, NoticeTooShort.
    """
    async with db.transaction():
        change, station = await _open(staff, change_id)
        if change.status != "proposed":
            raise ZoneChangeOver(status=change.status)
        if change.proposed_by == staff.account_id:
            raise ZoneChangeNeedsSecondPerson
        _check_notice(change.wanted_at, station, now)
        became, kept, effective_at = await _make_room(change, change.wanted_at, str(staff.account_id), now)
        await zone_changes.approve(
            change=change,
            effective_at=effective_at,
            moved=len(became.moved),
            kept=len(kept),
            approved_by=staff.account_id,
            now=now,
        )
        detail: dict[str, str | int] = {
            "effective_at": effective_at.isoformat(),
            "moved": len(became.moved),
            "kept": len(kept),
        }
        await _record(staff, change, "approved", detail, now)
        await jobs.emit(ZoneChangePlanned(change_id=change.id, station_id=change.station_id, at=now), now=now)
        await _wait_for(change, effective_at, now)
        return await zone_changes.get_change(change_id=change_id)


async def _make_room(
    change: ZoneChangeView, effective_at: datetime, actor: str, now: datetime
) -> tuple[moving.Moved, list[ReservationView], datetime]:
    """Paint the bay anew from then on and move the bookings that reach past it; the instant waits for those left."""
    await claims_store.lock_station_claims(change.station_id)
    await zone_changes.plan(change=change, effective_at=effective_at)
    if change.zone_to == "resident":
        return moving.Moved(), [], effective_at
    concerned = await _reaching_past(change, effective_at)
    became = await moving.move_bookings(
        station_id=change.station_id,
        reservation_ids=[booked.id for booked in concerned if booked.status == "confirmed"],
        reason="zone",
        actor=actor,
        now=now,
        strand=False,
    )
    kept = [booked for booked in concerned if booked.id not in became.moved]
    if kept:
        held = [await claims_store.find_claim(booked.claim_id) for booked in kept]
        effective_at = max([effective_at, *(claim.held_until for claim in held if claim is not None)])
        await zone_changes.plan(change=change, effective_at=effective_at)
    return became, kept, effective_at


async def _reaching_past(change: ZoneChangeView, at: datetime) -> list[ReservationView]:
    """The open bookings that would use the bay, or a gun that reaches it, after `at`."""
    bay = await stations.get_bay(bay_id=change.bay_id)
    return await moves_store.list_held_by(bay.connector_ids, at, FOR_GOOD, bay_ids=[bay.id])


async def _wait_for(change: ZoneChangeView, effective_at: datetime, now: datetime) -> None:
    due = ZoneChangeDue(change_id=change.id)
    await jobs.schedule("reservations.zone_change_due", due, due_at=effective_at, now=now)


async def announce(*, change_id: UUID, now: datetime) -> None:
    """Tell a change that was approved: whoever keeps a booking there, and every resident of the station. Idempotent.

    A booking made while it was approved is looked for again here: it moves, or the change waits for it too.
    """
    async with db.transaction():
        change = await zone_changes.get_change(change_id=change_id, lock=True)
        if change.status != "approved":
            return
        change = await _make_sure(change, now)
        station = await stations.get_station(station_id=change.station_id)
        for booked in await _kept(change):
            await _tell_kept(booked, change, station, now)
        for account_id in await households.residents_of_station(
            station_id=station.id, operator_company_id=station.operator_company_id, at=now
        ):
            await _tell(account_id, change, station, f"zone_change_to_{change.zone_to}", now)


async def _make_sure(change: ZoneChangeView, now: datetime) -> ZoneChangeView:
    """Make room for bookings that came in between; returns the change as it is then."""
    if change.zone_to == "resident" or not await _reaching_past(change, change.effective_at):
        return change
    became, kept, effective_at = await _make_room(change, change.effective_at, moving.ACTOR, now)
    assert change.approved_by is not None
    await zone_changes.approve(
        change=change,
        effective_at=effective_at,
        moved=change.moved + len(became.moved),
        kept=change.kept + len(kept),
        approved_by=change.approved_by,
        now=change.approved_at or now,
    )
    await _wait_for(change, effective_at, now)
    return await zone_changes.get_change(change_id=change.id)


async def _kept(change: ZoneChangeView) -> list[ReservationView]:
    """The bookings that keep the bay beyond the date that was asked for."""
    if change.zone_to == "resident" or not change.kept:
        return []
    return await _reaching_past(change, change.wanted_at)


async def _tell_kept(booked: ReservationView, change: ZoneChangeView, station: StationView, now: datetime) -> None:
    await notifications.notify(
        recipient=booked.account_id,
        event_key=f"zone_change:{change.id}:keeps:{booked.id}",
        template="reservation_keeps_bay",
        params={"station": station.name, "bay": change.bay_code, "starts": on_the_clock(booked.starts_at)},
        safety=False,
        now=now,
    )


async def _tell(account_id: UUID, change: ZoneChangeView, station: StationView, template: str, now: datetime) -> None:
    await notifications.notify(
        recipient=account_id,
        event_key=f"zone_change:{change.id}:{template}",
        template=template,
        params={"station": station.name, "bay": change.bay_code, "starts": on_the_clock(change.effective_at)},
        safety=False,
        now=now,
    )


async def come_into_force(*, change_id: UUID, now: datetime) -> None:
    """The stored instant of a change has come: record it, and let every picture of the station show it."""
    async with db.transaction():
        change = await zone_changes.get_change(change_id=change_id, lock=True)
        if change.status == "approved" and now >= change.effective_at:
            await zone_changes.begin(change=change, now=now)


async def cancel(*, staff: Staff, change_id: UUID, reason: str, now: datetime) -> ZoneChangeView:
    """Call a change off before it holds; who was told is told again.

    Bookings made for the resident zone that was to come move away first; raises moving.BookingsInTheWay where one
    cannot, NotFound, ZoneChangeOver.
    """
    async with db.transaction():
        change, station = await _open(staff, change_id)
        if change.status not in ("proposed", "approved") or now >= change.effective_at:
            raise ZoneChangeOver(status="in_force" if change.status == "approved" else change.status)
        await claims_store.lock_station_claims(change.station_id)
        announced = change.status == "approved"
        await zone_changes.cancel(change=change, cancelled_by=staff.account_id, now=now)
        if announced and change.zone_to == "resident":
            booked = await _reaching_past(change, change.effective_at)
            await moving.move_bookings(
                station_id=change.station_id,
                reservation_ids=[one.id for one in booked],
                reason="zone",
                actor=str(staff.account_id),
                now=now,
                all_or_nothing=True,
            )
        if announced:
            for account_id in await households.residents_of_station(
                station_id=station.id, operator_company_id=station.operator_company_id, at=now
            ):
                await _tell(account_id, change, station, "zone_change_cancelled", now)
        await _record(staff, change, "cancelled", {"reason": reason}, now)
        return await zone_changes.get_change(change_id=change_id)


async def list_own(
    *, staff: Staff, station_id: UUID | None, open_only: bool, before: UUID | None, limit: int
) -> list[ZoneChangeView]:
    """Return the changes of the caller's companies, the newest first."""
    return await zone_changes.list_changes(
        company_ids=staff.company_ids(*READERS),
        station_id=station_id,
        statuses=("proposed", "approved") if open_only else (),
        before=before,
        limit=limit,
    )


async def announced(*, station_id: UUID) -> list[ZoneChangeView]:
    """Return the approved changes of a station that are still to come, the first to come first; for everybody."""
    await stations.get_station(station_id=station_id)
    found = await zone_changes.list_changes(station_id=station_id, statuses=("approved",))
    return sorted(found, key=lambda change: (change.effective_at, change.bay_code))


async def _record(staff: Staff, change: ZoneChangeView, what: str, detail: dict[str, str | int], now: datetime) -> None:
    await audit.record(
        actor_id=staff.account_id,
        actor_role=staff.role_at(change.operator_company_id),
        action=f"zone_change.{what}",
        object_kind="zone_change",
        object_id=change.id,
        detail={"bay_id": str(change.bay_id), "zone_to": change.zone_to, **detail},
        now=now,
        operator_company_id=change.operator_company_id,
    )
