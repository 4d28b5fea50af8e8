"""Tariff versions over HTTP: two people, one direction."""

from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest

from backend.core.services import Services
from tests.cast import LI, QIAN, SUN, ZHOU, Person
from tests.factories.accounts import log_in
from tests.factories.stations import add_station

FLAT = {
    "supply_class": "below_1kv",
    "effective_from": "2026-06-11T00:00:00+08:00",
    "spans": [{"band": "valley", "from_min": 0, "to_min": 600}, {"band": "peak", "from_min": 600, "to_min": 1440}],
    "prices": [
        {"user_class": user_class, "band": band, "energy_e4": 7000, "service_e4": service}
        for user_class, service in (("agreement", 4000), ("market", 8000))
        for band in ("valley", "peak")
    ],
}


@pytest.fixture
def as_person(services: Services, now: datetime) -> Any:
    """Return a function that logs one of the cast in and gives the headers."""

    async def headers(person: Person) -> dict[str, str]:
        return (await log_in(person, services=services, now=now)).headers

    return headers


class TestOperatorTariffs:
    async def test_go_from_draft_to_published_by_two_people(self, api: httpx.AsyncClient, as_person: Any) -> None:
        station = await add_station()
        li, qian = await as_person(LI), await as_person(QIAN)
        body = {**FLAT, "station_id": str(station.id)}
        draft = await api.post("/v1/operator/tariffs", json=body, headers=li)
        assert (draft.status_code, draft.json()["status"]) == (201, "draft"), draft.text
        path = f"/v1/operator/tariffs/{draft.json()['id']}"
        early = await api.post(f"{path}/publish", headers=li)
        assert (early.status_code, early.json()["code"]) == (409, "tariff_state")
        alone = await api.post(f"{path}/approve", headers=li)
        assert (alone.status_code, alone.json()["code"]) == (403, "second_person_needed")
        assert (await api.post(f"{path}/approve", headers=qian)).json()["status"] == "approved"
        changed = await api.put(path, json=body, headers=li)
        assert (changed.status_code, changed.json()["code"]) == (409, "tariff_state")
        assert (await api.post(f"{path}/publish", headers=li)).json()["status"] == "published"
        day = {"date": "2026-06-12"}
        shown = (await api.get(f"/v1/stations/{station.id}/prices", params=day)).json()["items"]
        assert [(item["band"], item["agreement_service_e4"]) for item in shown] == [("valley", 4000), ("peak", 4000)]
        assert [v["id"] for v in (await api.get("/v1/operator/tariffs", headers=qian)).json()["items"]] == [
            draft.json()["id"]
        ]

    async def test_make_whoever_rewrites_a_draft_its_author(self, api: httpx.AsyncClient, as_person: Any) -> None:
        li, qian = await as_person(LI), await as_person(QIAN)
        draft = (await api.post("/v1/operator/tariffs", json=FLAT, headers=li)).json()
        path = f"/v1/operator/tariffs/{draft['id']}"
        again = await api.put(path, json={**FLAT, "name": "new"}, headers=qian)
        assert (again.status_code, again.json()["name"]) == (200, "new")
        assert (await api.post(f"{path}/approve", headers=qian)).status_code == 403
        assert (await api.post(f"{path}/approve", headers=li)).status_code == 200

    @pytest.mark.parametrize(
        ("change", "code", "field", "problem"),
        [
            (
                {
                    "spans": [
                        {"band": "valley", "from_min": 0, "to_min": 600},
                        {"band": "peak", "from_min": 600, "to_min": 1380},
                    ]
                },
                "tariff_hole",
                "spans",
                "no band holds from 23:00 to 24:00 in months 1-12",
            ),
            (
                {
                    "spans": [
                        {"band": "valley", "from_min": 0, "to_min": 700},
                        {"band": "peak", "from_min": 600, "to_min": 1440},
                    ]
                },
                "tariff_overlap",
                "spans",
                "two bands hold from 10:00 to 11:40 in months 1-12",
            ),
            (
                {"spans": [{"band": "peak", "from_min": 0, "to_min": 1440, "months": [13]}]},
                "tariff_invalid",
                "spans[0].months",
                "outside",
            ),
            ({"prices": FLAT["prices"][:1]}, "tariff_invalid", "prices", "is missing"),
            (
                {"prices": [{**price, "service_e4": 5001} for price in FLAT["prices"]]},  # type: ignore[dict-item]
                "agreement_price_above_cap",
                "prices[0].service_e4",
                "at most 5000",
            ),
        ],
    )
    async def test_are_refused_with_every_fault(
        self, api: httpx.AsyncClient, as_person: Any, change: dict[str, Any], code: str, field: str, problem: str
    ) -> None:
        answer = await api.post("/v1/operator/tariffs", json={**FLAT, **change}, headers=await as_person(LI))
        told = answer.json()
        assert (answer.status_code, told["code"], told["field"]) == (422, code, field)
        assert any(problem in fault["problem"] for fault in told["faults"])

    async def test_are_refused_an_end_before_the_start_and_an_instant_without_offset(
        self, api: httpx.AsyncClient, as_person: Any
    ) -> None:
        li = await as_person(LI)
        backwards = {**FLAT, "effective_to": "2026-06-10T00:00:00+08:00"}
        answer = await api.post("/v1/operator/tariffs", json=backwards, headers=li)
        assert (answer.status_code, answer.json()["code"]) == (422, "tariff_invalid")
        answer = await api.post("/v1/operator/tariffs", json={**FLAT, "effective_from": "2026-06-11"}, headers=li)
        assert answer.status_code in (400, 422)

    async def test_are_refused_a_start_in_the_past_over_a_price_in_force(
        self, api: httpx.AsyncClient, as_person: Any, now: datetime
    ) -> None:
        li, qian = await as_person(LI), await as_person(QIAN)
        codes = []
        for starts in (now - timedelta(days=9), now - timedelta(days=1)):
            body = {**FLAT, "effective_from": starts.isoformat()}
            draft = (await api.post("/v1/operator/tariffs", json=body, headers=li)).json()
            await api.post(f"/v1/operator/tariffs/{draft['id']}/approve", headers=qian)
            codes.append(await api.post(f"/v1/operator/tariffs/{draft['id']}/publish", headers=qian))
        assert [code.status_code for code in codes] == [200, 409]
        assert (codes[1].json()["code"], codes[1].json()["reason"]) == ("tariff_period", "past")

    async def test_are_hidden_from_another_company_and_read_only_for_an_inspector(
        self, api: httpx.AsyncClient, as_person: Any
    ) -> None:
        li, zhou, sun = await as_person(LI), await as_person(ZHOU), await as_person(SUN)
        draft = (await api.post("/v1/operator/tariffs", json=FLAT, headers=li)).json()
        path = f"/v1/operator/tariffs/{draft['id']}"
        assert (await api.get(path, headers=zhou)).status_code == 404
        assert (await api.post(f"{path}/approve", headers=zhou)).status_code == 404
        assert (await api.get(path, headers=sun)).status_code == 200
        assert (await api.post(f"{path}/approve", headers=sun)).status_code == 403
        foreign = await add_station()
        answer = await api.post("/v1/operator/tariffs", json={**FLAT, "station_id": str(foreign.id)}, headers=zhou)
        assert answer.status_code == 404
