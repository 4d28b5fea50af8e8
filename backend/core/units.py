"""Units, points and distances. Coordinates are GCJ-02 in here, whatever the client sent."""

import math
from decimal import ROUND_HALF_UP, Decimal
from typing import Literal

import msgspec

EARTH_RADIUS_M = 6_371_008.8
"""Mean Earth radius (IUGG), metres."""

Coord = Literal["gcj02", "wgs84"]


class Point(msgspec.Struct, frozen=True):
    """A place in GCJ-02 degrees."""

    lat: float
    lng: float


def distance_m(a: Point, b: Point) -> int:
    """Return the great-circle distance in metres, rounded to the metre."""
    lat_a, lat_b = math.radians(a.lat), math.radians(b.lat)
    half = (
        math.sin((lat_b - lat_a) / 2) ** 2
        + math.cos(lat_a) * math.cos(lat_b) * math.sin(math.radians(b.lng - a.lng) / 2) ** 2
    )
    return round(2 * EARTH_RADIUS_M * math.asin(math.sqrt(half)))


def round_half_up(value: Decimal) -> int:
    """Round to the nearest integer, halves away from zero (how a bill is rounded)."""
    return int(value.quantize(Decimal(1), rounding=ROUND_HALF_UP))


def divide_half_up(numerator: int, denominator: int) -> int:
    """Return numerator / denominator for non-negative integers, rounded half up, without floats."""
    return (2 * numerator + denominator) // (2 * denominator)
