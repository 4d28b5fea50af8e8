"""Cars and bays: who stands where, who waits before a raised lock, and what the cameras and locks see of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

from sandbox.fleet.battery import Battery, Chemistry
from sandbox.fleet.camera import Camera, EnergyType
from sandbox.fleet.charger import Charger
from sandbox.fleet.connector import PluggedCar
from sandbox.fleet.errors import CannotDo, NotThere
from sandbox.fleet.lock import Lock

CarKind = Literal["bev-ncm", "bev-lfp", "fuel"]
CarState = Literal["away", "approaching", "waiting_for_lock", "parked", "plugged"]


@dataclass(kw_only=True)
class Gun:
    """A connector as people name it: charger and number."""

    charger: Charger
    number: int

    @property
    def name(self) -> str:
        return f"{self.charger.code}/{self.number}"


@dataclass(kw_only=True)
class Bay:
    """A parking bay with what watches and serves it."""

    station: str
    code: str
    lock: Lock | None = None
    cameras: list[Camera] = field(default_factory=list)
    guns: list[Gun] = field(default_factory=list)
    car: Car | None = None


@dataclass(kw_only=True)
class Car:
    """One car. ``energy_type`` is what a camera makes of its plate."""

    plate: str
    kind: CarKind
    battery: Battery | None
    energy_type: EnergyType
    onboard_w: int = 7000
    confidence: float | None = None
    state: CarState = "away"
    station: str | None = None
    bay: Bay | None = None
    gun: Gun | None = None
    of_life: bool = False

    def describe(self) -> dict[str, Any]:
        return {
            "plate": self.plate,
            "kind": self.kind,
            "state": self.state,
            "station": self.station,
            "bay": self.bay.code if self.bay else None,
            "connector": self.gun.name if self.gun else None,
            "soc_pct": round(self.battery.soc * 100, 2) if self.battery else None,
            "battery_wh": self.battery.battery_wh if self.battery else None,
            "pack_temp_c": round(self.battery.temp_max_c, 1) if self.battery else None,
        }


class Traffic:
    """All bays and cars of the fleet, and the moves a driver can make."""

    def __init__(self) -> None:
        self.bays: dict[tuple[str, str], Bay] = {}
        self.approaches: dict[str, list[Camera]] = {}
        self.ambient_c: dict[str, float] = {}
        self.cars: dict[str, Car] = {}

    # ------------------------------------------------------------------ building

    def add_station(self, *, code: str, ambient_c: float) -> None:
        """Make a station known."""
        self.ambient_c[code] = ambient_c
        self.approaches[code] = []

    def bay_of(self, *, station: str, code: str) -> Bay:
        """The bay, made on first mention: the plan names bays only on what serves them."""
        return self.bays.setdefault((station, code), Bay(station=station, code=code))

    # ------------------------------------------------------------------ finding

    def find_car(self, plate: str) -> Car:
        """The car of that plate; raises `NotThere`."""
        car = self.cars.get(plate)
        if car is None:
            raise NotThere(code="no_car", detail=f"There is no car {plate}.", hint="Make it with POST /cars.")
        return car

    def find_bay(self, *, station: str, bay: str) -> Bay:
        """The bay of that code; raises `NotThere`."""
        self.check_station(station)
        found = self.bays.get((station, bay))
        if found is None:
            codes = ", ".join(code for at, code in self.bays if at == station)
            raise NotThere(code="no_bay", detail=f"Station {station} has no bay {bay}.", hint=f"It has {codes}.")
        return found

    def check_station(self, station: str) -> None:
        """Raise `NotThere` for a station the fleet does not simulate."""
        if station not in self.ambient_c:
            raise NotThere(
                code="no_station",
                detail=f"There is no simulated station {station}.",
                hint="GET /stations lists them; stations without devices are not simulated.",
            )

    # ------------------------------------------------------------------ moves

    def add_car(
        self,
        *,
        plate: str,
        kind: CarKind,
        battery_wh: int,
        soc_pct: float,
        energy_type: EnergyType | None = None,
        confidence: float | None = None,
        onboard_w: int = 7000,
        of_life: bool = False,
    ) -> Car:
        """A new car, somewhere else for now; or the same plate again, refitted, when it is away."""
        known = self.cars.get(plate)
        if known is not None and known.state != "away":
            raise CannotDo(
                code="car_is_here",
                detail=f"Car {plate} is already {known.state} at {known.station}.",
                hint=f"POST /cars/{plate}/leave first, or use it as it is.",
            )
        battery = None
        if kind != "fuel":
            chemistry: Chemistry = "ncm" if kind == "bev-ncm" else "lfp"
            battery = Battery(chemistry=chemistry, battery_wh=battery_wh, soc=soc_pct / 100, temp_c=20.0)
        car = Car(
            plate=plate,
            kind=kind,
            battery=battery,
            energy_type=energy_type or ("fuel" if kind == "fuel" else "nev"),
            onboard_w=onboard_w,
            confidence=confidence,
            of_life=of_life,
        )
        self.cars[plate] = car
        return car

    def approach(self, *, car: Car, station: str, lane: str | None = None) -> None:
        """Drive up to a station: the approach camera of the lane reads the plate."""
        self.check_station(station)
        if car.bay is not None:
            raise CannotDo(
                code="car_is_parked",
                detail=f"Car {car.plate} stands in bay {car.bay.code} of {car.station}.",
                hint=f"POST /cars/{car.plate}/leave first.",
            )
        cameras = [camera for camera in self.approaches[station] if lane is None or camera.lane == lane]
        if not cameras:
            raise NotThere(
                code="no_approach_camera",
                detail=f"Station {station} has no approach camera" + (f" on lane {lane}." if lane else "."),
                hint="Park without approaching, or GET /stations for the lanes.",
            )
        car.state, car.station = "approaching", station
        if car.battery is not None and not car.of_life:
            car.battery.temp_c = max(car.battery.temp_c, self.ambient_c[station])
        cameras[0].read_lane(plate=car.plate, energy_type=car.energy_type, confidence=car.confidence)

    def park(self, *, car: Car, station: str, bay: str) -> None:
        """Drive into a bay; before a raised lock the car waits, and enters by itself when the lock is down."""
        place = self.find_bay(station=station, bay=bay)
        if car.bay is place:
            return
        if car.state in {"parked", "plugged"}:
            raise CannotDo(
                code="car_is_parked",
                detail=f"Car {car.plate} stands in bay {car.bay.code if car.bay else '?'} of {car.station}.",
                hint=f"POST /cars/{car.plate}/leave first.",
            )
        if place.car is not None:
            raise CannotDo(
                code="bay_is_taken",
                detail=f"Bay {bay} holds car {place.car.plate} ({place.car.state}).",
                hint=f"POST /cars/{place.car.plate}/leave, or take another bay.",
            )
        if car.bay is not None:
            car.bay.car = None
        place.car, car.bay, car.station = car, place, station
        if place.lock is not None and not place.lock.is_passable:
            car.state = "waiting_for_lock"
            place.lock.when_down = self.tick
        else:
            self._enter(car, place)

    def _enter(self, car: Car, place: Bay) -> None:
        car.state = "parked"
        if place.lock is not None:
            place.lock.when_down = None
            place.lock.car_enters()
        for camera in place.cameras:
            camera.see_occupied(bay=place.code, plate=car.plate, energy_type=car.energy_type, confidence=car.confidence)

    def plug(self, *, car: Car, charger: Charger, number: int) -> None:
        """Put a gun into the parked car; the cable must reach its bay."""
        gun = charger.connector(number)
        if car.state != "parked" or car.bay is None:
            raise CannotDo(
                code="car_is_not_parked",
                detail=f"Car {car.plate} is {car.state}; a gun goes only into a parked, unplugged car.",
                hint=f"POST /cars/{car.plate}/park, and wait until GET /cars shows it parked (a lock may be up).",
            )
        if car.battery is None:
            raise CannotDo(code="fuel_car", detail=f"Car {car.plate} burns fuel.", hint="Use a bev-ncm or bev-lfp car.")
        reach = [reached.name for reached in car.bay.guns]
        if f"{charger.code}/{number}" not in reach:
            raise CannotDo(
                code="out_of_reach",
                detail=f"The cable of {charger.code}/{number} does not reach bay {car.bay.code}.",
                hint=f"Bay {car.bay.code} is reached by {', '.join(reach) or 'no connector'}.",
            )
        if gun.car is not None:
            raise CannotDo(
                code="gun_in_use",
                detail=f"Connector {charger.code}/{number} is in car {gun.car.plate}.",
                hint="Take another connector of the bay, or unplug that car.",
            )
        car.gun, car.state = Gun(charger=charger, number=number), "plugged"
        charger.plug(
            number=number,
            car=PluggedCar(plate=car.plate, battery=car.battery, onboard_w=car.onboard_w, vin=vin_of(car.plate)),
        )

    def unplug(self, *, car: Car) -> None:
        """Take the gun out; a running session ends with reason `unplugged`."""
        if car.gun is None:
            raise CannotDo(
                code="car_is_not_plugged", detail=f"Car {car.plate} is {car.state}.", hint="Nothing to unplug."
            )
        gun, car.gun, car.state = car.gun, None, "parked"
        gun.charger.unplug(number=gun.number)

    def leave(self, *, car: Car) -> None:
        """Drive away: the lock and the bay camera see the bay empty."""
        if car.gun is not None:
            raise CannotDo(
                code="car_is_plugged",
                detail=f"Car {car.plate} is plugged into {car.gun.name}.",
                hint=f"POST /cars/{car.plate}/unplug first.",
            )
        place, was = car.bay, car.state
        car.bay, car.station, car.state = None, None, "away"
        if place is None:
            return
        place.car = None
        if was == "parked":
            if place.lock is not None:
                place.lock.car_leaves()
            for camera in place.cameras:
                camera.see_free(bay=place.code)

    def tow(self, *, car: Car) -> None:
        """Take the car away, whatever it does: unplug, leave."""
        if car.gun is not None:
            self.unplug(car=car)
        self.leave(car=car)

    def forget(self, *, car: Car) -> None:
        """Drop a car that is away."""
        if car.state == "away":
            self.cars.pop(car.plate, None)

    def tick(self) -> None:
        """Let cars in whose lock has come down meanwhile."""
        for place in self._waited_for():
            car, lock = place.car, place.lock
            if car is not None and lock is not None and lock.is_passable:
                self._enter(car, place)

    def _waited_for(self) -> Iterable[Bay]:
        return [car.bay for car in self.cars.values() if car.state == "waiting_for_lock" and car.bay is not None]


def vin_of(plate: str) -> str:
    """A vehicle identification number that follows from the plate; valid characters, 17 of them."""
    alphabet = "ABCDEFGHJKLMNPRSTUVWXYZ0123456789"
    number = int.from_bytes(plate.encode(), "big")
    letters = []
    for _ in range(14):
        number, rest = divmod(number, len(alphabet))
        letters.append(alphabet[rest])
    return "LLX" + "".join(letters)
