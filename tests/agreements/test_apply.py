"""Applying and evidence, over HTTP."""

from datetime import datetime, timedelta
from pathlib import Path

import httpx
import pytest

from backend.accounts import service as accounts
from backend.agreements.rules.files import MAX_BYTES
from backend.core import db
from backend.core.services import Services
from backend.core.settings import Settings
from tests.agreements.conftest import Scene, apply_for
from tests.cast import BOB, CHARLIE
from tests.factories.accounts import add_company, add_vehicle, log_in
from tests.factories.agreements import DECLARATION, PDF, PNG, add_home, add_signed_agreement
from tests.factories.stations import BEIJING_LAT, BEIJING_LNG, add_station


def stored_files(settings: Settings) -> list[Path]:
    """Return the files in the evidence store."""
    return [path for path in Path(settings.evidence_dir).rglob("*") if path.is_file()]


class TestApply:
    async def test_is_taken_when_every_condition_is_met(self, api: httpx.AsyncClient, scene: Scene) -> None:
        answer = await apply_for(api, scene.alice, scene.vehicle)
        assert answer.status_code == 201
        body = answer.json()
        assert (body["status"], body["in_force"], body["plate"]) == ("submitted", False, "京AD12345")
        assert body["operator_company_id"] == str(scene.company_id)
        assert len(body["text"]["sha256"]) == 64 and "不高于0.5元" in body["text"]["body"]
        listed = (await api.get("/v1/agreements", headers=scene.alice.headers)).json()["items"]
        assert [item["id"] for item in listed] == [body["id"]]

    async def test_names_every_condition_that_is_not_met(self, api: httpx.AsyncClient, scene: Scene) -> None:
        answer = await apply_for(api, scene.alice, scene.vehicle, has_own_bay=True, vehicle_energy="fuel")
        assert (answer.status_code, answer.json()["code"]) == (422, "not_eligible")
        failed = answer.json()["failed"]
        assert [item["condition"] for item in failed] == ["has_own_bay", "not_a_new_energy_vehicle"]
        assert all(item["text_zh"] and item["text_en"] for item in failed)
        assert await db.fetchval("SELECT count(*) FROM agreement") == 0

    async def test_needs_a_home(self, api: httpx.AsyncClient, scene: Scene, services: Services, now: datetime) -> None:
        bob = await log_in(BOB, services=services, now=now)
        vehicle = await add_vehicle(account_id=bob.account_id, plate="京AD54321")
        answer = await apply_for(api, bob, vehicle)
        assert [item["condition"] for item in answer.json()["failed"]] == ["home_unknown"]

    @pytest.mark.parametrize("pilot", [True, False])
    async def test_needs_a_pilot_station_within_500_m(
        self, api: httpx.AsyncClient, scene: Scene, services: Services, now: datetime, pilot: bool
    ) -> None:
        far = BEIJING_LAT + 1
        await add_station(operator_company_id=scene.company_id, pilot=pilot, lat=far + (0.005 if pilot else 0))
        bob = await log_in(BOB, services=services, now=now)
        await add_home(account_id=bob.account_id, lat=far, lng=BEIJING_LNG)
        answer = await apply_for(api, bob, await add_vehicle(account_id=bob.account_id, plate="京AD54321"))
        assert [item["condition"] for item in answer.json()["failed"]] == ["home_too_far"]

    async def test_is_with_the_company_of_the_nearest_station_or_the_named_one(
        self, api: httpx.AsyncClient, scene: Scene, services: Services, now: datetime
    ) -> None:
        other = await add_company(name="远邻充电")
        await add_station(operator_company_id=other, lat=BEIJING_LAT + 0.002)
        first = await apply_for(api, scene.alice, scene.vehicle)
        assert first.json()["operator_company_id"] == str(scene.company_id)
        second = await add_vehicle(account_id=scene.alice.account_id, plate="京AD54321")
        body = {"vehicle_id": str(second.id), "declaration": DECLARATION, "operator_company_id": str(other)}
        named = await api.post("/v1/agreements", json=body, headers=scene.alice.headers)
        assert (named.json()["operator_company_id"], named.json()["distance_m"]) == (str(other), 222)

    async def test_is_refused_for_a_vehicle_of_somebody_else(
        self, api: httpx.AsyncClient, scene: Scene, services: Services, now: datetime
    ) -> None:
        charlie = await log_in(CHARLIE, services=services, now=now)
        answer = await apply_for(api, charlie, scene.vehicle)
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")

    async def test_is_refused_while_the_plate_has_an_application_or_an_agreement(
        self, api: httpx.AsyncClient, scene: Scene, services: Services, now: datetime
    ) -> None:
        bob = await log_in(BOB, services=services, now=now)
        await add_home(account_id=bob.account_id)
        same_car = await add_vehicle(account_id=bob.account_id)
        await apply_for(api, scene.alice, scene.vehicle)
        refused = await apply_for(api, bob, same_car)
        assert (refused.status_code, refused.json()["code"]) == (409, "vehicle_has_agreement")
        other_car = await add_vehicle(account_id=bob.account_id, plate="京AD54321")
        other = await add_company(name="远邻充电")
        await add_signed_agreement(
            account_id=bob.account_id, vehicle=other_car, operator_company_id=other, starts_at=now - timedelta(days=300)
        )
        assert (await apply_for(api, bob, other_car)).json()["code"] == "vehicle_has_agreement"

    async def test_is_taken_again_in_the_last_thirty_days(
        self, api: httpx.AsyncClient, scene: Scene, now: datetime
    ) -> None:
        await add_signed_agreement(
            account_id=scene.alice.account_id,
            vehicle=scene.vehicle,
            operator_company_id=scene.company_id,
            starts_at=now - timedelta(days=340),
        )
        assert (await apply_for(api, scene.alice, scene.vehicle)).status_code == 201

    async def test_says_which_field_is_missing(self, api: httpx.AsyncClient, scene: Scene) -> None:
        body = {"vehicle_id": str(scene.vehicle.id), "declaration": {"name": "李小爱"}}
        answer = await api.post("/v1/agreements", json=body, headers=scene.alice.headers)
        assert (answer.status_code, answer.json()["code"]) == (422, "fields_invalid")

    async def test_keeps_name_and_plate_encrypted(self, api: httpx.AsyncClient, scene: Scene) -> None:
        await apply_for(api, scene.alice, scene.vehicle)
        rows = await db.fetch("SELECT a.*, p.* FROM agreement a JOIN agreement_party p ON p.agreement_id = a.id")
        stored = repr([dict(row) for row in rows])
        assert "李小爱" not in stored and "AD12345" not in stored
        audit = await db.fetchval("SELECT detail::text FROM audit_entry WHERE action = 'agreement.submitted'")
        assert "AD12345" not in audit


