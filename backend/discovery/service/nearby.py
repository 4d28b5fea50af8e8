"""The nearest search: stations within a radius, or the next one beyond, with what is free and what it costs now."""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID

import msgspec

from backend.core.units import Point
from backend.discovery.rules.picture import Speed, Zone, ZoneCounts, count_guns, next_change, wait_s
from backend.discovery.service.board import View
from backend.discovery.service.pictures import StationPicture
from backend.tariffs.rules.bands import ParkingTerms, band_at, next_edge
from backend.tariffs.service import StationPrices

KEEP_AT_MOST = timedelta(minutes=5)
KEEP_A_WAIT = timedelta(seconds=10)
"""A predicted wait shrinks as time goes by."""


class PriceNow(msgspec.Struct, frozen=True, kw_only=True):
    """What a kWh costs now: energy, and the service price of everybody and of residents with an agreement."""

    band: str
    energy_e4: int
    service_e4: int
    agreement_service_e4: int
    parking: ParkingTerms
    until: datetime | None


class Rendered(msgspec.Struct, frozen=True, kw_only=True):
    """A station as the search shows it: its JSON without the last members, good until `expires_at`."""

    expires_at: datetime
    station_id: UUID
    company_id: UUID
    counts: ZoneCounts
    json: bytes


class _Shown(msgspec.Struct, kw_only=True):
    """The members of a search result that are the same for all callers."""

    id: UUID
    code: str
    name: str
    pilot: bool
    lat: float
    lng: float
    address: str
    opening_hours: str
    safety_hold: bool
    connectors: ZoneCounts
    price: PriceNow | None
    wait_s: int | None


class Hit(msgspec.Struct, frozen=True, kw_only=True):
    """A station found, and how far away it is."""

    distance_m: int
    station: Rendered


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """What a search found; `beyond` is the next station when nothing lies within the radius."""

    hits: Sequence[Hit]
    beyond: Hit | None


def price_now(picture: StationPicture, now: datetime) -> PriceNow | None:
    """Return the station's price at this instant, or None where none is published."""
    if picture.prices is None:
        return None
    market = band_at(picture.prices.market, now)
    agreement = band_at(picture.prices.agreement, now)
    ends = [edge for edge in (next_edge(picture.prices.market, now), picture.prices.valid_until) if edge is not None]
    return PriceNow(
        band=market.name,
        energy_e4=market.energy_e4,
        service_e4=market.service_e4,
        agreement_service_e4=agreement.service_e4,
        parking=picture.prices.market.parking,
        until=min(ends, default=None),
    )


def wait_of(picture: StationPicture, *, now: datetime, speed: Speed | None = None) -> int | None:
    """Return the predicted wait in seconds at this instant, or None where nobody knows."""
    held = picture.station.safety_hold
    return wait_s(picture.guns, usable_at=picture.usable_at, held=held, now=now, speed=speed)


class _KeptPrice(msgspec.Struct, frozen=True):
    prices: StationPrices
    made_at: datetime
    price: PriceNow

    def holds(self, now: datetime) -> bool:
        """Say whether it is still what a kWh costs."""
        return self.made_at <= now and (self.price.until is None or now < self.price.until)


def _kept_price(view: View, picture: StationPicture, now: datetime) -> PriceNow | None:
    """Return `price_now`, worked out once for all stations that share their prices until the band changes."""
    if picture.prices is None:
        return None
    key = id(picture.prices)
    kept = view.rendered.get(key)
    if isinstance(kept, _KeptPrice) and kept.prices is picture.prices and kept.holds(now):
        return kept.price
    price = price_now(picture, now)
    if price is not None:
        view.rendered[key] = _KeptPrice(picture.prices, now, price)
    return price


