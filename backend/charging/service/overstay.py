"""Watch a car that stays after charging: look at the zone every minute, warn, and close the bill at the fee's cap."""

from datetime import datetime, timedelta
from uuid import UUID

from backend.bays import service as bays
from backend.charging import store
from backend.charging.service import orders
from backend.charging.service.sessions import SessionTimer
from backend.charging.store import SessionView
from backend.core import db, jobs
from backend.notifications import service as notifications
from backend.reservations.service import outages
from backend.stations import service as stations
from backend.stations.rules.topology import StationView
from backend.telemetry import service as telemetry

LOOK_EVERY = timedelta(minutes=1)
FOLLOW_FOR = timedelta(days=2)
"""A bill does not stay open for ever when no device can tell that the car has left."""


async def follow(*, session_id: UUID, now: datetime) -> None:
    """Look once at a car that stays: is it gone, who waits, what is owed, what has to be said; then look again.

    The look is stored, because the operator has to show that another connector was not free (domain.md "Money").
    """
    session = await store.find_session(session_id)
    if session is None or session.status != "ended" or session.left_at is not None or session.ended_at is None:
        return
    station = await stations.get_station(station_id=session.station_id)
    if await _is_gone(session):
        await orders.car_left(session_id=session_id, at=now, now=now)
        return
    if now - session.ended_at >= FOLLOW_FOR:
        # Parking is not charged for a stay that nothing tells of.
        seen = await _is_there(session)
        await orders.car_left(session_id=session_id, at=now if seen else session.ended_at, now=now)
        return
    looks = await store.list_looks(session_id)
    if looks and now - looks[-1].at < LOOK_EVERY / 2:
        return  # a repeated job: its twin has looked and goes on
    order = await orders.find_order_of_session(session_id=session_id)
    if order is not None and order.closed_at is not None:
        return
    if session.claim_id is not None:
        await outages.overrun(claim_id=session.claim_id, now=now)
    other_free = await is_another_free(session)
    async with db.transaction():
        await store.add_look(session_id, now, other_free)
        await _warn(session, station, now)
        await jobs.schedule("charging.follow_car", SessionTimer(session_id), due_at=now + LOOK_EVERY, now=now)
    await orders.close_if_due(session_id=session_id, now=now)


async def _is_gone(session: SessionView) -> bool:
    """Whether the bay is known to be empty; where no device watches it, whether the gun is back in its place."""
    connector = await stations.get_connector(connector_id=session.connector_id)
    occupancy = await bays.bay_occupancy(station_id=session.station_id)
    seen = [occupancy[bay_id].state for bay_id in connector.bay_ids if bay_id in occupancy]
    if "occupied" in seen:
        return False
    if "free" in seen and "unknown" not in seen:
        return True
    states = await telemetry.connector_states(connector_ids=[session.connector_id])
    state = states.get(session.connector_id)
    return state is not None and state.status == "available"


async def _is_there(session: SessionView) -> bool:
    """Whether a device says that the car still stands there: its bay is occupied, or the gun is in a car."""
    connector = await stations.get_connector(connector_id=session.connector_id)
    occupancy = await bays.bay_occupancy(station_id=session.station_id)
    if any(occupancy[bay_id].state == "occupied" for bay_id in connector.bay_ids if bay_id in occupancy):
        return True
    states = await telemetry.connector_states(connector_ids=[session.connector_id])
    state = states.get(session.connector_id)
    return state is not None and state.online and state.status in ("finishing", "preparing")


async def is_another_free(session: SessionView) -> bool:
    """Whether another connector of the same station, zone and kind could be used now."""
    connectors = await stations.list_connectors(station_id=session.station_id)
    mine = next(c for c in connectors if c.id == session.connector_id)
    alike = [c for c in connectors if c.zone == mine.zone and c.kind == mine.kind and c.in_service]
    others = [c.id for c in alike if c.id != mine.id]
    states = await telemetry.connector_states(connector_ids=others)
    return any(state.status == "available" for state in states.values())


async def _warn(session: SessionView, station: StationView, now: datetime) -> None:
    """Send the warnings that are due, each once: at the end, then as the station's numbers say, then at the fee."""
    ended_at = session.ended_at or now
    fee_from = await orders.fee_from(session)
    due = [n for n, s in enumerate(station.settings.overstay_warnings_s) if now >= ended_at + timedelta(seconds=s)]
    if now >= fee_from:
        await notifications.notify(
            recipient=session.account_id,
            event_key=f"session:{session.id}:overstay-fee",
            template="overstay_started",
            params={"station": station.name},
            safety=False,
            now=now,
        )
    elif due:
        minutes = -((now - fee_from) // timedelta(minutes=1))  # rounded up
        await notifications.notify(
            recipient=session.account_id,
            event_key=f"session:{session.id}:overstay-{due[-1]}",
            template="overstay_warning",
            params={"station": station.name, "minutes": minutes},
            safety=False,
            now=now,
        )


async def bay_freed(*, bay_id: UUID, at: datetime, now: datetime) -> None:
    """A bay is empty: close the bills of the cars that charged there and have ended."""
    bay = await stations.get_bay(bay_id=bay_id)
    await check_gone(connector_ids=list(bay.connector_ids), at=at, now=now)


async def check_gone(*, connector_ids: list[UUID], at: datetime, now: datetime) -> None:
    """Close the bills of cars that ended on these connectors, if they are gone by now."""
    for session in await store.list_staying(connector_ids=connector_ids):
        if await _is_gone(session):
            await orders.car_left(session_id=session.id, at=at, now=now)
