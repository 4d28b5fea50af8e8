"""Names of the topics between devices and the service (contract version 1, `docs/device-makers.md`).

    ev/v1/{station}/{kind}/{device}/{channel}

Pure: the bridge, the service and the simulated fleet build and read topics here and nowhere else.
"""

import re
from typing import Final, Literal, NamedTuple, TypeAlias, get_args
from zlib import crc32

PREFIX: Final = "ev/v1"

Kind: TypeAlias = Literal["charger", "lock", "camera", "smoke"]
Channel: TypeAlias = Literal["telemetry", "state", "event", "ack", "cmd"]

KINDS: Final[frozenset[str]] = frozenset(get_args(Kind))
CHANNELS: Final[frozenset[str]] = frozenset(get_args(Channel))
SAFETY_CHANNELS: Final[frozenset[str]] = frozenset({"state", "event", "ack"})
"""Channels that every bridge takes in full and acknowledges only after PostgreSQL has the row and its job."""

_ID = re.compile(r"[A-Za-z0-9_-]{1,64}\Z")


class Topic(NamedTuple):
    station: str
    kind: Kind
    device: str
    channel: Channel


class TopicRefused(ValueError):
    """A topic outside the contract. `cause` is one of `bad_topic`, `bad_id`, `unknown_kind`, `unknown_channel`."""

    def __init__(self, cause: str, detail: str) -> None:
        super().__init__(f"{cause}: {detail}")
        self.cause = cause
        self.detail = detail


def is_id(text: str) -> bool:
    """Whether a text may be the code of a station or device. Wildcards, slashes and non-ASCII letters may not."""
    return _ID.match(text) is not None


def make(*, station: str, kind: str, device: str, channel: str) -> str:
    """The topic of one channel of one device. Raises `TopicRefused` for what `parse` would refuse."""
    topic = f"{PREFIX}/{station}/{kind}/{device}/{channel}"
    parse(topic)
    return topic


def parse(topic: str) -> Topic:
    """Read a topic. Raises `TopicRefused`.

    Only chargers have `telemetry`: on other kinds it is an unknown channel.
    """
    parts = topic.split("/")
    if len(parts) != 6 or parts[0] != "ev" or parts[1] != "v1":
        raise TopicRefused("bad_topic", "expected ev/v1/{station}/{kind}/{device}/{channel}")
    _, _, station, kind, device, channel = parts
    if not is_id(station):
        raise TopicRefused("bad_id", "station does not match [A-Za-z0-9_-]{1,64}")
    if not is_id(device):
        raise TopicRefused("bad_id", "device does not match [A-Za-z0-9_-]{1,64}")
    if kind not in KINDS:
        raise TopicRefused("unknown_kind", f"kind is none of {', '.join(sorted(KINDS))}")
    if channel not in CHANNELS or (channel == "telemetry" and kind != "charger"):
        raise TopicRefused("unknown_channel", f"a {kind} has no such channel")
    return Topic(station, kind, device, channel)  # type: ignore[arg-type]


def telemetry_filter() -> str:
    """What a bridge subscribes to for the telemetry lane, before `$share/{group}/`."""
    return f"{PREFIX}/+/charger/+/telemetry"


def safety_filters() -> tuple[str, ...]:
    """What every bridge subscribes to, unshared, for the safety lane."""
    return tuple(f"{PREFIX}/+/+/+/{channel}" for channel in ("state", "event", "ack"))


def state_filter() -> str:
    """The retained states, read at start by a client of their own."""
    return f"{PREFIX}/+/+/+/state"


def device_filter(*, station: str, kind: str, device: str) -> str:
    """What a device may publish below (its access rule at the broker)."""
    return make(station=station, kind=kind, device=device, channel="state").removesuffix("state") + "+"


SHARDS: Final = 16
"""Streams of the telemetry lane; fixed, because a station must not change its stream while messages are in it."""
STREAM_GROUP: Final = "ingest"


def shard_of(station: str) -> int:
    """The shard of a station."""
    return crc32(station.encode()) % SHARDS


def stream(shard: int) -> str:
    """The Valkey key of a shard; the braces keep what belongs to it on one node of a cluster."""
    return f"linli:telemetry:{{{shard}}}"
