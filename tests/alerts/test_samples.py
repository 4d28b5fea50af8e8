"""Samples judged as ingest stores them, and critical ones of the safety lane."""

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from backend.alerts.rules.model import CarLimits
from backend.alerts.service import SampleEvaluator, put_car_limits
from backend.alerts.service.critical import judge_critical
from backend.charging.service import sessions
from backend.core import db
from backend.core.services import Services
from backend.stations.service import StationSettings, build
from backend.telemetry.events import CriticalSample
from backend.telemetry.service import Sample
from mqtt_bridge import messages
from mqtt_bridge.messages import ChargerTelemetry
from tests.factories.alerts import (
    add_watched_scene,
    charging,
    incidents_at,
    messages_to,
    open_codes,
    steps_of,
    tasks_at,
)
from tests.factories.charging import commands_to, report
from tests.factories.stations import Gun
from tests.factories.telemetry import BMS
from tests.jobs import run_due_jobs

NOW = datetime(2026, 6, 10, 4, 0, tzinfo=UTC)
SECOND = timedelta(seconds=1)

pytestmark = pytest.mark.usefixtures("database")


def reading(gun: Gun, seq: int, *, at: datetime, flagged: bool = False, boot: int = 5, **bms: Any) -> Sample:
    """A DC sample as ingest hands it on; `bms` replaces battery values."""
    body = {
        "msg_id": f"t{boot}-{seq}",
        "boot": boot,
        "seq": seq,
        "ts": messages.format_ts(at),
        "connector": 1,
        "status": "charging",
        "meter_wh": 1_000_000 + seq * 20,
        "power_w": 40_000,
        "voltage_v": 400.0,
        "current_a": 100.0,
        "gun_temp_c": 40.0,
        "bms": {**BMS, "pack_v": 350 + seq / 10, "temp_min_c": bms.get("temp_max_c", 35) - 3, **bms},
    }
    return Sample(
        connector_id=gun.connector.id,
        device_id=gun.charger.id,
        device_code=gun.charger.code,
        station_id=gun.charger.station_id,
        occurred_at=at,
        received_at=at,
        clock_flagged=flagged,
        reading=msgspec.convert(body, ChargerTelemetry),
    )


def hot(gun: Gun, start: int, count: int, *, temp: float, at: datetime) -> list[Sample]:
    """Consecutive samples two minutes apart at one temperature."""
    return [
        reading(gun, n, at=at + timedelta(minutes=2 * i), temp_max_c=temp)
        for i, n in enumerate(range(start, start + count))
    ]


class TestAnOverheatedBattery:
    async def test_stops_the_session_opens_an_incident_and_tells_the_resident(self, services: Services) -> None:
        scene = await add_watched_scene(now=NOW)
        gun = scene.place.dc
        session = await charging(scene.alice, gun, now=NOW, services=services)
        await SampleEvaluator().evaluate(hot(gun, 1, 2, temp=71, at=NOW), NOW + SECOND)
        await run_due_jobs(now=NOW + SECOND, services=services)
        (incident,) = await incidents_at(scene)
        assert (incident.kind, incident.code, incident.connector_id) == (
            "battery",
            "battery_temp_high",
            gun.connector.id,
        )
        assert [c["args"]["reason"] for c in await commands_to(gun, "stop")] == ["battery"]
        assert (await sessions.get_session(session_id=session.id)).end_reason == "battery"
        assert "battery_critical" in await messages_to(scene.alice.account_id)
        assert {"session_stopped", "battery_critical", "incident_page"} <= set(await steps_of(incident.id))
        await report(gun, "session_ended", now=NOW + 9 * SECOND, session=session, meter_wh=1_000_040, reason="remote")
        await run_due_jobs(now=NOW + 9 * SECOND, services=services)
        assert "session_ended" not in await messages_to(scene.alice.account_id)

    async def test_warns_first_and_leaves_the_session_running(self, services: Services) -> None:
        scene = await add_watched_scene(now=NOW)
        session = await charging(scene.alice, scene.place.dc, now=NOW, services=services)
        await SampleEvaluator().evaluate(hot(scene.place.dc, 1, 3, temp=62, at=NOW), NOW + SECOND)
        assert await open_codes() == ["battery_temp_high"]
        assert await messages_to(scene.alice.account_id) == ["session_started", "battery_warning"]
        assert (await sessions.get_session(session_id=session.id)).status == "charging"
        assert await incidents_at(scene) == []

    async def test_is_judged_by_the_limits_the_car_gave_at_its_start(self, services: Services) -> None:
        scene = await add_watched_scene(now=NOW)
        gun = scene.place.dc
        await charging(scene.alice, gun, now=NOW, services=services)
        limits = {
            "chemistry": "lfp",
            "cell_v_limit": 3.65,
            "pack_v_limit": 420.0,
            "temp_limit_c": 50.0,
            "current_limit_a": 200.0,
            "capacity_wh": 60_000,
            "vin": "LSVAA4182E2184847",
        }
        await report(gun, "bms_limits", now=NOW + SECOND, bms=limits)
        await run_due_jobs(now=NOW + SECOND, services=services)
        await SampleEvaluator().evaluate(hot(gun, 1, 2, temp=50, at=NOW), NOW + 2 * SECOND)
        assert [i.code for i in await incidents_at(scene)] == ["battery_temp_high"]
        assert "LSVAA4182E2184847" not in str(await db.fetchval("SELECT car_limits FROM connector_watch_state"))

    async def test_forgets_the_last_cars_limits_when_it_is_unplugged(self, services: Services) -> None:
        scene = await add_watched_scene(now=NOW)
        gun = scene.place.dc
        cool = CarLimits("lfp", temp_limit_c=50)
        await put_car_limits(connector_id=gun.connector.id, car=cool, at=NOW, now=NOW)
        await report(gun, "unplugged", now=NOW + SECOND)
        await run_due_jobs(now=NOW + SECOND, services=services)
        await SampleEvaluator().evaluate(hot(gun, 1, 3, temp=52, at=NOW), NOW + 2 * SECOND)
        assert await open_codes() == []

    async def test_that_cools_down_clears_the_alert(self, services: Services) -> None:
        scene = await add_watched_scene(now=NOW)
        gun, evaluator = scene.place.dc, SampleEvaluator()
        await evaluator.evaluate(hot(gun, 1, 2, temp=62, at=NOW), NOW)
        await evaluator.evaluate(hot(gun, 3, 2, temp=40, at=NOW + timedelta(minutes=4)), NOW)
        assert await open_codes() == []

    async def test_takes_the_stations_own_numbers(self, services: Services) -> None:
        scene = await add_watched_scene(now=NOW)
        station = scene.place.station
        settings = StationSettings(alert_rules={"battery_temp_high": {"warning": 45, "critical": 48}})
        await build.put_station(
            code=station.code,
            name=station.name,
            operator_company_id=station.operator_company_id,
            lat=station.lat,
            lng=station.lng,
            pilot=True,
            settings=settings,
            now=NOW,
        )
        await SampleEvaluator().evaluate(hot(scene.place.dc, 1, 2, temp=48, at=NOW), NOW)
        assert [i.code for i in await incidents_at(scene)] == ["battery_temp_high"]


