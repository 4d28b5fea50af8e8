"""Claims on connectors: everything that uses a connector holds one, a walk-up and a queue offer too.

Charging, waiting and discovery build on this module. All of it joins the caller's transaction.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

import msgspec

from backend.core import db
from backend.core.errors import Conflict, Forbidden, NotFound
from backend.core.ids import new_id
from backend.reservations.rules.periods import BookingTerms, open_until
from backend.reservations.rules.walk_ups import MINUTE, decide_walk_up, held_for
from backend.reservations.rules.words import ClaimKind, ClaimView, ReservationView
from backend.reservations.store import bookings as bookings_store
from backend.reservations.store import claims as store
from backend.stations import service as stations
from backend.stations.rules.settings import StationSettings
from backend.stations.rules.topology import StationView
from backend.stations.service import zones as zone_changes

FAR = timedelta(days=30)


class ConnectorTaken(Conflict):
    """Another claim holds the connector (or all its bays) in that period; `free_from` says when it ends, where
    known.
    """

    code = "connector_taken"
    title_en = "The connector is taken"
    title_zh = "充电枪已被占用"
    detail_en = "Somebody else holds this connector in that period. Choose another one or another time."
    detail_zh = "该时段内此充电枪已被占用，请选择其他充电枪或时段。"


class VehicleElsewhere(Conflict):
    """The same plate holds another connector in that period; a car cannot be in two places."""

    code = "vehicle_elsewhere"
    title_en = "This car is already booked or charging at that time"
    title_zh = "该车辆在此时段已有预约或正在充电"
    detail_en = "One car cannot be in two places. End or cancel the other booking or session first."
    detail_zh = "同一车辆不能同时占用两处，请先结束或取消另一预约或充电。"


class AgreementNeeded(Forbidden):
    """The resident zone is for residents with an agreement."""

    code = "agreement_needed"
    title_en = "This zone is for residents with an agreement"
    title_zh = "居民预约专区仅限签约居民使用"
    detail_en = "Use a connector of the public zone, or sign an agreement with the operator of this station."
    detail_zh = "请使用社会充电专区的充电枪，或与本站服务商签订惠民充电服务协议。"


class TooLittleTimeLeft(Conflict):
    """The next claim on the connector, or the end of the opening hours, leaves less than the shortest slot."""

    code = "too_little_time_left"
    title_en = "There is too little time left"
    title_zh = "剩余可用时间过短"
    detail_en = "The time until the next booking, or until the station closes, is too short to charge."
    detail_zh = "距离下一预约或停止营业时间过短，请选择其他充电枪或时段。"


class StationClosed(Conflict):
    """The station is outside its opening hours."""

    code = "station_closed"
    title_en = "The station is closed now"
    title_zh = "当前非营业时间"
    detail_en = "It is open from {opens} to {closes}, Beijing time."
    detail_zh = "营业时间为{opens}至{closes}。"


def clock_of(minute: int) -> str:
    """Return a minute of the Beijing day as people read it."""
    return f"{minute // 60:02d}:{minute % 60:02d}"


def terms_of(settings: StationSettings) -> BookingTerms:
    """Return the station's numbers as the pure rules take them."""
    return BookingTerms(
        grid=timedelta(seconds=settings.slot_grid_s),
        shortest=timedelta(seconds=settings.min_booking_s),
        longest_ac=timedelta(seconds=settings.max_booking_ac_s),
        longest_dc=timedelta(seconds=settings.max_booking_dc_s),
        gap=timedelta(seconds=settings.vacate_gap_s),
        grace=timedelta(seconds=settings.overstay_grace_s),
        quiet_from_min=settings.overstay_free_from_min,
        quiet_to_min=settings.overstay_free_to_min,
        ahead=timedelta(days=settings.max_days_ahead),
        open_from_min=settings.open_from_min,
        open_to_min=settings.open_to_min,
    )


async def _terms(station_id: UUID) -> BookingTerms:
    return terms_of((await stations.get_station(station_id=station_id)).settings)


