"""The main job with bridge, ingest and worker killed again and again while it runs: the story ends as it should, and
what a witness heard at the broker is in PostgreSQL, once.
"""

import asyncio
import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import asyncpg
import msgspec
import paho.mqtt.client as paho
import psutil
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from sandbox.servers import processes
from sandbox.up.state import open_state
from sandbox.up.supervisor import Stack
from tests.faults.conftest import FULL, Row

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
ROLES = ("bridge", "ingest", "worker")
PAUSE_S = 3.0 if FULL else 5.0
"""From the moment a killed process works again to the next kill: a busy machine takes long to start one."""
BACK = {
    "bridge": "SELECT EXISTS (SELECT FROM platform_sight WHERE name LIKE '%:' || $1::text)",
    "ingest": "SELECT EXISTS (SELECT FROM platform_sight WHERE name LIKE '%:' || $1::text)",
    "worker": "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE application_name = 'linli worker others'"
    " AND datname = current_database() AND backend_start > now() - interval '1 second' * $1::text::int)",
}


class Witness:
    """Hears everything at the broker beside the bridge, by a session of its own."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self.samples: set[tuple[str, int, int, int]] = set()
        self.others: set[tuple[str, str]] = set()
        self.client = paho.Client(CallbackAPIVersion.VERSION2, "witness", protocol=paho.MQTTv5)
        self.client.username_pw_set(unquote(parts.username or ""), unquote(parts.password or ""))
        self.client.on_message = self._hear
        self.client.on_connect = lambda client, *_: client.subscribe(
            [(f"ev/v1/+/+/+/{channel}", 1) for channel in ("telemetry", "event", "ack")]
        )
        self.client.connect(parts.hostname or "127.0.0.1", parts.port or 1883)
        self.client.loop_start()

    def _hear(self, _client: Any, _userdata: Any, message: Any) -> None:
        _, _, _, _, device, channel = message.topic.split("/")
        body = msgspec.json.decode(message.payload)
        if channel == "telemetry":
            self.samples.add((device, body["connector"], body["boot"], body["seq"]))
        else:
            self.others.add((device, body["msg_id"]))

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()


@pytest.fixture
def stack(server_folder: Path) -> Iterator[Stack]:
    """A stack as `./dev up` starts it, in a folder of its own, tended from a thread as by its supervisor."""
    folder = server_folder / "story-killed"
    old = os.environ.get("LINLI_STATE_DIR")
    os.environ["LINLI_STATE_DIR"] = str(folder)
    made = Stack(open_state(folder=folder), say=lambda _: None)
    enough = threading.Event()

    def tend() -> None:
        while not enough.wait(0.2):
            made.tend()

    tender = threading.Thread(target=tend, name="tend", daemon=True)
    try:
        made.start()
        tender.start()
        yield made
    finally:
        enough.set()
        if tender.is_alive():
            tender.join()
        made.stop()
        made.state.close()
        if old is None:
            del os.environ["LINLI_STATE_DIR"]
        else:
            os.environ["LINLI_STATE_DIR"] = old


class TestMainJobUnderKills:
    async def test_loses_and_doubles_nothing(self, stack: Stack, row: Row, tmp_path: Path) -> None:
        witness = Witness(stack.environment["LINLI_MQTT_URL"])
        log = tmp_path / "story.log"
        with log.open("w") as output:
            story = subprocess.Popen(  # noqa: ASYNC220  nothing else runs in this loop
                [sys.executable, "-m", "sandbox.story"],
                cwd=ROOT,
                env={**os.environ, "LINLI_STATE_DIR": str(stack.state.folder), "LINLI_STORY_PATIENCE": "3"},
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        killed = dict.fromkeys(ROLES, 0)
        chance = random.Random(11)
        began = time.monotonic()
        try:
            while story.poll() is None and time.monotonic() - began < 600:
                await asyncio.sleep(PAUSE_S)
                role = chance.choice(ROLES)
                pid = stack.pids().get(role)
                if pid is not None and story.poll() is None:
                    processes.with_kill(psutil.Process(pid))
                    killed[role] += 1
                    await until_back(stack, role, killed_pid=pid, story=story)
        finally:
            if story.poll() is None:
                story.kill()
            story.wait()
        took_s = time.monotonic() - began
        witness.close()
        samples, others = set(witness.samples), set(witness.others)
        connection = await asyncpg.connect(stack.environment["LINLI_DATABASE_URL"])
        try:
            ends = time.monotonic() + 60
            while time.monotonic() < ends:
                lost_samples = samples - await stored_samples(connection)
                lost_others = others - await stored_others(connection)
                if not lost_samples and not lost_others:
                    break
                await asyncio.sleep(1)
            detail = await what_became_of(connection, lost_others)
            doubled = await connection.fetchval(
                "SELECT (SELECT count(*) FROM (SELECT 1 FROM telemetry_sample GROUP BY connector_id, boot, seq"
                "   HAVING count(*) > 1) d)"
                " + (SELECT count(*) FROM (SELECT 1 FROM charge_order GROUP BY session_id HAVING count(*) > 1) d)"
                " + (SELECT count(*) FROM (SELECT 1 FROM delivery GROUP BY event_key, recipient_id, channel"
                "   HAVING count(*) > 1) d)"
                " + (SELECT count(*) FROM (SELECT 1 FROM incident WHERE status NOT IN ('resolved', 'reported')"
                "   GROUP BY station_id, kind HAVING count(*) > 1) d)"
            )
            held = await connection.fetchval("SELECT count(*) FROM pgqueuer WHERE status = 'failed'")
        finally:
            await connection.close()
        kills = ", ".join(f"{role} {times}" for role, times in killed.items())
        row(
            "kill -9 during the main job",
            f"story of {took_s:.0f} s, killed: {kills}",
            f"story {'as it should be' if story.returncode == 0 else 'NOT as it should be'};"
            f" of {len(samples)} samples and {len(others)} events heard at the broker missing"
            f" {len(lost_samples)} and {len(lost_others)}; doubled {doubled}; held jobs {held}",
        )
        assert story.returncode == 0, log.read_text()[-3000:]
        assert (len(lost_samples), len(lost_others), doubled, held) == (0, 0, 0, 0), detail
        assert sum(killed.values()) >= 3, "the story was over before enough was killed"


async def until_back(stack: Stack, role: str, *, killed_pid: int, story: "subprocess.Popen[bytes]") -> None:
    """Wait until another process of the role works (or the story is over)."""
    killed_at = time.monotonic()
    connection = await asyncpg.connect(stack.environment["LINLI_DATABASE_URL"])
    try:
        while story.poll() is None:
            await asyncio.sleep(0.5)
            pid = stack.pids().get(role, killed_pid)
            sign = int(time.monotonic() - killed_at) if role == "worker" else pid
            if pid != killed_pid and await connection.fetchval(BACK[role], str(sign)):
                return
    finally:
        await connection.close()


async def stored_samples(connection: "asyncpg.Connection[asyncpg.Record]") -> set[tuple[str, int, int, int]]:
    rows = await connection.fetch(
        "SELECT h.code, c.number, s.boot, s.seq FROM telemetry_sample s JOIN connector c ON c.id = s.connector_id"
        " JOIN charger h ON h.id = c.charger_id"
    )
    return {(row[0], row[1], row[2], row[3]) for row in rows}


async def stored_others(connection: "asyncpg.Connection[asyncpg.Record]") -> set[tuple[str, str]]:
    rows = await connection.fetch(
        "SELECT d.code, m.msg_id FROM device_message m JOIN device d ON d.id = m.device_id"
        " WHERE m.channel IN ('event', 'ack') AND m.handled_at IS NOT NULL"
    )
    return {(row[0], row[1]) for row in rows}


async def what_became_of(connection: "asyncpg.Connection[asyncpg.Record]", lost: set[tuple[str, str]]) -> str:
    """Where events that had no effect are: not stored, stored and unhandled, with their jobs, or dead letters."""
    told = []
    for device, msg_id in sorted(lost):
        rows = await connection.fetch(
            "SELECT m.id, m.channel, m.received_at, m.handled_at,"
            " CASE WHEN m.sealed THEN 'sealed' ELSE convert_from(m.payload, 'UTF8') END AS payload,"
            " (SELECT array_agg(j.status::text || ' ' || j.attempts || ' ' || j.execute_after) FROM pgqueuer j"
            "  WHERE j.entrypoint LIKE 'telemetry.device_message%'"
            "  AND convert_from(j.payload, 'UTF8')::jsonb ->> 'message_id' = m.id::text) AS jobs"
            " FROM device_message m JOIN device d ON d.id = m.device_id"
            " WHERE d.code = $1 AND m.msg_id = $2",
            device,
            msg_id,
        )
        told.append(f"{device} {msg_id}: {[dict(row) for row in rows] or 'not stored'}")
    letters = await connection.fetch("SELECT cause, total FROM dead_letter_count")
    return f"{told}, dead letters {[tuple(row) for row in letters]}"
