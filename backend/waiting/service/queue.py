"""The queue of a station: joining, the offer of a connector that became free, accepting, leaving.

Changes of one station's queue take turns (an advisory lock), so that one connector is offered once. An offer holds its
connector by a claim; accepting keeps it until the car has driven in and the session takes it over.
"""

from datetime import datetime, timedelta
from uuid import UUID

import msgspec

from backend.accounts import service as accounts
from backend.bays import service as bays
from backend.core import db, jobs
from backend.core.errors import Conflict, Invalid, NotFound
from backend.core.ids import new_id
from backend.core.units import Point, distance_m
from backend.notifications import service as notifications
from backend.reservations.rules.words import Power
from backend.reservations.service import claims
from backend.reservations.service.claims import ConnectorTaken, VehicleElsewhere
from backend.stations import service as stations
from backend.stations.rules.topology import StationView
from backend.waiting import service as waiting
from backend.waiting import store, store_fallback
from backend.waiting.events import QueueChanged
from backend.waiting.rules.queue import Free, Waiting, in_order, match_offers, position_of
from backend.waiting.store import EntryRow

WORST_OF = timedelta(hours=24)
"""Over how long the residents' worst wait is looked up for the fairness rule."""
JOIN_WITHIN_M = 2000
DRIVE_IN = timedelta(minutes=10)
"""How long an accepted offer is kept for the car to drive in and start."""


class AlreadyQueued(Conflict):
    """The car waits in a queue already."""

    code = "already_queued"
    title_en = "This car is in a queue already"
    title_zh = "该车辆已在排队"
    detail_en = "One car can wait in one queue; leave the other one first ({queue_id})."
    detail_zh = "同一车辆只能排一个队，请先退出当前排队（{queue_id}）。"


class TooFarToQueue(Conflict):
    """The queue is for cars on site or within two kilometres."""

    code = "too_far_to_queue"
    title_en = "You are too far away to queue"
    title_zh = "距离过远，无法排队"
    detail_en = "You are {distance_m} m away; join within {limit_m} m, or book a slot."
    detail_zh = "您距充电站{distance_m}米，请在{limit_m}米内排队，或改为预约。"


class PlaceUnknown(Invalid):
    """Nothing tells that the car is on site or near."""

    code = "place_unknown"
    title_en = "Where are you?"
    title_zh = "无法确认您的位置"
    detail_en = "Send lat, lng and coord, or the code on a connector (qr): the queue is for cars within {limit_m} m."
    detail_zh = "请提供位置（lat、lng、coord）或扫描充电枪二维码（qr）：仅限{limit_m}米内的车辆排队。"


class NoOffer(Conflict):
    """Nothing is offered (any more): `status` says where the entry stands."""

    code = "no_offer"
    title_en = "There is no offer to accept"
    title_zh = "当前没有可接受的充电枪"
    detail_en = "The offer has expired or none was made yet; the state is {status}."
    detail_zh = "该机会已过期或尚未轮到您，当前状态：{status}。"


class WatchDue(msgspec.Struct, frozen=True, kw_only=True):
    """Payload of the timer `waiting.watch_wait`."""

    arrival_id: UUID


class OfferDue(msgspec.Struct, frozen=True, kw_only=True):
    """Payload of the timer `waiting.offer_due`."""

    entry_id: UUID


class QueueView(msgspec.Struct, frozen=True, kw_only=True):
    """An entry as its owner sees it; `position` while waiting, `expected_wait_s` where it can be told."""

    entry: EntryRow
    position: int | None
    expected_wait_s: int | None