async def claim(
    *,
    connector_id: UUID,
    plate_hash: bytes | None,
    starts_at: datetime,
    ends_at: datetime,
    kind: ClaimKind,
    reference_id: UUID | None,
    now: datetime,
    bay_id: UUID | None = None,
) -> UUID:
    """Hold a connector and one of its bays in `[starts_at, ends_at)` and the vacate gap after it; returns the
    claim's id.

    A claim that starts now gives back the gap of a car that has left, and a walk-up takes over the offer the same
    plate holds here. Raises ConnectorTaken or VehicleElsewhere; the caller's transaction stays usable.
    """
    connector = await stations.get_connector(connector_id=connector_id)
    terms = await _terms(connector.station_id)
    held = held_for(kind, ends_at, terms)
    bays: Sequence[UUID | None] = (bay_id,) if bay_id else connector.bay_ids or (None,)
    async with db.transaction():
        if plate_hash is not None and kind == "walk_up":
            await store.delete_offers(connector_id, plate_hash)
        if starts_at <= now:
            await store.trim_gaps(starts_at, connector_id=connector_id, bay_ids=[b for b in bays if b])
        for bay in bays:
            wanted = ClaimView(
                id=new_id(),
                connector_id=connector_id,
                station_id=connector.station_id,
                bay_id=bay,
                plate_hash=plate_hash,
                kind=kind,
                reference_id=reference_id,
                starts_at=starts_at,
                ends_at=ends_at,
                held_until=held,
            )
            if await store.add_claim(wanted, now):
                return wanted.id
        raise await _why_refused(wanted)


async def _why_refused(wanted: ClaimView) -> ConnectorTaken | VehicleElsewhere:
    if wanted.plate_hash is not None and await store.find_plate_elsewhere(
        wanted.plate_hash, wanted.starts_at, wanted.ends_at
    ):
        return VehicleElsewhere()
    others = await store.list_claims(wanted.starts_at, wanted.held_until, connector_ids=[wanted.connector_id])
    return ConnectorTaken(free_from=max(other.held_until for other in others)) if others else ConnectorTaken()


async def find_claim(*, claim_id: UUID) -> ClaimView | None:
    """Return the claim, or None when it was cancelled or never there."""
    return await store.find_claim(claim_id)


async def shorten_claim(*, claim_id: UUID, ends_at: datetime) -> None:
    """Let a claim end earlier (a session ended, a booking lapsed); the vacate gap follows the new end.

    One that would not have begun is deleted. An unknown claim is no error: it was given back before.
    """
    async with db.transaction():
        present = await store.find_claim(claim_id, lock=True)
        if present is None or ends_at >= present.ends_at:
            return
        if ends_at <= present.starts_at:
            await store.delete_claim(claim_id)
            return
        held = held_for(present.kind, ends_at, await _terms(present.station_id))
        await store.shorten_claim(claim_id, ends_at, held)


async def release_claim(*, claim_id: UUID, now: datetime) -> None:
    """End a claim now without a vacate gap: its car never came or has already left."""
    async with db.transaction():
        present = await store.find_claim(claim_id, lock=True)
        if present is None:
            return
        if now <= present.starts_at:
            await store.delete_claim(claim_id)
        else:
            await store.shorten_claim(claim_id, now, now)


async def release_vacated_bay(*, bay_id: UUID, at: datetime) -> None:
    """Give back the vacate gap of a bay that is seen to be empty."""
    await store.trim_gaps(at, bay_ids=[bay_id])


async def extend_claim(*, claim_id: UUID, ends_at: datetime, now: datetime) -> ClaimView:
    """Let a claim end later, the gap after it included; raises ConnectorTaken or VehicleElsewhere, the old period
    then stays.
    """
    return await _move_period(claim_id, starts_at=None, ends_at=ends_at, now=now)


async def start_claim_earlier(*, claim_id: UUID, starts_at: datetime, now: datetime) -> ClaimView:
    """Let a claim begin earlier because its car is here and the connector is free; raises as `extend_claim`."""
    return await _move_period(claim_id, starts_at=starts_at, ends_at=None, now=now)


async def _move_period(
    claim_id: UUID, *, starts_at: datetime | None, ends_at: datetime | None, now: datetime
) -> ClaimView:
    """Delete and insert under the same id, so that the constraints stay immediate (domain.md "Booking")."""
    async with db.transaction():
        first = await store.find_claim(claim_id)
        if first is None:
            raise NotFound(kind="claim")
        await store.lock_station_claims(first.station_id)
        present = await store.find_claim(claim_id, lock=True)
        if present is None:
            raise NotFound(kind="claim")
        start, end = starts_at or present.starts_at, ends_at or present.ends_at
        terms = await _terms(present.station_id)
        moved = msgspec.structs.replace(
            present,
            starts_at=min(start, present.starts_at),
            ends_at=max(end, present.ends_at),
            held_until=max(present.held_until, held_for(present.kind, max(end, present.ends_at), terms)),
        )
        if starts_at is not None and starts_at <= now:
            await store.trim_gaps(
                starts_at, connector_id=present.connector_id, bay_ids=[present.bay_id] if present.bay_id else []
            )
        await store.delete_claim(claim_id)
        if not await store.add_claim(moved, now):
            raise await _why_refused(moved)
        return moved


