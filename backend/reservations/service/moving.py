"""Moving bookings: away from a connector that faults, is blocked, goes to maintenance or is overrun.

Every move happens in one transaction under the station's lock, by delete and insert of the claim (domain.md
"Booking"), leaves a line in `reservation_move` and tells the resident. Whoever cannot be moved is stranded: the place
is kept in case it recovers, not showing up costs nothing, and the fallback plan (waiting) takes over.
"""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from uuid import UUID

import msgspec

from backend.bays import service as bays
from backend.core import db, jobs
from backend.core.errors import Conflict, NotFound
from backend.core.ids import new_id
from backend.notifications import service as notifications
from backend.reservations.events import BookingRestored, BookingStranded, ReservationMoved
from backend.reservations.rules.moves import (
    BROKEN_STATUSES,
    READY_BEFORE,
    MoveReason,
    Moving,
    Obstacle,
    PlaceState,
    decide_moves,
    find_obstacle,
)
from backend.reservations.rules.periods import held_until
from backend.reservations.rules.slots import Place, Span, merge
from backend.reservations.rules.words import OPEN, ClaimView, ReservationView
from backend.reservations.service import claims, slots
from backend.reservations.service.bookings import on_the_clock
from backend.reservations.service.claims import ConnectorTaken, VehicleElsewhere, terms_of
from backend.reservations.store import bookings as store
from backend.reservations.store import claims as claims_store
from backend.reservations.store import moves as moves_store
from backend.stations import service as stations
from backend.stations.rules.topology import ConnectorView, StationView, Zone
from backend.telemetry import service as telemetry

ACTOR = "reservations"
LOOK_AGAIN = timedelta(minutes=1)
STANDS_FOR = timedelta(minutes=30)
"""How long a car that stays past its time, or a stranger in a bay, is expected to stay from now."""
Zones = Collection[Zone]
RESIDENT: Zones = slots.RESIDENT


class ReadyDue(msgspec.Struct, frozen=True, kw_only=True):
    """Payload of the timer `reservations.ready`."""

    reservation_id: UUID


class Moved(msgspec.Struct, frozen=True, kw_only=True):
    """What became of bookings that had to move."""

    moved: tuple[UUID, ...] = ()
    stranded: tuple[UUID, ...] = ()


class BookingsInTheWay(Conflict):
    """Confirmed bookings hold the place then, and there is no equivalent one for all of them."""

    code = "bookings_in_the_way"
    title_en = "Confirmed bookings are in the way"
    title_zh = "该时段已有确认的预约"
    detail_en = "{count} confirmed bookings cannot be moved to an equivalent place. Choose a later time."
    detail_zh = "有{count}个已确认的预约无法调整到同等车位，请选择更晚的时间。"


async def move_bookings(
    *,
    station_id: UUID,
    reservation_ids: Sequence[UUID],
    reason: MoveReason,
    actor: str,
    now: datetime,
    zones: Zones = RESIDENT,
    only: Collection[UUID] | None = None,
    avoid: Collection[UUID] = (),
    strand: bool = True,
    all_or_nothing: bool = False,
) -> Moved:
    """Give open bookings of one station equivalent places there, or strand them.

    `only` are the connectors to choose from, `avoid` those not to. Without `strand` whoever cannot be moved stays as
    before; `all_or_nothing` raises BookingsInTheWay instead of moving some.
    """
    async with db.transaction():
        await claims_store.lock_station_claims(station_id)
        found = [await store.find_reservation(one, lock=True) for one in sorted(reservation_ids)]
        open_ones = [b for b in found if b is not None and b.status in OPEN and b.station_id == station_id]
        if not open_ones:
            return Moved()
        station = await stations.get_station(station_id=station_id)
        held = {b.id: await claims_store.find_claim(b.claim_id, lock=True) for b in open_ones}
        left = [b for b in open_ones if held[b.id] is not None and b.ends_at > now]
        for booked in left:
            await claims_store.delete_claim(booked.claim_id)
        await _trim_early(left, now)
        chosen = await _choose(left, station, now, zones=zones, only=only, avoid=avoid)
        moved: list[UUID] = []
        stranded: list[UUID] = []
        for booked in sorted(left, key=lambda b: b.id not in chosen):
            before = held[booked.id]
            assert before is not None
            place = chosen.get(booked.id)
            if place is not None and await _take(booked, before, place, station, now):
                await _settle_in(booked, place, station, reason=reason, actor=actor, now=now)
                moved.append(booked.id)
                continue
            if all_or_nothing:
                raise BookingsInTheWay(count=len(left) - len(moved))
            if not await claims_store.add_claim(before, now):
                raise ConnectorTaken  # a race the lock should forbid: the job is tried again
            if strand:
                await _strand(booked, reason=reason, actor=actor, now=now)
                stranded.append(booked.id)
        return Moved(moved=tuple(moved), stranded=tuple(stranded))


async def _trim_early(left: Sequence[ReservationView], now: datetime) -> None:
    """Nothing of the old claims is kept: their gaps went with them."""
    for booked in left:
        if booked.starts_at <= now and booked.bay_id is not None:
            await claims_store.trim_gaps(now, bay_ids=[booked.bay_id])


