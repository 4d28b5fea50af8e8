"""The forms of the console: what may be done there is done by the services, for the person, once."""

import hashlib
from datetime import datetime, timedelta
from uuid import UUID, uuid4

import pytest
from piccolo.engine.postgres import PostgresEngine

from backend.agreements.service import apply
from backend.charging.store_orders import OrderView
from backend.core import db
from backend.core.ids import new_id
from backend.core.services import Services
from backend.payments.gateways import ProviderPayment
from backend.payments.service import refunds, settling
from backend.tariffs import service as tariffs
from backend.tariffs.rules.bands import ParkingTerms
from sandbox.wechat_pay.keys import new_keys
from tests.console.conftest import Browser, Person, add_person
from tests.factories.accounts import add_company
from tests.factories.agreements import offer_package
from tests.factories.charging import add_charging_scene, charge, leave, order_of
from tests.factories.payments import add_merchant_account
from tests.factories.tariffs import BEIJING_SPANS, prices_for
from tests.jobs import run_due_jobs

PNG = b"\x89PNG\r\n\x1a\n" + bytes(64)
FORMS = (
    "approve-tariff-version", "publish-tariff-version", "approve-package", "withdraw-package", "approve-agreement-text",
    "withdraw-agreement-text", "approve-agreement", "reject-agreement", "ask-applicant-for-more", "terminate-agreement",
    "open-evidence", "lift-suspension", "uphold-suspension", "approve-safety-rules", "reject-safety-rules",
    "request-refund", "approve-refund", "reject-refund", "correct-energy-of-order", "correct-overstay-fee",
    "approve-correction", "reject-correction", "answer-dispute", "write-order-off", "propose-second-person-limit",
    "approve-second-person-limit", "reject-second-person-limit", "retire-tariff-version", "correct-orders-of-tariff",
    "approve-tariff-correction", "reject-tariff-correction",
)  # fmt: skip


@pytest.fixture
async def company_id(database: PostgresEngine) -> UUID:
    """An operator company."""
    return await add_company()


async def draft(company_id: UUID, now: datetime, *, by: UUID | None = None) -> UUID:
    """A drafted tariff version that begins tomorrow."""
    made = await tariffs.draft_version(
        operator_company_id=company_id,
        station_id=None,
        supply_class="below_1kv",
        name="六月",
        effective_from=now + timedelta(days=1),
        effective_to=None,
        spans=BEIJING_SPANS,
        prices=prices_for(BEIJING_SPANS),
        parking=ParkingTerms(),
        actor_id=by or new_id(),
        now=now,
    )
    return made.id


async def account_of(person: Person) -> UUID:
    """The account in whose name this person acts."""
    found: UUID = await db.fetchval("SELECT account_id FROM console_user WHERE username = $1", person.username)
    return found


@pytest.fixture
async def paid(console_services: Services, database: PostgresEngine, now: datetime) -> OrderView:
    """A bill that was charged, closed and paid."""
    at = now - timedelta(hours=5)
    scene = await add_charging_scene(now=at)
    merchant = new_keys(appid="wx1", merchants=1).merchants[0]
    merchant_id = await add_merchant_account(operator_company_id=scene.company_id, merchant=merchant, now=at)
    session, end, meter = await charge(scene.alice, scene.place.ac, start=at, services=console_services)
    await leave(scene.place.ac, now=end + timedelta(minutes=1), meter_wh=meter, services=console_services)
    order = await order_of(session.id)
    payment_id = new_id()
    await db.execute(
        "INSERT INTO payment (id, order_id, operator_company_id, account_id, merchant_account_id, channel,"
        " amount_fen, description, state, checks, check_at, created_at, expires_at)"
        " VALUES ($1, $2, $3, $4, $5, 'wechat_app', $6, 'x', 'created', 0, $7, $7, $7)",
        payment_id,
        order.id,
        scene.company_id,
        scene.alice.account_id,
        merchant_id,
        order.total_fen,
        end,
    )
    found = ProviderPayment(state="succeeded", transaction_no="4200", amount_fen=order.total_fen, paid_at=end)
    await settling.settle_payment(payment_id=payment_id, found=found, now=end)
    await run_due_jobs(now=end, services=console_services, only="charging.")
    return await order_of(session.id)


async def refunds_of(order: OrderView) -> list[int]:
    """The amounts on their way back."""
    rows = await db.fetch("SELECT amount_fen FROM refund WHERE operator_company_id = $1", order.operator_company_id)
    return [row["amount_fen"] for row in rows]


