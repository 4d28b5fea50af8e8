"""Corrections of orders whose month is stated: the package line follows, the cap of the period holds, money settles."""

import random
from datetime import datetime

import httpx
import pytest

from backend.charging import store_corrections
from backend.charging.service import corrections, orders, statements
from backend.charging.service.start import UnpaidOrder
from backend.charging.service.statements import UnpaidStatement
from backend.core import db
from backend.core.services import Services
from backend.payments.service import RefundTooLarge, refunds
from tests.cast import ALICE
from tests.charging.months import DAY, HOUR, JULY, NOON, Month, a_month
from tests.factories.accounts import log_in
from tests.factories.charging import begin
from tests.fakes import FixedClock
from tests.jobs import run_due_jobs

pytestmark = pytest.mark.usefixtures("database")


@pytest.fixture
def now() -> datetime:
    return JULY + DAY


class TestCorrectedAfterTheStatement:
    async def test_the_package_line_is_computed_again_so_that_the_cap_of_the_period_holds(
        self, services: Services
    ) -> None:
        month = await a_month(services, included_wh=1_000)
        order = await month.bill(0, 20_000)
        before = (await month.state()).packages[0]
        assert (before.cap_fen, before.service_fee_fen, before.package_fee_fen) == (1000, 855, 145)
        await month.correct(order, 2_000)
        after = await month.statement()
        [line] = after.packages
        # 2 kWh: cap 1.00, service fee of the 1 kWh not included 0.45, and 0.55 left for the package
        assert (line.energy_wh, line.cap_fen, line.service_fee_fen, line.package_fee_fen) == (2000, 100, 45, 55)
        assert (after.package_fee_fen, after.energy_wh, after.status) == (55, 2000, "unpaid")
        [kept] = await statements.list_corrections(statement_id=after.id)
        assert (kept.before, kept.after, kept.difference_fen, kept.order_id) == (before, line, -90, order.id)
        await month.check()

    @pytest.mark.parametrize(("wh", "refund"), [(2_000, 90), (0, 145)])
    async def test_a_paid_package_fee_goes_back(self, services: Services, wh: int, refund: int) -> None:
        month = await a_month(services, included_wh=1_000)
        order = await month.bill(0, 20_000)
        statement = await month.state()
        await month.pay(statement.id, 145)
        await month.correct(order, wh)
        assert await month.refunded() == refund
        assert (await month.statement()).status == "paid"
        await month.check()

    async def test_a_higher_fee_of_a_paid_statement_is_asked_for_stops_sessions_and_is_paid_by_itself(
        self, services: Services
    ) -> None:
        month = await a_month(services, included_wh=1_000)
        order = await month.bill(0, 2_000)
        statement = await month.state()
        await month.pay(order.id, order.total_fen)
        await month.pay(statement.id, statement.package_fee_fen)
        await month.correct(order, 20_000)
        [of_order] = await store_corrections.list_supplements(order.id)
        [of_statement] = await store_corrections.list_supplements(statement.id)
        assert of_statement.amount_fen == 145 - 55
        with pytest.raises(UnpaidStatement):
            await begin(month.scene.alice, month.scene.place.ac, now=month.now)
        await month.pay(of_statement.id, of_statement.amount_fen)
        with pytest.raises(UnpaidOrder):
            await begin(month.scene.alice, month.scene.place.ac, now=month.now)
        await month.pay(of_order.id, of_order.amount_fen)
        assert (await month.owed(), await month.receivable()) == (0, 0)
        await begin(month.scene.alice, month.scene.place.ac, now=NOON)  # the agreement, the gun and no debts

    @pytest.mark.parametrize(("wh", "status"), [(2_000, "paid"), (0, "free"), (40_000, "paid")])
    async def test_a_payment_of_the_old_fee_under_way_is_settled(
        self, services: Services, wh: int, status: str
    ) -> None:
        month = await a_month(services, included_wh=1_000)
        order = await month.bill(0, 20_000)
        statement = await month.state()
        await month.correct(order, wh)
        fee = (await month.statement()).package_fee_fen
        await month.pay(statement.id, statement.package_fee_fen)
        assert (await month.statement()).status == status
        assert await month.refunded() == max(0, statement.package_fee_fen - fee)
        await month.check()

    async def test_an_overstay_or_a_market_order_leaves_the_line_as_it_is(self, services: Services) -> None:
        month = await a_month(services, included_wh=1_000)
        order = await month.bill(0, 20_000)
        await month.state()
        await corrections.propose(
            order=order, reason="x", overstay_fee_fen=50, actor_id=month.li, role="operator", now=month.now
        )
        after = await month.statement()
        assert (await statements.list_corrections(statement_id=after.id), after.overstay_fee_fen) == ([], 50)
        await month.check()

    async def test_energy_by_band_keeps_what_the_package_freed(self, services: Services) -> None:
        month = await a_month(services, included_wh=1_000)
        order = await month.bill(0, 20_000)
        made = await corrections.propose(
            order=order, reason="x", energy_wh={"peak": 3_000}, actor_id=month.li, role="operator", now=month.now
        )
        assert [(x.energy_wh, x.included_wh, x.service_fee_fen) for x in made.after.lines] == [(3000, 1000, 90)]

    async def test_small_steps_do_not_go_around_the_second_person(self, services: Services) -> None:
        month = await a_month(services, included_wh=1_000)
        order = await month.bill(0, 90_000)
        states = []
        for wh in (60_000, 30_000, 1_000):
            now_says = await orders.get_order(order_id=order.id, account_id=month.scene.alice.account_id)
            states.append((await month.correct(now_says, wh)).state)
        assert states == ["applied", "applied", "pending"]

    async def test_the_resident_is_told_and_sees_both_over_http(
        self, services: Services, api: httpx.AsyncClient, clock: FixedClock
    ) -> None:
        month = await a_month(services, included_wh=1_000)
        order = await month.bill(0, 20_000)
        statement = await month.state()
        await month.pay(order.id, order.total_fen)
        clock.move_to(month.now)
        alice = (await log_in(ALICE, services=services, now=month.now)).headers
        path = f"/v1/statements/{statement.id}"
        assert (await api.get(path, headers=alice)).json()["to_pay_fen"] == 145
        await month.correct(order, 22_000)
        shown = (await api.get(path, headers=alice)).json()
        assert shown["to_pay_fen"] == shown["package_fee_fen"] == 155
        [kept] = shown["corrections"]
        assert (kept["before"]["package_fee_fen"], kept["after"]["package_fee_fen"]) == (145, 155)
        bill = (await api.get(f"/v1/orders/{order.id}", headers=alice)).json()
        assert (bill["status"], bill["to_pay_fen"]) == ("paid", bill["total_fen"] - order.total_fen)
        [listed] = (await api.get("/v1/orders", headers=alice)).json()["items"]
        assert listed["to_pay_fen"] == bill["to_pay_fen"] > 0
        texts = [item["title"] for item in (await api.get("/v1/inbox", headers=alice)).json()["items"]]
        assert {"Bill corrected: more is to be paid", "Your monthly statement was corrected"} <= set(texts)


