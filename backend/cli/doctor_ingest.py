"""`linli doctor` on the ingest lanes: the stated capacity, what waits, and what was beyond it."""

import math

import redis.asyncio as redis
from redis.exceptions import RedisError

from backend.core import db
from backend.core.settings import Settings
from backend.telemetry.load import DEVICE_BUFFER, Load, current_load
from backend.telemetry.rules.capacity import capacity
from mqtt_bridge import topics

MAX_QUEUED_MESSAGES = 1_000_000
MAX_QUEUED_BYTES = 512 * 1024 * 1024
"""What our mosquitto.conf says for one session; a broker set otherwise holds otherwise."""
STREAM_ENTRIES = 50_000
"""mqtt_bridge.streams.MOST_ENTRIES, of each shard (the bridge is not imported here)."""
MESSAGE_BYTES = 600
"""A charger's telemetry with battery values and its MQTT topic; AC and locks are shorter."""
MEASURED_RATES = (100, 1_000, 2_000)


async def read_load(settings: Settings) -> Load:
    """Read the fleet's load with a connection of its own."""
    await db.open_database(settings.database_url, min_size=1, max_size=1)
    try:
        return await current_load()
    finally:
        await db.close_database()


async def read_streams(settings: Settings) -> tuple[int, int, int | None]:
    """Return how many entries the fullest shard and all shards hold, and Valkey's memory bound if it has one."""
    client = redis.Redis.from_url(settings.redis_url, socket_connect_timeout=5, socket_timeout=5)
    try:
        lengths = [await client.xlen(topics.stream(shard)) for shard in range(topics.SHARDS)]
        try:
            memory = int((await client.config_get("maxmemory")).get("maxmemory") or 0) or None
        except RedisError:
            memory = None
        return max(lengths), sum(lengths), memory
    finally:
        await client.aclose()


def describe(
    load: Load, *, fullest: int, entries: int, valkey_bytes: int | None, broker_dropped: int | None
) -> tuple[str, list[str]]:
    """Return the lines of the finding and what is wrong: the capacity at the fleet's rate, and what was beyond it."""
    rate = load.rate + load.telemetry_rate

    def at(each: float) -> str:
        held = capacity(
            max_queued_messages=MAX_QUEUED_MESSAGES,
            max_queued_bytes=MAX_QUEUED_BYTES,
            stream_entries=STREAM_ENTRIES,
            valkey_bytes=valkey_bytes,
            message_bytes=MESSAGE_BYTES,
            rate=each,
        )
        return f"{_span(held.broker_hours(each))} without bridges, {_span(held.stream_hours(each))} without ingest"

    lines = [
        f"{load.devices} devices, {rate:.1f} messages/s by their intervals: holds {at(rate)}",
        *(f"    at {each} messages/s: {at(each)}" for each in MEASURED_RATES),
        f"    devices without a broker keep {DEVICE_BUFFER} messages each",
        f"    waiting now: {entries} stream entries (fullest shard {fullest} of {STREAM_ENTRIES}),"
        f" {load.unhandled_safety} safety messages",
        f"    beyond it, ever: {load.lost_by_seq} lost by seq gaps,"
        f" {'unknown' if broker_dropped is None else broker_dropped} dropped by the broker since its start,"
        f" {load.refused} refused ({load.waiting_letters} kept: linli letters list)",
    ]
    wrong = []
    if fullest > STREAM_ENTRIES * 0.5:
        wrong.append("a stream is more than half full: does ingest run, does PostgreSQL keep up?")
    if broker_dropped:
        wrong.append(f"the broker dropped {broker_dropped} messages: a queue was beyond its bounds (mosquitto.conf)")
    if load.unhandled_safety > 1000:
        wrong.append(f"{load.unhandled_safety} safety messages wait: does a worker run?")
    return "\n".join(lines), wrong


def _span(hours: float) -> str:
    if math.isinf(hours):
        return "any time"
    return f"{hours:.1f} h" if hours >= 1 else f"{hours * 60:.0f} min"
