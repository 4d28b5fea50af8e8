"""Ingest: from the streams in Valkey to PostgreSQL and the live channels, acknowledged after the commit.

Any number of processes share the consumer group. A stream entry is done when history and state are committed, the
rules have seen its samples, and it is acknowledged, in this order; killed anywhere, a twin claims the entry and does it
again, which changes nothing that was done. Streams are trimmed below what everyone has acknowledged, never above.
"""

import asyncio
import contextlib
import itertools
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import msgspec
import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError

from backend.core.cancelling import end_if_cancelled
from backend.core.clock import Clock
from backend.core.live import Live
from backend.telemetry import contacts, letters, store_states
from backend.telemetry.contacts import DeviceInfo
from backend.telemetry.ingesting import Item, Outcome, store_batch
from backend.telemetry.live import show
from backend.telemetry.service import Sample
from mqtt_bridge import messages, topics

log = structlog.get_logger()

OnSamples = Callable[[Sequence[Sample]], Awaitable[None]]

READERS = 2
"""Groups of shards read side by side: one waits for PostgreSQL while the other decodes."""
ENTRIES_PER_STREAM = 30
ITEMS_PER_TRANSACTION = 3000
CLAIM_IDLE_MS = 5_000
"""A batch takes far less; while PostgreSQL is away a live twin's entries may be done twice, which changes nothing."""
CLAIM_EVERY_S = 2.0
FORGET_CONSUMER_S = 3600
LETTERS_PER_S = 50
"""Refused messages kept a second, as in the bridge; those beyond are counted."""
REPORT_EVERY_S = 1.0
DIRECTORY_FRESH_S = 30.0
BEHIND_S = 10.0
"""Further behind than this, ingest does not see devices: silence is not judged."""
COUNTERS_EVERY_S = 30.0
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
POSTGRES_AWAY = (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError)
POSTGRES_GONE = (
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InterfaceError,
    OSError,
    TimeoutError,
)
"""PostgreSQL itself is away, whatever was asked of it; `POSTGRES_AWAY` is wider, for our own statements."""
NOT_STORABLE = (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError)

Entry = tuple[bytes, bytes, list[Item]]
"""(stream, entry id, items)"""


