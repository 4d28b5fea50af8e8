"""Arrivals, waits and predicted waits; the queue is in `.queue`, the figures of operators in `.indicators`.

A wait runs from the arrival on site (or the slot's start if later) until a connector is usable (domain.md "The three
fives"). A car of a resident that only drives by is an arrival without a wait: only a booking, a place in the queue or a
session shows that somebody wanted to charge.
"""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID

import msgspec

from backend.agreements import service as agreements
from backend.agreements.service import cars
from backend.bays import service as bays
from backend.core import db, jobs
from backend.core.ids import new_id
from backend.reservations.rules.periods import open_until
from backend.reservations.service import bookings, claims
from backend.reservations.service.claims import terms_of
from backend.stations import service as stations
from backend.stations.rules.topology import ConnectorView, StationView
from backend.telemetry import service as telemetry
from backend.telemetry.service import ConnectorState
from backend.waiting import store, store_fallback
from backend.waiting.events import WaitRecorded
from backend.waiting.rules.waits import (
    Holder,
    UserClass,
    can_start_now,
    may_use,
    predict_wait,
    usable_from,
    wait_from,
    wait_seconds,
)
from backend.waiting.store import ArrivalRow

Source = Literal["plate", "app", "qr", "staff", "session"]
LOOK_AHEAD = timedelta(hours=24)
PASSED_AFTER = timedelta(minutes=30)
"""An arrival that shows no wish to charge within this time was only passing."""
LEFT_AFTER = timedelta(hours=4)
USABLE_STATUSES = frozenset({"available", "preparing"})


class ArrivalDue(msgspec.Struct, frozen=True, kw_only=True):
    """Payload of the timer `waiting.close_arrival`."""

    arrival_id: UUID


async def user_class_of(*, account_id: UUID, plate_hash: bytes, station: StationView, at: datetime) -> UserClass:
    """Return how somebody is served at a station: by a live booking, under an agreement, or as others are."""
    if await bookings.find_booking_of_plate(station_id=station.id, plate_hash=plate_hash, at=at) is not None:
        return "booking"
    agreement = await agreements.active_agreement(
        account_id=account_id, plate_hash=plate_hash, operator_company_id=station.operator_company_id, at=at
    )
    return "other" if agreement is None else "agreement"


async def record_arrival(
    *,
    station_id: UUID,
    plate_hash: bytes,
    source: Source,
    at: datetime,
    now: datetime,
    account_id: UUID | None = None,
    reservation_id: UUID | None = None,
    slot_starts_at: datetime | None = None,
) -> UUID | None:
    """Record that a resident's car is on site and return the arrival's id; None for a plate nobody here lists.

    Told twice (approach camera, then QR code), the first counts; a booking that is told later is added to it. Where a
    connector is usable at once, that is the end of the wait already.
    """
    station = await stations.get_station(station_id=station_id)
    if account_id is None:
        people = await cars.people_of_car(plate_hash=plate_hash, at=at)
        if not people:
            return None
        account_id = people[0]
    async with db.transaction():
        known = await store.find_open_arrival(station_id, plate_hash)
        if known is not None and known.reservation_id is None and at >= known.arrived_at + PASSED_AFTER:
            known = await _come_again(known, now)
        if known is None:
            user_class = await user_class_of(account_id=account_id, plate_hash=plate_hash, station=station, at=at)
            predicted = await predicted_waits(station_ids=[station_id], now=now)
            known = ArrivalRow(
                id=new_id(),
                station_id=station_id,
                operator_company_id=station.operator_company_id,
                plate_hash=plate_hash,
                account_id=account_id,
                reservation_id=None,
                session_id=None,
                source=source,
                user_class="booking" if reservation_id else user_class,
                arrived_at=at,
                counts_from=at,
                predicted_s=predicted.get(station_id),
                usable_at=None,
                connector_id=None,
                closed_at=None,
                outcome=None,
            )
            if not await store.add_arrival(known):
                return await record_arrival(
                    station_id=station_id,
                    plate_hash=plate_hash,
                    source=source,
                    at=at,
                    now=now,
                    account_id=account_id,
                    reservation_id=reservation_id,
                    slot_starts_at=slot_starts_at,
                )
            due = ArrivalDue(arrival_id=known.id)
            await jobs.schedule("waiting.close_arrival", due, due_at=at + PASSED_AFTER, now=now)
        if reservation_id is not None and known.reservation_id is None:
            known = msgspec.structs.replace(
                known,
                reservation_id=reservation_id,
                user_class="booking",
                counts_from=wait_from(arrived_at=known.arrived_at, slot_starts_at=slot_starts_at),
                usable_at=None,
                connector_id=None,
            )
        if known.usable_at is None and known.reservation_id is None and known.user_class != "booking":
            free = await usable_connectors(station=station, user_class=known.user_class, now=now)
            if free:
                known = msgspec.structs.replace(known, usable_at=at, connector_id=free[0].id)
        await store.save_arrival(known)
    return known.id


