"""An operator takes a connector out of service over HTTP: what is booked there moves at once, however far ahead."""

from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest

from backend.core import db
from backend.core.services import Services
from backend.reservations.rules.words import ReservationView
from backend.reservations.service import bookings, moving
from tests.cast import LI, ZHOU
from tests.factories.accounts import log_in
from tests.factories.charging import add_charging_scene, idle
from tests.factories.reservations import Scene, book
from tests.factories.stations import Gun, add_gun
from tests.jobs import run_due_jobs

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


@pytest.fixture
async def scene(database: Any, now: datetime) -> Scene:
    return await add_charging_scene(now=now)


@pytest.fixture
async def spare(scene: Scene, now: datetime) -> Gun:
    gun = await add_gun(station_id=scene.place.station.id, kind="ac")
    await idle(gun, now=now)
    return gun


@pytest.fixture
async def li(scene: Scene, services: Services, now: datetime) -> dict[str, str]:
    return (await log_in(LI, services=services, now=now)).headers


async def again(booked: ReservationView) -> ReservationView:
    found = await bookings.find_reservation(reservation_id=booked.id)
    assert found is not None
    return found


async def trace(booked: ReservationView) -> list[tuple[str, str]]:
    return [(move.outcome, move.reason) for move in await moving.list_moves(reservation_id=booked.id)]


async def let_run(now: datetime) -> None:
    for feature in ("reservations.", "waiting.", "reservations."):
        await run_due_jobs(now=now, only=feature)


async def put(api: httpx.AsyncClient, scene: Scene, who: dict[str, str], *, in_service: bool) -> httpx.Response:
    path = f"/v1/operator/stations/{scene.place.station.id}/connectors/{scene.place.ac.connector.id}/service"
    return await api.put(path, json={"in_service": in_service}, headers=who)


class TestAConnectorTakenOutOfService:
    async def test_moves_near_and_far_bookings_tells_and_leaves_a_trace(
        self, api: httpx.AsyncClient, scene: Scene, spare: Gun, li: dict[str, str], now: datetime
    ) -> None:
        ac = scene.place.ac.connector.id
        near = await book(scene.alice, scene.place, now=now, starts_at=now + HOUR, connector_id=ac)
        far = await book(scene.bob, scene.place, now=now, starts_at=now + 5 * DAY, connector_id=ac)
        assert (await put(api, scene, li, in_service=False)).status_code == 200
        await let_run(now)
        for booked in (near, far):
            assert (await again(booked)).connector_id == spare.connector.id
            assert await trace(booked) == [("moved", "out_of_service")]
            told = await db.fetchval(
                "SELECT count(*) FROM inbox_message WHERE recipient_id = $1 AND template = 'reservation_relocated'",
                booked.account_id,
            )
            assert told == 1

    async def test_hands_over_to_the_fallback_plan_who_is_near_and_tries_the_far_one_again(
        self, api: httpx.AsyncClient, scene: Scene, li: dict[str, str], now: datetime
    ) -> None:
        near = await book(scene.alice, scene.place, now=now, starts_at=now + HOUR)
        far = await book(scene.bob, scene.place, now=now, starts_at=now + 5 * HOUR)
        await put(api, scene, li, in_service=False)
        await let_run(now)
        assert (await trace(near))[0] == ("stranded", "out_of_service")
        plan = await db.fetchrow("SELECT cause, status FROM fallback_plan WHERE reservation_id = $1", near.id)
        assert plan is not None
        assert plan["cause"] == "stranded"
        assert await trace(far) == []
        spare = await add_gun(station_id=scene.place.station.id, kind="ac")
        await idle(spare, now=now + HOUR)
        await run_due_jobs(now=now + HOUR, only="reservations.outage")
        assert (await again(far)).connector_id == spare.connector.id

    async def test_serves_again_when_it_is_put_back_and_the_same_told_twice_is_told_once(
        self, api: httpx.AsyncClient, scene: Scene, li: dict[str, str], now: datetime
    ) -> None:
        for in_service in (False, False, True, True):
            assert (await put(api, scene, li, in_service=in_service)).status_code == 200
            await let_run(now)
        told = await db.fetchval("SELECT count(*) FROM domain_event WHERE name = 'ConnectorServiceChanged'")
        assert told == 2
        assert await db.fetchval("SELECT count(*) FROM connector_outage WHERE ended_at IS NULL") == 0

    async def test_is_not_another_companys_to_take(
        self, api: httpx.AsyncClient, scene: Scene, services: Services, now: datetime
    ) -> None:
        zhou = (await log_in(ZHOU, services=services, now=now)).headers
        assert (await put(api, scene, zhou, in_service=False)).status_code == 404
