"""What devices told us, as events that other features react to.

All carry who (`device_id`, `device_code`, `station_id`) and when: `occurred_at` is the device's time corrected by its
clock offset, or the arrival time where its clock was implausible (`clock_flagged`); `received_at` is when the bridge
took it from the broker. The same fact may come twice in different words (a `state` and an `event` of one smoke alarm),
so consumers are idempotent by what they decide, not by the event's id.
"""

from datetime import datetime
from typing import Any, Literal, TypeAlias
from uuid import UUID

import msgspec

from backend.core.jobs import Event
from mqtt_bridge.messages import (
    BmsLimits,
    ChargerCode,
    ChargerTelemetry,
    EnergyType,
    LockCode,
    LockPosition,
    SmokeCode,
    SmokeStatus,
)

ConnectorStatus: TypeAlias = Literal[
    "available", "preparing", "charging", "suspended", "finishing", "faulted", "unavailable", "unknown"
]
"""The device's word, or `unknown` while it is silent or offline: never the last good value."""

BayCameraCode: TypeAlias = Literal["bay_occupied", "bay_free", "bay_unknown", "unreadable"]


class DeviceEvent(Event, frozen=True, kw_only=True):
    """What every event of a device carries."""

    device_id: UUID
    device_code: str
    station_id: UUID
    occurred_at: datetime
    received_at: datetime
    clock_flagged: bool = False


class ConnectorStatusChanged(DeviceEvent, frozen=True, kw_only=True):
    connector_id: UUID
    status: ConnectorStatus
    previous: ConnectorStatus
    meter_wh: int | None = None


class ChargerEventReported(DeviceEvent, frozen=True, kw_only=True):
    """`session_id` is what the device wrote, to be checked by whoever believes it; `bms` never carries the VIN."""

    connector_id: UUID | None
    code: ChargerCode
    session_id: str | None = None
    meter_wh: int | None = None
    reason: str | None = None
    bms: BmsLimits | None = None
    detail: str | None = None


class LockReported(DeviceEvent, frozen=True, kw_only=True):
    """A lock's state changed. `car_present` None: its sensor does not know. Offline: position is the last one heard."""

    bay_id: UUID | None
    position: LockPosition | Literal["unknown"]
    car_present: bool | None
    online: bool
    battery_pct: float | None = None
    error: str | None = None


class LockEventReported(DeviceEvent, frozen=True, kw_only=True):
    bay_id: UUID | None
    code: LockCode


class BayCameraReported(DeviceEvent, frozen=True, kw_only=True):
    """A bay camera saw a bay taken, freed, or not at all; from its `event` (with plate) or a change in its `state`."""

    bay_id: UUID | None
    code: BayCameraCode
    plate_hash: bytes | None = None
    plate_cipher: bytes | None = None
    energy_type: EnergyType = "unknown"
    confidence: float = 0.0
    image_ref: str | None = None


class PlateRead(DeviceEvent, frozen=True, kw_only=True):
    """An approach camera read a plate; both are None where it could not be read (`confidence` 0)."""

    lane: str | None
    plate_hash: bytes | None
    plate_cipher: bytes | None
    energy_type: EnergyType
    confidence: float
    image_ref: str | None = None


class CameraDangerSeen(DeviceEvent, frozen=True, kw_only=True):
    code: Literal["smoke", "flame", "person"]
    bay_id: UUID | None = None
    image_ref: str | None = None
    confidence: float = 0.0


class SmokeReported(DeviceEvent, frozen=True, kw_only=True):
    """A smoke detector's `state` changed (`status` set) or it sent an `event` (`code` set); never both."""

    status: SmokeStatus | None = None
    code: SmokeCode | None = None
    online: bool = True
    battery_pct: float | None = None


class CriticalSample(DeviceEvent, frozen=True, kw_only=True):
    """A sample beyond a critical limit, over the safety lane. The same sample also comes down the telemetry lane."""

    connector_id: UUID
    sample: ChargerTelemetry


class DeviceWentSilent(DeviceEvent, frozen=True, kw_only=True):
    """Nothing was heard for the device's own `silence_intervals` reports, and the platform was not blind meanwhile."""

    kind: str
    last_seen_at: datetime | None


class DeviceCameBack(DeviceEvent, frozen=True, kw_only=True):
    """The first word after `DeviceWentSilent` or an offline spell that began at `since`."""

    kind: str
    since: datetime


class CommandAcknowledged(DeviceEvent, frozen=True, kw_only=True):
    """A device answered a command; `args` are those it was sent."""

    command_id: UUID
    name: str
    args: dict[str, Any] = msgspec.field(default_factory=dict)
    ok: bool
    error: str | None = None


class CommandTimedOut(DeviceEvent, frozen=True, kw_only=True):
    """No answer within 10 s of sending, or it could not be sent before it expired. An answer may still come."""

    command_id: UUID
    name: str
    args: dict[str, Any] = msgspec.field(default_factory=dict)
    error: Literal["timeout", "expired"] = "timeout"
