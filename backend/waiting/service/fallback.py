"""The fallback plan of one resident: runs by itself, step after step, each told, traced and limited in time.

It begins when a booking is stranded, or when somebody on site who wants to charge is predicted to wait more than five
minutes; it ends as soon as a connector is usable, whatever step it was at.
"""

from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID

import msgspec

from backend.charging.service import credits
from backend.core import db, jobs
from backend.core.errors import Conflict, NotFound
from backend.core.ids import new_id
from backend.notifications import service as notifications
from backend.reservations.rules.words import OPEN as OPEN_BOOKING
from backend.reservations.rules.words import ReservationView
from backend.reservations.service import bookings, claims, moving, relocating
from backend.stations import service as stations
from backend.stations.rules.topology import StationView
from backend.waiting import service as waiting
from backend.waiting import store, store_fallback
from backend.waiting.rules.fallback import Outcome, PlanStatus, answer_by, must_run, next_step, owes_compensation
from backend.waiting.service import queue
from backend.waiting.service.queue import WatchDue
from backend.waiting.store import ArrivalRow
from backend.waiting.store_fallback import PlanRow, StepRow

ACTOR = "fallback"
LOOK_EVERY = timedelta(minutes=1)
DRIVE_OVER = timedelta(minutes=15)
"""How long a place at another station is kept for a car that has no booking and says it comes."""
NEIGHBOURS_M = 500
COMPENSATION_FEN = 500
COMPENSATION_LASTS = timedelta(days=90)
PROMISE_S = 300
Cause = Literal["stranded", "predicted"]


class NoFallbackOffer(Conflict):
    """Nothing is offered (any more) by this plan."""

    code = "no_fallback_offer"
    title_en = "There is nothing to answer"
    title_zh = "当前没有待确认的替代方案"
    detail_en = "The offer has expired, was answered, or none was made; the plan is {status}."
    detail_zh = "该替代方案已过期、已答复或尚未提供，当前状态：{status}。"


class AnswerDue(msgspec.Struct, frozen=True, kw_only=True):
    """Payload of the timer `waiting.fallback_due`."""

    plan_id: UUID


class PlanView(msgspec.Struct, frozen=True, kw_only=True):
    """A plan with its trace."""

    plan: PlanRow
    steps: tuple[StepRow, ...]


async def watch(*, arrival_id: UUID, now: datetime) -> None:
    """Look at somebody on site who waits; begin the plan when the promise is about to break, else look again."""
    async with db.transaction():
        arrival = await store.find_arrival(arrival_id)
        if arrival is None or arrival.closed_at is not None or arrival.user_class == "other":
            return
        if arrival.plate_hash is None or arrival.account_id is None or now >= arrival.arrived_at + waiting.LEFT_AFTER:
            return
        if await store_fallback.find_open_plan(arrival.plate_hash) is not None:
            return
        station = await stations.get_station(station_id=arrival.station_id)
        if must_run(
            waited=now - arrival.counts_from,
            expected=await _expected(arrival, now),
            promise=timedelta(seconds=station.settings.max_wait_s),
            look_every=LOOK_EVERY,
        ):
            await _begin(arrival, station, now)
            return
        due = WatchDue(arrival_id=arrival_id)
        at = max(now + LOOK_EVERY, arrival.counts_from)
        await jobs.schedule("waiting.watch_wait", due, due_at=at, now=now, dedupe_key=f"{arrival_id}:{at.timestamp()}")


async def _expected(arrival: ArrivalRow, now: datetime) -> timedelta | None:
    """How long somebody will still wait; a booking's place is looked at by the booking itself (None: not known)."""
    if arrival.reservation_id is not None:
        return None
    waits = await waiting.predicted_waits(station_ids=[arrival.station_id], now=now)
    seconds = waits.get(arrival.station_id)
    return None if seconds is None else timedelta(seconds=seconds)


