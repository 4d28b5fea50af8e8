"""Faults of locks, cameras and smoke detectors, and what they can be made to see."""

from __future__ import annotations

from sandbox.fleet.camera import Camera
from sandbox.fleet.faults.catalogue import FaultArgs, fault
from sandbox.fleet.link import Link
from sandbox.fleet.lock import Lock
from sandbox.fleet.smoke import Smoke

# ---------------------------------------------------------------------- locks


@fault("lock_error", "lock", says="jams: the next move ends in position `error`; `clear` repairs it")
def _lock_error(device: Lock, link: Link, args: FaultArgs) -> str:
    device.jammed = True
    return "The next raise or lower fails with error jammed."


@fault("lock_forced", "lock", says="somebody drives over the raised lock")
def _lock_forced(device: Lock, link: Link, args: FaultArgs) -> str:
    device.force_down()
    return "The lock lies down, event forced."


@fault("lock_sensor_unknown", "lock", says="the car sensor fails: car_present is null; `clear` repairs it")
def _lock_sensor_unknown(device: Lock, link: Link, args: FaultArgs) -> str:
    device.sensor_ok = False
    device.publish_state()
    return "car_present is null; the lock refuses to rise."


# ---------------------------------------------------------------------- cameras


@fault("camera_smoke", "camera", args=("bay",), says="the camera sees smoke")
def _camera_smoke(device: Camera, link: Link, args: FaultArgs) -> str:
    device.see_danger(code="smoke", bay=args.bay, confidence=0.91)
    return "Event smoke."


@fault("camera_flame", "camera", args=("bay",), says="the camera sees a flame")
def _camera_flame(device: Camera, link: Link, args: FaultArgs) -> str:
    device.see_danger(code="flame", bay=args.bay, confidence=0.94)
    return "Event flame."


@fault("camera_person", "camera", args=("bay",), says="the camera sees a person")
def _camera_person(device: Camera, link: Link, args: FaultArgs) -> str:
    device.see_danger(code="person", bay=args.bay, confidence=0.88)
    return "Event person."


@fault("camera_dirty", "camera", says="sees cars but cannot read plates; `clear` cleans it")
def _camera_dirty(device: Camera, link: Link, args: FaultArgs) -> str:
    device.dirty = True
    return "Plates are unreadable from now on."


@fault("camera_blind", "camera", says="the lens is covered: its bays are unknown; `clear` uncovers it")
def _camera_blind(device: Camera, link: Link, args: FaultArgs) -> str:
    device.set_blind(True)
    return "All its bays are unknown."


# ---------------------------------------------------------------------- smoke detectors


@fault("smoke_alarm", "smoke", says="smoke at the detector, until `smoke_clear`")
def _smoke_alarm(device: Smoke, link: Link, args: FaultArgs) -> str:
    device.turn("alarm")
    return "State alarm, event alarm."


@fault("smoke_clear", "smoke", says="the air is clear again; also ends test, tampered, removed and fault")
def _smoke_clear(device: Smoke, link: Link, args: FaultArgs) -> str:
    device.turn("normal")
    return "State normal."


@fault("smoke_test", "smoke", says="somebody presses the test button; back to normal with `smoke_clear`")
def _smoke_test(device: Smoke, link: Link, args: FaultArgs) -> str:
    device.turn("test")
    return "A test raises no incident."


@fault("tamper", "smoke", says="somebody opens the detector")
def _tamper(device: Smoke, link: Link, args: FaultArgs) -> str:
    device.turn("tampered")
    return "State tampered."


@fault("smoke_removed", "smoke", says="somebody takes the detector off its base")
def _smoke_removed(device: Smoke, link: Link, args: FaultArgs) -> str:
    device.turn("removed")
    return "State removed."


@fault("smoke_fault", "smoke", says="the detector's own chamber fails")
def _smoke_fault(device: Smoke, link: Link, args: FaultArgs) -> str:
    device.turn("fault")
    return "State fault."


@fault("low_battery", "smoke", "lock", args=("value",), says="the battery is at `value` percent (8)")
def _low_battery(device: Smoke | Lock, link: Link, args: FaultArgs) -> str:
    device.set_battery(8.0 if args.value is None else args.value)
    return f"battery_pct is {device.battery_pct:g}."
