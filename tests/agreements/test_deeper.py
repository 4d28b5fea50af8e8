"""More asked for, drivers, applications for others, renewal, reminders, texts, over HTTP."""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from backend.agreements import service as agreements
from backend.agreements.service import AgreementView, behalf, packages
from backend.core import db
from backend.core.services import Services
from tests.agreements.conftest import Scene, apply_for
from tests.cast import ALICE, BOB, CHARLIE, QIAN, SUN, ZHAO, ZHOU
from tests.factories.accounts import log_in
from tests.factories.agreements import DECLARATION, PNG, add_signed_agreement, offer_package
from tests.fakes import FixedClock
from tests.jobs import run_due_jobs

PATH = "/v1/operator/agreements"
TEXTS = "/v1/operator/agreement-texts"
BODY = "第一条　目的\n为居民充电。\n第二条　价格\n充电服务费不高于0.5元/千瓦时。\n第三条　期限\n十二个月。\n"


@pytest.fixture
async def signed(scene: Scene) -> AgreementView:
    return await add_signed_agreement(
        account_id=scene.alice.account_id, vehicle=scene.vehicle, operator_company_id=scene.company_id
    )


class TestAskForMore:
    async def test_waits_for_the_applicant_who_answers_and_hands_in_again(
        self, api: httpx.AsyncClient, scene: Scene
    ) -> None:
        agreement_id = (await apply_for(api, scene.alice, scene.vehicle)).json()["id"]
        own = f"/v1/agreements/{agreement_id}"
        early = await api.post(f"{own}/resubmit", json={}, headers=scene.alice.headers)
        assert (early.status_code, early.json()["code"]) == (409, "nothing_asked")
        asked = await api.post(f"{PATH}/{agreement_id}/ask", json={"reason": "请补行驶证"}, headers=scene.li.headers)
        assert (asked.status_code, asked.json()["waiting_for"]) == (200, "resident")
        queue = await api.get(PATH, params={"waiting_for": "company"}, headers=scene.li.headers)
        assert queue.json()["items"] == []
        inbox = (await api.get("/v1/inbox", headers=scene.alice.headers)).json()["items"]
        assert [item["title"] for item in inbox] == ["More is wanted for your application"]
        answered = await api.post(f"{own}/resubmit", json={"note": "已补"}, headers=scene.alice.headers)
        assert [(x["kind"], x["text"]) for x in answered.json()["exchanges"]] == [
            ("asked", "请补行驶证"),
            ("answered", "已补"),
        ]
        queue = await api.get(PATH, params={"waiting_for": "company"}, headers=scene.li.headers)
        assert [item["id"] for item in queue.json()["items"]] == [agreement_id]
        assert (await api.post(f"{PATH}/{agreement_id}/approve", headers=scene.li.headers)).status_code == 200

    async def test_lapses_without_an_answer_in_thirty_days(
        self, api: httpx.AsyncClient, scene: Scene, services: Services, now: datetime
    ) -> None:
        agreement_id = (await apply_for(api, scene.alice, scene.vehicle)).json()["id"]
        await api.post(f"{PATH}/{agreement_id}/ask", json={"reason": "请补充"}, headers=scene.li.headers)
        await run_due_jobs(now=now + timedelta(days=30), services=services, only="agreements.")
        own = (await api.get(f"{PATH}/{agreement_id}", headers=scene.li.headers)).json()
        assert own["status"] == "terminated"


class TestDrivers:
    async def test_may_charge_this_car_at_the_agreement_price_until_taken_off(
        self, api: httpx.AsyncClient, scene: Scene, signed: AgreementView, services: Services, now: datetime
    ) -> None:
        bob = await log_in(BOB, services=services, now=now)
        charlie = await log_in(CHARLIE, services=services, now=now)

        async def at_agreement_price(account_id: Any, plate_hash: bytes) -> bool:
            found = await agreements.active_agreement(
                account_id=account_id, plate_hash=plate_hash, operator_company_id=scene.company_id, at=now
            )
            return found is not None

        plate = scene.vehicle.plate_hash
        assert not await at_agreement_price(bob.account_id, plate)
        path = f"/v1/agreements/{signed.id}/drivers"
        named = await api.post(path, json={"phone": BOB.phone, "name": BOB.name}, headers=scene.alice.headers)
        assert (named.status_code, named.json()["name"]) == (201, BOB.name)
        assert await at_agreement_price(bob.account_id, plate)
        assert not await at_agreement_price(bob.account_id, bytes(32))
        assert not await at_agreement_price(charlie.account_id, plate)
        cars = (await api.get("/v1/me/vehicles", headers=bob.headers)).json()["items"]
        assert [car["plate"] for car in cars] == [scene.vehicle.plate]
        again = await api.post(path, json={"phone": BOB.phone, "name": "x"}, headers=scene.alice.headers)
        assert (again.status_code, again.json()["code"]) == (409, "driver_named")
        foreign = await api.delete(f"{path}/{named.json()['id']}", headers=bob.headers)
        assert foreign.status_code == 404
        gone = await api.delete(f"{path}/{named.json()['id']}", headers=scene.alice.headers)
        assert (gone.status_code, await at_agreement_price(bob.account_id, plate)) == (204, False)

    async def test_are_at_most_five(self, api: httpx.AsyncClient, scene: Scene, signed: AgreementView) -> None:
        path = f"/v1/agreements/{signed.id}/drivers"
        bodies = [{"phone": f"1390000000{n}", "name": "某"} for n in range(6)]
        answers = [await api.post(path, json=body, headers=scene.alice.headers) for body in bodies]
        assert [a.status_code for a in answers] == [201] * 5 + [409]
        assert answers[-1].json()["code"] == "too_many_drivers"


