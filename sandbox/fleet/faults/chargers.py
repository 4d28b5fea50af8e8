"""Faults of chargers, and of the batteries that hang on them; a lock's loss of power with them."""

from __future__ import annotations

from math import exp
from typing import Any

from sandbox.fleet.battery import HOT_SPOT_TO_PACK_S
from sandbox.fleet.charger import Charger
from sandbox.fleet.connector import Connector
from sandbox.fleet.errors import CannotDo
from sandbox.fleet.faults.catalogue import FaultArgs, fault
from sandbox.fleet.link import Link
from sandbox.fleet.lock import Lock


def _gun(device: Charger, args: FaultArgs) -> Connector:
    return device.connector(args.connector if args.connector is not None else min(device.connectors))


@fault(
    "battery_over_temperature",
    "charger",
    args=("connector", "to_c", "within_s"),
    says="the cooling of the charging car fails: its pack heats to `to_c` (default its limit + 2) within `within_s`"
    " seconds of the clock (default 60), under current only; DC session needed",
)
def _battery_over_temperature(device: Charger, link: Link, args: FaultArgs) -> str:
    return _heat(device, args, spot_share=0.2, what="The pack")


@fault(
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


@fault("cell_over_voltage", "charger", args=("connector", "value"), says="one cell reads `value` V too high (0.15)")
def _cell_over_voltage(device: Charger, link: Link, args: FaultArgs) -> str:
    battery = _plugged(device, args).battery
    battery.cell_offset_v = 0.15 if args.value is None else args.value
    return f"cell_v_max reads {battery.cell_offset_v:g} V higher from now on."


@fault("charge_forbidden", "charger", args=("connector",), says="the BMS forbids charging while current flows")
def _charge_forbidden(device: Charger, link: Link, args: FaultArgs) -> str:
    _plugged(device, args).battery.charge_forbidden = True
    return "The flag charge_forbidden is set in the next telemetry."


@fault("soc_jump", "charger", args=("connector", "value"), says="the SOC reading jumps by `value` percent (-30)")
def _soc_jump(device: Charger, link: Link, args: FaultArgs) -> str:
    _gun(device, args).faults.soc_offset_pct = -30.0 if args.value is None else args.value
    device.report()
    return "Reported at once."


@fault("broken_sensor", "charger", args=("connector", "value"), says="the pack's temperature reads `value` °C (-40)")
def _broken_sensor(device: Charger, link: Link, args: FaultArgs) -> str:
    _gun(device, args).faults.broken_temp_c = -40.0 if args.value is None else args.value
    device.report()
    return "A sensor fault, not a fire: an impossible value, reported at once."


@fault("insulation_low", "charger", args=("connector", "value"), says="insulation falls to `value` Ω/V (90); DC")
def _insulation_low(device: Charger, link: Link, args: FaultArgs) -> str:
    gun = _gun(device, args)
    if gun.kind != "dc":
        raise CannotDo(code="not_dc", detail=f"{device.code} is an AC charger: it measures none.", hint="Use a DC one.")
    gun.faults.insulation_ohm_per_v = 90.0 if args.value is None else args.value
    device.flush()
    return "Reported at once when it crosses the charger's own limit."


@fault("gun_over_temperature", "charger", args=("connector", "to_c"), says="the gun heats to `to_c` (105) under load")
def _gun_over_temperature(device: Charger, link: Link, args: FaultArgs) -> str:
    gun = _gun(device, args)
    gun.faults.gun_to_c = 105.0 if args.to_c is None else args.to_c
    return f"Heats from {gun.gun_c:.0f} °C towards {gun.faults.gun_to_c:.0f} °C with a lag of 400 simulated seconds."


@fault("cabinet_over_temperature", "charger", args=("connector", "to_c"), says="the cabinet heats to `to_c` (90)")
def _cabinet_over_temperature(device: Charger, link: Link, args: FaultArgs) -> str:
    gun = _gun(device, args)
    gun.faults.cabinet_to_c = 90.0 if args.to_c is None else args.to_c
    return f"Heats from {gun.cabinet_c:.0f} °C with a lag of 400 simulated seconds."


@fault("frozen_meter", "charger", args=("connector",), says="the meter stands still while energy flows")
def _frozen_meter(device: Charger, link: Link, args: FaultArgs) -> str:
    gun = _gun(device, args)
    gun.faults.meter_stuck_at = gun.meter_wh
    return f"The reading stays at {gun.faults.meter_stuck_at} Wh."


@fault("meter_rollback", "charger", args=("connector", "value"), says="the meter falls by `value` Wh (5000)")
def _meter_rollback(device: Charger, link: Link, args: FaultArgs) -> str:
    gun = _gun(device, args)
    gun.faults.meter_offset_wh -= 5000 if args.value is None else int(args.value)
    device.report()
    return f"The reading is {gun.meter_wh} Wh now."


@fault("emergency_stop", "charger", args=("connector",), says="somebody hits the red button; `clear` releases it")
def _emergency_stop(device: Charger, link: Link, args: FaultArgs) -> str:
    return _lock_out(device, args, code="emergency_stop", reason=args.reason or "button")


@fault("leakage", "charger", args=("connector",), says="residual current trips the breaker; `clear` resets it")
def _leakage(device: Charger, link: Link, args: FaultArgs) -> str:
    return _lock_out(device, args, code="leakage", reason=args.reason or "residual current 42 mA")


@fault("over_temperature", "charger", args=("connector",), says="the charger's own thermal interlock trips; `clear`")
def _over_temperature(device: Charger, link: Link, args: FaultArgs) -> str:
    return _lock_out(device, args, code="over_temperature", reason=args.reason or "power module")


@fault("charger_fault", "charger", args=("connector", "reason"), says="any other fault of the charger; `clear` ends it")
def _charger_fault(device: Charger, link: Link, args: FaultArgs) -> str:
    return _lock_out(device, args, code="fault", reason=args.reason or "contactor")


@fault("power_lost", "charger", "lock", says="the mains fail: sessions end; a lock lowers by its spring")
def _power_lost(device: Charger | Lock, link: Link, args: FaultArgs) -> str:
    if isinstance(device, Lock):
        device.lower_by_itself()
        return "The lock lowers by itself."
    device.lose_power()
    return "Sessions ended; `power_back` brings the charger back, not the sessions."


@fault("power_back", "charger", says="ends `power_lost`")
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
