"""A month of alice's bills with a bundle, as operators and residents act on it after it is stated."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from backend.agreements.service import packages
from backend.charging.rules.billing import MeterPoint, cap_fen
from backend.charging.service import corrections, statements
from backend.charging.service.statements import StatementView
from backend.charging.store_orders import OrderView
from backend.core import db
from backend.core.ids import new_id
from backend.core.services import Services
from backend.payments.gateways import ProviderPayment, ProviderRefund
from backend.payments.service import ledger, settling
from sandbox.wechat_pay.keys import new_keys
from tests.cast import LI
from tests.factories.accounts import add_person
from tests.factories.agreements import offer_package
from tests.factories.charging import add_bill, add_charging_scene
from tests.factories.payments import add_merchant_account
from tests.factories.reservations import Scene
from tests.jobs import run_due_jobs

NOON = datetime(2026, 6, 10, 4, 0, tzinfo=UTC)
"""12:00 in Beijing: an hour of peak before an hour of flat."""
JUNE = datetime(2026, 5, 31, 16, tzinfo=UTC)
JULY = datetime(2026, 6, 30, 16, tzinfo=UTC)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


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
