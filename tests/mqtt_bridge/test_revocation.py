"""A revoked device: cut off at the broker, refused by the bridge, whatever it holds in its hands."""

import asyncio
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion
from piccolo.engine.postgres import PostgresEngine

from backend.core import db
from backend.core.settings import Settings
from backend.stations import store_devices
from backend.stations.service import build
from sandbox.servers.mosquitto import MosquittoServer
from sandbox.up.access import read_access, write_access
from sandbox.up.watch_access import keep_in_step
from tests.factories.stations import DemoStation, add_demo_station
from tests.factories.telemetry import payload
from tests.mqtt_bridge.conftest import Bridges, Devices, count, until

NOW = datetime(2026, 6, 10, 2, 0, tzinfo=UTC)


@pytest.fixture
async def demo(committing: PostgresEngine) -> DemoStation:
    return await add_demo_station()


class TestRegistry:
    async def test_a_bridge_refuses_a_revoked_device_at_its_next_message(
        self, bridges: Bridges, devices: Devices, demo: DemoStation
    ) -> None:
        bridges.start()
        topic = f"ev/v1/{demo.station.code}/smoke/{demo.smoke.code}/event"
        await until(lambda: _heard_again(devices, topic, 0))
        await store_devices.revoke(demo.smoke.id, "stolen", NOW)
        began = time.monotonic()
        await until(lambda: _refused(devices, topic), seconds=10)
        assert time.monotonic() - began < 3
        heard = await count("SELECT count(*) FROM device_message")
        devices.publish(topic, payload("smoke", "event", at=NOW))
        devices.flush()
        await until(lambda: count("SELECT total >= 2 FROM dead_letter_count WHERE cause = 'revoked_device'"))
        assert await count("SELECT count(*) FROM device_message") == heard
        await build.renew_password(device_id=demo.smoke.id, now=NOW)
        await until(lambda: _heard_again(devices, topic, heard))


async def _refused(devices: Devices, topic: str) -> Any:
    devices.publish(topic, payload("smoke", "event", at=NOW))
    devices.flush()
    return await db.fetchval("SELECT total FROM dead_letter_count WHERE cause = 'revoked_device'")


async def _heard_again(devices: Devices, topic: str, before: int) -> bool:
    devices.publish(topic, payload("smoke", "event", at=NOW))
    devices.flush()
    return await count("SELECT count(*) FROM device_message") > before


class OneDevice:
    """A device with its own login, in paho's thread."""

    def __init__(self, broker: MosquittoServer, code: str, password: str) -> None:
        self.client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5, client_id=code)
        self.client.username_pw_set(code, password)
        self.cut_at: float | None = None
        self.answers: list[str] = []
        self.client.on_disconnect = self._cut
        self.client.on_connect = lambda *args: self.answers.append(str(args[3]))
        self.client.connect("127.0.0.1", broker.port)
        self.client.loop_start()

    def _cut(self, *_: Any) -> None:
        self.cut_at = self.cut_at or time.monotonic()

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()


@pytest.fixture
async def own_broker(mosquitto: MosquittoServer, server_folder: Path) -> AsyncIterator[MosquittoServer]:
    """A broker whose access files come from the registry alone."""
    broker = MosquittoServer(folder=server_folder / "registry-broker", program=mosquitto.program)
    broker.start()
    yield broker
    broker.stop()


class TestBroker:
    async def test_cuts_a_revoked_device_off_within_a_second_and_nobody_else(
        self, committing: PostgresEngine, settings: Settings, own_broker: MosquittoServer, demo: DemoStation
    ) -> None:
        first = await build.renew_password(device_id=demo.smoke.id, now=NOW)
        other = await build.renew_password(device_id=demo.bay_camera.id, now=NOW)
        write_access(own_broker.folder, await read_access(settings.mqtt_url))
        own_broker.reload()
        following = asyncio.create_task(
            keep_in_step(
                database_url=committing.config["dsn"],
                bridge_url=settings.mqtt_url,
                folder=own_broker.folder,
                pid_file=own_broker.folder / "broker.pid",
                save_every_s=0.2,
            )
        )
        revoked = OneDevice(own_broker, demo.smoke.code, first)
        stays = OneDevice(own_broker, demo.bay_camera.code, other)
        try:
            await until(lambda: revoked.answers == ["Success"] and stays.answers == ["Success"])
            began = time.monotonic()
            await store_devices.revoke(demo.smoke.id, "stolen", NOW)
            await until(lambda: revoked.cut_at is not None, seconds=5)
            assert revoked.cut_at is not None
            print(f"revoked and cut after {revoked.cut_at - began:.3f} s")
            assert revoked.cut_at - began < 1
            await until(lambda: "Not authorized" in revoked.answers, seconds=10)
            assert stays.cut_at is None
            saved = own_broker.folder / "broker.db"
            await until(saved.exists, seconds=5)
        finally:
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)
            revoked.close()
            stays.close()