class Consumer:
    """One ingest process."""

    def __init__(self, *, name: str, valkey: "Redis", live: Live, clock: Clock, on_samples: OnSamples) -> None:
        self._name = name
        self._valkey = valkey
        self._live = live
        self._clock = clock
        self._on_samples = on_samples
        self._directory: Mapping[UUID, DeviceInfo] = {}
        self._directory_at = EPOCH
        self._sighted_since = clock.now()
        self._letters_at, self._letters_left = 0, LETTERS_PER_S
        self.counters: Counter[str] = Counter()
        self.written = asyncio.Event()

    async def run(self) -> None:
        """Consume until cancelled; failures of Valkey and PostgreSQL are waited out."""
        shards = list(range(topics.SHARDS))
        work = [self._read_forever(shards[n::READERS]) for n in range(READERS)]
        work += [self._claim_forever(), self._report_forever(), self._log_forever()]
        async with asyncio.TaskGroup() as group:
            for job in work:
                group.create_task(job)

    async def _read_forever(self, shards: list[int]) -> None:
        streams: dict[Any, Any] = {topics.stream(shard): ">" for shard in shards}
        while True:
            end_if_cancelled()
            try:
                answer: Any = await self._valkey.xreadgroup(
                    topics.STREAM_GROUP, self._name, streams, count=ENTRIES_PER_STREAM, block=1000
                )
                await self._consume([(key, *entry) for key, entries in answer for entry in entries])
            except ResponseError as error:
                if "NOGROUP" not in str(error):
                    raise
                await self._make_groups()
            except (RedisError, OSError) as error:
                end_if_cancelled()
                log.warning("ingest_waits_for_valkey", error=type(error).__name__)
                await asyncio.sleep(0.5)

    async def _make_groups(self) -> None:
        """Make the group on every stream, from the start; also after Valkey was emptied."""
        for shard in range(topics.SHARDS):
            with contextlib.suppress(ResponseError):
                await self._valkey.xgroup_create(topics.stream(shard), topics.STREAM_GROUP, id="0", mkstream=True)

    async def _consume(self, raw: list[tuple[Any, Any, Any]]) -> None:
        """Write entries in transactions of bounded size, in their order, and acknowledge each when it is done."""
        chunk: list[Entry] = []
        size = 0
        for stream, entry_id, fields in raw:
            items = self._unpack(fields)
            if chunk and size + len(items) > ITEMS_PER_TRANSACTION:
                await self._finish(chunk)
                chunk, size = [], 0
            chunk.append((stream, entry_id, items))
            size += len(items)
        if chunk:
            await self._finish(chunk)

    def _unpack(self, fields: Any) -> list[Item]:
        try:
            packed = messages.unpack_items(fields[messages.STREAM_FIELD])
            return [
                Item(UUID(bytes=i.device_id), i.channel, EPOCH + timedelta(microseconds=i.received_us), i.payload)
                for i in packed
            ]
        except (msgspec.DecodeError, msgspec.ValidationError, KeyError, TypeError, ValueError):
            self.counters["refused_not_ours"] += 1
            return []

    async def _finish(self, chunk: list[Entry]) -> None:
        items = [item for _, _, entry_items in chunk for item in entry_items]
        outcome = await self._store(items)
        if outcome.refused:
            await self._keep_refused(outcome)
        await self._tell_rules(outcome.samples)
        await show(outcome.changed, live=self._live)
        by_stream: dict[bytes, list[bytes]] = {}
        for stream, entry_id, _ in chunk:
            by_stream.setdefault(stream, []).append(entry_id)
        pipeline = self._valkey.pipeline(transaction=False)
        for stream, ids in by_stream.items():
            pipeline.xack(stream, topics.STREAM_GROUP, *ids)
        await pipeline.execute()
        self.counters["messages"] += len(items)
        self.counters["status_changes"] += outcome.status_changes
        for cause, count in outcome.refused.items():
            self.counters[f"refused_{cause}"] += count
        self.written.set()

    async def _store(self, items: list[Item]) -> Outcome:
        """Store a batch however long it takes; what PostgreSQL refuses for its values is found by halving."""
        while True:
            try:
                await self._refresh_directory(items)
                return await store_batch(items=items, directory=self._directory, now=self._clock.now())
            except NOT_STORABLE as error:
                if len(items) == 1:
                    log.error("sample_not_storable", device=str(items[0].device_id), error=str(error))
                    return Outcome(refused=Counter(not_storable=1), letters=[(items[0], "not_storable")])
                middle = len(items) // 2
                first, second = await self._store(items[:middle]), await self._store(items[middle:])
                return Outcome(
                    samples=first.samples + second.samples,
                    changed=first.changed + second.changed,
                    status_changes=first.status_changes + second.status_changes,
                    refused=first.refused + second.refused,
                    letters=first.letters + second.letters,
                )
            except POSTGRES_AWAY as error:
                end_if_cancelled()
                log.warning("ingest_waits_for_postgresql", error=type(error).__name__, detail=str(error)[:200])
                await asyncio.sleep(0.5)

    async def _keep_refused(self, outcome: Outcome) -> None:
        """Keep dead letters of what was passed over, at most some a second; a failure to keep one holds nothing up."""
        second = int(self._clock.now().timestamp())
        if second != self._letters_at:
            self._letters_at, self._letters_left = second, LETTERS_PER_S
        kept = outcome.letters[: self._letters_left]
        self._letters_left -= len(kept)
        try:
            await letters.keep_refused(
                items=[(item, cause, self._topic_of(item)) for item, cause in kept],
                counts=outcome.refused,
                now=self._clock.now(),
            )
        except POSTGRES_AWAY as error:
            end_if_cancelled()
            log.warning("dead_letters_not_kept", error=type(error).__name__)

    def _topic_of(self, item: Item) -> str:
        info = self._directory.get(item.device_id)
        if info is None or info.station_code is None:
            return item.channel
        return topics.make(station=info.station_code, kind=info.kind, device=info.code, channel=item.channel)

    async def _refresh_directory(self, items: list[Item]) -> None:
        now = self._clock.now()
        age_s = (now - self._directory_at).total_seconds()
        unknown = age_s > 1 and any(item.device_id not in self._directory for item in items)
        if age_s > DIRECTORY_FRESH_S or unknown:
            self._directory = await contacts.load_directory()
            self._directory_at = now

    async def _tell_rules(self, samples: Sequence[Sample]) -> None:
        """Let the rules see the samples. A rule that fails is tried again, then logged: history goes on.

        While PostgreSQL is away they wait, however long: no sample goes unjudged.
        """
        attempt = 0
        while samples and attempt < 3:
            try:
                await self._on_samples(samples)
            except POSTGRES_GONE as error:
                end_if_cancelled()
                log.warning("rules_wait_for_postgresql", error=type(error).__name__)
                await asyncio.sleep(0.5)
            except Exception as error:
                end_if_cancelled()
                self.counters["rules_failed"] += 1
                log.error("rules_failed", attempt=attempt, error=repr(error)[:300], exc_info=attempt == 0)
                attempt += 1
                await asyncio.sleep(0.2 * attempt)
            else:
                return

    async def _claim_forever(self) -> None:
        """Take over entries that a dead twin read and never acknowledged, and forget twins that are long gone."""
        for turn in itertools.count(1):
            end_if_cancelled()
            await asyncio.sleep(CLAIM_EVERY_S)
            for shard in range(topics.SHARDS):
                try:
                    answer = await self._valkey.xautoclaim(
                        topics.stream(shard),
                        topics.STREAM_GROUP,
                        self._name,
                        min_idle_time=CLAIM_IDLE_MS,
                        count=ENTRIES_PER_STREAM,
                    )
                    claimed = [(topics.stream(shard).encode(), *entry) for entry in answer[1] if entry[1]]
                    if claimed:
                        self.counters["entries_claimed"] += len(claimed)
                        await self._consume(claimed)
                    if turn % 300 == 1:
                        await self._forget_consumers(topics.stream(shard))
                except (RedisError, OSError) as error:
                    end_if_cancelled()
                    if "NOGROUP" not in str(error):
                        log.warning("ingest_cannot_claim", error=type(error).__name__)
                    break

    async def _forget_consumers(self, key: str) -> None:
        for consumer in await self._valkey.xinfo_consumers(key, topics.STREAM_GROUP):
            if consumer["pending"] == 0 and consumer["idle"] > FORGET_CONSUMER_S * 1000:
                await self._valkey.xgroup_delconsumer(key, topics.STREAM_GROUP, consumer["name"])

    async def _report_forever(self) -> None:
        """Every second: trim what all have acknowledged, and report how far ingest is and since when it keeps up."""
        while True:
            end_if_cancelled()
            await asyncio.sleep(REPORT_EVERY_S)
            now = self._clock.now()
            try:
                caught_up_to = min([await self._trim(shard, now) for shard in range(topics.SHARDS)])
                if (now - caught_up_to).total_seconds() > BEHIND_S:
                    self._sighted_since = now
                await store_states.put_sight(self._name, "ingest", self._sighted_since, now, caught_up_to)
            except POSTGRES_AWAY as error:
                end_if_cancelled()
                self._sighted_since = now
                log.warning("ingest_cannot_report", error=type(error).__name__)
            except RedisError as error:
                end_if_cancelled()
                self._sighted_since = now
                if "NOGROUP" not in str(error) and "no such key" not in str(error):
                    log.warning("ingest_cannot_report", error=type(error).__name__)

    async def _trim(self, shard: int, now: datetime) -> datetime:
        """Trim one stream below the first entry that is pending or unread; returns up to when everything is done."""
        key = topics.stream(shard)
        groups = await self._valkey.xinfo_groups(key)
        group = next(g for g in groups if g["name"] == topics.STREAM_GROUP.encode())
        pending = await self._valkey.xpending(key, topics.STREAM_GROUP)
        done = now
        keep: bytes = group["last-delivered-id"]
        if group["lag"]:
            done = min(done, _time_of(keep))
        if pending["pending"]:
            keep = pending["min"]
            done = min(done, _time_of(keep))
        if keep != b"0-0":
            await self._valkey.xtrim(key, minid=keep, approximate=False)
        return done

    async def _log_forever(self) -> None:
        while True:
            await asyncio.sleep(COUNTERS_EVERY_S)
            log.info("ingest_counters", **self.counters)


def _time_of(entry_id: bytes) -> datetime:
    return EPOCH + timedelta(milliseconds=int(entry_id.split(b"-")[0]))
