"""Signing, the document, packages and the end, over HTTP."""

import base64
import hashlib
from datetime import datetime, timedelta
from pathlib import Path

import asyncpg
import httpx
import pytest

from backend.agreements import service as agreements
from backend.agreements.gateways.evidence import LocalEvidence
from backend.agreements.service.sign import current_text
from backend.core import crypto, db
from backend.core.services import Services
from backend.core.settings import Settings
from tests.agreements.conftest import Scene, apply_for
from tests.cast import ALICE, BOB
from tests.factories.accounts import SentSms, add_company, log_in
from tests.factories.agreements import add_signed_agreement, offer_package
from tests.factories.stations import BEIJING_LAT, add_station
from tests.fakes import FixedClock
from tests.jobs import run_due_jobs


async def approved(api: httpx.AsyncClient, scene: Scene) -> str:
    """Apply and approve; returns the agreement's path."""
    agreement_id = (await apply_for(api, scene.alice, scene.vehicle)).json()["id"]
    answer = await api.post(f"/v1/operator/agreements/{agreement_id}/approve", headers=scene.li.headers)
    assert answer.status_code == 200
    return f"/v1/agreements/{agreement_id}"


async def sign(
    api: httpx.AsyncClient, scene: Scene, sms: SentSms, services: Services, clock: FixedClock, path: str
) -> httpx.Response:
    """Ask for the code, read it from the SMS, and sign the present text."""
    asked = await api.post(f"{path}/signing-code", headers=scene.alice.headers)
    assert asked.status_code == 202
    await run_due_jobs(now=clock.now(), services=services, only="accounts.")
    body = {"text_sha256": asked.json()["text_sha256"], "code": sms.code_for(ALICE.phone)}
    return await api.post(f"{path}/sign", json=body, headers=scene.alice.headers)


def file_of(settings: Settings, key: str) -> bytes:
    """Return what lies on disk under a store key."""
    return (Path(settings.evidence_dir) / key[:2] / key[2:4] / key).read_bytes()


