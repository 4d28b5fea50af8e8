"""`linli rules try` as a process of its own, on history that is stored in a database of its own."""

import asyncio
import json
from datetime import timedelta
from pathlib import Path

from piccolo.engine import PostgresEngine

from backend.core import db
from backend.core.clock import SystemClock
from sandbox.servers.postgres import APP, PostgresServer
from tests.cli.test_commands import environment, linli
from tests.factories.charging import sample
from tests.factories.stations import DemoStation, add_demo_station
from tests.factories.telemetry import BMS

__all__ = ["environment"]


async def hot_hour(place: DemoStation) -> None:
    """An hour ago a car ran at 62 °C for two minutes; yesterday another did."""
    now = SystemClock().now()
    for ago in (timedelta(days=1), timedelta(hours=1)):
        for n in range(8):
            bms = {**BMS, "temp_max_c": 62 if n < 4 else 40, "temp_min_c": 58 if n < 4 else 38, "pack_v": 350 + n}
            at = now - ago + timedelta(seconds=30 * n)
            await sample(place.dc, now=at, meter_wh=1_000_000 + int(-ago.total_seconds()) + 300 * n, bms=bms)


class TestRulesTry:
    async def test_prints_what_would_have_fired_with_these_numbers_or_others_and_writes_nothing(
        self, committing: PostgresEngine, postgres: PostgresServer, environment: dict[str, str], tmp_path: Path
    ) -> None:
        place = await add_demo_station()
        await hot_hour(place)
        name = await db.fetchval("SELECT current_database()")
        own = {**environment, "LINLI_DATABASE_URL": postgres.url(APP, name)}

        async def ask(*arguments: str) -> str:
            told = await asyncio.to_thread(linli, "rules", "try", *arguments, environment=own)
            assert told.returncode == 0, told.stderr
            assert "Traceback" not in told.stderr
            return told.stdout

        recent = await ask("--since", "3h", "--station", place.station.code)
        assert recent.count("battery_temp_high") == 1
        assert "warning" in recent and " 62 " in recent and " 60 " in recent
        assert place.dc.charger.code in recent
        assert (await ask("--since", "2d")).count("battery_temp_high") == 2
        numbers = tmp_path / "numbers.json"
        numbers.write_text(json.dumps({"battery_temp_high": {"warning": 50, "critical": 61}}))
        stricter = await ask("--since", "3h", "--numbers", str(numbers))
        assert stricter.count("battery_temp_high") == 1 and "critical" in stricter
        numbers.write_text(json.dumps({"battery_temp_high": {"critical": 200}}))
        refused = await asyncio.to_thread(linli, "rules", "try", "--since", "3h", "--numbers", numbers, environment=own)
        assert refused.returncode == 1 and "not laxer" in refused.stderr
        wrong = await asyncio.to_thread(linli, "rules", "try", "--since", "yesterday", environment=own)
        assert wrong.returncode == 2 and "30m" in wrong.stderr
        nowhere = await asyncio.to_thread(linli, "rules", "try", "--since", "1h", "--station", "NOPE", environment=own)
        assert nowhere.returncode == 1 and "Traceback" not in nowhere.stderr
        assert await db.fetchval("SELECT count(*) FROM alert") == 0
