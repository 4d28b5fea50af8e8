"""Charges from the start to the paid bill, through telemetry, jobs and PostgreSQL."""

from datetime import UTC, datetime, timedelta

import pytest
from asyncpg.exceptions import CheckViolationError

from backend.charging import store_orders
from backend.charging.rules.billing import BillLine
from backend.charging.service import orders, sessions
from backend.charging.service.start import (
    ConnectorOffline,
    ConnectorOutOfService,
    DepartureInvalid,
    NoBatteryData,
    SessionRunning,
    UnpaidOrder,
)
from backend.core import db
from backend.core.errors import NotFound
from backend.core.ids import new_id
from backend.core.services import Services
from backend.payments.service import ledger
from backend.reservations.service import claims
from backend.reservations.service.claims import AgreementNeeded
from backend.stations import service as stations
from backend.stations.service import StationUnderSafetyHold
from backend.telemetry import service as telemetry
from tests.factories.charging import (
    SECOND,
    add_charging_scene,
    answer,
    begin,
    charge,
    commands_to,
    idle,
    leave,
    order_of,
    report,
    sample,
)
from tests.factories.reservations import book
from tests.jobs import queued_jobs, run_due_jobs

NOON = datetime(2026, 6, 10, 4, 50, tzinfo=UTC)
"""12:50 in Beijing: ten minutes before peak becomes flat."""
MINUTE = timedelta(minutes=1)

pytestmark = pytest.mark.usefixtures("database")


class TestStartSession:
    async def test_holds_a_claim_and_tells_the_charger(self, services: Services) -> None:
        scene = await add_charging_scene(now=NOON)
        gun = scene.place.ac
        session = await begin(scene.alice, gun, now=NOON, target_energy_wh=5000)
        assert (session.status, session.user_class, session.kind) == ("requested", "agreement", "ac")
        sent = await commands_to(gun, "start")
        assert [c["args"] for c in sent] == [{"connector": 1, "session_id": str(session.id), "target_energy_wh": 5000}]
        held = await claims.claims_between(
            connector_ids=[gun.connector.id], starts_at=NOON, ends_at=NOON + timedelta(hours=1)
        )
        assert [(c.kind, c.reference_id, c.ends_at) for c in held] == [("walk_up", session.id, session.limit_at)]

    async def test_lowers_the_lock_of_the_bay(self, services: Services) -> None:
        scene = await add_charging_scene(now=NOON)
        gun = scene.place.ac
        assert gun.lock is not None
        await begin(scene.alice, gun, now=NOON)
        names = await db.fetch("SELECT name FROM command WHERE device_id = $1", gun.lock.id)
        assert [row["name"] for row in names] == ["lower"]

    async def test_runs_under_the_residents_booking(self, services: Services) -> None:
        scene = await add_charging_scene(now=NOON)
        booked = await book(scene.alice, scene.place, now=NOON, starts_at=NOON + 10 * MINUTE)
        gun = next(g for g in (scene.place.ac, scene.place.public) if g.connector.id == booked.connector_id)
        session = await begin(scene.alice, gun, now=NOON + 9 * MINUTE)
        assert (session.reservation_id, session.claim_id, session.limit_at) == (
            booked.id,
            booked.claim_id,
            booked.ends_at,
        )

    async def test_refuses_a_charge_target_on_ac_because_there_is_no_battery_data(self, services: Services) -> None:
        scene = await add_charging_scene(now=NOON)
        with pytest.raises(NoBatteryData) as refused:
            await begin(scene.alice, scene.place.ac, now=NOON, target_soc_pct=80)
        assert "battery" in refused.value.title("en")
        session = await begin(scene.alice, scene.place.dc, now=NOON, target_soc_pct=80)
        assert session.target_soc_pct == 80

    async def test_refuses_the_resident_zone_without_an_agreement(self, services: Services) -> None:
        scene = await add_charging_scene(now=NOON)
        with pytest.raises(AgreementNeeded):
            await begin(scene.charlie, scene.place.ac, now=NOON)
        session = await begin(scene.charlie, scene.place.public, now=NOON)
        assert session.user_class == "market"

    async def test_refuses_a_station_under_a_safety_hold(self, services: Services) -> None:
        scene = await add_charging_scene(now=NOON)
        await stations.set_safety_hold(station_id=scene.place.station.id, incident_id=new_id(), now=NOON)
        with pytest.raises(StationUnderSafetyHold):
            await begin(scene.alice, scene.place.ac, now=NOON)

    async def test_refuses_a_second_session_of_the_car_or_on_the_connector(self, services: Services) -> None:
        scene = await add_charging_scene(now=NOON)
        await begin(scene.alice, scene.place.ac, now=NOON)
        with pytest.raises(SessionRunning):
            await begin(scene.alice, scene.place.dc, now=NOON)
        with pytest.raises(SessionRunning):
            await begin(scene.bob, scene.place.ac, now=NOON)

    async def test_refuses_a_connector_that_is_silent_broken_or_not_there(self, services: Services) -> None:
        scene = await add_charging_scene(now=NOON)
        await sample(scene.place.ac, now=NOON + SECOND, meter_wh=1_000_000, status="faulted", power_w=0)
        with pytest.raises(ConnectorOutOfService):
            await begin(scene.alice, scene.place.ac, now=NOON + SECOND)
        await db.execute("DELETE FROM connector_state WHERE connector_id = $1", scene.place.dc.connector.id)
        with pytest.raises(ConnectorOffline):
            await begin(scene.alice, scene.place.dc, now=NOON + SECOND)
        with pytest.raises(DepartureInvalid):
            await begin(scene.alice, scene.place.public, now=NOON, departs_at=NOON)

    async def test_refuses_another_persons_car(self, services: Services) -> None:
        scene = await add_charging_scene(now=NOON)
        stranger = type(scene.bob)(account_id=scene.bob.account_id, vehicle=scene.alice.vehicle, agreement_id=None)
        with pytest.raises(NotFound):
            await begin(stranger, scene.place.ac, now=NOON)


