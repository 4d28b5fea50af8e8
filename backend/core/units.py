"""Units, points and distances. Coordinates are GCJ-02 in here, whatever the client sent."""

import math
from decimal import ROUND_HALF_UP, Decimal
from typing import Literal

import msgspec
from geocoordinates_ffi import Wgs84, wgs84_to_gcj02

from backend.core.errors import Invalid

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


class CoordMissing(Invalid):
    """A position came without its datum."""

    code = "coord_missing"
    title_en = "The position has no datum"
    title_zh = "缺少坐标系"
    detail_en = (
        "Add coord=gcj02 or coord=wgs84: the two differ by hundreds of metres, "
        "and wx.getLocation answers wgs84 unless told otherwise."
    )
    detail_zh = "请附带 coord=gcj02 或 coord=wgs84：两者相差数百米，wx.getLocation 默认返回 wgs84。"


class PositionInvalid(Invalid):
    """A latitude or longitude is missing, not a number, or not on Earth."""

    code = "position_invalid"
    title_en = "The position is not valid"
    title_zh = "坐标无效"
    detail_en = "Give both lat (-90..90) and lng (-180..180) in degrees."
    detail_zh = "请同时提供 lat（-90..90）与 lng（-180..180），单位为度。"


def read_position(*, lat: float | None, lng: float | None, coord: str | None) -> Point:
    """Turn a client's position into GCJ-02; raises CoordMissing, PositionInvalid.

    Source: domain.md "Coordinates". Outside China the two datums are the same.
    """
    if lat is None or lng is None or not (math.isfinite(lat) and math.isfinite(lng)):
        raise PositionInvalid(field="lat" if lat is None else "lng")
    if not (-90 <= lat <= 90 and -180 <= lng <= 180):
        raise PositionInvalid(field="lat" if not -90 <= lat <= 90 else "lng")
    if coord == "gcj02":
        return Point(lat, lng)
    if coord == "wgs84":
        moved = wgs84_to_gcj02(Wgs84(lat=lat, lon=lng))
        return Point(moved.lat, moved.lon)
    raise CoordMissing(field="coord")