SEEDS = [*range(6), *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(6, 200))]


class TestAnySequence:
    @pytest.mark.parametrize("seed", SEEDS)
    async def test_of_corrections_and_payments_keeps_cap_sums_and_ledger(self, services: Services, seed: int) -> None:
        """Twenty steps at random; a line of any month is checked after each of them."""
        chance = random.Random(seed)
        included_wh, price_fen = chance.choice([1_000, 15_000]), chance.choice([300, 2000])
        month = await a_month(services, included_wh=included_wh, price_fen=price_fen)
        await refunds.set_second_person_above(
            operator_company_id=month.scene.company_id, amount_fen=10**6, actor_id=None, actor_role="platform", now=NOON
        )
        bills = [await month.bill(day, chance.randrange(0, 40_000)) for day in range(3)]
        late = await month.bill(5, 12_345)
        await db.execute("UPDATE charge_order SET status = 'review', closed_at = NULL WHERE id = $1", late.id)
        await run_due_jobs(now=JULY + 11 * DAY, services=services, only="charging.")
        await db.execute("UPDATE charge_order SET status = 'unpaid', closed_at = $2 WHERE id = $1", late.id, month.now)
        for step in range(20):
            month.now = JULY + 12 * DAY + step * HOUR
            deed = chance.choice(["correct", "correct", "pay", "statement", "supplement", "refund"])
            order = await orders.get_order(
                order_id=chance.choice([*bills, late]).id, account_id=month.scene.alice.account_id
            )
            statement = await month.statement()
            if deed == "correct":
                try:
                    async with db.transaction():
                        await month.correct(order, chance.randrange(0, 60_000))
                except RefundTooLarge:
                    pytest.fail("every payment is there to be given back")
            elif deed == "pay" and order.status == "unpaid":
                await month.pay(order.id, order.total_fen)
            elif deed == "statement" and statement.status == "unpaid":
                await month.pay(statement.id, statement.package_fee_fen)
            elif deed == "supplement":
                row = await db.fetchrow("SELECT id, amount_fen FROM order_supplement WHERE status = 'unpaid' LIMIT 1")
                if row is not None:
                    await month.pay(row["id"], row["amount_fen"])
            elif deed == "refund":
                await month.refunded()
            await month.refunded()
            await self._check_period(month)

    async def _check_period(self, month: Month) -> None:
        await db.execute("SET CONSTRAINTS ALL IMMEDIATE")
        await db.execute("SET CONSTRAINTS ALL DEFERRED")
        row = await db.fetchrow(
            "SELECT sum(energy_wh)::bigint AS energy_wh, sum(service_fee_fen)::bigint AS service_fee_fen"
            " FROM charge_order WHERE operator_company_id = $1",
            month.scene.company_id,
        )
        assert row is not None
        statement = await month.statement()
        assert row["service_fee_fen"] + statement.package_fee_fen <= row["energy_wh"] * 5000 // 100_000
        assert await month.receivable() == await month.owed()
