"""Faults that any device can have, and the repair of all."""

from __future__ import annotations

from sandbox.fleet.camera import Camera
from sandbox.fleet.charger import Charger
from sandbox.fleet.connector import GunFaults
from sandbox.fleet.device import Device
from sandbox.fleet.faults.catalogue import FaultArgs, fault
from sandbox.fleet.link import Link
from sandbox.fleet.lock import Lock
from sandbox.fleet.smoke import Smoke


@fault("offline", says="loses the network; keeps living, stores its last 200 messages")
def _offline(device: Device, link: Link, args: FaultArgs) -> str:
    link.go_offline()
    return "The broker publishes the last will now; messages wait in the device until `online`."


@fault("online", says="gets the network back and sends what it stored, oldest first")
def _online(device: Device, link: Link, args: FaultArgs) -> str:
    waiting = len(link.outbox.waiting)
    link.go_online()
    return f"Reconnects within a second or two and sends {waiting} stored messages, then its state."


@fault("reboot", says="starts again: higher boot number, sequence from 0; a charger loses its sessions, a lock lowers")
def _reboot(device: Device, link: Link, args: FaultArgs) -> str:
    link.drop()
    device.reboot()
    return f"Comes back within seconds with boot {device.boot}."


@fault("silent", says="stays connected but sends nothing (no last will either), until `talk`")
def _silent(device: Device, link: Link, args: FaultArgs) -> str:
    device.muted = True
    return "Sends nothing from now on; the service must notice after three report intervals."


@fault("talk", says="ends `silent`")
def _talk(device: Device, link: Link, args: FaultArgs) -> str:
    device.muted = False
    device.connected()
    return "Sends its state and reports again."


@fault("deaf", says="ignores commands: no acknowledgement, until `hears`")
def _deaf(device: Device, link: Link, args: FaultArgs) -> str:
    device.deaf = True
    return "Commands get no answer from now on."


@fault("hears", says="ends `deaf`")
def _hears(device: Device, link: Link, args: FaultArgs) -> str:
    device.deaf = False
    return "Answers commands again."


@fault("wrong_clock", args=("value",), says="its clock is off by `value` seconds (default 3600; 0 repairs it)")
def _wrong_clock(device: Device, link: Link, args: FaultArgs) -> str:
    device.clock_offset_s = 3600.0 if args.value is None else args.value
    device.publish_state()
    return f"Time stamps are off by {device.clock_offset_s:g} s."


@fault("repeat", says="sends its last message once more, same msg_id")
def _repeat(device: Device, link: Link, args: FaultArgs) -> str:
    device.repeat_last()
    return "The same message went out twice; it must count once."


@fault("garbage", says="sends one payload that is not JSON, one with a wrong type and one that is too big")
def _garbage(device: Device, link: Link, args: FaultArgs) -> str:
    device.publish_raw("event", b"\x00\xffnot json")
    device.publish_raw("event", b'{"msg_id":"g","boot":"one","seq":-1,"ts":7,"code":3}')
    device.publish_raw("event", b'{"msg_id":"' + b"x" * 20_000 + b'"}')
    return "Three payloads outside the contract; each must be refused with its cause and stop nothing."


@fault("clear", says="repairs everything at the device: locked-out guns, sensors, jams, dirt, alarm, clock, silence")
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
