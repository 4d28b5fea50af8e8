"""`linli waits check` as a process of its own."""

import asyncio
import base64
import re

from piccolo.engine import PostgresEngine

from backend.core import db
from backend.core.clock import SystemClock
from backend.waiting import service as waiting
from sandbox.servers.postgres import APP, PostgresServer
from tests.cli.test_commands import environment, linli
from tests.factories.charging import add_charging_scene
from tests.factories.telemetry import say

__all__ = ["environment"]


class TestWaitsCheck:
    async def test_names_the_waits_that_differ_from_what_devices_said(
        self, committing: PostgresEngine, postgres: PostgresServer, environment: dict[str, str]
    ) -> None:
        now = SystemClock().now()
        scene = await add_charging_scene(now=now)
        station, gun = scene.place.station, scene.place.ac
        arrival_id = await waiting.record_arrival(
            station_id=station.id,
            plate_hash=scene.alice.plate_hash,
            source="app",
            at=now,
            now=now,
            account_id=scene.alice.account_id,
        )
        assert arrival_id is not None
        await waiting.connector_usable(arrival_id=arrival_id, connector_id=gun.connector.id, at=now, now=now)
        name = await db.fetchval("SELECT current_database()")
        own = {
            **environment,
            "LINLI_DATABASE_URL": postgres.url(APP, name),
            "LINLI_LOOKUP_KEY": base64.b64encode(bytes(range(32, 64))).decode(),
        }

        async def ask(*arguments: str) -> tuple[int, str]:
            told = await asyncio.to_thread(linli, "waits", "check", *arguments, environment=own)
            assert "Traceback" not in told.stderr
            return told.returncode, told.stdout + told.stderr

        code, said = await ask("--station", station.code)
        assert (code, "0 differ, 1 without a camera's word" in said) == (0, True), said
        for other in (gun, scene.place.dc, scene.place.public):
            await say(other.charger, "event", now=now, code="plugged", connector=1)
        camera = scene.place.approach_camera
        await say(camera, "event", now=now, code="plate_read", lane=camera.lane, plate=scene.alice.vehicle.plate)
        await db.execute("UPDATE device_message SET received_at = received_at - interval '20 minutes'")
        await say(gun.charger, "event", now=now, code="unplugged", connector=1)
        await say(gun.charger, "event", now=now, code="session_started", connector=1, meter_wh=1)
        code, said = await ask("--station", station.code, "--day", now.strftime("%Y-%m-%d"))
        if "0 waits" in said:  # Beijing's day has begun, London's has not
            code, said = await ask("--station", station.code)
        assert (code, "1 differ" in said, bool(re.search(r"1200|1199", said))) == (1, True, True), said
        assert (await ask("--station", "NOPE"))[0] == 2
        code, said = await ask("--station", station.code, "--day", "yesterday")
        assert (code, "2026-11-20" in said) == (2, True)
