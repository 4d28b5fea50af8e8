"""Payloads between devices and the service (contract version 1, `docs/device-makers.md`), and how they are refused.

Pure. Structs are named after kind and channel. Unknown fields are ignored, wrong types are refused with a cause of
their own, values that a sensor cannot mean (a pack at 300 °C) are let through: that is a finding for the rules, not a
reason to lose a message.

Every payload but a last will carries `msg_id` (unique per device), `boot` (rises at each start), `seq` (from 0, +1 per
message of that boot) and `ts` (RFC 3339, the device's own clock). A `ts` that cannot be read never refuses a message:
it counts as an implausible clock.
"""

import re
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal, TypeAlias

import msgspec

from mqtt_bridge.topics import Channel, Kind

MAX_PAYLOAD_BYTES: Final = 16 * 1024
MAX_DEPTH: Final = 16

Count = Annotated[int, msgspec.Meta(ge=0, le=2**53)]
Whole = Annotated[int, msgspec.Meta(ge=-(2**31), le=2**31 - 1)]
ConnectorNumber = Annotated[int, msgspec.Meta(ge=1, le=255)]
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=128)]
Text = Annotated[str, msgspec.Meta(max_length=2048)]

ConnectorStatus: TypeAlias = Literal[
    "available", "preparing", "charging", "suspended", "finishing", "faulted", "unavailable"
]
BmsFlag: TypeAlias = Literal[
    "cell_high", "cell_low", "soc_high", "soc_low", "over_current", "over_temp", "insulation", "connector",
    "charge_forbidden",
]  # fmt: skip
Chemistry: TypeAlias = Literal["ncm", "lfp", "unknown"]
ChargerCode: TypeAlias = Literal[
    "plugged", "unplugged", "emergency_stop", "leakage", "over_temperature", "bms_alarm", "bms_limits",
    "session_started", "session_ended", "fault", "fault_cleared", "power_lost", "power_back",
]  # fmt: skip
LockPosition: TypeAlias = Literal["up", "down", "moving", "error"]
LockCode: TypeAlias = Literal["forced", "raise_error", "lower_error", "refused_car", "low_battery"]
BayState: TypeAlias = Literal["occupied", "free", "unknown"]
CameraCode: TypeAlias = Literal["bay_occupied", "bay_free", "plate_read", "unreadable", "smoke", "flame", "person"]
EnergyType: TypeAlias = Literal["nev", "fuel", "unknown"]
SmokeStatus: TypeAlias = Literal["normal", "alarm", "fault", "tampered", "removed", "test"]
SmokeCode: TypeAlias = Literal["alarm", "alarm_cleared", "test", "fault", "tampered", "removed", "low_battery"]
CommandName: TypeAlias = Literal["start", "stop", "set_limit", "raise", "lower", "silence"]


class Message(msgspec.Struct, kw_only=True, omit_defaults=True, gc=False):
    """The header. `ts` keeps whatever the device wrote; `read_ts` makes an instant of it, or nothing."""

    msg_id: Name
    boot: Count
    seq: Count
    ts: Any = None


