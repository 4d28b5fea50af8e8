"""Cause a fault by name. Importing this module fills the catalogue."""

from __future__ import annotations

from sandbox.fleet.device import Device
from sandbox.fleet.errors import NotThere, NotUnderstood
from sandbox.fleet.faults import chargers, every, sensors
from sandbox.fleet.faults.catalogue import CATALOGUE, FaultArgs
from sandbox.fleet.link import Link

FILLED_BY = (every, chargers, sensors)


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
