"""The staff list of an operator company, over HTTP."""

from datetime import datetime

import httpx
import pytest

from backend.core import db
from backend.core.services import Services
from tests.cast import ALICE, BOB, LI, QIAN, SUN, WANG, ZHAO, ZHOU, Person
from tests.factories.accounts import add_company, add_person, log_in
from tests.factories.stations import add_station

PATH = "/v1/operator/staff"


def guard(person: Person, **more: object) -> dict[str, object]:
    """Build the body that makes somebody a guard."""
    return {"phone": person.phone, "name": person.name, "role": "guard", **more}


class TestListStaff:
    async def test_shows_the_own_company_page_by_page(
        self, api: httpx.AsyncClient, services: Services, now: datetime
    ) -> None:
        for person in (WANG, ZHAO, QIAN, SUN, ZHOU):
            await add_person(person)
        li = await log_in(LI, services=services, now=now)
        names: list[str] = []
        cursor: str | None = ""
        while cursor is not None:
            page = (
                await api.get(
                    PATH, params={"limit": 2, "cursor": cursor} if cursor else {"limit": 2}, headers=li.headers
                )
            ).json()
            names += [item["name"] for item in page["items"]]
            cursor = page["next"]
        assert sorted(names) == sorted(person.name for person in (WANG, ZHAO, LI, QIAN, SUN))

    @pytest.mark.parametrize(("person", "status"), [(LI, 200), (ZHAO, 200), (SUN, 200), (WANG, 403), (ALICE, 403)])
    async def test_is_for_operators_leads_and_inspectors(
        self, api: httpx.AsyncClient, services: Services, now: datetime, person: Person, status: int
    ) -> None:
        login = await log_in(person, services=services, now=now)
        assert (await api.get(PATH, headers=login.headers)).status_code == status


class TestGiveRole:
    async def test_makes_a_new_person_staff_at_once(
        self, api: httpx.AsyncClient, services: Services, now: datetime
    ) -> None:
        li = await log_in(LI, services=services, now=now)
        added = await api.post(PATH, json=guard(BOB), headers=li.headers)
        assert (added.status_code, added.json()["name"], added.json()["role"]) == (201, BOB.name, "guard")
        bob = await log_in(BOB, services=services, now=now)
        roles = (await api.get("/v1/me", headers=bob.headers)).json()["roles"]
        assert [role["role"] for role in roles] == ["guard"]
        assert await db.fetchval("SELECT detail::text FROM audit_entry WHERE action = 'staff.role_given'")
        assert not await db.fetchval(
            "SELECT count(*) FROM audit_entry WHERE detail::text LIKE '%' || $1 || '%'", BOB.phone
        )

    async def test_does_not_tell_whose_a_number_is(
        self, api: httpx.AsyncClient, services: Services, now: datetime
    ) -> None:
        await log_in(ALICE, services=services, now=now)
        li = await log_in(LI, services=services, now=now)
        given = await api.post(PATH, json={**guard(ALICE), "name": "门岗三号"}, headers=li.headers)
        listed = await api.get(PATH, headers=li.headers)
        assert given.json()["name"] == "门岗三号"
        assert ALICE.name not in given.text + listed.text

    async def test_is_refused_twice(self, api: httpx.AsyncClient, services: Services, now: datetime) -> None:
        li = await log_in(LI, services=services, now=now)
        await api.post(PATH, json=guard(BOB), headers=li.headers)
        again = await api.post(PATH, json=guard(BOB), headers=li.headers)
        assert (again.status_code, again.json()["code"]) == (409, "role_given")

    async def test_can_be_limited_to_a_station_of_the_own_company_only(
        self, api: httpx.AsyncClient, services: Services, now: datetime
    ) -> None:
        li = await log_in(LI, services=services, now=now)
        own = await add_station(operator_company_id=await add_company())
        foreign = await add_station(operator_company_id=await add_company(name="远邻充电"))
        limited = await api.post(PATH, json=guard(BOB, station_id=str(own.id)), headers=li.headers)
        assert (limited.status_code, limited.json()["station_id"]) == (201, str(own.id))
        refused = await api.post(PATH, json=guard(ALICE, station_id=str(foreign.id)), headers=li.headers)
        assert (refused.status_code, refused.json()["code"]) == (404, "not_found")
        assert not await db.fetchval("SELECT count(*) FROM staff_grant WHERE station_id = $1", foreign.id)

    @pytest.mark.parametrize("role", ["lead", "operator", "inspector"])
    async def test_is_limited_to_a_station_for_guards_only_because_bills_and_staff_have_none(
        self, api: httpx.AsyncClient, services: Services, now: datetime, role: str
    ) -> None:
        li = await log_in(LI, services=services, now=now)
        own = await add_station(operator_company_id=await add_company())
        body = {**guard(BOB, station_id=str(own.id)), "role": role}
        refused = await api.post(PATH, json=body, headers=li.headers)
        assert (refused.status_code, refused.json()["code"]) == (422, "station_for_guards")
        assert not await db.fetchval(
            "SELECT count(*) FROM staff_grant WHERE role = $1 AND station_id = $2", role, own.id
        )

    async def test_is_refused_for_another_company(
        self, api: httpx.AsyncClient, services: Services, now: datetime
    ) -> None:
        li = await log_in(LI, services=services, now=now)
        other = await add_company(name="远邻充电")
        answer = await api.post(PATH, json=guard(BOB, operator_company_id=str(other)), headers=li.headers)
        assert answer.status_code == 404

    @pytest.mark.parametrize("person", [WANG, ZHAO, SUN, ALICE])
    async def test_is_for_operators_only(
        self, api: httpx.AsyncClient, services: Services, now: datetime, person: Person
    ) -> None:
        login = await log_in(person, services=services, now=now)
        answer = await api.post(PATH, json=guard(BOB), headers=login.headers)
        assert (answer.status_code, answer.json()["code"]) == (403, "staff_only")


class TestRemoveRole:
    async def test_works_at_once(self, api: httpx.AsyncClient, services: Services, now: datetime) -> None:
        li = await log_in(LI, services=services, now=now)
        qian = await log_in(QIAN, services=services, now=now)
        items = (await api.get(PATH, headers=li.headers)).json()["items"]
        grant = next(item["id"] for item in items if item["name"] == QIAN.name)
        assert (await api.delete(f"{PATH}/{grant}", headers=li.headers)).status_code == 204
        assert (await api.get(PATH, headers=qian.headers)).status_code == 403
        assert (await api.delete(f"{PATH}/{grant}", headers=li.headers)).status_code == 404

    async def test_leaves_the_last_operator(self, api: httpx.AsyncClient, services: Services, now: datetime) -> None:
        li = await log_in(LI, services=services, now=now)
        grant = (await api.get(PATH, headers=li.headers)).json()["items"][0]["id"]
        answer = await api.delete(f"{PATH}/{grant}", headers=li.headers)
        assert (answer.status_code, answer.json()["code"]) == (409, "last_operator")

    async def test_does_not_see_another_company(
        self, api: httpx.AsyncClient, services: Services, now: datetime
    ) -> None:
        li = await log_in(LI, services=services, now=now)
        zhou = await log_in(ZHOU, services=services, now=now)
        grant = (await api.get(PATH, headers=zhou.headers)).json()["items"][0]["id"]
        assert (await api.delete(f"{PATH}/{grant}", headers=li.headers)).status_code == 404
        assert len((await api.get(PATH, headers=zhou.headers)).json()["items"]) == 1
