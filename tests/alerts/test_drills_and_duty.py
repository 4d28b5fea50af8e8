"""Automatic actions followed to their effect; drills; who is on duty and is paged; shared phones; reports."""

from datetime import UTC, datetime, timedelta

import httpx
import pytest

from backend.accounts import service as accounts
from backend.alerts.rules.timeline import how_long, word_of
from backend.alerts.service import actions, drills, duty, incidents, reports
from backend.alerts.service.drills import DrillImpossible
from backend.alerts.service.duty import NotOnDuty, PinLocked, PinWrong, SharedPhoneHasNoPin, ShiftOverlaps
from backend.charging.service import sessions
from backend.core import db
from backend.core.auth import Staff
from backend.core.errors import NotFound
from backend.core.services import Services
from backend.stations import service as stations
from tests.cast import LI, QIAN, WANG, ZHAO, ZHOU
from tests.factories.accounts import add_person, log_in
from tests.factories.alerts import (
    add_watched_scene,
    charging,
    incidents_at,
    messages_to,
    smoke,
    staff_of,
    steps_of,
    tasks_at,
)
from tests.factories.charging import commands_to, report, sample
from tests.factories.reservations import Scene
from tests.factories.telemetry import say
from tests.jobs import run_due_jobs

NOW = datetime(2026, 6, 10, 4, 0, tzinfo=UTC)
SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
POST_PHONE = "13800000077"


@pytest.mark.usefixtures("database")
class TestAnAutomaticAction:
    async def test_without_effect_is_asked_for_again_and_at_last_given_to_hands(self, services: Services) -> None:
        scene = await add_watched_scene(now=NOW)
        await charging(scene.alice, scene.place.ac, now=NOW, services=services)
        at = NOW + MINUTE
        await smoke(scene.place.smoke, "alarm", now=at, services=services)
        (incident,) = await incidents_at(scene)
        before = len(await commands_to(scene.place.ac, "stop"))
        await run_due_jobs(now=at + 13 * SECOND, services=services, only="alerts.action")
        assert len(await commands_to(scene.place.ac, "stop")) == before + 1
        assert "stop_session_repeated" in await steps_of(incident.id)
        for minutes in range(1, 8):
            await run_due_jobs(now=at + minutes * MINUTE, services=services, only="alerts.action")
        statuses = {a.kind: (a.status, a.attempts) for a in await actions.list_actions(incident_id=incident.id)}
        assert statuses["stop_session"] == ("failed", actions.MAX_ATTEMPTS)
        assert "action_failed" in await messages_to(await add_person(WANG))

    async def test_is_settled_when_the_charger_has_ended_and_the_lock_is_down(self, services: Services) -> None:
        scene = await add_watched_scene(now=NOW)
        gun = scene.place.ac
        session = await charging(scene.alice, gun, now=NOW, services=services)
        at = NOW + MINUTE
        await smoke(scene.place.smoke, "alarm", now=at, services=services)
        await report(gun, "session_ended", now=at + SECOND, session=session, meter_wh=1_000_100, reason="smoke")
        assert gun.lock is not None
        await say(gun.lock, "state", now=at + SECOND, position="down", car_present=True)
        await run_due_jobs(now=at + 2 * SECOND, services=services)
        await run_due_jobs(now=at + 13 * SECOND, services=services, only="alerts.action")
        (incident,) = await incidents_at(scene)
        settled = {(a.kind, a.target_id): a.status for a in await actions.list_actions(incident_id=incident.id)}
        assert settled["stop_session", session.id] == "seen"
        (bay_id,) = [
            b.id for b in await stations.list_bays(station_id=scene.place.station.id) if b.lock_device_id == gun.lock.id
        ]
        assert settled["lower_lock", bay_id] == "seen"

    async def test_is_not_pursued_behind_people_who_have_ended_the_incident(self, services: Services) -> None:
        scene = await add_watched_scene(now=NOW)
        await charging(scene.alice, scene.place.ac, now=NOW, services=services)
        at = NOW + MINUTE
        await smoke(scene.place.smoke, "alarm", now=at, services=services)
        (incident,) = await incidents_at(scene)
        for step in ("acknowledge", "resolve"):
            await incidents.move(incident_id=incident.id, step=step, note="", staff=await staff_of(WANG), now=at)
        before = len(await commands_to(scene.place.ac, "stop"))
        await run_due_jobs(now=at + 13 * SECOND, services=services, only="alerts.action")
        assert len(await commands_to(scene.place.ac, "stop")) == before
        assert {a.status for a in await actions.list_actions(incident_id=incident.id)} <= {"failed", "seen"}


