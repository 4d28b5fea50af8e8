"""Every table that can lead to a person is exported and erased, or says here why not.

A table with such a column that stands nowhere below fails the first test: whoever adds it decides.
"""

from datetime import timedelta
from typing import Any
from uuid import UUID

import httpx
import pytest

from backend.charging.service import orders
from backend.core import db
from backend.core.ids import new_id
from backend.core.services import Services
from backend.privacy import service as privacy
from tests.cast import ALICE
from tests.factories.accounts import log_in
from tests.factories.charging import add_charging_scene, charge, leave
from tests.factories.reservations import Scene, book
from tests.fakes import FixedClock
from tests.jobs import run_due_jobs

LEADS = ("account_id", "recipient_id", "plate_hash", "plate_cipher", "phone_hash", "phone_cipher", "openid_hash")
"""Columns by which a row is found from a person, or the person from a row."""

EXPORTED = {
    "account": "accounts.profile",
    "consent": "accounts.consents",
    "login_session": "accounts.logins",
    "push_token": "accounts.push_tokens",
    "staff_grant": "accounts.roles",
    "vehicle": "accounts.vehicles",
    "home": "stations.home",
    "payment": "payments.payments",
    "notification_preference": "notifications.notification_preferences",
    "wechat_consent": "notifications.wechat_consents",
    "inbox_message": "notifications.inbox",
    "bay_state": "bays.bays",
    "bay_state_change": "bays.bays",
    "agreement": "agreements.agreements",
    "agreement_driver": "agreements.agreements",
    "agreement_party": "agreements.agreements",
    "reservation": "reservations.reservations",
    "booking_suspension": "reservations.suspensions",
    "suspension_appeal": "reservations.suspensions",
    "bay_report": "reservations.bay_reports",
    "charging_session": "charging.sessions",
    "charge_order": "charging.orders",
    "order_dispute": "charging.disputes",
    "discount_credit": "charging.credits",
    "statement": "charging.statements",
    "arrival": "waiting.arrivals",
    "queue_entry": "waiting.queues",
    "fallback_plan": "waiting.fallback_plans",
    "blocked_bay": "alerts.blocked_bays",
}
"""Table: where it stands in the export."""

NOT_EXPORTED = {
    "sms_code": "a code lives five minutes",
    "delivery": "the inbox holds the same message",
    "calendar_address": "a secret; the person makes a new one",
    "connector_claim": "the reservation or session it belongs to is exported",
    "duty_shift": "work of staff: the employer's record",
    "shared_phone": "a phone of the company",
    "staff_pin": "a secret of staff",
    "console_user": "a login of the platform's own staff",
    "console_action": "work of the platform's own staff, kept for audit",
}
"""Table: why it is in no export."""

KEPT = {
    "account": "an empty shell: later rows point at an id that leads to nobody",
    "payment": "transactions, three years",
    "charge_order": "transactions, three years",
    "charging_session": "transactions, three years, without the plate",
    "statement": "transactions, three years",
    "order_dispute": "with the order, without the words",
    "discount_credit": "with the order it was used on",
    "agreement": "signed contracts, three years, without the plate",
    "agreement_party": "signed contracts, three years, apart from everything else",
    "agreement_driver": "with the contract",
    "reservation": "under the bare id, without the plate: no-shows and waits are counted",
    "booking_suspension": "under the bare id",
    "suspension_appeal": "under the bare id, without the words",
    "bay_report": "under the bare id, without words and picture",
    "login_session": "under the bare id: that it ended and why",
    "consent": "the proof of what was agreed to",
    "staff_grant": "who could do what when, for audit",
    "duty_shift": "who was on duty when, for audit",
    "shared_phone": "the company's",
    "staff_pin": "ends with the role",
    "console_user": "ends with the role",
    "console_action": "audit",
}
"""Table: why rows with the account's id may stay after erasure."""


