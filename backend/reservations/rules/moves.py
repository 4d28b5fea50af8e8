"""Whether a booking's place can serve it, and to which places bookings go that cannot stay. Pure.

A move keeps the slot and the kind of current; a connector of at least the same power comes first.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID

from backend.reservations.rules.periods import BookingTerms, held_until
from backend.reservations.rules.slots import Place, Span, merge, rank_places
from backend.reservations.rules.words import Power

Obstacle = Literal["fault", "out_of_service", "safety_hold", "overrun", "blocked"]
MoveReason = Literal[
    "fault", "out_of_service", "safety_hold", "overrun", "blocked", "maintenance", "zone", "staff", "extended", "change"
]
BROKEN_STATUSES = frozenset({"faulted", "unavailable", "unknown"})
"""States in which a connector that has ever spoken cannot start a charge."""
IN_USE_STATUSES = frozenset({"charging", "suspended", "finishing"})
READY_BEFORE = timedelta(minutes=5)
"""How long before its start a booking's place is looked at: half of the usual vacate gap is over then."""
OUTAGE_HORIZON = timedelta(hours=4)
"""How far ahead bookings are moved off a connector that broke: later ones wait, it may be repaired by then."""


@dataclass(frozen=True, kw_only=True)
class PlaceState:
    """What is known of a booking's place. `status` None: the connector never spoke. `bay_since`: since when the bay
    is as it is; `stayer`: the plate of the claim before, whose time is over.
    """

    status: str | None
    in_service: bool
    safety_hold: bool
    bay: Literal["occupied", "free", "unknown"]
    bay_plate: bytes | None
    bay_since: datetime | None
    stayer: bytes | None


def find_obstacle(
    place: PlaceState, *, plate: bytes, arrived: bool, earliest_arrival: datetime, before_ends_at: datetime | None
) -> Obstacle | None:
    """Return why the place cannot serve the booking now, or None.

    A car whose plate nobody read is taken for the booker's own unless it came before the booker could have;
    `before_ends_at` is when the time of the claim before is over: until then its car is where it belongs.
    """
    if place.safety_hold:
        return "safety_hold"
    if not place.in_service:
        return "out_of_service"
    if place.status in BROKEN_STATUSES:
        return "fault"
    if place.bay == "occupied" and place.bay_plate != plate:
        if place.bay_plate is not None:
            return "overrun" if place.bay_plate == place.stayer else "blocked"
        if not arrived and place.bay_since is not None and place.bay_since < earliest_arrival:
            return "overrun" if before_ends_at is not None and place.bay_since < before_ends_at else "blocked"
    if not arrived and place.status in IN_USE_STATUSES:
        return "overrun"
    return None


@dataclass(frozen=True, kw_only=True)
class Moving:
    """A booking that needs another place for `[starts_at, ends_at)`; `strong` are connectors of at least its power."""

    id: UUID
    power: Power
    starts_at: datetime
    ends_at: datetime
    arrived: bool
    strong: Collection[UUID] = ()


def decide_moves(
    bookings: Sequence[Moving], places: Sequence[Place], *, now: datetime, terms: BookingTerms
) -> dict[UUID, Place]:
    """Return the new place of every booking that can be moved; those that are missing are stranded.

    Whoever is here already chooses first, then the earliest start; each takes the place that leaves the day most
    bookable (`rank_places`). Places that share a connector or a bay are taken together.
    """
    left = list(places)
    found: dict[UUID, Place] = {}
    for booking in sorted(bookings, key=lambda b: (not b.arrived, b.starts_at, str(b.id))):
        alike = [place for place in left if place.power == booking.power]
        ranked = rank_places(alike, starts_at=booking.starts_at, ends_at=booking.ends_at, now=now, terms=terms)
        if not ranked:
            continue
        chosen = min(ranked, key=lambda place: place.connector_id not in booking.strong)
        found[booking.id] = chosen
        held = Span(booking.starts_at, held_until(booking.ends_at, terms))
        left = [
            replace(place, busy=merge([*place.busy, held]))
            if place.connector_id == chosen.connector_id or (place.bay_id and place.bay_id == chosen.bay_id)
            else place
            for place in left
        ]
    return found
