"""Residents and an incident: who is told to stay away, who lives next to it, and the all-clear to the same people.

The people on duty are called first. Whoever has a car there or is expected there is told by a job right behind; then
the neighbours, who may be thousands, a few hundred in a transaction.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final, Literal, TypeAlias
from uuid import UUID

import msgspec

from backend.agreements.service import cars
from backend.alerts import store_incidents
from backend.alerts.rules.incidents import HANDLED
from backend.bays import service as bays
from backend.charging.service import sessions
from backend.core import db, jobs
from backend.notifications import service as notifications
from backend.notifications.rules.channels import NEIGHBOUR_CHAIN
from backend.reservations.rules.words import OPEN
from backend.reservations.service import bookings, claims
from backend.stations import service as stations

STAY_AWAY = ("danger_stay_away", "danger_nearby")
EXPECTED_WITHIN = timedelta(hours=3)
"""Whoever is booked to begin within this is told not to come."""
AT_A_TIME = 200
CONFIRMED: Final = "danger_neighbours_confirmed"

NeighbourWord: TypeAlias = Literal["danger_neighbours", "danger_neighbours_confirmed", "all_clear_nearby"]


class ResidentsDue(msgspec.Struct, frozen=True):
    """Payload of the job `alerts.tell_residents`."""

    incident_id: UUID


class NeighboursDue(msgspec.Struct, frozen=True):
    """Payload of the job `alerts.tell_neighbours`: what is said, and to whom beyond the account told last."""

    incident_id: UUID
    word: NeighbourWord
    after: UUID | None = None


async def tell_residents(*, due: ResidentsDue, now: datetime) -> None:
    """Tell whoever has a car at the station or is expected there to stay away, then the compounds around it.

    A job of its own right behind the alarm's transaction: the people on duty are not to wait until all of them are
    found. It does nothing once people have ended the incident; a further alarm tells those who came since.
    """
    async with db.transaction():
        incident = await store_incidents.find_incident(due.incident_id, lock=True)
        if incident is None or incident.status not in HANDLED:
            return
        station = await stations.get_station(station_id=incident.station_id)
        there = await residents_there(station_id=station.id, now=now)
        expected = await residents_expected(station_id=station.id, there=there, now=now)
        before = set(await _told(incident.id, STAY_AWAY))
        for template, people in (("danger_stay_away", there), ("danger_nearby", expected)):
            told = [account_id for account_id in people if account_id not in before]
            await notifications.warn(
                recipients=told,
                event_key=f"incident:{incident.id}:stay-away",
                template=template,
                params={"station": station.name},
                now=now,
            )
            details = [{"account_id": str(account_id)} for account_id in told]
            await store_incidents.add_steps(incident.id, at=now, kind="message", what=template, details=details)
        await _schedule(NeighboursDue(incident.id, CONFIRMED if incident.confirmed else "danger_neighbours"), now)


async def give_all_clear(*, incident_id: UUID, station_id: UUID, now: datetime) -> None:
    """Tell everybody who was told of the incident that it is over. Belongs inside its transaction."""
    station = await stations.get_station(station_id=station_id)
    told = {what: await _told(incident_id, (what,)) for what in STAY_AWAY}
    for what, account_ids in told.items():
        await notifications.warn(
            recipients=account_ids,
            event_key=f"incident:{incident_id}:all-clear",
            template="all_clear" if what == "danger_stay_away" else "all_clear_nearby",
            params={"station": station.name},
            now=now,
        )
        details = [{"account_id": str(account_id)} for account_id in account_ids]
        await store_incidents.add_steps(incident_id, at=now, kind="message", what="all_clear", details=details)
    if await _told(incident_id, ("danger_neighbours", CONFIRMED)):
        await _schedule(NeighboursDue(incident_id, "all_clear_nearby"), now)


async def tell_neighbours(*, due: NeighboursDue, now: datetime) -> None:
    """Tell the next few hundred neighbours, and go on with the rest in another transaction.

    A warning stops once the incident is over; the all-clear goes to those who were warned, wherever they live by then.
    A drill warns nobody.
    """
    async with db.transaction():
        incident = await store_incidents.find_incident(due.incident_id, lock=True)
        if incident is None or incident.drill:
            return
        if due.word == "all_clear_nearby":
            warned = sorted(await _told(incident.id, ("danger_neighbours", CONFIRMED)))
            chunk = [account_id for account_id in warned if due.after is None or account_id > due.after][:AT_A_TIME]
            there = set(await _told(incident.id, STAY_AWAY))  # who has an all-clear of their own
            told = [account_id for account_id in chunk if account_id not in there]
        elif incident.status in HANDLED:
            chunk = await stations.list_neighbours(station_id=incident.station_id, after=due.after, limit=AT_A_TIME)
            # A further alarm says nothing new, and who knows of a confirmed fire is not told that it is being checked.
            before = set(await _told(incident.id, (*STAY_AWAY, due.word, CONFIRMED)))
            told = [account_id for account_id in chunk if account_id not in before]
        else:
            return
        if told:
            station = await stations.get_station(station_id=incident.station_id)
            await notifications.warn(
                recipients=told,
                event_key=f"incident:{incident.id}:{due.word}",
                template=due.word,
                params={"station": station.name},
                now=now,
                chain=NEIGHBOUR_CHAIN,
            )
            detail = {"count": len(told), "account_ids": [str(account_id) for account_id in told]}
            await store_incidents.add_step(incident.id, at=now, kind="message", what=due.word, detail=detail)
        if len(chunk) == AT_A_TIME:
            await _schedule(msgspec.structs.replace(due, after=chunk[-1]), now)


async def _schedule(due: NeighboursDue, now: datetime) -> None:
    await jobs.schedule("alerts.tell_neighbours", due, due_at=now, now=now)


async def _told(incident_id: UUID, words: Sequence[str]) -> list[UUID]:
    """Whom the time line says to have been told one of these, each once."""
    found: list[UUID] = []
    for step in await store_incidents.list_steps(incident_id):
        if step.what in words:
            told = step.detail.get("account_ids") or [step.detail["account_id"]]
            found.extend(UUID(str(account_id)) for account_id in told)
    return list(dict.fromkeys(found))


async def count_neighbours(*, station_id: UUID) -> int:
    """How many residents live in the compounds around a station."""
    count, after = 0, None
    while chunk := await stations.list_neighbours(station_id=station_id, after=after, limit=10_000):
        count, after = count + len(chunk), chunk[-1]
    return count


async def residents_expected(*, station_id: UUID, there: Sequence[UUID], now: datetime) -> list[UUID]:
    """The accounts that hold a booking of the next hours and are not at the station already."""
    connector_ids = [c.id for c in await stations.list_connectors(station_id=station_id)]
    held = await claims.claims_between(connector_ids=connector_ids, starts_at=now, ends_at=now + EXPECTED_WITHIN)
    found: list[UUID] = []
    for claim in held:
        if claim.kind != "booking" or claim.reference_id is None:
            continue
        booked = await bookings.find_reservation(reservation_id=claim.reference_id)
        if booked is not None and booked.status in OPEN and booked.account_id not in there:
            found.append(booked.account_id)
    return list(dict.fromkeys(found))


async def residents_there(*, station_id: UUID, now: datetime) -> list[UUID]:
    """The accounts whose cars are at the station: by their session, or by the plate a bay camera read."""
    found = [session.account_id for session in await sessions.cars_still_there(station_id=station_id)]
    for bay in (await bays.bay_occupancy(station_id=station_id)).values():
        if bay.state != "free" and bay.plate_hash is not None:
            found += await cars.people_of_car(plate_hash=bay.plate_hash, at=now)
    return list(dict.fromkeys(found))
