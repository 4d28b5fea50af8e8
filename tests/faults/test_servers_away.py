"""PostgreSQL, Valkey or the broker away for a while: /readyz says so, all comes back by itself, no alarm is lost."""

import asyncio
import time
from typing import Any

import asyncpg
import pytest
from redis.asyncio import Redis

from backend.telemetry.load import DEVICE_BUFFER
from bench.load import Detector, await_rows, count_when_drained
from tests.faults.conftest import BROKER_DOWN_S, DOWN_S, RATE, Row, Running

pytestmark = pytest.mark.slow

INCIDENTS = "SELECT count(*) FROM incident WHERE station_id = $1"


def server_of(running: Running, name: str) -> Any:
    return {
        "PostgreSQL": running.ground.postgres,
        "Valkey": running.ground.valkey,
        "broker": running.ground.broker,
    }[name]


async def incidents(running: Running, detector: Detector) -> int:
    connection = await asyncpg.connect(running.dsn)
    try:
        found: int = await connection.fetchval(INCIDENTS, detector.station_id)
        return found
    finally:
        await connection.close()


CHECK = {"PostgreSQL": "postgresql", "Valkey": "valkey", "broker": "broker"}


async def said_so_while(running: Running, name: str, *, seconds: float) -> bool:
    """Whether /readyz said at every look in that time that this server is away; the API goes on without the broker."""
    said = []
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        status, checks = await asyncio.to_thread(running.ground.health)
        wanted = "degraded" if name == "broker" else "unavailable"
        said.append(status == wanted and checks[CHECK[name]].startswith("unreachable"))
        await asyncio.sleep(0.3)
    return all(said)


async def until_all_is_well(running: Running) -> float:
    """Wait until /readyz says `ok` of everything; returns the seconds it took."""
    began = time.monotonic()
    while (await asyncio.to_thread(running.ground.health))[0] != "ok":
        if time.monotonic() - began > 60:
            raise TimeoutError(f"/readyz: {await asyncio.to_thread(running.ground.health)}")
        await asyncio.sleep(0.2)
    return time.monotonic() - began


class TestServerAway:
    @pytest.mark.parametrize(
        ("name", "down_s", "detector"),
        [
            ("PostgreSQL", 0.0, 0),
            ("PostgreSQL", DOWN_S, 1),
            ("Valkey", 0.0, 2),
            ("Valkey", DOWN_S, 3),
            ("broker", 0.0, 4),
            ("broker", BROKER_DOWN_S, 5),
        ],
    )
    async def test_loses_nothing_and_recovers_by_itself(
        self, name: str, down_s: float, detector: int, running: Running, row: Row
    ) -> None:
        crowd, server, smoking = running.crowd, server_of(running, name), running.crowd.detectors[detector]
        before = crowd.samples + crowd.events
        rate = RATE / 2
        if name == "broker" and down_s:
            # What a device keeps while it has no broker is the stated capacity.
            rate = min(rate, DEVICE_BUFFER * len(crowd.chargers) / (down_s + 10))
        crowd.start(rate=rate)
        await asyncio.sleep(2)
        server.stop()
        crowd.raise_smoke(smoking)
        said_so = await said_so_while(running, name, seconds=down_s)
        server.start()
        back = time.monotonic()
        well_s = await until_all_is_well(running)
        await await_rows(running.dsn, INCIDENTS, smoking.station_id, timeout_s=90)
        incident_s = time.monotonic() - back
        await asyncio.sleep(2)
        crowd.stop()
        await asyncio.to_thread(crowd.flush)
        found, took_s = await count_when_drained(running.dsn, crowd)
        opened = await incidents(running, smoking)
        row(
            f"{name} {'down ' + format(down_s, '.0f') + ' s' if down_s else 'restarted'}",
            f"under {rate:.0f} msg/s, {crowd.samples + crowd.events - before} messages, a smoke alarm meanwhile",
            f"missing {found.missing(crowd)}, doubled {found.doubled(crowd)}, incidents {opened} of 1"
            f" ({incident_s:.1f} s after it was back), drained after {took_s:.1f} s,"
            f" /readyz {'said so' if said_so else 'did NOT say so'}, ok {well_s:.1f} s after",
        )
        assert found.missing(crowd) == 0
        assert found.doubled(crowd) == 0
        assert (found.wrong_states, found.failed_jobs) == (0, 0)
        assert opened == 1
        assert said_so
        assert running.ended() == []


class TestValkeyEmptied:
    async def test_loses_no_alarm_and_goes_on(self, running: Running, row: Row) -> None:
        """What stood in the streams and was not yet in the history is gone with them; nothing else may be."""
        crowd, smoking = running.crowd, running.crowd.detectors[6]
        valkey = Redis.from_url(running.ground.valkey.url)
        lost = 0
        try:
            crowd.start(rate=RATE / 2)
            for _ in range(3):
                await asyncio.sleep(2)
                crowd.raise_smoke(smoking)
                await valkey.flushall()
            await asyncio.sleep(2)
            crowd.stop()
            await asyncio.to_thread(crowd.flush)
            found, _ = await count_when_drained(running.dsn, crowd, timeout_s=20)
            lost = crowd.samples - found.distinct_samples
            await await_rows(running.dsn, INCIDENTS, smoking.station_id)
            opened = await incidents(running, smoking)
            for _ in crowd.chargers:
                crowd.say_next()
            crowd.samples -= lost  # they are gone, and told above: what follows must be whole again
            await asyncio.to_thread(crowd.flush)
            after, _ = await count_when_drained(running.dsn, crowd)
        finally:
            await valkey.aclose()
        row(
            "Valkey emptied",
            f"3 times under {RATE / 2:.0f} msg/s, a smoke alarm at each",
            f"events missing {crowd.events - after.handled}, doubled {after.doubled(crowd)}, incidents {opened} of 1,"
            f" samples in flight lost {lost}, afterwards missing {after.missing(crowd)}",
        )
        assert after.missing(crowd) == 0
        assert after.doubled(crowd) == 0
        assert (after.wrong_states, after.failed_jobs) == (0, 0)
        assert opened == 1
        assert lost < RATE, "more than what was in flight"
