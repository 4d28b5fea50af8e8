"""Residents report blocked bays over HTTP: weighed, the owner warned first, then a guard's task; false ones end it."""

from datetime import datetime, timedelta
from typing import Any, cast

import httpx
import pytest

from backend.accounts.service import logins
from backend.core import db
from backend.core.auth import Tokens
from backend.core.services import Services
from backend.reservations import service as reservations
from backend.reservations.service import bay_reports
from tests.cast import SUN, WANG, ZHOU
from tests.factories.accounts import log_in
from tests.factories.agreements import PNG
from tests.factories.bays import camera_says
from tests.factories.charging import add_charging_scene
from tests.factories.reservations import Resident, Scene, book
from tests.jobs import run_due_jobs

MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)
FOUND = {"verdict": "confirmed", "reason": "owner moved it"}
Head = dict[str, str]


@pytest.fixture
async def scene(database: Any, now: datetime) -> Scene:
    return await add_charging_scene(now=now)


async def headers_of(person: Resident, services: Services, now: datetime) -> Head:
    pair = await logins.open_login(account_id=person.account_id, method="sms", tokens=services.get(Tokens), now=now)
    return {"Authorization": f"Bearer {pair.access_token}"}


@pytest.fixture
async def alice(scene: Scene, services: Services, now: datetime) -> Head:
    return await headers_of(scene.alice, services, now)


@pytest.fixture
async def bob(scene: Scene, services: Services, now: datetime) -> Head:
    return await headers_of(scene.bob, services, now)


@pytest.fixture
async def wang(scene: Scene, services: Services, now: datetime) -> Head:
    return (await log_in(WANG, services=services, now=now)).headers


async def report(api: httpx.AsyncClient, scene: Scene, who: Head, **more: Any) -> httpx.Response:
    body = {"station_id": str(scene.place.station.id), "bay_code": scene.place.ac.bay.code, **more}
    return await api.post("/v1/bay-reports", json=body, headers=who)


async def photo(api: httpx.AsyncClient, report_id: str, who: Head, content: bytes = PNG) -> httpx.Response:
    return await api.post(f"/v1/bay-reports/{report_id}/photo", files={"file": ("bay.png", content)}, headers=who)


async def park(scene: Scene, plate_hash: bytes | None, *, now: datetime, code: str = "bay_occupied") -> None:
    await camera_says(scene.place.ac, code, now=now, camera=scene.place.bay_camera, plate_hash=plate_hash)


async def let_run(now: datetime) -> None:
    for prefix in ("reservations.", "alerts.", "reservations.", "alerts."):
        await run_due_jobs(now=now, only=prefix)


async def told(template: str) -> int:
    return int(await db.fetchval("SELECT count(*) FROM inbox_message WHERE template = $1", template))


async def tasks(api: httpx.AsyncClient, wang: Head) -> list[dict[str, Any]]:
    listed = (await api.get("/v1/staff/tasks", headers=wang)).json()["items"]
    return [task for task in listed if task["kind"] == "blocked_bay"]


