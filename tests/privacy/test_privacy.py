"""Taking the own data along, and being forgotten."""

from datetime import datetime, timedelta
from pathlib import Path
from uuid import UUID

import httpx
import pytest

from backend.accounts import service as accounts
from backend.agreements import service as agreements
from backend.charging.service import orders
from backend.core import crypto, db
from backend.core.ids import new_id
from backend.core.services import Services
from backend.core.settings import Settings
from tests.cast import ALICE, BOB
from tests.factories.accounts import Login, log_in
from tests.factories.agreements import PNG
from tests.factories.charging import add_charging_scene, begin, charge, leave
from tests.factories.reservations import Scene, add_scene, book
from tests.fakes import FixedClock
from tests.jobs import run_due_jobs

ALICES_PLATE = "京AD10001"


@pytest.fixture
async def alice(services: Services, database: object, now: datetime) -> Login:
    """Alice, logged in."""
    return await log_in(ALICE, services=services, now=now)


async def everything_stored() -> dict[str, str]:
    """Return every row of every table as PostgreSQL prints it, by table."""
    tables = await db.fetch(
        "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')"
        " AND has_table_privilege(oid, 'SELECT')"
    )
    stored = {}
    for name in (table["relname"] for table in tables):
        stored[name] = "\n".join(row["row"] for row in await db.fetch(f'SELECT t::text AS row FROM "{name}" t'))
    return stored


def holding(stored: dict[str, str], *secrets: str) -> dict[str, list[str]]:
    """Return which of these texts stand in which table."""
    found = {name: [secret for secret in secrets if secret in rows] for name, rows in stored.items()}
    return {name: secrets for name, secrets in found.items() if secrets}


async def pay_all(account_id: UUID, *, now: datetime) -> None:
    """Pay the orders of a person, as the payment's event would."""
    for order in await orders.list_orders(account_id=account_id, status="unpaid", limit=10):
        await orders.mark_paid(order_id=order.id, payment_id=new_id(), amount_fen=order.total_fen, now=now)


def stored_files(settings: Settings) -> list[Path]:
    """Return the files in the evidence store."""
    return [path for path in Path(settings.evidence_dir).rglob("*") if path.is_file()]


class TestExport:
    async def test_is_everything_of_this_person_and_nothing_of_another(
        self, api: httpx.AsyncClient, services: Services, clock: FixedClock
    ) -> None:
        scene = await add_scene()
        await accounts.replace_profile(account_id=scene.alice.account_id, name=ALICE.name, locale="en")
        await book(scene.alice, scene.place, now=clock.now(), starts_at=clock.now() + timedelta(hours=3))
        alice = await log_in(ALICE, services=services, now=clock.now())
        bob = await log_in(BOB, services=services, now=clock.now())
        answer = await api.get("/v1/me/export", headers=alice.headers)
        assert answer.status_code == 200 and "attachment" in answer.headers["content-disposition"]
        data = answer.json()["data"]
        assert data["accounts"]["profile"]["phone"] == ALICE.phone
        assert [vehicle["plate"] for vehicle in data["accounts"]["vehicles"]] == [ALICES_PLATE]
        assert [item["plate"] for item in data["agreements"]["agreements"]] == [ALICES_PLATE]
        assert len(data["reservations"]["reservations"]) == 1
        assert BOB.phone not in answer.text and "京AD10002" not in answer.text
        assert str(bob.account_id) not in answer.text
        assert alice.refresh_token not in answer.text

    async def test_needs_a_login(self, api: httpx.AsyncClient) -> None:
        assert (await api.get("/v1/me/export")).status_code == 401
        assert (await api.delete("/v1/me")).status_code == 401


