"""A day's prices as an app draws them, and whose prices a caller is shown."""

from datetime import datetime
from itertools import pairwise
from typing import Any

import httpx
import pytest

from backend.agreements.service import drivers
from backend.core import db
from backend.core.services import Services
from tests.cast import ALICE, CHARLIE, Person
from tests.factories.accounts import log_in
from tests.factories.reservations import Scene, add_scene
from tests.factories.stations import add_station
from tests.factories.tariffs import BEIJING_SPANS, prices_for, publish_tariff

NOON = datetime.fromisoformat("2026-06-12T12:00:00+08:00")


class TestADay:
    async def test_is_tiled_from_midnight_to_midnight_over_a_change_of_versions(
        self, api: httpx.AsyncClient, now: datetime
    ) -> None:
        station = await add_station()
        company_id = station.operator_company_id
        first = await publish_tariff(operator_company_id=company_id)
        second = await publish_tariff(
            operator_company_id=company_id,
            effective_from=NOON,
            prices=prices_for(BEIJING_SPANS, market_service_e4=6000),
            now=now,
        )
        path = f"/v1/stations/{station.id}/prices"
        items: list[dict[str, Any]] = (await api.get(path, params={"date": "2026-06-12"})).json()["items"]
        assert [items[0]["from_min"], *(item["to_min"] for item in items)] == [
            0, 420, 600, 720, 780, 1020, 1320, 1380, 1440,
        ]  # fmt: skip
        assert all(a["to_min"] == b["from_min"] for a, b in pairwise(items))
        assert {(i["service_e4"], i["tariff_version_id"]) for i in items if i["from_min"] < 720} == {
            (8000, str(first.id))
        }
        assert {(i["service_e4"], i["tariff_version_id"]) for i in items if i["from_min"] >= 720} == {
            (6000, str(second.id))
        }
        assert all(i["total_e4"] == i["energy_e4"] + i["service_e4"] and "free_min" in i["parking"] for i in items)

    async def test_begins_with_the_first_version_and_has_no_price_before_it(self, api: httpx.AsyncClient) -> None:
        station = await add_station()
        await publish_tariff(operator_company_id=station.operator_company_id, effective_from=NOON)
        path = f"/v1/stations/{station.id}/prices"
        items = (await api.get(path, params={"date": "2026-06-12"})).json()["items"]
        assert (items[0]["from_min"], items[-1]["to_min"]) == (720, 1440)
        before = await api.get(path, params={"date": "2026-06-11"})
        assert (before.status_code, before.json()["code"]) == (409, "no_tariff")


class TestShownPrices:
    @pytest.fixture
    async def scene(self) -> Scene:
        scene = await add_scene()
        await publish_tariff(operator_company_id=scene.company_id)
        return scene

    async def _shown(
        self, api: httpx.AsyncClient, services: Services, scene: Scene, person: Person, now: datetime
    ) -> set[Any]:
        """Which class the search, the station, its prices and its slots show this person."""
        headers = (await log_in(person, services=services, now=now)).headers
        place = scene.place.station
        where: dict[str, Any] = {"lat": place.lat, "lng": place.lng, "coord": "gcj02"}
        [found] = (await api.get("/v1/stations", params=where, headers=headers)).json()["items"]
        station = (await api.get(f"/v1/stations/{place.id}", headers=headers)).json()
        prices = (await api.get(f"/v1/stations/{place.id}/prices", headers=headers)).json()
        slots = (
            await api.get(
                f"/v1/stations/{place.id}/slots", params={"date": "2026-06-11", "power": "slow"}, headers=headers
            )
        ).json()
        assert {item["service_e4"] for item in prices["items"]} == {
            4500 if prices["user_class"] == "agreement" else 8000
        }
        return {found["user_class"], station["user_class"], prices["user_class"], slots["user_class"]}

    async def test_are_the_agreements_for_its_holder_and_its_drivers_and_the_markets_for_others(
        self, api: httpx.AsyncClient, services: Services, scene: Scene, now: datetime
    ) -> None:
        agreement_id = await db.fetchval("SELECT id FROM agreement WHERE account_id = $1", scene.alice.account_id)
        assert await self._shown(api, services, scene, ALICE, now) == {"agreement"}
        assert await self._shown(api, services, scene, CHARLIE, now) == {"market"}
        driver = await drivers.add_driver(
            account_id=scene.alice.account_id, agreement_id=agreement_id, phone=CHARLIE.phone, name="查理", now=now
        )
        assert await self._shown(api, services, scene, CHARLIE, now) == {"agreement"}
        await drivers.remove_driver(
            account_id=scene.alice.account_id, agreement_id=agreement_id, driver_id=driver.id, now=now
        )
        assert await self._shown(api, services, scene, CHARLIE, now) == {"market"}
        await db.execute("UPDATE agreement SET term = tstzrange(lower(term), $1)", now)
        assert await self._shown(api, services, scene, ALICE, now) == {"market"}
