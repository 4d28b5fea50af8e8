"""Alarms that come at the same time, each handled in its own transaction."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

from piccolo.engine.postgres import PostgresEngine

from backend.alerts.rules.table import BY_CODE
from backend.alerts.service import incidents
from backend.alerts.service.raising import Report, raise_alert
from backend.alerts.store import AlertView
from backend.core import db
from backend.stations import service as stations
from tests.cast import ZHAO
from tests.factories.alerts import add_watched_scene, incidents_at, staff_of, tasks_at
from tests.factories.reservations import Scene
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


class TestAnAlarmAndTheEnd:
    """A further alarm while a person ends the incident: it holds the incident, or it makes another."""

    async def _first(
        self,
    ) -> tuple[Scene, AlertView, Callable[[], Awaitable[object]], Callable[[], Awaitable[object]]]:
        scene = await add_watched_scene(now=NOW)
        station_id = scene.place.station.id
        detectors = [await add_smoke_detector(station_id=station_id) for _ in range(2)]
        first, second = (
            Report(device_id=detector.id, station_id=station_id, occurred_at=NOW, received_at=NOW, word="alarm")
            for detector in detectors
        )
        rule = BY_CODE["smoke_alarm"]
        alert = await raise_alert(rule=rule, level="critical", report=first, now=NOW)
        (incident,) = await incidents_at(scene)
        zhao = await staff_of(ZHAO)
        await incidents.move(incident_id=incident.id, step="acknowledge", note="", staff=zhao, now=NOW)
        return (
            scene,
            alert,
            lambda: raise_alert(rule=rule, level="critical", report=second, now=NOW),
            lambda: incidents.move(incident_id=incident.id, step="resolve", note="", staff=zhao, now=NOW),
        )

    async def test_that_joins_keeps_the_incident_until_it_is_written(self, committing: PostgresEngine) -> None:
        scene, alert, _, resolve = await self._first()
        async with db.transaction():
            joined = await incidents.open_or_join(
                kind="fire", alert=alert, station=scene.place.station, area=None, now=NOW
            )
            ending = db.start_outside_transaction(lambda: _quietly(resolve))
            assert await _waits_for_a_lock(ending)
        await ending
        (incident,) = await incidents_at(scene)
        assert (incident.id, incident.status) == (joined, "resolved")
        assert not await stations.has_safety_hold(station_id=scene.place.station.id)

    async def test_that_comes_while_it_is_ended_opens_another(self, committing: PostgresEngine) -> None:
        scene, _, alarm, resolve = await self._first()
        async with db.transaction():
            await resolve()
            raising = db.start_outside_transaction(lambda: _quietly(alarm))
            assert await _waits_for_a_lock(raising)
        await raising
        assert [incident.status for incident in await incidents_at(scene)] == ["resolved", "open"]
        assert await stations.has_safety_hold(station_id=scene.place.station.id)


async def _quietly(act: Callable[[], Awaitable[object]]) -> None:
    await act()


async def _waits_for_a_lock(task: "asyncio.Task[None]") -> bool:
    """Whether the task comes to wait for a lock of this transaction, rather than to its end."""
    waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND pg_backend_pid() = ANY(pg_blocking_pids(pid))"
    while not task.done():
        if await db.fetchval(waiting):
            return True
        await asyncio.sleep(0.01)
    return False
