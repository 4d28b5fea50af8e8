"""Packages over HTTP: two people of a company make one, a resident chooses, changes and ends it."""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from backend.agreements.service import AgreementView, packages
from backend.core import db
from backend.core.services import Services
from tests.agreements.conftest import Scene
from tests.cast import QIAN, SUN, ZHOU
from tests.factories.accounts import log_in
from tests.factories.agreements import add_signed_agreement, offer_package
from tests.fakes import FixedClock

PATH = "/v1/operator/packages"
JULY = datetime(2026, 6, 30, 16, tzinfo=UTC)
DRAFT: dict[str, Any] = {
    "code": "valley_150",
    "name_zh": "谷段套餐",
    "name_en": "Valley package",
    "description_zh": "谷段 150 度免服务费",
    "description_en": "150 kWh of the valley band without service fee",
    "kind": "valley",
    "price_fen": 3000,
    "included_wh": 150_000,
    "bands": ["valley"],
}


@pytest.fixture
async def signed(scene: Scene) -> AgreementView:
    return await add_signed_agreement(
        account_id=scene.alice.account_id, vehicle=scene.vehicle, operator_company_id=scene.company_id
    )


async def choose(api: httpx.AsyncClient, scene: Scene, signed: AgreementView, package_id: object) -> httpx.Response:
    return await api.post(
        f"/v1/agreements/{signed.id}/package", json={"package_id": str(package_id)}, headers=scene.alice.headers
    )


class TestDraftingAPackage:
    async def test_needs_two_people_before_it_is_offered(
        self, api: httpx.AsyncClient, scene: Scene, services: Services, now: datetime
    ) -> None:
        drafted = await api.post(PATH, json=DRAFT, headers=scene.li.headers)
        assert (drafted.status_code, drafted.json()["status"]) == (201, "draft")
        path = f"{PATH}/{drafted.json()['id']}"
        alone = await api.post(f"{path}/approve", headers=scene.li.headers)
        assert (alone.status_code, alone.json()["code"]) == (403, "second_person_needed")
        assert [p["code"] for p in (await api.get("/v1/packages")).json()["items"]] == ["pay_as_you_go"]
        qian = await log_in(QIAN, services=services, now=now)
        approved = await api.post(f"{path}/approve", headers=qian.headers)
        assert (approved.status_code, approved.json()["status"]) == (200, "offered")
        offered = (await api.get("/v1/packages")).json()["items"]
        assert [(p["code"], p["price_fen"], p["bands"]) for p in offered] == [
            ("pay_as_you_go", 0, []),
            ("valley_150", 3000, ["valley"]),
        ]
        edited = await api.put(path, json=DRAFT | {"price_fen": 9}, headers=scene.li.headers)
        assert (edited.status_code, edited.json()["code"]) == (409, "package_state")

    async def test_that_is_rewritten_has_a_new_author(
        self, api: httpx.AsyncClient, scene: Scene, services: Services, now: datetime
    ) -> None:
        drafted = (await api.post(PATH, json=DRAFT, headers=scene.li.headers)).json()
        qian = await log_in(QIAN, services=services, now=now)
        path = f"{PATH}/{drafted['id']}"
        rewritten = await api.put(path, json=DRAFT | {"price_fen": 2500}, headers=qian.headers)
        assert (rewritten.json()["price_fen"], rewritten.json()["drafted_by"]) == (2500, str(qian.account_id))
        assert (await api.post(f"{path}/approve", headers=qian.headers)).status_code == 403
        assert (await api.post(f"{path}/approve", headers=scene.li.headers)).status_code == 200

    @pytest.mark.parametrize(
        ("change", "field"),
        [
            ({"bands": ["flat"]}, "bands"),
            ({"included_wh": 0}, "included_wh"),
            ({"price_fen": -1}, "price_fen"),
            ({"kind": "trial"}, "max_periods"),
        ],
    )
    async def test_says_which_field_is_wrong_and_what_would_be_right(
        self, api: httpx.AsyncClient, scene: Scene, change: dict[str, Any], field: str
    ) -> None:
        answer = await api.post(PATH, json=DRAFT | change, headers=scene.li.headers)
        assert (answer.status_code, answer.json()["code"], answer.json()["field"]) == (422, "package_invalid", field)
        assert answer.json()["right"]
        assert (await api.get(PATH, headers=scene.li.headers)).json()["items"] == []

    async def test_takes_a_code_once(self, api: httpx.AsyncClient, scene: Scene) -> None:
        assert (await api.post(PATH, json=DRAFT, headers=scene.li.headers)).status_code == 201
        again = await api.post(PATH, json=DRAFT, headers=scene.li.headers)
        assert (again.status_code, again.json()["code"]) == (409, "package_code_taken")

    async def test_is_seen_by_the_own_company_only(
        self, api: httpx.AsyncClient, scene: Scene, services: Services, now: datetime
    ) -> None:
        drafted = (await api.post(PATH, json=DRAFT, headers=scene.li.headers)).json()
        zhou = await log_in(ZHOU, services=services, now=now)
        sun = await log_in(SUN, services=services, now=now)
        assert (await api.get(PATH, headers=zhou.headers)).json()["items"] == []
        for verb in ("approve", "withdraw"):
            assert (await api.post(f"{PATH}/{drafted['id']}/{verb}", headers=zhou.headers)).status_code == 404
        assert len((await api.get(PATH, headers=sun.headers)).json()["items"]) == 1
        assert (await api.post(PATH, json=DRAFT, headers=sun.headers)).status_code == 403
        assert (await api.post(PATH, json=DRAFT, headers=scene.alice.headers)).status_code == 403
        assert (await api.delete(f"{PATH}/{drafted['id']}", headers=zhou.headers)).status_code == 404
        assert (await api.delete(f"{PATH}/{drafted['id']}", headers=scene.li.headers)).status_code == 204

    async def test_leaves_terms_that_the_database_keeps(self, scene: Scene) -> None:
        package_id = await offer_package(operator_company_id=scene.company_id)
        with pytest.raises(Exception, match="were approved and stay"):
            async with db.transaction():
                await db.execute("UPDATE package SET price_fen = 1 WHERE id = $1", package_id)