class TestEvidence:
    async def send(
        self, api: httpx.AsyncClient, scene: Scene, agreement_id: str, content: bytes, media_type: str = "image/png"
    ) -> httpx.Response:
        """Upload a file."""
        return await api.post(
            f"/v1/agreements/{agreement_id}/evidence",
            files={"file": ("licence.png", content, media_type)},
            data={"kind": "driving_licence"},
            headers=scene.alice.headers,
        )

    async def test_is_kept_encrypted_and_comes_back_as_it_was(
        self, api: httpx.AsyncClient, scene: Scene, settings: Settings
    ) -> None:
        agreement_id = (await apply_for(api, scene.alice, scene.vehicle)).json()["id"]
        sent = await self.send(api, scene, agreement_id, PNG)
        assert (sent.status_code, sent.json()["kind"], sent.json()["media_type"]) == (
            201,
            "driving_licence",
            "image/png",
        )
        files = stored_files(settings)
        assert len(files) == 1 and b"a picture" not in files[0].read_bytes()
        path = f"/v1/agreements/{agreement_id}/evidence/{sent.json()['id']}"
        back = await api.get(path, headers=scene.alice.headers)
        assert (back.content, back.headers["content-type"]) == (PNG, "image/png")
        assert back.headers["x-content-type-options"] == "nosniff"
        whole = (await api.get(f"/v1/agreements/{agreement_id}", headers=scene.alice.headers)).json()
        assert [item["id"] for item in whole["evidence"]] == [sent.json()["id"]]

    async def test_is_one_when_the_same_file_comes_twice(self, api: httpx.AsyncClient, scene: Scene) -> None:
        agreement_id = (await apply_for(api, scene.alice, scene.vehicle)).json()["id"]
        first = await self.send(api, scene, agreement_id, PDF, "application/pdf")
        again = await self.send(api, scene, agreement_id, PDF, "application/pdf")
        assert first.json()["id"] == again.json()["id"]

    @pytest.mark.parametrize(
        ("content", "media_type"), [(b"<html></html>", "image/png"), (PNG[:-5], "image/png"), (b"", "image/png")]
    )
    async def test_is_refused_when_it_is_no_picture_or_paper(
        self, api: httpx.AsyncClient, scene: Scene, settings: Settings, content: bytes, media_type: str
    ) -> None:
        agreement_id = (await apply_for(api, scene.alice, scene.vehicle)).json()["id"]
        answer = await self.send(api, scene, agreement_id, content, media_type)
        assert (answer.status_code, answer.json()["code"], answer.json()["field"]) == (422, "evidence_refused", "file")
        assert stored_files(settings) == []

    async def test_is_refused_when_it_is_not_what_it_says(
        self, api: httpx.AsyncClient, scene: Scene, settings: Settings
    ) -> None:
        agreement_id = (await apply_for(api, scene.alice, scene.vehicle)).json()["id"]
        answer = await self.send(api, scene, agreement_id, PNG, "application/pdf")
        problem = answer.json()
        assert (answer.status_code, problem["code"], problem["field"]) == (422, "evidence_not_what_it_says", "file")
        assert (problem["claimed"], problem["found"]) == ("application/pdf", "image/png")
        assert "Content-Type: image/png" in problem["detail"]
        assert stored_files(settings) == []

    async def test_is_refused_a_little_above_ten_megabytes(
        self, api: httpx.AsyncClient, scene: Scene, settings: Settings
    ) -> None:
        agreement_id = (await apply_for(api, scene.alice, scene.vehicle)).json()["id"]
        answer = await self.send(api, scene, agreement_id, PNG[:12] + bytes(MAX_BYTES) + PNG[12:])
        assert (answer.status_code, answer.json()["code"]) == (422, "evidence_too_large")
        assert answer.json()["max_bytes"] == MAX_BYTES
        assert stored_files(settings) == []

    async def test_is_refused_above_ten_megabytes(self, api: httpx.AsyncClient, scene: Scene) -> None:
        agreement_id = (await apply_for(api, scene.alice, scene.vehicle)).json()["id"]
        answer = await self.send(api, scene, agreement_id, b"%PDF-" + bytes(11 * 1024 * 1024), "application/pdf")
        assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")

    async def test_is_refused_beyond_twenty_files_and_after_the_decision(
        self, api: httpx.AsyncClient, scene: Scene
    ) -> None:
        agreement_id = (await apply_for(api, scene.alice, scene.vehicle)).json()["id"]
        answers = [await self.send(api, scene, agreement_id, PNG[:12] + bytes([i]) + PNG[12:]) for i in range(21)]
        assert [answer.status_code for answer in answers] == [201] * 20 + [409]
        assert answers[-1].json()["code"] == "too_much_evidence"
        await api.post(f"/v1/operator/agreements/{agreement_id}/approve", headers=scene.li.headers)
        late = await self.send(api, scene, agreement_id, PNG)
        assert (late.status_code, late.json()["code"]) == (409, "agreement_over")

    async def test_of_others_is_not_there(
        self, api: httpx.AsyncClient, scene: Scene, services: Services, now: datetime
    ) -> None:
        agreement_id = (await apply_for(api, scene.alice, scene.vehicle)).json()["id"]
        evidence_id = (await self.send(api, scene, agreement_id, PNG)).json()["id"]
        bob = await log_in(BOB, services=services, now=now)
        for path in (f"/v1/agreements/{agreement_id}", f"/v1/agreements/{agreement_id}/evidence/{evidence_id}"):
            assert (await api.get(path, headers=bob.headers)).status_code == 404
        assert await accounts.list_vehicles(account_id=bob.account_id) == []