class TestASession:
    async def test_starts_although_the_acknowledgement_is_lost(self, services: Services) -> None:
        scene = await add_charging_scene(now=NOON)
        gun = scene.place.ac
        session = await begin(scene.alice, gun, now=NOON)
        await report(gun, "session_started", now=NOON + 3 * SECOND, session=session, meter_wh=1_000_000)
        await run_due_jobs(now=NOON + 3 * SECOND, services=services)
        found = await sessions.get_session(session_id=session.id)
        assert (found.status, found.accepted_at, found.start_meter_wh) == ("charging", None, 1_000_000)

    async def test_fails_and_gives_the_connector_back_when_the_charger_never_answers(self, services: Services) -> None:
        scene = await add_charging_scene(now=NOON)
        gun = scene.place.ac
        session = await begin(scene.alice, gun, now=NOON)
        await run_due_jobs(now=NOON + 20 * SECOND, services=services)
        assert len(await commands_to(gun, "start")) == 2
        await run_due_jobs(now=NOON + 4 * MINUTE, services=services)
        found = await sessions.get_session(session_id=session.id)
        assert (found.status, found.end_reason) == ("failed", "no_answer")
        assert len(await commands_to(gun, "stop")) == 1
        await begin(scene.bob, gun, now=NOON + 5 * MINUTE)

    async def test_that_the_charger_starts_too_late_is_stopped_and_billed(self, services: Services) -> None:
        scene = await add_charging_scene(now=NOON)
        gun = scene.place.ac
        session = await begin(scene.alice, gun, now=NOON)
        await run_due_jobs(now=NOON + 4 * MINUTE, services=services)
        late = NOON + 5 * MINUTE
        await report(gun, "session_started", now=late, session=session, meter_wh=1_000_000)
        await run_due_jobs(now=late, services=services)
        assert (await sessions.get_session(session_id=session.id)).status == "ending"
        await report(gun, "session_ended", now=late + MINUTE, session=session, meter_wh=1_000_120, reason="remote")
        await sample(gun, now=late + 2 * MINUTE, meter_wh=1_000_120, status="finishing", power_w=0)
        await run_due_jobs(now=late + 2 * MINUTE, services=services)
        await run_due_jobs(now=late + 3 * MINUTE, services=services)
        assert (await order_of(session.id)).energy_wh == 120

    async def test_is_refused_by_the_charger(self, services: Services) -> None:
        scene = await add_charging_scene(now=NOON)
        session = await begin(scene.alice, scene.place.ac, now=NOON)
        await answer(scene.place.ac, "start", now=NOON + SECOND, ok=False, error="fault")
        await run_due_jobs(now=NOON + SECOND, services=services)
        found = await sessions.get_session(session_id=session.id)
        assert (found.status, found.end_reason) == ("failed", "fault")

    async def test_stops_when_its_resident_says_so_and_its_reason_stays(self, services: Services) -> None:
        scene = await add_charging_scene(now=NOON)
        gun = scene.place.ac
        session = await begin(scene.alice, gun, now=NOON)
        await report(gun, "session_started", now=NOON + SECOND, session=session, meter_wh=1_000_000)
        await run_due_jobs(now=NOON + SECOND, services=services)
        for _ in range(2):
            await sessions.stop_session(session_id=session.id, reason="resident", actor="alice", now=NOON + MINUTE)
        assert [c["args"]["reason"] for c in await commands_to(gun, "stop")] == ["resident"]
        await report(gun, "session_ended", now=NOON + 2 * MINUTE, session=session, meter_wh=1_000_100, reason="remote")
        await run_due_jobs(now=NOON + 2 * MINUTE, services=services)
        found = await sessions.get_session(session_id=session.id)
        assert (found.status, found.end_reason) == ("ended", "resident")
        with pytest.raises(sessions.SessionOver):
            await sessions.stop_session(session_id=session.id, reason="resident", actor="alice", now=NOON + 3 * MINUTE)

    async def test_stopped_before_the_car_was_plugged_in_costs_nothing_and_frees_the_connector(
        self, services: Services
    ) -> None:
        scene = await add_charging_scene(now=NOON)
        gun = scene.place.ac
        session = await begin(scene.alice, gun, now=NOON)
        await answer(gun, "start", now=NOON + SECOND)
        await run_due_jobs(now=NOON + SECOND, services=services)
        await sessions.stop_session(session_id=session.id, reason="resident", actor="alice", now=NOON + MINUTE)
        await idle(gun, now=NOON + MINUTE + SECOND)
        await run_due_jobs(now=NOON + 2 * MINUTE, services=services)
        found = await sessions.get_session(session_id=session.id)
        assert (found.status, found.end_reason) == ("failed", "resident")
        assert await orders.find_order_of_session(session_id=session.id) is None
        told = await db.fetchval("SELECT count(*) FROM inbox_message WHERE recipient_id = $1", scene.alice.account_id)
        assert told == 0
        await begin(scene.bob, gun, now=NOON + 3 * MINUTE)

    async def test_stops_when_its_time_is_over(self, services: Services) -> None:
        scene = await add_charging_scene(now=NOON)
        gun = scene.place.ac
        session = await begin(scene.alice, gun, now=NOON, departs_at=NOON + 30 * MINUTE)
        await report(gun, "session_started", now=NOON + SECOND, session=session, meter_wh=1_000_000)
        await run_due_jobs(now=NOON + SECOND, services=services)
        await run_due_jobs(now=NOON + 29 * MINUTE, services=services)
        assert await commands_to(gun, "stop") == []
        await run_due_jobs(now=NOON + 30 * MINUTE, services=services)
        assert [c["args"]["reason"] for c in await commands_to(gun, "stop")] == ["time_over"]

    async def test_ends_by_the_connectors_state_when_the_charger_reports_no_end(self, services: Services) -> None:
        scene = await add_charging_scene(now=NOON)
        gun = scene.place.ac
        session = await begin(scene.alice, gun, now=NOON)
        await report(gun, "session_started", now=NOON + SECOND, session=session, meter_wh=1_000_000)
        await run_due_jobs(now=NOON + SECOND, services=services)
        await sample(gun, now=NOON + MINUTE, meter_wh=1_000_100)
        await sample(gun, now=NOON + 2 * MINUTE, meter_wh=1_000_150, status="finishing", power_w=0)
        await run_due_jobs(now=NOON + 2 * MINUTE, services=services)
        assert (await sessions.get_session(session_id=session.id)).status == "ending"
        await run_due_jobs(now=NOON + 3 * MINUTE, services=services)
        found = await sessions.get_session(session_id=session.id)
        assert (found.status, found.end_reason, found.ended_at) == ("ended", "interrupted", NOON + 2 * MINUTE)

    async def test_is_not_ended_by_another_chargers_word(self, services: Services) -> None:
        scene = await add_charging_scene(now=NOON)
        session = await begin(scene.alice, scene.place.ac, now=NOON)
        await report(scene.place.dc, "session_ended", now=NOON + SECOND, session=session, meter_wh=5, reason="x")
        await run_due_jobs(now=NOON + SECOND, services=services)
        assert (await sessions.get_session(session_id=session.id)).status == "requested"

    async def test_of_another_resident_is_not_found(self, services: Services) -> None:
        scene = await add_charging_scene(now=NOON)
        session = await begin(scene.alice, scene.place.ac, now=NOON)
        with pytest.raises(NotFound):
            await sessions.get_session(session_id=session.id, account_id=scene.bob.account_id)