class TestChoosingAPackage:
    async def test_begins_at_once_and_changes_with_the_next_month(
        self, api: httpx.AsyncClient, scene: Scene, signed: AgreementView, clock: FixedClock
    ) -> None:
        first = await offer_package(operator_company_id=scene.company_id)
        second = await offer_package(operator_company_id=scene.company_id)
        chosen = (await choose(api, scene, signed, first)).json()
        assert (chosen["present"]["id"], chosen["next"]) == (str(first), None)
        changed = (await choose(api, scene, signed, second)).json()
        assert (changed["present"]["id"], changed["next"]["id"]) == (str(first), str(second))
        assert datetime.fromisoformat(changed["next_from"]) == JULY
        kept = (await choose(api, scene, signed, first)).json()
        assert (kept["present"]["id"], kept["next"]) == (str(first), None)
        await choose(api, scene, signed, second)
        clock.move_to(JULY)
        later = await packages.chosen_of(agreement_id=signed.id, at=JULY)
        assert (later.present.id, later.next) == (second, None)

    async def test_ends_with_the_month(
        self, api: httpx.AsyncClient, scene: Scene, signed: AgreementView, now: datetime
    ) -> None:
        package_id = await offer_package(operator_company_id=scene.company_id)
        await choose(api, scene, signed, package_id)
        ended = (await api.post(f"/v1/agreements/{signed.id}/package/end", headers=scene.alice.headers)).json()
        assert (ended["present"]["id"], ended["next"]["code"]) == (str(package_id), "pay_as_you_go")
        periods = await packages.periods_of(
            account_id=scene.alice.account_id, operator_company_id=scene.company_id, at=now
        )
        assert [(p.package.kind, p.ends_at) for p in periods] == [("pay_as_you_go", now), ("bundle", JULY)]
        july = await packages.periods_of(
            account_id=scene.alice.account_id, operator_company_id=scene.company_id, at=JULY
        )
        assert [p.package.kind for p in july] == ["pay_as_you_go"]

    async def test_after_its_end_is_refused(
        self, api: httpx.AsyncClient, scene: Scene, signed: AgreementView, now: datetime
    ) -> None:
        over = await offer_package(operator_company_id=scene.company_id, available_until=now)
        later = await offer_package(operator_company_id=scene.company_id, available_from=now + timedelta(seconds=1))
        answers = [await choose(api, scene, signed, package_id) for package_id in (over, later)]
        assert [(a.status_code, a.json()["code"], a.json()["field"]) for a in answers] == [
            (409, "package_over", "package_id"),
            (409, "package_not_yet", "package_id"),
        ]
        assert await db.fetchval("SELECT count(*) FROM agreement_package") == 0
        assert [p["code"] for p in (await api.get("/v1/packages")).json()["items"]] == ["pay_as_you_go"]

    async def test_that_is_withdrawn_runs_to_the_months_end(
        self, api: httpx.AsyncClient, scene: Scene, signed: AgreementView, now: datetime
    ) -> None:
        package_id = await offer_package(operator_company_id=scene.company_id)
        await choose(api, scene, signed, package_id)
        withdrawn = await api.post(f"{PATH}/{package_id}/withdraw", headers=scene.li.headers)
        assert withdrawn.json()["status"] == "withdrawn"
        inbox = (await api.get("/v1/inbox", headers=scene.alice.headers)).json()["items"]
        [told] = [item["body"] for item in inbox if item["title"] == "Your package ends"]
        assert "“Monthly bundle” is yours until 2026-06-30" in told or "“月度套餐” is yours until 2026-06-30" in told
        assert (await packages.chosen_of(agreement_id=signed.id, at=now)).present.id == package_id
        assert (await packages.chosen_of(agreement_id=signed.id, at=JULY)).present.kind == "pay_as_you_go"
        await api.post(f"/v1/agreements/{signed.id}/package/end", headers=scene.alice.headers)
        again = await choose(api, scene, signed, package_id)
        assert (again.status_code, again.json()["code"]) == (409, "package_over")

    async def test_of_another_resident_is_not_there(
        self, api: httpx.AsyncClient, scene: Scene, signed: AgreementView
    ) -> None:
        package_id = await offer_package(operator_company_id=scene.company_id)
        path = f"/v1/agreements/{signed.id}/package"
        hidden = await api.post(path, json={"package_id": str(package_id)}, headers=scene.li.headers)
        assert (hidden.status_code, (await api.get(path, headers=scene.li.headers)).status_code) == (404, 404)


