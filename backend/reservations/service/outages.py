"""Connectors that cannot serve: faults, works, and claims that have to grow over the next ones. Bookings move first."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import msgspec

from backend.core import db, jobs
from backend.reservations.rules.moves import OUTAGE_HORIZON, READY_BEFORE, MoveReason
from backend.reservations.rules.periods import ceil_to, held_until
from backend.reservations.rules.words import ClaimView, ReservationView
from backend.reservations.service import claims, moving, slots
from backend.reservations.service.claims import ConnectorTaken, VehicleElsewhere, terms_of
from backend.reservations.store import claims as claims_store
from backend.reservations.store import moves as moves_store
from backend.stations import service as stations
from backend.telemetry import service as telemetry

FAULT_SETTLES = timedelta(minutes=1)
"""A fault that is over within this time moves nobody."""
OUTAGE_LOOK = timedelta(minutes=30)
FOR_GOOD = datetime.max.replace(tzinfo=UTC)


class OutageDue(msgspec.Struct, frozen=True, kw_only=True):
    """Payload of the timer `reservations.outage`."""

    connector_id: UUID


async def connector_failed(*, connector_id: UUID, now: datetime) -> bool:
    """Move the bookings off a connector that is still broken; says whether it is. Idempotent.

    Off a broken one those of the next hours, because it may be repaired; off one that was taken out of service all.
    Whoever cannot be moved enters the fallback plan when the slot is near: later ones are tried again until then.
    """
    connector = await stations.get_connector(connector_id=connector_id)
    state = (await telemetry.connector_states(connector_ids=[connector_id])).get(connector_id)
    broken = not connector.in_service or (state is not None and state.status in ("faulted", "unavailable"))
    if not broken:
        return False
    reason: MoveReason = "fault" if connector.in_service else "out_of_service"
    async with db.transaction():
        await claims_store.lock_station_claims(connector.station_id)
        await moves_store.open_outage(connector_id, connector.station_id, reason, now)
        near = now + OUTAGE_HORIZON
        due = await moves_store.list_held_by([connector_id], now, near if connector.in_service else FOR_GOOD)
        waiting = [b for b in due if b.stranded_at is None]
        for strand in (True, False):
            await moving.move_bookings(
                station_id=connector.station_id,
                reservation_ids=[b.id for b in waiting if (b.starts_at < near) is strand],
                reason=reason,
                actor=moving.ACTOR,
                now=now,
                strand=strand,
            )
        again = OutageDue(connector_id=connector_id)
        at = ceil_to(now + OUTAGE_LOOK / 2, OUTAGE_LOOK)  # on the half hour: several faults make one round of looks
        await jobs.schedule("reservations.outage", again, due_at=at, now=now, dedupe_key=f"{connector_id}:{at}")
    return True


async def connector_works(*, connector_id: UUID, now: datetime) -> None:
    """A connector serves again: its outage ends, and whoever was stranded there is not any more."""
    async with db.transaction():
        if not await moves_store.close_outage(connector_id, now):
            return
        for reservation_id in await moves_store.list_stranded(connector_id):
            await moving.restore(reservation_id=reservation_id, now=now)


async def plan_maintenance(
    *, connector_id: UUID, starts_at: datetime, ends_at: datetime, actor: str, now: datetime
) -> tuple[UUID, moving.Moved]:
    """Hold a connector for works: the bookings in the period move first, in the same transaction.

    Returns the maintenance claim and what became of the bookings. Raises BookingsInTheWay when one of them has no
    equivalent place, ConnectorTaken when somebody charges there then.
    """
    connector = await stations.get_connector(connector_id=connector_id)
    async with db.transaction():
        await claims_store.lock_station_claims(connector.station_id)
        due = await moves_store.list_held_by([connector_id], starts_at - OUTAGE_HORIZON, ends_at)
        meets = [b.id for b in due if await _meets(b, starts_at, ends_at)]
        became = await moving.move_bookings(
            station_id=connector.station_id,
            reservation_ids=meets,
            reason="maintenance",
            actor=actor,
            now=now,
            all_or_nothing=True,
        )
        claim_id = await claims.claim(
            connector_id=connector_id,
            plate_hash=None,
            starts_at=starts_at,
            ends_at=ends_at,
            kind="maintenance",
            reference_id=None,
            now=now,
        )
    return claim_id, became


async def _meets(booked: ReservationView, starts_at: datetime, ends_at: datetime) -> bool:
    claim = await claims_store.find_claim(booked.claim_id)
    return claim is not None and claim.starts_at < ends_at and claim.held_until > starts_at


async def overrun(*, claim_id: UUID, now: datetime) -> moving.Moved:
    """A car is still there though the time of its claim, and half of the gap after it, is over: make room for it.

    The bookings of the next half hour that it stands in the way of move first, told and traced; who cannot be moved
    keeps the place while the car may still leave, and enters the fallback plan when the slot begins. All in one
    transaction. The claim then holds the connector for that half hour, where nothing else does. Repeated every minute
    by whoever watches the car; a claim that is not over, or was given back, changes nothing.
    """
    async with db.transaction():
        first = await claims_store.find_claim(claim_id)
        if first is None:
            return moving.Moved()
        await claims_store.lock_station_claims(first.station_id)
        present = await claims_store.find_claim(claim_id, lock=True)
        if present is None or now < max(present.ends_at, present.held_until - READY_BEFORE):
            return moving.Moved()
        until = now + moving.STANDS_FOR
        in_the_way = await _in_the_way(present, until, now)
        became = moving.Moved()
        for strand in (True, False):
            part = await moving.move_bookings(
                station_id=present.station_id,
                reservation_ids=[b.id for b in in_the_way if (b.starts_at <= now) is strand and b.stranded_at is None],
                reason="overrun",
                actor=moving.ACTOR,
                now=now,
                strand=strand,
            )
            became = moving.Moved(moved=became.moved + part.moved, stranded=became.stranded + part.stranded)
        try:
            await claims.extend_claim(claim_id=claim_id, ends_at=until, now=now)
        except (ConnectorTaken, VehicleElsewhere):
            return became  # somebody who could not be moved, or the car's own next booking, holds what follows
    return became


async def _in_the_way(present: ClaimView, ends_at: datetime, now: datetime) -> list[ReservationView]:
    """The open bookings that a claim would meet if it ended then, by start."""
    terms = terms_of((await stations.get_station(station_id=present.station_id)).settings)
    bay_ids = [present.bay_id] if present.bay_id else []
    due = await moves_store.list_held_by(
        [present.connector_id], present.ends_at, now + slots.LOOK_BEYOND, bay_ids=bay_ids
    )
    held = held_until(ends_at, terms)
    return [b for b in due if b.claim_id != present.id and b.starts_at < held]
