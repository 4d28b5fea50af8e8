"""Communities, homes and the operators' own stations over HTTP."""

from datetime import datetime
from typing import Any

import httpx
import pytest

from backend.core import db
from backend.core.ids import new_id
from backend.core.services import Services
from backend.stations.rules.broker import matches_password
from backend.stations.service.imports import import_communities
from tests.cast import ALICE, LI, SUN, WANG, ZHOU, Person
from tests.factories.accounts import add_company, log_in
from tests.factories.stations import BEIJING_LAT, BEIJING_LNG, add_demo_station, add_station

COMPOUNDS = (
    "name,district,lng,lat\n东直门内北小街,东城区,116.426399,39.942908\n华冠丽景,东城区,116.426472,39.945893\n"
    "天下儒寓,丰台区,116.292799,39.831860\n"
)
STATION = {"code": "NEW-1", "name": "新站", "lat": BEIJING_LAT, "lng": BEIJING_LNG}


@pytest.fixture
def as_person(services: Services, now: datetime) -> Any:
    """Return a function that logs one of the cast in and gives the headers."""

    async def headers(person: Person) -> dict[str, str]:
        return (await log_in(person, services=services, now=now)).headers

    return headers


class TestSearchCommunities:
    async def test_finds_by_part_of_the_name_or_district(self, api: httpx.AsyncClient, now: datetime) -> None:
        await import_communities(file=COMPOUNDS.encode(), now=now)
        by_name = (await api.get("/v1/communities", params={"q": "北小街"})).json()["items"]
        assert [(item["name"], item["district"], item["distance_m"]) for item in by_name] == [
            ("东直门内北小街", "东城区", None)
        ]
        by_district = (await api.get("/v1/communities", params={"q": "丰台"})).json()["items"]
        assert [item["name"] for item in by_district] == ["天下儒寓"]
        assert (await api.get("/v1/communities", params={"q": "%"})).json()["items"] == []

    async def test_finds_by_distance_page_by_page(self, api: httpx.AsyncClient, now: datetime) -> None:
        await import_communities(file=COMPOUNDS.encode(), now=now)
        query = {"lat": 39.9458, "lng": 116.4264, "coord": "gcj02", "limit": 2}
        first = (await api.get("/v1/communities", params=query)).json()
        assert [item["name"] for item in first["items"]] == ["华冠丽景", "东直门内北小街"]
        second = (await api.get("/v1/communities", params={**query, "cursor": first["next"]})).json()
        assert ([item["name"] for item in second["items"]], second["next"]) == (["天下儒寓"], None)

    async def test_refuses_a_point_without_its_datum(self, api: httpx.AsyncClient) -> None:
        answer = await api.get("/v1/communities", params={"lat": 39.9, "lng": 116.4})
        assert (answer.status_code, answer.json()["code"]) == (422, "coord_missing")


class TestPutHome:
    async def test_sets_the_home_and_counts_the_pilot_stations_near_it(
        self, api: httpx.AsyncClient, as_person: Any, now: datetime
    ) -> None:
        await import_communities(file=COMPOUNDS.encode(), now=now)
        await add_demo_station()
        found = (await api.get("/v1/communities", params={"q": "北小街"})).json()["items"][0]
        alice = await as_person(ALICE)
        answer = await api.put("/v1/me/home", json={"community_id": found["id"]}, headers=alice)
        assert (answer.status_code, answer.json()["stations_within_500_m"]) == (200, 1)
        unknown = await api.put("/v1/me/home", json={"community_id": str(new_id())}, headers=alice)
        assert unknown.status_code == 404
        assert (await api.put("/v1/me/home", json={"community_id": found["id"]})).status_code == 401