async def join(
    *,
    account_id: UUID,
    station_id: UUID,
    vehicle_id: UUID,
    power: Power | None,
    position: Point | None,
    now: datetime,
    qr: str | None = None,
) -> QueueView:
    """Join a station's queue; a connector that is free for the caller is offered at once.

    On site (within the station's check-in radius, seen by its camera, or with the code of one of its connectors) the
    wait counts and offers stand 90 s; from elsewhere they stand 5 minutes. Who is not on site is within 2 km by the
    position, which is compared and forgotten, or by the compound they live in.
    Raises NotFound, TooFarToQueue, PlaceUnknown, StationClosed, AlreadyQueued.
    """
    vehicle = await accounts.get_vehicle(account_id=account_id, vehicle_id=vehicle_id)
    station = await stations.get_station(station_id=station_id)
    claims.check_open(station=station, now=now)
    here = await _is_here(station, position, qr)
    if not here and await store.find_open_arrival(station_id, vehicle.plate_hash) is None:
        await _check_near(account_id, station, position)
    user_class = await waiting.user_class_of(
        account_id=account_id, plate_hash=vehicle.plate_hash, station=station, at=now
    )
    async with db.transaction():
        await store.lock_queue(station_id)
        if here:
            await waiting.record_arrival(
                station_id=station_id,
                plate_hash=vehicle.plate_hash,
                source="app" if qr is None else "qr",
                at=now,
                now=now,
                account_id=account_id,
            )
        arrival = await store.find_open_arrival(station_id, vehicle.plate_hash)
        entry = EntryRow(
            id=new_id(),
            station_id=station_id,
            account_id=account_id,
            vehicle_id=vehicle_id,
            plate_hash=vehicle.plate_hash,
            power=power,
            user_class=user_class,
            on_site_since=None if arrival is None else arrival.arrived_at,
            status="waiting",
            joined_at=now,
            offer_connector_id=None,
            offer_claim_id=None,
            offer_expires_at=None,
            closed_at=None,
        )
        if not await store.add_entry(entry):
            other = await store.find_open_entry(vehicle.plate_hash)
            raise AlreadyQueued(queue_id=None if other is None or other.account_id != account_id else str(other.id))
        await jobs.emit(QueueChanged(station_id=station_id, at=now), now=now)
        await offer_free(station_id=station_id, now=now)
        if arrival is not None:
            watch = WatchDue(arrival_id=arrival.id)
            await jobs.schedule("waiting.watch_wait", watch, due_at=now, now=now)
    return await read(account_id=account_id, entry_id=entry.id, now=now)


async def _is_here(station: StationView, position: Point | None, qr: str | None) -> bool:
    if qr is not None:
        connector = await stations.find_connector_by_qr(qr=qr.strip())
        if connector is None or connector.station_id != station.id:
            raise NotFound(kind="connector")
        return True
    away = None if position is None else distance_m(position, Point(station.lat, station.lng))
    return away is not None and away <= station.settings.check_in_radius_m


async def _check_near(account_id: UUID, station: StationView, position: Point | None) -> None:
    """Raise TooFarToQueue or PlaceUnknown unless the person is within reach: by the position, else by the home."""
    if position is None:
        home = await stations.find_home(account_id=account_id)
        if home is None:
            raise PlaceUnknown(field="lat", limit_m=JOIN_WITHIN_M)
        position = Point(home.lat, home.lng)
    away = distance_m(position, Point(station.lat, station.lng))
    if away > JOIN_WITHIN_M:
        raise TooFarToQueue(distance_m=away, limit_m=JOIN_WITHIN_M)


async def arrived(*, station_id: UUID, plate_hash: bytes, now: datetime) -> None:
    """A car that joined from elsewhere is on site now: its wait counts, its offers stand 90 s, its wait is watched."""
    async with db.transaction():
        await store.lock_queue(station_id)
        entry = await store.find_open_entry(plate_hash, lock=True)
        arrival = await store.find_open_arrival(station_id, plate_hash)
        if entry is None or arrival is None or entry.station_id != station_id or entry.on_site_since is not None:
            return
        await store.save_entry(msgspec.structs.replace(entry, on_site_since=arrival.arrived_at))
        await jobs.emit(QueueChanged(station_id=station_id, at=now), now=now)
        await jobs.schedule("waiting.watch_wait", WatchDue(arrival_id=arrival.id), due_at=now, now=now)


