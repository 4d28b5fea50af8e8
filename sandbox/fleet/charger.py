"""A simulated charger on the wire: connectors, reports, commands, its own limits."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, ClassVar, Literal

import msgspec

from mqtt_bridge.messages import Command, SetLimitArgs, StartArgs, StopArgs, read_ts
from sandbox.fleet.connector import Connector, PluggedCar
from sandbox.fleet.device import Device
from sandbox.fleet.errors import NotThere
from sandbox.fleet.plan import ConnectorPlan

GUN_LIMIT_C = 90.0
CABINET_LIMIT_C = 75.0
INSULATION_LIMIT_OHM_PER_V = 500.0
WAITS_FOR_PLUG_S = 180.0
"""How long a start waits for the car to be plugged in."""


class Charger(Device):
    """A charger with one or more guns. Physics runs ``speed`` times as fast as the clock."""

    kind: ClassVar[str] = "charger"

    def __init__(
        self,
        *,
        power_kind: Literal["ac", "dc"],
        connectors: list[ConnectorPlan],
        ambient_c: float,
        speed: float,
        **common: Any,
    ) -> None:
        super().__init__(**common)
        self.power_kind = power_kind
        self.speed = speed
        self.powered = True
        self._events: list[tuple[str, dict[str, Any]]] = []
        self._limits_until: dict[int, datetime] = {}
        self._armed_until: dict[int, datetime] = {}
        start_wh = sum(self.code.encode()) * 1000
        self.connectors = {
            plan.number: Connector(
                number=plan.number,
                kind=power_kind,
                max_power_w=plan.max_power_w,
                ambient_c=ambient_c,
                emit=self._emit,
                meter=float(start_wh + plan.number),
            )
            for plan in connectors
        }
        self._shown = {number: gun.status for number, gun in self.connectors.items()}
        self._crossed = dict.fromkeys(self.connectors, False)

    def connector(self, number: int) -> Connector:
        """The gun of that number; raises `NotThere`."""
        if number not in self.connectors:
            raise NotThere(
                code="no_connector",
                detail=f"Charger {self.code} has no connector {number}.",
                hint=f"It has {', '.join(map(str, self.connectors))}.",
            )
        return self.connectors[number]

    # ------------------------------------------------------------------ messages

    def state(self) -> dict[str, Any]:
        return {
            "online": True,
            "firmware": self.firmware,
            "connectors": {
                str(number): gun.status if self.powered else "unavailable" for number, gun in self.connectors.items()
            },
        }

    def report(self) -> None:
        """Telemetry of every gun."""
        if self.powered:
            for gun in self.connectors.values():
                self.publish("telemetry", **gun.telemetry())

    def connected(self) -> None:
        self.publish_state()
        self.report()
        self.schedule_report()

    def flush(self) -> None:
        """Send what happened, then the state if a status changed, then telemetry of the guns concerned."""
        events, self._events = self._events, []
        for code, fields in events:
            self.publish("event", code=code, **fields)
        status = {number: gun.status for number, gun in self.connectors.items()}
        changed = {number for number in status if status[number] != self._shown[number]}
        self._shown = status
        if changed:
            self.publish_state()
        changed |= self._crossings()
        for number in sorted(changed):
            self.publish("telemetry", **self.connectors[number].telemetry())

    def _crossings(self) -> set[int]:
        """Guns where a value has just crossed one of the charger's own limits: reported at once."""
        news = set()
        for number, gun in self.connectors.items():
            crossed = (
                gun.gun_c >= GUN_LIMIT_C
                or gun.cabinet_c >= CABINET_LIMIT_C
                or (gun.faults.insulation_ohm_per_v or 1e9) <= INSULATION_LIMIT_OHM_PER_V
                or (
                    self.power_kind == "dc"
                    and gun.session is not None
                    and gun.car is not None
                    and (
                        gun.car.battery.temp_max_c >= gun.car.battery.kind.temp_limit_c
                        or gun.car.battery.cell_v_max(current_a=gun.current_a) > gun.car.battery.kind.cell_limit_v
                    )
                )
            )
            if crossed and not self._crossed[number]:
                news.add(number)
            self._crossed[number] = crossed
        return news

    def _emit(self, code: str, **fields: Any) -> None:
        self._events.append((code, fields))

    # ------------------------------------------------------------------ time

    def tick(self, *, dt_s: float) -> None:
        if self.powered:
            for number, until in list(self._limits_until.items()):
                if self.now() >= until:
                    del self._limits_until[number]
                    self.connectors[number].limit_w = None
            for number, until in list(self._armed_until.items()):
                if self.clock.now() >= until:
                    del self._armed_until[number]
                    self.connectors[number].disarm()
            for gun in self.connectors.values():
                gun.advance(dt_s=dt_s * self.speed)
            self.flush()
        super().tick(dt_s=dt_s)

    def reboot(self) -> None:
        """Running sessions are lost; the charger tells so when it is back, under its new boot number."""
        super().reboot()
        self._emit("power_back", detail="reboot")
        for gun in self.connectors.values():
            gun.disarm()
            gun.end(reason="power_lost", detail="reboot")
        self.flush()

    def end_lost_session(self, *, number: int, session_id: str) -> None:
        """Tell of a session that ran when the charger lost its power; what it can tell is the meter."""
        gun = self.connectors[number]
        gun.last_session_id = session_id
        self._emit(
            "session_ended",
            connector=number,
            session_id=session_id,
            meter_wh=gun.meter_wh,
            reason="power_lost",
            detail="restart",
        )

    def lose_power(self) -> None:
        """The mains fail: sessions end; a last gasp tells so."""
        for gun in self.connectors.values():
            gun.disarm()
            gun.end(reason="power_lost")
        self._events.insert(0, ("power_lost", {}))
        self.flush()
        self.powered = False
        self.publish_state()

    def regain_power(self) -> None:
        """The mains are back; sessions are not."""
        self.powered = True
        self._emit("power_back")
        self.flush()
        self.publish_state()
        self.report()

    # ------------------------------------------------------------------ people on site

    def plug(self, *, number: int, car: PluggedCar) -> None:
        """Put the gun into the car."""
        self.connector(number).plug(car=car)
        self.flush()

    def unplug(self, *, number: int) -> None:
        """Take the gun out of the car."""
        self.connector(number).unplug()
        self._limits_until.pop(number, None)
        self.flush()

    # ------------------------------------------------------------------ commands

    def execute(self, command: Command) -> None:
        error: str | None
        try:
            if not self.powered:
                error = "no_power"
            elif command.name == "start":
                error = self._start(msgspec.convert(command.args, StartArgs))
            elif command.name == "stop":
                error = self._stop(msgspec.convert(command.args, StopArgs))
            elif command.name == "set_limit":
                error = self._set_limit(msgspec.convert(command.args, SetLimitArgs))
            else:
                error = "unknown_command"
        except msgspec.ValidationError:
            error = "bad_args"
        self.acknowledge(command.cmd_id, error=error)
        self.flush()

    def _start(self, args: StartArgs) -> str | None:
        gun = self.connectors.get(args.connector)
        if gun is None:
            return "no_connector"
        error = gun.begin(
            session_id=args.session_id,
            max_power_w=args.max_power_w,
            target_soc_pct=args.target_soc_pct,
            target_energy_wh=args.target_energy_wh,
        )
        if gun.armed is not None and error is None:
            self._armed_until[gun.number] = self.clock.now() + timedelta(seconds=WAITS_FOR_PLUG_S)
        return error

    def _stop(self, args: StopArgs) -> str | None:
        gun = self.connectors.get(args.connector)
        if gun is None:
            return "no_connector"
        if gun.armed is not None and gun.armed.session_id == args.session_id:
            gun.disarm()
            return None
        if gun.session is None or gun.session.session_id != args.session_id:
            return None if gun.last_session_id == args.session_id else "no_session"
        gun.end(reason="command", detail=args.reason)
        return None

    def _set_limit(self, args: SetLimitArgs) -> str | None:
        gun = self.connectors.get(args.connector)
        if gun is None:
            return "no_connector"
        until = read_ts(args.until)
        if args.until is not None and until is None:
            return "bad_args"
        gun.limit_w = args.power_w
        self._limits_until.pop(args.connector, None)
        if until is not None:
            self._limits_until[args.connector] = until
        return None

    def truth(self) -> dict[str, Any]:
        guns = []
        for gun in self.connectors.values():
            car = gun.car
            guns.append(
                {
                    "connector": gun.number,
                    "status": gun.status,
                    "car": car.plate if car else None,
                    "session_id": gun.session.session_id if gun.session else None,
                    "meter_wh": gun.meter_wh,
                    "true_meter_wh": round(gun.meter, 3),
                    "power_w": gun.power_w,
                    "limit_w": gun.limit_w,
                    "gun_temp_c": round(gun.gun_c, 2),
                    "cabinet_temp_c": round(gun.cabinet_c, 2),
                    "soc_pct": round(car.battery.soc * 100, 3) if car else None,
                    "pack_temp_c": round(car.battery.temp_max_c, 2) if car else None,
                    "locked_out": gun.faults.locked_out,
                }
            )
        return {"powered": self.powered, "connectors": guns}
