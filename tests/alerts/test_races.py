"""Alarms that come at the same time, each handled in its own transaction."""

import asyncio
from datetime import UTC, datetime

from piccolo.engine.postgres import PostgresEngine

from backend.alerts.rules.table import BY_CODE
from backend.alerts.service.raising import Report, raise_alert
from backend.core import db
from tests.factories.alerts import add_watched_scene, incidents_at, tasks_at
from tests.factories.stations import add_smoke_detector

NOW = datetime(2026, 6, 10, 4, 0, tzinfo=UTC)


class TestAtTheSameTime:
    async def test_five_detectors_each_told_thrice_make_one_confirmed_incident(
        self, committing: PostgresEngine
    ) -> None:
        scene = await add_watched_scene(now=NOW)
        station_id = scene.place.station.id
        detectors = [await add_smoke_detector(station_id=station_id) for _ in range(5)]
        reports = [
            Report(device_id=detector.id, station_id=station_id, occurred_at=NOW, received_at=NOW, word="alarm")
            for detector in detectors * 3
        ]
        rule = BY_CODE["smoke_alarm"]
        await asyncio.gather(*(raise_alert(rule=rule, level="critical", report=report, now=NOW) for report in reports))
        (incident,) = await incidents_at(scene)
        assert incident.confirmed
        assert len(await tasks_at(scene)) == 1
        assert await db.fetchval("SELECT count(*) FROM alert WHERE cleared_at IS NULL") == 5
        assert await db.fetchval("SELECT count(*) FROM safety_hold WHERE lifted_at IS NULL") == 1
        assert await db.fetchval("SELECT count(*) FROM safety_log WHERE code = 'smoke_alarm'") == 15
