"""What can be booked where: the slots of a day, the places for one slot, and alternatives to a slot that is taken."""

from collections import defaultdict
from collections.abc import Collection, Sequence
from datetime import date, datetime, time, timedelta
from uuid import UUID

import msgspec

from backend.agreements import service as agreements
from backend.core.units import Point, distance_m
from backend.reservations.rules.alternatives import Alternative, alternatives_at, nearest
from backend.reservations.rules.moves import OUTAGE_HORIZON
from backend.reservations.rules.periods import BEIJING, BookingTerms
from backend.reservations.rules.slots import Place, SlotOffer, Span, day_slots, merge
from backend.reservations.rules.words import CLASS_OF, Power, PowerClass
from backend.reservations.service.claims import terms_of
from backend.reservations.store import claims as claims_store
from backend.reservations.store import moves as moves_store
from backend.stations import service as stations
from backend.stations.rules.topology import ConnectorView, StationView, Zone
from backend.stations.service import zones as zone_changes
from backend.tariffs import service as tariffs
from backend.tariffs.rules.bands import Band, UserClass, band_at

LOOK_BEYOND = timedelta(hours=40)
"""How far past a slot claims matter: the longest slot, and a car that stays until the next morning."""
ALTERNATIVES_WITHIN = timedelta(hours=12)
NEIGHBOURS_M = 500
RESIDENT: frozenset[Zone] = frozenset({"resident"})


class SlotView(msgspec.Struct, frozen=True, kw_only=True):
    """A start that can be booked now and its longest end, for one power class."""

    starts_at: datetime
    longest_until: datetime
    power: Power


async def prices_of(*, station: StationView, starts: Sequence[datetime], user_class: UserClass) -> dict[datetime, Band]:
    """Return what a kWh costs this class in a session that begins at each start; starts without a tariff are left
    out.
    """
    if not starts:
        return {}
    ahead = await tariffs.prices_ahead(
        station_id=station.id, user_class=user_class, starts_at=min(starts), ends_at=max(starts) + timedelta(seconds=1)
    )
    priced = ((start, ahead.at(start)) for start in set(starts))
    return {start: band_at(snapshot, start) for start, snapshot in priced if snapshot is not None}


async def user_class_of(*, account_id: UUID | None, station_id: UUID, on: date, now: datetime) -> UserClass:
    """Return the class whose prices a caller is shown for a Beijing day: under an agreement with the station's company
    that is in force when the day begins or, where that is later, now; else the market. Raises NotFound.
    """
    if account_id is None:
        return "market"
    station = await stations.get_station(station_id=station_id)
    at = max(now, datetime.combine(on, time(0), BEIJING)) if is_ahead(on, now) else now
    companies = await agreements.companies_of(account_id=account_id, at=at)
    return "agreement" if station.operator_company_id in companies else "market"


def is_ahead(on: date, now: datetime) -> bool:
    """Say whether slots of this Beijing day could be offered at all: not past, not a year or more ahead."""
    return 0 <= (on - now.astimezone(BEIJING).date()).days <= 366


class AlternativeView(msgspec.Struct, frozen=True, kw_only=True):
    """A slot that can be booked instead, here or at a station within walking distance."""

    station_id: UUID
    station_name: str
    starts_at: datetime
    ends_at: datetime
    distance_m: int
    power: PowerClass


async def day(*, station_id: UUID, on: date | None, power: Power | None, now: datetime) -> list[SlotView]:
    """Return every bookable start of a Beijing day at a station, with its longest end, by start and power class.

    A slot is offered per power class where any resident-zone connector of it is free, gap and overnight stay included.
    """
    station = await stations.get_station(station_id=station_id)
    on = on or now.astimezone(BEIJING).date()
    if not is_ahead(on, now):
        return []
    terms = terms_of(station.settings)
    opens_at = datetime.combine(on, time(0), BEIJING)
    closes_at = opens_at + timedelta(days=1)
    if closes_at <= now or opens_at >= now + terms.ahead:
        return []
    connectors = await bookable_connectors(station=station, power=power)
    places = await places_of(connectors, since=max(opens_at, now), until=closes_at + LOOK_BEYOND, now=now)
    found: list[SlotView] = []
    for kind in ("ac", "dc"):
        of_kind = [place for place in places if place.power == kind]
        offers = day_slots(of_kind, opens_at=opens_at, closes_at=closes_at, now=now, terms=terms)
        found += [
            SlotView(starts_at=offer.starts_at, longest_until=offer.longest_until, power=kind) for offer in offers
        ]
    return sorted(found, key=lambda slot: (slot.starts_at, slot.power))


