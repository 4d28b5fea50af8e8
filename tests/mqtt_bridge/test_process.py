"""The bridge as a process, on a real broker: what it stores, what it refuses, and being killed."""

import asyncio
import random
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from redis.asyncio import Redis

from backend.core import crypto, db
from backend.telemetry import service as telemetry
from mqtt_bridge import messages, topics
from mqtt_bridge.messages import StreamItem
from sandbox.servers.mosquitto import MosquittoServer
from tests.factories import stations as make
from tests.factories import telemetry as said
from tests.factories.stations import DemoStation
from tests.mqtt_bridge.conftest import Bridges, Devices, count, until

pytestmark = pytest.mark.slow


@pytest.fixture
async def demo(bridges: Bridges) -> DemoStation:
    return await make.add_demo_station()


def now() -> datetime:
    return datetime.now(UTC)  # noqa: TID251  a real bridge stamps arrivals with the real clock


def topic(demo: DemoStation, kind: str, code: str, channel: str) -> str:
    return topics.make(station=demo.station.code, kind=kind, device=code, channel=channel)


async def stream_items(valkey: Redis) -> list[StreamItem]:
    items = []
    for shard in range(topics.SHARDS):
        for _, fields in await valkey.xrange(topics.stream(shard)):
            items += messages.unpack_items(fields[messages.STREAM_FIELD])
    return items


def stored(channel: str) -> Callable[[int], Any]:
    async def reached(wanted: int) -> bool:
        return await count("SELECT count(*) FROM device_message WHERE channel = $1", channel) >= wanted

    return reached


