"""Corrections of orders whose month is stated: the package line follows, the cap of the period holds, money settles."""

import random
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx
import pytest

from backend.agreements.service import packages
from backend.charging import store_corrections
from backend.charging.rules.billing import MeterPoint, cap_fen
from backend.charging.service import corrections, orders, statements
from backend.charging.service.start import UnpaidOrder
from backend.charging.service.statements import StatementView, UnpaidStatement
from backend.charging.store_orders import OrderView
from backend.core import db
from backend.core.ids import new_id
from backend.core.services import Services
from backend.payments.gateways import ProviderPayment, ProviderRefund
from backend.payments.service import RefundTooLarge, ledger, refunds, settling
from sandbox.wechat_pay.keys import new_keys
from tests.cast import ALICE, LI
from tests.factories.accounts import add_person, log_in
from tests.factories.agreements import offer_package
from tests.factories.charging import add_bill, add_charging_scene, begin
from tests.factories.payments import add_merchant_account
from tests.factories.reservations import Scene
from tests.fakes import FixedClock
from tests.jobs import run_due_jobs

NOON = datetime(2026, 6, 10, 4, 0, tzinfo=UTC)
"""12:00 in Beijing: an hour of peak before an hour of flat."""
JUNE = datetime(2026, 5, 31, 16, tzinfo=UTC)
JULY = datetime(2026, 6, 30, 16, tzinfo=UTC)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)

pytestmark = pytest.mark.usefixtures("database")


@pytest.fixture
def now() -> datetime:
    return JULY + DAY


class Month:
    """June of alice with a bundle, as operators and residents act on it after it is stated."""

    def __init__(self, scene: Scene, services: Services, li: UUID) -> None:
        self.scene, self.services, self.li = scene, services, li
        self.now = JULY + DAY

    async def bill(self, day: int, energy_wh: int) -> OrderView:
        return await add_bill(self.scene, self.scene.alice, start=NOON + day * DAY, energy_wh=energy_wh)

    async def state(self) -> StatementView:
        await run_due_jobs(now=JULY + 2 * HOUR, services=self.services, only="charging.")
        return await self.statement()

    async def statement(self) -> StatementView:
        [found] = await statements.list_statements(account_id=self.scene.alice.account_id, limit=2)
        return found

    async def correct(self, order: OrderView, energy_wh: int) -> corrections.CorrectionView:
        """Say what the meter really moved by, over the hour of the session."""
        start = order.starts_at
        assert start is not None
        return await corrections.propose(
            order=order,
            reason="电表读数更正",
            readings=[MeterPoint(start, 0), MeterPoint(start + HOUR, energy_wh)],
            actor_id=self.li,
            role="operator",
            now=self.now,
        )

    async def pay(self, paid_for: UUID, amount: int) -> None:
        """Let the provider confirm a payment of this amount."""
        payment_id = new_id()
        await db.execute(
            "INSERT INTO payment (id, order_id, operator_company_id, account_id, merchant_account_id, channel,"
            " amount_fen, description, state, checks, check_at, created_at, expires_at) SELECT $1, $2, $3, $4, id,"
            " 'wechat_app', $5, 'x', 'created', 0, $6, $6, $6 FROM merchant_account",
            payment_id,
            paid_for,
            self.scene.company_id,
            self.scene.alice.account_id,
            amount,
            self.now,
        )
        found = ProviderPayment(state="succeeded", transaction_no=payment_id.hex, amount_fen=amount, paid_at=self.now)
        await settling.settle_payment(payment_id=payment_id, found=found, now=self.now)
        await run_due_jobs(now=self.now, services=self.services, only="charging.")

    async def refunded(self) -> int:
        """What is on its way back, booked as done."""
        rows = await db.fetch("SELECT id, amount_fen FROM refund WHERE state = 'created'")
        for row in rows:
            done = ProviderRefund(state="succeeded", amount_fen=row["amount_fen"], answer="SUCCESS")
            await settling.settle_refund(refund_id=row["id"], found=done, now=self.now)
        return sum(row["amount_fen"] for row in rows)

    async def owed(self) -> int:
        """What the resident has to pay by what orders, statements and supplements say."""
        found: int = await db.fetchval(
            "SELECT (SELECT coalesce(sum(total_fen), 0) FROM charge_order WHERE status = 'unpaid')"
            " + (SELECT coalesce(sum(package_fee_fen), 0) FROM statement WHERE status = 'unpaid')"
            " + (SELECT coalesce(sum(amount_fen), 0) FROM order_supplement WHERE status = 'unpaid')"
        )
        return int(found)

    async def receivable(self) -> int:
        balance = await ledger.trial_balance(operator_company_id=self.scene.company_id)
        assert sum(balance.values()) == 0
        return balance.get("receivable", 0)

    async def check(self) -> None:
        """What must hold at every moment: caps, sums, and that the ledger says what the bills say."""
        await db.execute("SET CONSTRAINTS ALL IMMEDIATE")
        await db.execute("SET CONSTRAINTS ALL DEFERRED")
        for statement in await statements.list_statements(account_id=self.scene.alice.account_id, limit=9):
            listed = await statements.list_statement_orders(statement_id=statement.id)
            for name in ("energy_wh", "energy_fee_fen", "service_fee_fen", "discount_fen"):
                assert getattr(statement, name) == sum(getattr(order, name) for order in listed)
            for line in statement.packages:
                assert line.energy_wh == sum(order.energy_wh for order in listed)
                assert line.service_fee_fen == sum(order.service_fee_fen for order in listed)
                paid = line.service_fee_fen + line.package_fee_fen
                assert paid <= cap_fen(energy_wh=line.energy_wh)
                assert line.package_fee_fen == min(line.price_fen, line.cap_fen - line.service_fee_fen)
            assert statement.package_fee_fen == sum(line.package_fee_fen for line in statement.packages)
        assert await self.receivable() == await self.owed()


async def a_month(services: Services, **terms: Any) -> Month:
    scene = await add_charging_scene(now=NOON)
    await add_merchant_account(
        operator_company_id=scene.company_id, merchant=new_keys(appid="wx1", merchants=1).merchants[0], now=NOON
    )
    package_id = await offer_package(operator_company_id=scene.company_id, **terms)
    agreement_id = await db.fetchval("SELECT id FROM agreement WHERE account_id = $1", scene.alice.account_id)
    await packages.choose_package(
        account_id=scene.alice.account_id, agreement_id=agreement_id, package_id=package_id, now=JUNE
    )
    return Month(scene, services, await add_person(LI))


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
            operator_company_id=month.scene.company_id, amount_fen=10**9, actor_id=None, actor_role="platform", now=NOON
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