class TestOperatorStations:
    async def test_are_built_from_nothing(self, api: httpx.AsyncClient, as_person: Any) -> None:
        li = await as_person(LI)
        made = await api.post("/v1/operator/stations", json=STATION, headers=li)
        assert made.status_code == 201, made.text
        base = f"/v1/operator/stations/{made.json()['station']['id']}"
        body = {"kind": "dc", "max_power_w": 120_000, "guns": 2, "gun_power_w": 60_000}
        charger = await api.put(f"{base}/chargers/NEW-1-D1", json=body, headers=li)
        guns = charger.json()["connectors"]
        assert [(gun["number"], gun["qr"], gun["max_power_w"]) for gun in guns] == [
            (1, "NEW-1-D1-1", 60_000),
            (2, "NEW-1-D1-2", 60_000),
        ]
        bay = {"zone": "resident", "connector_ids": [guns[0]["id"]]}
        detail = (await api.put(f"{base}/bays/R01", json=bay, headers=li)).json()
        assert [gun["zone"] for gun in detail["connectors"]] == ["resident", "public"]
        same = await api.put(f"{base}/bays/R01", json=bay, headers=li)
        assert same.status_code == 200
        out = await api.put(f"{base}/connectors/{guns[0]['id']}/service", json={"in_service": False}, headers=li)
        assert [gun["in_service"] for gun in out.json()["connectors"]] == [False, True]
        renamed = await api.put(base, json={**STATION, "name": "老站", "pilot": True}, headers=li)
        assert (renamed.json()["station"]["name"], renamed.json()["station"]["code"]) == ("老站", "NEW-1")
        actions = await db.fetch("SELECT action FROM audit_entry ORDER BY id")
        assert [row["action"] for row in actions if row["action"].split(".")[0] in ("station", "charger", "bay")] == [
            "station.created",
            "charger.put",
            "bay.put",
            "bay.put",
            "station.replaced",
        ]

    async def test_of_another_company_are_not_there(self, api: httpx.AsyncClient, as_person: Any) -> None:
        demo = await add_demo_station()
        zhou = await as_person(ZHOU)
        assert (await api.get("/v1/operator/stations", headers=zhou)).json()["items"] == []
        for method, path, body in (
            ("GET", f"/v1/operator/stations/{demo.station.id}", None),
            ("PUT", f"/v1/operator/stations/{demo.station.id}", STATION),
            ("PUT", f"/v1/operator/stations/{demo.station.id}/bays/X1", {"zone": "public"}),
            ("PUT", f"/v1/operator/settings/{demo.station.id}", {}),
            ("GET", f"/v1/operator/devices/{demo.smoke.id}", None),
            ("POST", f"/v1/operator/devices/{demo.smoke.id}/password", None),
        ):
            answer = await api.request(method, path, json=body, headers=zhou)
            assert (answer.status_code, answer.json()["code"]) == (404, "not_found"), path
        taken = await api.post("/v1/operator/stations", json={**STATION, "code": demo.station.code}, headers=zhou)
        assert (taken.status_code, taken.json()["code"]) == (409, "code_taken")

    async def test_are_read_but_not_written_by_an_inspector(self, api: httpx.AsyncClient, as_person: Any) -> None:
        demo = await add_demo_station()
        sun = await as_person(SUN)
        assert len((await api.get("/v1/operator/stations", headers=sun)).json()["items"]) == 1
        answer = await api.put(f"/v1/operator/stations/{demo.station.id}", json=STATION, headers=sun)
        assert (answer.status_code, answer.json()["code"]) == (403, "staff_only")

    @pytest.mark.parametrize("person", [WANG, ALICE])
    async def test_are_not_for_guards_and_residents(
        self, api: httpx.AsyncClient, as_person: Any, person: Person
    ) -> None:
        answer = await api.get("/v1/operator/stations", headers=await as_person(person))
        assert (answer.status_code, answer.json()["code"]) == (403, "staff_only")

    async def test_come_page_by_page(self, api: httpx.AsyncClient, as_person: Any) -> None:
        codes = [(await add_station(code=f"P-{n}")).code for n in range(3)]
        li = await as_person(LI)
        first = (await api.get("/v1/operator/stations", params={"limit": 2}, headers=li)).json()
        rest = (await api.get("/v1/operator/stations", params={"cursor": first["next"]}, headers=li)).json()
        assert [s["code"] for s in first["items"] + rest["items"]] == codes
        assert rest["next"] is None

    async def test_are_imported_from_a_file(self, api: httpx.AsyncClient, as_person: Any) -> None:
        own = await add_demo_station()
        li = await as_person(LI)
        rows = ["X-1,39.9,116.4,1,2", f"{own.station.code},39.9,116.4,1,1", "X-2,x,116.4,1,1"]
        text = "\n".join(["station_id,lat,lng,fast_chargers,slow_chargers", *rows])
        answer = await api.post(
            "/v1/operator/stations/import", files={"file": ("stations.csv", text.encode())}, headers=li
        )
        assert answer.status_code == 200, answer.text
        body = answer.json()
        assert (body["rows"], body["added"], len(body["refused"])) == (3, 1, 2)
        assert [(row["line"], row["field"]) for row in body["refused"]] == [(3, "station_id"), (4, "lat")]
        broken = await api.post("/v1/operator/stations/import", files={"file": ("x.csv", b"\xff")}, headers=li)
        assert (broken.status_code, broken.json()["code"]) == (422, "file_refused")