class TestATrial:
    async def test_is_for_new_residents_once_and_ends_by_itself(
        self, api: httpx.AsyncClient, scene: Scene, now: datetime
    ) -> None:
        signed = await add_signed_agreement(
            account_id=scene.alice.account_id,
            vehicle=scene.vehicle,
            operator_company_id=scene.company_id,
            starts_at=now - timedelta(days=60),
        )
        trial = await offer_package(operator_company_id=scene.company_id, kind="trial", price_fen=0, max_periods=1)
        chosen = (await choose(api, scene, signed, trial)).json()
        assert (chosen["present"]["id"], chosen["next"]["code"]) == (str(trial), "pay_as_you_go")
        bundle = await offer_package(operator_company_id=scene.company_id)
        assert (await choose(api, scene, signed, bundle)).json()["next"]["id"] == str(bundle)
        other = await offer_package(operator_company_id=scene.company_id, kind="trial", price_fen=0, max_periods=2)
        again = await choose(api, scene, signed, other)
        assert (again.status_code, again.json()["code"]) == (409, "trial_refused")

    async def test_is_refused_to_who_has_been_here_long(
        self, api: httpx.AsyncClient, scene: Scene, signed: AgreementView
    ) -> None:
        trial = await offer_package(operator_company_id=scene.company_id, kind="trial", price_fen=0, max_periods=1)
        answer = await choose(api, scene, signed, trial)
        assert (answer.status_code, answer.json()["code"]) == (409, "trial_refused")
