"""The review of an operator company, over HTTP."""

from datetime import datetime, timedelta

import httpx
import pytest

from backend.core import db
from backend.core.services import Services
from tests.agreements.conftest import Scene, apply_for
from tests.cast import CHARLIE, LI, QIAN, SUN, WANG, ZHAO, ZHOU, Person
from tests.factories.accounts import add_vehicle, log_in
from tests.factories.agreements import PNG, add_signed_agreement
from tests.fakes import FixedClock
from tests.jobs import run_due_jobs

PATH = "/v1/operator/agreements"


class TestReviewList:
    async def test_shows_what_waits_page_by_page(
        self, api: httpx.AsyncClient, scene: Scene, services: Services
    ) -> None:
        for i in range(3):
            vehicle = await add_vehicle(account_id=scene.alice.account_id, plate=f"京AD1234{i}")
            assert (await apply_for(api, scene.alice, vehicle)).status_code == 201
        params = {"status": "submitted", "limit": 2}
        first = (await api.get(PATH, params=params, headers=scene.li.headers)).json()
        second = (await api.get(PATH, params=params | {"cursor": first["next"]}, headers=scene.li.headers)).json()
        assert [item["plate"] for item in first["items"] + second["items"]] == [f"京AD1234{i}" for i in range(3)]
        assert second["next"] is None
        assert (await api.get(PATH, params={"status": "signed"}, headers=scene.li.headers)).json()["items"] == []

    @pytest.mark.parametrize(
        ("person", "read", "approve"),
        [(LI, 200, 200), (QIAN, 200, 200), (ZHAO, 200, 200), (SUN, 200, 403), (WANG, 403, 403), (CHARLIE, 403, 403)],
    )
    async def test_is_read_by_some_and_decided_by_fewer(
        self,
        api: httpx.AsyncClient,
        scene: Scene,
        services: Services,
        now: datetime,
        person: Person,
        read: int,
        approve: int,
    ) -> None:
        agreement_id = (await apply_for(api, scene.alice, scene.vehicle)).json()["id"]
        login = await log_in(person, services=services, now=now)
        assert (await api.get(PATH, headers=login.headers)).status_code == read
        assert (await api.get(f"{PATH}/{agreement_id}", headers=login.headers)).status_code == read
        assert (await api.post(f"{PATH}/{agreement_id}/approve", headers=login.headers)).status_code == approve

    async def test_of_another_company_is_not_there(
        self, api: httpx.AsyncClient, scene: Scene, services: Services, now: datetime
    ) -> None:
        agreement_id = (await apply_for(api, scene.alice, scene.vehicle)).json()["id"]
        sent = await api.post(
            f"/v1/agreements/{agreement_id}/evidence", files={"file": ("a.png", PNG)}, headers=scene.alice.headers
        )
        zhou = await log_in(ZHOU, services=services, now=now)
        assert (await api.get(PATH, headers=zhou.headers)).json()["items"] == []
        evidence = f"{PATH}/{agreement_id}/evidence/{sent.json()['id']}"
        reads = [await api.get(path, headers=zhou.headers) for path in (f"{PATH}/{agreement_id}", evidence)]
        decisions = [
            await api.post(f"{PATH}/{agreement_id}/{verb}", json={"reason": "not ours"}, headers=zhou.headers)
            for verb in ("approve", "reject")
        ]
        absent = await api.get(f"{PATH}/01900000-0000-7000-8000-000000000000", headers=zhou.headers)
        assert {answer.status_code for answer in (*reads, *decisions, absent)} == {404}
        assert {answer.json()["detail"] for answer in (*reads, *decisions, absent)} == {absent.json()["detail"]}
        assert (await api.get(evidence, headers=scene.li.headers)).content == PNG