@pytest.mark.usefixtures("database")
class TestADrill:
    async def drill(self, scene: Scene, services: Services) -> None:
        await drills.start_drill(
            staff=await staff_of(ZHAO), station_id=scene.place.station.id, note="monthly", now=NOW + MINUTE
        )
        await run_due_jobs(now=NOW + MINUTE, services=services)

    async def test_pages_staff_and_tells_no_resident_and_switches_nothing(self, services: Services) -> None:
        scene = await add_watched_scene(now=NOW)
        session = await charging(scene.alice, scene.place.ac, now=NOW, services=services)
        await run_due_jobs(now=NOW + MINUTE, services=services)
        told = await messages_to(scene.alice.account_id)
        commands = await db.fetchval("SELECT count(*) FROM command")
        await self.drill(scene, services)
        (incident,) = await incidents_at(scene)
        assert (incident.drill, incident.status) == (True, "open")
        assert await messages_to(await add_person(WANG)) == ["drill_page"]
        assert await messages_to(scene.alice.account_id) == told
        assert await db.fetchval("SELECT count(*) FROM command") == commands
        assert not await stations.has_safety_hold(station_id=scene.place.station.id)
        assert (await sessions.get_session(session_id=session.id)).status == "charging"
        said = await steps_of(incident.id)
        assert {"would_set_safety_hold", "would_stop_session", "would_lower_lock", "would_tell_residents"} <= set(said)
        (task,) = await tasks_at(scene)
        assert task.drill

    async def test_escalates_as_a_drill_and_ends_without_an_all_clear(self, services: Services) -> None:
        scene = await add_watched_scene(now=NOW)
        told = await messages_to(scene.alice.account_id)
        await self.drill(scene, services)
        await run_due_jobs(now=NOW + 2 * MINUTE + SECOND, services=services)
        assert await messages_to(await add_person(WANG)) == ["drill_page", "drill_page"]
        (incident,) = await incidents_at(scene)
        for step in ("acknowledge", "resolve", "report"):
            await incidents.move(
                incident_id=incident.id, step=step, note="", staff=await staff_of(WANG), now=NOW + HOUR
            )
        assert await messages_to(scene.alice.account_id) == told

    async def test_does_not_swallow_a_real_alarm(self, services: Services) -> None:
        scene = await add_watched_scene(now=NOW)
        await self.drill(scene, services)
        await smoke(scene.place.smoke, "alarm", now=NOW + 2 * MINUTE, services=services)
        assert [i.drill for i in await incidents_at(scene)] == [True, False]
        assert await stations.has_safety_hold(station_id=scene.place.station.id)

    async def test_waits_while_anything_is_handled_and_is_not_for_strangers(self, services: Services) -> None:
        scene = await add_watched_scene(now=NOW)
        station_id = scene.place.station.id
        for person in (ZHOU, WANG):
            with pytest.raises(NotFound):
                await drills.start_drill(staff=await staff_of(person), station_id=station_id, note="", now=NOW)
        await smoke(scene.place.smoke, "alarm", now=NOW, services=services)
        with pytest.raises(DrillImpossible):
            await drills.start_drill(staff=await staff_of(ZHAO), station_id=station_id, note="", now=NOW)


@pytest.mark.usefixtures("database")
class TestDuty:
    async def plan(self, scene: Scene, account_id: object, *, hours: int = 8, role: str = "guard") -> duty.ShiftView:
        return await duty.plan_shift(
            staff=await staff_of(LI),
            operator_company_id=scene.company_id,
            station_id=None,
            account_id=account_id,  # type: ignore[arg-type]
            role=role,  # type: ignore[arg-type]
            starts_at=NOW,
            ends_at=NOW + hours * HOUR,
            now=NOW,
        )

    async def second_guard(self, scene: Scene) -> Staff:
        account_id = await accounts.ensure_account(phone="13800000055", name="刘保安", now=NOW)
        await accounts.add_staff(account_id=account_id, role="guard", operator_company_id=scene.company_id, now=NOW)
        return Staff(account_id, await accounts.load_grants(account_id))

    async def test_decides_who_is_paged(self, services: Services) -> None:
        scene = await add_watched_scene(now=NOW)
        other = await self.second_guard(scene)
        await self.plan(scene, other.account_id)
        await smoke(scene.place.smoke, "alarm", now=NOW + MINUTE, services=services)
        assert await messages_to(other.account_id) == ["incident_page"]
        assert await messages_to(await add_person(WANG)) == []

    async def test_of_nobody_pages_everybody(self, services: Services) -> None:
        scene = await add_watched_scene(now=NOW)
        other = await self.second_guard(scene)
        await self.plan(scene, other.account_id, hours=1)
        await smoke(scene.place.smoke, "alarm", now=NOW + HOUR, services=services)
        assert await messages_to(other.account_id) == ["incident_page"]
        assert await messages_to(await add_person(WANG)) == ["incident_page"]

    async def test_is_handed_over_with_a_note_and_the_next_one_is_paged(self, services: Services) -> None:
        scene = await add_watched_scene(now=NOW)
        other = await self.second_guard(scene)
        await self.plan(scene, other.account_id)
        wang = await add_person(WANG)
        theirs = await duty.hand_over(staff=other, to_account_id=wang, note="lock 3 squeaks", now=NOW + HOUR)
        assert (theirs.account_id, theirs.signed_on_at) == (wang, NOW + HOUR)
        with pytest.raises(NotOnDuty):
            await duty.hand_over(staff=other, to_account_id=wang, note="", now=NOW + HOUR)
        await smoke(scene.place.smoke, "alarm", now=NOW + HOUR + MINUTE, services=services)
        assert await messages_to(wang) == ["incident_page"]
        assert await messages_to(other.account_id) == []

    async def test_of_one_person_is_in_one_place_at_a_time(self) -> None:
        scene = await add_watched_scene(now=NOW)
        wang = await add_person(WANG)
        await self.plan(scene, wang)
        with pytest.raises(ShiftOverlaps):
            await self.plan(scene, wang, hours=2)
        with pytest.raises(NotFound):
            await self.plan(scene, await add_person(ZHOU))