async def _choose(
    left: Sequence[ReservationView],
    station: StationView,
    now: datetime,
    *,
    zones: Zones,
    only: Collection[UUID] | None,
    avoid: Collection[UUID],
) -> dict[UUID, Place]:
    if station.safety_hold or not left:
        return {}
    here = {c.id: c for c in await stations.list_connectors(station_id=station.id)}
    leaving = {b.connector_id for b in left} if only is None else set()
    wanted = [
        c
        for c in here.values()
        if c.in_service and c.id not in avoid and c.id not in leaving and (not only or c.id in only)
    ]
    serving = await working(wanted)
    until = max(b.ends_at for b in left) + slots.LOOK_BEYOND
    places = await slots.places_of(serving, since=now - timedelta(days=1), until=until, now=now, zones=zones)
    taken = await _taken_bays(station.id)
    places = [
        Place(p.connector_id, p.bay_id, p.power, merge([*p.busy, Span(now - LOOK_AGAIN, now + STANDS_FOR)]))
        if p.bay_id in taken
        else p
        for p in places
    ]
    asked = [
        Moving(
            id=b.id,
            power=b.power,
            starts_at=max(b.starts_at, now),
            ends_at=b.ends_at,
            arrived=b.status == "checked_in",
            strong=_strong(here.get(b.connector_id), serving),
        )
        for b in left
    ]
    return decide_moves(asked, places, now=now, terms=terms_of(station.settings))


def _strong(mine: ConnectorView | None, others: Sequence[ConnectorView]) -> frozenset[UUID]:
    return frozenset(c.id for c in others if mine is None or c.max_power_w >= mine.max_power_w)


async def working(connectors: Sequence[ConnectorView]) -> list[ConnectorView]:
    """Return the connectors that are not known to be broken, silent or out."""
    ids = [c.id for c in connectors]
    states = await telemetry.connector_states(connector_ids=ids)
    out = await moves_store.list_out(ids)
    return [
        c for c in connectors if c.id not in out and (c.id not in states or states[c.id].status not in BROKEN_STATUSES)
    ]


async def _taken_bays(station_id: UUID) -> frozenset[UUID]:
    occupancy = await bays.bay_occupancy(station_id=station_id)
    return frozenset(bay_id for bay_id, bay in occupancy.items() if bay.state == "occupied")


async def _take(booked: ReservationView, before: ClaimView, place: Place, station: StationView, now: datetime) -> bool:
    """Insert the claim at its new place under its old id."""
    after = msgspec.structs.replace(
        before,
        connector_id=place.connector_id,
        bay_id=place.bay_id,
        starts_at=max(booked.starts_at, now),
        held_until=held_until(before.ends_at, terms_of(station.settings)),
    )
    if after.starts_at <= now:
        await claims_store.trim_gaps(
            now, connector_id=after.connector_id, bay_ids=[after.bay_id] if after.bay_id else []
        )
    return await claims_store.add_claim(after, now)


async def _settle_in(
    booked: ReservationView, place: Place, station: StationView, *, reason: MoveReason, actor: str, now: datetime
) -> None:
    await moves_store.save_place(booked.id, place.connector_id, place.bay_id, now)
    await _trace(booked, "moved", reason, actor, now, to=place)
    connector = await stations.get_connector(connector_id=place.connector_id)
    bay = None if place.bay_id is None else await stations.get_bay(bay_id=place.bay_id)
    if booked.status == "checked_in":
        if place.bay_id is not None:
            await bays.lower_lock(
                bay_id=place.bay_id,
                reason=f"booking moved: {reason}",
                actor=actor,
                now=now,
                keep_down_until=max(booked.hold_until, now + bays.OPEN_FOR),
            )
        if booked.bay_id is not None and booked.bay_id != place.bay_id:
            await bays.request_raise(bay_id=booked.bay_id, reason="booking moved away", actor=actor, now=now)
    await jobs.emit(
        ReservationMoved(
            reservation_id=booked.id,
            account_id=booked.account_id,
            station_id=booked.station_id,
            from_connector_id=booked.connector_id,
            connector_id=place.connector_id,
            reason=reason,
            at=now,
        ),
        now=now,
    )
    await notifications.notify(
        recipient=booked.account_id,
        event_key=f"reservation:{booked.id}:moved:{booked.sequence + 1}",
        template="reservation_relocated",
        params={
            "station": station.name,
            "bay": bay.code if bay is not None else f"{connector.charger_code}-{connector.number}",
            "starts": on_the_clock(booked.starts_at),
        },
        safety=False,
        now=now,
    )


async def _strand(booked: ReservationView, *, reason: MoveReason, actor: str, now: datetime) -> None:
    if not await moves_store.save_stranded(booked.id, now, now):
        return
    await _trace(booked, "stranded", reason, actor, now)
    await jobs.emit(
        BookingStranded(
            reservation_id=booked.id,
            account_id=booked.account_id,
            station_id=booked.station_id,
            connector_id=booked.connector_id,
            reason=reason,
            starts_at=booked.starts_at,
            at=now,
        ),
        now=now,
    )
    due = ReadyDue(reservation_id=booked.id)
    await jobs.schedule("reservations.ready", due, due_at=max(now + LOOK_AGAIN, booked.starts_at), now=now)


