"""The life of the demo: a seeded population of cars that comes, charges by card and goes, where nobody tests.

Only in bays without a ground lock (the public zone): a lock opens for people with a booking, and these cars have no
account. A car leaves soon after it is full, so that an undisturbed demo raises no alarm and blocks no bay.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from sandbox.fleet.traffic import Bay, Car, Traffic

MEAN_EMPTY_S: Final = 50 * 60.0
SETTLE_S: Final = 60.0
LINGER_S: Final = 240.0
TAKEN_AT_START: Final = 0.45

Step = Literal["empty", "parked", "charging", "done"]


@dataclass(kw_only=True)
class Spot:
    """One bay with its life. ``left_s`` is simulated time until its next move."""

    bay: Bay
    step: Step
    left_s: float
    car: Car | None = None


class Life:
    """Drives the cars of all life bays. Times are simulated seconds: they shrink with the speed factor."""

    def __init__(self, *, traffic: Traffic, bays: Iterable[Bay], seed: int) -> None:
        self._traffic = traffic
        self._random = random.Random(seed)
        self.spots = [
            Spot(bay=bay, step="empty", left_s=self._gap(first=True)) for bay in bays if bay.lock is None and bay.guns
        ]

    def _gap(self, *, first: bool = False) -> float:
        if first and self._random.random() < TAKEN_AT_START:
            return self._random.uniform(1.0, 40.0)
        return 60.0 + self._random.expovariate(1 / MEAN_EMPTY_S)

    def tick(self, *, dt_s: float, speeds: Mapping[str, float]) -> None:
        """Let wall time pass for every spot, at the speed of its station."""
        for spot in self.spots:
            spot.left_s -= dt_s * speeds[spot.bay.station]
            if spot.left_s <= 0:
                self._move(spot)

    def _move(self, spot: Spot) -> None:
        if spot.step == "empty":
            self._arrive(spot)
        elif spot.step == "parked":
            self._begin(spot)
        elif spot.step == "charging":
            self._watch(spot)
        else:
            self._go(spot)

    def _arrive(self, spot: Spot) -> None:
        if spot.bay.car is not None:
            spot.left_s = self._gap()
            return
        car = self._traffic.add_car(
            plate=self._plate(),
            kind=self._random.choice(("bev-ncm", "bev-lfp")),
            battery_wh=self._random.choice((42_000, 56_000, 62_000, 77_000)),
            soc_pct=self._random.uniform(15, 70),
            of_life=True,
        )
        if self._traffic.approaches[spot.bay.station]:
            self._traffic.approach(car=car, station=spot.bay.station)
        self._traffic.park(car=car, station=spot.bay.station, bay=spot.bay.code)
        spot.car, spot.step, spot.left_s = car, "parked", self._random.uniform(0.5, 1.5) * SETTLE_S

    def _begin(self, spot: Spot) -> None:
        car = spot.car
        free = [gun for gun in spot.bay.guns if gun.charger.connector(gun.number).status == "available"]
        if car is None or car.state != "parked" or not free:
            spot.step, spot.left_s = "done", LINGER_S
            return
        gun = free[0]
        self._traffic.plug(car=car, charger=gun.charger, number=gun.number)
        gun.charger.connector(gun.number).begin(session_id=None)
        gun.charger.flush()
        spot.step, spot.left_s = "charging", 30.0

    def _watch(self, spot: Spot) -> None:
        car = spot.car
        if car is None or car.gun is None:
            spot.step, spot.left_s = "done", LINGER_S
            return
        gun = car.gun.charger.connector(car.gun.number)
        if gun.session is None:
            spot.step, spot.left_s = "done", LINGER_S * self._random.uniform(0.3, 1.0)
        else:
            spot.left_s = 30.0

    def _go(self, spot: Spot) -> None:
        car = spot.car
        if car is not None:
            if car.gun is not None:
                self._traffic.unplug(car=car)
            if car.bay is spot.bay:
                self._traffic.leave(car=car)
            self._traffic.forget(car=car)
        spot.car, spot.step, spot.left_s = None, "empty", self._gap()

    def _plate(self) -> str:
        while True:
            plate = f"京AD{self._random.randrange(80_000, 99_999):05d}"
            if plate not in self._traffic.cars:
                return plate