class TestOnBehalf:
    async def test_applies_and_signs_on_paper_on_record(
        self, api: httpx.AsyncClient, scene: Scene, services: Services, now: datetime
    ) -> None:
        community_id = await db.fetchval("SELECT community_id FROM home WHERE account_id = $1", scene.alice.account_id)
        body = {
            "through": "hotline",
            "phone": BOB.phone,
            "plate": "京AD55555",
            "community_id": str(community_id),
            "declaration": DECLARATION | {"name": BOB.name},
        }
        applied = await api.post(f"{PATH}/on-behalf", json=body, headers=scene.li.headers)
        assert (applied.status_code, applied.json()["applied_through"]) == (201, "hotline")
        path = f"{PATH}/{applied.json()['id']}"
        own = await api.post(f"{path}/approve", headers=scene.li.headers)
        assert (own.status_code, own.json()["code"]) == (403, "second_person_needed")
        qian = await log_in(QIAN, services=services, now=now)
        assert (await api.post(f"{path}/approve", headers=qian.headers)).status_code == 200
        text = applied.json()["text"]["sha256"]
        unknown = {"text_sha256": text, "evidence_id": str(scene.company_id)}
        wrong = await api.post(f"{path}/sign-on-paper", json=unknown, headers=qian.headers)
        assert (wrong.status_code, wrong.json()["code"]) == (409, "paper_signature_missing")
        photo = await api.post(
            f"{path}/evidence", files={"file": ("a.png", PNG)}, data={"kind": "paper_signature"}, headers=qian.headers
        )
        assert photo.status_code == 201
        paper = {"text_sha256": text, "evidence_id": photo.json()["id"]}
        signed = await api.post(f"{path}/sign-on-paper", json=paper, headers=qian.headers)
        assert (signed.status_code, signed.json()["status"], signed.json()["in_force"]) == (200, "signed", True)
        bob = await log_in(BOB, services=services, now=now)
        [seen] = (await api.get("/v1/agreements", headers=bob.headers)).json()["items"]
        assert (seen["id"], seen["name"]) == (applied.json()["id"], BOB.name)
        document = await api.get(f"/v1/agreements/{seen['id']}/document", headers=bob.headers)
        assert document.content.startswith(b"%PDF-")
        rows = await db.fetch("SELECT action, actor_id FROM audit_entry WHERE object_id = $1 ORDER BY id", seen["id"])
        assert [(row["action"], row["actor_id"]) for row in rows] == [
            ("agreement.submitted", scene.li.account_id),
            ("agreement.approved", qian.account_id),
            ("agreement.evidence_added", qian.account_id),
            ("agreement.signed", qian.account_id),
        ]

    async def test_is_for_operators_and_leads_of_the_company(
        self, api: httpx.AsyncClient, scene: Scene, services: Services, now: datetime
    ) -> None:
        community_id = await db.fetchval("SELECT community_id FROM home WHERE account_id = $1", scene.alice.account_id)
        body = {
            "through": "desk",
            "phone": BOB.phone,
            "plate": "京AD55555",
            "community_id": str(community_id),
            "declaration": DECLARATION | {"has_own_bay": True},
        }
        sun, zhao, zhou = [await log_in(person, services=services, now=now) for person in (SUN, ZHAO, ZHOU)]
        assert (await api.post(f"{PATH}/on-behalf", json=body, headers=sun.headers)).status_code == 403
        refused = await api.post(f"{PATH}/on-behalf", json=body, headers=zhao.headers)
        assert (refused.status_code, refused.json()["code"]) == (422, "not_eligible")
        foreign = await api.post(
            f"{PATH}/on-behalf", json=body | {"operator_company_id": str(scene.company_id)}, headers=zhou.headers
        )
        assert foreign.status_code == 404
        assert await db.fetchval("SELECT count(*) FROM agreement") == 0