class TestSign:
    async def test_puts_the_agreement_in_force_for_twelve_months(
        self, api: httpx.AsyncClient, scene: Scene, sms: SentSms, services: Services, clock: FixedClock
    ) -> None:
        path = await approved(api, scene)
        answer = await sign(api, scene, sms, services, clock, path)
        assert answer.status_code == 200
        body = answer.json()
        assert (body["status"], body["in_force"]) == ("signed", True)
        assert datetime.fromisoformat(body["starts_at"]) == clock.now()
        assert datetime.fromisoformat(body["ends_at"]) == clock.now().replace(year=clock.now().year + 1)
        keys = {
            "account_id": scene.alice.account_id,
            "plate_hash": scene.vehicle.plate_hash,
            "operator_company_id": scene.company_id,
        }
        ends_at = clock.now().replace(year=clock.now().year + 1)
        for at, holds in (
            (clock.now() - timedelta(seconds=1), False),
            (clock.now(), True),
            (ends_at - timedelta(seconds=1), True),
            (ends_at, False),
        ):
            assert (await agreements.active_agreement(**keys, at=at) is not None) is holds

    async def test_gives_the_price_to_this_person_car_and_company_only(
        self, api: httpx.AsyncClient, scene: Scene, services: Services, now: datetime
    ) -> None:
        bob = await log_in(BOB, services=services, now=now)
        other = await add_company(name="远邻充电")
        signed = await add_signed_agreement(
            account_id=scene.alice.account_id,
            vehicle=scene.vehicle,
            operator_company_id=scene.company_id,
            starts_at=now,
        )
        right = {
            "account_id": scene.alice.account_id,
            "plate_hash": scene.vehicle.plate_hash,
            "operator_company_id": scene.company_id,
        }
        found = await agreements.active_agreement(**right, at=now)
        assert found is not None and found.id == signed.id
        for wrong in (
            {"account_id": bob.account_id},
            {"plate_hash": crypto.lookup_hash("京AD54321")},
            {"operator_company_id": other},
        ):
            assert await agreements.active_agreement(**(right | wrong), at=now) is None

    async def test_keeps_text_time_address_code_and_stations(
        self, api: httpx.AsyncClient, scene: Scene, sms: SentSms, services: Services, clock: FixedClock
    ) -> None:
        second = await add_station(operator_company_id=scene.company_id, lat=BEIJING_LAT + 0.003)
        await add_station(operator_company_id=scene.company_id, lat=BEIJING_LAT + 0.02)
        await add_station(operator_company_id=await add_company(name="远邻充电"), lat=BEIJING_LAT + 0.001)
        path = await approved(api, scene)
        body = (await sign(api, scene, sms, services, clock, path)).json()
        row = await db.fetchrow(
            "SELECT s.*, t.body FROM agreement_signature s JOIN agreement_text t ON t.id = s.text_id"
        )
        assert row is not None
        assert row["text_sha256"] == hashlib.sha256(row["body"].encode()).digest()
        assert row["signed_at"] == clock.now()
        assert crypto.decrypt(row["address_cipher"]) == "127.0.0.1"
        assert await db.fetchval("SELECT used_at FROM sms_code WHERE id = $1", row["code_id"]) == clock.now()
        assert scene.station.code in row["stations"] and second.code in row["stations"]
        assert row["stations"].count('"code"') == 2
        assert body["record_sha256"] == row["record_sha256"].hex()
        sealed = await db.fetchval("SELECT detail::text FROM audit_entry WHERE action = 'agreement.signed'")
        assert body["record_sha256"] in sealed

    async def test_refuses_another_text_and_spares_the_code(
        self, api: httpx.AsyncClient, scene: Scene, sms: SentSms, services: Services, clock: FixedClock
    ) -> None:
        path = await approved(api, scene)
        await api.post(f"{path}/signing-code", headers=scene.alice.headers)
        await run_due_jobs(now=clock.now(), services=services, only="accounts.")
        code = sms.code_for(ALICE.phone)
        old = await api.post(f"{path}/sign", json={"text_sha256": "0" * 64, "code": code}, headers=scene.alice.headers)
        assert (old.status_code, old.json()["code"]) == (409, "agreement_text_changed")
        present = {"text_sha256": old.json()["text_sha256"], "code": code}
        assert (await api.post(f"{path}/sign", json=present, headers=scene.alice.headers)).status_code == 200

    async def test_refuses_a_wrong_code(
        self, api: httpx.AsyncClient, scene: Scene, sms: SentSms, services: Services, clock: FixedClock
    ) -> None:
        path = await approved(api, scene)
        text = await current_text(at=clock.now(), operator_company_id=scene.company_id)
        body = {"text_sha256": text.sha256.hex(), "code": "000000"}
        answer = await api.post(f"{path}/sign", json=body, headers=scene.alice.headers)
        assert (answer.status_code, answer.json()["code"]) == (422, "sms_code_wrong")
        assert (await api.get(path, headers=scene.alice.headers)).json()["status"] == "approved"

    async def test_refuses_before_the_approval_and_twice(
        self, api: httpx.AsyncClient, scene: Scene, sms: SentSms, services: Services, clock: FixedClock
    ) -> None:
        agreement_id = (await apply_for(api, scene.alice, scene.vehicle)).json()["id"]
        path = f"/v1/agreements/{agreement_id}"
        early = await api.post(f"{path}/signing-code", headers=scene.alice.headers)
        assert (early.status_code, early.json()["code"]) == (409, "agreement_not_approved")
        await api.post(f"/v1/operator/agreements/{agreement_id}/approve", headers=scene.li.headers)
        assert (await sign(api, scene, sms, services, clock, path)).status_code == 200
        again = await api.post(f"{path}/signing-code", headers=scene.alice.headers)
        assert again.json()["code"] == "agreement_not_approved"

    async def test_of_a_renewal_begins_when_the_present_term_ends(
        self, api: httpx.AsyncClient, scene: Scene, sms: SentSms, services: Services, clock: FixedClock
    ) -> None:
        present = await add_signed_agreement(
            account_id=scene.alice.account_id,
            vehicle=scene.vehicle,
            operator_company_id=scene.company_id,
            starts_at=clock.now() - timedelta(days=340),
        )
        answer = await sign(api, scene, sms, services, clock, await approved(api, scene))
        assert present.ends_at is not None
        assert datetime.fromisoformat(answer.json()["starts_at"]) == present.ends_at
        assert answer.json()["in_force"] is False


