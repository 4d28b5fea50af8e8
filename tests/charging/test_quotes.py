"""A quote says what the bill will say when the car takes what was assumed."""

from datetime import UTC, datetime, timedelta

import httpx
import pytest

from backend.charging.service.quote import quote
from backend.core.services import Services
from tests.cast import ALICE, BOB
from tests.factories.accounts import log_in
from tests.factories.charging import add_charging_scene, charge, order_of

NOON = datetime(2026, 6, 10, 4, 50, tzinfo=UTC)
"""12:50 in Beijing: ten minutes before peak becomes flat."""


@pytest.fixture
def now() -> datetime:
    """Ten minutes before a band edge."""
    return NOON


class TestQuote:
    async def test_over_http_holds_the_lines_of_both_bands(self, api: httpx.AsyncClient, services: Services) -> None:
        scene = await add_charging_scene(now=NOON)
        alice = (await log_in(ALICE, services=services, now=NOON)).headers
        body = {"vehicle_id": str(scene.alice.vehicle.id), "qr": scene.place.ac.connector.qr, "energy_wh": 7000}
        quoted = (await api.post("/v1/sessions/quote", json=body, headers=alice)).json()
        cost = quoted["cost"]
        assert [line["band"] for line in cost["lines"]] == ["peak", "flat"]
        assert (quoted["user_class"], cost["energy_wh"]) == ("agreement", 7000)
        assert cost["total_fen"] == sum(line["energy_fee_fen"] + line["service_fee_fen"] for line in cost["lines"])
        assert cost["service_fee_fen"] <= 7000 * 5000 // 100_000
        bob = (await log_in(BOB, services=services, now=NOON)).headers
        for spoilt, status in (({"vehicle_id": body["vehicle_id"]}, 404), ({"energy_wh": 0}, 422), ({"qr": "?"}, 404)):
            headers = bob if "vehicle_id" in spoilt else alice
            assert (
                await api.post("/v1/sessions/quote", json={**body, **spoilt}, headers=headers)
            ).status_code == status
        assert (await api.get("/v1/sessions", headers=alice)).json()["items"] == []

    @pytest.mark.usefixtures("database")
    async def test_equals_the_bill_of_a_session_that_takes_what_was_assumed(self, services: Services) -> None:
        scene = await add_charging_scene(now=NOON)
        gun = scene.place.ac
        quoted = await quote(
            account_id=scene.alice.account_id,
            vehicle_id=scene.alice.vehicle.id,
            connector_id=gun.connector.id,
            energy_wh=2000,
            power_w=6000,
            now=NOON,
        )
        assert quoted.ends_at == NOON + timedelta(minutes=20)
        session, _, _ = await charge(scene.alice, gun, start=NOON, services=services)
        billed = (await order_of(session.id)).lines
        assert [(x.band, x.energy_e4, x.service_e4) for x in quoted.bill.lines] == [
            (x.band, x.energy_e4, x.service_e4) for x in billed
        ]
        for ours, bill in zip(quoted.bill.lines, billed, strict=True):
            assert abs(ours.energy_wh - bill.energy_wh) <= 10
            assert abs(ours.energy_fee_fen - bill.energy_fee_fen) <= 1

    @pytest.mark.usefixtures("database")
    async def test_prices_are_those_of_the_callers_class(self, services: Services) -> None:
        scene = await add_charging_scene(now=NOON)
        charlie = await quote(
            account_id=scene.charlie.account_id,
            vehicle_id=scene.charlie.vehicle.id,
            connector_id=scene.place.public.connector.id,
            energy_wh=2000,
            now=NOON,
        )
        assert charlie.user_class == "market"