class TestBridge:
    async def test_puts_each_channel_into_its_lane(
        self, demo: DemoStation, bridges: Bridges, devices: Devices, valkey: Redis
    ) -> None:
        bridges.start()
        charger = demo.dc.charger.code
        await until(lambda: count("SELECT count(*) FROM platform_sight WHERE role = 'bridge'"))
        state = said.BODIES["charger", "state"]
        for _ in range(2):
            body = said.payload("charger", "state", at=now(), **state)
            devices.publish(topic(demo, "charger", charger, "state"), body)
        hot = said.BMS | {"temp_max_c": 80}
        for bms in (said.BMS, hot):
            body = said.payload("charger", "telemetry", at=now(), bms=bms)
            devices.publish(topic(demo, "charger", charger, "telemetry"), body)
        camera = demo.approach_camera.code
        devices.publish(topic(demo, "camera", camera, "event"), said.payload("camera", "event", at=now()))
        await until(lambda: stored("event")(1))
        await until(lambda: stored("telemetry")(1))
        await until(lambda: stored("state")(1))
        assert await count("SELECT count(*) FROM device_message WHERE channel = 'telemetry'") == 1
        assert await count("SELECT count(*) FROM device_message WHERE channel = 'state'") == 1
        assert await count("SELECT count(*) FROM pgqueuer WHERE entrypoint LIKE 'telemetry.device_message%'") == 3
        channels = sorted(item.channel for item in await stream_items(valkey))
        assert channels == ["state", "telemetry", "telemetry"]
        row = await db.fetchrow("SELECT payload, sealed FROM device_message WHERE channel = 'event'")
        assert row is not None
        assert row["sealed"]
        assert b"D12345" not in row["payload"]
        assert "D12345" in crypto.decrypt(row["payload"])

    async def test_gives_each_poison_its_own_cause(self, demo: DemoStation, bridges: Bridges, devices: Devices) -> None:
        bridges.start()
        lock = demo.ac.lock
        assert lock is not None
        await until(lambda: count("SELECT count(*) FROM platform_sight WHERE role = 'bridge'"))
        mine = topic(demo, "charger", demo.ac.charger.code, "telemetry")
        poison = {
            "oversized": (mine, b" " * 17_000),
            "not_utf8": (mine, b'{"msg_id": "\xff"}'),
            "not_json": (mine, b"{"),
            "empty": (mine, b""),
            "not_a_number": (mine, b'{"power_w": NaN}'),
            "too_deep": (mine, b"[" * 500),
            "nul_character": (mine, b'{"msg_id": "\\u0000"}'),
            "missing_field": (mine, b"{}"),
            "wrong_type": (mine, b"[]"),
            "bad_value": (topic(demo, "lock", lock.code, "event"), b'{"msg_id":"x","boot":1,"seq":1,"code":"sang"}'),
            "unknown_device": (f"ev/v1/{demo.station.code}/smoke/nobody/event", b"{}"),
            "wrong_station": (f"ev/v1/elsewhere/charger/{demo.ac.charger.code}/event", b"{}"),
            "wrong_kind": (f"ev/v1/{demo.station.code}/smoke/{demo.ac.charger.code}/event", b"{}"),
            "unknown_kind": (f"ev/v1/{demo.station.code}/toaster/t1/event", b"{}"),
            "bad_id": (f"ev/v1/{demo.station.code}/smoke/t 1/event", b"{}"),
        }
        for where, payload in poison.values():
            devices.publish(where, payload)
        good = said.payload("smoke", "event", at=now())
        devices.publish(topic(demo, "smoke", demo.smoke.code, "event"), good)
        await until(lambda: count("SELECT count(*) >= $1 FROM dead_letter", len(poison)))
        await until(lambda: stored("event")(1))
        rows = await db.fetch("SELECT cause, total FROM dead_letter_count")
        assert {row["cause"]: row["total"] for row in rows} == dict.fromkeys(poison, 1)
        kept = await db.fetchrow("SELECT topic, payload_cipher, device_id FROM dead_letter WHERE cause = 'not_json'")
        assert kept is not None
        assert (kept["topic"], crypto.decrypt(kept["payload_cipher"])) == (mine, "{")
        assert kept["device_id"] == demo.ac.charger.id

    async def test_reads_retained_states_when_it_starts(
        self, demo: DemoStation, bridges: Bridges, devices: Devices
    ) -> None:
        where = topic(demo, "smoke", demo.smoke.code, "state")
        devices.publish(where, said.payload("smoke", "state", at=now()), retain=True)
        devices.flush()
        try:
            bridges.start()
            await until(lambda: stored("state")(1))
        finally:
            devices.publish(where, b"", retain=True)
            devices.flush()

    async def test_sends_a_command_in_the_devices_own_clock(
        self, demo: DemoStation, bridges: Bridges, devices: Devices
    ) -> None:
        charger = demo.ac.charger
        devices.subscribe(topic(demo, "charger", charger.code, "cmd"))
        bridges.start()
        await said.measure(charger, now=now())
        await db.execute("UPDATE device_state SET clock_offset_ms = 3600000 WHERE device_id = $1", charger.id)
        sent_at = now()
        args = {"connector": 1, "session_id": "s1"}
        command_id = await telemetry.send_command(
            device_code=charger.code, name="start", args=args, now=sent_at, actor="test"
        )
        await until(lambda: devices.received)
        _, payload, properties = devices.received[0]
        command = msgspec.json.decode(payload, type=messages.Command)
        assert (command.cmd_id, command.name, command.args) == (str(command_id), "start", args)
        expires_at = messages.read_ts(command.expires_at)
        assert expires_at is not None
        assert abs((expires_at - sent_at).total_seconds() - 3630) < 2
        assert 20 <= properties.MessageExpiryInterval <= 30
        await until(lambda: count("SELECT count(*) FROM command WHERE status = 'sent'"))


