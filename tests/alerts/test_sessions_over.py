"""What was raised about a car is over when its charge is over and the gun is free."""

from datetime import UTC, datetime, timedelta

import pytest

from backend.alerts.service import SampleEvaluator
from backend.core.services import Services
from tests.alerts.test_samples import hot
from tests.factories.alerts import add_watched_scene, charging, incidents_at, log_of, open_codes, steps_of
from tests.factories.charging import idle, report, sample
from tests.factories.reservations import Scene
from tests.jobs import run_due_jobs

NOW = datetime(2026, 6, 10, 4, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)

pytestmark = pytest.mark.usefixtures("database")


async def overheat(scene: Scene, services: Services) -> datetime:
    """A DC session stopped by its battery; returns when it had ended, the car still plugged in."""
    gun = scene.place.dc
    session = await charging(scene.alice, gun, now=NOW, services=services)
    at = NOW + MINUTE
    await SampleEvaluator().evaluate(hot(gun, 1, 2, temp=72, at=at), at + 2 * MINUTE)
    await run_due_jobs(now=at + 2 * MINUTE, services=services)
    end = at + 3 * MINUTE
    await report(gun, "session_ended", now=end, session=session, meter_wh=1_000_100, reason="battery")
    await sample(gun, now=end, meter_wh=1_000_100, status="finishing", power_w=0)
    await run_due_jobs(now=end, services=services)
    return end


class TestABatteryAlert:
    async def test_stays_open_while_the_car_is_plugged_in(self, services: Services) -> None:
        scene = await add_watched_scene(now=NOW)
        await overheat(scene, services)
        assert await open_codes() == ["battery_temp_high"]

    async def test_is_cleared_with_a_trace_when_the_gun_is_free_and_leaves_the_incident_to_people(
        self, services: Services
    ) -> None:
        scene = await add_watched_scene(now=NOW)
        end = await overheat(scene, services)
        await idle(scene.place.dc, now=end + MINUTE, meter_wh=1_000_100)
        await run_due_jobs(now=end + MINUTE, services=services)
        assert "battery_temp_high" not in await open_codes()
        cleared = [entry for entry in await log_of("battery_temp_high") if entry["what"] == "cleared"]
        assert [entry["detail"] for entry in cleared] == [{"why": "session_over"}]
        (incident,) = await incidents_at(scene)
        assert (incident.kind, incident.status) == ("battery", "open")
        assert "battery_temp_high_cleared" in await steps_of(incident.id)
