"""The plan of the simulated fleet: which devices exist, where, with which broker password.

The demo seed writes it as JSON into the state folder (from the device registry, so codes and passwords agree with
the broker's access rules); the fleet reads it at its start. Codes follow the contract: ``[A-Za-z0-9_-]{1,64}``.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final, Literal

import msgspec

DEMO_SPEED: Final = 10.0
"""A DC session takes minutes, an AC one an hour; every pack still warms far below the slope of an alarm."""

__all__ = [
    "DEMO_SPEED",
    "CameraPlan",
    "ChargerPlan",
    "ConnectorPlan",
    "FleetPlan",
    "LockPlan",
    "SmokePlan",
    "StationPlan",
    "read_plan",
    "write_plan",
]


class ConnectorPlan(msgspec.Struct, frozen=True, kw_only=True):
    """One gun of a charger and the bay codes its cable reaches."""

    number: int
    max_power_w: int
    bays: list[str]


class ChargerPlan(msgspec.Struct, frozen=True, kw_only=True):
    """One charger. ``report_interval_s`` None takes the contract's default: AC 15 s, DC 5 s while a car talks."""

    code: str
    password: str
    kind: Literal["ac", "dc"]
    connectors: list[ConnectorPlan]
    report_interval_s: float | None = None


class LockPlan(msgspec.Struct, frozen=True, kw_only=True):
    """The ground lock of one bay."""

    code: str
    password: str
    bay: str
    report_interval_s: float | None = None


class CameraPlan(msgspec.Struct, frozen=True, kw_only=True):
    """A camera: ``approach`` reads plates on a ``lane``, ``bay`` sees whether its ``bays`` are occupied."""

    code: str
    password: str
    role: Literal["approach", "bay"]
    bays: list[str] = []
    lane: str | None = None
    report_interval_s: float | None = None


class SmokePlan(msgspec.Struct, frozen=True, kw_only=True):
    """A smoke detector and the area (bays or part of the station) it watches."""

    code: str
    password: str
    area: str | None = None
    report_interval_s: float | None = None


class StationPlan(msgspec.Struct, frozen=True, kw_only=True):
    """One station. With ``life`` the fleet lets a seeded population of cars come and go there by itself;
    stations a tester or the story drives keep it off."""

    code: str
    name: str
    ambient_c: float = 15.0
    chargers: list[ChargerPlan] = []
    locks: list[LockPlan] = []
    cameras: list[CameraPlan] = []
    smoke: list[SmokePlan] = []
    life: bool = False


class FleetPlan(msgspec.Struct, frozen=True, kw_only=True):
    """The whole fleet. ``speed`` accelerates physics (energy, heat), never time stamps; ``seed`` fixes the life mode.

    ``mqtt_url`` is ``mqtt://host:port`` or ``mqtts://host:port``; every device logs in with its code as user name.
    """

    mqtt_url: str
    stations: list[StationPlan]
    speed: float = DEMO_SPEED
    seed: int = 20261121


def read_plan(*, path: Path) -> FleetPlan:
    """Read the plan the seed wrote; raises ``msgspec.ValidationError`` naming the field that is wrong."""
    return msgspec.json.decode(path.read_bytes(), type=FleetPlan)


def write_plan(*, path: Path, plan: FleetPlan) -> None:
    """Write the plan, readable by its owner only, because it holds every device's password."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = msgspec.json.format(msgspec.json.encode(plan), indent=1)
    temporary = path.with_suffix(path.suffix + ".new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(text)
    temporary.replace(path)