class TestErase:
    async def test_leaves_no_trace_that_leads_to_the_person(
        self, api: httpx.AsyncClient, services: Services, settings: Settings, clock: FixedClock
    ) -> None:
        scene = await add_charging_scene(now=clock.now())
        await accounts.replace_profile(account_id=scene.alice.account_id, name=ALICE.name, locale="zh-CN")
        await accounts.register_push_token(
            account_id=scene.alice.account_id, platform="ios", token="a-push-token", now=clock.now()
        )
        await book(scene.alice, scene.place, now=clock.now(), starts_at=clock.now() + timedelta(hours=30))
        _, end, meter = await charge(scene.alice, scene.place.ac, start=clock.now(), services=services)
        await leave(scene.place.ac, now=end + timedelta(minutes=1), meter_wh=meter, services=services)
        clock.move_to(end + timedelta(minutes=2))
        await pay_all(scene.alice.account_id, now=clock.now())
        await api.post("/v1/auth/sms-codes", json={"phone": ALICE.phone})
        alice = await log_in(ALICE, services=services, now=clock.now())
        hashes = [crypto.lookup_hash(ALICE.phone), scene.alice.plate_hash, crypto.lookup_hash("a-push-token")]
        secrets = (ALICE.phone, ALICE.name, ALICES_PLATE, "a-push-token", *(hashed.hex() for hashed in hashes))
        before = holding(await everything_stored(), *secrets)
        assert {"account", "vehicle", "charging_session", "reservation"} <= before.keys()
        assert (await api.delete("/v1/me", headers=alice.headers)).status_code == 204
        await run_due_jobs(now=clock.now(), services=services, only="agreements.")
        assert holding(await everything_stored(), *secrets) == {}

    async def test_ends_every_login_at_once_and_frees_the_phone(
        self, api: httpx.AsyncClient, services: Services, alice: Login, now: datetime
    ) -> None:
        other = await log_in(ALICE, services=services, now=now)
        assert (await api.delete("/v1/me", headers=alice.headers)).status_code == 204
        for login in (alice, other):
            assert (await api.get("/v1/me", headers=login.headers)).status_code == 401
            refreshed = await api.post("/v1/auth/refresh", json={"refresh_token": login.refresh_token})
            assert refreshed.status_code == 401
        assert await accounts.ensure_account(phone=ALICE.phone, now=now) != alice.account_id

    async def test_ends_a_signed_contract_and_keeps_it_apart_for_three_years(
        self, api: httpx.AsyncClient, services: Services, settings: Settings, clock: FixedClock
    ) -> None:
        scene = await add_scene()
        alice = await log_in(ALICE, services=services, now=clock.now())
        path = f"/v1/agreements/{scene.alice.agreement_id}/document"
        assert (await api.get(path, headers=alice.headers)).status_code == 200
        await api.delete("/v1/me", headers=alice.headers)
        row = await db.fetchrow("SELECT * FROM agreement WHERE id = $1", scene.alice.agreement_id)
        assert row is not None
        assert (row["status"], row["ended_reason"], row["plate_hash"]) == ("terminated", "erased", None)
        party = await db.fetchrow("SELECT * FROM agreement_party WHERE agreement_id = $1", scene.alice.agreement_id)
        assert party is not None and crypto.decrypt(party["plate_cipher"]) == ALICES_PLATE
        assert len(stored_files(settings)) == 1
        await agreements.sweep(now=clock.now() + timedelta(days=3 * 365))
        assert await db.fetchval("SELECT count(*) FROM agreement WHERE id = $1", scene.alice.agreement_id) == 1
        late = clock.now() + timedelta(days=3 * 366 + 1)
        await agreements.sweep(now=late)
        await run_due_jobs(now=late, services=services, only="agreements.delete_files")
        assert await db.fetchval("SELECT count(*) FROM agreement WHERE id = $1", scene.alice.agreement_id) == 0
        assert stored_files(settings) == []

    async def test_takes_an_application_and_its_files_away(
        self, api: httpx.AsyncClient, services: Services, settings: Settings, clock: FixedClock
    ) -> None:
        scene = await add_scene()
        await db.execute(
            "UPDATE agreement SET status = 'submitted', term = NULL WHERE id = $1", scene.alice.agreement_id
        )
        await db.execute("DELETE FROM agreement_signature WHERE agreement_id = $1", scene.alice.agreement_id)
        alice = await log_in(ALICE, services=services, now=clock.now())
        sent = await api.post(
            f"/v1/agreements/{scene.alice.agreement_id}/evidence",
            files={"file": ("licence.png", PNG)},
            headers=alice.headers,
        )
        assert sent.status_code == 201 and len(stored_files(settings)) == 1
        await api.delete("/v1/me", headers=alice.headers)
        await run_due_jobs(now=clock.now(), services=services, only="agreements.delete_files")
        assert await db.fetchval("SELECT count(*) FROM agreement WHERE account_id = $1", alice.account_id) == 0
        assert stored_files(settings) == []

    async def test_is_kept_in_the_audit_log_without_the_person(self, api: httpx.AsyncClient, alice: Login) -> None:
        await api.delete("/v1/me", headers=alice.headers)
        row = await db.fetchrow("SELECT * FROM audit_entry WHERE action = 'privacy.erased'")
        assert row is not None and row["object_id"] == str(alice.account_id)


