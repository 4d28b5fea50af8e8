"""Corrections: the same billing rule, a second person above the limit, differences settled, the ledger balanced."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.charging.rules.billing import MeterPoint, cap_fen
from backend.charging.rules.corrections import bill_by_band
from backend.charging.service import corrections, orders
from backend.charging.service.applying import CorrectionStale
from backend.charging.service.corrections import CorrectionInvalid, NotCorrectable
from backend.charging.service.orders import OrderNotPayable
from backend.charging.store_orders import OrderView
from backend.core import db
from backend.core.ids import new_id
from backend.core.services import Services
from backend.payments import service as payments
from backend.payments.gateways import ProviderPayment
from backend.payments.service import RefundTooLarge, ledger, refunds, settling
from sandbox.wechat_pay.keys import new_keys
from tests.cast import ALICE, BOB, LI, QIAN, ZHOU
from tests.factories.accounts import add_person, log_in
from tests.factories.charging import add_charging_scene, charge, leave, order_of
from tests.factories.payments import add_merchant_account
from tests.factories.reservations import Scene
from tests.jobs import run_due_jobs

NOON = datetime(2026, 6, 10, 4, 50, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
WHY = "电表读数更正"

pytestmark = pytest.mark.usefixtures("database")


class Billed:
    """A charge of 2 kWh in 20 minutes whose bill is closed and can be paid."""

    def __init__(self, scene: Scene, order: OrderView, li: UUID, qian: UUID, services: Services) -> None:
        self.scene = scene
        self.first = order
        self.li = li
        self.qian = qian
        self.services = services
        self.now = NOON + timedelta(hours=2)

    async def order(self) -> OrderView:
        return await orders.get_order(order_id=self.first.id, account_id=self.scene.alice.account_id)

    async def correct(self, end_wh: int, **more: object) -> corrections.CorrectionView:
        """Say that the meter moved by `end_wh` over the session's 20 minutes."""
        return await corrections.propose(
            order=self.first,
            reason=WHY,
            readings=[MeterPoint(NOON, 0), MeterPoint(NOON + 20 * MINUTE, end_wh)],
            actor_id=self.li,
            role="operator",
            now=self.now,
        )

    async def pay(self, paid_for: UUID, amount: int) -> UUID:
        """Let the provider confirm a payment of this amount."""
        row = await db.fetchrow("SELECT id FROM merchant_account")
        assert row is not None
        payment_id = new_id()
        await db.execute(
            "INSERT INTO payment (id, order_id, operator_company_id, account_id, merchant_account_id, channel,"
            " amount_fen, description, state, checks, check_at, created_at, expires_at)"
            " VALUES ($1, $2, $3, $4, $5, 'wechat_app', $6, 'x', 'created', 0, $7, $7, $7)",
            payment_id,
            paid_for,
            self.scene.company_id,
            self.scene.alice.account_id,
            row["id"],
            amount,
            self.now,
        )
        found = ProviderPayment(state="succeeded", transaction_no=payment_id.hex, amount_fen=amount, paid_at=self.now)
        await settling.settle_payment(payment_id=payment_id, found=found, now=self.now)
        await run_due_jobs(now=self.now, services=self.services, only="charging.")
        return payment_id

    async def refunded(self) -> int:
        """What is on its way back, booked as done so that the ledger shows it."""
        total = 0
        for row in await db.fetch("SELECT id, amount_fen FROM refund WHERE state = 'created'"):
            done = settling.ProviderRefund(state="succeeded", amount_fen=row["amount_fen"], answer="SUCCESS")
            await settling.settle_refund(refund_id=row["id"], found=done, now=self.now)
            total += row["amount_fen"]
        return total

    async def receivable(self) -> int:
        balance = await ledger.trial_balance(operator_company_id=self.scene.company_id)
        assert sum(balance.values()) == 0
        await db.execute("SET CONSTRAINTS ALL IMMEDIATE")
        await db.execute("SET CONSTRAINTS ALL DEFERRED")
        return balance.get("receivable", 0)


