"""The bridge: from the broker into PostgreSQL (safety lane) and Valkey (telemetry lane), acknowledged when durable.

What goes wrong outside is waited out and tried again; meanwhile nothing is acknowledged, `ReceiveMaximum` bounds what
we hold, and the broker keeps the rest. What is wrong with a message is stored as a dead letter, counted, acknowledged.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final
from uuid import uuid4

import asyncpg
import msgspec
import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from mqtt_bridge import messages, safety, screen, topics
from mqtt_bridge.link import Incoming, Link
from mqtt_bridge.messages import BmsLimits, ChargerEvent, ChargerTelemetry, LastWill, Message, Refused, StreamItem
from mqtt_bridge.registry import Device, Registry
from mqtt_bridge.safety import Letter, Row
from mqtt_bridge.seal import Sealer, is_personal
from mqtt_bridge.streams import StreamFull, Streams
from mqtt_bridge.topics import Topic, TopicRefused

log = structlog.get_logger()

BEYOND_CONTRACT_BYTES: Final = 2048
"""Of a message longer than the contract allows its start is kept, to be looked at: it can never be taken."""
LETTERS_PER_S: Final = 50
LETTER_BYTES_PER_S: Final = 128 * 1024
"""Refused messages kept per second, whole; those beyond are only counted, so that poison cannot slow the safety lane
nor fill the disk between two trims."""
RETRY_S: Final = 0.5
EPOCH: Final = datetime.fromisoformat("1970-01-01T00:00:00+00:00")
POSTGRES_AWAY = (
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # a connection that broke in the midst of a query
    OSError,
    TimeoutError,
)
VALKEY_AWAY = (RedisError, OSError, TimeoutError, StreamFull)
_DRIFTING = ("temperature_c", "concentration")
"""Fields of a `state` that wander by themselves; a new value of one is no change of state."""


@dataclass
class Sorted:
    """A batch, sorted by where each message goes."""

    rows: list[Row] = field(default_factory=list)
    letters: list[Letter] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    items: list[tuple[str, StreamItem]] = field(default_factory=list)
    held: list[Incoming] = field(default_factory=list)
    states: dict[str, tuple[int, int, bytes]] = field(default_factory=dict)

    def join(self, other: "Sorted") -> None:
        """Add what PostgreSQL is to store of another batch."""
        self.rows += other.rows
        self.letters += other.letters
        self.counts += other.counts
        self.held += other.held


def letter_of(payload: bytes) -> bytes:
    """What is kept of a refused message: all of it, unless it is longer than any message may be."""
    return payload if len(payload) <= messages.MAX_PAYLOAD_BYTES else payload[:BEYOND_CONTRACT_BYTES]


def end_if_cancelled() -> None:
    """Raise CancelledError if this task was told to end; loops call it each time round.

    A cancellation can be lost: `asyncio.wait_for` of Python 3.11, by which redis sends, returns the result when both
    come at once, and an error of a broken connection takes its place.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


