"""The queue and the wait figures over HTTP."""

from datetime import datetime
from typing import Any

import httpx
import pytest

from backend.accounts.service import logins
from backend.core.auth import Tokens
from backend.core.ids import new_id
from backend.core.services import Services
from backend.waiting import service as waiting
from tests.cast import ALICE, LI, SUN, ZHOU, Person
from tests.factories.accounts import log_in
from tests.factories.charging import add_charging_scene
from tests.factories.reservations import Scene


@pytest.fixture
async def scene(database: Any, now: datetime) -> Scene:
    return await add_charging_scene(now=now)


@pytest.fixture
async def alice(scene: Scene, services: Services, now: datetime) -> dict[str, str]:
    pair = await logins.open_login(
        account_id=scene.alice.account_id, method="sms", tokens=services.get(Tokens), now=now
    )
    return {"Authorization": f"Bearer {pair.access_token}"}


class TestTheQueue:
    async def test_is_joined_read_accepted_and_left(
        self, api: httpx.AsyncClient, scene: Scene, alice: dict[str, str]
    ) -> None:
        station = scene.place.station
        wish = {"station_id": str(station.id), "vehicle_id": str(scene.alice.vehicle.id)}
        here = {"lat": station.lat, "lng": station.lng, "coord": "gcj02"}
        joined = await api.post("/v1/queue", json={**wish, **here}, headers=alice)
        assert joined.status_code == 201
        entry = joined.json()
        assert (entry["status"], entry["on_site"]) == ("offered", True)
        assert entry["offer"]["connector_id"] == str(scene.place.ac.connector.id)
        path = f"/v1/queue/{entry['id']}"
        assert (await api.get(path, headers=alice)).json() == entry
        accepted = (await api.post(f"{path}/accept", headers=alice)).json()
        assert (accepted["status"], accepted["offer"]["accepted"]) == ("accepted", True)
        assert (await api.delete(path, headers=alice)).status_code == 204
        assert (await api.get(path, headers=alice)).json()["status"] == "left"

    async def test_refuses_a_position_without_its_datum(
        self, api: httpx.AsyncClient, scene: Scene, alice: dict[str, str]
    ) -> None:
        body = {"station_id": str(scene.place.station.id), "vehicle_id": str(scene.alice.vehicle.id), "lat": 39.9}
        assert (await api.post("/v1/queue", json=body, headers=alice)).status_code == 422

    async def test_of_another_is_absent(self, api: httpx.AsyncClient, scene: Scene, alice: dict[str, str]) -> None:
        for method, path in (("GET", ""), ("POST", "/accept"), ("DELETE", "")):
            answer = await api.request(method, f"/v1/queue/{new_id()}{path}", headers=alice)
            assert answer.status_code == 404


class TestTheWaitFigures:
    PATH = "/v1/operator/indicators/waits"

    @pytest.fixture
    async def waited(self, scene: Scene, now: datetime) -> Scene:
        arrival_id = await waiting.record_arrival(
            station_id=scene.place.station.id,
            plate_hash=scene.alice.plate_hash,
            source="app",
            at=now,
            now=now,
            account_id=scene.alice.account_id,
        )
        assert arrival_id is not None
        connector_id = scene.place.ac.connector.id
        await waiting.connector_usable(arrival_id=arrival_id, connector_id=connector_id, at=now, now=now)
        return scene

    async def read(self, api: httpx.AsyncClient, person: Person, services: Services, now: datetime) -> httpx.Response:
        return await api.get(self.PATH, headers=(await log_in(person, services=services, now=now)).headers)

    @pytest.mark.parametrize("person", [LI, SUN])
    async def test_are_for_the_staff_of_the_company(
        self, api: httpx.AsyncClient, waited: Scene, services: Services, now: datetime, person: Person
    ) -> None:
        (figure,) = (await self.read(api, person, services, now)).json()["items"]
        assert figure["station_id"] == str(waited.place.station.id)
        assert (figure["day"], figure["arrivals"], figure["share_within_5_min_pct"]) == ("2026-06-10", 1, 100.0)

    async def test_are_not_another_companys_nor_a_residents(
        self, api: httpx.AsyncClient, waited: Scene, services: Services, now: datetime
    ) -> None:
        assert (await self.read(api, ZHOU, services, now)).json()["items"] == []
        assert (await self.read(api, ALICE, services, now)).status_code == 403

    async def test_refuse_days_in_the_wrong_order(
        self, api: httpx.AsyncClient, waited: Scene, services: Services, now: datetime
    ) -> None:
        headers = (await log_in(LI, services=services, now=now)).headers
        answer = await api.get(f"{self.PATH}?from=2026-06-11&to=2026-06-10", headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (422, "period_invalid")

    async def test_name_the_arrivals_behind_a_figure_without_a_person(
        self, api: httpx.AsyncClient, waited: Scene, services: Services, now: datetime
    ) -> None:
        path = f"{self.PATH}/{waited.place.station.id}/arrivals?day=2026-06-10"
        for person in (LI, SUN):
            headers = (await log_in(person, services=services, now=now)).headers
            (arrival,) = (await api.get(path, headers=headers)).json()["items"]
            assert (arrival["wait_s"], arrival["user_class"], arrival["source"]) == (0, "agreement", "app")
            assert datetime.fromisoformat(arrival["arrived_at"]) == now
            assert arrival["connector_id"] == str(waited.place.ac.connector.id)
            assert not {"account_id", "plate_hash", "plate", "phone", "name"} & arrival.keys()
            others = await api.get(path.replace("06-10", "06-11"), headers=headers)
            assert others.json()["items"] == []
        zhou = (await log_in(ZHOU, services=services, now=now)).headers
        assert (await api.get(path, headers=zhou)).json()["items"] == []
        alice = (await log_in(ALICE, services=services, now=now)).headers
        assert (await api.get(path, headers=alice)).status_code == 403

    async def test_page_through_the_arrivals_and_agree_with_the_figure(
        self, api: httpx.AsyncClient, scene: Scene, services: Services, now: datetime
    ) -> None:
        for number in range(3):
            arrival_id = await waiting.record_arrival(
                station_id=scene.place.station.id,
                plate_hash=bytes([number]) * 32,
                source="app",
                at=now,
                now=now,
                account_id=scene.alice.account_id,
            )
            assert arrival_id is not None
            connector_id = scene.place.ac.connector.id
            await waiting.connector_usable(arrival_id=arrival_id, connector_id=connector_id, at=now, now=now)
        headers = (await log_in(SUN, services=services, now=now)).headers
        (figure,) = (await api.get(self.PATH, headers=headers)).json()["items"]
        behind = (
            await api.get(f"{self.PATH}/{scene.place.station.id}/arrivals?day=2026-06-10", headers=headers)
        ).json()
        assert figure["arrivals"] == len(behind["items"]) == 3
        assert figure["worst_s"] == max(item["wait_s"] for item in behind["items"])
