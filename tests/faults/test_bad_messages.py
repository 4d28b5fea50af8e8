"""What devices send wrongly: again and again, in disorder, by a wrong clock, poison; and what is not theirs to say."""

import asyncio
import random
import time
from datetime import timedelta
from typing import Any

import asyncpg
import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from backend.core.clock import SystemClock
from backend.core.errors import Invalid
from backend.stations import service as stations
from backend.stations.service import build
from bench.load import Charger, await_rows, count_when_drained, event, sample
from mqtt_bridge import topics
from tests.faults.conftest import FULL, Row, Running
from tests.faults.test_servers_away import INCIDENTS, incidents

pytestmark = pytest.mark.slow

SAMPLES = 2000 if FULL else 200
BURST = 20_000 if FULL else 3000


async def fetch(running: Running, sql: str, *args: Any) -> list[asyncpg.Record]:
    connection = await asyncpg.connect(running.dsn)
    try:
        return await connection.fetch(sql, *args)
    finally:
        await connection.close()


class TestRepeatedAndReordered:
    async def test_ends_where_the_clean_run_ends(self, running: Running, row: Row) -> None:
        """Two chargers live through the same session; one sends each message ten times, all in disorder."""
        crowd = running.crowd
        clean, wild = crowd.chargers[0], crowd.chargers[2]
        for charger in (clean, wild):
            charger.boot, charger.seq, charger.meter_wh = 7, 0, 500_000
        bodies: list[bytes] = []
        for number in range(SAMPLES):
            status = "finishing" if number >= SAMPLES - 5 else "suspended" if 50 <= number < 60 else "charging"
            crowd.publish(clean.topic("telemetry"), sample(clean, status=status))
            bodies.append(sample(wild, status=status))
        events = [event(wild, code="plugged" if n % 2 else "unplugged", connector=1) for n in range(20)]
        said = [("telemetry", body) for body in bodies] * 10 + [("event", body) for body in events] * 10
        random.Random(5).shuffle(said)
        for channel, body in said:
            crowd.publish(wild.topic(channel), body)
        crowd.samples += 2 * SAMPLES
        crowd.events += len(events)
        await asyncio.to_thread(crowd.flush)
        found, took_s = await count_when_drained(running.dsn, crowd)

        async def told_by(charger: Charger) -> tuple[list[Any], list[Any]]:
            history = await fetch(
                running,
                "SELECT boot, seq, status, meter_wh, power_w, temp_max_c FROM telemetry_sample"
                " WHERE connector_id = $1 AND boot = 7 ORDER BY boot, seq",
                charger.connector_id,
            )
            state = await fetch(
                running,
                "SELECT status, boot, seq, meter_wh, power_w, voltage_v, current_a, gun_temp_c FROM connector_state"
                " WHERE connector_id = $1",
                charger.connector_id,
            )
            return [tuple(r) for r in history], [tuple(r) for r in state]

        same = await told_by(clean) == await told_by(wild)
        row(
            "duplicated, reordered x10",
            f"{len(said)} messages of {SAMPLES + len(events)}, shuffled",
            f"state and history {'identical to' if same else 'NOT those of'} the clean run,"
            f" missing {found.missing(crowd)}, doubled {found.doubled(crowd)}, drained after {took_s:.1f} s",
        )
        assert same
        assert found.missing(crowd) == 0
        assert found.doubled(crowd) == 0


class TestWrongClocks:
    async def test_state_follows_alarms_fire_and_times_are_flagged(self, running: Running, row: Row) -> None:
        crowd = running.crowd
        chosen = crowd.chargers[4:8]
        for _ in range(5):
            for charger in chosen:
                crowd.publish(charger.topic("telemetry"), sample(charger))
                crowd.samples += 1
        await asyncio.to_thread(crowd.flush)
        await count_when_drained(running.dsn, crowd)
        now = await fetch(running, "SELECT clock_timestamp() AS now")
        day = timedelta(days=1)
        wrong = [
            (now[0]["now"] - day).isoformat(),
            (now[0]["now"] + day).isoformat(),
            "1970-01-01T00:00:00Z",
            "2099-12-31T23:59:59Z",
        ]
        seen_from = {charger.connector_id: charger.seq for charger in chosen}
        for _ in range(10):
            for charger, ts in zip(chosen, wrong, strict=True):
                crowd.publish(charger.topic("telemetry"), sample(charger, ts=ts))
                crowd.samples += 1
        for detector, ts in zip(crowd.detectors[8:12], wrong, strict=True):
            crowd.raise_smoke(detector, ts=ts)
        await asyncio.to_thread(crowd.flush)
        found, _ = await count_when_drained(running.dsn, crowd)
        for detector in crowd.detectors[8:12]:
            await await_rows(running.dsn, INCIDENTS, detector.station_id)
        opened = [await incidents(running, detector) for detector in crowd.detectors[8:12]]
        rows = [
            r
            for charger in chosen
            for r in await fetch(
                running,
                "SELECT clock_flagged, occurred_at, received_at FROM telemetry_sample"
                " WHERE connector_id = $1 AND boot = $2 AND seq >= $3",
                charger.connector_id,
                charger.boot,
                seen_from[charger.connector_id],
            )
        ]
        flagged = sum(r["clock_flagged"] for r in rows)
        off = max(abs(r["occurred_at"] - r["received_at"]).total_seconds() for r in rows)
        row(
            "device clock -1 d, +1 d, 1970, 2099",
            f"{len(rows)} samples and 4 smoke alarms",
            f"flagged {flagged} of {len(rows)}, largest error of the time {off:.1f} s, incidents {sum(opened)} of 4,"
            f" wrong states {found.wrong_states}",
        )
        assert flagged == len(rows) == 40
        assert off < 60
        assert opened == [1, 1, 1, 1]
        assert found.wrong_states == 0