async def _begin(arrival: ArrivalRow, station: StationView, now: datetime) -> None:
    plan = PlanRow(
        id=new_id(),
        station_id=station.id,
        operator_company_id=station.operator_company_id,
        account_id=arrival.account_id,
        plate_hash=arrival.plate_hash,
        reservation_id=arrival.reservation_id,
        arrival_id=arrival.id,
        cause="predicted",
        status="running",
        step="resident_connector",
        opened_at=now,
    )
    if await store_fallback.add_plan(plan):
        await _run(plan, station, now)


async def booking_stranded(*, reservation_id: UUID, now: datetime) -> None:
    """Begin the plan of a booking whose place cannot serve it. Idempotent."""
    async with db.transaction():
        booked = await bookings.find_reservation(reservation_id=reservation_id)
        if booked is None or booked.status not in OPEN_BOOKING or booked.stranded_at is None:
            return
        station = await stations.get_station(station_id=booked.station_id)
        arrival = await store.find_open_arrival(booked.station_id, booked.plate_hash)
        plan = PlanRow(
            id=new_id(),
            station_id=station.id,
            operator_company_id=station.operator_company_id,
            account_id=booked.account_id,
            plate_hash=booked.plate_hash,
            reservation_id=booked.id,
            arrival_id=None if arrival is None else arrival.id,
            cause="stranded",
            status="running",
            step="resident_connector",
            opened_at=now,
        )
        if await store_fallback.add_plan(plan):
            await _run(plan, station, now)


async def _run(plan: PlanRow, station: StationView, now: datetime) -> None:
    """Try the steps from the plan's own on until one works or waits for an answer."""
    booked = None
    if plan.reservation_id is not None:
        booked = await bookings.find_reservation(reservation_id=plan.reservation_id)
    while True:
        if plan.step in ("resident_connector", "public_connector"):
            if await _try_here(plan, booked, station, now):
                return
        elif plan.step == "other_station":
            if await _offer_elsewhere(plan, booked, station, now):
                return
        else:
            await _compensate(plan, station, now)
            return
        await _note(plan, "impossible", now)
        following = next_step(plan.step)
        assert following is not None
        plan = msgspec.structs.replace(plan, step=following)


async def _try_here(plan: PlanRow, booked: ReservationView | None, station: StationView, now: datetime) -> bool:
    """Steps one and two: the booking moves at once; without a booking the queue offers what is free."""
    zone: Literal["resident", "public"] = "resident" if plan.step == "resident_connector" else "public"
    if booked is not None:
        became = await moving.move_bookings(
            station_id=station.id,
            reservation_ids=[booked.id],
            reason="blocked",
            actor=ACTOR,
            now=now,
            zones=frozenset({zone}),
            strand=False,
        )
        if not became.moved:
            return False
        moved = await bookings.find_reservation(reservation_id=booked.id)
        await _note(plan, "moved", now, station_id=station.id, connector_id=moved.connector_id if moved else None)
        await _end(plan, "moved", now)
        return True
    if plan.plate_hash is None:
        return False
    await queue.offer_free(station_id=station.id, now=now)
    entry = await store.find_open_entry(plan.plate_hash)
    if entry is None or entry.status not in ("offered", "accepted") or entry.offer_connector_id is None:
        return False
    connector = await stations.get_connector(connector_id=entry.offer_connector_id)
    if connector.zone != zone:
        return False
    await _note(plan, "moved", now, station_id=station.id, connector_id=connector.id)
    await _end(plan, "moved", now)
    return True


