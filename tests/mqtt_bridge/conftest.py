"""A real broker, and bridges as the processes they are."""

import asyncio
import base64
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion
from piccolo.engine.postgres import PostgresEngine
from redis.asyncio import Redis

from backend.core import db
from backend.stations.rules.broker import hash_password
from sandbox.servers.mosquitto import BRIDGE_RULES, BrokerUser, MosquittoServer
from sandbox.servers.mosquitto_program import NoMosquitto, find_mosquitto, programs_folder
from sandbox.servers.valkey import ValkeyServer

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def mosquitto(server_folder: Path) -> Iterator[MosquittoServer]:
    try:
        program = find_mosquitto(folder=programs_folder(server_folder), say=print)
    except NoMosquitto as reason:
        pytest.skip(str(reason))
    server = MosquittoServer(folder=server_folder / "bridge-broker", program=program)
    server.set_access(
        users=(
            BrokerUser(name="bridge", password_hash=hash_password("b"), rules=BRIDGE_RULES),
            BrokerUser(name="devices", password_hash=hash_password("d"), rules=("topic readwrite ev/v1/#",)),
        )
    )
    server.start()
    yield server
    server.stop()


class Devices:
    """All devices of a test in one connection of paho's own, in its thread."""

    def __init__(self, broker: MosquittoServer) -> None:
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
        self._client.username_pw_set("devices", "d")
        self._client.max_inflight_messages_set(500)
        self.received: list[tuple[str, bytes, Any]] = []
        self._client.on_message = lambda _c, _u, m: self.received.append((m.topic, m.payload, m.properties))
        self._client.connect("127.0.0.1", broker.port)
        self._client.loop_start()

    def are_connected(self) -> bool:
        return self._client.is_connected()

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        self._client.publish(topic, payload, qos=1, retain=retain)

    def flush(self) -> None:
        """Wait until the broker has everything."""
        self._client.publish("ev/v1/flush", b"", qos=1).wait_for_publish(30)
        while self._client._out_messages:
            self._client.publish("ev/v1/flush", b"", qos=1).wait_for_publish(30)

    def subscribe(self, topic: str) -> None:
        self._client.subscribe(topic, qos=1)
        self.flush()

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


@pytest.fixture
def devices(mosquitto: MosquittoServer) -> Iterator[Devices]:
    made = Devices(mosquitto)
    yield made
    made.close()


class Bridges:
    """Starts bridge processes against a test's own database."""

    def __init__(self, dsn: str, redis_url: str, mqtt_url: str, log: Path) -> None:
        self._environ = {
            **os.environ,
            "LINLI_DATABASE_URL": dsn,
            "LINLI_REDIS_URL": redis_url,
            "LINLI_MQTT_URL": mqtt_url,
            "LINLI_DATA_KEYS": "1:" + base64.b64encode(bytes(range(32))).decode(),
            "LINLI_LOOKUP_KEY": base64.b64encode(bytes(range(32, 64))).decode(),
            "LINLI_TOKEN_SECRET": "a-secret-for-tests-of-at-least-32-characters",
            "LINLI_LOG_FORMAT": "json",
        }
        self.log = log
        self._processes: list[subprocess.Popen[bytes]] = []

    def start(self) -> "subprocess.Popen[bytes]":
        return self._launch("mqtt_bridge")

    def start_ingest(self) -> "subprocess.Popen[bytes]":
        return self._launch("backend.cli", "ingest")

    def _launch(self, *module: str) -> "subprocess.Popen[bytes]":
        with self.log.open("ab") as log:
            command = [sys.executable, "-m", *module]
            process = subprocess.Popen(command, env=self._environ, cwd=ROOT, stderr=log)
        self._processes.append(process)
        return process

    def stop(self) -> None:
        for process in self._processes:
            if process.poll() is None:
                process.kill()
            process.wait(10)


@pytest.fixture
async def bridges(
    committing: PostgresEngine, valkey: Redis, valkey_server: ValkeyServer, mosquitto: MosquittoServer, tmp_path: Path
) -> AsyncIterator[Bridges]:
    dsn = committing.config["dsn"]
    made = Bridges(dsn, valkey_server.url, mosquitto.url("bridge", "b"), tmp_path / "bridge.log")
    yield made
    made.stop()


async def until(condition: Callable[[], Any], *, seconds: float = 30.0) -> None:
    """Wait for an (awaitable) condition; fails when it does not come."""
    async with asyncio.timeout(seconds):
        while True:
            value = condition()
            if asyncio.iscoroutine(value):
                value = await value
            if value:
                return
            await asyncio.sleep(0.05)


async def count(sql: str, *args: Any) -> int:
    value: int = await db.fetchval(sql, *args)
    return value