class TestKilled:
    async def test_loses_and_doubles_nothing(
        self, demo: DemoStation, bridges: Bridges, devices: Devices, valkey: Redis
    ) -> None:
        """kill -9 five times while messages flow in both lanes: every msg_id once in PostgreSQL, each sample there."""
        process = bridges.start()
        await until(lambda: count("SELECT count(*) FROM platform_sight WHERE role = 'bridge'"))
        smoke = topic(demo, "smoke", demo.smoke.code, "event")
        charger = topic(demo, "charger", demo.ac.charger.code, "telemetry")
        total = 6000
        for number in range(total):
            where, kind, channel = (smoke, "smoke", "event") if number % 3 == 0 else (charger, "charger", "telemetry")
            devices.publish(where, said.payload(kind, channel, at=now(), seq=number))
            if number % 1000 == 999:
                await asyncio.sleep(0.15)
                process.kill()
                process.wait()
                process = bridges.start()
        devices.flush()
        await until(lambda: stored("event")(total // 3), seconds=60)

        async def samples() -> set[int]:
            parsed = [messages.parse("charger", "telemetry", i.payload) for i in await stream_items(valkey)]
            return {sample.seq for sample in parsed if isinstance(sample, messages.ChargerTelemetry)}

        wanted = {number for number in range(total) if number % 3}

        async def all_there() -> bool:
            return await samples() == wanted

        await until(all_there, seconds=60)
        assert await count("SELECT count(*) FROM device_message") == total // 3
        assert await count("SELECT count(DISTINCT payload) FROM pgqueuer") == total // 3
        assert await count("SELECT count(*) FROM pgqueuer") == total // 3

    async def test_leaves_its_queue_to_a_twin(
        self, demo: DemoStation, bridges: Bridges, devices: Devices, valkey: Redis
    ) -> None:
        first = bridges.start()
        await until(lambda: count("SELECT count(*) FROM platform_sight WHERE role = 'bridge'"))
        second = bridges.start()
        await until(lambda: count("SELECT count(*) FROM platform_sight WHERE role = 'standby'"))
        first.kill()
        first.wait()
        charger = topic(demo, "charger", demo.ac.charger.code, "telemetry")
        for number in range(200):
            devices.publish(charger, said.payload("charger", "telemetry", at=now(), seq=number))
        devices.flush()

        async def all_there() -> bool:
            return len({item.payload for item in await stream_items(valkey)}) == 200

        await until(all_there, seconds=40)
        await until(lambda: count("SELECT count(*) = 1 FROM bridge_lane"))
        assert second.poll() is None

    async def test_two_killed_in_turn_thirty_times_strand_nothing(
        self, demo: DemoStation, bridges: Bridges, devices: Devices, valkey: Redis, mosquitto: MosquittoServer
    ) -> None:
        """Under load in both lanes, with commands on their way, and the broker restarted twice meanwhile."""
        running = [bridges.start(), bridges.start()]
        await until(lambda: count("SELECT count(*) FROM platform_sight WHERE role = 'bridge'"))
        smoke = topic(demo, "smoke", demo.smoke.code, "event")
        charger = topic(demo, "charger", demo.ac.charger.code, "telemetry")
        chance = random.Random(3)
        said_seqs: dict[str, set[int]] = {"event": set(), "telemetry": set()}
        number = 0
        for kill in range(30):
            for _ in range(chance.randrange(4)):
                await telemetry.send_command(
                    device_code=demo.ac.charger.code,
                    name="set_limit",
                    args={"connector": 1, "power_w": 7000},
                    now=now(),
                    actor="test",
                )
            for _ in range(150):
                where, kind, channel = (
                    (smoke, "smoke", "event") if number % 3 == 0 else (charger, "charger", "telemetry")
                )
                devices.publish(where, said.payload(kind, channel, at=now(), seq=number))
                said_seqs[channel].add(number)
                number += 1
                await asyncio.sleep(0.003)
            which = chance.randrange(2)
            running[which].kill()
            running[which].wait()
            if kill in (10, 20):
                await asyncio.to_thread(mosquitto.stop)
                await asyncio.to_thread(mosquitto.start)
            if kill % 3:
                await asyncio.sleep(chance.random())
            running[which] = bridges.start()
        await until(devices.are_connected)
        devices.flush()
        await until(lambda: stored("event")(len(said_seqs["event"])), seconds=60)

        async def all_there() -> bool:
            parsed = [messages.parse("charger", "telemetry", i.payload) for i in await stream_items(valkey)]
            return {p.seq for p in parsed if isinstance(p, messages.ChargerTelemetry)} == said_seqs["telemetry"]

        await until(all_there, seconds=60)
        assert await count("SELECT count(*) FROM device_message") == len(said_seqs["event"])
        jobs = "SELECT count(*) FROM pgqueuer WHERE entrypoint LIKE 'telemetry.device_message%'"
        assert await count(jobs) == len(said_seqs["event"])
        await until(lambda: count("SELECT count(*) <= 2 FROM bridge_lane"), seconds=40)


class TestIngestKilled:
    async def test_stores_every_sample_once(self, demo: DemoStation, bridges: Bridges, devices: Devices) -> None:
        """kill -9 of ingest five times while samples flow: history has each once, the state is the last one's."""
        bridges.start()
        process = bridges.start_ingest()
        await until(lambda: count("SELECT count(*) = 2 FROM platform_sight"))
        charger = topic(demo, "charger", demo.ac.charger.code, "telemetry")
        total = 5000
        for number in range(total):
            devices.publish(charger, said.payload("charger", "telemetry", at=now(), seq=number, meter_wh=number))
            if number % 1000 == 999:
                await asyncio.sleep(0.5)
                process.kill()
                process.wait()
                process = bridges.start_ingest()
        devices.flush()
        await until(lambda: count("SELECT count(DISTINCT seq) = $1 FROM telemetry_sample", total), seconds=60)
        assert await count("SELECT count(*) FROM telemetry_sample") == total
        state = await db.fetchrow("SELECT seq, meter_wh FROM connector_state")
        assert state is not None
        assert tuple(state) == (total - 1, total - 1)
        assert await count("SELECT count(*) FROM domain_event WHERE name = 'ConnectorStatusChanged'") == 1
        lost = (await telemetry.device_states(device_ids=[demo.ac.charger.id]))[demo.ac.charger.id].messages_lost
        assert lost == 0


class TestFaults:
    async def test_are_waited_out_and_nothing_is_lost(
        self, demo: DemoStation, bridges: Bridges, devices: Devices, valkey: Redis, mosquitto: MosquittoServer
    ) -> None:
        """Connections to PostgreSQL and Valkey cut, the broker restarted, each twice, while both lanes carry."""
        process = bridges.start()
        await until(lambda: count("SELECT count(*) FROM platform_sight WHERE role = 'bridge'"))
        smoke = topic(demo, "smoke", demo.smoke.code, "event")
        charger = topic(demo, "charger", demo.ac.charger.code, "telemetry")
        total = 3000
        for number in range(total):
            where, kind, channel = (smoke, "smoke", "event") if number % 3 == 0 else (charger, "charger", "telemetry")
            devices.publish(where, said.payload(kind, channel, at=now(), seq=number))
            if number % 500 == 250:
                await db.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE application_name LIKE 'linli-bridge%' AND datname = current_database()"
                )
            if number % 500 == 400:
                await valkey.client_kill_filter(_type="normal", skipme=True)
            if number in (1000, 2000):
                await asyncio.sleep(0.2)
                await asyncio.to_thread(mosquitto.stop)
                await asyncio.to_thread(mosquitto.start)
            await asyncio.sleep(0.001)
        await until(lambda: stored("event")(total // 3), seconds=60)

        async def all_there() -> bool:
            parsed = [messages.parse("charger", "telemetry", i.payload) for i in await stream_items(valkey)]
            return len({p.seq for p in parsed if isinstance(p, messages.ChargerTelemetry)}) == total - total // 3

        await until(all_there, seconds=60)
        assert await count("SELECT count(*) FROM device_message") == total // 3
        assert await count("SELECT count(*) FROM pgqueuer") == total // 3
        assert process.poll() is None

    async def test_misses_nothing_that_devices_say_to_a_restarted_broker_before_it_is_back(
        self, demo: DemoStation, bridges: Bridges, devices: Devices, valkey: Redis, mosquitto: MosquittoServer
    ) -> None:
        """Mosquitto 2.0.11 forgets shared subscriptions at its restart: the bridges use none."""
        process = bridges.start()
        await until(lambda: count("SELECT count(*) FROM platform_sight WHERE role = 'bridge'"))
        process.kill()
        process.wait()
        await asyncio.to_thread(mosquitto.stop)
        await asyncio.to_thread(mosquitto.start)
        await until(devices.are_connected)
        charger = topic(demo, "charger", demo.ac.charger.code, "telemetry")
        for number in range(200):
            devices.publish(charger, said.payload("charger", "telemetry", at=now(), seq=number))
        devices.flush()
        bridges.start()

        async def all_there() -> bool:
            return len({item.payload for item in await stream_items(valkey)}) == 200

        await until(all_there, seconds=40)