class TestDocument:
    async def test_is_one_pdf_with_its_digest_and_a_code_that_verifies_it(
        self, api: httpx.AsyncClient, scene: Scene, sms: SentSms, services: Services, clock: FixedClock
    ) -> None:
        path = await approved(api, scene)
        early = await api.get(f"{path}/document", headers=scene.alice.headers)
        assert (early.status_code, early.json()["code"]) == (409, "agreement_not_signed")
        signed = (await sign(api, scene, sms, services, clock, path)).json()
        await run_due_jobs(now=clock.now(), services=services, only="agreements.")
        first = await api.get(f"{path}/document", headers=scene.alice.headers)
        clock.advance(minutes=5)
        again = await api.get(f"{path}/document", headers=scene.alice.headers)
        assert first.headers["content-type"] == "application/pdf" and first.content.startswith(b"%PDF-")
        assert first.content == again.content
        digest = hashlib.sha256(first.content).digest()
        assert first.headers["repr-digest"] == f"sha-256=:{base64.b64encode(digest).decode()}:"
        assert b"NotoSerif" in first.content, "a Chinese font is embedded"
        verified = await api.get(f"{path}/verification", params={"record": signed["record_sha256"]})
        assert verified.json()["genuine"] is True
        assert verified.json()["document_sha256"] == digest.hex()
        assert ALICE.phone not in verified.text and "AD12345" not in verified.text
        forged = await api.get(f"{path}/verification", params={"record": "0" * 64})
        assert forged.json() == dict.fromkeys(verified.json()) | {"genuine": False}
        for record, said in ((signed["record_sha256"], digest.hex()), ("0" * 64, "No such agreement")):
            page = await api.get(
                f"{path}/verification", params={"record": record}, headers={"Accept": "text/html,*/*;q=0.8"}
            )
            assert page.headers["content-type"].startswith("text/html")
            assert said in page.text
            assert ALICE.phone not in page.text and "AD12345" not in page.text

    async def test_is_encrypted_at_rest_and_not_there_for_others(
        self, api: httpx.AsyncClient, scene: Scene, services: Services, settings: Settings, now: datetime
    ) -> None:
        signed = await add_signed_agreement(
            account_id=scene.alice.account_id,
            vehicle=scene.vehicle,
            operator_company_id=scene.company_id,
            starts_at=now,
        )
        bob = await log_in(BOB, services=services, now=now)
        path = f"/v1/agreements/{signed.id}/document"
        assert (await api.get(path, headers=bob.headers)).status_code == 404
        assert (await api.get(path)).status_code == 401
        assert (await api.get(path, headers=scene.alice.headers)).content.startswith(b"%PDF-")
        key = await db.fetchval("SELECT store_key FROM agreement_document WHERE agreement_id = $1", signed.id)
        stored = LocalEvidence(Path(settings.evidence_dir))
        assert b"%PDF-" not in file_of(settings, key) and (await stored.get(key) or b"").startswith(b"%PDF-")


