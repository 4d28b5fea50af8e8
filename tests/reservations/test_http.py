"""Bookings over HTTP."""

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Any, cast
from uuid import UUID

import httpx
import pytest
from icalendar import Calendar

from backend.accounts.service import logins
from backend.app import create_app
from backend.core import db
from backend.core.auth import Tokens
from backend.core.ids import new_id
from backend.core.services import Services
from tests.factories.reservations import Resident, Scene, add_resident, add_scene

HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)


async def headers_of(account_id: UUID, services: Services, now: datetime) -> dict[str, str]:
    pair = await logins.open_login(account_id=account_id, method="sms", tokens=services.get(Tokens), now=now)
    return {"Authorization": f"Bearer {pair.access_token}"}


@pytest.fixture
async def scene(database: Any) -> Scene:
    return await add_scene()


@pytest.fixture
async def alice(scene: Scene, services: Services, now: datetime) -> dict[str, str]:
    return await headers_of(scene.alice.account_id, services, now)


@pytest.fixture
async def bob(scene: Scene, services: Services, now: datetime) -> dict[str, str]:
    return await headers_of(scene.bob.account_id, services, now)


def wish(scene: Scene, resident: Resident, starts_at: datetime, /, **changes: Any) -> dict[str, Any]:
    body = {
        "station_id": str(scene.place.station.id),
        "vehicle_id": str(resident.vehicle.id),
        "starts_at": starts_at.isoformat(),
        "ends_at": (starts_at + HOUR).isoformat(),
        "power": "slow",
    }
    return {**body, **changes}


class TestBooking:
    async def test_answers_with_the_place_and_the_deadlines(
        self, api: httpx.AsyncClient, scene: Scene, alice: dict[str, str], now: datetime
    ) -> None:
        answer = await api.post("/v1/reservations", json=wish(scene, scene.alice, now + HOUR), headers=alice)
        assert answer.status_code == 201
        body = answer.json()
        assert body["status"] == "confirmed"
        assert body["connector_id"] == body["connector"]["id"] == str(scene.place.ac.connector.id)
        assert body["connector"]["bay_code"] == scene.place.ac.bay.code
        assert datetime.fromisoformat(body["hold_until"]) == now + HOUR + 15 * MINUTE
        again = await api.get(f"/v1/reservations/{body['id']}", headers=alice)
        assert again.json() == body
        unchanged = await api.get(
            f"/v1/reservations/{body['id']}", headers={**alice, "If-None-Match": again.headers["etag"]}
        )
        assert unchanged.status_code == 304

    async def test_refused_names_alternatives_that_can_be_booked(
        self, api: httpx.AsyncClient, scene: Scene, alice: dict[str, str], bob: dict[str, str], now: datetime
    ) -> None:
        await api.post("/v1/reservations", json=wish(scene, scene.alice, now + HOUR), headers=alice)
        refused = await api.post("/v1/reservations", json=wish(scene, scene.bob, now + HOUR), headers=bob)
        assert refused.status_code == 409
        assert refused.headers["content-type"].startswith("application/problem+json")
        problem = refused.json()
        assert problem["code"] == "slot_taken"
        first = problem["alternatives"][0]
        wanted = wish(scene, scene.bob, now, starts_at=first["starts_at"], ends_at=first["ends_at"])
        assert (await api.post("/v1/reservations", json=wanted, headers=bob)).status_code == 201

    async def test_of_another_resident_is_absent(
        self, api: httpx.AsyncClient, scene: Scene, alice: dict[str, str], bob: dict[str, str], now: datetime
    ) -> None:
        booked = (await api.post("/v1/reservations", json=wish(scene, scene.alice, now + HOUR), headers=alice)).json()
        for method, path in (("GET", ""), ("POST", "/cancel"), ("POST", "/check-in")):
            body = {"qr": scene.place.ac.connector.qr} if path == "/check-in" else None
            foreign = await api.request(method, f"/v1/reservations/{booked['id']}{path}", json=body, headers=bob)
            absent = await api.request(method, f"/v1/reservations/{new_id()}{path}", json=body, headers=bob)
            assert foreign.status_code == absent.status_code == 404
            same = ("type", "title", "status", "detail", "code")
            assert [foreign.json()[k] for k in same] == [absent.json()[k] for k in same]

    @pytest.mark.parametrize(
        ("changes", "status", "code"),
        [
            ({"starts_at": "tomorrow"}, 422, None),
            ({"starts_at": "2026-06-10T11:00:00"}, 422, None),
            ({"power": "medium"}, 422, None),
            ({"station_id": 7}, 422, None),
            ({"ends_at": "2026-06-10T11:10:00+08:00"}, 422, "slot_invalid"),
            ({"station_id": str(UUID(int=1))}, 404, "not_found"),
            ({"vehicle_id": str(UUID(int=1))}, 404, "not_found"),
            ({"connector_id": str(UUID(int=1))}, 404, "not_found"),
        ],
    )
    async def test_tells_what_is_wrong(
        self,
        api: httpx.AsyncClient,
        scene: Scene,
        alice: dict[str, str],
        now: datetime,
        changes: dict[str, Any],
        status: int,
        code: str | None,
    ) -> None:
        answer = await api.post("/v1/reservations", json=wish(scene, scene.alice, now + HOUR, **changes), headers=alice)
        assert answer.status_code == status
        assert code in (None, answer.json()["code"])

    async def test_needs_a_login_and_an_agreement(
        self, api: httpx.AsyncClient, scene: Scene, services: Services, now: datetime
    ) -> None:
        body = wish(scene, scene.charlie, now + HOUR)
        assert (await api.post("/v1/reservations", json=body)).status_code == 401
        charlie = await headers_of(scene.charlie.account_id, services, now)
        refused = await api.post("/v1/reservations", json=body, headers=charlie)
        assert (refused.status_code, refused.json()["code"]) == (403, "agreement_needed")