class TestOperatorSettings:
    async def test_are_replaced_with_defaults_for_what_is_left_out(
        self, api: httpx.AsyncClient, as_person: Any
    ) -> None:
        demo = await add_demo_station()
        li = await as_person(LI)
        path = f"/v1/operator/settings/{demo.station.id}"
        answer = await api.put(path, json={"lock_raise_delay_s": 5}, headers=li)
        assert answer.status_code == 200, answer.text
        listed = (await api.get("/v1/operator/settings", headers=li)).json()["items"][0]["settings"]
        assert (listed["lock_raise_delay_s"], listed["vacate_gap_s"]) == (5, 600)
        refused = await api.put(path, json={"slot_grid_s": 0}, headers=li)
        assert (refused.status_code, refused.json()["code"]) == (422, "settings_invalid")
        assert refused.json()["faults"] == [{"field": "slot_grid_s", "problem": "more than zero"}]


class TestOperatorDevices:
    async def test_are_registered_with_a_password_shown_once(self, api: httpx.AsyncClient, as_person: Any) -> None:
        demo = await add_demo_station()
        li = await as_person(LI)
        body = {"station_id": str(demo.station.id), "code": "F-NEW", "kind": "smoke", "area": "east"}
        made = await api.post("/v1/operator/devices", json=body, headers=li)
        assert made.status_code == 201, made.text
        hashed = await db.fetchval("SELECT password_hash FROM device WHERE code = 'F-NEW'")
        assert matches_password(made.json()["password"], hashed)
        path = f"/v1/operator/devices/{made.json()['device']['id']}"
        assert "password" not in (await api.get(path, headers=li)).text
        again = await api.post("/v1/operator/devices", json=body, headers=li)
        assert (again.status_code, again.json()["code"]) == (409, "code_taken")
        renewed = (await api.post(f"{path}/password", headers=li)).json()["password"]
        hashed = await db.fetchval("SELECT password_hash FROM device WHERE code = 'F-NEW'")
        assert matches_password(renewed, hashed)
        retired = await api.put(path, json={"report_interval_s": 60, "area": "west", "active": False}, headers=li)
        assert (retired.json()["area"], retired.json()["active"]) == ("west", False)

    @pytest.mark.parametrize(
        ("body", "status", "code"),
        [
            ({"code": "a b", "kind": "smoke"}, 422, None),
            ({"code": "K-9", "kind": "camera"}, 422, "device_mapping_invalid"),
            ({"code": "L-9", "kind": "lock", "bay_code": "none"}, 404, "not_found"),
            ({"code": "C-9", "kind": "charger", "charger_code": "none"}, 404, "not_found"),
            ({"code": "Z-9", "kind": "toaster"}, 422, None),
        ],
    )
    async def test_are_refused_with_the_reason(
        self, api: httpx.AsyncClient, as_person: Any, body: dict[str, str], status: int, code: str | None
    ) -> None:
        demo = await add_demo_station()
        answer = await api.post(
            "/v1/operator/devices", json={"station_id": str(demo.station.id), **body}, headers=await as_person(LI)
        )
        assert answer.status_code in (status, 400)
        if code is not None:
            assert answer.json()["code"] == code

    async def test_of_a_station_are_listed(self, api: httpx.AsyncClient, as_person: Any) -> None:
        demo = await add_demo_station()
        await add_demo_station(operator_company_id=await add_company(name="远邻充电"))
        li = await as_person(LI)
        items = (await api.get("/v1/operator/devices", headers=li)).json()["items"]
        assert len(items) == 9
        one = await api.get("/v1/operator/devices", params={"station_id": str(demo.station.id)}, headers=li)
        assert one.json()["items"] == items
