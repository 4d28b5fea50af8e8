"""A broken promise comes off the next bill: granted, shown, used on a bill, exported and voided."""

from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest

from backend.accounts.service import logins
from backend.charging import service as charging
from backend.charging.service import credits
from backend.core import db
from backend.core.auth import Tokens
from backend.core.services import Services
from backend.stations import service as stations
from backend.waiting.service import fallback
from tests.factories.charging import add_charging_scene, charge, leave, order_of
from tests.factories.reservations import Scene

MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)


@pytest.fixture
async def scene(database: Any, now: datetime) -> Scene:
    return await add_charging_scene(now=now)


@pytest.fixture
async def alice(scene: Scene, services: Services, now: datetime) -> dict[str, str]:
    pair = await logins.open_login(
        account_id=scene.alice.account_id, method="sms", tokens=services.get(Tokens), now=now
    )
    return {"Authorization": f"Bearer {pair.access_token}"}


async def grant(scene: Scene, now: datetime, reference: str = "arrival:1") -> None:
    station = await stations.get_station(station_id=scene.place.station.id)
    async with db.transaction():
        assert await fallback.grant(account_id=scene.alice.account_id, station=station, reference=reference, now=now)


async def pay_nothing_yet(scene: Scene, services: Services, now: datetime, minutes: int = 60) -> Any:
    """Let alice charge and leave; returns the closed order."""
    session, end, meter = await charge(
        scene.alice, scene.place.ac, start=now, minutes=minutes, wh_per_sample=117, services=services
    )
    await leave(scene.place.ac, now=end + MINUTE, meter_wh=meter, services=services)
    return await order_of(session.id)


class TestACredit:
    async def test_comes_off_the_next_bill_once(
        self, api: httpx.AsyncClient, scene: Scene, alice: dict[str, str], services: Services, now: datetime
    ) -> None:
        await grant(scene, now)
        (shown,) = (await api.get("/v1/me/credits", headers=alice)).json()["items"]
        assert (shown["amount_fen"], shown["remaining_fen"]) == (fallback.COMPENSATION_FEN,) * 2
        order = await pay_nothing_yet(scene, services, now)
        gross = order.energy_fee_fen + order.service_fee_fen + order.overstay_fee_fen + order.parking_fee_fen
        assert gross > fallback.COMPENSATION_FEN
        assert order.discount_fen == fallback.COMPENSATION_FEN
        assert order.total_fen == gross - fallback.COMPENSATION_FEN
        bill = (await api.get(f"/v1/orders/{order.id}", headers=alice)).json()
        assert (bill["discount_fen"], bill["total_fen"]) == (order.discount_fen, order.total_fen)
        assert (await api.get("/v1/me/credits", headers=alice)).json()["items"] == []

    async def test_never_makes_a_bill_negative_and_keeps_the_rest(
        self, scene: Scene, services: Services, now: datetime
    ) -> None:
        await grant(scene, now)
        order = await pay_nothing_yet(scene, services, now, minutes=2)
        gross = order.energy_fee_fen + order.service_fee_fen
        assert 0 < gross < fallback.COMPENSATION_FEN
        assert (order.total_fen, order.discount_fen, order.status) == (0, gross, "free")
        (left,) = await credits.list_credits(account_id=scene.alice.account_id, now=now)
        assert left.remaining_fen == fallback.COMPENSATION_FEN - gross

    async def test_that_has_expired_comes_off_nothing(self, scene: Scene, services: Services, now: datetime) -> None:
        await grant(scene, now - fallback.COMPENSATION_LASTS - DAY)
        assert (await pay_nothing_yet(scene, services, now)).discount_fen == 0

    async def test_is_granted_once_for_one_wait(self, scene: Scene, now: datetime) -> None:
        await grant(scene, now)
        station = await stations.get_station(station_id=scene.place.station.id)
        async with db.transaction():
            again = await fallback.grant(
                account_id=scene.alice.account_id, station=station, reference="arrival:1", now=now
            )
        assert again is False

    async def test_is_exported_and_void_once_the_person_is_forgotten(self, scene: Scene, now: datetime) -> None:
        await grant(scene, now)
        (told,) = (await charging.export_personal_data(account_id=scene.alice.account_id))["credits"]
        assert told["remaining_fen"] == fallback.COMPENSATION_FEN
        await charging.erase_personal_data(account_id=scene.alice.account_id, now=now)
        assert await credits.list_credits(account_id=scene.alice.account_id, now=now) == []