class TestRenewal:
    async def test_begins_when_the_present_term_ends_with_its_package(
        self,
        api: httpx.AsyncClient,
        scene: Scene,
        signed: AgreementView,
        services: Services,
        clock: FixedClock,
    ) -> None:
        assert signed.ends_at is not None
        package_id = await offer_package(operator_company_id=scene.company_id)
        body = {"package_id": str(package_id)}
        await api.post(f"/v1/agreements/{signed.id}/package", json=body, headers=scene.alice.headers)
        path = f"/v1/agreements/{signed.id}/renew"
        early = await api.post(path, json={"declaration": DECLARATION}, headers=scene.alice.headers)
        assert (early.status_code, early.json()["code"]) == (409, "renewal_too_early")
        at = signed.ends_at - timedelta(days=20)
        clock.move_to(at)
        alice = await log_in_again(scene, services, at)
        renewed = await api.post(path, json={"declaration": DECLARATION}, headers=alice)
        assert (renewed.status_code, renewed.json()["renews_id"]) == (201, str(signed.id))
        new_id = renewed.json()["id"]
        await packages_of_renewal(new_id, signed, at)
        chosen = await packages.chosen_of(agreement_id=new_id, at=signed.ends_at)
        assert chosen.present.id == package_id

    async def test_is_reminded_of_thirty_and_seven_days_before_once_each(
        self, scene: Scene, signed: AgreementView
    ) -> None:
        assert signed.ends_at is not None
        told = "SELECT count(*) FROM inbox_message WHERE template = 'agreement_expiring'"
        for days, count in ((31, 0), (30, 1), (29, 1), (7, 2), (1, 2), (0, 2)):
            await behalf.remind_expiring(now=signed.ends_at - timedelta(days=days))
            assert (days, await db.fetchval(told)) == (days, count)


async def log_in_again(scene: Scene, services: Services, at: datetime) -> dict[str, str]:
    return (await log_in(ALICE, services=services, now=at)).headers


async def packages_of_renewal(new_id: Any, signed: AgreementView, now: datetime) -> None:
    """Sign the renewal as far as packages are concerned."""
    assert signed.ends_at is not None
    async with db.transaction():
        await packages.carry_on(renewed_id=signed.id, agreement_id=new_id, from_at=signed.ends_at, now=now)


class TestTexts:
    async def test_are_in_force_from_their_instant_for_their_company_once_two_people_agreed(
        self, api: httpx.AsyncClient, scene: Scene, services: Services, now: datetime, clock: FixedClock
    ) -> None:
        agreement_id = (await apply_for(api, scene.alice, scene.vehicle)).json()["id"]
        later = now + timedelta(minutes=10)
        draft = {"title": "惠民充电服务协议", "body": BODY, "effective_from": later.isoformat()}
        drafted = await api.post(TEXTS, json=draft, headers=scene.li.headers)
        assert (drafted.status_code, drafted.json()["status"]) == (201, "draft")
        path = f"{TEXTS}/{drafted.json()['id']}"
        alone = await api.post(f"{path}/approve", headers=scene.li.headers)
        assert (alone.status_code, alone.json()["code"]) == (403, "second_person_needed")
        qian = await log_in(QIAN, services=services, now=now)
        assert (await api.post(f"{path}/approve", headers=qian.headers)).json()["status"] == "approved"
        twice = await api.post(f"{path}/approve", headers=qian.headers)
        assert (twice.status_code, twice.json()["code"]) == (409, "agreement_text_state")
        own = f"/v1/agreements/{agreement_id}"
        before = (await api.get(own, headers=scene.alice.headers)).json()["text"]
        clock.move_to(later)
        after = (await api.get(own, headers=scene.alice.headers)).json()["text"]
        assert (before["version"], after["version"], after["body"]) == (1, 2, BODY)

    @pytest.mark.parametrize(
        ("change", "field"),
        [
            ({"body": "没有条款"}, "body"),
            ({"body": BODY.replace("0.5元/千瓦时", "0.8元/千瓦时")}, "body"),
            ({"title": " "}, "title"),
            ({"effective_from": datetime(2026, 1, 1, tzinfo=UTC).isoformat()}, "effective_from"),
        ],
    )
    async def test_say_what_would_be_right(
        self, api: httpx.AsyncClient, scene: Scene, now: datetime, change: dict[str, Any], field: str
    ) -> None:
        draft = {"title": "协议", "body": BODY, "effective_from": (now + timedelta(days=1)).isoformat()}
        answer = await api.post(TEXTS, json=draft | change, headers=scene.li.headers)
        assert (answer.status_code, answer.json()["code"]) == (422, "agreement_text_invalid")
        assert answer.json()["field"] == field