@pytest.fixture
async def billed(services: Services) -> Billed:
    """A closed, unpaid bill."""
    scene = await add_charging_scene(now=NOON)
    await add_merchant_account(
        operator_company_id=scene.company_id, merchant=new_keys(appid="wx1", merchants=1).merchants[0], now=NOON
    )
    session, end, meter = await charge(scene.alice, scene.place.ac, start=NOON, services=services)
    await leave(scene.place.ac, now=end + MINUTE, meter_wh=meter, services=services)
    order = await order_of(session.id)
    assert (order.status, order.energy_wh) == ("unpaid", 2000)
    return Billed(scene, order, await add_person(LI), await add_person(QIAN), services)


class TestPropose:
    async def test_an_unpaid_bill_is_replaced_and_the_ledger_follows(self, billed: Billed) -> None:
        made = await billed.correct(1000)
        after = await billed.order()
        assert (made.state, after.status, after.energy_wh) == ("applied", "unpaid", 1000)
        assert after.total_fen == made.after.total_fen == billed.first.total_fen + made.difference_fen
        assert sum(line.energy_wh for line in after.lines) == 1000
        assert after.service_fee_fen <= cap_fen(energy_wh=1000)
        assert await billed.receivable() == after.total_fen

    async def test_a_paid_bill_that_becomes_less_is_refunded(self, billed: Billed) -> None:
        await billed.pay(billed.first.id, billed.first.total_fen)
        made = await billed.correct(1000)
        assert (await billed.order()).status == "paid"
        assert await billed.refunded() == -made.difference_fen > 0
        assert await billed.receivable() == 0

    async def test_a_paid_bill_that_becomes_more_is_billed_the_difference(self, billed: Billed) -> None:
        with pytest.raises(OrderNotPayable):
            await billed.pay(billed.first.id, billed.first.total_fen)
            await orders.pay_order(
                order_id=billed.first.id,
                account_id=billed.scene.alice.account_id,
                channel="wechat_app",
                services=billed.services,
                now=billed.now,
            )
        made = await billed.correct(3000)
        assert await billed.receivable() == made.difference_fen > 0
        due = await corrections.store_corrections.list_supplements(billed.first.id)
        assert [(s.status, s.amount_fen) for s in due] == [("unpaid", made.difference_fen)]
        await billed.pay(due[0].id, due[0].amount_fen)
        due = await corrections.store_corrections.list_supplements(billed.first.id)
        assert ([s.status for s in due], await billed.receivable()) == (["paid"], 0)
        # and back again: both payments give back
        await billed.correct(0)
        assert await billed.refunded() == billed.first.total_fen + made.difference_fen
        assert (await billed.receivable(), (await billed.order()).total_fen) == (0, 0)

    async def test_an_unpaid_supplement_is_replaced_and_its_late_payment_given_back(self, billed: Billed) -> None:
        await billed.pay(billed.first.id, billed.first.total_fen)
        more = (await billed.correct(3000)).difference_fen
        (first,) = await corrections.store_corrections.list_supplements(billed.first.id)
        await billed.correct(2000)
        assert (await billed.refunded(), await billed.receivable()) == (0, 0)
        await billed.pay(first.id, more)
        assert (await billed.refunded(), await billed.receivable()) == (more, 0)

    @pytest.mark.parametrize(("end_wh", "status"), [(1000, "paid"), (3000, "paid"), (0, "free")])
    async def test_a_payment_of_the_old_amount_under_way_is_settled(
        self, billed: Billed, end_wh: int, status: str
    ) -> None:
        await billed.correct(end_wh)
        await billed.pay(billed.first.id, billed.first.total_fen)
        after = await billed.order()
        assert after.status == status
        assert await billed.refunded() == max(0, billed.first.total_fen - after.total_fen)
        assert await billed.receivable() == max(0, after.total_fen - billed.first.total_fen)

    async def test_band_energies_are_billed_at_the_orders_own_prices(self, billed: Billed) -> None:
        line = billed.first.lines[0]
        made = await corrections.propose(
            order=billed.first,
            reason=WHY,
            energy_wh={line.band: 500},
            actor_id=billed.li,
            role="operator",
            now=billed.now,
        )
        (after,) = made.after.lines
        assert (after.energy_wh, after.energy_e4, after.service_e4) == (500, line.energy_e4, line.service_e4)

    @pytest.mark.parametrize(
        "points",
        [[], [(0, 0)], [(0, 5), (20, 4)], [(0, 0), (0, 5)], [(20, 0), (0, 5)]],
    )
    async def test_readings_that_make_no_bill_are_refused(self, billed: Billed, points: list[tuple[int, int]]) -> None:
        with pytest.raises(CorrectionInvalid):
            await corrections.propose(
                order=billed.first,
                reason=WHY,
                readings=[MeterPoint(NOON + minute * MINUTE, wh) for minute, wh in points],
                actor_id=billed.li,
                role="operator",
                now=billed.now,
            )
        assert await corrections.list_corrections(order_id=billed.first.id) == []

    async def test_a_band_the_tariff_lacks_a_high_overstay_and_no_change_are_refused(self, billed: Billed) -> None:
        for wish in ({"energy_wh": {"sharp": 5}}, {"overstay_fee_fen": 10**6}, {}):
            with pytest.raises(CorrectionInvalid):
                await corrections.propose(
                    order=billed.first, reason=WHY, actor_id=billed.li, role="operator", now=billed.now, **wish
                )

    async def test_more_than_is_left_of_the_payments_is_refused_whole(self, billed: Billed) -> None:
        payment_id = await billed.pay(billed.first.id, billed.first.total_fen)
        await payments.refund(
            payment_id=payment_id, amount_fen=billed.first.total_fen, reason="x", key="k", now=billed.now
        )
        with pytest.raises(RefundTooLarge):
            await billed.correct(1000)
        assert (await billed.order()).total_fen == billed.first.total_fen
        assert await corrections.list_corrections(order_id=billed.first.id) == []


