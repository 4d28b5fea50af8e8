"""What a resident who cannot have a slot is offered instead: another time here, or the same time a short walk away."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from backend.reservations.rules.slots import SlotOffer
from backend.reservations.rules.words import Power

WALK_M_PER_MIN = 75
"""A brisk walk; it makes 500 m cost as much as a shift of 7 minutes."""


@dataclass(frozen=True)
class Alternative:
    """A slot that can be booked now."""

    station_id: UUID
    starts_at: datetime
    ends_at: datetime
    distance_m: int
    power: Power


def alternatives_at(
    offers: Iterable[SlotOffer], *, station_id: UUID, distance_m: int, power: Power, length: timedelta
) -> list[Alternative]:
    """Return the offers of one station that are long enough, cut to the wanted length."""
    return [
        Alternative(station_id, offer.starts_at, offer.starts_at + length, distance_m, power)
        for offer in offers
        if offer.longest_until - offer.starts_at >= length
    ]


def nearest(candidates: Sequence[Alternative], *, wanted_at: datetime, count: int = 3) -> list[Alternative]:
    """Return the nearest alternatives: a minute of waiting counts as much as a minute's walk.

    Among equals the earlier one comes first; a time at a station is named once, on AC where both classes have it.
    """

    def cost(candidate: Alternative) -> tuple[float, datetime, str, str]:
        shift_min = abs((candidate.starts_at - wanted_at).total_seconds()) / 60
        return (
            shift_min + candidate.distance_m / WALK_M_PER_MIN,
            candidate.starts_at,
            str(candidate.station_id),
            candidate.power,
        )

    once: dict[tuple[UUID, datetime], Alternative] = {}
    for candidate in sorted(candidates, key=cost):
        once.setdefault((candidate.station_id, candidate.starts_at), candidate)
    return list(once.values())[:count]
