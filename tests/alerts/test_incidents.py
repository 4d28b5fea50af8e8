"""Smoke alarms and what becomes of them: hold, stops, locks, pages, tasks, escalation, the end by people."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from asyncpg.exceptions import InsufficientPrivilegeError

from backend.accounts import service as accounts
from backend.alerts import store_incidents
from backend.alerts.jobs import JOBS
from backend.alerts.rules.incidents import move_incident, move_task
from backend.alerts.service import drills, incidents, residents, tasks
from backend.alerts.service.incidents import IncidentState
from backend.alerts.service.tasks import TaskTaken
from backend.charging.service import sessions
from backend.core import db
from backend.core.errors import NotFound
from backend.core.ids import new_id
from backend.core.services import Services
from backend.stations import service as stations
from tests.cast import ALICE, LI, WANG, ZHAO, ZHOU
from tests.factories.accounts import add_person
from tests.factories.alerts import (
    add_watched_scene,
    charging,
    incidents_at,
    log_of,
    messages_to,
    open_codes,
    smoke,
    staff_of,
    steps_of,
    tasks_at,
)
from tests.factories.bays import camera_says
from tests.factories.charging import add_charging_scene, commands_to, idle, report, sample
from tests.factories.reservations import Scene
from tests.factories.stations import add_gun, add_smoke_detector
from tests.factories.telemetry import payload, store_message
from tests.jobs import run_due_jobs

NOW = datetime(2026, 6, 10, 4, 0, tzinfo=UTC)
SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)

pytestmark = pytest.mark.usefixtures("database")


class TestASmokeAlarm:
    async def test_holds_the_station_stops_charging_opens_the_locks_rings_and_warns(self, services: Services) -> None:
        scene = await add_watched_scene(now=NOW)
        place = scene.place
        session = await charging(scene.alice, place.ac, now=NOW, services=services)
        await smoke(place.smoke, "alarm", now=NOW + MINUTE, services=services)
        (incident,) = await incidents_at(scene)
        assert (incident.kind, incident.status, incident.confirmed) == ("fire", "open", False)
        assert await stations.has_safety_hold(station_id=place.station.id)
        assert [c["args"]["reason"] for c in await commands_to(place.ac, "stop")] == ["smoke"]
        assert (await sessions.get_session(session_id=session.id)).status == "ending"
        for gun in (place.ac, place.dc, place.public):
            assert gun.lock is not None
            names = await db.fetch("SELECT name FROM command WHERE device_id = $1", gun.lock.id)
            assert "lower" in [row["name"] for row in names]
        guard, lead = await add_person(WANG), await add_person(ZHAO)
        assert await messages_to(guard) == ["incident_page"]
        assert await messages_to(lead) == ["incident_page"]
        assert "danger_stay_away" in await messages_to(scene.alice.account_id)
        assert "danger_stay_away" not in await messages_to(scene.bob.account_id)
        (task,) = await tasks_at(scene)
        assert (task.incident_id, task.status, task.level) == (incident.id, "open", "critical")
        said = await steps_of(incident.id)
        expected = {"smoke_alarm", "safety_hold_set", "session_stopped", "locks_lowered", "incident_page", "task_made"}
        assert expected <= set(said)

    async def test_whose_one_action_is_refused_does_all_the_others_once(
        self, services: Services, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        scene = await add_watched_scene(now=NOW)

        async def refuse(**_: object) -> int:
            raise NotFound(kind="connector")

        monkeypatch.setattr(incidents, "stop_area", refuse)
        await smoke(scene.place.smoke, "alarm", now=NOW, services=services)
        (incident,) = await incidents_at(scene)
        said = await steps_of(incident.id)
        # The guard and the lead are paged.
        for step, times in (("stop_area_failed", 1), ("safety_hold_set", 1), ("incident_page", 2), ("task_made", 1)):
            assert said.count(step) == times, (step, said)
        assert await stations.has_safety_hold(station_id=scene.place.station.id)
        assert await messages_to(await add_person(WANG)) == ["incident_page"]
        assert len(await tasks_at(scene)) == 1

    async def test_told_twice_and_by_the_state_too_is_one_incident(self, services: Services) -> None:
        scene = await add_watched_scene(now=NOW)
        for second in range(3):
            await smoke(scene.place.smoke, "alarm", now=NOW + second * SECOND, services=services)
        await smoke(scene.place.smoke, "alarm", now=NOW + 4 * SECOND, services=services, state=True)
        assert len(await incidents_at(scene)) == 1
        assert len(await tasks_at(scene)) == 1
        assert await messages_to(await add_person(WANG)) == ["incident_page"]
        assert (await db.fetchval("SELECT repeats FROM alert WHERE code = 'smoke_alarm'")) == 3

    @pytest.mark.parametrize(("after_s", "confirmed"), [(59, True), (61, False)])
    async def test_of_a_second_detector_within_a_minute_confirms_the_fire(
        self, after_s: int, confirmed: bool, services: Services
    ) -> None:
        scene = await add_watched_scene(now=NOW)
        second = await add_smoke_detector(station_id=scene.place.station.id)
        await smoke(scene.place.smoke, "alarm", now=NOW, services=services)
        await smoke(second, "alarm", now=NOW + after_s * SECOND, services=services)
        (incident,) = await incidents_at(scene)
        assert incident.confirmed is confirmed
        assert (await messages_to(await add_person(WANG))).count("incident_page") == 2

    async def test_cuts_the_power_of_who_charges_by_card_and_people_give_it_back(self, services: Services) -> None:
        scene = await add_watched_scene(now=NOW)
        gun = scene.place.public
        await sample(gun, now=NOW, meter_wh=1_000_100)
        await smoke(scene.place.smoke, "alarm", now=NOW + SECOND, services=services)
        assert [c["args"] for c in await commands_to(gun, "set_limit")] == [{"connector": 1, "power_w": 0}]
        assert await commands_to(scene.place.ac, "set_limit") == []
        (incident,) = await incidents_at(scene)
        for step in ("acknowledge", "resolve"):
            await incidents.move(
                incident_id=incident.id,
                step=step,  # type: ignore[arg-type]
                note="",
                staff=await staff_of(WANG),
                now=NOW + MINUTE,
            )
        assert [c["args"]["power_w"] for c in await commands_to(gun, "set_limit")] == [0, 7000]

    async def test_rings_the_operators_where_there_is_no_guard(self, services: Services) -> None:
        scene = await add_charging_scene(now=NOW)
        operator = await add_person(LI)
        await smoke(scene.place.smoke, "alarm", now=NOW, services=services)
        assert await messages_to(operator) == ["incident_page"]

    async def test_in_a_mapped_area_stops_only_that_areas_sessions(self, services: Services) -> None:
        scene = await add_watched_scene(now=NOW)
        station_id = scene.place.station.id
        north = await add_gun(station_id=station_id, kind="ac", area="north")
        south = await add_gun(station_id=station_id, kind="ac", area="south")
        for gun in (north, south):
            await idle(gun, now=NOW)
        there = await charging(scene.alice, north, now=NOW, services=services)
        elsewhere = await charging(scene.bob, south, now=NOW, services=services)
        detector = await add_smoke_detector(station_id=station_id, area="north")
        await smoke(detector, "alarm", now=NOW + MINUTE, services=services)
        assert (await sessions.get_session(session_id=there.id)).status == "ending"
        assert (await sessions.get_session(session_id=elsewhere.id)).status == "charging"

    async def test_of_1970_or_from_an_offline_spell_raises_all_the_same(self, services: Services) -> None:
        scene = await add_watched_scene(now=NOW)
        body = payload("smoke", "event", at=datetime(1970, 1, 1, tzinfo=UTC), code="alarm")
        await store_message(scene.place.smoke, "event", body, received_at=NOW)
        await run_due_jobs(now=NOW, services=services)
        assert len(await incidents_at(scene)) == 1

    async def test_is_not_taken_back_by_an_older_all_clear(self, services: Services) -> None:
        scene = await add_watched_scene(now=NOW)
        await smoke(scene.place.smoke, "alarm", now=NOW, services=services)
        late = payload("smoke", "event", at=NOW - 30 * SECOND, code="alarm_cleared")
        await store_message(scene.place.smoke, "event", late, received_at=NOW + 5 * SECOND)
        await run_due_jobs(now=NOW + 5 * SECOND, services=services)
        assert await open_codes() == ["smoke_alarm"]

    async def test_that_clears_leaves_the_hold_to_people(self, services: Services) -> None:
        scene = await add_watched_scene(now=NOW)
        await smoke(scene.place.smoke, "alarm", now=NOW, services=services)
        await smoke(scene.place.smoke, "alarm_cleared", now=NOW + MINUTE, services=services)
        assert await open_codes() == []
        assert (await incidents_at(scene))[0].status == "open"
        assert await stations.has_safety_hold(station_id=scene.place.station.id)


class TestOtherWordsOfADetector:
    async def test_a_test_press_is_logged_and_raises_nothing(self, services: Services) -> None:
        scene = await add_watched_scene(now=NOW)
        await smoke(scene.place.smoke, "test", now=NOW, services=services)
        await smoke(scene.place.smoke, "test", now=NOW, services=services, state=True)
        assert (await incidents_at(scene), await tasks_at(scene), await open_codes()) == ([], [], [])
        assert {entry["what"] for entry in await log_of("smoke_test")} == {"noted"}
        assert not await stations.has_safety_hold(station_id=scene.place.station.id)

    async def test_a_removed_detector_makes_a_task_that_falls_away_when_it_is_back(self, services: Services) -> None:
        scene = await add_watched_scene(now=NOW)
        await smoke(scene.place.smoke, "removed", now=NOW, services=services)
        (task,) = await tasks_at(scene)
        assert (task.kind, task.level, task.incident_id) == ("smoke_removed", "warning", None)
        assert await messages_to(await add_person(WANG)) == ["task_assigned"]
        await smoke(scene.place.smoke, "normal", now=NOW + MINUTE, services=services, state=True)
        assert ((await tasks_at(scene))[0].status, await open_codes()) == ("resolved", [])


class TestAnIncident:
    async def test_escalates_until_somebody_acknowledges_it(self, services: Services) -> None:
        scene = await add_watched_scene(now=NOW)
        operator, guard = await add_person(LI), await add_person(WANG)
        await smoke(scene.place.smoke, "alarm", now=NOW, services=services)
        await run_due_jobs(now=NOW + 61 * SECOND, services=services)
        assert (await messages_to(guard), await messages_to(operator)) == (["incident_page", "incident_escalated"], [])
        await run_due_jobs(now=NOW + 181 * SECOND, services=services)
        assert await messages_to(operator) == ["incident_escalated"]
        (incident,) = await incidents_at(scene)
        assert incident.escalated == 2
        staff = await staff_of(WANG)
        await incidents.move(incident_id=incident.id, step="acknowledge", note="", staff=staff, now=NOW + 4 * MINUTE)
        await run_due_jobs(now=NOW + 10 * MINUTE, services=services)
        assert await messages_to(operator) == ["incident_escalated"]

    async def test_ends_by_people_who_lift_the_hold_and_give_the_all_clear(self, services: Services) -> None:
        scene = await add_watched_scene(now=NOW)
        await charging(scene.alice, scene.place.ac, now=NOW, services=services)
        await smoke(scene.place.smoke, "alarm", now=NOW + MINUTE, services=services)
        (incident,) = await incidents_at(scene)
        wang = await staff_of(WANG)
        at = NOW + 2 * MINUTE
        with pytest.raises(IncidentState):
            await incidents.move(incident_id=incident.id, step="resolve", note="", staff=wang, now=at)
        for _ in range(2):
            await incidents.move(incident_id=incident.id, step="acknowledge", note="going", staff=wang, now=at)
        (task,) = await tasks_at(scene)
        await tasks.move(task_id=task.id, step="accept", note="", staff=wang, now=at)
        with pytest.raises(TaskTaken):
            await tasks.move(task_id=task.id, step="accept", note="", staff=await staff_of(ZHAO), now=at)
        await tasks.move(task_id=task.id, step="arrive", note="", staff=wang, now=at + MINUTE)
        assert (await incidents_at(scene))[0].status == "on_site"
        await incidents.move(incident_id=incident.id, step="resolve", note="burnt toast", staff=wang, now=at + MINUTE)
        assert not await stations.has_safety_hold(station_id=scene.place.station.id)
        assert "all_clear" in await messages_to(scene.alice.account_id)
        assert (await tasks_at(scene))[0].status == "resolved"
        reported = await incidents.move(
            incident_id=incident.id, step="report", note="", staff=wang, now=at + 2 * MINUTE
        )
        assert reported.status == "reported"
        said = await steps_of(incident.id)
        assert [what for what in said if what in ("acknowledged", "on_site", "safety_hold_lifted", "reported")] == [
            "acknowledged",
            "on_site",
            "safety_hold_lifted",
            "reported",
        ]

    async def test_is_not_shown_to_another_company(self, services: Services) -> None:
        scene = await add_watched_scene(now=NOW)
        await smoke(scene.place.smoke, "alarm", now=NOW, services=services)
        (incident,) = await incidents_at(scene)
        zhou = await staff_of(ZHOU)
        with pytest.raises(NotFound):
            await incidents.get_incident(incident_id=incident.id, staff=zhou)
        with pytest.raises(NotFound):
            await incidents.move(incident_id=incident.id, step="acknowledge", note="", staff=zhou, now=NOW)
        assert await incidents.list_incidents(staff=zhou, handled_only=False, before=None, limit=10) == []

    async def test_keeps_its_time_line_and_the_safety_log_as_they_were_written(self, services: Services) -> None:
        scene = await add_watched_scene(now=NOW)
        await smoke(scene.place.smoke, "alarm", now=NOW, services=services)
        for table in ("incident_step", "safety_log"):
            with pytest.raises(InsufficientPrivilegeError):
                async with db.transaction():
                    await db.execute(f"DELETE FROM {table}")
        assert await incidents_at(scene)

    @pytest.mark.parametrize(
        ("status", "move", "after"),
        [
            ("open", "acknowledge", "acknowledged"),
            ("acknowledged", "acknowledge", "acknowledged"),
            ("open", "resolve", None),
            ("acknowledged", "resolve", "resolved"),
            ("on_site", "resolve", "resolved"),
            ("resolved", "acknowledge", None),
            ("resolved", "report", "reported"),
            ("acknowledged", "report", None),
            ("reported", "resolve", None),
        ],
    )
    def test_moves_only_forward(self, status: str, move: str, after: str | None) -> None:
        assert move_incident(status, move) == after  # type: ignore[arg-type]

    def test_has_a_task_that_moves_only_forward(self) -> None:
        assert move_task("open", "accept") == "accepted"
        assert move_task("on_site", "accept") is None
        assert move_task("open", "resolve") == "resolved"
        assert move_task("resolved", "arrive") is None


class TestACharger:
    async def test_whose_emergency_stop_is_pressed_stops_charging_and_makes_a_task(self, services: Services) -> None:
        scene = await add_watched_scene(now=NOW)
        session = await charging(scene.alice, scene.place.ac, now=NOW, services=services)
        await report(scene.place.ac, "emergency_stop", now=NOW + MINUTE)
        await run_due_jobs(now=NOW + MINUTE, services=services)
        assert (await sessions.get_session(session_id=session.id)).status == "ending"
        assert [t.kind for t in await tasks_at(scene)] == ["emergency_stop"]
        assert "charge_stopped_for_safety" in await messages_to(scene.alice.account_id)
        assert await incidents_at(scene) == []


class TestResidents:
    """Who hears of a fire, and that it is over."""

    async def add_resident(self, phone: str, *, metres_north: float, scene: Scene) -> UUID:
        account_id = await accounts.ensure_account(phone=phone, now=NOW)
        station = scene.place.station
        community_id = new_id()
        await db.execute(
            "INSERT INTO community (id, name, district, lat, lng, source, updated_at)"
            " VALUES ($1, $2, '海淀区', $3, $4, 'test', $5)",
            community_id,
            f"小区 {phone}",
            station.lat + metres_north / 111_195,
            station.lng,
            NOW,
        )
        await stations.set_home(account_id=account_id, community_id=community_id, now=NOW)
        return account_id

    async def test_of_compounds_within_500_m_are_warned_then_told_it_is_confirmed_and_then_that_it_is_over(
        self, services: Services
    ) -> None:
        scene = await add_watched_scene(now=NOW)
        near = await self.add_resident("13900000001", metres_north=450, scene=scene)
        far = await self.add_resident("13900000002", metres_north=560, scene=scene)
        await smoke(scene.place.smoke, "alarm", now=NOW, services=services)
        assert await messages_to(near) == ["danger_neighbours"]
        second = await add_smoke_detector(station_id=scene.place.station.id)
        await smoke(second, "alarm", now=NOW + 30 * SECOND, services=services)
        assert await messages_to(near) == ["danger_neighbours", "danger_neighbours_confirmed"]
        channels = await db.fetch("SELECT channel, chain FROM delivery WHERE recipient_id = $1", near)
        assert {row["channel"] for row in channels} <= {"push", "sms"}
        assert {row["chain"] for row in channels} == {"push,sms"}
        await resolve(scene, at=NOW + 2 * MINUTE)
        await run_due_jobs(now=NOW + 2 * MINUTE, services=services)
        assert (await messages_to(near))[2:] == ["all_clear_nearby"]
        assert await messages_to(far) == []

    async def test_with_a_car_there_are_told_that_and_not_the_neighbours_words(self, services: Services) -> None:
        scene = await add_watched_scene(now=NOW)
        await self.add_resident(ALICE.phone, metres_north=100, scene=scene)
        await charging(scene.alice, scene.place.ac, now=NOW, services=services)
        await smoke(scene.place.smoke, "alarm", now=NOW + MINUTE, services=services)
        told = await messages_to(scene.alice.account_id)
        assert "danger_stay_away" in told and "danger_neighbours" not in told
        await resolve(scene, at=NOW + 2 * MINUTE)
        await run_due_jobs(now=NOW + 2 * MINUTE, services=services)
        told = await messages_to(scene.alice.account_id)
        assert told.count("all_clear") == 1 and "all_clear_nearby" not in told

    async def test_of_a_fire_confirmed_meanwhile_are_told_that_and_not_that_it_is_being_checked(
        self, services: Services
    ) -> None:
        scene = await add_watched_scene(now=NOW)
        second = await add_smoke_detector(station_id=scene.place.station.id)
        await smoke(scene.place.smoke, "alarm", now=NOW, services=services)
        near = await self.add_resident("13900000001", metres_north=100, scene=scene)
        await smoke(second, "alarm", now=NOW + SECOND, services=services)
        assert await messages_to(near) == ["danger_neighbours_confirmed"]
        (incident,) = await incidents_at(scene)
        await residents.tell_neighbours(due=residents.NeighboursDue(incident.id, "danger_neighbours"), now=NOW + SECOND)
        assert await messages_to(near) == ["danger_neighbours_confirmed"]

    async def test_that_are_many_have_no_place_in_the_lane_of_the_alarms(self, services: Services) -> None:
        scene = await add_watched_scene(now=NOW)
        await charging(scene.alice, scene.place.ac, now=NOW, services=services)
        near = await self.add_resident("13900000001", metres_north=100, scene=scene)
        await smoke(scene.place.smoke, "alarm", now=NOW + MINUTE, services=services)
        asked = (
            "SELECT array_agg(DISTINCT q.entrypoint) FROM pgqueuer q WHERE q.priority = 1"
            " AND convert_from(q.payload, 'UTF8')::jsonb ->> 'recipient_id' = $1"
        )
        assert await db.fetchval(asked, str(near)) == ["notifications.move_on"]
        assert await db.fetchval(asked, str(scene.alice.account_id)) == ["notifications.move_on.first"]
        assert JOBS.entrypoints["alerts.tell_neighbours"].queue_names().keys() == {"urgent"}

    async def test_who_came_since_are_told_by_a_further_alarm_and_the_others_not_again(
        self, services: Services
    ) -> None:
        scene = await add_watched_scene(now=NOW)
        camera, alice, bob = scene.place.bay_camera, scene.alice.plate_hash, scene.bob.plate_hash
        await camera_says(scene.place.ac, "bay_occupied", now=NOW, camera=camera, plate_hash=alice)
        await smoke(scene.place.smoke, "alarm", now=NOW + MINUTE, services=services)
        await camera_says(scene.place.dc, "bay_occupied", now=NOW + MINUTE, camera=camera, plate_hash=bob)
        second = await add_smoke_detector(station_id=scene.place.station.id)
        await smoke(second, "alarm", now=NOW + 2 * MINUTE, services=services)
        (incident,) = await incidents_at(scene)
        said = await store_incidents.list_steps(incident.id)
        told = [step.detail["account_id"] for step in said if step.what == "danger_stay_away"]
        assert told == [str(scene.alice.account_id), str(scene.bob.account_id)]

    async def test_are_told_nothing_by_a_job_that_comes_after_the_end(self, services: Services) -> None:
        scene = await add_watched_scene(now=NOW)
        await smoke(scene.place.smoke, "alarm", now=NOW, services=services)
        await resolve(scene, at=NOW + MINUTE)
        await charging(scene.alice, scene.place.ac, now=NOW + 2 * MINUTE, services=services)
        (incident,) = await incidents_at(scene)
        await residents.tell_residents(due=residents.ResidentsDue(incident.id), now=NOW + 3 * MINUTE)
        assert "danger_stay_away" not in await messages_to(scene.alice.account_id)

    async def test_that_are_many_are_told_in_parts_and_each_once(
        self, services: Services, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(residents, "AT_A_TIME", 4)
        scene = await add_watched_scene(now=NOW)
        first = await self.add_resident("13800000099", metres_north=0, scene=scene)
        home = await stations.find_home(account_id=first)
        assert home is not None
        for number in range(6):
            account_id = await accounts.ensure_account(phone=f"139{number:08d}", now=NOW)
            await stations.set_home(account_id=account_id, community_id=home.community_id, now=NOW)
        await smoke(scene.place.smoke, "alarm", now=NOW, services=services)
        (incident,) = await incidents_at(scene)
        asked = "SELECT count(*), count(DISTINCT recipient_id) FROM inbox_message WHERE template = $1"
        everybody = 7
        assert tuple(await db.fetchrow(asked, "danger_neighbours") or ()) == (everybody, everybody)
        again = residents.NeighboursDue(incident.id, "danger_neighbours")
        await residents.tell_neighbours(due=again, now=NOW + SECOND)
        steps = [s for s in await store_incidents.list_steps(incident.id) if s.what == "danger_neighbours"]
        assert [step.detail["count"] for step in steps] == [4, 3]
        assert tuple(await db.fetchrow(asked, "danger_neighbours") or ()) == (everybody, everybody)

    async def test_are_not_warned_any_more_when_it_is_over(self, services: Services) -> None:
        scene = await add_watched_scene(now=NOW)
        await smoke(scene.place.smoke, "alarm", now=NOW, services=services)
        await resolve(scene, at=NOW + MINUTE)
        near = await self.add_resident("13900000001", metres_north=0, scene=scene)
        (incident,) = await incidents_at(scene)
        late = residents.NeighboursDue(incident.id, "danger_neighbours")
        await residents.tell_neighbours(due=late, now=NOW + 2 * MINUTE)
        assert await messages_to(near) == []

    async def test_of_a_station_that_says_zero_metres_are_not_told(self, services: Services) -> None:
        scene = await add_watched_scene(now=NOW)
        near = await self.add_resident("13900000001", metres_north=0, scene=scene)
        await db.execute("""UPDATE station SET settings = settings || '{"neighbours_within_m": 0}'""")
        await smoke(scene.place.smoke, "alarm", now=NOW, services=services)
        assert await messages_to(near) == []

    async def test_hear_nothing_of_a_drill(self, services: Services) -> None:
        scene = await add_watched_scene(now=NOW)
        near = await self.add_resident("13900000001", metres_north=0, scene=scene)
        drill = await drills.start_drill(
            staff=await staff_of(ZHAO), station_id=scene.place.station.id, note="", now=NOW
        )
        await residents.tell_neighbours(due=residents.NeighboursDue(drill.id, "danger_neighbours"), now=NOW)
        await run_due_jobs(now=NOW + 10 * MINUTE, services=services)
        assert await messages_to(near) == []
        (would,) = [s for s in await store_incidents.list_steps(drill.id) if s.what == "would_tell_residents"]
        assert would.detail["neighbours"] == 1


async def resolve(scene: Scene, *, at: datetime) -> None:
    """The guard takes the scene's incident to its end."""
    (incident,) = await incidents_at(scene)
    wang = await staff_of(WANG)
    for step in ("acknowledge", "arrive", "resolve"):
        await incidents.move(incident_id=incident.id, step=step, note="", staff=wang, now=at)  # type: ignore[arg-type]