async def until_current(running: Running) -> None:
    """Return at the moment when every connector's state is that of the last sample its charger sent."""
    wanted = {c.connector_id: c.last_sample for c in running.crowd.chargers if c.last_sample[1] >= 0}
    connection = await asyncpg.connect(running.dsn)
    try:
        async with asyncio.timeout(240):
            while True:
                rows = await connection.fetch("SELECT connector_id, boot, seq FROM connector_state")
                states = {row["connector_id"]: (row["boot"], row["seq"]) for row in rows}
                if all(states.get(connector) == last for connector, last in wanted.items()):
                    return
                await asyncio.sleep(0.02)
    finally:
        await connection.close()


class TestPoison:
    async def test_is_put_aside_and_slows_nothing(self, running: Running, row: Row) -> None:
        crowd = running.crowd
        charger = crowd.chargers[9]
        poison = [b" " * 17_000, b'{"msg_id": "\xff"}', b'{"power_w": NaN}', b"[" * 500, b"{", b""]
        counted = "SELECT coalesce(sum(total), 0)::bigint AS n FROM dead_letter_count"

        async def burst(share: int) -> tuple[float, int]:
            began, bad = time.monotonic(), 0
            for number in range(BURST):
                if share and number % share == 0:
                    crowd.publish(charger.topic("telemetry"), poison[bad % len(poison)])
                    bad += 1
                else:
                    crowd.say_next()
            await asyncio.to_thread(crowd.flush)
            await until_current(running)
            took_s = time.monotonic() - began
            await count_when_drained(running.dsn, crowd)
            return took_s, bad

        await burst(0)
        before = (await fetch(running, counted))[0]["n"]
        smoking = crowd.detectors[12]
        # By turns, so that what else the machine does weighs on both alike.
        clean: list[float] = []
        runs: list[tuple[float, int]] = []
        for turn in range(5 if FULL else 3):
            clean.append((await burst(0))[0])
            if turn == 0:
                crowd.raise_smoke(smoking)
                incident = asyncio.create_task(await_rows(running.dsn, INCIDENTS, smoking.station_id, timeout_s=60))
            runs.append(await burst(100))
        clean_s = min(clean)
        incident_s = await incident
        bad = sum(n for _, n in runs)
        await await_rows(running.dsn, f"SELECT ({counted}) - {before}", at_least=bad)
        refused = (await fetch(running, counted))[0]["n"] - before
        found, _ = await count_when_drained(running.dsn, crowd)
        loss = 100 * (1 - clean_s / min(s for s, _ in runs))
        row(
            "1 % poison",
            f"{bad} of {len(runs) * BURST} messages: oversized, NaN, bad UTF-8, deep, cut, empty; a smoke alarm then",
            f"dead-lettered {refused}, missing {found.missing(crowd)}, throughput loss {loss:.0f} %,"
            f" incident after {incident_s:.2f} s",
        )
        assert refused == bad
        assert found.missing(crowd) == 0
        assert found.doubled(crowd) == 0
        assert incident_s < 10
        assert loss < (5 if FULL else 60), "short bursts are measured coarsely; the full ones are not"


