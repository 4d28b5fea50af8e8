"""Stations, cars, devices and faults through the control port."""

from typing import Any

import httpx
import pytest

from sandbox.control.app import create_app
from sandbox.control.desk import Desk
from sandbox.fleet.faults.catalogue import CATALOGUE
from tests.sandbox.fleet.rig import Rig

CAR = {"plate": "京a·d00001", "kind": "bev-ncm", "battery_wh": 60_000, "soc_pct": 40}


async def post(control: httpx.AsyncClient, path: str, body: dict[str, Any] | None = None, status: int = 200) -> Any:
    """POST and return the JSON; the status must be as said."""
    answer = await control.post(path, json=body or {})
    assert answer.status_code == status, answer.text
    return answer.json()


class TestACar:
    async def test_goes_through_its_whole_visit(self, control: httpx.AsyncClient, rig: Rig) -> None:
        made = await post(control, "/cars", CAR, 201)
        assert made["car"]["plate"] == "京AD00001"
        seen = await post(control, "/cars/京AD00001/approach", {"station": "S1"})
        assert seen["published"][0]["payload"]["code"] == "plate_read"
        waiting = await post(control, "/cars/京AD00001/park", {"station": "S1", "bay": "R1"})
        assert waiting["car"]["state"] == "waiting_for_lock"
        assert "S1-L1" in waiting["next"]
        rig.command("S1-L1", "lower")
        rig.let_pass(4)
        assert (await control.get("/cars/京AD00001")).json()["state"] == "parked"
        plugged = await post(control, "/cars/京AD00001/plug", {"connector": "S1-A1/1"})
        assert [each["payload"].get("code") for each in plugged["published"]] == ["plugged", None, None]
        rig.command("S1-A1", "start", connector=1, session_id="s")
        rig.let_pass(60)
        truth = (await control.get("/devices/S1-A1")).json()["truth"]["connectors"][0]
        assert truth["session_id"] == "s"
        assert truth["power_w"] > 6_000
        assert truth["car"] == "京AD00001"
        unplugged = await post(control, "/cars/京AD00001/unplug")
        assert unplugged["published"][0]["payload"]["reason"] == "unplugged"
        left = await post(control, "/cars/京AD00001/leave")
        assert left["car"]["state"] == "away"
        assert any(each["payload"].get("code") == "bay_free" for each in left["published"])

    async def test_takes_the_first_free_gun_in_reach_when_none_is_named(self, control: httpx.AsyncClient) -> None:
        await post(control, "/cars", CAR, 201)
        await post(control, "/cars/京AD00001/park", {"station": "S1", "bay": "P2"})
        plugged = await post(control, "/cars/京AD00001/plug")
        assert plugged["car"]["connector"] == "S1-D1/2"

    async def test_is_towed_away_whatever_it_does(self, control: httpx.AsyncClient, rig: Rig) -> None:
        assert (await post(control, "/cars/京AD00001/tow"))["car"] is None
        rig.charge()
        towed = await post(control, "/cars/京AD00001/tow")
        assert towed["car"]["state"] == "away"
        codes = [each["payload"]["code"] for each in towed["published"] if each["topic"].endswith("/event")]
        assert codes == ["session_ended", "unplugged", "bay_free"]
        assert (await post(control, "/cars/京AD00001/tow"))["car"]["state"] == "away"

    async def test_is_listed_where_it_stands(self, control: httpx.AsyncClient) -> None:
        await post(control, "/cars", CAR, 201)
        await post(control, "/cars/京AD00001/park", {"station": "S1", "bay": "P1"})
        cars = (await control.get("/cars", params={"station": "S1"})).json()["items"]
        assert [(car["plate"], car["bay"]) for car in cars] == [("京AD00001", "P1")]
        station = (await control.get("/stations/S1")).json()
        assert [bay["car"] for bay in station["bays"] if bay["code"] == "P1"] == ["京AD00001"]