class TestABill:
    async def test_over_a_band_edge_has_two_lines_that_add_up_to_the_meter(self, services: Services) -> None:
        scene = await add_charging_scene(now=NOON)
        session, end, meter = await charge(scene.alice, scene.place.ac, start=NOON, services=services)
        await leave(scene.place.ac, now=end + MINUTE, meter_wh=meter, services=services)
        order = await order_of(session.id)
        assert [(x.band, x.energy_wh) for x in order.lines] == [("peak", 1000), ("flat", 1000)]
        assert [(x.energy_fee_fen, x.service_fee_fen) for x in order.lines] == [(107, 45), (80, 45)]
        assert (order.energy_wh, order.energy_fee_fen, order.service_fee_fen, order.total_fen) == (2000, 187, 90, 277)
        assert order.status == "unpaid"
        assert await ledger.trial_balance(operator_company_id=scene.company_id) == {
            "receivable": 277,
            "energy_fee": -187,
            "service_fee": -90,
        }
        await db.execute("SET CONSTRAINTS ALL IMMEDIATE")

    async def test_at_the_market_price_has_no_cap(self, services: Services) -> None:
        scene = await add_charging_scene(now=NOON)
        session, _, _ = await charge(scene.charlie, scene.place.public, start=NOON, services=services)
        order = await order_of(session.id)
        assert order.service_fee_fen == 160 > order.energy_wh * 5000 // 100_000

    async def test_waits_for_readings_that_are_late_and_counts_them(self, services: Services) -> None:
        scene = await add_charging_scene(now=NOON)
        gun = scene.place.ac
        session = await begin(scene.alice, gun, now=NOON)
        await answer(gun, "start", now=NOON + SECOND)
        await report(gun, "session_started", now=NOON + 2 * SECOND, session=session, meter_wh=1_000_000)
        await run_due_jobs(now=NOON + 2 * SECOND, services=services)
        end = NOON + 20 * MINUTE
        await report(gun, "session_ended", now=end, session=session, meter_wh=1_002_000, reason="full")
        await run_due_jobs(now=end + MINUTE, services=services)
        assert await orders.find_order_of_session(session_id=session.id) is None
        for minute in range(1, 21):
            await sample(gun, now=NOON + minute * MINUTE, meter_wh=1_000_000 + 100 * minute)
        await sample(gun, now=end + 2 * SECOND, meter_wh=1_002_000, status="finishing", power_w=0)
        await run_due_jobs(now=end + 3 * MINUTE, services=services)
        order = await order_of(session.id)
        assert [(x.band, x.energy_wh) for x in order.lines] == [("peak", 1000), ("flat", 1000)]

    @pytest.mark.parametrize(
        ("meters", "reason"),
        [([1_000_100, 1_000_050, 1_000_200], "rollback"), ([1_000_100, 7, 107], "reset")],
        ids=["rolled back", "reset"],
    )
    async def test_of_an_untrustworthy_meter_goes_to_review_and_charges_nothing(
        self, meters: list[int], reason: str, services: Services
    ) -> None:
        scene = await add_charging_scene(now=NOON)
        gun = scene.place.ac
        session = await begin(scene.alice, gun, now=NOON)
        await answer(gun, "start", now=NOON + SECOND)
        await report(gun, "session_started", now=NOON + 2 * SECOND, session=session, meter_wh=1_000_000)
        for minute, meter in enumerate(meters, 1):
            await sample(gun, now=NOON + minute * MINUTE, meter_wh=meter)
        end = NOON + 4 * MINUTE
        await report(gun, "session_ended", now=end, session=session, meter_wh=meters[-1], reason="full")
        await run_due_jobs(now=end + MINUTE, services=services)
        order = await order_of(session.id)
        assert (order.status, order.total_fen, order.lines) == ("review", 0, ())
        assert reason in order.review_reasons
        closed = await orders.write_off(
            order=order, reason="meter replaced", actor_id=new_id(), role="operator", now=end + MINUTE
        )
        assert (closed.status, closed.total_fen) == ("free", 0)

    async def test_without_a_reading_before_the_start_goes_to_review(self, services: Services) -> None:
        scene = await add_charging_scene(now=NOON)
        gun = scene.place.ac
        await db.execute("DELETE FROM telemetry_sample WHERE connector_id = $1", gun.connector.id)
        session, end, _ = await charge(scene.alice, gun, start=NOON, services=services)
        await run_due_jobs(now=end + 10 * MINUTE, services=services)
        order = await order_of(session.id)
        assert (order.status, order.review_reasons) == ("review", ("start_missing",))

    async def test_of_a_session_without_energy_costs_nothing(self, services: Services) -> None:
        scene = await add_charging_scene(now=NOON)
        gun = scene.place.ac
        session, end, meter = await charge(scene.alice, gun, start=NOON, wh_per_sample=0, services=services)
        await leave(gun, now=end + MINUTE, meter_wh=meter, services=services)
        order = await order_of(session.id)
        assert (order.status, order.total_fen, order.lines) == ("free", 0, ())
        await begin(scene.alice, gun, now=end + 5 * MINUTE)

    async def test_that_is_unpaid_stops_new_sessions_until_it_is_paid_once(self, services: Services) -> None:
        scene = await add_charging_scene(now=NOON)
        gun = scene.place.ac
        session, end, meter = await charge(scene.alice, gun, start=NOON, services=services)
        await leave(gun, now=end + MINUTE, meter_wh=meter, services=services)
        order = await order_of(session.id)
        with pytest.raises(UnpaidOrder):
            await begin(scene.alice, gun, now=end + 5 * MINUTE)
        payment_id = new_id()
        with pytest.raises(ValueError, match="does not pay"):
            await orders.mark_paid(order_id=order.id, payment_id=payment_id, amount_fen=1, now=end)
        for _ in range(2):
            await orders.mark_paid(order_id=order.id, payment_id=payment_id, amount_fen=order.total_fen, now=end)
        paid = await orders.get_order(order_id=order.id, account_id=scene.alice.account_id)
        assert (paid.status, paid.payment_id, paid.paid_at) == ("paid", payment_id, end)
        await begin(scene.alice, gun, now=end + 6 * MINUTE)

    async def test_can_be_disputed_once_at_a_time_and_is_answered(self, services: Services) -> None:
        scene = await add_charging_scene(now=NOON)
        session, _, _ = await charge(scene.alice, scene.place.ac, start=NOON, services=services)
        order = await order_of(session.id)
        about = {"order_id": order.id, "account_id": scene.alice.account_id, "now": NOON}
        await orders.dispute_order(**about, reason="too much")
        with pytest.raises(orders.DisputeOpen):
            await orders.dispute_order(**about, reason="again")
        answered = await orders.answer_dispute(
            order=order, answer="checked", actor_id=new_id(), role="operator", now=NOON
        )
        assert (answered.status, answered.answer) == ("answered", "checked")
        with pytest.raises(orders.NothingToDecide):
            await orders.answer_dispute(order=order, answer="again", actor_id=new_id(), role="operator", now=NOON)