async def next_claim(*, connector_id: UUID, after: datetime) -> ClaimView | None:
    """Return the first claim that starts at `after` or later on the connector or its only bay, or None."""
    connector = await stations.get_connector(connector_id=connector_id)
    return await store.find_next_claim(connector_id, connector.bay_ids, after)


async def claims_between(*, connector_ids: Sequence[UUID], starts_at: datetime, ends_at: datetime) -> list[ClaimView]:
    """Return the claims that hold one of the connectors within the period, by start."""
    return await store.list_claims(starts_at, ends_at, connector_ids=connector_ids)


async def claims_at_stations(*, station_ids: Sequence[UUID], starts_at: datetime, ends_at: datetime) -> list[ClaimView]:
    """Return the claims that hold any connector of the stations within the period, by start."""
    return await store.list_claims(starts_at, ends_at, station_ids=station_ids)


async def accept_offer(*, claim_id: UUID, ends_at: datetime, now: datetime) -> ClaimView:
    """Keep the connector of a queue offer until `ends_at`, so that the one who accepted can drive in and start."""
    return await _move_period(claim_id, starts_at=None, ends_at=ends_at, now=now)


async def walk_up_until(
    *, connector_id: UUID, has_agreement: bool, now: datetime, longest: timedelta | None = None
) -> datetime:
    """Return until when a walk-up may hold the connector from now: shown before the start (domain.md "Booking").

    The resident zone is for agreement residents, from when a planned change makes it so. The next claim, less the
    vacate gap, ends it; the opening hours and the station's longest slot bound it. Raises AgreementNeeded,
    StationClosed, ConnectorTaken or TooLittleTimeLeft.
    """
    connector = await stations.get_connector(connector_id=connector_id)
    terms = await _terms(connector.station_id)
    holders = [
        c
        for c in await store.list_claims(now, now + MINUTE, connector_ids=[connector_id])
        if c.starts_at <= now < c.ends_at
    ]
    upcoming = await store.find_next_claim(connector_id, connector.bay_ids, now + timedelta(microseconds=1))
    ends = [None if upcoming is None else upcoming.starts_at]
    if not has_agreement:
        ends.append(await zone_changes.resident_from(connector=connector))
    next_starts_at = min((at for at in ends if at is not None), default=None)
    decision = decide_walk_up(
        zone=connector.zone,
        has_agreement=has_agreement,
        holders=holders,
        next_starts_at=next_starts_at,
        longest=longest or terms.longest(connector.kind),
        now=now,
        terms=terms,
    )
    match decision:
        case "agreement_needed":
            raise AgreementNeeded
        case "taken":
            raise ConnectorTaken(free_from=max(holder.held_until for holder in holders))
        case "closed":
            raise StationClosed(opens=clock_of(terms.open_from_min), closes=clock_of(terms.open_to_min))
        case "too_little_time":
            raise TooLittleTimeLeft(next_claim_at=next_starts_at)
    return decision


def check_open(*, station: StationView, now: datetime) -> None:
    """Raise StationClosed outside the opening hours."""
    terms = terms_of(station.settings)
    if open_until(now, terms) is None:
        raise StationClosed(opens=clock_of(terms.open_from_min), closes=clock_of(terms.open_to_min))


async def current_reservation(*, connector_id: UUID, at: datetime) -> ReservationView | None:
    """Return the open booking whose turn it is on the connector at `at`, from when check-in opens to its end."""
    connector = await stations.get_connector(connector_id=connector_id)
    station = await stations.get_station(station_id=connector.station_id)
    return await bookings_store.find_current(connector_id, at, station.settings.check_in_before_s)


async def expected_plate_hashes(*, bay_id: UUID, at: datetime) -> frozenset[bytes]:
    """Return the plates that may stand in the bay at `at`: bookings from when check-in opens, walk-ups and offers,
    and their gaps.
    """
    bay = await stations.get_bay(bay_id=bay_id)
    station = await stations.get_station(station_id=bay.station_id)
    plates = await store.list_plates_expected(bay_id, bay.connector_ids, at, station.settings.check_in_before_s)
    return frozenset(plates)