class TestForms:
    async def test_are_these(self, browser: Browser, chen: Person) -> None:
        await browser.sign_in(chen)
        listed = (await browser.send("GET", "/api/forms/")).json()
        assert sorted(form["slug"] for form in listed) == sorted(FORMS)

    async def test_say_what_every_field_is(self, browser: Browser, chen: Person) -> None:
        await browser.sign_in(chen)
        for form in FORMS:
            schema = (await browser.send("GET", f"/api/forms/{form}/schema/")).json()
            assert all("title" in field for field in schema["properties"].values()), form

    async def test_refuse_what_is_filled_in_wrongly(self, browser: Browser, chen: Person) -> None:
        await browser.sign_in(chen)
        answers = [await browser.fill(form, **wrong) for form in FORMS for wrong in ({}, {"nothing": "x"})]
        assert {answer.status_code for answer in answers} == {422}

    async def test_know_nothing_of_what_is_not_there(self, browser: Browser, chen: Person, company_id: UUID) -> None:
        await browser.sign_in(chen)
        said = {}
        for form in FORMS:
            schema = (await browser.send("GET", f"/api/forms/{form}/schema/")).json()
            values: dict[str, object] = {
                name: str(uuid4()) if field.get("format") == "uuid" else 100 if field["type"] == "integer" else "理由"
                for name, field in schema["properties"].items()
            }
            said[form] = (await browser.fill(form, **values)).json()["custom_form_error"]
        assert {form: text for form, text in said.items() if "not_found" not in text} == {}

    async def test_need_a_sign_in(self, browser: Browser) -> None:
        await browser.open()
        assert {(await browser.fill(form)).status_code for form in FORMS} == {401}

    async def test_need_the_token_against_forged_requests(
        self, browser: Browser, chen: Person, company_id: UUID, now: datetime
    ) -> None:
        await browser.sign_in(chen)
        version_id = await draft(company_id, now)
        answer = await browser.client.post(
            "/admin/api/forms/approve-tariff-version/", json={"version_id": str(version_id)}
        )
        assert answer.status_code == 403
        assert await db.fetchval("SELECT status FROM tariff_version WHERE id = $1", version_id) == "draft"

    async def test_take_no_more_than_a_form_holds(self, browser: Browser, chen: Person) -> None:
        await browser.sign_in(chen)
        answer = await browser.fill("reject-agreement", agreement_id=str(uuid4()), reason="x" * 100_000)
        assert answer.status_code == 413


class TestActing:
    async def test_approves_and_publishes_through_the_service(
        self, browser: Browser, chen: Person, company_id: UUID, now: datetime
    ) -> None:
        await browser.sign_in(chen)
        version_id = await draft(company_id, now)
        for form in ("approve-tariff-version", "publish-tariff-version"):
            answer = await browser.fill(form, version_id=str(version_id))
            assert answer.status_code == 200, answer.text
        row = await db.fetchrow("SELECT * FROM tariff_version WHERE id = $1", version_id)
        assert row is not None
        assert (row["status"], row["approved_by"]) == ("published", await account_of(chen))

    async def test_needs_a_second_person(self, browser: Browser, chen: Person, company_id: UUID, now: datetime) -> None:
        await browser.sign_in(chen)
        version_id = await draft(company_id, now, by=await account_of(chen))
        answer = await browser.fill("approve-tariff-version", version_id=str(version_id))
        assert answer.status_code == 422
        assert "second_person" in answer.json()["custom_form_error"]
        assert await db.fetchval("SELECT status FROM tariff_version WHERE id = $1", version_id) == "draft"

    async def test_is_in_the_audit_log_with_the_person(
        self, browser: Browser, chen: Person, company_id: UUID, now: datetime
    ) -> None:
        await browser.sign_in(chen)
        package_id = await offer_package(operator_company_id=company_id)
        assert (await browser.fill("withdraw-package", package_id=str(package_id))).status_code == 200
        rows = await db.fetch("SELECT action, actor_role FROM audit_entry WHERE actor_id = $1", await account_of(chen))
        noted = {(row["action"], row["actor_role"]) for row in rows}
        assert {("package.withdrawn", "platform"), ("console.withdraw_package", "platform")} <= noted

    async def test_leaves_nothing_where_it_was_refused(
        self, browser: Browser, chen: Person, company_id: UUID, now: datetime
    ) -> None:
        await browser.sign_in(chen)
        before = await db.fetchval("SELECT count(*) FROM audit_entry")
        await browser.fill("publish-tariff-version", version_id=str(await draft(company_id, now)))
        drafted = 1
        assert await db.fetchval("SELECT count(*) FROM audit_entry") == before + drafted
        assert await db.fetchval("SELECT count(*) FROM console_action") == 0

    async def test_is_done_once_though_the_button_is_pressed_twice(
        self, browser: Browser, chen: Person, company_id: UUID
    ) -> None:
        await browser.sign_in(chen)
        filled = {"operator_company_id": str(company_id), "amount_fen": 5000, "reason": "试点初期"}
        first = await browser.fill("propose-second-person-limit", **filled)
        second = await browser.fill("propose-second-person-limit", **filled)
        browser.clock.advance(seconds=61)
        later = await browser.fill("propose-second-person-limit", **filled)
        assert [first.status_code, second.status_code, later.status_code] == [200, 422, 200]
        assert "console_done_just_now" in second.json()["custom_form_error"]

    async def test_is_closed_to_who_may_only_read(self, browser: Browser, now: datetime, company_id: UUID) -> None:
        await browser.sign_in(await add_person("reader", "13900000003", now=now, may_act=False))
        assert (await browser.send("GET", "/api/tables/payment/")).status_code == 200
        answer = await browser.fill(
            "propose-second-person-limit", operator_company_id=str(company_id), amount_fen=1, reason="理由"
        )
        assert "console_reads_only" in answer.json()["custom_form_error"]

    async def test_tells_in_the_readers_language(self, browser: Browser, chen: Person, company_id: UUID) -> None:
        await browser.sign_in(chen)
        answer = await browser.send(
            "POST",
            "/api/forms/approve-refund/",
            json={"request_id": str(uuid4())},
            headers={"Accept-Language": "zh-CN"},
        )
        assert "未找到" in answer.json()["custom_form_error"]