class TestTheDatabase:
    async def test_refuses_an_agreement_bill_above_the_cap(self, services: Services) -> None:
        scene = await add_charging_scene(now=NOON)
        session, _, _ = await charge(scene.alice, scene.place.ac, start=NOON, services=services)
        order = await order_of(session.id)
        with pytest.raises(CheckViolationError, match="charge_order_cap"):
            async with db.transaction():
                await store_orders.save_order(order.id, {"service_fee_fen": 101, "total_fen": order.total_fen + 11})

    async def test_refuses_lines_that_do_not_add_up(self, services: Services) -> None:
        scene = await add_charging_scene(now=NOON)
        session, _, _ = await charge(scene.alice, scene.place.ac, start=NOON, services=services)
        order = await order_of(session.id)
        with pytest.raises(CheckViolationError, match="do not add up"):
            async with db.transaction():
                await db.execute("DELETE FROM charge_order_line WHERE order_id = $1 AND position = 1", order.id)
                await db.execute("SET CONSTRAINTS ALL IMMEDIATE")

    async def test_takes_a_line_that_gave_a_fen_back_but_none_that_took_one(self, services: Services) -> None:
        scene = await add_charging_scene(now=NOON)
        session, _, _ = await charge(scene.alice, scene.place.ac, start=NOON, services=services)
        order = await order_of(session.id)
        line = BillLine("valley", 30, 0, 5000, 0, 3)
        with pytest.raises(CheckViolationError, match="charge_order_line_service_fee"):
            async with db.transaction():
                await store_orders.add_lines(order.id, [line], first=9)