async def _come_again(known: ArrivalRow, now: datetime) -> ArrivalRow | None:
    """A car that is seen arriving again had left meanwhile, unless it is in the queue (then its wait goes on)."""
    if known.plate_hash is not None and await store.find_open_entry(known.plate_hash) is not None:
        return known
    outcome = "passed" if known.usable_at is not None else "left"
    await store.save_arrival(msgspec.structs.replace(known, closed_at=now, outcome=outcome))
    return None


async def connector_usable(*, arrival_id: UUID, connector_id: UUID, at: datetime, now: datetime) -> int | None:
    """Store the wait of an arrival that got its connector; returns its seconds, None for one that is closed.

    A connector that was usable earlier, though another one was then taken, ended the wait at that earlier time.
    """
    async with db.transaction():
        arrival = await store.find_arrival(arrival_id)
        if arrival is None or arrival.closed_at is not None:
            return None
        usable_at = max(min(arrival.usable_at or at, at), arrival.arrived_at)
        wait_s = wait_seconds(from_at=arrival.counts_from, usable_at=usable_at)
        await store.add_wait(arrival, connector_id=connector_id, usable_at=usable_at, wait_s=wait_s, now=now)
        served = msgspec.structs.replace(
            arrival, usable_at=usable_at, connector_id=connector_id, closed_at=now, outcome="served"
        )
        await store.save_arrival(served)
        await jobs.emit(
            WaitRecorded(
                arrival_id=arrival.id,
                station_id=arrival.station_id,
                connector_id=connector_id,
                user_class=arrival.user_class,
                wait_s=wait_s,
                at=usable_at,
            ),
            now=now,
        )
    return wait_s


async def check_booked_connector(*, arrival_id: UUID, at: datetime, now: datetime) -> None:
    """End the wait of a booking whose connector is usable: its charger is ready and no other car stands in its bay."""
    async with db.transaction():
        arrival = await store.find_arrival(arrival_id)
        if arrival is None or arrival.closed_at is not None or arrival.reservation_id is None:
            return
        if arrival.account_id is None:
            return
        booked = await bookings.get_reservation(account_id=arrival.account_id, reservation_id=arrival.reservation_id)
        state = (await telemetry.connector_states(connector_ids=[booked.connector_id])).get(booked.connector_id)
        if state is None or state.status not in USABLE_STATUSES:
            return
        if booked.bay_id is not None:
            bay = await bays.get_occupancy(bay_id=booked.bay_id)
            if bay.state == "occupied" and bay.plate_hash not in (None, arrival.plate_hash):
                return
        await connector_usable(arrival_id=arrival.id, connector_id=booked.connector_id, at=at, now=now)


async def serve_session(
    *,
    session_id: UUID,
    station_id: UUID,
    plate_hash: bytes,
    account_id: UUID,
    connector_id: UUID,
    asked_at: datetime,
    now: datetime,
) -> None:
    """A session shows at the latest that somebody is here and has a connector; without an arrival the wait was none.

    Each session belongs to one arrival: the open one, or the one whose wait ended with the check-in or the accepted
    offer. Idempotent.
    """
    async with db.transaction():
        if await store.has_session(session_id):
            return
        arrival = await store.find_open_arrival(station_id, plate_hash)
        if arrival is None:
            arrival = await store.find_served_arrival(station_id, plate_hash, asked_at - LEFT_AFTER)
        if arrival is None:
            arrival_id = await record_arrival(
                station_id=station_id,
                plate_hash=plate_hash,
                source="session",
                at=asked_at,
                now=now,
                account_id=account_id,
            )
            arrival = None if arrival_id is None else await store.find_arrival(arrival_id)
        if arrival is None:
            return
        await store.save_arrival(msgspec.structs.replace(arrival, session_id=session_id))
        await connector_usable(arrival_id=arrival.id, connector_id=connector_id, at=asked_at, now=now)


async def close_arrival(*, arrival_id: UUID, now: datetime) -> None:
    """Close an arrival nobody was served for.

    Where a connector was usable at once and was not used, the car only passed. With a booking, in the queue, or where
    nothing was usable, it may be waiting: it is given four hours, and has left then.
    """
    async with db.transaction():
        arrival = await store.find_arrival(arrival_id)
        if arrival is None or arrival.closed_at is not None or now < arrival.arrived_at + PASSED_AFTER:
            return
        queued = arrival.plate_hash is not None and await store.find_open_entry(arrival.plate_hash) is not None
        wants = arrival.reservation_id is not None or queued or arrival.usable_at is None
        if wants and now < arrival.arrived_at + LEFT_AFTER:
            due = ArrivalDue(arrival_id=arrival.id)
            await jobs.schedule("waiting.close_arrival", due, due_at=arrival.arrived_at + LEFT_AFTER, now=now)
            return
        outcome = "left" if wants else "passed"
        await store.save_arrival(msgspec.structs.replace(arrival, closed_at=now, outcome=outcome))