async def read(*, account_id: UUID, entry_id: UUID, now: datetime) -> QueueView:
    """Return the account's entry with its position and expected wait; raises NotFound."""
    entry = await _own(account_id, entry_id)
    position = expected = None
    if entry.status == "waiting":
        others = [_as_waiting(e) for e in await store.list_open_entries([entry.station_id]) if e.status == "waiting"]
        position = position_of(entry.id, others)
        expected = await waiting.predicted_wait_behind(
            station_id=entry.station_id, ahead=(position or 1) - 1, user_class=entry.user_class, now=now
        )
    return QueueView(entry=entry, position=position, expected_wait_s=expected)


async def _own(account_id: UUID, entry_id: UUID, *, lock: bool = False) -> EntryRow:
    entry = await store.find_entry(entry_id, lock=lock)
    if entry is None or entry.account_id != account_id:
        raise NotFound(kind="queue_entry")
    return entry


def _as_waiting(entry: EntryRow) -> Waiting:
    return Waiting(entry.id, entry.user_class, entry.power, entry.joined_at)


async def offer_free(*, station_id: UUID, now: datetime) -> int:
    """Offer every connector that is free to the next in the queue whom it suits; returns how many offers were made."""
    if not await store.list_open_entries([station_id]):
        return 0
    async with db.transaction():
        await store.lock_queue(station_id)
        station = await stations.get_station(station_id=station_id)
        entries = {e.id: e for e in await store.list_open_entries([station_id]) if e.status == "waiting"}
        if not entries:
            return 0
        usable = await waiting.usable_connectors(station=station, user_class="agreement", now=now)
        free = [Free(connector.id, connector.zone, connector.kind) for connector in usable]
        made = 0
        for entry_id, connector_id in match_offers(
            in_order([_as_waiting(e) for e in entries.values()]),
            free,
            now=now,
            residents_worst=timedelta(seconds=await store_fallback.residents_worst_s(station_id, now - WORST_OF)),
        ):
            made += await _offer(entries[entry_id], connector_id, now=now)
        if made:
            await jobs.emit(QueueChanged(station_id=station_id, at=now), now=now)
        return made


async def _offer(entry: EntryRow, connector_id: UUID, *, now: datetime) -> bool:
    station = await stations.get_station(station_id=entry.station_id)
    on_site = entry.on_site_since is not None
    stands_s = station.settings.offer_on_site_s if on_site else station.settings.offer_remote_s
    expires_at = now + timedelta(seconds=stands_s)
    try:
        claim_id = await claims.claim(
            connector_id=connector_id,
            plate_hash=entry.plate_hash,
            starts_at=now,
            ends_at=expires_at,
            kind="offer",
            reference_id=entry.id,
            now=now,
        )
    except (ConnectorTaken, VehicleElsewhere):
        return False  # somebody was faster, or the car is booked elsewhere now: the next change asks again
    offered = msgspec.structs.replace(
        entry,
        status="offered",
        offer_connector_id=connector_id,
        offer_claim_id=claim_id,
        offer_expires_at=expires_at,
    )
    await store.save_entry(offered)
    await jobs.schedule("waiting.offer_due", OfferDue(entry_id=entry.id), due_at=expires_at, now=now)
    connector = await stations.get_connector(connector_id=connector_id)
    await notifications.notify(
        recipient=entry.account_id,
        event_key=f"queue:{entry.id}:offer",
        template="queue_offer",
        params={
            "station": station.name,
            "connector": f"{connector.charger_code}-{connector.number}",
            "seconds": stands_s,
        },
        safety=False,
        now=now,
    )
    return True