class TestSlots:
    async def test_are_listed_with_an_etag_that_changes_with_a_booking(
        self, api: httpx.AsyncClient, scene: Scene, alice: dict[str, str], now: datetime
    ) -> None:
        path = f"/v1/stations/{scene.place.station.id}/slots?date=2026-06-10&power=slow"
        listed = await api.get(path)
        assert listed.status_code == 200
        body = listed.json()
        assert (body["date"], body["grid_s"], body["items"][0]["power"]) == ("2026-06-10", 900, "slow")
        assert (await api.get(path, headers={"If-None-Match": listed.headers["etag"]})).status_code == 304
        await api.post("/v1/reservations", json=wish(scene, scene.alice, now + HOUR), headers=alice)
        changed = await api.get(path, headers={"If-None-Match": listed.headers["etag"]})
        assert changed.status_code == 200
        starts = {datetime.fromisoformat(item["starts_at"]) for item in changed.json()["items"]}
        assert now + HOUR not in starts

    @pytest.mark.parametrize(("query", "status"), [("date=today", 400), ("power=9", 400), ("", 200)])
    async def test_refuse_a_query_they_do_not_know(
        self, api: httpx.AsyncClient, scene: Scene, query: str, status: int
    ) -> None:
        answer = await api.get(f"/v1/stations/{scene.place.station.id}/slots?{query}")
        assert answer.status_code in ({400, 422} if status == 400 else {200})

    async def test_of_an_unknown_station_are_absent(self, api: httpx.AsyncClient, database: Any) -> None:
        assert (await api.get(f"/v1/stations/{new_id()}/slots")).status_code == 404


class TestCheckingIn:
    async def test_needs_the_datum_of_a_position(
        self, api: httpx.AsyncClient, scene: Scene, alice: dict[str, str], now: datetime
    ) -> None:
        booked = (
            await api.post("/v1/reservations", json=wish(scene, scene.alice, now + 15 * MINUTE), headers=alice)
        ).json()
        path = f"/v1/reservations/{booked['id']}/check-in"
        here = {"lat": scene.place.station.lat, "lng": scene.place.station.lng}
        assert (await api.post(path, json=here, headers=alice)).status_code == 422
        assert (await api.post(path, json={}, headers=alice)).status_code == 422
        done = await api.post(path, json={**here, "coord": "gcj02"}, headers=alice)
        assert (done.status_code, done.json()["status"], done.json()["checked_in_by"]) == (200, "checked_in", "app")


class TestTheCalendar:
    async def test_opens_by_its_address_alone(
        self, api: httpx.AsyncClient, scene: Scene, alice: dict[str, str], now: datetime
    ) -> None:
        await api.post("/v1/reservations", json=wish(scene, scene.alice, now + HOUR), headers=alice)
        address = (await api.post("/v1/reservations/calendar-address", headers=alice)).json()["url"]
        file = await api.get(address)
        assert file.headers["content-type"].startswith("text/calendar")
        assert len(Calendar.from_ical(file.content).walk("VEVENT")) == 1
        assert (await api.get("/v1/reservations.ics?token=guess")).status_code == 404


class TestListing:
    async def test_shows_the_own_bookings_only(
        self, api: httpx.AsyncClient, scene: Scene, alice: dict[str, str], bob: dict[str, str], now: datetime
    ) -> None:
        booked = (await api.post("/v1/reservations", json=wish(scene, scene.alice, now + HOUR), headers=alice)).json()
        await api.post(f"/v1/reservations/{booked['id']}/cancel", headers=alice)
        assert [one["status"] for one in (await api.get("/v1/reservations", headers=alice)).json()["items"]] == [
            "cancelled"
        ]
        assert (await api.get("/v1/reservations?open=true", headers=alice)).json() == {"items": [], "next": None}
        assert (await api.get("/v1/reservations", headers=bob)).json()["items"] == []


class TestTwoHundredRequestsForOneSlot:
    @pytest.fixture
    async def public_api(self, committing: Any, services: Services) -> AsyncIterator[httpx.AsyncClient]:
        transport = httpx.ASGITransport(app=cast(Any, create_app(services)), raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://linli.test") as client:
            yield client

    async def test_get_one_201_and_otherwise_409_with_alternatives(
        self, public_api: httpx.AsyncClient, services: Services, now: datetime
    ) -> None:
        scene = await add_scene()
        people = [
            await add_resident(company_id=scene.company_id, phone=f"139{n:08d}", plate=f"京AD{20000 + n}")
            for n in range(200)
        ]
        logins_of = [await headers_of(person.account_id, services, now) for person in people]
        answers = await asyncio.gather(
            *(
                public_api.post("/v1/reservations", json=wish(scene, person, now + HOUR), headers=login)
                for person, login in zip(people, logins_of, strict=True)
            )
        )
        codes = [answer.status_code for answer in answers]
        assert (codes.count(201), codes.count(409)) == (1, 199), {answer.text for answer in answers[:3]}
        assert all(len(a.json()["alternatives"]) == 3 for a in answers if a.status_code == 409)
        assert await db.fetchval("SELECT count(*) FROM connector_claim") == 1
