"""Inspections come up by plan, are answered with photos, and leave findings that a second person verifies."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.core import db
from backend.core.ids import new_id
from backend.core.services import Services
from backend.maintenance.rules.checks import STANDARD, Item, missing, next_due, problems_of
from tests.cast import ALICE, LI, QIAN, SUN, WANG, ZHAO, ZHOU, Person
from tests.conftest import NOW
from tests.factories.accounts import add_company, log_in
from tests.factories.reservations import add_resident, book
from tests.factories.stations import DemoStation, add_demo_station, add_gun
from tests.jobs import run_ticks

JPEG = b"\xff\xd8\xff\xe0" + b"picture" * 40 + b"\xff\xd9"


class TestRules:
    @given(st.integers(1, 730), st.integers(0, 4000), st.integers(0, 23))
    def test_the_next_date_follows_the_plan_and_lies_ahead(self, period: int, days_ago: int, hours: int) -> None:
        due = NOW - timedelta(days=days_ago, hours=hours)
        found = next_due(due, period_days=period, now=NOW)
        assert found > NOW
        assert (found - due) % timedelta(days=period) == timedelta(0)
        assert found - NOW <= timedelta(days=period) + max(timedelta(0), due - NOW)

    @pytest.mark.parametrize(
        ("items", "fault"),
        [
            ((), "nothing"),
            ((Item(key="a", text_zh="甲", text_en="a"), Item(key="a", text_zh="乙", text_en="b")), "twice"),
            ((Item(key="A b", text_zh="甲", text_en="a"),), "no key"),
        ],
    )
    def test_a_checklist_that_cannot_be_is_named(self, items: tuple[Item, ...], fault: str) -> None:
        assert fault in " ".join(problems_of(items))
        assert problems_of(STANDARD) == []

    def test_lacking_answers_and_photos_are_named(self) -> None:
        items = [Item(key="a", text_zh="甲", text_en="a", photo=True), Item(key="b", text_zh="乙", text_en="b")]
        assert missing(items, answered={"b"}, pictured=set()) == ["a: answer", "a: photo"]
        assert missing(items, answered={"a", "b"}, pictured={"a"}) == []


@pytest.fixture
def as_person(services: Services, now: datetime) -> Any:
    async def headers(person: Person) -> dict[str, str]:
        return (await log_in(person, services=services, now=now)).headers

    return headers


class Site:
    """A station with an inspection that has come up."""

    def __init__(self, api: httpx.AsyncClient, demo: DemoStation, path: str, heads: dict[str, dict[str, str]]) -> None:
        self.api = api
        self.demo = demo
        self.path = path
        self.heads = heads

    async def post(self, who: str, path: str, body: Any = None) -> httpx.Response:
        return await self.api.post(f"{self.path}{path}", json=body, headers=self.heads[who])


@pytest.fixture
async def site(api: httpx.AsyncClient, as_person: Any, now: datetime) -> Site:
    demo = await add_demo_station()
    heads = {p.key: await as_person(p) for p in (LI, WANG, ZHAO, SUN, ZHOU)}
    body = {
        "operator_company_id": str(demo.station.operator_company_id),
        "name": "月检",
        "items": [
            {"key": "cable", "text_zh": "线缆", "text_en": "Cables", "photo": True, "severity": "critical"},
            {"key": "signs", "text_zh": "标识", "text_en": "Signs", "severity": "minor"},
        ],
    }
    made = await api.post("/v1/operator/checklists", json=body, headers=heads["li"])
    assert made.status_code == 201, made.text
    plan = {
        "station_id": str(demo.station.id),
        "period_days": 30,
        "first_due_at": (now + timedelta(days=3)).isoformat(),
    }
    planned = await api.post(f"/v1/operator/checklists/{made.json()['id']}/plans", json=plan, headers=heads["li"])
    assert planned.status_code == 200, planned.text
    await run_ticks("maintenance.come_up", now=now)
    await run_ticks("maintenance.come_up", now=now)
    items = (await api.get("/v1/staff/inspections", headers=heads["wang"])).json()["items"]
    assert [item["status"] for item in items] == ["open"]
    return Site(api, demo, f"/v1/staff/inspections/{items[0]['id']}", heads)


class TestInspection:
    async def test_is_complete_only_with_every_answer_and_needed_photo(self, site: Site) -> None:
        early = await site.post("wang", "/answers", {"item": "signs", "result": "ok"})
        assert (early.status_code, early.json()["code"]) == (409, "inspection_state")
        assert (await site.post("wang", "/start")).status_code == 200
        await site.post("wang", "/answers", {"item": "signs", "result": "ok"})
        lacking = await site.post("wang", "/complete")
        assert (lacking.status_code, lacking.json()["missing"]) == (409, ["cable: answer", "cable: photo"])
        await site.post("wang", "/answers", {"item": "cable", "result": "fault", "note": "焦痕"})
        sent = await site.api.post(
            f"{site.path}/photos", files={"file": ("a.jpg", JPEG)}, data={"item": "cable"}, headers=site.heads["wang"]
        )
        assert sent.status_code == 201, sent.text
        whole = await site.post("wang", "/complete")
        assert (whole.status_code, whole.json()["inspection"]["status"]) == (200, "completed")
        assert [(f["item"], f["severity"], f["text"]) for f in whole.json()["findings"]] == [
            ("cable", "critical", "焦痕")
        ]
        assert (await site.post("wang", "/answers", {"item": "signs", "result": "fault"})).status_code == 409

    async def test_photos_are_kept_encrypted_and_shown_to_the_stations_staff_only(
        self, site: Site, tmp_path: Any
    ) -> None:
        await site.post("wang", "/start")
        send = {"files": {"file": ("a.jpg", JPEG)}, "data": {"item": "cable"}, "headers": site.heads["wang"]}
        photo = (await site.api.post(f"{site.path}/photos", **send)).json()
        kept = [path for path in (tmp_path / "evidence").rglob("*") if path.is_file()]
        assert len(kept) == 1
        assert b"picture" not in kept[0].read_bytes()
        shown = await site.api.get(f"/v1/staff/photos/{photo['id']}", headers=site.heads["sun"])
        assert (shown.content, shown.headers["content-type"]) == (JPEG, "image/jpeg")
        assert (await site.api.get(f"/v1/staff/photos/{photo['id']}", headers=site.heads["zhou"])).status_code == 404
        send["files"] = {"file": ("a.jpg", b"<html>")}
        refused = await site.api.post(f"{site.path}/photos", **send)
        assert (refused.status_code, refused.json()["code"]) == (422, "photo_refused")

    async def test_loses_its_photos_30_days_after_it_and_its_findings_are_closed(
        self, site: Site, services: Any, tmp_path: Any, now: datetime
    ) -> None:
        await site.post("wang", "/start")
        send = {"files": {"file": ("a.jpg", JPEG)}, "data": {"item": "cable"}, "headers": site.heads["wang"]}
        photo = (await site.api.post(f"{site.path}/photos", **send)).json()
        finding = new_id()
        await db.execute("UPDATE inspection SET status = 'completed', completed_at = $1", now)
        await db.execute(
            "INSERT INTO finding (id, inspection_id, item, station_id, operator_company_id, severity, text, due_at,"
            " found_at, found_by, rectified_note) SELECT $1, id, 'cable', station_id, operator_company_id, 'minor',"
            " 'x', $2, $2, started_by, '' FROM inspection LIMIT 1",
            finding,
            now,
        )

        def kept() -> int:
            return len([path for path in (tmp_path / "evidence").rglob("*") if path.is_file()])

        path = f"/v1/staff/photos/{photo['id']}"
        await run_ticks("maintenance.delete_photos", now=now + timedelta(days=90), services=services)
        assert kept() == 1, "a finding is open"
        closed = now + timedelta(days=90)
        await db.execute(
            "UPDATE finding SET status = 'verified', rectified_at = $2, rectified_by = $3, verified_at = $2,"
            " verified_by = $4 WHERE id = $1",
            finding,
            closed,
            new_id(),
            new_id(),
        )
        await run_ticks("maintenance.delete_photos", now=closed + timedelta(days=30), services=services)
        assert kept() == 1
        await run_ticks("maintenance.delete_photos", now=closed + timedelta(days=30, hours=2), services=services)
        assert kept() == 0
        gone = await site.api.get(path, headers=site.heads["sun"])
        assert (gone.status_code, gone.json()["code"]) == (404, "photo_gone")
        listed = (await site.api.get(site.path, headers=site.heads["sun"])).json()["photos"]
        assert [p["id"] for p in listed] == [photo["id"]] and listed[0]["deleted_at"] is not None

    async def test_is_hidden_from_others_and_only_read_by_the_inspector(self, site: Site, as_person: Any) -> None:
        assert (await site.api.get(site.path, headers=site.heads["sun"])).status_code == 200
        assert (await site.post("sun", "/start")).status_code == 403
        assert (await site.api.get(site.path, headers=site.heads["zhou"])).status_code == 404
        assert (await site.post("zhou", "/start")).status_code == 404
        alice = await as_person(ALICE)
        assert (await site.api.get("/v1/staff/inspections", headers=alice)).status_code == 403

    async def test_that_is_overdue_is_told_to_the_lead_once(self, site: Site, now: datetime) -> None:
        for days in (1, 4, 5):
            await run_ticks("maintenance.tell_overdue", now=now + timedelta(days=days))
        rows = await db.fetch("SELECT template FROM inbox_message")
        assert [row["template"] for row in rows] == ["inspection_overdue"]


class TestFinding:
    async def test_has_a_deadline_by_its_severity_and_is_verified_by_another_person(
        self, site: Site, as_person: Any, now: datetime
    ) -> None:
        body = {"station_id": str(site.demo.station.id), "severity": "major", "text": "车位线磨损"}
        made = (await site.api.post("/v1/staff/findings", json=body, headers=site.heads["li"])).json()
        assert datetime.fromisoformat(made["due_at"]) == now + timedelta(days=7)
        path = f"/v1/staff/findings/{made['id']}"
        early = await site.api.post(f"{path}/verify", json={"accepted": True}, headers=site.heads["zhao"])
        assert (early.status_code, early.json()["code"]) == (409, "finding_state")
        await site.api.post(f"{path}/rectify", json={"note": "重新划线"}, headers=site.heads["li"])
        own = await site.api.post(f"{path}/verify", json={"accepted": True}, headers=site.heads["li"])
        assert (own.status_code, own.json()["code"]) == (403, "second_person_needed")
        back = await site.api.post(f"{path}/verify", json={"accepted": False}, headers=await as_person(QIAN))
        assert back.json()["status"] == "open"
        await site.api.post(f"{path}/rectify", json={"note": "再次划线"}, headers=site.heads["wang"])
        done = await site.api.post(f"{path}/verify", json={"accepted": True}, headers=site.heads["zhao"])
        assert done.json()["status"] == "verified"

    async def test_that_is_overdue_is_listed_and_told(self, site: Site, now: datetime) -> None:
        body = {"station_id": str(site.demo.station.id), "severity": "critical", "text": "急停失效"}
        await site.api.post("/v1/staff/findings", json=body, headers=site.heads["wang"])
        ask = {"overdue": True}
        assert (await site.api.get("/v1/staff/findings", params=ask, headers=site.heads["sun"])).json()["items"] == []
        await run_ticks("maintenance.tell_overdue", now=now + timedelta(days=2))
        rows = await db.fetch("SELECT template FROM inbox_message")
        assert [row["template"] for row in rows] == ["finding_overdue"]


class TestWork:
    async def test_takes_a_connector_out_of_service_until_it_is_given_back(self, site: Site, now: datetime) -> None:
        gun = site.demo.ac.connector.id
        body = {
            "connector_id": str(gun),
            "starts_at": now.isoformat(),
            "ends_at": (now + timedelta(hours=4)).isoformat(),
            "reason": "更换枪头",
        }
        made = await site.api.post("/v1/staff/maintenance", json=body, headers=site.heads["wang"])
        assert (made.status_code, made.json()["bookings_moved"]) == (201, 0), made.text
        claim = await db.fetchrow("SELECT kind, connector_id FROM connector_claim")
        assert (claim["kind"], claim["connector_id"]) == ("maintenance", gun)
        again = await site.api.post("/v1/staff/maintenance", json=body, headers=site.heads["wang"])
        assert (again.status_code, again.json()["code"]) == (409, "connector_taken")
        path = f"/v1/staff/maintenance/{made.json()['work']['id']}"
        assert (await site.api.post(f"{path}/end", headers=site.heads["sun"])).status_code == 403
        assert (await site.api.post(f"{path}/end", headers=site.heads["zhou"])).status_code == 404
        ended = await site.api.post(f"{path}/end", headers=site.heads["zhao"])
        assert ended.json()["status"] == "cancelled"
        assert await db.fetchval("SELECT count(*) FROM connector_claim") == 0
        assert (await site.api.post(f"{path}/end", headers=site.heads["zhao"])).json()["code"] == "work_closed"

    async def test_of_another_company_or_of_no_length_is_refused(self, site: Site, now: datetime) -> None:
        other = await add_demo_station(operator_company_id=await add_company(name="远邻充电"))
        body = {
            "connector_id": str(other.ac.connector.id),
            "starts_at": now.isoformat(),
            "ends_at": (now + timedelta(hours=1)).isoformat(),
            "reason": "检修",
        }
        answer = await site.api.post("/v1/staff/maintenance", json=body, headers=site.heads["li"])
        assert answer.status_code == 404
        body |= {"connector_id": str(site.demo.ac.connector.id), "ends_at": now.isoformat()}
        answer = await site.api.post("/v1/staff/maintenance", json=body, headers=site.heads["li"])
        assert (answer.status_code, answer.json()["code"]) == (422, "work_period_invalid")

    async def test_moves_the_bookings_in_its_way_and_is_refused_where_one_has_no_other_place(
        self, site: Site, services: Services, now: datetime
    ) -> None:
        place, company_id = site.demo, site.demo.station.operator_company_id
        alice = await add_resident(company_id=company_id, phone="13900000001", plate="京AD10001", now=now)
        start = now.replace(minute=0, second=0, microsecond=0) + timedelta(hours=3)
        booked = await book(alice, place, now=now, starts_at=start, connector_id=place.ac.connector.id)
        body = {
            "connector_id": str(place.ac.connector.id),
            "starts_at": now.isoformat(),
            "ends_at": (now + timedelta(hours=8)).isoformat(),
            "reason": "更换枪头",
        }
        refused = await site.api.post("/v1/staff/maintenance", json=body, headers=site.heads["wang"])
        assert (refused.status_code, refused.json()["code"]) == (409, "bookings_in_the_way"), refused.text
        assert await db.fetchval("SELECT count(*) FROM maintenance_work") == 0
        other = await add_gun(station_id=place.station.id, kind="ac")
        made = await site.api.post("/v1/staff/maintenance", json=body, headers=site.heads["wang"])
        assert (made.status_code, made.json()["bookings_moved"]) == (201, 1), made.text
        row = await db.fetchrow("SELECT connector_id, status FROM reservation WHERE id = $1", booked.id)
        assert row is not None and tuple(row) == (other.connector.id, "confirmed")
        told = await db.fetch("SELECT template FROM inbox_message WHERE recipient_id = $1", alice.account_id)
        assert "reservation_relocated" in [row["template"] for row in told]
        wish = {"station_id": str(place.station.id), "vehicle_id": str(alice.vehicle.id)}
        slot = {"starts_at": start.isoformat(), "ends_at": (start + timedelta(hours=1)).isoformat()}
        headers = (await log_in(replace(ALICE, phone="13900000001"), services=services, now=now)).headers
        taken = {**wish, **slot, "connector_id": body["connector_id"]}
        assert (await site.api.post("/v1/reservations", json=taken, headers=headers)).status_code == 409