def render(picture: StationPicture, *, price: PriceNow | None, speed: Speed | None, now: datetime) -> Rendered:
    """Return the station's search result at this price; the counts are of guns of `speed`, where given."""
    place = picture.station
    counts = count_guns(picture.guns, held=place.safety_hold, now=now, speed=speed)
    wait = wait_of(picture, now=now, speed=speed)
    shown = _Shown(
        id=place.id,
        code=place.code,
        name=place.name,
        pilot=place.pilot,
        lat=place.lat,
        lng=place.lng,
        address=place.address,
        opening_hours=place.opening_hours,
        safety_hold=place.safety_hold,
        connectors=counts,
        price=price,
        wait_s=wait,
    )
    ends = [
        now + (KEEP_A_WAIT if wait else KEEP_AT_MOST),
        next_change(picture.guns, now=now),
        price.until if price else None,
    ]
    return Rendered(
        expires_at=min(end for end in ends if end is not None),
        station_id=place.id,
        company_id=place.operator_company_id,
        counts=counts,
        json=msgspec.json.encode(shown)[:-1],
    )


def rendered(view: View, station_id: UUID, *, speed: Speed | None, now: datetime) -> Rendered:
    """Return the station's search result, made once for each state of the station and stretch of time."""
    key = (station_id, speed)
    kept = view.rendered.get(key)
    if isinstance(kept, Rendered) and now < kept.expires_at:
        return kept
    picture = view.pictures[station_id]
    made = render(picture, price=_kept_price(view, picture, now), speed=speed, now=now)
    view.rendered[key] = made
    return made


def _fits(found: Rendered, zone: Zone | None, free: bool, speed: Speed | None) -> bool:
    zones = [found.counts.resident, found.counts.public]
    if zone is not None:
        zones = zones[:1] if zone == "resident" else zones[1:]
    if free:
        return any(counts.free for counts in zones)
    if zone is not None or speed is not None:
        return any(counts.total for counts in zones)
    return True


def find_nearby(
    view: View,
    *,
    centre: Point,
    radius_m: int,
    zone: Zone | None,
    speed: Speed | None,
    free: bool,
    now: datetime,
) -> Found:
    """Return the stations within the radius, nearest first, never silently more; else the next one beyond."""

    def fits(station_id: UUID) -> bool:
        return _fits(rendered(view, station_id, speed=speed, now=now), zone, free, speed)

    hits = [
        Hit(distance_m=away, station=found)
        for away, station_id in view.grid.within(centre, radius_m)
        if _fits(found := rendered(view, station_id, speed=speed, now=now), zone, free, speed)
    ]
    hits.sort(key=lambda hit: (hit.distance_m, hit.station.station_id))
    if hits:
        return Found(hits=hits, beyond=None)
    beyond = view.grid.nearest_beyond(centre, radius_m, fits)
    if beyond is None:
        return Found(hits=[], beyond=None)
    away, station_id = beyond
    return Found(hits=[], beyond=Hit(distance_m=away, station=rendered(view, station_id, speed=speed, now=now)))


MeasuredFrom = Literal["point", "community_centre"]


def encode_found(
    found: Found,
    *,
    start: int,
    limit: int,
    next_cursor: str | None,
    measured_from: MeasuredFrom,
    companies: Collection[UUID],
) -> bytes:
    """Return the answer's JSON; `companies` are those with which the caller has an agreement."""
    items = b",".join(_item(hit, companies) for hit in found.hits[start : start + limit])
    beyond = b"null" if found.beyond is None else _item(found.beyond, companies)
    cursor = b"null" if next_cursor is None else b'"' + next_cursor.encode() + b'"'
    return b'{"items":[%b],"next":%b,"nearest_beyond":%b,"measured_from":"%b","coord":"gcj02"}' % (
        items,
        cursor,
        beyond,
        measured_from.encode(),
    )


def _item(hit: Hit, companies: Collection[UUID]) -> bytes:
    terms = b"agreement" if hit.station.company_id in companies else b"market"
    return b'%b,"distance_m":%d,"user_class":"%b"}' % (hit.station.json, hit.distance_m, terms)