async def _trace(
    booked: ReservationView, outcome: str, reason: str, actor: str, now: datetime, *, to: Place | None = None
) -> None:
    await moves_store.add_move(
        moves_store.MoveView(
            id=new_id(),
            reservation_id=booked.id,
            station_id=booked.station_id,
            outcome=outcome,
            reason=reason,
            actor=actor[:60],
            from_connector_id=booked.connector_id,
            from_bay_id=booked.bay_id,
            to_connector_id=None if to is None else to.connector_id,
            to_bay_id=None if to is None else to.bay_id,
            at=now,
        )
    )


async def list_moves(*, reservation_id: UUID) -> list[moves_store.MoveView]:
    """Return where a booking was moved and why, oldest first."""
    return await moves_store.list_moves(reservation_id)


async def find_obstacle_of(*, booked: ReservationView, now: datetime) -> Obstacle | None:
    """Return why the booking's place cannot serve it now, or None."""
    station = await stations.get_station(station_id=booked.station_id)
    connector = await stations.get_connector(connector_id=booked.connector_id)
    state = (await telemetry.connector_states(connector_ids=[connector.id])).get(connector.id)
    bay = None if booked.bay_id is None else await bays.get_occupancy(bay_id=booked.bay_id)
    before = await moves_store.find_claim_before(connector.id, booked.bay_id, booked.starts_at, booked.claim_id)
    if before is not None and before[2] > now:
        return None  # whoever is there has their time still
    place = PlaceState(
        status=None if state is None else state.status,
        in_service=connector.in_service,
        safety_hold=station.safety_hold,
        bay="unknown" if bay is None else bay.state,
        bay_plate=None if bay is None else bay.plate_hash,
        bay_since=None if bay is None else bay.since,
        stayer=None if before is None else before[1],
    )
    return find_obstacle(
        place,
        plate=booked.plate_hash,
        arrived=booked.status == "checked_in",
        earliest_arrival=booked.starts_at - timedelta(seconds=station.settings.check_in_before_s),
        before_ends_at=None if before is None else before[2],
    )


async def check_ready(*, reservation_id: UUID, now: datetime) -> None:
    """Look at a booking's place shortly before its start and while it is unusable: move it, or strand it at the start.

    Looks again at the start, and then every minute while something is in the way. Idempotent.
    """
    booked = await store.find_reservation(reservation_id)
    if booked is None or booked.status not in OPEN or now >= booked.ends_at:
        return
    if booked.status == "confirmed" and now >= booked.hold_until:
        return  # the lapse decides
    if now < booked.starts_at - READY_BEFORE:
        await _look_again(booked, at=booked.starts_at - READY_BEFORE, now=now)
        return
    obstacle = await find_obstacle_of(booked=booked, now=now)
    if obstacle is None:
        if booked.stranded_at is not None:
            await restore(reservation_id=booked.id, now=now)
        if now < booked.starts_at:
            await _look_again(booked, at=booked.starts_at, now=now)
        return
    begun = now >= booked.starts_at
    async with db.transaction():
        became = await move_bookings(
            station_id=booked.station_id,
            reservation_ids=[booked.id],
            reason=obstacle,
            actor=ACTOR,
            now=now,
            strand=begun,
        )
        if became.moved and obstacle in ("overrun", "blocked"):
            await _let_stand(booked, now)
        if not became.moved:
            await _look_again(booked, at=now + LOOK_AGAIN if begun else booked.starts_at, now=now)


async def _look_again(booked: ReservationView, *, at: datetime, now: datetime) -> None:
    async with db.transaction():
        due = ReadyDue(reservation_id=booked.id)
        await jobs.schedule(
            "reservations.ready", due, due_at=at, now=now, dedupe_key=f"{booked.id}:{at.timestamp():.0f}"
        )


async def _let_stand(booked: ReservationView, now: datetime) -> None:
    """The car that stays holds the connector for a while, so that nobody is sold a place that is not there."""
    before = await moves_store.find_claim_before(booked.connector_id, booked.bay_id, booked.starts_at, booked.claim_id)
    if before is None:
        return
    try:
        await claims.extend_claim(claim_id=before[0], ends_at=now + STANDS_FOR, now=now)
    except (ConnectorTaken, VehicleElsewhere, NotFound):
        return  # somebody is due there soon: their own look at the place will tell


async def restore(*, reservation_id: UUID, now: datetime) -> None:
    """A stranded booking's place serves again."""
    async with db.transaction():
        booked = await store.find_reservation(reservation_id, lock=True)
        if booked is None or not await moves_store.save_stranded(reservation_id, None, now):
            return
        await _trace(booked, "restored", "fault", ACTOR, now)
        await jobs.emit(
            BookingRestored(
                reservation_id=booked.id, account_id=booked.account_id, station_id=booked.station_id, at=now
            ),
            now=now,
        )
