"""Ingest with a real Valkey: groups, acknowledgement, trimming, and the entries of a dead twin."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from piccolo.engine.postgres import PostgresEngine
from redis.asyncio import Redis

from backend.core import db
from backend.core.live import Live
from backend.stations.service import DeviceView
from backend.telemetry import consumer as consuming
from backend.telemetry import service as telemetry
from backend.telemetry.consumer import Consumer
from backend.telemetry.service import Sample
from mqtt_bridge import messages, topics
from mqtt_bridge.messages import StreamItem
from mqtt_bridge.streams import Streams
from tests.factories import stations as make
from tests.factories import telemetry as devices
from tests.factories.stations import Gun
from tests.fakes import FixedClock
from tests.mqtt_bridge.conftest import until


@pytest.fixture
async def gun(committing: PostgresEngine) -> Gun:
    return await make.add_gun(station_id=(await make.add_station()).id)


class Rules:
    """Remembers what the rules were shown; fails as often as it is told to."""

    def __init__(self) -> None:
        self.seen: list[Sample] = []
        self.failures = 0

    async def __call__(self, samples: Sequence[Sample]) -> None:
        if self.failures:
            self.failures -= 1
            raise RuntimeError("a rule is broken")
        self.seen += samples


@asynccontextmanager
async def running(valkey: Redis, clock: FixedClock, rules: Rules, *, name: str = "i1") -> AsyncIterator[Consumer]:
    live = Live(valkey)
    consumer = Consumer(name=name, valkey=valkey, live=live, clock=clock, on_samples=rules)
    task = asyncio.create_task(consumer.run())
    try:
        yield consumer
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await live.close()


def item(device: DeviceView, now: datetime, **fields: Any) -> tuple[str, StreamItem]:
    received_us = (now - consuming.EPOCH) // timedelta(microseconds=1)
    body = devices.payload("charger", "telemetry", at=now, **fields)
    return device.station_code, StreamItem(device.id.bytes, "telemetry", received_us, body)


async def entries(valkey: Redis) -> int:
    return sum([await valkey.xlen(topics.stream(shard)) for shard in range(topics.SHARDS)])


async def samples() -> int:
    count: int = await db.fetchval("SELECT count(*) FROM telemetry_sample")
    return count


class TestConsumer:
    async def test_takes_what_the_bridge_appended_to_history_state_rules_and_live_channels(
        self, gun: Gun, valkey: Redis, clock: FixedClock, now: datetime
    ) -> None:
        watch = valkey.pubsub(ignore_subscribe_messages=True)
        await watch.subscribe(f"live:connector:{gun.connector.id}", f"live:station:{gun.connector.station_id}")
        await watch.get_message(timeout=1)
        rules = Rules()
        await Streams(valkey).append([item(gun.charger, now, seq=n, meter_wh=n) for n in range(1000)])
        async with running(valkey, clock, rules):
            await until(lambda: len(rules.seen) == 1000)
            state = (await telemetry.connector_states(connector_ids=[gun.connector.id]))[gun.connector.id]
            assert (await samples(), state.meter_wh) == (1000, 999)
            shown: set[str] = set()
            async with asyncio.timeout(10):
                while shown != {"connector", "station"}:
                    if message := await watch.get_message(timeout=1):
                        shown.add(message["channel"].decode().split(":")[1])
        await watch.aclose()  # type: ignore[no-untyped-call]

    async def test_trims_only_what_is_acknowledged_and_says_how_far_it_is(
        self, gun: Gun, valkey: Redis, clock: FixedClock, now: datetime
    ) -> None:
        clock.move_to(datetime.now(UTC) + timedelta(minutes=1))  # noqa: TID251  Valkey stamps entries with the real clock
        rules = Rules()
        key = topics.stream(topics.shard_of(gun.charger.station_code))
        async with running(valkey, clock, rules) as consumer:
            await Streams(valkey).append([item(gun.charger, now, seq=n) for n in range(3)])
            await until(lambda: len(rules.seen) == 3)
            await valkey.xadd(key, {messages.STREAM_FIELD: messages.pack_items([item(gun.charger, now, seq=5)[1]])})
            await until(lambda: len(rules.seen) == 4)

            async def trimmed() -> bool:
                return await entries(valkey) <= 1

            await until(trimmed)
            await until(lambda: telemetry.has_ingested_until(at=clock.now()))
            assert not await telemetry.has_ingested_until(at=clock.now() + timedelta(seconds=1))
            assert consumer.counters["messages"] == 4

    async def test_takes_over_what_a_dead_twin_read(
        self, gun: Gun, valkey: Redis, clock: FixedClock, now: datetime, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(consuming, "CLAIM_IDLE_MS", 0)
        monkeypatch.setattr(consuming, "CLAIM_EVERY_S", 0.1)
        await Streams(valkey).append([item(gun.charger, now, seq=n) for n in range(10)])
        key = topics.stream(topics.shard_of(gun.charger.station_code))
        await valkey.xgroup_create(key, topics.STREAM_GROUP, id="0")
        assert await valkey.xreadgroup(topics.STREAM_GROUP, "dead", {key: ">"})
        rules = Rules()
        async with running(valkey, clock, rules):
            await until(lambda: len(rules.seen) == 10)
            await until(lambda: _nothing_pending(valkey, key))
        assert await samples() == 10

    async def test_goes_on_after_valkey_was_emptied_and_after_what_is_not_ours(
        self, gun: Gun, valkey: Redis, clock: FixedClock, now: datetime
    ) -> None:
        rules = Rules()
        rules.failures = 2
        key = topics.stream(topics.shard_of(gun.charger.station_code))
        async with running(valkey, clock, rules) as consumer:
            await Streams(valkey).append([item(gun.charger, now, seq=1)])
            await until(lambda: len(rules.seen) == 1)
            await valkey.flushall()
            await valkey.xadd(key, {b"x": b"y"})
            await valkey.xadd(key, {messages.STREAM_FIELD: b"\xc1rubbish"})
            await Streams(valkey).append([item(gun.charger, now, seq=2)])
            await until(lambda: len(rules.seen) == 2)
            assert (consumer.counters["refused_not_ours"], consumer.counters["rules_failed"]) == (2, 2)

    async def test_learns_of_a_device_that_was_registered_meanwhile(
        self, gun: Gun, valkey: Redis, clock: FixedClock, now: datetime
    ) -> None:
        rules = Rules()
        async with running(valkey, clock, rules):
            await Streams(valkey).append([item(gun.charger, now)])
            await until(lambda: len(rules.seen) == 1)
            young = await make.add_gun(station_id=gun.connector.station_id)
            clock.advance(seconds=2)
            await Streams(valkey).append([item(young.charger, now)])
            await until(lambda: len(rules.seen) == 2)


async def _nothing_pending(valkey: Redis, key: str) -> bool:
    pending = await valkey.xpending(key, topics.STREAM_GROUP)
    return bool(pending["pending"] == 0)


class Deaf:
    """A Valkey whose calls lose a cancellation, as `asyncio.wait_for` and a connection that breaks do."""

    def __init__(self, *, answer: Any) -> None:
        self.asked = asyncio.Event()
        self.answer = answer
        self.over = False

    async def xreadgroup(self, *_: Any, **__: Any) -> Any:
        self.asked.set()
        if self.over:
            raise RuntimeError("the test is over")
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(0.5)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    xautoclaim = xinfo_groups = xreadgroup


class TestCancelled:
    @pytest.mark.parametrize("answer", [[], ConnectionError("lost")])
    async def test_ends_also_when_the_cancellation_is_lost_on_its_way(
        self, answer: Any, gun: Gun, valkey: Redis, clock: FixedClock
    ) -> None:
        deaf: Any = Deaf(answer=answer)
        consumer = Consumer(name="i1", valkey=deaf, live=Live(valkey), clock=clock, on_samples=Rules())
        task = asyncio.create_task(consumer.run())
        await deaf.asked.wait()
        task.cancel()
        done, _ = await asyncio.wait({task}, timeout=10)
        deaf.over = True
        await asyncio.gather(task, return_exceptions=True)
        assert done, "it goes on for ever"
