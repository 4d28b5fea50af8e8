"""One gun of a simulated charger: its car, its session, its meter and its heat.

Pure physics in steps of one simulated second (`advance` keeps the remainder), so that a run at speed 20 gives the
same meter, charge and temperatures as one at speed 1. What happens (plugged, session ended, …) goes to `emit`, a
callback of the charger, in the order it happens.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from sandbox.fleet.battery import Battery

Status = Literal["available", "preparing", "charging", "suspended", "finishing", "faulted", "unavailable"]

STEP_S: Final = 1.0
RAMP_SHARE_PER_S: Final = 0.1
"""A session reaches full power in ten seconds."""
SUSPENDED_BEFORE_END_S: Final = 20.0
"""Simulated seconds a full car stays `suspended` before its session ends."""
MIN_AC_W: Final = 1380
"""Six amperes on one phase: the least a pilot signal can offer. A limit below it suspends the session."""
ONBOARD_EFFICIENCY: Final = 0.92
GUN_RISE_K: Final = 32.0
CABINET_RISE_K: Final = 16.0
HEAT_LAG_S: Final = 400.0
GUN_TRIP_C: Final = 110.0
PACK_TRIP_OVER_LIMIT_K: Final = 10.0
"""The charger's own interlock stops this far above the car's limit, well after the service should have."""


@dataclass(kw_only=True)
class PluggedCar:
    """What a gun knows of the car in it: the plate for the tester, the battery for physics."""

    plate: str
    battery: Battery
    onboard_w: int = 7000
    vin: str | None = None


@dataclass(kw_only=True)
class ChargeSession:
    """A running session. ``session_id`` is None for one started on site by card (the life of the demo)."""

    session_id: str | None
    start_meter: float
    max_power_w: int | None = None
    target_soc_pct: float | None = None
    target_energy_wh: int | None = None
    ramp: float = 0.0
    full_for_s: float = 0.0


@dataclass(kw_only=True)
class GunFaults:
    """What is broken, set and cleared by the fault catalogue."""

    meter_stuck_at: int | None = None
    meter_offset_wh: int = 0
    gun_to_c: float | None = None
    cabinet_to_c: float | None = None
    insulation_ohm_per_v: float | None = None
    broken_temp_c: float | None = None
    soc_offset_pct: float = 0.0
    locked_out: str | None = None
    """Why the gun is `faulted`, until cleared."""


@dataclass(kw_only=True)
class Connector:
    """One gun. Read-only outside: use the methods."""

    number: int
    kind: Literal["ac", "dc"]
    max_power_w: int
    ambient_c: float
    emit: Callable[..., None]
    meter: float = 0.0
    limit_w: int | None = None
    car: PluggedCar | None = None
    session: ChargeSession | None = None
    armed: ChargeSession | None = None
    """A start that was accepted before the car was plugged in; it begins with the plug."""
    had_session: bool = False
    last_session_id: str | None = None
    """Of the session that ended last: a repeated stop of it is no error."""
    current_a: float = 0.0
    volt_v: float = 0.0
    faults: GunFaults = field(default_factory=GunFaults)
    gun_c: float = field(init=False)
    cabinet_c: float = field(init=False)
    _rest_s: float = 0.0

    def __post_init__(self) -> None:
        self.gun_c = self.ambient_c + 1.0
        self.cabinet_c = self.ambient_c + 5.0

    # ------------------------------------------------------------------ what shows

    @property
    def status(self) -> Status:
        """The status of the contract, from what is plugged, runs and is broken."""
        if self.faults.locked_out:
            return "faulted"
        if self.car is None:
            return "preparing" if self.armed else "available"
        if self.session is None:
            return "finishing" if self.had_session else "preparing"
        return "suspended" if self.is_suspended else "charging"

    @property
    def is_suspended(self) -> bool:
        """A session without current: the car is full, or the limit is below what a pilot can offer."""
        return self.session is not None and self.car is not None and self.offered_w() <= 0

    @property
    def meter_wh(self) -> int:
        """The reading: cumulative, floor of the true energy; a stuck meter shows its old value."""
        if self.faults.meter_stuck_at is not None:
            return self.faults.meter_stuck_at
        return max(0, int(self.meter) + self.faults.meter_offset_wh)

    @property
    def power_w(self) -> int:
        return round(self.volt_v * self.current_a * self._phase_factor)

    @property
    def _phase_factor(self) -> float:
        return 3**0.5 if self.kind == "ac" and self.max_power_w > 7400 else 1.0

    @property
    def grid_v(self) -> float:
        return 380.0 if self._phase_factor > 1 else 220.0

    def telemetry(self) -> dict[str, Any]:
        """The fields of a telemetry message beside the header."""
        fields: dict[str, Any] = {
            "connector": self.number,
            "status": self.status,
            "meter_wh": self.meter_wh,
            "power_w": self.power_w,
            "voltage_v": round(self.grid_v if self.kind == "ac" else self.volt_v, 1),
            "current_a": round(self.current_a, 1),
            "gun_temp_c": round(self.gun_c, 1),
            "cabinet_temp_c": round(self.cabinet_c, 1),
        }
        if self.kind == "dc":
            fields["insulation_ohm_per_v"] = self.faults.insulation_ohm_per_v or 1000.0 + self.number * 10
            if self.session is not None and self.car is not None:
                fields["bms"] = self.bms()
        return fields

    def bms(self) -> dict[str, Any]:
        """What the car tells a DC charger; temperatures in steps of 1 °C as in GB/T 27930."""
        assert self.car is not None
        battery, amps = self.car.battery, self.current_a
        broken = self.faults.broken_temp_c
        return {
            "soc_pct": round(min(100.0, max(0.0, battery.soc * 100 + self.faults.soc_offset_pct)), 1),
            "pack_v": round(battery.pack_v(current_a=amps), 1),
            "pack_a": round(amps, 1),
            "cell_v_max": round(battery.cell_v_max(current_a=amps), 3),
            "cell_v_min": round(battery.cell_v_min(current_a=amps), 3),
            "temp_max_c": float(round(battery.temp_max_c)) if broken is None else broken,
            "temp_min_c": float(round(battery.temp_min_c)),
            "remaining_min": round(battery.remaining_min(current_a=amps), 1),
            "flags": battery.status_flags(current_a=amps),
        }

    def bms_limits(self) -> dict[str, Any]:
        """The car's own limits (BCP), told at the start of a DC session."""
        assert self.car is not None
        battery = self.car.battery
        return {
            "chemistry": battery.chemistry,
            "cell_v_limit": battery.kind.cell_limit_v,
            "pack_v_limit": round(battery.kind.cell_limit_v * battery.kind.cells, 1),
            "temp_limit_c": battery.kind.temp_limit_c,
            "current_limit_a": round(battery.max_c_rate * battery.capacity_ah, 1),
            "capacity_wh": battery.battery_wh,
            "vin": self.car.vin,
        }

    # ------------------------------------------------------------------ what people and the service do

    def plug(self, *, car: PluggedCar) -> None:
        """The gun goes into the car."""
        self.car, self.had_session = car, False
        self.emit("plugged", connector=self.number, meter_wh=self.meter_wh)
        armed, self.armed = self.armed, None
        if armed is not None:
            armed.start_meter = self.meter
            self._start(armed)

    def unplug(self) -> None:
        """The gun comes out; a running session ends first."""
        self.end(reason="unplugged")
        self.car, self.had_session = None, False
        self.emit("unplugged", connector=self.number, meter_wh=self.meter_wh)

    def begin(
        self,
        *,
        session_id: str | None,
        max_power_w: int | None = None,
        target_soc_pct: float | None = None,
        target_energy_wh: int | None = None,
    ) -> str | None:
        """Start a session; returns why not, or None. The same session again is no error.

        Without a car the start is armed: it begins when the gun goes in, unless it is disarmed before.
        """
        for present in (self.session, self.armed):
            if present is not None:
                return None if session_id is not None and present.session_id == session_id else "busy"
        if self.faults.locked_out:
            return "faulted"
        if target_soc_pct is not None and self.kind == "ac":
            return "no_battery_data"
        session = ChargeSession(
            session_id=session_id,
            start_meter=self.meter,
            max_power_w=max_power_w,
            target_soc_pct=target_soc_pct,
            target_energy_wh=target_energy_wh,
        )
        if self.car is None:
            self.armed = session
        else:
            self._start(session)
        return None

    def disarm(self) -> None:
        """Forget a start that waits for its car."""
        self.armed = None

    def _start(self, session: ChargeSession) -> None:
        self.session, self.had_session = session, True
        about = {"connector": self.number, "session_id": session.session_id}
        self.emit("session_started", **about, meter_wh=self.meter_wh)
        if self.kind == "dc":
            self.emit("bms_limits", **about, bms=self.bms_limits())

    def end(self, *, reason: str, detail: str | None = None) -> None:
        """End the running session, if any."""
        if self.session is None:
            return
        session_id, self.session = self.session.session_id, None
        self.last_session_id = session_id
        self.current_a = self.volt_v = 0.0
        self.limit_w = None
        self.emit(
            "session_ended",
            connector=self.number,
            session_id=session_id,
            meter_wh=self.meter_wh,
            reason=reason,
            detail=detail,
        )

    def lock_out(self, *, code: str, reason: str) -> None:
        """A fault: the session ends and the gun stays `faulted` until cleared."""
        self.faults.locked_out = code
        self.armed = None
        self.emit(code, connector=self.number, meter_wh=self.meter_wh, detail=reason)
        self.end(reason=code)

    # ------------------------------------------------------------------ physics

    def offered_w(self) -> float:
        """The power the session may draw now: gun, pilot or command limit, and the car's own charger; 0 suspends."""
        if self.session is None or self.car is None or self.car.battery.is_full:
            return 0.0
        offered = float(self.max_power_w)
        for limit in (self.session.max_power_w, self.limit_w):
            if limit is not None:
                offered = min(offered, float(limit))
        if self.kind == "ac":
            return 0.0 if offered < MIN_AC_W else min(offered, float(self.car.onboard_w))
        return offered

    def advance(self, *, dt_s: float) -> None:
        """Let simulated time pass."""
        self._rest_s += dt_s
        while self._rest_s >= STEP_S:
            self._rest_s -= STEP_S
            self._step()

    def _step(self) -> None:
        car, session = self.car, self.session
        if car is not None and session is not None:
            session.ramp = min(1.0, session.ramp + RAMP_SHARE_PER_S * STEP_S)
            self._flow(car=car, power_w=self.offered_w() * session.ramp)
            self._check_end(car=car, session=session)
        elif car is not None:
            car.battery.charge(current_a=0.0, dt_s=STEP_S, ambient_c=self.ambient_c)
        self._warm()

    def _flow(self, *, car: PluggedCar, power_w: float) -> None:
        efficiency = ONBOARD_EFFICIENCY if self.kind == "ac" else 1.0
        pack_a = car.battery.current_for(power_w=power_w * efficiency)
        pack_v = car.battery.pack_v(current_a=pack_a)
        drawn_w = pack_a * pack_v / efficiency
        car.battery.charge(current_a=pack_a, dt_s=STEP_S, ambient_c=self.ambient_c)
        self.meter += drawn_w * STEP_S / 3600.0
        if self.kind == "dc":
            self.current_a, self.volt_v = pack_a, pack_v
        else:
            self.volt_v = self.grid_v
            self.current_a = drawn_w / (self.grid_v * self._phase_factor)

    def _check_end(self, *, car: PluggedCar, session: ChargeSession) -> None:
        energy, soc = session.target_energy_wh, session.target_soc_pct
        enough = energy is not None and self.meter - session.start_meter >= energy
        if enough or (soc is not None and car.battery.soc * 100 >= soc):
            self.end(reason="target")
        elif car.battery.is_full:
            session.full_for_s += STEP_S
            if session.full_for_s >= SUSPENDED_BEFORE_END_S:
                self.end(reason="car_full")
        elif self.kind == "dc" and car.battery.temp_max_c >= (car.battery.kind.temp_limit_c + PACK_TRIP_OVER_LIMIT_K):
            self.emit("bms_alarm", connector=self.number, session_id=session.session_id, detail="pack over limit")
            self.end(reason="over_temperature")
        elif self.gun_c >= GUN_TRIP_C:
            self.lock_out(code="over_temperature", reason="gun")

    def _warm(self) -> None:
        load = min(1.0, self.power_w / self.max_power_w)
        gun_c = self.ambient_c + 1.0 + GUN_RISE_K * load * load
        cabinet_c = self.ambient_c + 5.0 + CABINET_RISE_K * load
        if self.faults.gun_to_c is not None and self.current_a > 0:
            gun_c = self.faults.gun_to_c
        if self.faults.cabinet_to_c is not None:
            cabinet_c = self.faults.cabinet_to_c
        lag = STEP_S / HEAT_LAG_S
        self.gun_c += (gun_c - self.gun_c) * lag
        self.cabinet_c += (cabinet_c - self.cabinet_c) * lag