async def bookable_connectors(
    *, station: StationView, power: Power | None, connector_id: UUID | None = None
) -> list[ConnectorView]:
    """Return the connectors bookings are for: in service, of that power class, in the resident zone now or (a dated
    change of zones) later; `places_of` then tells when.
    """
    asked = [
        connector
        for connector in await stations.list_connectors(station_id=station.id)
        if connector.in_service and power in (None, connector.kind) and connector_id in (None, connector.id)
    ]
    bookable = await zone_changes.closed_to(connectors=asked, zones=RESIDENT)
    return [connector for connector in asked if connector.id in bookable]


async def places_of(
    connectors: Sequence[ConnectorView],
    *,
    since: datetime,
    until: datetime,
    now: datetime,
    zones: Collection[Zone] = RESIDENT,
) -> list[Place]:
    """Return each connector with each of its bays, and when either is held, or of none of the zones, within the
    period; a connector that is never of one of them is left out.
    """
    bay_ids = {bay_id for connector in connectors for bay_id in connector.bay_ids}
    held = await claims_store.list_claims(
        since, until, connector_ids=[connector.id for connector in connectors], bay_ids=list(bay_ids)
    )
    by_connector: dict[UUID, list[Span]] = defaultdict(list)
    for connector_id in await moves_store.list_out([connector.id for connector in connectors]):
        by_connector[connector_id].append(Span(now - OUTAGE_HORIZON, now + OUTAGE_HORIZON))
    by_bay: dict[UUID, list[Span]] = defaultdict(list)
    for claim in held:
        span = Span(claim.starts_at, claim.held_until)
        by_connector[claim.connector_id].append(span)
        if claim.bay_id is not None:
            by_bay[claim.bay_id].append(span)
    closed = await zone_changes.closed_to(connectors=connectors, zones=zones)
    places: list[Place] = []
    for connector in connectors:
        if connector.id not in closed:
            continue
        by_connector[connector.id] += [Span(*period) for period in closed[connector.id]]
        bays: Sequence[UUID | None] = connector.bay_ids or (None,)
        for bay_id in bays:
            spans = by_connector[connector.id] + ([] if bay_id is None else by_bay[bay_id])
            places.append(Place(connector.id, bay_id, connector.kind, merge(spans)))
    return places


async def alternatives(
    *, station: StationView, starts_at: datetime, ends_at: datetime, power: Power | None, now: datetime
) -> list[AlternativeView]:
    """Return the three nearest slots of the same length that can be booked now.

    Here at another time, or at another pilot station of the same operator company within 500 m (the agreement is with
    one company).
    """
    near = await stations.pilot_stations_within(lat=station.lat, lng=station.lng, radius_m=NEIGHBOURS_M)
    here = Point(station.lat, station.lng)
    around = {station.id: (station, 0)}
    for other, _ in near:
        if other.operator_company_id == station.operator_company_id and not other.safety_hold:
            around.setdefault(other.id, (other, distance_m(here, Point(other.lat, other.lng))))
    candidates: list[Alternative] = []
    for other, distance in around.values():
        for kind, offers in (await _offers_around(other, starts_at=starts_at, power=power, now=now)).items():
            candidates += alternatives_at(
                offers, station_id=other.id, distance_m=distance, power=kind, length=ends_at - starts_at
            )
    return [
        AlternativeView(
            station_id=found.station_id,
            station_name=around[found.station_id][0].name,
            starts_at=found.starts_at,
            ends_at=found.ends_at,
            distance_m=found.distance_m,
            power=CLASS_OF[found.power],
        )
        for found in nearest(candidates, wanted_at=starts_at)
    ]


async def _offers_around(
    station: StationView, *, starts_at: datetime, power: Power | None, now: datetime
) -> dict[Power, list[SlotOffer]]:
    terms: BookingTerms = terms_of(station.settings)
    opens_at, closes_at = starts_at - ALTERNATIVES_WITHIN, starts_at + ALTERNATIVES_WITHIN
    connectors = await bookable_connectors(station=station, power=power)
    if not connectors or closes_at <= now:
        return {}
    places = await places_of(connectors, since=max(opens_at, now), until=closes_at + LOOK_BEYOND, now=now)
    return {
        kind: day_slots(
            [place for place in places if place.power == kind],
            opens_at=opens_at,
            closes_at=closes_at,
            now=now,
            terms=terms,
        )
        for kind in sorted({place.power for place in places})
    }
