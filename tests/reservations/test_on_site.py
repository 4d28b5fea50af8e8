"""What people on site do for residents, over HTTP: each with a reason, on record, at the own stations only."""

from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest

from backend.accounts.service import logins
from backend.core import db
from backend.core.auth import Tokens
from backend.core.services import Services
from backend.reservations.service import bookings
from tests.cast import WANG, ZHAO, ZHOU
from tests.factories.accounts import log_in
from tests.factories.bays import camera_says, command_names, lock_says
from tests.factories.charging import add_charging_scene, idle
from tests.factories.reservations import Scene, book
from tests.factories.stations import add_gun

MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
WHY = {"reason": "camera is dirty"}


@pytest.fixture
async def scene(database: Any, now: datetime) -> Scene:
    return await add_charging_scene(now=now)


@pytest.fixture
async def alice(scene: Scene, services: Services, now: datetime) -> dict[str, str]:
    pair = await logins.open_login(
        account_id=scene.alice.account_id, method="sms", tokens=services.get(Tokens), now=now
    )
    return {"Authorization": f"Bearer {pair.access_token}"}


@pytest.fixture
async def wang(scene: Scene, services: Services, now: datetime) -> dict[str, str]:
    return (await log_in(WANG, services=services, now=now)).headers


@pytest.fixture
async def zhou(scene: Scene, services: Services, now: datetime) -> dict[str, str]:
    return (await log_in(ZHOU, services=services, now=now)).headers


async def recorded() -> list[tuple[str, str]]:
    rows = await db.fetch("SELECT action, detail ->> 'reason' AS reason FROM audit_entry ORDER BY id")
    return [(row["action"], row["reason"]) for row in rows if row["reason"]]


class TestAGuard:
    async def test_lowers_a_lock(
        self, api: httpx.AsyncClient, scene: Scene, wang: dict[str, str], now: datetime
    ) -> None:
        await lock_says(scene.place.ac, now=now, position="up")
        answer = await api.post(f"/v1/staff/bays/{scene.place.ac.bay.id}/lower", json=WHY, headers=wang)
        assert answer.status_code == 202
        assert await command_names(scene.place.ac) == ["lower"]
        assert await recorded() == [("bay.lowered", WHY["reason"])]

    async def test_moves_a_booking_and_is_refused_where_nothing_is_free(
        self, api: httpx.AsyncClient, scene: Scene, wang: dict[str, str], now: datetime
    ) -> None:
        booked = await book(scene.alice, scene.place, now=now, starts_at=now + HOUR)
        path = f"/v1/staff/reservations/{booked.id}/move"
        refused = await api.post(path, json=WHY, headers=wang)
        assert (refused.status_code, refused.json()["code"]) == (409, "no_place_to_move")
        spare = await add_gun(station_id=scene.place.station.id, kind="ac")
        await idle(spare, now=now)
        moved = await api.post(path, json=WHY, headers=wang)
        assert moved.json()["connector_id"] == str(spare.connector.id)
        assert await recorded() == [("reservation.moved", WHY["reason"])]

    async def test_checks_a_resident_in(
        self, api: httpx.AsyncClient, scene: Scene, wang: dict[str, str], now: datetime
    ) -> None:
        booked = await book(scene.alice, scene.place, now=now, starts_at=now + 15 * MINUTE)
        answer = await api.post(f"/v1/staff/reservations/{booked.id}/check-in", json=WHY, headers=wang)
        assert answer.json()["status"] == "checked_in"
        seen = await bookings.get_reservation(account_id=booked.account_id, reservation_id=booked.id)
        assert seen.checked_in_by == "staff"

    async def test_lifts_a_suspension_that_was_appealed(
        self,
        api: httpx.AsyncClient,
        scene: Scene,
        alice: dict[str, str],
        wang: dict[str, str],
        services: Services,
        now: datetime,
    ) -> None:
        for day in range(3):
            at = now - timedelta(days=3 - day)
            booked = await book(scene.alice, scene.place, now=at, starts_at=at + HOUR)
            await bookings.lapse(reservation_id=booked.id, now=booked.hold_until)
        mine = await api.get("/v1/me/suspension", headers=alice)
        assert mine.status_code == 200
        for status in (201, 409):
            answer = await api.post("/v1/me/suspension/appeal", json={"text": "The gate was shut."}, headers=alice)
            assert answer.status_code == status
        assert b"gate" not in await db.fetchval("SELECT text_cipher FROM suspension_appeal")
        zhao = (await log_in(ZHAO, services=services, now=now)).headers
        (seen,) = (await api.get("/v1/staff/suspensions", headers=wang)).json()["items"]
        assert (seen["appeal_text"], seen["no_shows"]) == (None, 3), "guards do not read appeals"
        (listed,) = (await api.get("/v1/staff/suspensions", headers=zhao)).json()["items"]
        assert listed["appealed_at"] is not None
        assert (listed["appeal_text"], listed["no_shows"]) == ("The gate was shut.", 3)
        assert "appeal_text" not in (await api.get("/v1/me/suspension", headers=alice)).json()
        path = f"/v1/staff/suspensions/{listed['id']}/decide"
        upheld = await api.post(path, json={"reason": "it was open", "lift": False}, headers=wang)
        assert upheld.status_code == 403
        assert (await api.post(path, json={"reason": "it was shut"}, headers=wang)).status_code == 200
        assert ("suspension.lifted", "it was shut") in await recorded()
        assert (await api.get("/v1/me/suspension", headers=alice)).status_code == 404
        assert (await api.post(path, json={"reason": "it was shut"}, headers=zhao)).status_code == 404
        await book(scene.alice, scene.place, now=now, starts_at=now + HOUR)

    async def test_needs_a_reason(
        self, api: httpx.AsyncClient, scene: Scene, wang: dict[str, str], now: datetime
    ) -> None:
        answer = await api.post(f"/v1/staff/bays/{scene.place.ac.bay.id}/lower", json={"reason": ""}, headers=wang)
        assert answer.status_code == 422

    async def test_of_another_company_sees_nothing_there(
        self, api: httpx.AsyncClient, scene: Scene, zhou: dict[str, str], alice: dict[str, str], now: datetime
    ) -> None:
        booked = await book(scene.alice, scene.place, now=now, starts_at=now + HOUR)
        for path in (f"bays/{scene.place.ac.bay.id}/lower", f"reservations/{booked.id}/move"):
            assert (await api.post(f"/v1/staff/{path}", json=WHY, headers=zhou)).status_code == 404
            assert (await api.post(f"/v1/staff/{path}", json=WHY, headers=alice)).status_code == 403


class TestAResident:
    async def test_reports_a_blocked_bay_and_gets_another(
        self, api: httpx.AsyncClient, scene: Scene, alice: dict[str, str], wang: dict[str, str], now: datetime
    ) -> None:
        spare = await add_gun(station_id=scene.place.station.id, kind="ac")
        await idle(spare, now=now)
        booked = await book(scene.alice, scene.place, now=now, starts_at=now, connector_id=scene.place.ac.connector.id)
        await camera_says(scene.place.ac, "bay_occupied", now=now, camera=scene.place.bay_camera)
        answer = await api.post(f"/v1/reservations/{booked.id}/report-blocked", headers=alice)
        assert answer.json()["connector_id"] == str(spare.connector.id)
        assert await db.fetchval("SELECT reservation_id FROM bay_report") == booked.id
