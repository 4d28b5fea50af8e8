"""Stored waits against what the devices said: `linli waits check`, for an inspector who trusts no stored figure."""

from datetime import datetime, timedelta
from uuid import UUID

import msgspec

from backend.accounts.rules import plates
from backend.core import crypto
from backend.reservations.service import bookings, claims
from backend.reservations.service.claims import terms_of
from backend.stations import service as stations
from backend.telemetry import evidence
from backend.waiting import store_fallback
from backend.waiting.rules.recount import LONGEST, Case, Gun, Held, Plug, Seen, Verdict, recount, verdict
from backend.waiting.rules.waits import may_use
from backend.waiting.store_fallback import StoredWait

BEFORE = timedelta(hours=24)
"""How far back devices are listened to for who stood where at an arrival."""
PLUGS = {"plugged": True, "session_started": True, "unplugged": False}


class Recounted(msgspec.Struct, frozen=True, kw_only=True):
    """One stored wait and what the devices' own words make of it."""

    arrival_id: UUID
    user_class: str
    arrived_at: datetime
    stored_s: int
    recounted_s: int | None
    verdict: Verdict


async def recount_waits(*, station_id: UUID, since: datetime, until: datetime) -> list[Recounted]:
    """Recount the waits that began at a station in the period, from the devices' messages; nothing is written."""
    station = await stations.get_station(station_id=station_id)
    stored = await store_fallback.list_stored_waits(station_id, since, until)
    if not stored:
        return []
    first = min(wait.usable_at for wait in stored) - LONGEST - BEFORE
    last = max(wait.usable_at for wait in stored) + timedelta(minutes=5)
    seen, plugs = await _listen(station_id, first, last)
    held = await claims.claims_at_stations(station_ids=[station_id], starts_at=first, ends_at=last + BEFORE)
    connectors = [c for c in await stations.list_connectors(station_id=station_id) if c.in_service]
    found: list[Recounted] = []
    for wait in stored:
        slot = None
        if wait.reservation_id is not None:
            booked = await bookings.find_reservation(reservation_id=wait.reservation_id)
            slot = None if booked is None else booked.starts_at
        case = Case(
            plate_hash=wait.plate_hash or b"",
            usable_at=wait.usable_at,
            connector_id=wait.connector_id,
            slot_starts_at=slot,
            guns=tuple(
                Gun(c.id, c.bay_ids) for c in connectors if slot or may_use(user_class=wait.user_class, zone=c.zone)
            ),
            shortest=terms_of(station.settings).shortest,
        )
        others = [
            Held(claim.connector_id, claim.starts_at, claim.held_until)
            for claim in held
            if claim.plate_hash != wait.plate_hash
        ]
        again = recount(case, seen=seen, plugs=plugs, held=others)
        found.append(_compared(wait, again))
    return found


def _compared(wait: StoredWait, again: int | None) -> Recounted:
    return Recounted(
        arrival_id=wait.arrival_id,
        user_class=wait.user_class,
        arrived_at=wait.arrived_at,
        stored_s=wait.wait_s,
        recounted_s=again,
        verdict=verdict(wait.wait_s, again),
    )


async def _listen(station_id: UUID, since: datetime, until: datetime) -> tuple[list[Seen], list[Plug]]:
    """Turn the devices' words into sightings and plugs."""
    bays = {bay.code: bay.id for bay in await stations.list_bays(station_id=station_id)}
    guns = {
        (device.id, connector.number): connector.id
        for device in await stations.list_devices(station_id=station_id, kind="charger")
        for connector in await stations.list_connectors(station_id=station_id)
        if connector.charger_id == device.charger_id
    }
    seen: list[Seen] = []
    plugs: list[Plug] = []
    for said in await evidence.list_said(station_id=station_id, since=since, until=until):
        code = said.words.get("code")
        if said.kind == "charger" and code in PLUGS:
            connector_id = guns.get((said.device_id, int(said.words.get("connector", 0))))
            if connector_id is not None:
                plugs.append(Plug(said.at, connector_id, PLUGS[code]))
        elif said.kind == "camera":
            plate = said.words.get("plate")
            plate_hash = None if plate is None else crypto.lookup_hash(plates.normalise(plate))
            bay_id = bays.get(said.words.get("bay") or "")
            if code == "plate_read" and plate_hash is not None:
                seen.append(Seen(said.at, plate_hash))
            elif bay_id is not None and code in ("bay_occupied", "bay_free"):
                stranger = plate_hash or b"unread"
                seen.append(Seen(said.at, stranger if code == "bay_occupied" else None, bay_id))
    return seen, plugs