class TestAReport:
    async def test_of_a_car_nobody_knows_sends_a_guard_at_once_with_the_picture(
        self, api: httpx.AsyncClient, scene: Scene, alice: Head, wang: Head, now: datetime
    ) -> None:
        await park(scene, b"\x07" * 32, now=now)
        made = await report(api, scene, alice, note="a black car")
        assert (made.status_code, made.json()["needs_photo"]) == (201, False)
        await let_run(now)
        (task,) = await tasks(api, wang)
        assert (task["status"], task["bay_id"]) == ("open", str(scene.place.ac.bay.id))
        assert task["reports"] == [made.json()["id"]]
        assert await told("bay_reported") == 1
        (seen,) = (await api.get("/v1/staff/bay-reports?open=true", headers=wang)).json()["items"]
        assert seen["note"] == "a black car"
        assert b"black" not in await db.fetchval("SELECT note_cipher FROM bay_report")

    async def test_of_a_residents_car_warns_its_owner_first_and_sends_the_guard_after_the_wait(
        self, api: httpx.AsyncClient, scene: Scene, alice: Head, wang: Head, now: datetime
    ) -> None:
        await park(scene, scene.charlie.plate_hash, now=now)
        await report(api, scene, alice)
        await let_run(now)
        assert (await told("move_your_car"), await tasks(api, wang)) == (1, [])
        await let_run(now + 3 * MINUTE)
        (task,) = await tasks(api, wang)
        assert task["status"] == "open"

    @pytest.mark.parametrize("report_after", [0, 1, 4, 7])
    async def test_of_a_car_that_the_camera_follows_too_warns_once_and_makes_one_task(
        self, api: httpx.AsyncClient, scene: Scene, alice: Head, wang: Head, now: datetime, report_after: int
    ) -> None:
        for minute in range(12):
            if minute == 0:
                await park(scene, scene.charlie.plate_hash, now=now)
                await run_due_jobs(now=now, only="bays.")
            if minute == report_after:
                made = await report(api, scene, alice)
            await let_run(now + minute * MINUTE)
        assert await told("move_your_car") == 1
        (task,) = await tasks(api, wang)
        assert task["alert_id"] is not None
        assert task["reports"] == [made.json()["id"]]

    async def test_is_over_when_the_owner_moves_the_car(
        self, api: httpx.AsyncClient, scene: Scene, alice: Head, wang: Head, now: datetime
    ) -> None:
        await park(scene, scene.charlie.plate_hash, now=now)
        await report(api, scene, alice)
        await let_run(now)
        await park(scene, None, now=now + MINUTE, code="bay_free")
        await let_run(now + MINUTE)
        await let_run(now + 5 * MINUTE)
        assert await tasks(api, wang) == []
        (own,) = (await api.get("/v1/bay-reports", headers=alice)).json()["items"]
        assert own["verdict"] == "gone"

    async def test_of_two_residents_makes_one_task_and_both_are_told(
        self, api: httpx.AsyncClient, scene: Scene, alice: Head, bob: Head, wang: Head, now: datetime
    ) -> None:
        await park(scene, b"\x07" * 32, now=now)
        first, second = (await report(api, scene, alice)).json(), (await report(api, scene, bob)).json()
        await let_run(now)
        (task,) = await tasks(api, wang)
        assert set(task["reports"]) == {first["id"], second["id"]}
        done = await api.post(f"/v1/staff/bay-reports/{first['id']}/decide", json=FOUND, headers=wang)
        assert done.json()["verdict"] == "confirmed"
        await let_run(now)
        assert [task["status"] for task in await tasks(api, wang)] == ["resolved"]
        assert await told("bay_report_confirmed") == 2
        recorded = await db.fetchval("SELECT detail ->> 'reason' FROM audit_entry WHERE action = 'bay_report.decided'")
        assert recorded == FOUND["reason"]

    async def test_is_confirmed_by_the_guard_who_resolves_its_task(
        self, api: httpx.AsyncClient, scene: Scene, alice: Head, wang: Head, now: datetime
    ) -> None:
        await park(scene, b"\x07" * 32, now=now)
        await report(api, scene, alice)
        await let_run(now)
        (task,) = await tasks(api, wang)
        for step in ("accept", "arrive", "resolve"):
            moved = await api.post(f"/v1/staff/tasks/{task['id']}/{step}", json={"note": "towed"}, headers=wang)
            assert moved.status_code == 200
        await let_run(now)
        (own,) = (await api.get("/v1/bay-reports", headers=alice)).json()["items"]
        assert own["verdict"] == "confirmed"
        (done,) = await tasks(api, wang)
        assert done["accepted_at"] and done["arrived_at"] and done["resolved_at"]

    async def test_repeated_is_the_same_report(self, api: httpx.AsyncClient, scene: Scene, alice: Head) -> None:
        first, again = await report(api, scene, alice), await report(api, scene, alice)
        assert first.json()["id"] == again.json()["id"]
        assert await db.fetchval("SELECT count(*) FROM bay_report") == 1

    async def test_of_the_car_that_booked_the_bay_is_refused(
        self, api: httpx.AsyncClient, scene: Scene, bob: Head, now: datetime
    ) -> None:
        booked = await book(scene.alice, scene.place, now=now, starts_at=now, connector_id=scene.place.ac.connector.id)
        await park(scene, booked.plate_hash, now=now)
        answer = await report(api, scene, bob)
        assert (answer.status_code, answer.json()["code"]) == (409, "car_may_stand")

    async def test_of_a_bay_that_is_not_there_is_absent(
        self, api: httpx.AsyncClient, scene: Scene, alice: Head
    ) -> None:
        assert (await report(api, scene, alice, bay_code="NOWHERE")).status_code == 404
        assert (await report(api, scene, {})).status_code == 401


