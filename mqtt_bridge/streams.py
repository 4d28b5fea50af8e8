"""Appending to the telemetry lane's streams in Valkey: one Lua call per shard and batch, all in one round trip."""

from collections.abc import Iterable
from typing import Any, Final

from redis.asyncio import Redis

from mqtt_bridge import messages, topics
from mqtt_bridge.messages import StreamItem

MOST_ENTRIES: Final = 50_000
"""Entries of one shard before the bridge takes no more: Valkey's memory is bounded, the rest waits in the broker."""
ITEMS_PER_ENTRY: Final = 200
BYTES_PER_ENTRY: Final = 256 * 1024

APPEND = """
if redis.call('XLEN', KEYS[1]) >= tonumber(ARGV[1]) then return 0 end
for i = 2, #ARGV do redis.call('XADD', KEYS[1], '*', 'b', ARGV[i]) end
return 1
"""


class StreamFull(Exception):
    """A shard holds all it may: ingest is behind. What was not appended must not be acknowledged."""


class Streams:
    """The sixteen streams. An append that raises may have happened in part: doing it again is harmless."""

    def __init__(self, valkey: "Redis") -> None:
        self._valkey = valkey
        self._append = valkey.register_script(APPEND)

    async def append(self, items: Iterable[tuple[str, StreamItem]]) -> None:
        """Append (station, item) pairs, durably (`appendfsync always`). Raises StreamFull, RedisError, OSError."""
        by_shard: dict[int, list[StreamItem]] = {}
        for station, item in items:
            by_shard.setdefault(topics.shard_of(station), []).append(item)
        if not by_shard:
            return
        pipeline = self._valkey.pipeline(transaction=False)
        for shard, shard_items in by_shard.items():
            args: list[Any] = [MOST_ENTRIES, *_entries(shard_items)]
            await self._append(keys=[topics.stream(shard)], args=args, client=pipeline)
        if not all(await pipeline.execute()):
            raise StreamFull


def _entries(items: list[StreamItem]) -> list[bytes]:
    """The items packed into entries of bounded size."""
    entries: list[bytes] = []
    chunk: list[StreamItem] = []
    size = 0
    for item in items:
        if chunk and (len(chunk) >= ITEMS_PER_ENTRY or size + len(item.payload) > BYTES_PER_ENTRY):
            entries.append(messages.pack_items(chunk))
            chunk, size = [], 0
        chunk.append(item)
        size += len(item.payload)
    entries.append(messages.pack_items(chunk))
    return entries