class Device:
    """One device with its own credentials."""

    def __init__(self, port: int, code: str, password: str) -> None:
        self.refused = ""
        self.connected = False
        self.published: dict[int, str] = {}
        self.granted: list[str] = []
        self.heard: list[str] = []
        self.client = paho.Client(CallbackAPIVersion.VERSION2, code, protocol=paho.MQTTv5)
        self.client.username_pw_set(code, password)
        self.client.on_connect = self._on_connect
        self.client.on_disconnect = self._on_disconnect
        self.client.on_publish = lambda _c, _u, mid, reason, _p: self.published.update({mid: str(reason)})
        self.client.on_subscribe = lambda _c, _u, _m, reasons, _p: self.granted.extend(str(r) for r in reasons)
        self.client.on_message = lambda _c, _u, message: self.heard.append(message.topic)
        self.client.connect("127.0.0.1", port)
        self.client.loop_start()

    def _on_connect(self, _client: Any, _userdata: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        self.connected = not reason.is_failure
        self.refused = str(reason) if reason.is_failure else ""

    def _on_disconnect(self, *_: Any) -> None:
        self.connected = False

    async def until(self, true: Any, *, seconds: float = 10) -> bool:
        ends = time.monotonic() + seconds
        while not true():
            if time.monotonic() > ends:
                return False
            await asyncio.sleep(0.05)
        return True

    async def publish(self, topic: str, body: bytes) -> str:
        """Publish and return what the broker says to it."""
        info = self.client.publish(topic, body, qos=1)
        await self.until(lambda: info.mid in self.published)
        return self.published.get(info.mid, "no answer")

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()


async def let_in(running: Running) -> None:
    """Write the registry's access into the broker."""
    access = await stations.broker_access()
    running.ground.set_users(passwords=access.passwords, acl=access.acl)
    await asyncio.sleep(0.5)


class TestSpoofed:
    async def test_is_refused_by_broker_and_bridge(self, running: Running, row: Row) -> None:
        crowd = running.crowd
        victim = crowd.chargers[10]
        assert running.ground.broker is not None
        async with running.ground.opened():
            station = await stations.get_station_by_code(code=victim.station)
            device = await stations.find_device(code=victim.code)
            assert device is not None
            liar, password = await build.register_device(
                station_id=station.id, code="liar", kind="smoke", now=SystemClock().now()
            )
            for code in ("a+b", "a#", "a/b", "$x"):
                with pytest.raises(Invalid):
                    await build.register_device(station_id=station.id, code=code, kind="smoke", now=SystemClock().now())
            await let_in(running)
        sql = "SELECT count(*) AS n FROM device_message WHERE device_id = $1"
        before = (await fetch(running, sql, victim.device_id))[0]["n"]
        own = topics.make(station=victim.station, kind="smoke", device="liar", channel="event")
        told = b'{"msg_id":"%d","boot":1,"seq":%d,"ts":"2026-06-10T02:00:00Z","code":"test"}'
        device_ = Device(running.ground.broker.port, "liar", password)
        try:
            assert await device_.until(lambda: device_.connected)
            mine = await device_.publish(own, told % (1, 1))
            others = await device_.publish(victim.topic("event"), event(victim, code="emergency_stop", connector=1))
            commands = await device_.publish(victim.topic("cmd"), b"{}")
            device_.client.subscribe([("ev/v1/#", 1), (victim.topic("cmd"), 1), ("#", 1), ("+/+/+/+/+/+", 1)])
            assert await device_.until(lambda: len(device_.granted) == 4)
            crowd.say_next()
            await asyncio.sleep(1)
            heard = len(device_.heard)
            # What the broker would let through (here: as the fleet), the bridge checks against the registry.
            spoofed = {
                f"ev/v1/{crowd.detectors[0].station}/charger/{victim.code}/event": "wrong_station",
                f"ev/v1/{victim.station}/lock/{victim.code}/event": "wrong_kind",
                f"ev/v1/{victim.station}/charger/nobody/event": "unknown_device",
                f"ev/v1/{victim.station}/charger/S 1/event": "bad_id",
            }
            counts = "SELECT coalesce(sum(total), 0)::bigint FROM dead_letter_count WHERE cause = $1"
            for topic, cause in spoofed.items():
                base = (await fetch(running, counts, cause))[0][0]
                crowd.publish(topic, told % (2, 2))
                await await_rows(running.dsn, counts, cause, at_least=base + 1, timeout_s=15)
            await count_when_drained(running.dsn, crowd)
            after = (await fetch(running, sql, victim.device_id))[0]["n"]
            async with running.ground.opened():
                await build.renew_password(device_id=liar.id, now=SystemClock().now())
                await let_in(running)
            cut = await device_.until(lambda: not device_.connected, seconds=5)
            again = Device(running.ground.broker.port, "liar", password)
            let_back = await again.until(lambda: again.connected, seconds=2)
            reason = again.refused
            again.close()
        finally:
            device_.close()
        row(
            "spoofed topics, # and + ids, revoked",
            "a device speaks as another, commands, listens to all; ids off the registry; its password is renewed",
            f"own topic: {mine}; another's: {others}; cmd: {commands}; heard {heard}; stored of the victim"
            f" {after - before}; bridge refused {len(spoofed)} of {len(spoofed)};"
            f" live connection {'cut' if cut else 'kept'}, old password: {'let in' if let_back else reason}",
        )
        assert mine == "Success"
        assert others == commands == "Not authorized"
        assert heard == 0
        assert after == before
        assert not let_back
        assert cut
