"""Several at once, each in its own transaction."""

import asyncio
from datetime import UTC, datetime, timedelta

from piccolo.engine.postgres import PostgresEngine

from backend.charging.rules.states import StopAsked
from backend.charging.service import orders, sessions
from backend.core import db
from backend.core.errors import Conflict
from backend.core.ids import new_id
from backend.core.services import Services
from tests.factories.charging import SECOND, add_charging_scene, begin, charge, commands_to, leave, order_of

NOON = datetime(2026, 6, 10, 4, 50, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


class TestAtTheSameTime:
    async def test_many_starts_make_one_session_and_one_command(self, committing: PostgresEngine) -> None:
        scene = await add_charging_scene(now=NOON)
        wishes = [begin(person, scene.place.ac, now=NOON) for person in (scene.alice, scene.bob) * 8]
        results = await asyncio.gather(*wishes, return_exceptions=True)
        won = [r for r in results if not isinstance(r, BaseException)]
        assert len(won) == 1
        assert all(isinstance(r, Conflict) for r in results if isinstance(r, BaseException))
        assert len(await commands_to(scene.place.ac, "start")) == 1
        assert await db.fetchval("SELECT count(*) FROM connector_claim") == 1

    async def test_one_car_starts_on_one_connector_only(self, committing: PostgresEngine) -> None:
        scene = await add_charging_scene(now=NOON)
        guns = (scene.place.ac, scene.place.dc, scene.place.public) * 4
        results = await asyncio.gather(*(begin(scene.alice, g, now=NOON) for g in guns), return_exceptions=True)
        assert sum(not isinstance(r, BaseException) for r in results) == 1
        assert all(isinstance(r, Conflict) for r in results if isinstance(r, BaseException))

    async def test_many_stops_send_one(self, committing: PostgresEngine) -> None:
        scene = await add_charging_scene(now=NOON)
        session = await begin(scene.alice, scene.place.ac, now=NOON)
        stops = [
            sessions.apply(session_id=session.id, signal=StopAsked("resident"), at=NOON, now=NOON) for _ in range(12)
        ]
        await asyncio.gather(*stops)
        assert len(await commands_to(scene.place.ac, "stop")) == 1

    async def test_settling_closing_and_paying_again_and_again_have_one_effect(
        self, committing: PostgresEngine, services: Services
    ) -> None:
        scene = await add_charging_scene(now=NOON)
        session, end, meter = await charge(scene.alice, scene.place.ac, start=NOON, services=services)
        await asyncio.gather(*(orders.settle(session_id=session.id, now=end + SECOND) for _ in range(8)))
        await leave(scene.place.ac, now=end + MINUTE, meter_wh=meter, services=services)
        await asyncio.gather(
            *(orders.car_left(session_id=session.id, at=end + MINUTE, now=end + MINUTE) for _ in range(8))
        )
        order = await order_of(session.id)
        payment_id = new_id()
        paid = [
            orders.mark_paid(order_id=order.id, payment_id=payment_id, amount_fen=order.total_fen, now=end)
            for _ in range(8)
        ]
        await asyncio.gather(*paid)
        assert await db.fetchval("SELECT count(*) FROM charge_order") == 1
        assert await db.fetchval("SELECT count(*) FROM domain_event WHERE name = 'OrderClosed'") == 1
        told = await db.fetchval("SELECT count(*) FROM inbox_message WHERE template = 'order_paid'")
        assert (told, (await order_of(session.id)).status) == (1, "paid")