def tables() -> dict[str, set[str]]:
    """Return the tables with columns that lead to a person."""
    found = {t._meta.tablename: {c._meta.name for c in t._meta.columns} & set(LEADS) for t in db.all_tables()}
    return {name: columns for name, columns in found.items() if columns}


async def rows_of(account_id: UUID, table: str, columns: set[str]) -> int:
    """Count the rows of a table that carry the account's id."""
    own: list[str] = [name for name in ("account_id", "recipient_id") if name in columns]
    if table == "account":
        own = ["id"]
    where = " OR ".join(f'"{name}" = $1' for name in own)
    return int(await db.fetchval(f'SELECT count(*) FROM "{table}" WHERE {where}', account_id)) if own else 0


def at(export: dict[str, Any], path: str) -> Any:
    feature, _, name = path.partition(".")
    return export["data"][feature][name]


class TestTables:
    def test_that_lead_to_a_person_are_exported_or_say_why_not(self) -> None:
        assert tables().keys() == EXPORTED.keys() | NOT_EXPORTED.keys()
        assert not EXPORTED.keys() & NOT_EXPORTED.keys()
        assert KEPT.keys() <= tables().keys()

    def test_belong_to_features_that_export_and_erase(self) -> None:
        exporting = {feature for feature, _ in privacy.exporters()}
        assert {path.partition(".")[0] for path in EXPORTED.values()} <= exporting
        assert exporting == {feature for feature, _ in privacy.erasers()}


@pytest.fixture
async def scene(services: Services, clock: FixedClock) -> Scene:
    """Alice has charged, paid, disputed, booked, been suspended, queued and been promised a discount."""
    began = clock.now()
    scene = await add_charging_scene(now=began)
    account_id = scene.alice.account_id
    _, end, meter = await charge(scene.alice, scene.place.ac, start=clock.now(), services=services)
    await leave(scene.place.ac, now=end + timedelta(minutes=1), meter_wh=meter, services=services)
    clock.move_to(end + timedelta(minutes=2))
    (order,) = await orders.list_orders(account_id=account_id, limit=2)
    await orders.dispute_order(order_id=order.id, account_id=account_id, reason="多收了停车费", now=clock.now())
    await book(scene.alice, scene.place, now=clock.now(), starts_at=began + timedelta(hours=30))
    clock.advance(minutes=1)
    await run_due_jobs(now=clock.now(), services=services)
    return scene


class TestExport:
    async def test_holds_what_every_table_with_rows_of_the_person_has(
        self, api: httpx.AsyncClient, scene: Scene, services: Services, clock: FixedClock
    ) -> None:
        alice = await log_in(ALICE, services=services, now=clock.now())
        export = (await api.get("/v1/me/export", headers=alice.headers)).json()
        filled = {
            name for name, columns in tables().items() if await rows_of(scene.alice.account_id, name, columns)
        } & EXPORTED.keys()
        assert {"account", "vehicle", "agreement", "charging_session", "charge_order", "order_dispute"} <= filled
        assert {"reservation", "inbox_message", "login_session"} <= filled
        assert [name for name in filled if not at(export, EXPORTED[name])] == []
        for path in EXPORTED.values():
            at(export, path)  # every promised place exists


class TestErase:
    async def test_leaves_rows_only_where_a_reason_stands(
        self, api: httpx.AsyncClient, scene: Scene, services: Services, clock: FixedClock
    ) -> None:
        account_id = scene.alice.account_id
        for order in await orders.list_orders(account_id=account_id, status="unpaid", limit=5):
            await orders.mark_paid(order_id=order.id, payment_id=new_id(), amount_fen=order.total_fen, now=clock.now())
        alice = await log_in(ALICE, services=services, now=clock.now())
        before = {name for name, columns in tables().items() if await rows_of(account_id, name, columns)}
        assert (await api.delete("/v1/me", headers=alice.headers)).status_code == 204
        after = {name for name, columns in tables().items() if await rows_of(account_id, name, columns)}
        assert after <= KEPT.keys()
        assert {"vehicle", "inbox_message"} <= before - after
