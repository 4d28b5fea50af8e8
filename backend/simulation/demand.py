"""Who wants to charge in a week: residents with agreements and others, made up from a preset and a seed.

Every household has a stream of chance of its own, named by the seed and its number: the first forty of sixty households
do exactly what they do when there are only forty. That is what makes two numbers of agreements comparable.

The presets' numbers are assumptions, written down here and in docs/simulation.md; a file of the station's own arrivals
(`demand_file`) replaces them.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Protocol
from zoneinfo import ZoneInfo

from backend.simulation.station import Power

WEEK = timedelta(days=7)
MONDAY = datetime(2026, 3, 1, 16, tzinfo=UTC)
"""Monday 2 March 2026, midnight in Beijing; presets need some week, no holidays in it."""
BEIJING = ZoneInfo("Asia/Shanghai")


@dataclass(frozen=True, kw_only=True)
class Trip:
    """One wish to charge, and how its driver behaves, whatever happens.

    `arrives_at` is when the driver wants to be there; one who books is `late_by` off the slot's start (negative: early)
    and does not come at all when `shows_up` is False. After charging the car stays for `stays`, or until morning when
    it charges overnight.
    """

    number: int
    vehicle: bytes
    resident: bool
    arrives_at: datetime
    energy_wh: int
    power: Power | None
    car_w: int
    books_at: datetime | None = None
    late_by: timedelta = timedelta(0)
    shows_up: bool = True
    stays: timedelta = timedelta(0)
    stays_until_morning: bool = False
    says_when_leaving: bool = True
    takes_any: bool = False
    patience: timedelta = timedelta(minutes=30)
    answers_after: timedelta = timedelta(seconds=20)
    plugs_in_after: timedelta = timedelta(seconds=90)


class Demand(Protocol):
    """Where trips come from; presets and files both are one."""

    @property
    def name(self) -> str:
        """What it is called."""
        ...

    @property
    def agreements(self) -> int:
        """How many agreements it has unless told otherwise."""
        ...

    def trips(self, *, agreements: int, seed: int) -> list[Trip]:
        """Return a week's trips of so many agreements, and of everybody else, by time."""
        ...


@dataclass(frozen=True, kw_only=True)
class Preset:
    """A week made up; every number is per car unless it says otherwise.

    `hours` weighs the hours of the Beijing day. `charges_per_week` is a mean; energies are in kWh.
    """

    name: str
    what: str
    agreements: int
    hours: tuple[int, ...]
    others_per_day: float
    charges_per_week: float = 1.8
    books: float = 0.6
    no_show: float = 0.05
    late_leaver: float = 0.15
    overnight: float = 0.5
    says_when_leaving: float = 0.7
    wants_slow: float = 0.4
    takes_any: float = 0.8
    energy_kwh: tuple[float, float] = (10, 45)

    def trips(self, *, agreements: int, seed: int) -> list[Trip]:
        """Return a week's trips, by time; the same seed gives the same trips."""
        found: list[Trip] = []
        for home in range(agreements):
            chance = random.Random(f"{seed}:home:{home}")
            found += self._household(home, chance)
        chance = random.Random(f"{seed}:others")
        count = _poisson(self.others_per_day * 7, chance)
        found += [self._trip(f"other-{n}", False, _instant(self.hours, chance), chance) for n in range(count)]
        return numbered(found)

    def _household(self, home: int, chance: random.Random) -> list[Trip]:
        wanted = sorted(_instant(self.hours, chance) for _ in range(_poisson(self.charges_per_week, chance)))
        trips: list[Trip] = []
        for at in wanted:
            trip = self._trip(f"home-{home}", True, at, chance)
            if not trips or at - trips[-1].arrives_at >= timedelta(hours=16):
                trips.append(trip)  # nobody charges twice in one evening
        return trips

    def _trip(self, vehicle: str, resident: bool, at: datetime, chance: random.Random) -> Trip:
        slow = chance.random() < self.wants_slow and resident
        energy_wh = round(1000 * chance.uniform(*self.energy_kwh))
        car_w = chance.choice((40_000, 60_000, 80_000))
        books = resident and chance.random() < self.books
        ahead = timedelta(hours=min(72, 0.5 + chance.expovariate(1 / 10)))
        shows_up = chance.random() >= self.no_show or not books
        hour = at.astimezone(BEIJING).hour
        late = chance.random() < self.late_leaver
        stays = timedelta(minutes=chance.uniform(15, 90) if late else chance.uniform(1, 8))
        overnight = slow and hour >= 20 and chance.random() < self.overnight
        return Trip(
            number=0,
            vehicle=vehicle.encode(),
            resident=resident,
            arrives_at=at,
            energy_wh=energy_wh,
            power=("ac" if slow else "dc") if resident else None,
            car_w=car_w,
            books_at=max(at - ahead, MONDAY - WEEK) if books else None,
            late_by=timedelta(minutes=chance.gauss(-1, 5)),
            shows_up=shows_up,
            stays=stays,
            stays_until_morning=overnight,
            says_when_leaving=chance.random() < self.says_when_leaving,
            takes_any=chance.random() < self.takes_any,
            patience=timedelta(minutes=chance.uniform(15, 60)),
            answers_after=timedelta(seconds=chance.expovariate(1 / 15) + 3),
            plugs_in_after=timedelta(seconds=chance.uniform(45, 150)),
        )


def numbered(trips: Sequence[Trip]) -> list[Trip]:
    """Return the trips by time, each with its number."""
    ordered = sorted(trips, key=lambda trip: (trip.arrives_at, trip.vehicle))
    return [replace(trip, number=n) for n, trip in enumerate(ordered)]


def _instant(hours: tuple[int, ...], chance: random.Random) -> datetime:
    hour = chance.choices(range(24), weights=hours)[0]
    return MONDAY + timedelta(days=chance.randrange(7), hours=hour, seconds=chance.randrange(3600))


def _poisson(mean: float, chance: random.Random) -> int:
    """Return how often something happens that happens `mean` times on average."""
    count, at = 0, chance.expovariate(1.0)
    while at < mean:
        count += 1
        at += chance.expovariate(1.0)
    return count


EVENING = (2, 1, 1, 1, 1, 2, 4, 6, 6, 5, 4, 4, 5, 5, 4, 4, 6, 9, 12, 13, 12, 9, 6, 4)
DAYTIME = (1, 1, 1, 1, 1, 2, 4, 7, 9, 9, 9, 8, 8, 8, 8, 8, 8, 8, 7, 6, 4, 3, 2, 1)
ROUND_THE_CLOCK = (1,) * 24

PRESETS: dict[str, Preset] = {
    preset.name: preset
    for preset in (
        Preset(
            name="compound",
            what="a housing compound: evenings, half of slow charges stay overnight, few others",
            agreements=60,
            hours=EVENING,
            others_per_day=6,
        ),
        Preset(
            name="mixed",
            what="a compound beside a street: daytime others share the public zone",
            agreements=60,
            hours=DAYTIME,
            others_per_day=30,
            overnight=0.3,
        ),
        Preset(
            name="steady",
            what="arrivals spread evenly, everybody punctual enough: the station's bare limit",
            agreements=60,
            hours=ROUND_THE_CLOCK,
            others_per_day=6,
            no_show=0,
            late_leaver=0,
            overnight=0,
        ),
        Preset(name="nobody", what="no demand at all", agreements=0, hours=ROUND_THE_CLOCK, others_per_day=0),
    )
}
