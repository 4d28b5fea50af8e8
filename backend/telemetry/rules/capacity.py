"""How long an outage the platform bears without loss, at a rate of messages: what each store on the way holds."""

import math

import msgspec

SHARDS = 16


class Capacity(msgspec.Struct, frozen=True, kw_only=True):
    """What the broker holds while no bridge takes it, and what Valkey holds while no ingest does, in messages."""

    broker_messages: int
    stream_messages: int

    def broker_hours(self, rate: float) -> float:
        """Hours the bridges (or Valkey) may be away at `rate` messages a second."""
        return _hours(self.broker_messages, rate)

    def stream_hours(self, rate: float) -> float:
        """Hours ingest (or PostgreSQL) may be away at `rate` messages a second, before the broker's begin."""
        return _hours(self.stream_messages, rate)


def _hours(messages: int, rate: float) -> float:
    return messages / rate / 3600 if rate > 0 else math.inf


def capacity(
    *,
    max_queued_messages: int,
    max_queued_bytes: int,
    stream_entries: int,
    valkey_bytes: int | None,
    message_bytes: int,
    rate: float,
) -> Capacity:
    """Return what is held at a rate of messages of a size.

    The broker's queue ends at its count or its bytes, whichever comes first. A stream entry holds what a bridge read at
    once, counted here as what arrives in a shard within 10 ms and never less than one; Valkey's memory, where bounded,
    ends the streams too (an item costs about a quarter more than its payload).
    """
    broker = min(max_queued_messages, max_queued_bytes // message_bytes)
    per_entry = min(200, max(1, int(rate / SHARDS * 0.01)))
    streams = stream_entries * SHARDS * per_entry
    if valkey_bytes:
        streams = min(streams, int(valkey_bytes / (message_bytes * 1.25)))
    return Capacity(broker_messages=broker, stream_messages=streams)