async def accept(*, account_id: UUID, entry_id: UUID, now: datetime) -> QueueView:
    """Take the connector that is offered: its bay opens and it is kept for 10 minutes. Raises NotFound, NoOffer.

    Accepting again while it is kept opens the bay again.
    """
    station_id = (await _own(account_id, entry_id)).station_id
    async with db.transaction():
        await store.lock_queue(station_id)
        entry = await _own(account_id, entry_id, lock=True)
        if entry.offer_claim_id is None or entry.offer_connector_id is None or entry.offer_expires_at is None:
            raise NoOffer(status=entry.status)
        if entry.status not in ("offered", "accepted") or now >= entry.offer_expires_at:
            raise NoOffer(status="expired" if entry.status in ("offered", "accepted") else entry.status)
        if entry.status == "offered":
            kept_until = now + DRIVE_IN
            await claims.accept_offer(claim_id=entry.offer_claim_id, ends_at=kept_until, now=now)
            entry = msgspec.structs.replace(entry, status="accepted", offer_expires_at=kept_until)
            await store.save_entry(entry)
            await jobs.emit(QueueChanged(station_id=station_id, at=now), now=now)
            await jobs.schedule("waiting.offer_due", OfferDue(entry_id=entry.id), due_at=kept_until, now=now)
            arrival = await store.find_open_arrival(station_id, entry.plate_hash)
            if arrival is not None and entry.offer_connector_id is not None:
                await waiting.connector_usable(
                    arrival_id=arrival.id, connector_id=entry.offer_connector_id, at=now, now=now
                )
        claim = await claims.find_claim(claim_id=entry.offer_claim_id) if entry.offer_claim_id else None
        if claim is not None and claim.bay_id is not None:
            await bays.lower_lock(
                bay_id=claim.bay_id,
                reason="queue offer accepted",
                actor=str(account_id),
                now=now,
                keep_down_until=claim.ends_at,
            )
    return await read(account_id=account_id, entry_id=entry_id, now=now)


async def leave(*, account_id: UUID, entry_id: UUID, now: datetime) -> None:
    """Leave the queue; what was offered goes to the next. Leaving again is harmless. Raises NotFound."""
    station_id = (await _own(account_id, entry_id)).station_id
    async with db.transaction():
        await store.lock_queue(station_id)
        await _close(await _own(account_id, entry_id, lock=True), "left", now)
        await offer_free(station_id=station_id, now=now)


async def expire_offer(*, entry_id: UUID, now: datetime) -> None:
    """End an offer nobody took up in time, by its stored time; the next one is asked."""
    first = await store.find_entry(entry_id)
    if first is None:
        return
    async with db.transaction():
        await store.lock_queue(first.station_id)
        entry = await store.find_entry(entry_id, lock=True)
        if entry is None or entry.status not in ("offered", "accepted"):
            return
        if entry.offer_expires_at is None or now < entry.offer_expires_at:
            return
        await _close(entry, "expired", now)
        await offer_free(station_id=entry.station_id, now=now)


async def serve(*, plate_hash: bytes, now: datetime) -> None:
    """A session began: whoever waited with that plate waits no more (the session holds its own claim)."""
    first = await store.find_open_entry(plate_hash)
    if first is None:
        return
    async with db.transaction():
        await store.lock_queue(first.station_id)
        entry = await store.find_entry(first.id, lock=True)
        if entry is not None:
            await _close(entry, "served", now)


async def _close(entry: EntryRow, status: str, now: datetime) -> None:
    if entry.closed_at is not None:
        return
    if entry.offer_claim_id is not None:
        claim = await claims.find_claim(claim_id=entry.offer_claim_id)
        if claim is not None and claim.kind == "offer":
            await claims.release_claim(claim_id=claim.id, now=now)
            if claim.bay_id is not None and status != "served":
                await bays.request_raise(bay_id=claim.bay_id, reason=f"queue {status}", actor="waiting", now=now)
    closed = msgspec.structs.replace(entry, closed_at=now)
    await store.save_entry(msgspec.convert({**msgspec.structs.asdict(closed), "status": status}, EntryRow))
    await jobs.emit(QueueChanged(station_id=entry.station_id, at=now), now=now)
