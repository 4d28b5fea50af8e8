"""An index of points on a grid of cells, for the nearest search: within a radius, and the nearest beyond it."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import itemgetter
from typing import Generic, TypeVar

from backend.core.units import EARTH_RADIUS_M, Point, distance_m

Key = TypeVar("Key")

CELL_DEG = 0.005
"""About 550 m north and 430 m east in Beijing: a search of 500 m looks into nine cells or so."""
METRES_PER_DEG = math.radians(EARTH_RADIUS_M)


class Grid(Generic[Key]):
    """Points by cell. It is built once and read often; a point that moves means a new grid."""

    def __init__(self, points: Iterable[tuple[Key, Point]]) -> None:
        self._cells: dict[tuple[int, int], list[tuple[Key, Point]]] = {}
        for key, point in points:
            self._cells.setdefault(_cell(point), []).append((key, point))
        rows = [row for row, _ in self._cells]
        columns = [column for _, column in self._cells]
        self._corners = (min(rows), max(rows), min(columns), max(columns)) if rows else None

    def within(self, centre: Point, radius_m: int) -> list[tuple[int, Key]]:
        """Return (distance in metres, key) of all points at most `radius_m` away, nearest first."""
        high = (radius_m + 1) / METRES_PER_DEG
        wide = high / max(0.01, math.cos(math.radians(min(89.0, abs(centre.lat) + high))))
        south, north, west, east = centre.lat - high, centre.lat + high, centre.lng - wide, centre.lng + wide
        south_row, west_column = _cell(Point(south, west))
        north_row, east_column = _cell(Point(north, east))
        found: list[tuple[int, Key]] = []
        for row in range(south_row, north_row + 1):
            for column in range(west_column, east_column + 1):
                for key, point in self._cells.get((row, column), ()):
                    if south <= point.lat <= north and west <= point.lng <= east:
                        away = distance_m(centre, point)
                        if away <= radius_m:
                            found.append((away, key))
        found.sort(key=_distance)
        return found

    def nearest_beyond(self, centre: Point, radius_m: int, wanted: Callable[[Key], bool]) -> tuple[int, Key] | None:
        """Return the nearest wanted point more than `radius_m` away, or None when there is none at all.

        Looks at rings of cells outward and stops when nothing nearer can lie further out.
        """
        if self._corners is None:
            return None
        row0, column0 = _cell(centre)
        south, north, west, east = self._corners
        last_ring = max(abs(row0 - south), abs(row0 - north), abs(column0 - west), abs(column0 - east))
        # A cell's narrow side at the latitude that matters: nothing of ring n + 1 is nearer than n of these.
        widest_lat = min(89.0, max(abs(centre.lat), abs(south) * CELL_DEG, abs(north) * CELL_DEG) + CELL_DEG)
        step_m = CELL_DEG * METRES_PER_DEG * math.cos(math.radians(widest_lat))
        best: tuple[int, Key] | None = None
        for ring in range(self._first_ring(row0, column0), last_ring + 1):
            if best is not None and (ring - 1) * step_m > best[0]:
                break
            if 8 * ring > len(self._cells):
                # So far out a ring has more cells than there are cells with points: look at those, once.
                return _nearer(best, self._cells, centre, radius_m, wanted, self._cells)
            best = _nearer(best, _ring(row0, column0, ring), centre, radius_m, wanted, self._cells)
        return best

    def _first_ring(self, row0: int, column0: int) -> int:
        """Return the ring in which the grid begins: 0 inside it, else the cells to its edge."""
        if self._corners is None:
            return 0
        south, north, west, east = self._corners
        return max(0, south - row0, row0 - north, west - column0, column0 - east)


def _nearer(
    best: tuple[int, Key] | None,
    places: Iterable[tuple[int, int]],
    centre: Point,
    radius_m: int,
    wanted: Callable[[Key], bool],
    cells: Mapping[tuple[int, int], Sequence[tuple[Key, Point]]],
) -> tuple[int, Key] | None:
    """Return the nearest of `best` and the wanted points beyond the radius in these cells."""
    for place in places:
        for key, point in cells.get(place, ()):
            away = distance_m(centre, point)
            if away > radius_m and (best is None or away < best[0]) and wanted(key):
                best = (away, key)
    return best


_distance = itemgetter(0)


def _cell(point: Point) -> tuple[int, int]:
    return math.floor(point.lat / CELL_DEG), math.floor(point.lng / CELL_DEG)


def _ring(row0: int, column0: int, ring: int) -> Iterable[tuple[int, int]]:
    """Yield the cells whose greater distance in rows or columns is `ring`."""
    if ring == 0:
        yield row0, column0
        return
    for column in range(column0 - ring, column0 + ring + 1):
        yield row0 - ring, column
        yield row0 + ring, column
    for row in range(row0 - ring + 1, row0 + ring):
        yield row, column0 - ring
        yield row, column0 + ring
