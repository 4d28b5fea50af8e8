"""Sessions and orders over HTTP, and a session as it goes."""

from datetime import UTC, datetime, timedelta

import httpx
import pytest

from backend.charging.live import watch_session
from backend.charging.service import orders
from backend.charging.service.sessions import SessionView
from backend.core import db
from backend.core.clock import Clock
from backend.core.errors import NotFound
from backend.core.live import Live
from backend.core.services import Services
from backend.telemetry.live import show
from tests.cast import ALICE, BOB, LI, ZHOU
from tests.factories.accounts import log_in
from tests.factories.charging import SECOND, add_charging_scene, answer, begin, charge, leave, order_of, report, sample
from tests.factories.reservations import Scene
from tests.factories.stations import Gun
from tests.fakes import FixedClock
from tests.jobs import run_due_jobs

NOON = datetime(2026, 6, 10, 4, 50, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


@pytest.fixture
def now() -> datetime:
    """12:50 in Beijing: ten minutes before peak becomes flat."""
    return NOON


class TestSessionsOverHttp:
    async def test_start_say_no_battery_data_on_ac_and_stop(
        self, api: httpx.AsyncClient, services: Services, clock: FixedClock
    ) -> None:
        scene = await add_charging_scene(now=NOON)
        alice = (await log_in(ALICE, services=services, now=NOON)).headers
        gun = scene.place.ac
        body = {"qr": gun.connector.qr, "vehicle_id": str(scene.alice.vehicle.id)}
        refused = await api.post("/v1/sessions", json={**body, "target_soc_pct": 80}, headers=alice)
        assert (refused.status_code, refused.json()["code"]) == (422, "no_battery_data")
        started = await api.post("/v1/sessions", json=body, headers=alice)
        assert started.status_code == 201
        session = started.json()
        assert (session["status"], session["battery"], session["battery_text"]) == (
            "requested",
            "none",
            "no battery data",
        )
        assert (session["soc_pct"], session["temp_max_c"], session["cost"]["total_fen"]) == (None, None, 0)
        again = await api.post("/v1/sessions", json=body, headers=alice)
        assert (again.status_code, again.json()["code"]) == (409, "session_running")
        path = f"/v1/sessions/{session['id']}"
        stopped = await api.post(f"{path}/stop", headers=alice)
        assert (stopped.status_code, stopped.json()["status"]) == (202, "ending")
        first = await api.get(path, headers=alice)
        unchanged = await api.get(path, headers={**alice, "If-None-Match": first.headers["etag"]})
        assert (first.status_code, unchanged.status_code) == (200, 304)

    async def test_hide_another_residents_session_and_order(self, api: httpx.AsyncClient, services: Services) -> None:
        scene = await add_charging_scene(now=NOON)
        session, _, _ = await charge(scene.alice, scene.place.ac, start=NOON, services=services)
        order = await order_of(session.id)
        bob = (await log_in(BOB, services=services, now=NOON)).headers
        for path in (f"/v1/sessions/{session.id}", f"/v1/orders/{order.id}"):
            hidden = await api.get(path, headers=bob)
            assert (hidden.status_code, hidden.json()["code"]) == (404, "not_found")
        stop = await api.post(f"/v1/sessions/{session.id}/stop", headers=bob)
        pay = await api.post(f"/v1/orders/{order.id}/pay", json={"channel": "wechat_jsapi"}, headers=bob)
        assert (stop.status_code, pay.status_code) == (404, 404)

    async def test_show_bills_with_lines_disputes_and_the_operators_answer(
        self, api: httpx.AsyncClient, services: Services
    ) -> None:
        scene = await add_charging_scene(now=NOON)
        session, end, meter = await charge(scene.alice, scene.place.ac, start=NOON, services=services)
        alice = (await log_in(ALICE, services=services, now=NOON)).headers
        open_order = await order_of(session.id)
        early = await api.post(f"/v1/orders/{open_order.id}/pay", json={"channel": "wechat_jsapi"}, headers=alice)
        assert (early.status_code, early.json()["code"]) == (409, "order_not_payable")
        await leave(scene.place.ac, now=end + MINUTE, meter_wh=meter, services=services)
        listed = (await api.get("/v1/orders", headers=alice)).json()["items"]
        assert [(o["status"], o["energy_wh"], o["total_fen"]) for o in listed] == [("unpaid", 2000, 277)]
        assert listed[0]["lines"][0] == {
            "band": "peak",
            "energy_wh": 1000,
            "energy_e4": 10_737,
            "service_e4": 4500,
            "energy_fee_fen": 107,
            "service_fee_fen": 45,
            "included_wh": 0,
        }
        path = f"/v1/orders/{listed[0]['id']}"
        disputed = await api.post(f"{path}/dispute", json={"reason": "too much"}, headers=alice)
        twice = await api.post(f"{path}/dispute", json={"reason": "still"}, headers=alice)
        assert (disputed.status_code, twice.json()["code"]) == (201, "dispute_open")
        li = (await log_in(LI, services=services, now=NOON)).headers
        zhou = (await log_in(ZHOU, services=services, now=NOON)).headers
        company_path = f"/v1/operator/orders/{listed[0]['id']}"
        assert (await api.get(company_path, headers=zhou)).status_code == 404
        assert (await api.get("/v1/operator/orders", headers=zhou)).json()["items"] == []
        assert len((await api.get("/v1/operator/orders?status=unpaid", headers=li)).json()["items"]) == 1
        assert (await api.get("/v1/operator/orders", headers=alice)).status_code == 403
        answered = await api.post(f"{company_path}/answer", json={"text": "checked"}, headers=li)
        assert answered.status_code == 200
        seen = (await api.get(path, headers=alice)).json()
        assert [(d["reason"], d["answer"]) for d in seen["disputes"]] == [("too much", "checked")]
        nothing = await api.post(f"{company_path}/write-off", json={"text": "x"}, headers=li)
        assert (nothing.status_code, nothing.json()["code"]) == (409, "order_nothing_to_decide")


async def deliver_from_noon(scene: Scene, gun: Gun, *, services: Services) -> SessionView:
    """Alice's session at a gun, which delivers from two seconds past noon."""
    session = await begin(scene.alice, gun, now=NOON)
    await answer(gun, "start", now=NOON + SECOND)
    await report(gun, "session_started", now=NOON + 2 * SECOND, session=session, meter_wh=1_000_000)
    await run_due_jobs(now=NOON + 2 * SECOND, services=services)
    return session


class TestALiveSession:
    async def test_streams_each_sample_with_the_running_cost_over_a_band_edge(
        self, api: httpx.AsyncClient, services: Services, clock: FixedClock
    ) -> None:
        scene = await add_charging_scene(now=NOON)
        gun = scene.place.dc
        session = await deliver_from_noon(scene, gun, services=services)
        live = services.get(Live)
        stream = watch_session(
            session_id=session.id,
            account_id=scene.alice.account_id,
            live=live,
            clock=services.get(Clock),  # type: ignore[type-abstract]
            locale="en",
        )
        snapshot = await anext(stream)
        assert (snapshot.type, snapshot.session.status if snapshot.session else None) == ("snapshot", "charging")
        for minute in (6, 10, 14):
            await sample(gun, now=NOON + minute * MINUTE, meter_wh=1_000_000 + minute * 200)
            rows = await db.fetch(
                "SELECT *, status AS previous FROM connector_state WHERE connector_id = $1", gun.connector.id
            )
            await show(rows, live=live)
        first, _, second = await anext(stream), await anext(stream), await anext(stream)
        assert first.type == second.type == "sample"
        assert first.session is not None and second.session is not None
        assert (first.session.energy_wh, first.session.soc_pct, first.session.temp_max_c) == (1200, 50, 35)
        assert [(x.band, x.energy_wh) for x in second.session.cost.lines] == [("peak", 2000), ("flat", 800)]
        await live.publish(f"session:{session.id}", {"type": "warning", "warning": {"code": "battery_temp_high"}})
        warned = await anext(stream)
        assert (warned.type, warned.warning) == ("warning", {"code": "battery_temp_high"})
        end = NOON + 16 * MINUTE
        await report(gun, "session_ended", now=end, session=session, meter_wh=1_003_200, reason="target")
        await sample(gun, now=end + SECOND, meter_wh=1_003_200, status="finishing", power_w=0)
        await run_due_jobs(now=end + SECOND, services=services)
        ended = await anext(stream)
        assert ended.session is not None
        assert (ended.type, ended.session.status, ended.session.energy_wh) == ("status", "ended", 3200)
        order = await orders.find_order_of_session(session_id=session.id)
        assert order is not None and order.energy_wh == 3200
        await stream.aclose()

    async def test_shows_nothing_of_the_next_car_when_word_of_the_end_is_lost(
        self, api: httpx.AsyncClient, services: Services, clock: FixedClock
    ) -> None:
        scene = await add_charging_scene(now=NOON)
        gun = scene.place.dc
        session = await deliver_from_noon(scene, gun, services=services)
        live = services.get(Live)
        clock.move_to(NOON + 3 * SECOND)
        stream = watch_session(
            session_id=session.id, account_id=scene.alice.account_id, live=live, clock=clock, locale="en"
        )
        await anext(stream)
        end = NOON + 5 * MINUTE
        await report(gun, "session_ended", now=end, session=session, meter_wh=1_000_900, reason="target")
        for feature in ("telemetry.", "charging."):
            await run_due_jobs(now=end, only=feature)
        clock.move_to(end + MINUTE)
        await sample(gun, now=clock.now(), meter_wh=1_001_500)
        rows = await db.fetch(
            "SELECT *, status AS previous FROM connector_state WHERE connector_id = $1", gun.connector.id
        )
        await show(rows, live=live)
        seen = await anext(stream)
        assert seen.session is not None
        assert (seen.type, seen.session.status, seen.session.energy_wh) == ("status", "ended", 900)
        await stream.aclose()

    async def test_is_not_shown_to_another_resident(self, api: httpx.AsyncClient, services: Services) -> None:
        scene = await add_charging_scene(now=NOON)
        session = await begin(scene.alice, scene.place.ac, now=NOON)
        with pytest.raises(NotFound):
            await anext(
                watch_session(
                    session_id=session.id,
                    account_id=scene.bob.account_id,
                    live=services.get(Live),
                    clock=services.get(Clock),  # type: ignore[type-abstract]
                    locale="en",
                )
            )
