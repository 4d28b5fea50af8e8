"""Statements from the readings to the paid package: the included energy, the cap, the month, the PDF."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx
import pytest
from asyncpg import CheckViolationError

from backend.agreements.service import packages
from backend.charging import statement_paper
from backend.charging.service import orders, statements
from backend.charging.service.start import start_session
from backend.charging.service.statements import StatementDue, StatementView, UnpaidStatement
from backend.core import db, jobs
from backend.core.services import Services
from backend.payments.events import PaymentSucceeded
from backend.payments.service import trial_balance
from tests.cast import ALICE, BOB, LI, ZHOU
from tests.factories.accounts import log_in
from tests.factories.agreements import offer_package
from tests.factories.charging import add_charging_scene, charge, leave, order_of
from tests.factories.reservations import Scene
from tests.fakes import FixedClock
from tests.jobs import queued_jobs, run_due_jobs

NOON = datetime(2026, 6, 10, 4, 50, tzinfo=UTC)
"""12:50 in Beijing: ten minutes before peak becomes flat."""
JUNE = datetime(2026, 5, 31, 16, tzinfo=UTC)
JULY = datetime(2026, 6, 30, 16, tzinfo=UTC)
HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)


@pytest.fixture
def now() -> datetime:
    return NOON


async def agreement_of(account_id: UUID) -> UUID:
    found: UUID = await db.fetchval("SELECT id FROM agreement WHERE account_id = $1 AND status = 'signed'", account_id)
    return found


async def give_package(scene: Scene, *, at: datetime = JUNE, **terms: Any) -> UUID:
    """Offer a package and let alice choose it."""
    package_id = await offer_package(operator_company_id=scene.company_id, **terms)
    agreement_id = await agreement_of(scene.alice.account_id)
    await packages.choose_package(
        account_id=scene.alice.account_id, agreement_id=agreement_id, package_id=package_id, now=at
    )
    return package_id


async def charged(scene: Scene, services: Services, *, start: datetime = NOON, meter_wh: int = 1_000_000) -> UUID:
    """Alice charges 1 kWh of peak and 1 kWh of flat, leaves and gets the bill."""
    session, end, meter = await charge(scene.alice, scene.place.ac, start=start, services=services, meter_wh=meter_wh)
    await leave(scene.place.ac, now=end + MINUTE, meter_wh=meter, services=services)
    return session.id


async def june(scene: Scene, services: Services) -> StatementView:
    await run_due_jobs(now=JULY + HOUR, services=services, only="charging.")
    found = await statements.list_statements(account_id=scene.alice.account_id, limit=2)
    assert len(found) == 1, "June has one statement"
    return found[0]


class TestIncludedEnergy:
    async def test_is_free_of_service_fee_only(self, services: Services, database: object) -> None:
        scene = await add_charging_scene(now=NOON)
        await give_package(scene, included_wh=1_500)
        order = await order_of(await charged(scene, services))
        assert [(x.band, x.energy_wh, x.included_wh, x.energy_fee_fen, x.service_fee_fen) for x in order.lines] == [
            ("peak", 1000, 1000, 107, 0),
            ("flat", 1000, 500, 80, 23),
        ]
        assert (order.service_fee_fen, order.total_fen) == (23, 210)

    async def test_is_used_once_by_all_sessions_of_the_month(self, services: Services, database: object) -> None:
        scene = await add_charging_scene(now=NOON)
        await give_package(scene, included_wh=3_000)
        first = await order_of(await charged(scene, services))
        await db.execute("UPDATE charge_order SET status = 'paid', paid_at = $1", NOON + HOUR)
        second = await order_of(await charged(scene, services, start=NOON + 24 * HOUR, meter_wh=1_002_000))
        assert [sum(x.included_wh for x in order.lines) for order in (first, second)] == [2000, 1000]

    async def test_of_a_valley_package_frees_nothing_at_noon(self, services: Services, database: object) -> None:
        scene = await add_charging_scene(now=NOON)
        await give_package(scene, kind="valley", bands=("valley",), included_wh=100_000)
        order = await order_of(await charged(scene, services))
        assert (order.service_fee_fen, order.total_fen) == (90, 277)


class TestStatement:
    async def test_charges_what_the_cap_leaves_of_the_price(self, services: Services, database: object) -> None:
        scene = await add_charging_scene(now=NOON)
        package_id = await give_package(scene, included_wh=1_500)
        session_id = await charged(scene, services)
        await run_due_jobs(now=JULY, services=services, only="charging.")
        assert await statements.list_statements(account_id=scene.alice.account_id, limit=1) == []
        statement = await june(scene, services)
        [line] = statement.packages
        assert (line.package_id, line.energy_wh, line.used_wh, line.included_wh) == (package_id, 2000, 1500, 1500)
        assert (line.cap_fen, line.service_fee_fen, line.price_fen, line.package_fee_fen) == (100, 23, 2000, 77)
        assert (statement.status, statement.package_fee_fen, statement.orders_total_fen) == ("unpaid", 77, 210)
        order = await order_of(session_id)
        listed = await statements.list_statement_orders(statement_id=statement.id)
        assert [o.id for o in listed] == [order.id]
        assert sum((await trial_balance()).values()) == 0
        assert (await trial_balance())["package_fee"] == -77

    async def test_of_pay_as_you_go_asks_for_nothing(self, services: Services, database: object) -> None:
        scene = await add_charging_scene(now=NOON)
        await charged(scene, services)
        statement = await june(scene, services)
        assert (statement.status, statement.package_fee_fen, statement.orders_total_fen) == ("free", 0, 277)
        assert [(line.kind, line.cap_fen, line.service_fee_fen) for line in statement.packages] == [
            ("pay_as_you_go", 100, 90)
        ]

    async def test_is_made_once(self, services: Services, database: object) -> None:
        scene = await add_charging_scene(now=NOON)
        await give_package(scene, included_wh=1_500)
        await charged(scene, services)
        statement = await june(scene, services)
        due = StatementDue(
            account_id=statement.account_id,
            operator_company_id=statement.operator_company_id,
            month_start=statement.starts_at,
        )
        assert await statements.make(due=due, now=JULY + 2 * HOUR) is None
        assert await statements.list_statements(account_id=scene.alice.account_id, limit=2) == [statement]

    async def test_waits_for_a_bill_under_review_but_not_for_ever(self, services: Services, database: object) -> None:
        scene = await add_charging_scene(now=NOON)
        await give_package(scene, included_wh=1_500)
        session_id = await charged(scene, services)
        await db.execute(
            "UPDATE charge_order SET status = 'review', closed_at = NULL WHERE session_id = $1", session_id
        )
        await run_due_jobs(now=JULY + HOUR, services=services, only="charging.")
        assert await statements.list_statements(account_id=scene.alice.account_id, limit=1) == []
        assert await queued_jobs(name="charging.make_statement") == [("charging.make_statement", JULY + 7 * HOUR)]
        await run_due_jobs(now=JULY + timedelta(days=10, hours=7), services=services, only="charging.")
        assert await queued_jobs(name="charging.make_statement") == []

    async def test_asks_for_its_next_try_while_its_own_job_still_runs(
        self, services: Services, database: object
    ) -> None:
        scene = await add_charging_scene(now=NOON)
        session_id = await charged(scene, services)
        await db.execute(
            "UPDATE charge_order SET status = 'review', closed_at = NULL WHERE session_id = $1", session_id
        )
        # The queue skips a key that waits or runs: the running job's own must not be the next one's.
        await db.execute("UPDATE pgqueuer SET status = 'picked' WHERE entrypoint = 'charging.make_statement'")
        due = StatementDue(account_id=scene.alice.account_id, operator_company_id=scene.company_id, month_start=JUNE)
        await statements.make(due=due, now=JULY + HOUR)
        again = await db.fetchval(
            "SELECT count(*) FROM pgqueuer WHERE entrypoint = 'charging.make_statement' AND status = 'queued'"
        )
        assert again == 1

    async def test_cannot_be_stored_above_the_cap(self, services: Services, database: object) -> None:
        scene = await add_charging_scene(now=NOON)
        await give_package(scene, included_wh=1_500)
        await charged(scene, services)
        await june(scene, services)
        insert = (
            "INSERT INTO statement_package SELECT gen_random_uuid(), statement_id, 9, gen_random_uuid(), package_id,"
            " kind, name_zh, name_en, starts_at, ends_at, orders_count, energy_wh, included_wh, used_wh,"
            " service_fee_fen, cap_fen, price_fen, package_fee_fen + 1 FROM statement_package"
        )
        with pytest.raises(CheckViolationError):
            async with db.transaction():
                await db.execute(insert)


class TestStatementOverHttp:
    async def test_shows_the_orders_the_cap_and_a_pdf_and_is_paid_like_an_order(
        self, api: httpx.AsyncClient, services: Services, clock: FixedClock
    ) -> None:
        scene = await add_charging_scene(now=NOON)
        await give_package(scene, included_wh=1_500)
        session_id = await charged(scene, services)
        made = await june(scene, services)
        clock.move_to(JULY + HOUR)
        alice = (await log_in(ALICE, services=services, now=clock.now())).headers
        [listed] = (await api.get("/v1/statements", headers=alice)).json()["items"]
        assert (listed["month"], listed["package_fee_fen"], listed["total_fen"]) == ("2026-06", 77, 287)
        path = f"/v1/statements/{listed['id']}"
        whole = (await api.get(path, headers=alice)).json()
        assert [order["session_id"] for order in whole["orders"]] == [str(session_id)]
        assert whole["orders"][0]["lines"][1]["included_wh"] == 500
        assert whole["packages"][0]["name"] == "Monthly bundle"
        paper = await api.get(f"{path}/document", headers=alice)
        assert (paper.status_code, paper.headers["content-type"]) == (200, "application/pdf")
        assert paper.content.startswith(b"%PDF-")
        printed = statement_paper.paper_of(made, [], company="邻里示范", hotline="")
        assert (printed.month, printed.package_fee, printed.status) == ("2026年6月", "0.77", "待支付")
        assert [(x.name, x.energy, x.cap, x.service, x.price) for x in printed.packages] == [
            ("月度套餐", "2.00", "1.00", "0.23", "20.00")
        ]
        with pytest.raises(UnpaidStatement):
            await db.execute("UPDATE charge_order SET status = 'paid', paid_at = $1", clock.now())
            await start_session(
                account_id=scene.alice.account_id,
                vehicle_id=scene.alice.vehicle.id,
                connector_id=scene.place.ac.connector.id,
                now=clock.now(),
            )
        event = PaymentSucceeded(payment_id=made.id, order_id=made.id, amount_fen=77)
        async with db.transaction():
            await jobs.emit(event, now=clock.now())
        await run_due_jobs(now=clock.now(), services=services, only="charging.")
        paid = (await api.get(path, headers=alice)).json()
        assert paid["status"] == "paid"
        again = await api.post(f"{path}/pay", json={"channel": "wechat_app"}, headers=alice)
        assert (again.status_code, again.json()["code"]) == (409, "statement_not_payable")

    async def test_of_another_resident_or_company_is_not_there(
        self, api: httpx.AsyncClient, services: Services
    ) -> None:
        scene = await add_charging_scene(now=NOON)
        await charged(scene, services)
        statement = await june(scene, services)
        bob = (await log_in(BOB, services=services, now=NOON)).headers
        li = (await log_in(LI, services=services, now=NOON)).headers
        zhou = (await log_in(ZHOU, services=services, now=NOON)).headers
        own, company = f"/v1/statements/{statement.id}", f"/v1/operator/statements/{statement.id}"
        hidden = [await api.get(path, headers=bob) for path in (own, f"{own}/document")]
        hidden.append(await api.post(f"{own}/pay", json={"channel": "wechat_app"}, headers=bob))
        hidden.append(await api.get(company, headers=zhou))
        assert {answer.status_code for answer in hidden} == {404}
        assert (await api.get("/v1/operator/statements", headers=zhou)).json()["items"] == []
        assert (await api.get(company, headers=li)).json()["orders_total_fen"] == 277
        assert await orders.list_orders(account_id=scene.bob.account_id, limit=1) == []
