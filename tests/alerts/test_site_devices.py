"""The devices on site: a guard sees those of the stations of the grant, with what is wrong with them."""

from datetime import datetime

import httpx

from backend.accounts import service as accounts
from backend.core import db
from backend.core.services import Services
from tests.cast import ALICE, WANG, ZHOU, Person
from tests.factories.accounts import add_company, log_in
from tests.factories.stations import add_demo_station

PATH = "/v1/staff/devices"
CHEN = Person("chen", "陈", "13800000031")


async def head(person: Person, services: Services, now: datetime) -> dict[str, str]:
    return (await log_in(person, services=services, now=now)).headers


class TestDevicesOnSite:
    async def test_are_those_of_the_own_company_or_station_only(
        self, api: httpx.AsyncClient, services: Services, now: datetime
    ) -> None:
        company_id = await add_company()
        first = await add_demo_station(operator_company_id=company_id)
        second = await add_demo_station(operator_company_id=company_id)
        foreign = await add_demo_station(operator_company_id=await add_company(name="远邻充电"))
        wang, zhou, alice = [await head(person, services, now) for person in (WANG, ZHOU, ALICE)]
        chen_id = await accounts.ensure_account(phone=CHEN.phone, name=CHEN.name, now=now)
        await accounts.add_staff(
            account_id=chen_id, role="guard", operator_company_id=company_id, station_id=second.station.id, now=now
        )
        chen = await head(CHEN, services, now)

        async def seen(headers: dict[str, str], **params: object) -> set[str]:
            answer = await api.get(PATH, params={"limit": 200, **params}, headers=headers)
            assert answer.status_code == 200, answer.text
            assert "credentials" not in answer.text and "password" not in answer.text
            return {item["station_id"] for item in answer.json()["items"]}

        assert await seen(wang) == {str(first.station.id), str(second.station.id)}
        assert await seen(chen) == {str(second.station.id)}
        assert await seen(zhou) == {str(foreign.station.id)}
        assert await seen(chen, station_id=first.station.id) == set()
        assert await seen(zhou, station_id=first.station.id) == set()
        assert (await api.get(PATH, headers=alice)).status_code == 403
        assert (await api.get(PATH)).status_code == 401

    async def test_that_need_somebody_are_listed_alone_with_what_is_wrong(
        self, api: httpx.AsyncClient, services: Services, now: datetime
    ) -> None:
        await add_demo_station(operator_company_id=await add_company())
        wang = await head(WANG, services, now)
        everything = (await api.get(PATH, params={"limit": 200}, headers=wang)).json()["items"]
        known = [item["id"] for item in everything]
        for item in everything:
            await db.execute(
                "INSERT INTO device_state (device_id, station_id, code, kind, boot, seq, online, last_seen_at,"
                " clock_offset_ms, battery_pct, boot_first_seq, boot_received)"
                " VALUES ($1, $2, $3, $4, 1, 1, true, $5, 0, 90, 1, 1)",
                item["id"],
                item["station_id"],
                item["code"],
                item["kind"],
                now,
            )
        assert (await api.get(PATH, params={"attention": True}, headers=wang)).json()["items"] == []
        low, off, silent = known[:3]
        await db.execute("UPDATE device_state SET battery_pct = 9 WHERE device_id = $1", low)
        await db.execute("UPDATE device_state SET clock_offset_ms = -90000 WHERE device_id = $1", off)
        await db.execute("UPDATE device_state SET silent_since = $2 WHERE device_id = $1", silent, now)
        answer = await api.get(PATH, params={"attention": True, "limit": 2}, headers=wang)
        rest = await api.get(
            PATH, params={"attention": True, "limit": 2, "cursor": answer.json()["next"]}, headers=wang
        )
        found = {i["id"]: i["health"] for page in (answer, rest) for i in page.json()["items"]}
        assert {i: h["problems"] for i, h in found.items()} == {low: ["low_battery"], off: ["clock_off"], silent: []}
        assert found[silent]["state"] == "silent"
        assert answer.json()["next"] and rest.json()["next"] is None
        etag = rest.headers["etag"]
        again = await api.get(PATH, params=rest.request.url.params, headers={**wang, "If-None-Match": etag})
        assert again.status_code == 304