@pytest.mark.usefixtures("database")
class TestASharedPhone:
    async def phone(self, scene: Scene) -> Staff:
        shared = await duty.register_phone(
            staff=await staff_of(LI),
            operator_company_id=scene.company_id,
            station_id=scene.place.station.id,
            phone=POST_PHONE,
            label="东门岗亭",
            now=NOW,
        )
        return Staff(shared.account_id, await accounts.load_grants(shared.account_id))

    async def test_rings_with_its_guard_and_records_the_person_not_the_phone(self, services: Services) -> None:
        scene = await add_watched_scene(now=NOW)
        phone, wang = await self.phone(scene), await staff_of(WANG)
        await duty.set_pin(staff=wang, pin="2468")
        await duty.sign_on(phone_account_id=phone.account_id, phone=WANG.phone, pin="2468", now=NOW)
        await smoke(scene.place.smoke, "alarm", now=NOW + MINUTE, services=services)
        assert await messages_to(phone.account_id) == ["incident_page"]
        assert await messages_to(wang.account_id) == ["incident_page"]
        (incident,) = await incidents_at(scene)
        await incidents.move(incident_id=incident.id, step="acknowledge", note="", staff=phone, now=NOW + 2 * MINUTE)
        people = [s.actor_id for s in await incidents.list_steps(incident_id=incident.id) if s.kind == "person"]
        assert people == [wang.account_id]

    async def test_has_no_pin_of_its_own(self) -> None:
        phone = await self.phone(await add_watched_scene(now=NOW))
        with pytest.raises(SharedPhoneHasNoPin):
            await duty.set_pin(staff=phone, pin="2468")

    async def test_belongs_to_one_guard_at_a_time(self) -> None:
        scene = await add_watched_scene(now=NOW)
        phone, wang = await self.phone(scene), await staff_of(WANG)
        other = await TestDuty().second_guard(scene)
        for staff in (wang, other):
            await duty.set_pin(staff=staff, pin="2468")
        await duty.sign_on(phone_account_id=phone.account_id, phone=WANG.phone, pin="2468", now=NOW)
        await duty.sign_on(phone_account_id=phone.account_id, phone="13800000055", pin="2468", now=NOW + HOUR)
        assert await duty.person_behind(account_id=phone.account_id, now=NOW + HOUR) == other.account_id
        station = scene.place.station
        called = await duty.whom_to_page(station=station, roles=("guard",), now=NOW + HOUR)
        assert set(called) == {other.account_id, phone.account_id}
        await duty.sign_off(staff=phone, note="", now=NOW + 2 * HOUR)
        assert await duty.person_behind(account_id=phone.account_id, now=NOW + 2 * HOUR) == phone.account_id

    async def test_locks_a_pin_after_five_wrong_ones(self) -> None:
        scene = await add_watched_scene(now=NOW)
        phone, wang = await self.phone(scene), await staff_of(WANG)
        await duty.set_pin(staff=wang, pin="2468")
        for _ in range(5):
            with pytest.raises(PinWrong):
                await duty.sign_on(phone_account_id=phone.account_id, phone=WANG.phone, pin="0000", now=NOW)
        with pytest.raises(PinLocked):
            await duty.sign_on(phone_account_id=phone.account_id, phone=WANG.phone, pin="2468", now=NOW)
        later = NOW + duty.LOCKED_FOR
        shift = await duty.sign_on(phone_account_id=phone.account_id, phone=WANG.phone, pin="2468", now=later)
        assert shift.account_id == wang.account_id