class TestDecision:
    async def test_approves_tells_the_resident_and_keeps_who_did_it(self, api: httpx.AsyncClient, scene: Scene) -> None:
        agreement_id = (await apply_for(api, scene.alice, scene.vehicle)).json()["id"]
        answer = await api.post(f"{PATH}/{agreement_id}/approve", headers=scene.li.headers)
        assert (answer.status_code, answer.json()["status"]) == (200, "approved")
        row = await db.fetchrow("SELECT * FROM audit_entry WHERE action = 'agreement.approved'")
        assert row is not None
        assert (row["actor_id"], row["operator_company_id"]) == (scene.li.account_id, scene.company_id)
        inbox = await api.get("/v1/inbox", headers=scene.alice.headers)
        assert [item["title"] for item in inbox.json()["items"]] == ["Agreement approved"]

    async def test_rejects_with_a_reason_the_resident_reads_and_frees_the_plate(
        self, api: httpx.AsyncClient, scene: Scene
    ) -> None:
        agreement_id = (await apply_for(api, scene.alice, scene.vehicle)).json()["id"]
        no_reason = await api.post(f"{PATH}/{agreement_id}/reject", json={"reason": ""}, headers=scene.li.headers)
        assert no_reason.status_code == 422
        body = {"reason": "行驶证照片不清晰"}
        answer = await api.post(f"{PATH}/{agreement_id}/reject", json=body, headers=scene.li.headers)
        assert answer.json()["status"] == "rejected"
        own = (await api.get(f"/v1/agreements/{agreement_id}", headers=scene.alice.headers)).json()
        assert own["decision_reason"] == "行驶证照片不清晰"
        assert (await apply_for(api, scene.alice, scene.vehicle)).status_code == 201

    async def test_ends_an_agreement_with_a_reason_the_resident_reads(
        self, api: httpx.AsyncClient, scene: Scene, services: Services, now: datetime
    ) -> None:
        signed = await add_signed_agreement(
            account_id=scene.alice.account_id, vehicle=scene.vehicle, operator_company_id=scene.company_id
        )
        body = {"reason": "申报不实：已有自有车位"}
        zhou = await log_in(ZHOU, services=services, now=now)
        foreign = await api.post(f"{PATH}/{signed.id}/terminate", json=body, headers=zhou.headers)
        answer = await api.post(f"{PATH}/{signed.id}/terminate", json=body, headers=scene.li.headers)
        again = await api.post(f"{PATH}/{signed.id}/terminate", json=body, headers=scene.li.headers)
        assert (foreign.status_code, answer.status_code, again.status_code) == (404, 200, 409)
        own = (await api.get(f"/v1/agreements/{signed.id}", headers=scene.alice.headers)).json()
        assert (own["status"], own["in_force"], own["decision_reason"]) == ("terminated", False, body["reason"])
        inbox = (await api.get("/v1/inbox", headers=scene.alice.headers)).json()["items"]
        assert [item["title"] for item in inbox] == ["Agreement ended"]

    async def test_is_made_once(self, api: httpx.AsyncClient, scene: Scene) -> None:
        agreement_id = (await apply_for(api, scene.alice, scene.vehicle)).json()["id"]
        await api.post(f"{PATH}/{agreement_id}/approve", headers=scene.li.headers)
        again = await api.post(f"{PATH}/{agreement_id}/reject", json={"reason": "no"}, headers=scene.li.headers)
        assert (again.status_code, again.json()["code"]) == (409, "already_decided")

    async def test_lapses_when_nobody_signs_within_thirty_days(
        self, api: httpx.AsyncClient, scene: Scene, services: Services, clock: FixedClock
    ) -> None:
        agreement_id = (await apply_for(api, scene.alice, scene.vehicle)).json()["id"]
        await api.post(f"{PATH}/{agreement_id}/approve", headers=scene.li.headers)
        await run_due_jobs(now=clock.now() + timedelta(days=30, seconds=-1), services=services, only="agreements.")
        path = f"/v1/operator/agreements/{agreement_id}"
        assert (await api.get(path, headers=scene.li.headers)).json()["status"] == "approved"
        await run_due_jobs(now=clock.now() + timedelta(days=30), services=services, only="agreements.")
        assert (await api.get(path, headers=scene.li.headers)).json()["status"] == "terminated"
        assert (await apply_for(api, scene.alice, scene.vehicle)).status_code == 201

    async def test_keeps_who_read_the_evidence(self, api: httpx.AsyncClient, scene: Scene) -> None:
        agreement_id = (await apply_for(api, scene.alice, scene.vehicle)).json()["id"]
        sent = await api.post(
            f"/v1/agreements/{agreement_id}/evidence", files={"file": ("a.png", PNG)}, headers=scene.alice.headers
        )
        await api.get(f"{PATH}/{agreement_id}/evidence/{sent.json()['id']}", headers=scene.li.headers)
        assert (
            await db.fetchval(
                "SELECT count(*) FROM audit_entry WHERE action = 'agreement.evidence_read' AND actor_id = $1",
                scene.li.account_id,
            )
            == 1
        )