class Bridge:
    """What the links of one process share: registry, screen, the memory of states, counters."""

    def __init__(
        self,
        *,
        pool: "asyncpg.Pool[asyncpg.Record]",
        valkey: "Redis",
        sealer: Sealer,
        now: Callable[[], datetime],
        monotonic: Callable[[], float],
    ) -> None:
        self._pool = pool
        self._streams = Streams(valkey)
        self._sealer = sealer
        self._now = now
        self._monotonic = monotonic
        self.registry = Registry(monotonic=monotonic)
        self._states: dict[str, tuple[int, int, bytes]] = {}
        self._limits: dict[tuple[str, int], BmsLimits] = {}
        self._letter_second = 0
        self._letters_left = LETTERS_PER_S
        self._letter_bytes_left = LETTER_BYTES_PER_S
        self.counters: Counter[str] = Counter()
        self.blind_since: dict[str, datetime] = {}

    async def carry_safety(self, link: Link) -> None:
        """Carry what arrives on a link of the safety lane, until cancelled."""
        while True:
            end_if_cancelled()
            await link.arrived.wait()
            batch = link.take()
            sorted_ = await self.sort(batch)
            await self.store(sorted_)
            await self._append_touches(sorted_)
            link.ack(batch)
            self.counters["safety_messages"] += len(batch)

    async def carry_telemetry(self, link: Link) -> None:
        """Carry what arrives on a link of the telemetry lane, until cancelled.

        Critical samples and dead letters wait for PostgreSQL beside the lane, each with its own acknowledgement.
        """
        aside: asyncio.Queue[Sorted] = asyncio.Queue()
        storing = asyncio.create_task(self._store_aside(link, aside), name="telemetry:aside")
        try:
            while True:
                end_if_cancelled()
                await link.arrived.wait()
                batch = link.take()
                sorted_ = await self.sort(batch)
                await self._append(sorted_.items)
                held = {message.mid for message in sorted_.held}
                link.ack([message for message in batch if message.mid not in held] if held else batch)
                if sorted_.rows or sorted_.letters or sorted_.counts:
                    aside.put_nowait(sorted_)
                self.counters["telemetry_messages"] += len(batch)
        finally:
            storing.cancel()

    async def _store_aside(self, link: Link, aside: "asyncio.Queue[Sorted]") -> None:
        while True:
            merged = await aside.get()
            while not aside.empty():
                merged.join(aside.get_nowait())
            await self.store(merged)
            link.ack(merged.held)

    async def sort(self, batch: Sequence[Incoming]) -> Sorted:
        """Decide for each message where it goes. Reads the registry again when a device is unknown."""
        if self.registry.is_stale():
            await self._refresh_registry()
        sorted_ = Sorted()
        for message in batch:
            try:
                topic, device = self.registry.find(message.topic)
            except TopicRefused as refusal:
                if (
                    refusal.cause not in ("unknown_device", "wrong_station", "revoked_device")
                    or not self.registry.may_refresh()
                ):
                    self._refuse(sorted_, message, refusal.cause, refusal.detail, None)
                    continue
                await self._refresh_registry()
                try:
                    topic, device = self.registry.find(message.topic)
                except TopicRefused as still:
                    self._refuse(sorted_, message, still.cause, still.detail, None)
                    continue
            try:
                parsed = messages.parse(topic.kind, topic.channel, message.payload)
            except Refused as refusal:
                self._refuse(sorted_, message, refusal.cause, refusal.detail, device)
                continue
            self._place(sorted_, message, topic, device, parsed)
        return sorted_

    def _place(
        self, sorted_: Sorted, message: Incoming, topic: Topic, device: Device, parsed: messages.Payload
    ) -> None:
        if isinstance(parsed, ChargerTelemetry):
            sorted_.items.append((device.station, self._item(message, topic, device)))
            heard = self._limits.get((topic.device, parsed.connector))
            kept = self.registry.said_by_car(topic.device, parsed.connector)
            if screen.is_critical(parsed, self.registry.numbers_of(device.station_id), heard, kept):
                self.counters["critical_samples"] += 1
                sorted_.held.append(message)
                sorted_.rows.append(self._row(message, topic, device, parsed))
            return
        if isinstance(parsed, ChargerEvent) and parsed.bms is not None and parsed.connector is not None:
            self._limits[topic.device, parsed.connector] = parsed.bms
        if topic.channel == "state" and not message.retain and self._is_repeated(sorted_, topic, parsed):
            sorted_.items.append((device.station, self._item(message, topic, device)))
            self.counters["unchanged_states"] += 1
            return
        sorted_.rows.append(self._row(message, topic, device, parsed))

    def _is_repeated(self, sorted_: Sorted, topic: Topic, parsed: messages.Payload) -> bool:
        """Whether a state says what the newest one said. What changed is remembered when it is stored, not before."""
        before = sorted_.states.get(topic.device) or self._states.get(topic.device)
        if not isinstance(parsed, Message):
            sorted_.states[topic.device] = (*(before[:2] if before else (-1, -1)), b"")
            return False
        fields = {name: None for name in _DRIFTING if hasattr(parsed, name)}
        plain = msgspec.structs.replace(parsed, msg_id="-", boot=0, seq=0, ts=None, **fields)
        print_ = messages.encode(plain)
        if before is not None and (parsed.boot, parsed.seq) <= before[:2]:
            return False
        sorted_.states[topic.device] = (parsed.boot, parsed.seq, print_)
        return before is not None and before[2] == print_

    def _item(self, message: Incoming, topic: Topic, device: Device) -> StreamItem:
        received_us = (message.received_at - EPOCH) // timedelta(microseconds=1)
        return StreamItem(device.id.bytes, topic.channel, received_us, message.payload)

    def _row(self, message: Incoming, topic: Topic, device: Device, parsed: messages.Payload) -> Row:
        """A row of the safety log. A last will has no msg_id: each is a row of its own, and handled alike."""
        sealed = is_personal(parsed)
        will = isinstance(parsed, LastWill)
        return Row(
            device_id=device.id,
            station_id=device.station_id,
            kind=topic.kind,
            channel=topic.channel,
            msg_id=f"will:{uuid4()}" if isinstance(parsed, LastWill) else parsed.msg_id,
            boot=None if isinstance(parsed, LastWill) else parsed.boot,
            seq=None if isinstance(parsed, LastWill) else parsed.seq,
            received_at=message.received_at,
            retained=message.retain and will,
            payload=self._sealer.seal(message.payload) if sealed else message.payload,
            sealed=sealed,
            danger=messages.tells_of_danger(parsed),
        )

    def _refuse(self, sorted_: Sorted, message: Incoming, cause: str, detail: str, device: Device | None) -> None:
        sorted_.counts[cause] += 1
        self.counters[f"refused_{cause}"] += 1
        second = int(self._monotonic())
        if second != self._letter_second:
            self._letter_second = second
            self._letters_left, self._letter_bytes_left = LETTERS_PER_S, LETTER_BYTES_PER_S
        kept = letter_of(message.payload)
        if not self._letters_left or len(kept) > self._letter_bytes_left:
            self.counters["letters_not_kept"] += 1
            return
        self._letters_left -= 1
        self._letter_bytes_left -= len(kept)
        sorted_.held.append(message)
        letter = Letter(
            received_at=message.received_at,
            cause=cause,
            detail=detail[:300],
            topic=message.topic[:300].replace("\x00", ""),
            device_id=None if device is None else device.id,
            size=len(message.payload),
            payload_cipher=self._sealer.seal(kept),
        )
        sorted_.letters.append(letter)

    async def store(self, sorted_: Sorted) -> None:
        """Commit the safety part of a batch, waiting for PostgreSQL as long as it takes.

        A row that PostgreSQL refuses for what it holds becomes a dead letter, found by storing one by one.
        """
        while sorted_.rows or sorted_.letters or sorted_.counts:
            try:
                new = await safety.store(self._pool, sorted_.rows, sorted_.letters, sorted_.counts, self._now())
            except (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError) as error:
                if len(sorted_.rows) > 1:
                    for row in sorted_.rows:
                        await self.store(Sorted(rows=[row]))
                    sorted_.rows = []
                    continue
                if not sorted_.rows:
                    log.error("dead_letters_not_storable", error=str(error))
                    break
                row = sorted_.rows.pop()
                sorted_.counts["not_storable"] += 1
                cipher = row.payload if row.sealed else self._sealer.seal(row.payload)
                sorted_.letters.append(
                    Letter(row.received_at, "not_storable", "", row.channel, row.device_id, len(row.payload), cipher)
                )
            except POSTGRES_AWAY as error:
                await self._wait("postgresql", error)
            else:
                self.counters["safety_stored"] += new
                self.blind_since.pop("postgresql", None)
                break
        self._states.update(sorted_.states)

    async def _append(self, items: Sequence[tuple[str, StreamItem]]) -> None:
        while items:
            try:
                await self._streams.append(items)
            except VALKEY_AWAY as error:
                await self._wait("stream_full" if isinstance(error, StreamFull) else "valkey", error)
            else:
                self.blind_since.pop("valkey", None)
                self.blind_since.pop("stream_full", None)
                self.counters["appended"] += len(items)
                return

    async def _append_touches(self, sorted_: Sorted) -> None:
        """Hand on states that changed nothing. The safety lane does not wait for Valkey: they will come again."""
        if not sorted_.items:
            return
        try:
            await self._streams.append(sorted_.items)
        except VALKEY_AWAY as error:
            self.counters["touches_dropped"] += len(sorted_.items)
            log.warning("touches_dropped", error=type(error).__name__)

    async def _refresh_registry(self) -> None:
        while True:
            try:
                await self.registry.refresh(self._pool)
            except POSTGRES_AWAY as error:
                end_if_cancelled()
                if self.registry.is_loaded():
                    return
                await self._wait("registry", error)
            else:
                self.blind_since.pop("registry", None)
                return

    async def _wait(self, what: str, error: Exception) -> None:
        end_if_cancelled()
        if what not in self.blind_since:
            self.blind_since[what] = self._now()
            log.warning("bridge_waits", for_=what, error=type(error).__name__, detail=str(error)[:200])
        self.counters[f"waits_{what}"] += 1
        await asyncio.sleep(RETRY_S)

    async def read_retained(self, *, url: str, client_id: str, quiet_s: float = 1.0) -> int:
        """Read the retained states once, by a clean session of their own; returns how many. They need no ack."""
        link = Link(url=url, client_id=client_id, filters=[topics.state_filter()], now=self._now, qos=0, retained=True)
        running = asyncio.create_task(link.run())
        read = 0
        try:
            async with asyncio.timeout(60):
                await link.connected.wait()
                while True:
                    async with asyncio.timeout(quiet_s):
                        await link.arrived.wait()
                    batch = [message for message in link.take() if message.retain]
                    read += len(batch)
                    await self.store(await self.sort(batch))
        except TimeoutError:
            return read
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