async def _offer_elsewhere(plan: PlanRow, booked: ReservationView | None, station: StationView, now: datetime) -> bool:
    """Step three: hold a place at the nearest station of the company and ask."""
    if plan.account_id is None:
        return False
    near = await stations.pilot_stations_within(lat=station.lat, lng=station.lng, radius_m=NEIGHBOURS_M)
    starts_at = now if booked is None else max(booked.starts_at, now)
    ends_at = now + DRIVE_OVER + answer_time(station) if booked is None else booked.ends_at
    for other, _distance in sorted(near, key=lambda pair: pair[1]):
        if other.id == station.id or other.operator_company_id != station.operator_company_id:
            continue
        held = await relocating.hold_elsewhere(
            station=other,
            power=None if booked is None else booked.power,
            starts_at=starts_at,
            ends_at=max(ends_at, starts_at + timedelta(minutes=30)),
            reference_id=plan.id,
            now=now,
        )
        if held is None:
            continue
        due_at = answer_by(now=now, starts_at=starts_at, shortest=answer_time(station))
        offered = msgspec.structs.replace(
            plan,
            status="offered",
            offer_station_id=other.id,
            offer_connector_id=held.connector_id,
            offer_claim_id=held.id,
            due_at=due_at,
        )
        await store_fallback.save_plan(offered)
        await _note(offered, "offered", now, station_id=other.id, connector_id=held.connector_id, due_at=due_at)
        await jobs.schedule("waiting.fallback_due", AnswerDue(plan_id=plan.id), due_at=due_at, now=now)
        await notifications.notify(
            recipient=plan.account_id,
            event_key=f"fallback:{plan.id}:other_station",
            template="fallback_other_station",
            params={"station": other.name, "minutes": max(1, int((due_at - now).total_seconds() // 60))},
            safety=False,
            now=now,
        )
        return True
    return False


def answer_time(station: StationView) -> timedelta:
    """Return the usual time to answer an offer from elsewhere."""
    return timedelta(seconds=station.settings.offer_remote_s)


async def _compensate(plan: PlanRow, station: StationView, now: datetime) -> None:
    """Step four: a discount on the next bill."""
    if plan.account_id is not None:
        reference = f"reservation:{plan.reservation_id}" if plan.reservation_id else f"arrival:{plan.arrival_id}"
        await grant(account_id=plan.account_id, station=station, reference=reference, now=now)
    await _note(plan, "granted", now)
    await _end(plan, "compensated", now)


async def grant(*, account_id: UUID, station: StationView, reference: str, now: datetime) -> bool:
    """Promise the compensation once per booking or arrival, and tell it."""
    granted = await credits.grant(
        account_id=account_id,
        operator_company_id=station.operator_company_id,
        amount_fen=COMPENSATION_FEN,
        reference=reference,
        expires_at=now + COMPENSATION_LASTS,
        now=now,
    )
    if granted:
        await notifications.notify(
            recipient=account_id,
            event_key=f"compensation:{reference}",
            template="fallback_compensation",
            params={"station": station.name, "total_yuan": f"{COMPENSATION_FEN / 100:.2f}"},
            safety=False,
            now=now,
        )
    return granted


async def wait_ended(*, arrival_id: UUID, now: datetime) -> None:
    """A wait is over: the plan ends, and a promise that was broken is made good."""
    async with db.transaction():
        arrival = await store.find_arrival(arrival_id)
        if arrival is None:
            return
        if arrival.plate_hash is not None:
            plan = await store_fallback.find_open_plan(arrival.plate_hash)
            if plan is not None and plan.station_id == arrival.station_id:
                await _end(plan, "served", now)
        wait_s = int(((arrival.usable_at or now) - arrival.counts_from).total_seconds())
        if arrival.account_id is not None and owes_compensation(
            user_class=arrival.user_class, wait_s=wait_s, promise_s=PROMISE_S
        ):
            station = await stations.get_station(station_id=arrival.station_id)
            key = f"reservation:{arrival.reservation_id}" if arrival.reservation_id else f"arrival:{arrival.id}"
            await grant(account_id=arrival.account_id, station=station, reference=key, now=now)


async def booking_over(*, reservation_id: UUID, status: PlanStatus, now: datetime) -> None:
    """The booking of a plan is served, restored or given back."""
    async with db.transaction():
        plan = await store_fallback.find_plan_of_reservation(reservation_id)
        if plan is not None:
            await _end(plan, status, now)


async def answer(*, account_id: UUID, plan_id: UUID, accept: bool, now: datetime) -> PlanView:
    """Take or refuse the place at another station; raises NotFound, NoFallbackOffer."""
    async with db.transaction():
        plan = await store_fallback.find_plan(plan_id, lock=True)
        if plan is None or plan.account_id != account_id:
            raise NotFound(kind="fallback_plan")
        if plan.status != "offered" or plan.due_at is None or now >= plan.due_at or plan.offer_claim_id is None:
            raise NoFallbackOffer(status=plan.status)
        if accept:
            await _go(plan, now)
        else:
            await _give_up(plan, "declined", now)
    return await read(account_id=account_id, plan_id=plan_id)


async def _go(plan: PlanRow, now: datetime) -> None:
    assert plan.offer_claim_id is not None
    if plan.reservation_id is not None:
        await relocating.relocate(reservation_id=plan.reservation_id, claim_id=plan.offer_claim_id, now=now)
    elif plan.plate_hash is not None:
        entry = await store.find_open_entry(plan.plate_hash)
        if entry is not None and plan.account_id is not None:
            await queue.leave(account_id=plan.account_id, entry_id=entry.id, now=now)
        await relocating.take_offer(
            claim_id=plan.offer_claim_id, plate_hash=plan.plate_hash, ends_at=now + DRIVE_OVER, now=now
        )
    await _note(plan, "accepted", now, station_id=plan.offer_station_id, connector_id=plan.offer_connector_id)
    closed = msgspec.structs.replace(plan, status="relocated", closed_at=now)
    await store_fallback.save_plan(closed)


async def answer_overdue(*, plan_id: UUID, now: datetime) -> None:
    """Nobody answered in time, by the stored time: the next step."""
    async with db.transaction():
        plan = await store_fallback.find_plan(plan_id, lock=True)
        if plan is None or plan.status != "offered" or plan.due_at is None or now < plan.due_at:
            return
        await _give_up(plan, "expired", now)


async def _give_up(plan: PlanRow, outcome: Outcome, now: datetime) -> None:
    await _note(plan, outcome, now, station_id=plan.offer_station_id, connector_id=plan.offer_connector_id)
    await _let_go(plan, now)
    following = next_step(plan.step)
    assert following is not None
    after = msgspec.structs.replace(
        plan,
        status="running",
        step=following,
        offer_station_id=None,
        offer_connector_id=None,
        offer_claim_id=None,
        due_at=None,
    )
    await _run(after, await stations.get_station(station_id=plan.station_id), now)


async def _let_go(plan: PlanRow, now: datetime) -> None:
    if plan.offer_claim_id is not None:
        await claims.release_claim(claim_id=plan.offer_claim_id, now=now)


async def _end(plan: PlanRow, status: PlanStatus, now: datetime) -> None:
    if plan.status == "offered":
        await _let_go(plan, now)
    ended = msgspec.structs.replace(
        plan,
        status=status,
        closed_at=now,
        offer_station_id=None,
        offer_connector_id=None,
        offer_claim_id=None,
        due_at=None,
    )
    await store_fallback.save_plan(ended)


async def _note(
    plan: PlanRow,
    outcome: Outcome,
    now: datetime,
    *,
    station_id: UUID | None = None,
    connector_id: UUID | None = None,
    due_at: datetime | None = None,
) -> None:
    line = StepRow(
        step=plan.step, outcome=outcome, station_id=station_id, connector_id=connector_id, due_at=due_at, at=now
    )
    await store_fallback.add_step(plan.id, line)


async def read(*, account_id: UUID, plan_id: UUID) -> PlanView:
    """Return the account's plan with its trace; raises NotFound."""
    plan = await store_fallback.find_plan(plan_id)
    if plan is None or plan.account_id != account_id:
        raise NotFound(kind="fallback_plan")
    return PlanView(plan=plan, steps=tuple((await store_fallback.list_steps([plan_id]))[plan_id]))


async def list_own(*, account_id: UUID, limit: int = 50) -> list[PlanView]:
    """Return the account's plans with their traces, newest first."""
    plans = await store_fallback.list_plans(account_id, limit)
    steps = await store_fallback.list_steps([plan.id for plan in plans])
    return [PlanView(plan=plan, steps=tuple(steps[plan.id])) for plan in plans]