async def usable_connectors(
    *, station: StationView, user_class: UserClass, now: datetime, power: str | None = None
) -> list[ConnectorView]:
    """Return the connectors somebody of this class could use now for at least the shortest slot."""
    if station.safety_hold or open_until(now, terms_of(station.settings)) is None:
        return []
    open_now = await _outlook([station], now)
    occupied = {
        bay_id for bay_id, bay in (await bays.bay_occupancy(station_id=station.id)).items() if bay.state == "occupied"
    }
    return [
        connector
        for connector, usable_at in open_now[station.id]
        if power in (None, connector.kind)
        and can_start_now(
            usable_at=usable_at,
            now=now,
            user_class=user_class,
            zone=connector.zone,
            bay_ids=connector.bay_ids,
            occupied=occupied,
        )
    ]


async def predicted_waits(*, station_ids: Sequence[UUID], now: datetime) -> dict[UUID, int]:
    """Return the seconds the next arrival of an agreement resident will wait, by station; absent where unknown.

    From running sessions (what the car says it still needs), claims, vacate gaps and the queue. Stations without
    devices, or whose chargers are all silent, are unknown.
    """
    found = await stations.list_stations_of(station_ids=station_ids)
    outlook = await _outlook([station for station in found if station.has_devices], now)
    ahead: dict[UUID, int] = defaultdict(int)
    for entry in await store.list_open_entries(station_ids):
        if entry.status == "waiting" and entry.user_class != "other":
            ahead[entry.station_id] += 1
    waits: dict[UUID, int] = {}
    for station_id, connectors in outlook.items():
        predicted = predict_wait([usable_at for _, usable_at in connectors], ahead=ahead[station_id], now=now)
        if predicted is not None:
            waits[station_id] = predicted
    return waits


async def predicted_wait_behind(*, station_id: UUID, ahead: int, user_class: UserClass, now: datetime) -> int | None:
    """Return the seconds somebody of this class waits behind so many others, or None where unknown."""
    found = await stations.list_stations_of(station_ids=[station_id])
    outlook = await _outlook([station for station in found if station.has_devices], now)
    usable = [
        at for connector, at in outlook.get(station_id, []) if may_use(user_class=user_class, zone=connector.zone)
    ]
    return predict_wait(usable, ahead=ahead, now=now)


async def _outlook(found: Sequence[StationView], now: datetime) -> dict[UUID, list[tuple[ConnectorView, datetime]]]:
    """Return, by station, the connectors whose state is known and when each is next usable."""
    by_station: dict[UUID, list[ConnectorView]] = {station.id: [] for station in found}
    for connector in await stations.list_connectors_of(station_ids=list(by_station)):
        by_station[connector.station_id].append(connector)
    ids = [connector.id for connectors in by_station.values() for connector in connectors if connector.in_service]
    states = await telemetry.connector_states(connector_ids=ids)
    held: dict[UUID, list[Holder]] = defaultdict(list)
    for claim in await claims.claims_at_stations(station_ids=list(by_station), starts_at=now, ends_at=now + LOOK_AHEAD):
        remaining = _remaining(states.get(claim.connector_id))
        held[claim.connector_id].append(Holder(claim.starts_at, claim.ends_at, claim.held_until, remaining))
    outlook: dict[UUID, list[tuple[ConnectorView, datetime]]] = {}
    for station in found:
        terms = terms_of(station.settings)
        outlook[station.id] = [
            (
                connector,
                usable_from(
                    held[connector.id],
                    now=now,
                    shortest=terms.shortest,
                    gap=terms.gap,
                    free_now=states[connector.id].status == "available",
                ),
            )
            for connector in by_station[station.id]
            if connector.id in states and states[connector.id].status not in ("unknown", "faulted", "unavailable")
        ]
    return outlook


def _remaining(state: ConnectorState | None) -> timedelta | None:
    if state is None or state.status != "charging" or state.remaining_min is None:
        return None
    return timedelta(minutes=state.remaining_min)


async def export_personal_data(*, account_id: UUID) -> dict[str, object]:
    """Return the account's arrivals, its places in queues, and what was done about waits that were too long."""
    return {
        "arrivals": await store.list_personal(account_id),
        "queues": await store.list_personal_queues(account_id),
        "fallback_plans": await store_fallback.list_personal(account_id),
    }


async def erase_personal_data(*, account_id: UUID, now: datetime) -> None:
    """Take the account out of arrivals and queues; waits stay without a name."""
    async with db.transaction():
        await store.erase(account_id, now)
        await store_fallback.forget_account(account_id, now)
