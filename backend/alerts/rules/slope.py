"""The last minute of one temperature, its robust slope, and a running count that proves the slope to be harmless.

The slope is the median of the slopes between all pairs of points (Theil-Sen), over true intervals: one wild value does
not move it. A minute of samples has about eighty pairs. Whether that median can reach a limit at all is known without
them: it cannot while fewer than half of the pairs rise that fast. The pairs that do are counted as points come and go,
by rank among the points' heights over a line that rises at the limit; each coming and going costs two bisections.
"""

from bisect import bisect_left, bisect_right, insort
from dataclasses import dataclass, field
from itertools import combinations
from statistics import median

WINDOW_S = 61.0
"""60 s and one for the jitter of the intervals."""
MIN_SPAN_S = 30.0
NEAREST_S = 5.0
"""Pairs nearer than this are left out of the slope, because 1 °C steps make them meaningless."""
MOST_POINTS = 64
STEEPEST = 1e6
"""°C/s; stands for a limit that is not set."""


def robust_slope_per_min(points: list[tuple[float, float]]) -> float:
    """The median of the slopes between all pairs of (time, s; value) at least `NEAREST_S` apart, per minute."""
    slopes = [(b[1] - a[1]) / (b[0] - a[0]) for a, b in combinations(points, 2) if b[0] - a[0] >= NEAREST_S]
    return median(slopes) * 60 if slopes else 0.0


@dataclass(slots=True)
class Window:
    """Points of strictly rising time, at most `WINDOW_S` long; `steepest` is the limit that is screened, per second."""

    steepest: float = 0.0
    ats: list[float] = field(default_factory=list)
    temps: list[float] = field(default_factory=list)
    _heights: list[float] = field(default_factory=list)
    _ranked: list[float] = field(default_factory=list)
    _near: list[int] = field(default_factory=list)
    _rising: int = 0
    _nearer: int = 0
    _base: float = 0.0

    def watch_for(self, per_minute: float) -> None:
        """Screen for another limit from now on, °C/min; the points stay."""
        per_second = max(-STEEPEST, min(STEEPEST, per_minute / 60))
        # A hair less than the limit: rounding may then count a pair too many, never one too few.
        self.steepest = per_second - abs(per_second) * 1e-6 - 1e-9
        self._count_again()

    def add(self, at: float, temp: float) -> None:
        """Add a point; points that are not older than it are dropped, because their time was wrong or said twice."""
        ats = self.ats
        if not ats:
            self._base = at
        elif at <= ats[-1]:
            while ats and at <= ats[-1]:
                ats.pop()
                self.temps.pop()
            if not ats:
                self._base = at
            self._count_again()
        while ats and (at - ats[0] > WINDOW_S or len(ats) >= MOST_POINTS):
            self._drop_oldest()
        self._append(at, temp)

    def clear(self) -> None:
        """Forget every point."""
        if self.ats:
            self.ats, self.temps = [], []
            self._count_again()

    def slope_per_min(self) -> float | None:
        """Rise over the window, °C/min; None before `MIN_SPAN_S` are known by three points."""
        if len(self.ats) < 3 or self.ats[-1] - self.ats[0] < MIN_SPAN_S:
            return None
        return robust_slope_per_min(list(zip(self.ats, self.temps, strict=True)))

    def is_below_limit(self) -> bool:
        """Whether the slope is surely unknown or below the limit; False means that it has to be computed."""
        count = len(self.ats)
        if count < 3 or self.ats[-1] - self.ats[0] < MIN_SPAN_S:
            return True
        return 4 * self._rising < count * (count - 1) - 2 * self._nearer

    def _append(self, at: float, temp: float) -> None:
        height = temp - self.steepest * (at - self._base)
        ats, near = self.ats, 0
        while near < len(ats) and at - ats[-1 - near] < NEAREST_S:
            near += 1
        self._rising += bisect_right(self._ranked, height)
        self._nearer += near
        insort(self._ranked, height)
        ats.append(at)
        self.temps.append(temp)
        self._heights.append(height)
        self._near.append(near)

    def _drop_oldest(self) -> None:
        del self.ats[0], self.temps[0]
        height = self._heights.pop(0)
        ranked = self._ranked
        del ranked[bisect_left(ranked, height)]
        self._rising -= len(ranked) - bisect_left(ranked, height)
        self._nearer -= self._near.pop(0)

    def _count_again(self) -> None:
        ats, temps = self.ats, self.temps
        self.ats, self.temps, self._heights, self._ranked, self._near = [], [], [], [], []
        self._rising = self._nearer = 0
        for at, temp in zip(ats, temps, strict=True):
            self._append(at, temp)
