"""A place in the queue live over WebSocket, and who may join from where, over HTTP."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import httpx
import msgspec
import pytest

from backend.accounts.service import logins
from backend.core import db
from backend.core.auth import Tickets, Tokens
from backend.core.live import Live
from backend.core.services import Services
from backend.core.units import Point
from backend.stations import service as stations
from backend.waiting.live import channel_of
from backend.waiting.service import queue
from tests.discovery.test_live_api import scope_of
from tests.factories.agreements import add_home
from tests.factories.charging import add_charging_scene, idle
from tests.factories.reservations import Resident, Scene, approach
from tests.fakes import FixedClock
from tests.jobs import run_due_jobs

MINUTE = timedelta(minutes=1)
KILOMETRE = 0.009
"""Degrees of latitude."""


@pytest.fixture
async def scene(database: Any, now: datetime) -> Scene:
    return await add_charging_scene(now=now)


async def token_of(person: Resident, services: Services, now: datetime) -> str:
    pair = await logins.open_login(account_id=person.account_id, method="sms", tokens=services.get(Tokens), now=now)
    return pair.access_token


async def headers_of(person: Resident, services: Services, now: datetime) -> dict[str, str]:
    return {"Authorization": f"Bearer {await token_of(person, services, now)}"}


async def take_all(scene: Scene, now: datetime) -> None:
    """Let every gun be held by somebody else for an hour."""
    for number, gun in enumerate((scene.place.ac, scene.place.dc, scene.place.public)):
        await db.execute(
            "INSERT INTO connector_claim (id, connector_id, station_id, plate_hash, kind, starts_at, ends_at,"
            " held_until, created_at) VALUES (gen_random_uuid(), $1, $2, $3, 'walk_up', $4, $5, $5, $4)",
            gun.connector.id,
            scene.place.station.id,
            bytes([number]) * 32,
            now,
            now + timedelta(hours=1),
        )


async def join(person: Resident, scene: Scene, now: datetime) -> UUID:
    view = await queue.join(
        account_id=person.account_id,
        station_id=scene.place.station.id,
        vehicle_id=person.vehicle.id,
        power=None,
        position=Point(scene.place.station.lat, scene.place.station.lng),
        now=now,
    )
    return view.entry.id


async def tell(scene: Scene, services: Services) -> None:
    """Publish what the job of the event publishes; the listener reads on the test's one connection, so nothing else
    runs beside it.
    """
    await services.get(Live).publish(channel_of(scene.place.station.id), {"type": "queue"})


Next = Callable[[], Any]


@asynccontextmanager
async def opened(
    api: httpx.AsyncClient, entry_id: UUID, person: Resident, services: Services, now: datetime
) -> AsyncIterator[Next]:
    """Open a place live and give a way to read the next message that is no ping."""
    principal = services.get(Tokens).read(await token_of(person, services, now))
    ticket = await services.get(Tickets).issue(principal)
    app = api._transport.app  # type: ignore[attr-defined]
    sent: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    incoming: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    incoming.put_nowait({"type": "websocket.connect"})
    running = asyncio.create_task(
        app(scope_of("websocket", f"/v1/queue/{entry_id}/live", ticket), incoming.get, sent.put)
    )

    async def following() -> Any:
        while True:
            message = await sent.get()
            if message["type"] != "websocket.send":
                return message
            content = msgspec.json.decode(str(message["text"]))
            if content["type"] != "ping":
                return content

    async with asyncio.timeout(20):
        try:
            yield following
        finally:
            incoming.put_nowait({"type": "websocket.disconnect", "code": 1000})
            await running


class TestAPlaceInTheQueue:
    async def test_moves_up_live_is_offered_a_connector_and_ends(
        self, api: httpx.AsyncClient, scene: Scene, services: Services, clock: FixedClock, now: datetime
    ) -> None:
        await take_all(scene, now)
        first, second = await join(scene.alice, scene, now), await join(scene.bob, scene, now)
        async with opened(api, second, scene.bob, services, now) as following:
            assert (await following())["type"] == "websocket.accept"
            snapshot = await following()
            assert (snapshot["type"], snapshot["entry"]["position"]) == ("snapshot", 2)
            assert snapshot["entry"]["expected_wait_s"] > 0
            await queue.leave(account_id=scene.alice.account_id, entry_id=first, now=now)
            await tell(scene, services)
            change = await following()
            assert (change["type"], change["entry"]["position"]) == ("change", 1)
            await db.execute("DELETE FROM connector_claim WHERE connector_id = $1", scene.place.ac.connector.id)
            await idle(scene.place.ac, now=now)
            await queue.offer_free(station_id=scene.place.station.id, now=now)
            await tell(scene, services)
            offer = await following()
            assert (offer["type"], offer["entry"]["status"]) == ("offer", "offered")
            assert offer["entry"]["offer"]["connector_id"] == str(scene.place.ac.connector.id)
            await queue.leave(account_id=scene.bob.account_id, entry_id=second, now=now)
            await tell(scene, services)
            assert (await following())["entry"]["status"] == "left"
            assert (await following())["type"] == "websocket.close"

    async def test_is_told_of_by_a_job_for_every_change(
        self, scene: Scene, services: Services, valkey: Any, now: datetime
    ) -> None:
        await take_all(scene, now)
        subscription = await services.get(Live).subscribed(channel_of(scene.place.station.id))
        entry_id = await join(scene.alice, scene, now)
        await run_due_jobs(now=now, services=services, only="waiting.show_queue")
        async with asyncio.timeout(5):
            assert msgspec.json.decode((await anext(subscription))[1]) == {"type": "queue"}
        await queue.leave(account_id=scene.alice.account_id, entry_id=entry_id, now=now)
        assert "waiting.show_queue" in await run_due_jobs(now=now, services=services, only="waiting.show_queue")
        subscription.close()

    async def test_of_another_is_refused_at_the_handshake(
        self, api: httpx.AsyncClient, scene: Scene, services: Services, now: datetime
    ) -> None:
        entry_id = await join(scene.alice, scene, now)
        async with opened(api, entry_id, scene.bob, services, now) as following:
            assert (await following())["type"] == "websocket.close"

    async def test_is_on_site_once_the_camera_sees_the_car(self, scene: Scene, now: datetime) -> None:
        await take_all(scene, now)
        view = await queue.join(
            account_id=scene.alice.account_id,
            station_id=scene.place.station.id,
            vehicle_id=scene.alice.vehicle.id,
            power=None,
            position=Point(scene.place.station.lat + KILOMETRE, scene.place.station.lng),
            now=now,
        )
        assert view.entry.on_site_since is None
        await approach(scene.alice, scene.place, now=now + 3 * MINUTE)
        await run_due_jobs(now=now + 3 * MINUTE, only="waiting.note_approach")
        seen = await queue.read(account_id=scene.alice.account_id, entry_id=view.entry.id, now=now)
        assert seen.entry.on_site_since == now + 3 * MINUTE
        assert await db.fetchval("SELECT count(*) FROM pgqueuer WHERE entrypoint = 'waiting.watch_wait'") == 1


class TestJoining:
    @pytest.fixture
    async def charlie(self, scene: Scene, services: Services, now: datetime) -> dict[str, str]:
        return await headers_of(scene.charlie, services, now)

    async def ask(self, api: httpx.AsyncClient, scene: Scene, who: dict[str, str], **place: Any) -> httpx.Response:
        wish = {"station_id": str(scene.place.station.id), "vehicle_id": str(scene.charlie.vehicle.id)}
        return await api.post("/v1/queue", json={**wish, **place}, headers=who)

    @pytest.mark.parametrize(("kilometres", "status"), [(0.05, 201), (1.9, 201), (2.1, 409), (300, 409)])
    async def test_is_for_cars_within_two_kilometres(
        self, api: httpx.AsyncClient, scene: Scene, charlie: dict[str, str], kilometres: float, status: int
    ) -> None:
        lat = scene.place.station.lat - kilometres * KILOMETRE
        answer = await self.ask(api, scene, charlie, lat=lat, lng=scene.place.station.lng, coord="gcj02")
        assert answer.status_code == status
        if status == 409:
            assert answer.json()["code"] == "too_far_to_queue"
            assert answer.json()["limit_m"] == 2000
        else:
            assert answer.json()["on_site"] is (kilometres < 0.1)

    async def test_is_refused_where_nothing_tells_the_place(
        self, api: httpx.AsyncClient, scene: Scene, charlie: dict[str, str]
    ) -> None:
        answer = await self.ask(api, scene, charlie)
        assert (answer.status_code, answer.json()["code"]) == (422, "place_unknown")

    async def test_takes_the_code_of_a_connector_for_being_on_site(
        self, api: httpx.AsyncClient, scene: Scene, charlie: dict[str, str]
    ) -> None:
        answer = await self.ask(api, scene, charlie, qr=scene.place.public.connector.qr)
        assert (answer.status_code, answer.json()["on_site"]) == (201, True)
        wrong = await self.ask(api, scene, charlie, qr="NOWHERE-1")
        assert wrong.status_code == 404

    async def test_takes_the_approach_cameras_word(
        self, api: httpx.AsyncClient, scene: Scene, charlie: dict[str, str], now: datetime
    ) -> None:
        await approach(scene.charlie, scene.place, now=now)
        await run_due_jobs(now=now, only="waiting.")
        answer = await self.ask(api, scene, charlie)
        assert (answer.status_code, answer.json()["on_site"]) == (201, True)

    @pytest.mark.parametrize(("kilometres", "status"), [(0.4, 201), (5, 409)])
    async def test_takes_the_home_compound_where_no_position_is_sent(
        self, api: httpx.AsyncClient, scene: Scene, charlie: dict[str, str], kilometres: float, status: int
    ) -> None:
        lat = scene.place.station.lat + kilometres * KILOMETRE
        await add_home(account_id=scene.charlie.account_id, lat=lat, lng=scene.place.station.lng)
        assert (await self.ask(api, scene, charlie)).status_code == status

    async def test_is_refused_outside_the_opening_hours(
        self, api: httpx.AsyncClient, scene: Scene, charlie: dict[str, str], now: datetime
    ) -> None:
        await db.execute(
            'UPDATE station SET settings = settings || \'{"open_from_min": 720, "open_to_min": 1200}\' WHERE id = $1',
            scene.place.station.id,
        )
        assert (await stations.get_station(station_id=scene.place.station.id)).settings.open_from_min == 720
        answer = await self.ask(api, scene, charlie, qr=scene.place.public.connector.qr)
        assert (answer.status_code, answer.json()["code"]) == (409, "station_closed")
        assert "12:00" in answer.json()["detail"]
        shown = (await api.get(f"/v1/stations/{scene.place.station.id}")).json()
        assert shown["opening_hours"] == "12:00-20:00"