class TestTerminate:
    async def test_ends_the_term_now_and_tells_the_features_above(
        self, api: httpx.AsyncClient, scene: Scene, clock: FixedClock
    ) -> None:
        signed = await add_signed_agreement(
            account_id=scene.alice.account_id,
            vehicle=scene.vehicle,
            operator_company_id=scene.company_id,
            starts_at=clock.now() - timedelta(days=10),
        )
        answer = await api.post(f"/v1/agreements/{signed.id}/terminate", headers=scene.alice.headers)
        assert (answer.json()["status"], answer.json()["in_force"]) == ("terminated", False)
        keys = {
            "account_id": scene.alice.account_id,
            "plate_hash": scene.vehicle.plate_hash,
            "operator_company_id": scene.company_id,
        }
        assert await agreements.active_agreement(**keys, at=clock.now()) is None
        assert await agreements.active_agreement(**keys, at=clock.now() - timedelta(seconds=1)) is not None
        assert await db.fetchval("SELECT count(*) FROM domain_event WHERE name = 'AgreementTerminated'") == 1
        again = await api.post(f"/v1/agreements/{signed.id}/terminate", headers=scene.alice.headers)
        assert (again.status_code, again.json()["code"]) == (409, "agreement_over")
        assert (await apply_for(api, scene.alice, scene.vehicle)).status_code == 201

    async def test_withdraws_an_application(self, api: httpx.AsyncClient, scene: Scene) -> None:
        agreement_id = (await apply_for(api, scene.alice, scene.vehicle)).json()["id"]
        answer = await api.post(f"/v1/agreements/{agreement_id}/terminate", headers=scene.alice.headers)
        assert answer.json()["status"] == "terminated"
        assert await db.fetchval("SELECT count(*) FROM domain_event WHERE name = 'AgreementTerminated'") == 0
        decided = await api.post(f"/v1/operator/agreements/{agreement_id}/approve", headers=scene.li.headers)
        assert decided.json()["code"] == "already_decided"


class TestPackages:
    async def test_begin_with_pay_as_you_go_in_the_callers_language(
        self, api: httpx.AsyncClient, scene: Scene, now: datetime
    ) -> None:
        english = (await api.get("/v1/packages")).json()["items"]
        chinese = (await api.get("/v1/packages", headers={"Accept-Language": "zh-CN"})).json()["items"]
        assert [(item["code"], item["name"], item["price_fen"]) for item in english] == [
            ("pay_as_you_go", "Pay as you go", 0)
        ]
        assert chinese[0]["name"] == "按次付费"
        signed = await add_signed_agreement(
            account_id=scene.alice.account_id,
            vehicle=scene.vehicle,
            operator_company_id=scene.company_id,
            starts_at=now,
        )
        assert str(signed.package_id) == english[0]["id"]

    @pytest.mark.parametrize(("of", "status"), [("demo", 200), ("other", 404)])
    async def test_can_be_chosen_from_the_own_company_only(
        self, api: httpx.AsyncClient, scene: Scene, now: datetime, of: str, status: int
    ) -> None:
        signed = await add_signed_agreement(
            account_id=scene.alice.account_id,
            vehicle=scene.vehicle,
            operator_company_id=scene.company_id,
            starts_at=now,
        )
        company = scene.company_id if of == "demo" else await add_company(name="远邻充电")
        package_id = await offer_package(operator_company_id=company)
        answer = await api.post(
            f"/v1/agreements/{signed.id}/package", json={"package_id": str(package_id)}, headers=scene.alice.headers
        )
        assert answer.status_code == status
        kept = await db.fetchval("SELECT count(*) FROM agreement_package WHERE agreement_id = $1", signed.id)
        assert kept == (1 if status == 200 else 0)

    async def test_need_an_agreement_in_force(self, api: httpx.AsyncClient, scene: Scene) -> None:
        applied = (await apply_for(api, scene.alice, scene.vehicle)).json()
        answer = await api.post(
            f"/v1/agreements/{applied['id']}/package",
            json={"package_id": applied["package_id"]},
            headers=scene.alice.headers,
        )
        assert (answer.status_code, answer.json()["code"]) == (409, "agreement_over")


class TestText:
    async def test_of_the_first_version_is_never_edited(self, scene: Scene, now: datetime) -> None:
        text = await current_text(at=now, operator_company_id=scene.company_id)
        assert text.version == 1
        assert text.sha256.hex() == "e3b38a6617f058b11f7df3209048d07dc795bf122c60d85810b5459256405abf"

    @pytest.mark.parametrize("change", ["UPDATE agreement_text SET body = ''", "DELETE FROM agreement_text"])
    async def test_cannot_be_changed_by_the_service(self, scene: Scene, change: str) -> None:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            async with db.transaction():
                await db.execute(change)