class Bms(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What the car's battery management tells a DC charger (GB/T 27930: BCS, BSM)."""

    soc_pct: float
    pack_v: float
    pack_a: float
    cell_v_max: float
    temp_max_c: float
    temp_min_c: float
    remaining_min: float
    flags: list[BmsFlag]
    cell_v_min: float | None = None


class BmsLimits(msgspec.Struct, kw_only=True, omit_defaults=True):
    """The car's own limits at the start of a DC session (GB/T 27930: BCP)."""

    chemistry: Chemistry
    cell_v_limit: float
    pack_v_limit: float
    temp_limit_c: float
    current_limit_a: float
    capacity_wh: Count
    vin: Text | None = None


class ChargerState(Message, kw_only=True, omit_defaults=True, gc=False):
    online: bool
    firmware: Text
    connectors: dict[str, ConnectorStatus]


class ChargerTelemetry(Message, kw_only=True, omit_defaults=True):
    connector: ConnectorNumber
    status: ConnectorStatus
    meter_wh: Count
    power_w: Whole
    voltage_v: float
    current_a: float
    gun_temp_c: float
    cabinet_temp_c: float | None = None
    insulation_ohm_per_v: float | None = None
    bms: Bms | None = None


class ChargerEvent(Message, kw_only=True, omit_defaults=True):
    code: ChargerCode
    connector: ConnectorNumber | None = None
    """Required by the contract, but an emergency stop without it is not refused."""
    session_id: Text | None = None
    meter_wh: Count | None = None
    reason: Text | None = None
    bms: BmsLimits | None = None
    detail: Text | None = None


class LockState(Message, kw_only=True, omit_defaults=True, gc=False):
    online: bool
    position: LockPosition
    car_present: bool | None
    battery_pct: float
    error: Text | None = None


class LockEvent(Message, kw_only=True, omit_defaults=True, gc=False):
    code: LockCode


class CameraState(Message, kw_only=True, omit_defaults=True, gc=False):
    online: bool
    bays: dict[str, BayState]


class CameraEvent(Message, kw_only=True, omit_defaults=True, gc=False):
    code: CameraCode
    energy_type: EnergyType = "unknown"
    confidence: float = 0.0
    bay: Text | None = None
    lane: Text | None = None
    plate: Annotated[str, msgspec.Meta(max_length=32)] | None = None
    image_ref: Text | None = None


class SmokeState(Message, kw_only=True, omit_defaults=True, gc=False):
    online: bool
    status: SmokeStatus
    battery_pct: float
    temperature_c: float | None = None
    concentration: float | None = None


class SmokeEvent(Message, kw_only=True, omit_defaults=True, gc=False):
    code: SmokeCode


class Ack(Message, kw_only=True, omit_defaults=True, gc=False):
    cmd_id: Name
    ok: bool
    error: Text | None = None


class LastWill(msgspec.Struct, kw_only=True, gc=False):
    """`{"online": false}` on `state`, published by the broker for a lost device. No header, counts by arrival."""

    online: bool


class StartArgs(msgspec.Struct, kw_only=True, omit_defaults=True):
    connector: ConnectorNumber
    session_id: Name
    max_power_w: Count | None = None
    target_soc_pct: float | None = None
    target_energy_wh: Count | None = None


class StopArgs(msgspec.Struct, kw_only=True, omit_defaults=True):
    connector: ConnectorNumber
    session_id: Name
    reason: Text


class SetLimitArgs(msgspec.Struct, kw_only=True, omit_defaults=True):
    connector: ConnectorNumber
    power_w: Count
    until: str | None = None


class Command(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What goes to a device on `cmd`. `expires_at` is in the device's own clock; the MQTT 5 expiry says the same."""

    cmd_id: Name
    name: CommandName
    args: dict[str, Any]
    expires_at: str


COMMANDS: Final[dict[str, frozenset[str]]] = {
    "charger": frozenset({"start", "stop", "set_limit"}),
    "lock": frozenset({"raise", "lower"}),
    "camera": frozenset(),
    "smoke": frozenset({"silence"}),
}
COMMAND_ARGS: Final[dict[str, type[msgspec.Struct]]] = {"start": StartArgs, "stop": StopArgs, "set_limit": SetLimitArgs}
COMMAND_LIFE_S: Final[dict[str, int]] = {"stop": 600, "lower": 600}
"""Seconds a command may wait for its device; 30 for those not named."""
ACK_WITHIN_S: Final = 10

DANGER_CODES: Final = frozenset(
    {"alarm", "bms_alarm", "emergency_stop", "flame", "leakage", "over_temperature", "person", "smoke"}
)
"""What smoke detectors, cameras and chargers say by themselves of danger."""

Payload: TypeAlias = (
    ChargerState | ChargerTelemetry | ChargerEvent | LockState | LockEvent | CameraState | CameraEvent | SmokeState
    | SmokeEvent | Ack | LastWill
)  # fmt: skip

_TYPES: dict[tuple[str, str], type[Any]] = {
    ("charger", "state"): ChargerState,
    ("charger", "telemetry"): ChargerTelemetry,
    ("charger", "event"): ChargerEvent,
    ("lock", "state"): LockState,
    ("lock", "event"): LockEvent,
    ("camera", "state"): CameraState,
    ("camera", "event"): CameraEvent,
    ("smoke", "state"): SmokeState,
    ("smoke", "event"): SmokeEvent,
    **{(kind, "ack"): Ack for kind in ("charger", "lock", "camera", "smoke")},
}
_DECODERS: dict[tuple[str, str], msgspec.json.Decoder[Any]] = {
    key: msgspec.json.Decoder(type_) for key, type_ in _TYPES.items()
}
_ENCODER = msgspec.json.Encoder()
_HEADERLESS: msgspec.json.Decoder[dict[str, Any]] = msgspec.json.Decoder(dict[str, Any])
_NOT_A_NUMBER = re.compile(rb"[:\[,]\s*[+-]?(?:nan|inf(?:inity)?)\b", re.IGNORECASE)
_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")


class Refused(ValueError):
    """A payload outside the contract.

    `cause` is one of `oversized`, `empty`, `not_utf8`, `not_json`, `not_a_number` (NaN, Infinity, out of a float's
    range), `too_deep`, `nul_character`, `missing_field`, `wrong_type`, `bad_value`, `unknown_channel`. `detail` names
    the field where there is one and never repeats a value, because values may be personal data.
    """

    def __init__(self, cause: str, detail: str) -> None:
        super().__init__(f"{cause}: {detail}")
        self.cause = cause
        self.detail = detail


def parse(kind: Kind | str, channel: Channel | str, payload: bytes) -> Payload:
    """Read one payload of a device. Raises `Refused` with the cause; nothing else."""
    if len(payload) > MAX_PAYLOAD_BYTES:
        raise Refused("oversized", f"{len(payload)} bytes; at most {MAX_PAYLOAD_BYTES}")
    decoder = _DECODERS.get((kind, channel))
    if decoder is None:
        raise Refused("unknown_channel", f"a {kind} sends nothing on {channel}")
    if not payload.isascii():
        try:
            payload.decode()
        except UnicodeDecodeError as error:
            raise Refused("not_utf8", f"byte {error.start}") from None
    if payload.count(b"{") + payload.count(b"[") > MAX_DEPTH and _depth(payload) > MAX_DEPTH:
        raise Refused("too_deep", f"nested deeper than {MAX_DEPTH}")
    if b"\\u0000" in payload and _NUL.search(payload):
        raise Refused("nul_character", "U+0000 in a text")
    try:
        return decoder.decode(payload)  # type: ignore[no-any-return]
    except msgspec.ValidationError as error:
        if channel == "state" and _is_last_will(payload):
            return LastWill(online=False)
        raise _explain(error) from None
    except msgspec.DecodeError as error:
        if not payload.strip():
            raise Refused("empty", "no payload") from None
        if _NOT_A_NUMBER.search(payload):
            raise Refused("not_a_number", "NaN and Infinity are not JSON") from None
        raise Refused("not_json", str(error)) from None


def encode(message: msgspec.Struct) -> bytes:
    """The bytes of a payload or command; fields at their default are left out."""
    return _ENCODER.encode(message)


def tells_of_danger(message: Payload) -> bool:
    """Whether a message of the safety lane may raise a critical alert by itself; it is worked off before all others.

    Samples are on that lane only when they are critical. tests/alerts/test_screen.py holds the codes to the rules.
    """
    match message:
        case ChargerTelemetry():
            return True
        case SmokeEvent() | CameraEvent() | ChargerEvent():
            return message.code in DANGER_CODES
        case SmokeState():
            return message.status in DANGER_CODES
    return False


def format_ts(moment: datetime) -> str:
    """An instant as devices write it: RFC 3339, UTC, milliseconds, `Z`."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def read_ts(ts: object) -> datetime | None:
    """The instant that a device's `ts` names, in UTC; None when it names none (no text, no offset, no such day)."""
    if not isinstance(ts, str):
        return None
    try:
        moment = datetime.fromisoformat(ts)
        return moment.astimezone(UTC) if moment.tzinfo is not None else None
    except (ValueError, OverflowError):
        return None


def _is_last_will(payload: bytes) -> bool:
    """Whether a `state` without a header is a last will: `online` false, and no part of a header."""
    try:
        fields = _HEADERLESS.decode(payload)
    except msgspec.DecodeError:
        return False
    return fields.get("online") is False and not fields.keys() & {"msg_id", "boot", "seq"}


def _explain(error: msgspec.ValidationError) -> Refused:
    """The cause of a refusal from msgspec's text, which names types and fields but no values."""
    text = str(error)
    if "missing required field" in text:
        return Refused("missing_field", text)
    if "out of range" in text:
        return Refused("not_a_number", text)
    if text.startswith("Invalid enum value"):
        path = text.rpartition(" - at ")[2]
        return Refused("bad_value", f"not one of the allowed values - at {path}")
    if " of length " in text or ">=" in text or "<=" in text:
        return Refused("bad_value", text)
    return Refused("wrong_type", text)


def _depth(payload: bytes) -> int:
    """How deep arrays and objects nest, outside strings. Linear, because it is run on hostile input."""
    deepest = depth = 0
    for token in re.finditer(rb'"(?:[^"\\]++|\\.)*+(?:"|\\?\Z)|[\[\]{}]', payload, re.DOTALL):
        first = token.group()[:1]
        if first in b"[{":
            depth += 1
            deepest = max(deepest, depth)
        elif first in b"]}":
            depth -= 1
    return deepest


class StreamItem(msgspec.Struct, array_like=True, gc=False):
    """One message on its way from the bridge to ingest: whose, which channel, when it arrived (us since 1970), what."""

    device_id: bytes
    channel: str
    received_us: int
    payload: bytes


STREAM_FIELD: Final = b"b"
"""The one field of a stream entry: several `StreamItem`s, packed."""
_PACK = msgspec.msgpack.Encoder()
_UNPACK = msgspec.msgpack.Decoder(list[StreamItem])


def pack_items(items: list[StreamItem]) -> bytes:
    """The value of a stream entry."""
    return _PACK.encode(items)


def unpack_items(entry: bytes) -> list[StreamItem]:
    """The items of a stream entry. Raises `msgspec.DecodeError` for what this bridge did not write."""
    return _UNPACK.decode(entry)