class TestAReport:
    async def test_holds_readings_actions_messages_and_people_and_names_no_resident(
        self, api: httpx.AsyncClient, services: Services, now: datetime
    ) -> None:
        scene = await add_watched_scene(now=now)
        gun = scene.place.ac
        await charging(scene.alice, gun, now=now, services=services)
        for n in range(3):
            await sample(gun, now=now - (3 - n) * SECOND, meter_wh=1_000_000 + n)
        await smoke(scene.place.smoke, "alarm", now=now, services=services)
        wang, zhou = [(await log_in(p, services=services, now=now)).headers for p in (WANG, ZHOU)]
        (incident,) = await incidents_at(scene)
        path = f"/v1/staff/incidents/{incident.id}"
        for step in ("acknowledge", "resolve"):
            await api.post(f"{path}/{step}", json={"note": "烤面包"}, headers=wang)
        assert (await api.get(f"{path}/report.json", headers=zhou)).status_code == 404
        made = (await api.get(f"{path}/report.json", headers=wang)).json()
        assert {"reading", "action", "message", "person", "alarm"} <= {entry["kind"] for entry in made["timeline"]}
        assert [entry["at"] for entry in made["timeline"]] == sorted(entry["at"] for entry in made["timeline"])
        resident = [m for m in made["messages"] if m["template"] == "danger_stay_away"]
        assert {m["to"] for m in resident} == {"居民"}
        assert str(scene.alice.account_id) not in str(made)
        assert made["seconds_to_acknowledge"] is not None
        pdf = await api.get(f"{path}/report.pdf", headers=wang)
        assert (pdf.status_code, pdf.headers["content-type"]) == (200, "application/pdf")
        assert pdf.content.startswith(b"%PDF-") and len(pdf.content) > 10_000
        assert (await api.post(f"{path}/report", headers=wang)).json()["status"] == "reported"

    @pytest.mark.parametrize(
        ("seconds", "text"), [(None, "—"), (0, "0 秒"), (61, "1 分 1 秒"), (3600, "1 小时 0 分 0 秒")]
    )
    def test_says_how_long(self, seconds: float | None, text: str) -> None:
        assert how_long(seconds) == text

    @pytest.mark.parametrize(
        ("what", "text"),
        [("smoke_alarm_cleared", "烟感报警 恢复"), ("lower_lock_seen", "降下地锁 已生效"), ("resolved", "解除事件")],
    )
    def test_has_words_for_its_entries(self, what: str, text: str) -> None:
        assert word_of(what, {"smoke_alarm": "烟感报警"}) == text


class TestDutyOverHttp:
    async def test_is_planned_handed_over_and_exercised(
        self, api: httpx.AsyncClient, services: Services, now: datetime
    ) -> None:
        scene = await add_watched_scene(now=now)
        await add_person(QIAN)
        wang, li, zhou = [(await log_in(p, services=services, now=now)).headers for p in (WANG, LI, ZHOU)]
        body = {
            "account_id": str(await add_person(WANG)),
            "starts_at": now.isoformat(),
            "ends_at": (now + HOUR).isoformat(),
        }
        assert (await api.post("/v1/staff/duty", json=body, headers=wang)).status_code == 403
        assert (await api.post("/v1/staff/duty", json=body, headers=zhou)).status_code == 404
        made = await api.post("/v1/staff/duty", json=body, headers=li)
        assert made.status_code == 201
        assert (await api.post("/v1/staff/duty", json=body, headers=li)).json()["code"] == "shift_overlaps"
        assert len((await api.get("/v1/staff/duty", headers=wang)).json()["items"]) == 1
        assert (await api.delete(f"/v1/staff/duty/{made.json()['id']}", headers=li)).json()["code"] == "shift_invalid"
        assert (
            await api.post("/v1/staff/duty/sign-on", json={"phone": WANG.phone, "pin": "1234"}, headers=wang)
        ).json()["code"] == "not_a_shared_phone"
        assert (await api.put("/v1/staff/duty/pin", json={"pin": "12"}, headers=wang)).status_code == 422
        assert (await api.put("/v1/staff/duty/pin", json={"pin": "1234"}, headers=wang)).status_code == 204
        phone = {"phone": POST_PHONE, "label": "东门岗亭"}
        assert (await api.post("/v1/operator/shared-phones", json=phone, headers=li)).status_code == 201
        assert (await api.post("/v1/operator/shared-phones", json=phone, headers=li)).json()[
            "code"
        ] == "phone_registered"
        assert (await api.get("/v1/operator/shared-phones", headers=zhou)).json()["items"] == []
        drill = await api.post("/v1/staff/drills", json={"station_id": str(scene.place.station.id)}, headers=li)
        assert (drill.status_code, drill.json()["drill"]) == (201, True)
        assert (await api.post("/v1/staff/duty/sign-off", headers=wang)).status_code == 200
        report = await reports.make_pdf(
            incident_id=(await incidents_at(scene))[0].id, staff=await staff_of(WANG), now=now
        )
        assert report.startswith(b"%PDF-")
