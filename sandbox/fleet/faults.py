"""The faults a tester can cause, each with a name, the devices it fits and a sentence on what it does.

A fault changes what is physically so (a loose cell connection heats under current) or how a device behaves (no
network, no answers); what the device then reports follows from that. `Fault.apply` returns a sentence for the tester.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import exp
from typing import Any, Final

import msgspec

from sandbox.fleet.battery import HOT_SPOT_TO_PACK_S
from sandbox.fleet.camera import Camera
from sandbox.fleet.charger import Charger
from sandbox.fleet.connector import Connector, GunFaults
from sandbox.fleet.device import Device
from sandbox.fleet.errors import CannotDo, NotThere, NotUnderstood
from sandbox.fleet.link import Link
from sandbox.fleet.lock import Lock
from sandbox.fleet.smoke import Smoke


class FaultArgs(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What a fault may be told beside its device; each fault names the ones it reads."""

    connector: int | None = None
    to_c: float | None = None
    within_s: float | None = None
    value: float | None = None
    bay: str | None = None
    reason: str | None = None


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One entry of the catalogue."""

    name: str
    kinds: tuple[str, ...]
    says: str
    args: tuple[str, ...]
    apply: Callable[[Any, Link, FaultArgs], str]


ALL: Final = ("charger", "lock", "camera", "smoke")
CATALOGUE: Final[dict[str, Fault]] = {}


def _fault(
    name: str, *kinds: str, says: str, args: tuple[str, ...] = ()
) -> Callable[[Callable[[Any, Link, FaultArgs], str]], Callable[[Any, Link, FaultArgs], str]]:
    def add(apply: Callable[[Any, Link, FaultArgs], str]) -> Callable[[Any, Link, FaultArgs], str]:
        CATALOGUE[name] = Fault(name=name, kinds=kinds or ALL, says=says, args=args, apply=apply)
        return apply

    return add


def apply_fault(*, name: str, device: Device, link: Link, args: FaultArgs) -> str:
    """Cause the fault; raises `NotThere`, `NotUnderstood` or `CannotDo` with a hint."""
    fault = CATALOGUE.get(name)
    if fault is None:
        raise NotThere(
            code="no_fault", detail=f"There is no fault {name}.", hint="GET /faults lists them with their devices."
        )
    if device.kind not in fault.kinds:
        fitting = ", ".join(sorted(entry.name for entry in CATALOGUE.values() if device.kind in entry.kinds))
        raise NotUnderstood(
            code="fault_does_not_fit",
            detail=f"{name} is a fault of a {' or '.join(fault.kinds)}; {device.code} is a {device.kind}.",
            hint=f"A {device.kind} can have: {fitting}.",
        )
    return fault.apply(device, link, args)


def _gun(device: Charger, args: FaultArgs) -> Connector:
    return device.connector(args.connector if args.connector is not None else min(device.connectors))


# ---------------------------------------------------------------------- any device


@_fault("offline", says="loses the network; keeps living, stores its last 200 messages")
def _offline(device: Device, link: Link, args: FaultArgs) -> str:
    link.go_offline()
    return "The broker publishes the last will now; messages wait in the device until `online`."


@_fault("online", says="gets the network back and sends what it stored, oldest first")
def _online(device: Device, link: Link, args: FaultArgs) -> str:
    waiting = len(link.outbox.waiting)
    link.go_online()
    return f"Reconnects within a second or two and sends {waiting} stored messages, then its state."


@_fault("reboot", says="starts again: higher boot number, sequence from 0; a charger loses its sessions, a lock lowers")
def _reboot(device: Device, link: Link, args: FaultArgs) -> str:
    link.drop()
    device.reboot()
    return f"Comes back within seconds with boot {device.boot}."


@_fault("silent", says="stays connected but sends nothing (no last will either), until `talk`")
def _silent(device: Device, link: Link, args: FaultArgs) -> str:
    device.muted = True
    return "Sends nothing from now on; the service must notice after three report intervals."


@_fault("talk", says="ends `silent`")
def _talk(device: Device, link: Link, args: FaultArgs) -> str:
    device.muted = False
    device.connected()
    return "Sends its state and reports again."


@_fault("deaf", says="ignores commands: no acknowledgement, until `hears`")
def _deaf(device: Device, link: Link, args: FaultArgs) -> str:
    device.deaf = True
    return "Commands get no answer from now on."


@_fault("hears", says="ends `deaf`")
def _hears(device: Device, link: Link, args: FaultArgs) -> str:
    device.deaf = False
    return "Answers commands again."


@_fault("wrong_clock", args=("value",), says="its clock is off by `value` seconds (default 3600; 0 repairs it)")
def _wrong_clock(device: Device, link: Link, args: FaultArgs) -> str:
    device.clock_offset_s = 3600.0 if args.value is None else args.value
    device.publish_state()
    return f"Time stamps are off by {device.clock_offset_s:g} s."


@_fault("repeat", says="sends its last message once more, same msg_id")
def _repeat(device: Device, link: Link, args: FaultArgs) -> str:
    device.repeat_last()
    return "The same message went out twice; it must count once."


@_fault("garbage", says="sends one payload that is not JSON, one with a wrong type and one that is too big")
def _garbage(device: Device, link: Link, args: FaultArgs) -> str:
    device.publish_raw("event", b"\x00\xffnot json")
    device.publish_raw("event", b'{"msg_id":"g","boot":"one","seq":-1,"ts":7,"code":3}')
    device.publish_raw("event", b'{"msg_id":"' + b"x" * 20_000 + b'"}')
    return "Three payloads outside the contract; each must be refused with its cause and stop nothing."


# ---------------------------------------------------------------------- chargers


@_fault(
    "battery_over_temperature",
    "charger",
    args=("connector", "to_c", "within_s"),
    says="the cooling of the charging car fails: its pack heats to `to_c` (default its limit + 2) within `within_s`"
    " seconds of the clock (default 60), under current only; DC session needed",
)
def _battery_over_temperature(device: Charger, link: Link, args: FaultArgs) -> str:
    return _heat(device, args, spot_share=0.2, what="The pack")


@_fault(
    "battery_hot_spot",
    "charger",
    args=("connector", "to_c", "within_s"),
    says="a loose cell connection heats one module only: the spread grows; else as battery_over_temperature",
)
def _battery_hot_spot(device: Charger, link: Link, args: FaultArgs) -> str:
    return _heat(device, args, spot_share=1.0, what="The hottest module")


def _heat(device: Charger, args: FaultArgs, *, spot_share: float, what: str) -> str:
    """Choose the heat that brings the highest temperature to its goal in time, `spot_share` of it in one module."""
    gun = _gun(device, args)
    if gun.kind != "dc" or gun.session is None or gun.car is None:
        raise CannotDo(
            code="no_dc_session",
            detail=f"Connector {gun.number} of {device.code} has no running DC session, so no battery speaks.",
            hint="Plug a car into a DC connector and start a session first.",
        )
    battery = gun.car.battery
    goal = args.to_c if args.to_c is not None else battery.kind.temp_limit_c + 2.0
    rise_k = max(1.0, goal - battery.temp_max_c)
    within_s = max(1.0, args.within_s if args.within_s is not None else 60.0)
    simulated_s = within_s * device.speed
    settled = HOT_SPOT_TO_PACK_S * (1 - exp(-simulated_s / HOT_SPOT_TO_PACK_S))
    battery.spot_heat_k_per_s = spot_share * rise_k / settled
    battery.pack_heat_k_per_s = (1 - spot_share) * rise_k / simulated_s
    return (
        f"{what} of {gun.car.plate} goes from {battery.temp_max_c:.0f} to {goal:.0f} °C in {within_s:.0f} s"
        " while current flows; the heating ends with the session."
    )


@_fault("cell_over_voltage", "charger", args=("connector", "value"), says="one cell reads `value` V too high (0.15)")
def _cell_over_voltage(device: Charger, link: Link, args: FaultArgs) -> str:
    battery = _plugged(device, args).battery
    battery.cell_offset_v = 0.15 if args.value is None else args.value
    return f"cell_v_max reads {battery.cell_offset_v:g} V higher from now on."


@_fault("charge_forbidden", "charger", args=("connector",), says="the BMS forbids charging while current flows")
def _charge_forbidden(device: Charger, link: Link, args: FaultArgs) -> str:
    _plugged(device, args).battery.charge_forbidden = True
    return "The flag charge_forbidden is set in the next telemetry."


@_fault("soc_jump", "charger", args=("connector", "value"), says="the SOC reading jumps by `value` percent (-30)")
def _soc_jump(device: Charger, link: Link, args: FaultArgs) -> str:
    _gun(device, args).faults.soc_offset_pct = -30.0 if args.value is None else args.value
    device.report()
    return "Reported at once."


@_fault("broken_sensor", "charger", args=("connector", "value"), says="the pack's temperature reads `value` °C (-40)")
def _broken_sensor(device: Charger, link: Link, args: FaultArgs) -> str:
    _gun(device, args).faults.broken_temp_c = -40.0 if args.value is None else args.value
    device.report()
    return "A sensor fault, not a fire: an impossible value, reported at once."


@_fault("insulation_low", "charger", args=("connector", "value"), says="insulation falls to `value` Ω/V (90); DC")
def _insulation_low(device: Charger, link: Link, args: FaultArgs) -> str:
    gun = _gun(device, args)
    if gun.kind != "dc":
        raise CannotDo(code="not_dc", detail=f"{device.code} is an AC charger: it measures none.", hint="Use a DC one.")
    gun.faults.insulation_ohm_per_v = 90.0 if args.value is None else args.value
    device.flush()
    return "Reported at once when it crosses the charger's own limit."


@_fault("gun_over_temperature", "charger", args=("connector", "to_c"), says="the gun heats to `to_c` (105) under load")
def _gun_over_temperature(device: Charger, link: Link, args: FaultArgs) -> str:
    gun = _gun(device, args)
    gun.faults.gun_to_c = 105.0 if args.to_c is None else args.to_c
    return f"Heats from {gun.gun_c:.0f} °C towards {gun.faults.gun_to_c:.0f} °C with a lag of 400 simulated seconds."


@_fault("cabinet_over_temperature", "charger", args=("connector", "to_c"), says="the cabinet heats to `to_c` (90)")
def _cabinet_over_temperature(device: Charger, link: Link, args: FaultArgs) -> str:
    gun = _gun(device, args)
    gun.faults.cabinet_to_c = 90.0 if args.to_c is None else args.to_c
    return f"Heats from {gun.cabinet_c:.0f} °C with a lag of 400 simulated seconds."


@_fault("frozen_meter", "charger", args=("connector",), says="the meter stands still while energy flows")
def _frozen_meter(device: Charger, link: Link, args: FaultArgs) -> str:
    gun = _gun(device, args)
    gun.faults.meter_stuck_at = gun.meter_wh
    return f"The reading stays at {gun.faults.meter_stuck_at} Wh."


@_fault("meter_rollback", "charger", args=("connector", "value"), says="the meter falls by `value` Wh (5000)")
def _meter_rollback(device: Charger, link: Link, args: FaultArgs) -> str:
    gun = _gun(device, args)
    gun.faults.meter_offset_wh -= 5000 if args.value is None else int(args.value)
    device.report()
    return f"The reading is {gun.meter_wh} Wh now."


@_fault("emergency_stop", "charger", args=("connector",), says="somebody hits the red button; `clear` releases it")
def _emergency_stop(device: Charger, link: Link, args: FaultArgs) -> str:
    return _lock_out(device, args, code="emergency_stop", reason=args.reason or "button")


@_fault("leakage", "charger", args=("connector",), says="residual current trips the breaker; `clear` resets it")
def _leakage(device: Charger, link: Link, args: FaultArgs) -> str:
    return _lock_out(device, args, code="leakage", reason=args.reason or "residual current 42 mA")


@_fault("over_temperature", "charger", args=("connector",), says="the charger's own thermal interlock trips; `clear`")
def _over_temperature(device: Charger, link: Link, args: FaultArgs) -> str:
    return _lock_out(device, args, code="over_temperature", reason=args.reason or "power module")


@_fault(
    "charger_fault", "charger", args=("connector", "reason"), says="any other fault of the charger; `clear` ends it"
)
def _charger_fault(device: Charger, link: Link, args: FaultArgs) -> str:
    return _lock_out(device, args, code="fault", reason=args.reason or "contactor")


@_fault("power_lost", "charger", "lock", says="the mains fail: sessions end; a lock lowers by its spring")
def _power_lost(device: Charger | Lock, link: Link, args: FaultArgs) -> str:
    if isinstance(device, Lock):
        device.lower_by_itself()
        return "The lock lowers by itself."
    device.lose_power()
    return "Sessions ended; `power_back` brings the charger back, not the sessions."


@_fault("power_back", "charger", says="ends `power_lost`")
def _power_back(device: Charger, link: Link, args: FaultArgs) -> str:
    device.regain_power()
    return "The charger is back."


def _plugged(device: Charger, args: FaultArgs) -> Any:
    gun = _gun(device, args)
    if gun.car is None:
        raise CannotDo(
            code="no_car_plugged",
            detail=f"Connector {gun.number} of {device.code} has no car.",
            hint="POST /cars, park it in a bay of this charger, then POST /cars/{plate}/plug.",
        )
    return gun.car


def _lock_out(device: Charger, args: FaultArgs, *, code: str, reason: str) -> str:
    guns = [_gun(device, args)] if args.connector is not None else list(device.connectors.values())
    for gun in guns:
        gun.lock_out(code=code, reason=reason)
    device.flush()
    return f"Connector {', '.join(str(gun.number) for gun in guns)} is faulted until `clear`; its session ended."


# ---------------------------------------------------------------------- locks


@_fault("lock_error", "lock", says="jams: the next move ends in position `error`; `clear` repairs it")
def _lock_error(device: Lock, link: Link, args: FaultArgs) -> str:
    device.jammed = True
    return "The next raise or lower fails with error jammed."


@_fault("lock_forced", "lock", says="somebody drives over the raised lock")
def _lock_forced(device: Lock, link: Link, args: FaultArgs) -> str:
    device.force_down()
    return "The lock lies down, event forced."


@_fault("lock_sensor_unknown", "lock", says="the car sensor fails: car_present is null; `clear` repairs it")
def _lock_sensor_unknown(device: Lock, link: Link, args: FaultArgs) -> str:
    device.sensor_ok = False
    device.publish_state()
    return "car_present is null; the lock refuses to rise."


# ---------------------------------------------------------------------- cameras


@_fault("camera_smoke", "camera", args=("bay",), says="the camera sees smoke")
def _camera_smoke(device: Camera, link: Link, args: FaultArgs) -> str:
    device.see_danger(code="smoke", bay=args.bay, confidence=0.91)
    return "Event smoke."


@_fault("camera_flame", "camera", args=("bay",), says="the camera sees a flame")
def _camera_flame(device: Camera, link: Link, args: FaultArgs) -> str:
    device.see_danger(code="flame", bay=args.bay, confidence=0.94)
    return "Event flame."


@_fault("camera_person", "camera", args=("bay",), says="the camera sees a person")
def _camera_person(device: Camera, link: Link, args: FaultArgs) -> str:
    device.see_danger(code="person", bay=args.bay, confidence=0.88)
    return "Event person."


@_fault("camera_dirty", "camera", says="sees cars but cannot read plates; `clear` cleans it")
def _camera_dirty(device: Camera, link: Link, args: FaultArgs) -> str:
    device.dirty = True
    return "Plates are unreadable from now on."


@_fault("camera_blind", "camera", says="the lens is covered: its bays are unknown; `clear` uncovers it")
def _camera_blind(device: Camera, link: Link, args: FaultArgs) -> str:
    device.set_blind(True)
    return "All its bays are unknown."


# ---------------------------------------------------------------------- smoke detectors


@_fault("smoke_alarm", "smoke", says="smoke at the detector, until `smoke_clear`")
def _smoke_alarm(device: Smoke, link: Link, args: FaultArgs) -> str:
    device.turn("alarm")
    return "State alarm, event alarm."


@_fault("smoke_clear", "smoke", says="the air is clear again; also ends test, tampered, removed and fault")
def _smoke_clear(device: Smoke, link: Link, args: FaultArgs) -> str:
    device.turn("normal")
    return "State normal."


@_fault("smoke_test", "smoke", says="somebody presses the test button; back to normal with `smoke_clear`")
def _smoke_test(device: Smoke, link: Link, args: FaultArgs) -> str:
    device.turn("test")
    return "A test raises no incident."


@_fault("tamper", "smoke", says="somebody opens the detector")
def _tamper(device: Smoke, link: Link, args: FaultArgs) -> str:
    device.turn("tampered")
    return "State tampered."


@_fault("smoke_removed", "smoke", says="somebody takes the detector off its base")
def _smoke_removed(device: Smoke, link: Link, args: FaultArgs) -> str:
    device.turn("removed")
    return "State removed."


@_fault("smoke_fault", "smoke", says="the detector's own chamber fails")
def _smoke_fault(device: Smoke, link: Link, args: FaultArgs) -> str:
    device.turn("fault")
    return "State fault."


@_fault("low_battery", "smoke", "lock", args=("value",), says="the battery is at `value` percent (8)")
def _low_battery(device: Smoke | Lock, link: Link, args: FaultArgs) -> str:
    device.set_battery(8.0 if args.value is None else args.value)
    return f"battery_pct is {device.battery_pct:g}."


# ---------------------------------------------------------------------- repair


@_fault("clear", says="repairs everything at the device: locked-out guns, sensors, jams, dirt, alarm, clock, silence")
def _clear(device: Device, link: Link, args: FaultArgs) -> str:
    device.muted = device.deaf = False
    device.clock_offset_s = 0.0
    if isinstance(device, Charger):
        _clear_charger(device)
    elif isinstance(device, Lock):
        device.sensor_ok, device.battery_pct = True, 92.0
        device.unjam()
    elif isinstance(device, Camera):
        device.dirty = False
        device.set_blind(False)
    elif isinstance(device, Smoke):
        device.battery_pct = 96.0
        device.turn("normal")
    link.go_online()
    return "Everything at this device is in order again."


def _clear_charger(device: Charger) -> None:
    if not device.powered:
        device.regain_power()
    for gun in device.connectors.values():
        was = gun.faults.locked_out
        gun.faults = GunFaults(meter_offset_wh=gun.faults.meter_offset_wh)
        if gun.car is not None:
            gun.car.battery.spot_heat_k_per_s = gun.car.battery.pack_heat_k_per_s = 0.0
            gun.car.battery.cell_offset_v = 0.0
            gun.car.battery.charge_forbidden = False
        if was is not None:
            gun.emit("fault_cleared", connector=gun.number, meter_wh=gun.meter_wh, detail=was)
    device.flush()
    device.report()
