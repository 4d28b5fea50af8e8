"""How many agreements a station can carry while 99 % of its residents' arrivals wait at most five minutes.

Each number of agreements is tried with several weeks of different seeds. A number holds when the lower end of the
one-sided 95 % confidence interval of the mean share (Student's t over the weeks) reaches the goal: a number that only
looks good by luck is not signed for. The same household does the same in every number, so the shares of two numbers
differ by what is different. The search doubles until a number fails, then halves the gap down to 2 %; it trusts that
more agreements never wait less.
"""

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from backend.simulation.demand import Demand
from backend.simulation.figures import figures_of
from backend.simulation.playing import simulate_week
from backend.simulation.station import SimulatedStation
from backend.simulation.world import FAULTS_PER_GUN

GOAL = 0.99
MOST_AGREEMENTS = 4096
_T95 = (6.314, 2.920, 2.353, 2.132, 2.015, 1.943, 1.895, 1.860, 1.833, 1.812, 1.796, 1.782, 1.771, 1.761, 1.753)
"""Student's t, one-sided 95 %, for 1 to 15 degrees of freedom (NIST/SEMATECH e-Handbook 1.3.6.7.2)."""


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One number of agreements, tried: the share within five minutes of each week, and what is sure of their mean."""

    agreements: int
    shares: tuple[float, ...]
    arrivals: int
    mean: float
    lower: float

    def holds(self, goal: float) -> bool:
        """Say whether the goal is reached for sure enough."""
        return self.lower >= goal


@dataclass(frozen=True, kw_only=True)
class Capacity:
    """The answer: the largest number that holds (0: none), and everything that was tried, by number."""

    agreements: int
    goal: float
    weeks: int
    trials: tuple[Trial, ...]
    unbounded: bool = False


def judge(agreements: int, shares: Sequence[float], arrivals: int) -> Trial:
    """Return what the weeks tell of a number of agreements; a single week tells nothing of luck."""
    mean = statistics.fmean(shares)
    if len(shares) < 2:
        return Trial(agreements=agreements, shares=tuple(shares), arrivals=arrivals, mean=mean, lower=mean)
    t = _T95[min(len(shares) - 1, len(_T95)) - 1]
    lower = mean - t * statistics.stdev(shares) / math.sqrt(len(shares))
    return Trial(agreements=agreements, shares=tuple(shares), arrivals=arrivals, mean=mean, lower=lower)


def find_capacity(
    station: SimulatedStation,
    demand: Demand,
    *,
    seed: int = 0,
    weeks: int = 8,
    goal: float = GOAL,
    at_most: int = MOST_AGREEMENTS,
    faults_per_gun: float = FAULTS_PER_GUN,
    on_trial: Callable[[Trial], None] | None = None,
) -> Capacity:
    """Search the largest number of agreements that holds, seeded; `on_trial` hears of each number tried.

    Without a single number that fails up to `at_most` the answer is that number, and `unbounded` says so.
    """
    trials: dict[int, Trial] = {0: Trial(agreements=0, shares=(), arrivals=0, mean=1.0, lower=1.0)}

    def holds(agreements: int) -> bool:
        if agreements not in trials:
            shares: list[float] = []
            arrivals = 0
            for week in range(weeks):
                run = simulate_week(
                    station, demand, agreements=agreements, seed=seed + 1 + week, faults_per_gun=faults_per_gun
                )
                figures = figures_of(run)
                arrivals += figures.came
                shares.append(1.0 if figures.share_within is None else figures.share_within)
            trials[agreements] = judge(agreements, shares, arrivals)
            if on_trial is not None:
                on_trial(trials[agreements])
        return trials[agreements].holds(goal)

    best, fails = 0, 0
    tried = min(8, at_most)
    while not fails:
        if not holds(tried):
            fails = tried
        elif tried >= at_most:
            return _answer(tried, trials, goal, weeks, unbounded=True)
        else:
            best, tried = tried, min(2 * tried, at_most)
    while fails - best > max(1, best // 50):
        middle = (best + fails) // 2
        if holds(middle):
            best = middle
        else:
            fails = middle
    return _answer(best, trials, goal, weeks)


def _answer(best: int, trials: dict[int, Trial], goal: float, weeks: int, *, unbounded: bool = False) -> Capacity:
    tried = tuple(trials[n] for n in sorted(trials) if n)
    return Capacity(agreements=best, goal=goal, weeks=weeks, trials=tried, unbounded=unbounded)