class TestMoney:
    async def test_goes_back_through_the_refunds_of_the_service(
        self, browser: Browser, chen: Person, paid: OrderView
    ) -> None:
        await browser.sign_in(chen)
        answer = await browser.fill("request-refund", order_id=str(paid.id), amount_fen=120, reason="少充")
        assert answer.json() == {"custom_form_success": "¥1.20: 已发起 on its way"}
        assert await refunds_of(paid) == [120]
        too_much = await browser.fill("request-refund", order_id=str(paid.id), amount_fen=10**6, reason="少充")
        assert "refund_too_large" in too_much.json()["custom_form_error"]

    async def test_above_the_limit_waits_for_somebody_else(
        self, browser: Browser, chen: Person, zhang: Person, paid: OrderView, now: datetime
    ) -> None:
        await refunds.set_second_person_above(
            operator_company_id=paid.operator_company_id, amount_fen=100, actor_id=None, actor_role="platform", now=now
        )
        await browser.sign_in(chen)
        await browser.fill("request-refund", order_id=str(paid.id), amount_fen=120, reason="少充")
        request_id = await db.fetchval("SELECT id FROM refund_request")
        own = await browser.fill("approve-refund", request_id=str(request_id))
        assert "second_person_needed" in own.json()["custom_form_error"]
        assert await refunds_of(paid) == []
        await browser.sign_in(zhang)
        answer = await browser.fill("approve-refund", request_id=str(request_id))
        assert answer.status_code == 200, answer.text
        assert await refunds_of(paid) == [120]

    async def test_limit_is_raised_by_two_people(
        self, browser: Browser, chen: Person, zhang: Person, company_id: UUID
    ) -> None:
        await browser.sign_in(chen)
        answer = await browser.fill(
            "propose-second-person-limit", operator_company_id=str(company_id), amount_fen=50_000, reason="试点初期"
        )
        assert "待第二人复核" in answer.json()["custom_form_success"]
        change_id = str(await db.fetchval("SELECT id FROM refund_limit_change"))
        own = await browser.fill("approve-second-person-limit", change_id=change_id)
        assert "second_person_needed" in own.json()["custom_form_error"]
        assert await refunds.second_person_above(operator_company_id=company_id) == 10_000
        await browser.sign_in(zhang)
        assert (await browser.fill("approve-second-person-limit", change_id=change_id)).status_code == 200
        assert await refunds.second_person_above(operator_company_id=company_id) == 50_000

    async def test_is_corrected_by_the_right_energy_at_the_orders_own_prices(
        self, browser: Browser, chen: Person, paid: OrderView
    ) -> None:
        await browser.sign_in(chen)
        band = paid.lines[0].band
        filled = {"order_id": str(paid.id), f"{band}_wh": paid.energy_wh // 2, "reason": "电表读数更正"}
        answer = await browser.fill("correct-energy-of-order", **filled)
        assert answer.status_code == 200, answer.text
        row = await db.fetchrow("SELECT energy_wh, total_fen FROM charge_order WHERE id = $1", paid.id)
        assert row is not None
        assert row["energy_wh"] == paid.energy_wh // 2
        assert await refunds_of(paid) == [paid.total_fen - row["total_fen"]]


class TestEvidence:
    async def test_is_handed_out_and_the_look_is_audited(
        self, browser: Browser, chen: Person, console_services: Services, now: datetime
    ) -> None:
        scene = await add_charging_scene(now=now)
        agreement_id = scene.alice.agreement_id
        assert agreement_id is not None
        store = apply.store_of(console_services)
        await store.put(hashlib.sha256(PNG).hexdigest(), PNG)
        evidence_id = new_id()
        await db.execute(
            "INSERT INTO agreement_evidence (id, agreement_id, kind, sha256, store_key, media_type, size_bytes,"
            " uploaded_at) VALUES ($1, $2, 'driving_licence', $3, $6, 'image/png', $4, $5)",
            evidence_id,
            agreement_id,
            hashlib.sha256(PNG).digest(),
            len(PNG),
            now,
            hashlib.sha256(PNG).hexdigest(),
        )
        await browser.sign_in(chen)
        answer = await browser.fill("open-evidence", agreement_id=str(agreement_id), evidence_id=str(evidence_id))
        assert (answer.status_code, answer.content) == (200, PNG)
        assert answer.headers["content-disposition"].startswith("attachment")
        looked = await db.fetchrow("SELECT * FROM audit_entry WHERE action = 'agreement.evidence_read'")
        assert looked is not None
        assert (looked["actor_id"], looked["actor_role"]) == (await account_of(chen), "platform")
