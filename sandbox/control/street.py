"""What a tester sees and does on the street: stations, devices, cars, faults."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from litestar import Controller, get, post
from litestar.status_codes import HTTP_200_OK, HTTP_201_CREATED

from sandbox.control.desk import Answer, Desk
from sandbox.fleet.errors import CannotDo, NotThere, NotUnderstood
from sandbox.fleet.faults.catalogue import CATALOGUE, FaultArgs
from sandbox.fleet.fleet import Fleet
from sandbox.fleet.traffic import Car


class NewCar(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A car. ``energy_type`` and ``confidence`` are what cameras make of its plate."""

    plate: Annotated[str, msgspec.Meta(min_length=1, max_length=32)]
    kind: Literal["bev-ncm", "bev-lfp", "fuel"] = "bev-ncm"
    battery_wh: Annotated[int, msgspec.Meta(ge=1000, le=500_000)] = 60_000
    soc_pct: Annotated[float, msgspec.Meta(ge=0, le=100)] = 40.0
    onboard_w: Annotated[int, msgspec.Meta(ge=1400, le=22_000)] = 7000
    energy_type: Literal["nev", "fuel", "unknown"] | None = None
    confidence: Annotated[float, msgspec.Meta(ge=0, le=1)] | None = None


class Approach(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    station: str
    lane: str | None = None


class Park(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    station: str
    bay: str


class Plug(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """``connector`` is CHARGER/NUMBER, or CHARGER alone with ``number``; left out: the first free one in reach."""

    connector: str | None = None
    number: int | None = None


class Speed(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """At most 60: above it, charge would jump more between two reports than the safety rules believe."""

    speed: Annotated[float, msgspec.Meta(ge=0.1, le=60)]
    station: str | None = None


class NewFault(FaultArgs, kw_only=True, forbid_unknown_fields=True):
    device: str
    fault: str


def normalise(plate: str) -> str:
    """The plate as cameras write it: upper case, no dot, blank or dash."""
    return "".join(letter for letter in plate.upper() if letter not in "·•.- 　")


def _moved(fleet: Fleet, car: Car, did: str, messages: list[dict[str, Any]]) -> Answer:
    lock = car.bay.lock if car.bay else None
    hint = None
    if car.state == "waiting_for_lock" and lock is not None:
        hint = f"Lock {lock.code} is {lock.position}; the car enters by itself when it is down. GET /cars/{car.plate}."
    return {"did": did, "car": car.describe(), "next": hint, "published": messages}


class StreetController(Controller):
    """Stations and devices as they physically are."""

    @get("/stations")
    async def stations(self, desk: Desk) -> Answer:
        """The simulated stations, with `life` where cars come and go by themselves."""
        fleet = desk.fleet
        items = []
        for code, plan in fleet.stations.items():
            bays = [bay for (station, _), bay in fleet.traffic.bays.items() if station == code]
            items.append(
                {
                    "code": code,
                    "name": plan.name,
                    "life": plan.life,
                    "speed": fleet.speeds[code],
                    "devices": len(plan.chargers) + len(plan.locks) + len(plan.cameras) + len(plan.smoke),
                    "bays": len(bays),
                    "cars": sum(bay.car is not None for bay in bays),
                }
            )
        return {"items": items}

    @get("/stations/{code:str}")
    async def station(self, desk: Desk, code: str) -> Answer:
        """One station: its devices, and its bays with lock, connectors and car."""
        fleet = desk.fleet
        fleet.traffic.check_station(code)
        plan = fleet.stations[code]
        return {
            "code": code,
            "name": plan.name,
            "life": plan.life,
            "speed": fleet.speeds[code],
            "ambient_c": plan.ambient_c,
            "lanes": [camera.lane for camera in fleet.traffic.approaches[code]],
            "bays": [
                {
                    "code": bay.code,
                    "lock": bay.lock.code if bay.lock else None,
                    "lock_position": bay.lock.position if bay.lock else None,
                    "cameras": [camera.code for camera in bay.cameras],
                    "connectors": [gun.name for gun in bay.guns],
                    "car": bay.car.plate if bay.car else None,
                    "car_state": bay.car.state if bay.car else None,
                }
                for (station, _), bay in fleet.traffic.bays.items()
                if station == code
            ],
            "devices": [
                {"code": entry.device.code, "kind": entry.device.kind, "connected": entry.link.connected}
                for entry in fleet.entries.values()
                if entry.device.station == code
            ],
        }

    @post("/speed", status_code=HTTP_200_OK)
    async def set_speed(self, desk: Desk, data: Speed) -> Answer:
        """Let physics run faster or slower than the clock, at one station or at all."""
        desk.fleet.set_speed(speed=data.speed, station=data.station)
        where = f"at {data.station}" if data.station else "everywhere"
        return {"did": f"Energy and heat {where} pass {data.speed:g} times as fast as the clock.", "speed": data.speed}

    @get("/devices/{code:str}")
    async def device(self, desk: Desk, code: str) -> Answer:
        """One device: connection, what it reports, what is physically so (`truth`), its newest messages."""
        entry = desk.fleet.entry(code)
        device, link = entry.device, entry.link
        return {
            "code": code,
            "kind": device.kind,
            "station": device.station,
            "connected": link.connected,
            "connects": link.connects,
            "refused_by_broker": link.refused,
            "waiting_messages": len(link.outbox.waiting) + len(link.outbox.in_flight),
            "lost_messages": link.outbox.lost,
            "boot": device.boot,
            "seq": device.seq,
            "report_interval_s": device.report_interval_s,
            "state": device.state(),
            "truth": device.truth(),
            "recent": desk.fleet.recent(device=code),
        }

    @get("/faults")
    async def faults(self) -> Answer:
        """Every fault with the devices it fits, what it does and what else it reads."""
        return {
            "items": [
                {"fault": fault.name, "devices": fault.kinds, "what": fault.says, "reads": fault.args}
                for fault in sorted(CATALOGUE.values(), key=lambda fault: (fault.kinds, fault.name))
            ]
        }

    @post("/faults", status_code=HTTP_200_OK)
    async def cause(self, desk: Desk, data: NewFault) -> Answer:
        """Cause a fault, or end one (`clear`, `online`, `smoke_clear`, …)."""
        args = FaultArgs(**{name: getattr(data, name) for name in FaultArgs.__struct_fields__})
        with desk.fleet.recording() as messages:
            did = desk.fleet.cause(name=data.fault, device=data.device, args=args)
        return {"did": did, "device": data.device, "fault": data.fault, "published": messages}


class CarController(Controller):
    """Cars and their drivers."""

    path = "/cars"

    @get()
    async def cars(self, desk: Desk, station: str | None = None) -> Answer:
        """The cars that are somewhere, and those a tester made."""
        return {
            "items": [
                car.describe() for car in desk.fleet.traffic.cars.values() if station is None or car.station == station
            ]
        }

    @post(status_code=HTTP_201_CREATED)
    async def add(self, desk: Desk, data: NewCar) -> Answer:
        """A new car, away from every station; or the same plate again with another battery, when it is away."""
        plate = normalise(data.plate)
        if not plate:
            raise NotUnderstood(code="bad_plate", detail="The plate is empty.", hint="For example 京AD12345.")
        car = desk.fleet.traffic.add_car(
            plate=plate,
            kind=data.kind,
            battery_wh=data.battery_wh,
            soc_pct=data.soc_pct,
            energy_type=data.energy_type,
            confidence=data.confidence,
            onboard_w=data.onboard_w,
        )
        return {"did": f"Car {plate} exists, away from every station.", "car": car.describe()}

    @get("/{plate:str}")
    async def car(self, desk: Desk, plate: str) -> Answer:
        """One car."""
        return desk.fleet.traffic.find_car(normalise(plate)).describe()

    @post("/{plate:str}/approach", status_code=HTTP_200_OK)
    async def approach(self, desk: Desk, plate: str, data: Approach) -> Answer:
        """Drive up: the approach camera reads the plate."""
        fleet, car = desk.fleet, desk.fleet.traffic.find_car(normalise(plate))
        with fleet.recording() as messages:
            fleet.traffic.approach(car=car, station=data.station, lane=data.lane)
        return _moved(fleet, car, "The approach camera saw the car.", messages)

    @post("/{plate:str}/park", status_code=HTTP_200_OK)
    async def park(self, desk: Desk, plate: str, data: Park) -> Answer:
        """Drive into a bay. Before a raised lock the car waits and enters by itself when the lock is down."""
        fleet, car = desk.fleet, desk.fleet.traffic.find_car(normalise(plate))
        with fleet.recording() as messages:
            fleet.traffic.park(car=car, station=data.station, bay=data.bay)
        waits = car.state == "waiting_for_lock"
        return _moved(fleet, car, "The car waits before the raised lock." if waits else "The car is parked.", messages)

    @post("/{plate:str}/plug", status_code=HTTP_200_OK)
    async def plug(self, desk: Desk, plate: str, data: Plug) -> Answer:
        """Put a gun into the parked car."""
        fleet, car = desk.fleet, desk.fleet.traffic.find_car(normalise(plate))
        charger, number = _choose_gun(fleet, car, data)
        with fleet.recording() as messages:
            fleet.traffic.plug(car=car, charger=fleet.charger(charger), number=number)
        return _moved(fleet, car, f"Plugged into {charger}/{number}.", messages)

    @post("/{plate:str}/unplug", status_code=HTTP_200_OK)
    async def unplug(self, desk: Desk, plate: str) -> Answer:
        """Take the gun out; a running session ends with reason `unplugged`."""
        fleet, car = desk.fleet, desk.fleet.traffic.find_car(normalise(plate))
        with fleet.recording() as messages:
            fleet.traffic.unplug(car=car)
        return _moved(fleet, car, "The gun is out.", messages)

    @post("/{plate:str}/leave", status_code=HTTP_200_OK)
    async def leave(self, desk: Desk, plate: str) -> Answer:
        """Drive away: lock and camera see the bay empty."""
        fleet, car = desk.fleet, desk.fleet.traffic.find_car(normalise(plate))
        with fleet.recording() as messages:
            fleet.traffic.leave(car=car)
        return _moved(fleet, car, "The car is gone.", messages)

    @post("/{plate:str}/tow", status_code=HTTP_200_OK)
    async def tow(self, desk: Desk, plate: str) -> Answer:
        """Take the car away whatever it does; no error when it is not here: a clean start for a test."""
        fleet = desk.fleet
        car = fleet.traffic.cars.get(normalise(plate))
        if car is None:
            return {"did": "There was no such car.", "car": None, "next": None, "published": []}
        with fleet.recording() as messages:
            fleet.traffic.tow(car=car)
        return _moved(fleet, car, "The car was towed away.", messages)


def _choose_gun(fleet: Fleet, car: Car, wanted: Plug) -> tuple[str, int]:
    """Charger and number that the tester means; raises with what would do."""
    if wanted.connector is None:
        if car.bay is None:
            raise CannotDo(
                code="car_is_not_parked",
                detail=f"Car {car.plate} is {car.state}.",
                hint=f"POST /cars/{car.plate}/park first, or name the connector.",
            )
        for gun in car.bay.guns:
            if wanted.number in (None, gun.number) and gun.charger.connector(gun.number).status == "available":
                return gun.charger.code, gun.number
        names = ", ".join(gun.name for gun in car.bay.guns)
        raise CannotDo(
            code="no_free_connector",
            detail=f"No free connector reaches bay {car.bay.code}.",
            hint=f"In reach: {names or 'none'}; GET /devices/{{charger}} shows why it is not available.",
        )
    code, _, tail = wanted.connector.partition("/")
    if tail and not tail.isdigit():
        raise NotThere(
            code="no_connector", detail=f"{wanted.connector} is no connector.", hint="Write CHARGER/NUMBER, e.g. D1/1."
        )
    if tail:
        return code, int(tail)
    return code, wanted.number if wanted.number is not None else min(fleet.charger(code).connectors)
