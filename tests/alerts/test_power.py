"""Power that is cut where a car charges on site, given back by people, and a limit that is the offer meanwhile."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from backend.alerts import store, store_actions
from backend.alerts.service import SampleEvaluator, incidents
from backend.alerts.service.power import note_limit
from backend.core.services import Services
from backend.telemetry.service import Sample
from tests.alerts.test_samples import reading
from tests.cast import WANG
from tests.factories.alerts import add_watched_scene, incidents_at, open_codes, smoke, staff_of, tasks_at
from tests.factories.charging import answer, commands_to, sample
from tests.factories.reservations import Scene
from tests.jobs import run_due_jobs

NOW = datetime(2026, 6, 10, 4, 0, tzinfo=UTC)
SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)

pytestmark = pytest.mark.usefixtures("database")


async def states(scene: Scene) -> dict[str, str]:
    """What became of the actions that concern the DC connector's power."""
    (incident,) = await incidents_at(scene)
    found = await store_actions.list_actions(incident.id)
    return {a.kind: a.status for a in found if a.target_id == scene.place.dc.connector.id}


async def limits(scene: Scene) -> list[int]:
    """The limits the DC charger was sent."""
    return [command["args"]["power_w"] for command in await commands_to(scene.place.dc, "set_limit")]


async def fire_with_a_car_by_card(services: Services) -> Scene:
    """A car charges by a card on site when a detector alarms; the charger takes the limit and the power falls."""
    scene = await add_watched_scene(now=NOW)
    gun = scene.place.dc
    await sample(gun, now=NOW, meter_wh=1_000_000, power_w=40_000)
    await smoke(scene.place.smoke, "alarm", now=NOW + SECOND, services=services)
    assert await limits(scene) == [0]
    await answer(gun, "set_limit", now=NOW + 2 * SECOND)
    await sample(gun, now=NOW + 3 * SECOND, meter_wh=1_000_100, status="suspended", power_w=0)
    await run_due_jobs(now=NOW + 14 * SECOND, services=services)
    assert await states(scene) == {"cut_power": "seen"}
    return scene


async def resolve(scene: Scene, *, at: datetime) -> None:
    (incident,) = await incidents_at(scene)
    steps: list[Any] = ["acknowledge", "arrive", "resolve"]
    for step in steps:
        await incidents.move(incident_id=incident.id, step=step, note="", staff=await staff_of(WANG), now=at)


class TestPower:
    async def test_is_given_back_until_the_charger_says_that_it_has_taken_it(self, services: Services) -> None:
        scene = await fire_with_a_car_by_card(services)
        at = NOW + 5 * MINUTE
        await resolve(scene, at=at)
        assert await limits(scene) == [0, 60_000]
        await run_due_jobs(now=at + 13 * SECOND, services=services)
        assert await limits(scene) == [0, 60_000, 60_000], "no answer: asked again"
        await answer(scene.place.dc, "set_limit", now=at + 14 * SECOND)
        await run_due_jobs(now=at + 15 * SECOND, services=services)
        await run_due_jobs(now=at + MINUTE, services=services)
        assert (await states(scene))["restore_power"] == "seen"
        assert await limits(scene) == [0, 60_000, 60_000]
        kept = (await store.list_watches([scene.place.dc.connector.id]))[scene.place.dc.connector.id]
        assert kept.limit_w == 60_000

    async def test_that_the_charger_never_takes_back_is_a_task(self, services: Services) -> None:
        scene = await fire_with_a_car_by_card(services)
        await resolve(scene, at=NOW + 5 * MINUTE)
        for minute in range(6, 14):
            await run_due_jobs(now=NOW + minute * MINUTE, services=services)
        assert (await states(scene))["restore_power"] == "failed"
        open_tasks = [task.kind for task in await tasks_at(scene) if task.status == "open"]
        assert open_tasks.count("power_not_restored") == 1

    async def test_is_not_given_back_behind_another_incident(self, services: Services) -> None:
        scene = await fire_with_a_car_by_card(services)
        at = NOW + 5 * MINUTE
        await resolve(scene, at=at)
        sent = len(await limits(scene))
        await smoke(scene.place.smoke, "alarm_cleared", now=at + SECOND, services=services)
        await smoke(scene.place.smoke, "alarm", now=at + 2 * SECOND, services=services)
        await run_due_jobs(now=at + 20 * SECOND, services=services)
        later = (await limits(scene))[sent:]
        assert 60_000 not in later


class TestALimit:
    async def test_that_the_charger_took_is_the_offer_until_it_ends(self, services: Services) -> None:
        scene = await add_watched_scene(now=NOW)
        gun = scene.place.dc

        def slow(start: int) -> list[Sample]:
            batch = [reading(gun, n, at=NOW + n * MINUTE, soc_pct=40.0 + n / 100) for n in range(start, start + 13)]
            for one in batch:
                one.reading.power_w = 16_000
            return batch

        ends = (NOW + 30 * MINUTE).isoformat()
        args = {"connector": gun.connector.number, "power_w": 30_000, "until": ends}
        await note_limit(device_id=gun.charger.id, args=args, at=NOW, now=NOW)
        evaluator = SampleEvaluator()
        await evaluator.evaluate(slow(0), NOW)
        assert "charge_slow" not in await open_codes()
        await evaluator.evaluate(slow(40), NOW + 53 * MINUTE)
        assert "charge_slow" in await open_codes()
