"""A registered station is simulated as it stands, and keeps the number that was found."""

from datetime import datetime

from piccolo.engine.postgres import PostgresEngine

from backend.cli.simulate import store_limit
from backend.core import db
from backend.simulation.demand import PRESETS
from backend.simulation.playing import simulate_week
from backend.simulation.station import from_registry
from backend.stations import service as stations
from backend.stations.rules.settings import StationSettings
from backend.stations.service import build
from tests.factories.stations import add_gun, add_station


class TestARegisteredStation:
    async def test_is_simulated_with_its_own_guns_bays_and_numbers(
        self, database: PostgresEngine, now: datetime
    ) -> None:
        added = await add_station()
        await build.put_settings(station_id=added.id, settings=StationSettings(max_wait_s=120), now=now)
        here = [await add_gun(station_id=added.id, kind="ac"), await add_gun(station_id=added.id, kind="dc")]
        broken = await add_gun(station_id=added.id, kind="dc")
        await build.set_connector_in_service(connector_id=broken.connector.id, in_service=False)
        station = from_registry(
            station=await stations.get_station(station_id=added.id),
            connectors=await stations.list_connectors(station_id=added.id),
        )
        assert {gun.id for gun in station.guns} == {gun.connector.id for gun in here}
        assert station.settings.max_wait_s == 120
        run = simulate_week(station, PRESETS["compound"], agreements=20, seed=1)
        assert any(arrival.outcome == "served" for arrival in run.arrivals)

    async def test_keeps_its_limit_beside_its_other_numbers(self, database: PostgresEngine, now: datetime) -> None:
        added = await add_station()
        await build.put_settings(station_id=added.id, settings=StationSettings(max_wait_s=120), now=now)
        await store_limit(code=added.code, limit=42, refuse=True, demand="/tmp/week.csv", seed=3, now=now)
        kept = (await stations.get_station(station_id=added.id)).settings
        assert (kept.signing_limit, kept.signing_limit_refuses, kept.max_wait_s) == (42, True, 120)
        said = await db.fetchval("SELECT detail::text FROM audit_entry WHERE action = 'station.signing_limit'")
        assert "week.csv" in said
        assert "/tmp" not in said