class TestIngest:
    async def test_started_anew_goes_on_where_it_stopped(self, services: Services) -> None:
        scene = await add_watched_scene(now=NOW)
        first, second = hot(scene.place.dc, 1, 2, temp=75, at=NOW)
        await SampleEvaluator().evaluate([first], NOW)
        assert await open_codes() == []
        await SampleEvaluator().evaluate([second], NOW)
        assert await open_codes() == ["battery_temp_high"]
        await SampleEvaluator().evaluate([second, first], NOW)
        assert len(await incidents_at(scene)) == 1

    async def test_that_could_not_store_finds_the_same_again(self, services: Services) -> None:
        scene = await add_watched_scene(now=NOW)
        samples, evaluator = hot(scene.place.dc, 1, 2, temp=75, at=NOW), SampleEvaluator()

        class Broken(Exception):
            """Stands for a database that goes away."""

        with pytest.raises(Broken):
            async with db.transaction():
                await evaluator.evaluate(samples, NOW)
                raise Broken
        assert await open_codes() == []

    async def test_raises_for_a_sample_with_a_wrong_clock(self, services: Services) -> None:
        scene = await add_watched_scene(now=NOW)
        samples = [reading(scene.place.dc, n, at=NOW, flagged=True, temp_max_c=80) for n in (1, 2)]
        await SampleEvaluator().evaluate(samples, NOW)
        assert await open_codes() == ["battery_temp_high"]


class TestACriticalSample:
    @staticmethod
    def event(sample: Sample) -> CriticalSample:
        """The sample as the safety lane tells it."""
        return CriticalSample(
            device_id=sample.device_id,
            device_code=sample.device_code,
            station_id=sample.station_id,
            occurred_at=sample.occurred_at,
            received_at=sample.received_at,
            connector_id=sample.connector_id,
            sample=sample.reading,
        )

    async def test_raises_with_the_second_in_a_row_and_not_with_a_repeat(self, services: Services) -> None:
        scene = await add_watched_scene(now=NOW)
        first = reading(scene.place.dc, 1, at=NOW, temp_max_c=75)
        second = reading(scene.place.dc, 2, at=NOW + 5 * SECOND, temp_max_c=75)
        for _ in range(2):
            assert await judge_critical(event=self.event(first), now=NOW) == []
        assert await judge_critical(event=self.event(second), now=NOW) == ["battery_temp_high"]
        await SampleEvaluator().evaluate([first, second], NOW)
        assert len(await incidents_at(scene)) == 1

    async def test_long_after_another_is_a_first_one(self, services: Services) -> None:
        scene = await add_watched_scene(now=NOW)
        first = reading(scene.place.dc, 1, at=NOW, temp_max_c=75)
        second = reading(scene.place.dc, 90, at=NOW + 90 * SECOND, temp_max_c=75)
        assert await judge_critical(event=self.event(first), now=NOW) == []
        assert await judge_critical(event=self.event(second), now=NOW) == []

    async def test_of_an_impossible_value_is_no_danger(self, services: Services) -> None:
        scene = await add_watched_scene(now=NOW)
        for seq in (1, 2, 3):
            sample = reading(scene.place.dc, seq, at=NOW, temp_max_c=250)
            assert await judge_critical(event=self.event(sample), now=NOW) == []
        await SampleEvaluator().evaluate(hot(scene.place.dc, 4, 3, temp=250, at=NOW), NOW)
        assert await open_codes() == ["sensor_impossible"]
        assert [t.kind for t in await tasks_at(scene)] == ["sensor_impossible"]
