"""Parking: free minutes, hours begun, the cap of a day; billed as a line of its own; nothing without energy."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.charging.rules.billing import MeterPoint
from backend.charging.rules.parking import parking_fee_fen
from backend.charging.service import corrections, overstay
from backend.core import db
from backend.core.services import Services
from backend.payments.service import ledger
from backend.tariffs.rules.bands import ParkingTerms
from tests.cast import ALICE, LI
from tests.factories.accounts import add_person, log_in
from tests.factories.charging import add_bill, charge, idle, leave, order_of
from tests.factories.reservations import Scene, add_scene
from tests.factories.tariffs import publish_tariff
from tests.fakes import FixedClock
from tests.jobs import run_due_jobs

NOON = datetime(2026, 6, 10, 4, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
TERMS = ParkingTerms(free_min=30, fen_per_hour=200, day_cap_fen=1000)


def fee(start: str, minutes: int, *, free_min: int = 30, fen_per_hour: int = 200, day_cap_fen: int = 1000) -> int:
    from_at = datetime.fromisoformat(f"2026-06-10T{start}:00+08:00")
    return parking_fee_fen(
        from_at=from_at,
        until=from_at + minutes * MINUTE,
        free_min=free_min,
        fen_per_hour=fen_per_hour,
        day_cap_fen=day_cap_fen,
    )


class TestParkingFee:
    @pytest.mark.parametrize(
        ("start", "minutes", "fen"),
        [
            ("12:00", 0, 0),
            ("12:00", 30, 0),
            ("12:00", 31, 200),
            ("12:00", 90, 200),
            ("12:00", 91, 400),
            ("12:00", 600, 1000),
            ("22:30", 60, 200),  # one hour from 23:00
            ("22:30", 61 + 60, 400),  # the second begins at midnight, in the next day
            ("12:00", 36 * 60, 2000),  # two days, each at its cap
        ],
    )
    def test_counts_hours_begun_after_the_free_minutes_up_to_the_cap_of_each_day(
        self, start: str, minutes: int, fen: int
    ) -> None:
        assert fee(start, minutes) == fen

    def test_has_no_cap_where_none_is_set_and_costs_nothing_at_no_price(self) -> None:
        assert fee("00:00", 24 * 60, free_min=0, day_cap_fen=0) == 24 * 200
        assert fee("00:00", 24 * 60, free_min=0, fen_per_hour=0) == 0

    @settings(max_examples=1000)
    @given(
        st.integers(0, 1439),
        st.integers(0, 4000),
        st.integers(0, 4000),
        st.integers(0, 3000),
        st.integers(0, 500),
        st.integers(0, 5000),
    )
    def test_never_falls_with_time_and_never_passes_hours_or_days(
        self, start: int, minutes: int, more: int, free: int, price: int, cap: int
    ) -> None:
        begin = f"{start // 60:02}:{start % 60:02}"
        terms = {"free_min": free, "fen_per_hour": price, "day_cap_fen": cap}
        now, later = fee(begin, minutes, **terms), fee(begin, minutes + more, **terms)
        assert 0 <= now <= later
        hours = -(-max(0, minutes - free) // 60)
        assert now <= hours * price
        days = (start + minutes) // 1440 + 1
        assert cap == 0 or now <= days * cap


async def a_station(*, terms: ParkingTerms = TERMS) -> Scene:
    scene = await add_scene()
    await publish_tariff(operator_company_id=scene.company_id, parking=terms)
    for gun in (scene.place.ac, scene.place.dc, scene.place.public):
        await idle(gun, now=NOON)
    return scene


@pytest.mark.usefixtures("database")
class TestBilled:
    @pytest.fixture
    def now(self) -> datetime:
        return NOON

    async def test_as_a_line_of_its_own_until_the_car_has_left(
        self, services: Services, api: httpx.AsyncClient, clock: FixedClock
    ) -> None:
        scene = await a_station()
        session, end, meter = await charge(scene.alice, scene.place.ac, start=NOON, minutes=20, services=services)
        clock.move_to(end + 15 * MINUTE)
        alice = (await log_in(ALICE, services=services, now=clock.now())).headers
        running = (await api.get(f"/v1/sessions/{session.id}", headers=alice)).json()["cost"]
        assert running["parking_fee_fen"] == 200
        assert running["total_fen"] == running["energy_fee_fen"] + running["service_fee_fen"] + 200
        await leave(scene.place.ac, now=end + 72 * MINUTE, meter_wh=meter, services=services)
        order = await order_of(session.id)
        assert (order.parking_fee_fen, order.parked_until_at) == (400, end + 72 * MINUTE + timedelta(seconds=1))
        assert order.total_fen == order.energy_fee_fen + order.service_fee_fen + order.overstay_fee_fen + 400
        assert (await ledger.trial_balance(operator_company_id=scene.company_id))["parking_fee"] == -400
        shown = (await api.get(f"/v1/orders/{order.id}", headers=alice)).json()
        assert (shown["parking_fee_fen"], shown["total_fen"]) == (400, order.total_fen)

    async def test_not_without_energy(self, services: Services) -> None:
        scene = await a_station()
        session, end, meter = await charge(
            scene.alice, scene.place.ac, start=NOON, minutes=2, wh_per_sample=0, services=services
        )
        await leave(scene.place.ac, now=end + 300 * MINUTE, meter_wh=meter, services=services)
        assert ((await order_of(session.id)).total_fen, (await order_of(session.id)).status) == (0, "free")

    async def test_not_beyond_the_end_where_no_device_tells_that_the_car_stayed(self, services: Services) -> None:
        scene = await a_station()
        session, end, _ = await charge(scene.alice, scene.place.ac, start=NOON, minutes=20, services=services)
        # The charger falls silent: two days later the bill closes, and nothing is known of the stay.
        await db.execute("UPDATE overstay_look SET other_free = true")
        await db.execute("UPDATE connector_state SET status = 'unknown'")
        await db.execute("DELETE FROM pgqueuer WHERE entrypoint = 'charging.follow_car'")
        await overstay.follow(session_id=session.id, now=end + timedelta(days=2, minutes=1))
        await run_due_jobs(now=end + timedelta(days=2, minutes=2), services=services, only="charging.settle")
        order = await order_of(session.id)
        assert (order.status, order.parking_fee_fen, order.overstay_fee_fen) == ("unpaid", 0, 0)

    async def test_again_when_the_energy_is_corrected(self) -> None:
        scene = await a_station(terms=ParkingTerms(fen_per_hour=300))
        order = await add_bill(scene, scene.alice, start=NOON, energy_wh=10_000, minutes=90)
        li: UUID = await add_person(LI)

        async def corrected(wh: int) -> tuple[int, int]:
            made = await corrections.propose(
                order=order,
                reason="x",
                readings=[MeterPoint(NOON, 0), MeterPoint(NOON + 90 * MINUTE, wh)],
                actor_id=li,
                role="operator",
                now=NOON + timedelta(days=1),
            )
            return made.after.parking_fee_fen, made.after.total_fen

        assert order.parking_fee_fen == 600
        assert await corrected(0) == (0, 0)
        assert (await corrected(1_000))[0] == 600
        balance = await ledger.trial_balance(operator_company_id=scene.company_id)
        assert (sum(balance.values()), balance["parking_fee"]) == (0, -600)

    async def test_in_the_quote_for_the_time_of_charging(
        self, services: Services, api: httpx.AsyncClient, clock: FixedClock
    ) -> None:
        scene = await a_station(terms=ParkingTerms(fen_per_hour=300))
        alice = (await log_in(ALICE, services=services, now=NOON)).headers
        body = {
            "vehicle_id": str(scene.alice.vehicle.id),
            "connector_id": str(scene.place.ac.connector.id),
            "energy_wh": 7_000,
            "power_w": 3_500,
        }
        cost = (await api.post("/v1/sessions/quote", json=body, headers=alice)).json()["cost"]
        assert cost["parking_fee_fen"] == 600
        assert cost["total_fen"] == cost["energy_fee_fen"] + cost["service_fee_fen"] + 600