class TestOverstay:
    async def test_costs_by_the_minute_while_nobody_else_can_charge_and_closes_at_the_cap(
        self, services: Services
    ) -> None:
        scene = await add_charging_scene(now=NOON)
        gun = scene.place.ac
        session, end, meter = await charge(scene.alice, gun, start=NOON, services=services)
        assert (await order_of(session.id)).status == "open"
        at = end
        for _ in range(125):
            at += MINUTE
            await sample(gun, now=at, meter_wh=meter, status="finishing", power_w=0)
            await run_due_jobs(now=at, services=services, only="charging.")
        order = await order_of(session.id)
        assert (order.status, order.overstay_fee_fen) == ("unpaid", 5000)
        assert await queued_jobs(name="charging.follow_car") == []
        assert order.total_fen == order.energy_fee_fen + order.service_fee_fen + 5000
        told = await db.fetch("SELECT template FROM inbox_message WHERE recipient_id = $1", scene.alice.account_id)
        names = [row["template"] for row in told]
        assert names.count("overstay_started") == 1
        assert names.count("overstay_warning") == 2

    async def test_costs_nothing_when_the_car_leaves_in_time(self, services: Services) -> None:
        scene = await add_charging_scene(now=NOON)
        session, end, meter = await charge(scene.alice, scene.place.ac, start=NOON, services=services)
        await leave(scene.place.ac, now=end + 8 * MINUTE, meter_wh=meter, services=services)
        order = await order_of(session.id)
        assert (order.status, order.overstay_fee_fen) == ("unpaid", 0)
        held = await claims.claims_between(
            connector_ids=[scene.place.ac.connector.id],
            starts_at=end + 9 * MINUTE,
            ends_at=end + 10 * MINUTE,
        )
        assert held == []


class TestRunningSessions:
    async def test_are_told_by_station_and_connector(self, services: Services) -> None:
        scene = await add_charging_scene(now=NOON)
        session = await begin(scene.alice, scene.place.ac, now=NOON)
        here = await sessions.active_sessions(station_id=scene.place.station.id)
        elsewhere = await sessions.active_sessions(connector_ids=[scene.place.dc.connector.id])
        assert ([s.id for s in here], elsewhere) == ([session.id], [])
        states = await telemetry.connector_states(connector_ids=[scene.place.ac.connector.id])
        assert states[scene.place.ac.connector.id].online
        await idle(scene.place.dc, now=NOON + SECOND)