class TestAPhoto:
    async def test_is_asked_for_where_the_devices_see_no_car_and_then_believed(
        self, api: httpx.AsyncClient, scene: Scene, alice: Head, wang: Head, now: datetime
    ) -> None:
        await park(scene, None, now=now, code="bay_free")
        await let_run(now)
        made = (await report(api, scene, alice)).json()
        assert made["needs_photo"] is True
        await let_run(now)
        assert await tasks(api, wang) == []
        added = await photo(api, made["id"], alice)
        assert (added.status_code, added.json()["has_photo"], added.json()["needs_photo"]) == (200, True, False)
        await let_run(now)
        assert len(await tasks(api, wang)) == 1

    async def test_is_kept_encrypted_for_the_stations_staff_on_record_and_thirty_days(
        self, api: httpx.AsyncClient, scene: Scene, alice: Head, wang: Head, services: Services, now: datetime
    ) -> None:
        made = (await report(api, scene, alice)).json()
        await photo(api, made["id"], alice)
        assert PNG not in await db.fetchval("SELECT content_cipher FROM bay_report_photo")
        path = f"/v1/staff/bay-reports/{made['id']}/photo"
        read = await api.get(path, headers=wang)
        assert (read.content, read.headers["content-type"]) == (PNG, "image/png")
        zhou = (await log_in(ZHOU, services=services, now=now)).headers
        assert (await api.get(path, headers=zhou)).status_code == 404
        assert (await api.get(path, headers=alice)).status_code == 403
        assert await db.fetchval("SELECT count(*) FROM audit_entry WHERE action = 'bay_report.photo_read'") == 1
        await bay_reports.forget_photos(now=now + 29 * DAY)
        assert (await api.get(path, headers=wang)).status_code == 200
        await bay_reports.forget_photos(now=now + 30 * DAY + MINUTE)
        assert (await api.get(path, headers=wang)).status_code == 404

    @pytest.mark.parametrize("content", [b"", b"<html>", PNG[:-6], b"%PDF-1.7\n%%EOF\n"])
    async def test_that_is_no_picture_is_refused(
        self, api: httpx.AsyncClient, scene: Scene, alice: Head, content: bytes
    ) -> None:
        made = (await report(api, scene, alice)).json()
        refused = await photo(api, made["id"], alice, content)
        assert (refused.status_code, refused.json()["code"]) == (422, "photo_refused")

    async def test_of_anothers_report_is_absent(
        self, api: httpx.AsyncClient, scene: Scene, alice: Head, bob: Head
    ) -> None:
        made = (await report(api, scene, alice)).json()
        assert (await photo(api, made["id"], bob)).status_code == 404


class TestAbuse:
    async def made_false(self, api: httpx.AsyncClient, scene: Scene, alice: Head, wang: Head) -> None:
        made = (await report(api, scene, alice)).json()
        body = {"verdict": "false", "reason": "bay was empty"}
        answer = await api.post(f"/v1/staff/bay-reports/{made['id']}/decide", json=body, headers=wang)
        assert answer.status_code == 200

    async def test_ends_reporting_after_three_false_ones_and_tells_until_when(
        self, api: httpx.AsyncClient, scene: Scene, alice: Head, wang: Head, now: datetime
    ) -> None:
        for _ in range(3):
            await self.made_false(api, scene, alice, wang)
        await let_run(now)
        assert await told("bay_report_false") == 3
        refused = await report(api, scene, alice)
        assert (refused.status_code, refused.json()["code"]) == (403, "reporting_suspended")
        bay_id = scene.place.ac.bay.id
        later = await bay_reports.report(
            account_id=scene.alice.account_id, bay_id=bay_id, note=None, now=now + 30 * DAY
        )
        assert later.closed_at is None

    async def test_is_limited_to_five_a_day(
        self, api: httpx.AsyncClient, scene: Scene, alice: Head, wang: Head, now: datetime
    ) -> None:
        for _ in range(5):
            made = (await report(api, scene, alice)).json()
            await api.post(f"/v1/staff/bay-reports/{made['id']}/decide", json=FOUND, headers=wang)
        refused = await report(api, scene, alice)
        assert (refused.status_code, refused.json()["code"]) == (429, "too_many_reports")

    async def test_cannot_be_decided_by_inspectors_or_others_or_twice(
        self, api: httpx.AsyncClient, scene: Scene, alice: Head, wang: Head, services: Services, now: datetime
    ) -> None:
        made = (await report(api, scene, alice)).json()
        path = f"/v1/staff/bay-reports/{made['id']}/decide"
        for person in (SUN, ZHOU):
            other = (await log_in(person, services=services, now=now)).headers
            assert (await api.post(path, json=FOUND, headers=other)).status_code == 404
        assert (await api.post(path, json=FOUND, headers=wang)).status_code == 200
        again = await api.post(path, json=FOUND, headers=wang)
        assert (again.status_code, again.json()["code"]) == (409, "report_over")


class TestPersonalData:
    async def test_is_told_and_forgotten(
        self, api: httpx.AsyncClient, scene: Scene, alice: Head, now: datetime
    ) -> None:
        made = (await report(api, scene, alice, note="a black car")).json()
        await photo(api, made["id"], alice)
        told = await reservations.export_personal_data(account_id=scene.alice.account_id)
        mine = cast("list[dict[str, Any]]", told["bay_reports"])[0]
        assert (mine["note"], mine["has_photo"]) == ("a black car", True)
        await reservations.erase_personal_data(account_id=scene.alice.account_id, now=now)
        assert await db.fetchval("SELECT count(*) FROM bay_report_photo") == 0
        row = await db.fetchrow("SELECT account_id, note_cipher, verdict FROM bay_report")
        assert row is not None
        assert (row["account_id"], row["note_cipher"], row["verdict"]) == (None, None, "gone")