class TestSecondPerson:
    async def test_above_the_limit_nothing_changes_before_somebody_else_agrees(
        self, billed: Billed, api: httpx.AsyncClient
    ) -> None:
        await refunds.set_second_person_above(
            operator_company_id=billed.scene.company_id, amount_fen=1, actor_id=None, actor_role="platform", now=NOON
        )
        heads = {
            person.key: (await log_in(person, services=billed.services, now=NOON)).headers
            for person in (LI, QIAN, ZHOU, ALICE, BOB)
        }
        path = f"/v1/operator/orders/{billed.first.id}/corrections"
        readings = [{"at": NOON.isoformat(), "meter_wh": 0}]
        readings.append({"at": (NOON + 20 * MINUTE).isoformat(), "meter_wh": 1000})
        body = {"reason": WHY, "readings": readings}
        assert (await api.post(path, json=body, headers=heads["zhou"])).status_code == 404
        assert (await api.post(path, json=body, headers=heads["alice"])).status_code == 403
        made = (await api.post(path, json=body, headers=heads["li"])).json()
        assert made["state"] == "pending"
        second = await api.post(path, json=body, headers=heads["qian"])
        assert (second.status_code, second.json()["code"]) == (409, "order_not_correctable")
        own = await api.post(f"{path}/{made['id']}/approve", headers=heads["li"])
        assert (own.status_code, own.json()["code"]) == (403, "second_person_needed")
        mine = f"/v1/orders/{billed.first.id}/corrections"
        assert (await api.get(mine, headers=heads["alice"])).json()["items"] == []
        assert (await billed.order()).energy_wh == 2000
        yes = await api.post(f"{path}/{made['id']}/approve", headers=heads["qian"])
        assert (yes.status_code, yes.json()["state"]) == (200, "applied")
        assert (await billed.order()).energy_wh == 1000
        (seen,) = (await api.get(mine, headers=heads["alice"])).json()["items"]
        assert (seen["before"]["energy_wh"], seen["after"]["energy_wh"], seen["requested_by"]) == (2000, 1000, None)
        (shown,) = (await api.get(path, headers=heads["qian"])).json()["items"]
        assert (shown["requested_by"], shown["decided_by"]) == (str(billed.li), str(billed.qian))
        assert (await api.get(mine, headers=heads["bob"])).status_code == 404
        assert (await api.get(path, headers=heads["zhou"])).status_code == 404

    async def test_rejected_changes_nothing_and_a_stale_one_cannot_be_approved(self, billed: Billed) -> None:
        await refunds.set_second_person_above(
            operator_company_id=billed.scene.company_id, amount_fen=0, actor_id=None, actor_role="platform", now=NOON
        )
        first = await billed.correct(1000)
        await corrections.reject(
            order=billed.first, correction_id=first.id, note="不成立", actor_id=billed.qian, role="operator", now=NOON
        )
        second = await billed.correct(1500)
        await db.execute(
            "UPDATE charge_order SET overstay_fee_fen = 50, total_fen = total_fen + 50 WHERE id = $1", billed.first.id
        )
        with pytest.raises(CorrectionStale):
            await corrections.approve(
                order=billed.first, correction_id=second.id, actor_id=billed.qian, role="operator", now=NOON
            )
        states = [view.state for view in await corrections.list_corrections(order_id=billed.first.id)]
        assert (states, (await billed.order()).energy_wh) == (["rejected", "pending"], 2000)