class TestErrors:
    @pytest.mark.parametrize(
        ("path", "body", "status", "code"),
        [
            ("/cars/京AD9/park", {"station": "S1", "bay": "P1"}, 404, "no_car"),
            ("/cars/京AD00001/park", {"station": "S9", "bay": "P1"}, 404, "no_station"),
            ("/cars/京AD00001/park", {"station": "S1", "bay": "P9"}, 404, "no_bay"),
            ("/cars/京AD00001/park", {"station": "S1"}, 422, "bad_request"),
            ("/cars/京AD00001/plug", {}, 409, "car_is_not_parked"),
            ("/cars/京AD00001/plug", {"connector": "S1-D1/x"}, 404, "no_connector"),
            ("/cars/京AD00001/plug", {"connector": "S1-D1/9"}, 404, "no_connector"),
            ("/cars/京AD00001/plug", {"connector": "S1-L1"}, 404, "not_a_charger"),
            ("/cars/京AD00001/unplug", {}, 409, "car_is_not_plugged"),
            ("/cars", {"plate": "x", "kind": "horse"}, 422, "bad_request"),
            ("/cars", {"plate": "· ·"}, 422, "bad_plate"),
            ("/faults", {"device": "S1-M1", "fault": "lock_error"}, 422, "fault_does_not_fit"),
            ("/faults", {"device": "S1-M1", "fault": "earthquake"}, 404, "no_fault"),
            ("/faults", {"device": "nobody", "fault": "offline"}, 404, "no_device"),
            ("/faults", {"device": "S1-D1", "fault": "battery_over_temperature"}, 409, "no_dc_session"),
            ("/faults", {"device": "S1-D1", "fault": "offline", "colour": "red"}, 422, "bad_request"),
            ("/nowhere", {}, 404, "no_such_path"),
            ("/stations", {}, 405, "wrong_method"),
        ],
    )
    async def test_say_what_to_do(
        self, control: httpx.AsyncClient, path: str, body: dict[str, Any], status: int, code: str
    ) -> None:
        await post(control, "/cars", CAR, 201)
        answer = await control.post(path, json=body)
        problem = answer.json()
        assert (answer.status_code, problem["code"]) == (status, code)
        assert answer.headers["content-type"] == "application/problem+json"
        assert problem["status"] == status
        assert len(problem["hint"]) > 10

    async def test_a_body_that_is_no_json_is_told_so(self, control: httpx.AsyncClient) -> None:
        answer = await control.post("/cars", content=b"{", headers={"content-type": "application/json"})
        assert answer.status_code == 400
        assert "JSON" in answer.json()["hint"]

    async def test_before_the_plan_exists_the_fleet_is_not_ready(self) -> None:
        transport = httpx.ASGITransport(app=create_app(desk=Desk()), raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://sandbox.test") as client:
            assert (await client.get("/livez")).json()["fleet"] is False
            answer = await client.get("/stations")
            assert (answer.status_code, answer.json()["code"]) == (503, "no_fleet")
            answer = await client.get("/sms")
            assert (answer.status_code, answer.json()["code"]) == (503, "no_providers")


class TestFaults:
    async def test_are_all_listed_with_what_they_do(self, control: httpx.AsyncClient) -> None:
        items = (await control.get("/faults")).json()["items"]
        assert {item["fault"] for item in items} == set(CATALOGUE)
        assert all(item["what"] and item["devices"] for item in items)

    async def test_answer_with_what_was_published(self, control: httpx.AsyncClient) -> None:
        done = await post(control, "/faults", {"device": "S1-M1", "fault": "smoke_alarm"})
        assert [each["payload"].get("status") or each["payload"]["code"] for each in done["published"]] == [
            "alarm",
            "alarm",
        ]
        assert all(each["topic"].startswith("ev/v1/S1/smoke/S1-M1/") for each in done["published"])


class TestSpeed:
    async def test_accelerates_energy_at_one_station_and_no_time_stamp(
        self, control: httpx.AsyncClient, rig: Rig
    ) -> None:
        rig.charge()
        rig.let_pass(20)
        gun = rig.fleet.charger("S1-D1").connectors[1]
        before = gun.meter
        rig.let_pass(10)
        slow = gun.meter - before
        await post(control, "/speed", {"speed": 30, "station": "S1"})
        before = gun.meter
        rig.let_pass(10)
        assert gun.meter - before == pytest.approx(30 * slow, rel=0.15)
        assert rig.news()[-1][2]["ts"] <= rig.clock.now().isoformat(timespec="milliseconds").replace("+00:00", "Z")
        assert (await control.get("/stations/S1")).json()["speed"] == 30

    async def test_is_bounded_and_knows_its_stations(self, control: httpx.AsyncClient) -> None:
        assert (await post(control, "/speed", {"speed": 1000}, 422))["code"] == "bad_request"
        assert (await post(control, "/speed", {"speed": 2, "station": "S9"}, 404))["code"] == "no_station"


class TestIndex:
    async def test_names_every_route(self, control: httpx.AsyncClient, rig: Rig) -> None:
        app = create_app(desk=Desk(fleet=rig.fleet))
        listed = (await control.get("/", headers={"accept": "application/json"})).json()["items"]
        have = {(item["method"], item["path"].split("{")[0].rstrip("/")) for item in listed}
        for route in app.routes:
            for method in getattr(route, "methods", ()):
                if method in {"GET", "POST"} and route.path != "/":
                    assert (method, route.path.split("{")[0].rstrip("/")) in have, route.path

    async def test_is_a_page_without_anything_from_the_net(self, control: httpx.AsyncClient) -> None:
        page = await control.get("/", headers={"accept": "text/html"})
        assert page.headers["content-type"].startswith("text/html")
        assert "smoke_alarm" in page.text
        assert "http" not in page.text
