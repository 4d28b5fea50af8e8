"""The search as clients see it."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx
import pytest

from backend.core import db
from backend.core.ids import new_id
from backend.core.services import Services
from backend.reservations.service import claims
from backend.stations import service as stations
from backend.stations.service.imports import import_stations
from tests.cast import ALICE
from tests.factories.accounts import log_in
from tests.factories.stations import BEIJING_LAT, BEIJING_LNG, DemoStation, add_demo_station, add_station
from tests.factories.tariffs import publish_tariff

HERE = {"lat": BEIJING_LAT, "lng": BEIJING_LNG, "coord": "gcj02"}


async def report(demo: DemoStation, **statuses: str) -> None:
    """Let the station's guns (ac, dc, public) have spoken."""
    for name, status in statuses.items():
        gun = getattr(demo, name)
        await db.execute(
            "INSERT INTO connector_state (connector_id, device_id, station_id, number, status, reported_status,"
            " status_boot, status_seq, status_since) VALUES ($1, $2, $3, 1, $4, $4, 1, 1, $5)"
            " ON CONFLICT (connector_id) DO UPDATE SET status = EXCLUDED.status",
            gun.connector.id,
            gun.charger.id,
            demo.station.id,
            status,
            datetime(2026, 6, 10, 1, 0, tzinfo=UTC),
        )


async def search(api: httpx.AsyncClient, headers: dict[str, str] | None = None, **query: Any) -> dict[str, Any]:
    answer = await api.get("/v1/stations", params={**HERE, **query}, headers=headers)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def zones(item: dict[str, Any]) -> tuple[tuple[int, int, int], tuple[int, int, int]]:
    resident, public = item["connectors"]["resident"], item["connectors"]["public"]
    return (
        (resident["total"], resident["free"], resident["unknown"]),
        (public["total"], public["free"], public["unknown"]),
    )