class TestReviewAndDisputes:
    async def test_a_bill_under_review_is_settled_by_corrected_readings(self, services: Services) -> None:
        scene = await add_charging_scene(now=NOON)
        gun = scene.place.ac
        session, end, meter = await charge(scene.alice, gun, start=NOON, services=services)
        order = await order_of(session.id)
        await corrections.store_corrections.remove_lines(order.id)
        await db.execute(
            "UPDATE charge_order SET status = 'review', energy_wh = 0, energy_fee_fen = 0, service_fee_fen = 0,"
            " total_fen = 0, review_reasons = '[\"rollback\"]' WHERE id = $1",
            order.id,
        )
        await leave(gun, now=end + MINUTE, meter_wh=meter, services=services)
        review = await order_of(session.id)
        made = await corrections.propose(
            order=review,
            reason=WHY,
            readings=[MeterPoint(NOON, 10), MeterPoint(NOON + 20 * MINUTE, 2010)],
            actor_id=await add_person(LI),
            role="operator",
            now=end + timedelta(hours=1),
        )
        after = await order_of(session.id)
        assert (made.state, after.status, after.energy_wh) == ("applied", "unpaid", 2000)
        assert (after.total_fen, after.review_reasons) == (order.total_fen, ("rollback",))

    async def test_an_open_dispute_is_answered_by_the_correction(self, billed: Billed) -> None:
        account_id = billed.scene.alice.account_id
        await orders.dispute_order(order_id=billed.first.id, account_id=account_id, reason="没充这么多", now=NOON)
        await billed.correct(1000)
        (dispute,) = await orders.list_disputes(order_id=billed.first.id)
        assert (dispute.status, dispute.answer) == ("answered", WHY)

    async def test_a_bill_whose_car_is_still_there_waits(self, services: Services) -> None:
        scene = await add_charging_scene(now=NOON)
        session, end, _ = await charge(scene.alice, scene.place.ac, start=NOON, services=services)
        with pytest.raises(NotCorrectable):
            await corrections.propose(
                order=await order_of(session.id),
                reason=WHY,
                energy_wh={},
                actor_id=await add_person(LI),
                role="operator",
                now=end,
            )


class TestZeroEnergy:
    async def test_a_session_that_took_nothing_costs_nothing_and_needs_no_payment(self, services: Services) -> None:
        scene = await add_charging_scene(now=NOON)
        session, end, meter = await charge(
            scene.alice, scene.place.ac, start=NOON, minutes=2, wh_per_sample=0, services=services
        )
        await leave(scene.place.ac, now=end + MINUTE, meter_wh=meter, services=services)
        order = await order_of(session.id)
        assert (order.status, order.energy_wh, order.total_fen, order.lines) == ("free", 0, 0, ())
        assert await ledger.trial_balance(operator_company_id=scene.company_id) == {}


class TestBillByBand:
    @given(
        st.dictionaries(st.sampled_from(["sharp", "peak", "flat", "valley"]), st.integers(0, 200_000)),
        st.dictionaries(
            st.sampled_from(["sharp", "peak", "flat", "valley"]),
            st.tuples(st.integers(0, 20_000), st.integers(0, 5_000)),
            min_size=4,
        ),
    )
    def test_never_passes_the_cap(self, energy: dict[str, int], prices: dict[str, tuple[int, int]]) -> None:
        bill = bill_by_band(energy, prices, capped=True)
        assert bill.energy_wh == sum(energy.values())
        assert bill.service_fee_fen <= cap_fen(energy_wh=bill.energy_wh)
