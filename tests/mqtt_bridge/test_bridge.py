"""What the bridge decides about messages, without a broker: lanes, repeats, refusals, and what PostgreSQL refuses."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

import asyncpg
import msgspec
import pytest
from piccolo.engine.postgres import PostgresEngine
from redis.asyncio import Redis

from backend.core import db
from mqtt_bridge import safety, topics
from mqtt_bridge.bridge import LETTERS_PER_S, Bridge, Sorted
from mqtt_bridge.link import Incoming
from mqtt_bridge.seal import Sealer
from tests.factories import stations as make
from tests.factories import telemetry as said
from tests.factories.stations import DemoStation

Send = Callable[..., Incoming]


@pytest.fixture
async def demo(committing: PostgresEngine) -> DemoStation:
    return await make.add_demo_station()


@pytest.fixture
async def bridge(committing: PostgresEngine, demo: DemoStation, valkey: Redis, now: datetime) -> Bridge:
    pool: asyncpg.Pool[asyncpg.Record] | None = committing.pool
    assert pool is not None
    made = Bridge(pool=pool, valkey=valkey, sealer=Sealer({1: bytes(32)}), now=lambda: now, monotonic=lambda: 100.0)
    await made.registry.refresh(pool)
    return made


@pytest.fixture
def send(demo: DemoStation, now: datetime) -> Send:
    def make_incoming(kind: str, channel: str, device: str, body: bytes | None = None, **fields: Any) -> Incoming:
        topic = topics.make(station=demo.station.code, kind=kind, device=device, channel=channel)
        payload = said.payload(kind, channel, at=now, **fields) if body is None else body
        return Incoming(topic, payload, 1, 1, False, now, 1)

    return make_incoming


async def sort_and_store(bridge: Bridge, *batch: Incoming) -> Sorted:
    sorted_ = await bridge.sort(batch)
    kept = Sorted(rows=list(sorted_.rows), items=list(sorted_.items), letters=list(sorted_.letters))
    await bridge.store(sorted_)
    return kept


class TestStates:
    async def test_that_repeat_take_the_telemetry_lane(self, bridge: Bridge, demo: DemoStation, send: Send) -> None:
        code = demo.smoke.code
        first = await sort_and_store(bridge, send("smoke", "state", code, seq=1, temperature_c=20.0))
        second = await sort_and_store(bridge, send("smoke", "state", code, seq=2, temperature_c=21.5))
        third = await sort_and_store(bridge, send("smoke", "state", code, seq=3, status="alarm"))
        assert [(len(s.rows), len(s.items)) for s in (first, second, third)] == [(1, 0), (0, 1), (1, 0)]

    async def test_that_repeat_a_state_before_the_will_are_news(
        self, bridge: Bridge, demo: DemoStation, send: Send
    ) -> None:
        code = demo.smoke.code
        batch = [
            send("smoke", "state", code, seq=1),
            send("smoke", "state", code, b'{"online":false}'),
            send("smoke", "state", code, seq=2),
        ]
        assert len((await sort_and_store(bridge, *batch)).rows) == 3

    async def test_that_are_older_are_stored(self, bridge: Bridge, demo: DemoStation, send: Send) -> None:
        code = demo.smoke.code
        await sort_and_store(bridge, send("smoke", "state", code, seq=5))
        assert len((await sort_and_store(bridge, send("smoke", "state", code, seq=4))).rows) == 1


class TestSamples:
    async def test_beyond_the_cars_own_limits_take_both_lanes(
        self, bridge: Bridge, demo: DemoStation, send: Send
    ) -> None:
        code = demo.dc.charger.code
        warm = said.BMS | {"temp_max_c": 58, "temp_min_c": 50}
        before = await sort_and_store(bridge, send("charger", "telemetry", code, bms=warm))
        limits = {"chemistry": "lfp", "cell_v_limit": 3.75, "pack_v_limit": 400.0, "temp_limit_c": 55}
        limits |= {"current_limit_a": 200, "capacity_wh": 60_000}
        await sort_and_store(bridge, send("charger", "event", code, code="bms_limits", bms=limits))
        after = await sort_and_store(bridge, send("charger", "telemetry", code, bms=warm))
        assert [(len(s.rows), len(s.items)) for s in (before, after)] == [(0, 1), (1, 1)]


class TestRefused:
    async def test_are_kept_up_to_a_rate_and_all_counted(self, bridge: Bridge, demo: DemoStation, send: Send) -> None:
        flood = [send("smoke", "event", demo.smoke.code, b"{") for _ in range(LETTERS_PER_S * 3)]
        kept = await sort_and_store(bridge, *flood)
        assert len(kept.letters) == LETTERS_PER_S
        assert await db.fetchval("SELECT count(*) FROM dead_letter") == LETTERS_PER_S
        assert await db.fetchval("SELECT total FROM dead_letter_count") == LETTERS_PER_S * 3

    async def test_by_postgresql_become_dead_letters_and_the_others_are_stored(
        self, bridge: Bridge, demo: DemoStation, send: Send
    ) -> None:
        batch = [send("smoke", "event", demo.smoke.code) for _ in range(3)]
        sorted_ = await bridge.sort(batch)
        sorted_.rows[1] = sorted_.rows[1]._replace(channel="gossip")
        await bridge.store(sorted_)
        assert await db.fetchval("SELECT count(*) FROM device_message") == 2
        assert await db.fetchval("SELECT count(*) FROM pgqueuer") == 2
        assert await db.fetchval("SELECT cause FROM dead_letter") == "not_storable"

    async def test_twice_stored_are_once_there(self, bridge: Bridge, demo: DemoStation, send: Send) -> None:
        message = send("smoke", "event", demo.smoke.code)
        for _ in range(2):
            await sort_and_store(bridge, message, message)
        assert await db.fetchval("SELECT count(*) FROM device_message") == 1
        jobs = await db.fetch("SELECT entrypoint, payload FROM pgqueuer")
        assert [(j["entrypoint"], list(msgspec.json.decode(j["payload"]))) for j in jobs] == [
            (safety.DANGER_JOB, ["message_id"])
        ]

    async def test_of_danger_have_jobs_that_go_first_though_others_of_the_batch_were_there(
        self, bridge: Bridge, demo: DemoStation, send: Send
    ) -> None:
        charger, smoke = demo.ac.charger.code, demo.smoke.code
        known = send("charger", "event", charger, code="unplugged")
        await sort_and_store(bridge, known)
        words = [("charger", charger, "plugged"), ("charger", charger, "leakage"), ("smoke", smoke, "low_battery")]
        batch = [send(kind, "event", code, code=word) for kind, code, word in (*words, ("smoke", smoke, "alarm"))]
        await sort_and_store(bridge, *batch[:2], known, *batch[2:])
        rows = await db.fetch(
            "SELECT convert_from(m.payload, 'UTF8')::jsonb ->> 'code' AS word, q.entrypoint, q.priority FROM pgqueuer q"
            " JOIN device_message m ON m.id = (convert_from(q.payload, 'UTF8')::jsonb ->> 'message_id')::bigint"
        )
        first = {(word, safety.DANGER_JOB, 1) for word in ("leakage", "alarm")}
        others = {(word, safety.JOB, 0) for word in ("plugged", "unplugged", "low_battery")}
        assert {(r["word"], r["entrypoint"], r["priority"]) for r in rows} == first | others

    async def test_that_share_the_msg_id_of_another_message_are_dropped_and_counted(
        self, bridge: Bridge, demo: DemoStation, send: Send
    ) -> None:
        """A device whose counter of msg_id begins anew at each start: the contract drops it, the operator sees it."""
        code = demo.smoke.code
        first = send("smoke", "event", code, msg_id="m-1", boot=1, seq=7)
        await sort_and_store(bridge, first)
        await sort_and_store(bridge, first, send("smoke", "event", code, msg_id="m-1", boot=2, seq=7))
        assert await db.fetchval("SELECT count(*) FROM device_message") == 1
        assert await db.fetch("SELECT cause, total FROM dead_letter_count") == [("msg_id_reused", 1)]