class TestSearchStations:
    async def test_answers_with_the_fields_that_are_fixed(self, api: httpx.AsyncClient) -> None:
        demo = await add_demo_station()
        await publish_tariff(operator_company_id=demo.station.operator_company_id)
        await report(demo, ac="available", dc="charging")
        (item,) = (await search(api))["items"]
        assert item["id"] == str(demo.station.id)
        assert (item["name"], item["pilot"], item["distance_m"]) == (demo.station.name, True, 0)
        assert zones(item) == ((2, 1, 0), (1, 0, 1))
        assert item["wait_s"] == 0
        assert item["user_class"] == "market"
        price = item["price"]
        assert (price["band"], price["energy_e4"], price["service_e4"], price["agreement_service_e4"]) == (
            "peak",
            10_737,
            8000,
            4500,
        )
        assert price["until"] == "2026-06-10T05:00:00Z"
        assert "text_zh" in price["parking"]

    async def test_takes_wgs84_points_for_where_they_are(self, api: httpx.AsyncClient) -> None:
        await add_demo_station()
        gcj = (await search(api))["items"][0]["distance_m"]
        wgs = (await search(api, coord="wgs84", radius_m=1500))["items"][0]["distance_m"]
        assert gcj == 0
        assert 400 < wgs < 700

    async def test_never_widens_the_radius_and_names_the_next_station(self, api: httpx.AsyncClient) -> None:
        far = await add_station(lat=BEIJING_LAT + 0.0055)
        await add_station(lat=BEIJING_LAT + 0.05)
        found = await search(api)
        assert found["items"] == []
        assert (found["nearest_beyond"]["id"], found["nearest_beyond"]["distance_m"]) == (str(far.id), 612)
        assert (await search(api, radius_m=612))["nearest_beyond"] is None

    async def test_has_nothing_to_name_where_there_is_no_station_at_all(self, api: httpx.AsyncClient) -> None:
        assert await search(api) == {
            "items": [],
            "next": None,
            "nearest_beyond": None,
            "measured_from": "point",
            "coord": "gcj02",
        }

    async def test_takes_a_claimed_connector_for_not_free_from_start_to_end(
        self, api: httpx.AsyncClient, now: datetime
    ) -> None:
        demo = await add_demo_station()
        await report(demo, ac="available", dc="available", public="available")
        for gun, starts in ((demo.ac, now), (demo.dc, now + timedelta(minutes=1))):
            await claims.claim(
                connector_id=gun.connector.id,
                plate_hash=gun.connector.id.bytes * 2,
                starts_at=starts,
                ends_at=starts + timedelta(hours=1),
                kind="booking",
                reference_id=new_id(),
                now=now,
            )
        (item,) = (await search(api))["items"]
        assert zones(item) == ((2, 1, 0), (1, 1, 0))

    async def test_calls_nothing_free_while_an_incident_holds_the_station(
        self, api: httpx.AsyncClient, now: datetime
    ) -> None:
        demo = await add_demo_station()
        await report(demo, ac="available", dc="available", public="available")
        await stations.set_safety_hold(station_id=demo.station.id, incident_id=new_id(), now=now)
        (item,) = (await search(api))["items"]
        assert item["safety_hold"] is True
        assert zones(item) == ((2, 0, 0), (1, 0, 0))
        assert item["wait_s"] is None

    async def test_calls_a_station_without_devices_unknown_and_prices_it_only_when_published(
        self, api: httpx.AsyncClient, now: datetime
    ) -> None:
        row = f"7,{BEIJING_LAT},{BEIJING_LNG},1,2\n"
        await import_stations(file=("station_id,lat,lng,fast_chargers,slow_chargers\n" + row).encode(), now=now)
        (item,) = (await search(api))["items"]
        assert (item["pilot"], item["price"], item["wait_s"]) == (False, None, None)
        assert zones(item) == ((0, 0, 0), (3, 0, 3))

    @pytest.mark.parametrize(
        ("query", "found"),
        [
            ({}, 2),
            ({"zone": "resident"}, 1),
            ({"zone": "public"}, 1),
            ({"power": "slow"}, 1),
            ({"free": "true"}, 1),
            ({"free": "true", "power": "fast"}, 0),
            ({"free": "true", "power": "slow"}, 1),
            ({"free": "true", "zone": "public"}, 0),
        ],
    )
    async def test_filters(self, api: httpx.AsyncClient, query: dict[str, str], found: int) -> None:
        await add_station()
        demo = await add_demo_station()
        await report(demo, ac="available", dc="charging", public="faulted")
        answer = await search(api, **query)
        assert len(answer["items"]) == found

    async def test_pages_without_losing_or_repeating_stations_that_share_a_place(self, api: httpx.AsyncClient) -> None:
        ids = {str((await add_station(lat=BEIJING_LAT + (n % 2) * 0.001)).id) for n in range(7)}
        seen: list[str] = []
        cursor = None
        while True:
            page = await search(api, limit=2, **({} if cursor is None else {"cursor": cursor}))
            seen += [item["id"] for item in page["items"]]
            cursor = page["next"]
            if cursor is None:
                break
        assert len(seen) == 7
        assert set(seen) == ids

    async def test_answers_304_until_something_changes(self, api: httpx.AsyncClient) -> None:
        demo = await add_demo_station()
        await report(demo, ac="available")
        first = await api.get("/v1/stations", params=HERE)
        again = await api.get("/v1/stations", params=HERE, headers={"If-None-Match": first.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
        await report(demo, ac="charging")
        third = await api.get("/v1/stations", params=HERE, headers={"If-None-Match": first.headers["etag"]})
        assert third.status_code == 200

    @pytest.mark.parametrize(
        ("query", "status", "code"),
        [
            ({"lat": 39.9, "lng": 116.4}, 422, "coord_missing"),
            ({"lat": 39.9, "lng": 116.4, "coord": "bd09"}, 422, "coord_missing"),
            ({"lat": 39.9, "coord": "gcj02"}, 422, "position_invalid"),
            ({"lat": "nan", "lng": 116.4, "coord": "gcj02"}, 422, "position_invalid"),
            ({"lat": 399, "lng": 116.4, "coord": "gcj02"}, 422, "position_invalid"),
            ({"near": "home"}, 401, "unauthenticated"),
            ({**HERE, "cursor": "!"}, 422, "cursor_invalid"),
        ],
    )
    async def test_says_what_is_wrong_with_a_question(
        self, api: httpx.AsyncClient, query: dict[str, Any], status: int, code: str
    ) -> None:
        answer = await api.get("/v1/stations", params=query)
        assert (answer.status_code, answer.json()["code"]) == (status, code)

    @pytest.mark.parametrize("query", [{"radius_m": 0}, {"radius_m": 5001}, {"zone": "both"}, {"limit": 0}])
    async def test_refuses_what_is_out_of_bounds(self, api: httpx.AsyncClient, query: dict[str, Any]) -> None:
        answer = await api.get("/v1/stations", params={**HERE, **query})
        assert 400 <= answer.status_code <= 422
        assert answer.headers["content-type"].startswith("application/problem+json")

    async def test_searches_near_home(self, api: httpx.AsyncClient, services: Services, now: datetime) -> None:
        demo = await add_demo_station()
        alice = await log_in(ALICE, services=services, now=now)
        answer = await api.get("/v1/stations", params={"near": "home"}, headers=alice.headers)
        assert (answer.status_code, answer.json()["code"]) == (409, "home_unknown")
        community_id = new_id()
        await db.execute(
            "INSERT INTO community (id, name, district, lat, lng, source, updated_at)"
            " VALUES ($1, '东直门内北小街', '东城区', $2, $3, 'test', $4)",
            community_id,
            BEIJING_LAT,
            BEIJING_LNG,
            now,
        )
        await stations.set_home(account_id=alice.account_id, community_id=community_id, now=now)
        found = await api.get("/v1/stations", params={"near": "home"}, headers=alice.headers)
        assert found.json()["measured_from"] == "community_centre"
        assert [item["id"] for item in found.json()["items"]] == [str(demo.station.id)]


class TestOneStation:
    async def test_is_shown_with_its_company(self, api: httpx.AsyncClient) -> None:
        demo = await add_demo_station()
        body = (await api.get(f"/v1/stations/{demo.station.id}")).json()
        assert (body["operator"], body["code"]) == ("邻里示范", demo.station.code)
        assert zones(body) == ((2, 0, 2), (1, 0, 1))

    async def test_lists_its_connectors(self, api: httpx.AsyncClient) -> None:
        demo = await add_demo_station()
        await report(demo, ac="available", dc="charging")
        items = (await api.get(f"/v1/stations/{demo.station.id}/connectors")).json()["items"]
        by_id = {UUID(item["id"]): item for item in items}
        ac, dc, public = (by_id[gun.connector.id] for gun in (demo.ac, demo.dc, demo.public))
        assert (ac["status"], ac["free"], ac["power"], ac["zone"], ac["bays"]) == (
            "available",
            True,
            "slow",
            "resident",
            [demo.ac.bay.code],
        )
        assert (dc["status"], dc["free"], dc["power"]) == ("charging", False, "fast")
        assert (public["status"], public["free"], public["status_since"]) == ("unknown", False, None)

    @pytest.mark.parametrize("tail", ["", "/connectors", "/prices"])
    async def test_is_a_404_when_there_is_none(self, api: httpx.AsyncClient, tail: str) -> None:
        answer = await api.get(f"/v1/stations/{new_id()}{tail}")
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")

    async def test_shows_the_bands_of_a_day(self, api: httpx.AsyncClient) -> None:
        demo = await add_demo_station()
        assert (await api.get(f"/v1/stations/{demo.station.id}/prices")).json()["code"] == "no_tariff"
        await publish_tariff(operator_company_id=demo.station.operator_company_id)
        body = (await api.get(f"/v1/stations/{demo.station.id}/prices", params={"date": "2026-06-11"})).json()
        assert [item["band"] for item in body["items"]] == [
            "valley",
            "flat",
            "peak",
            "flat",
            "peak",
            "flat",
            "valley",
        ]
        assert body["items"][0]["starts_at"] == "2026-06-10T16:00:00Z"
        assert body["items"][-1]["ends_at"] == "2026-06-11T16:00:00Z"
        assert {item["service_e4"] for item in body["items"]} == {8000}
        assert {item["agreement_service_e4"] for item in body["items"]} == {4500}