class TestRefusal:
    async def refused(self, api: httpx.AsyncClient, services: Services, now: datetime) -> list[str]:
        """Try to erase alice; returns what is said to be open, and makes sure that nothing was erased."""
        alice = await log_in(ALICE, services=services, now=now)
        answer = await api.delete("/v1/me", headers=alice.headers)
        assert (answer.status_code, answer.json()["code"]) == (409, "matters_open")
        assert (await api.get("/v1/me", headers=alice.headers)).json()["phone"] == ALICE.phone
        return list(answer.json()["matters"])

    @pytest.fixture
    async def scene(self, database: object, clock: FixedClock) -> Scene:
        """A station that charges."""
        return await add_charging_scene(now=clock.now())

    async def test_names_an_open_session(
        self, api: httpx.AsyncClient, scene: Scene, services: Services, now: datetime
    ) -> None:
        await begin(scene.alice, scene.place.ac, now=now)
        assert await self.refused(api, services, now) == ["open_session"]

    async def test_names_an_unpaid_order(
        self, api: httpx.AsyncClient, scene: Scene, services: Services, clock: FixedClock
    ) -> None:
        _, end, meter = await charge(scene.alice, scene.place.ac, start=clock.now(), services=services)
        await leave(scene.place.ac, now=end + timedelta(minutes=1), meter_wh=meter, services=services)
        clock.move_to(end + timedelta(hours=1))
        assert await self.refused(api, services, clock.now()) == ["unpaid_order"]

    async def test_names_an_incident_around_the_car(
        self, api: httpx.AsyncClient, scene: Scene, services: Services, clock: FixedClock
    ) -> None:
        _, end, meter = await charge(scene.alice, scene.place.ac, start=clock.now(), services=services)
        await leave(scene.place.ac, now=end + timedelta(minutes=1), meter_wh=meter, services=services)
        await pay_all(scene.alice.account_id, now=end + timedelta(minutes=2))
        await db.execute(
            "INSERT INTO incident (id, station_id, operator_company_id, kind, level, code, status, confirmed,"
            " escalated, opened_at) VALUES ($1, $2, $3, 'fire', 'critical', 'smoke_alarm', 'open', false, 0, $4)",
            new_id(),
            scene.place.station.id,
            scene.company_id,
            end,
        )
        clock.move_to(end + timedelta(hours=1))
        assert await self.refused(api, services, clock.now()) == ["active_incident"]
        await db.execute("UPDATE incident SET status = 'resolved', resolved_at = now()")
        alice = await log_in(ALICE, services=services, now=clock.now())
        assert (await api.delete("/v1/me", headers=alice.headers)).status_code == 204
