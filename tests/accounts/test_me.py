"""The own profile, vehicles, devices and consents, over HTTP."""

from datetime import datetime
from uuid import UUID

import httpx
import pytest

from backend.accounts import service as accounts
from backend.accounts.service import consents
from backend.core import crypto, db
from backend.core.services import Services
from tests.cast import ALICE, BOB, WANG
from tests.factories.accounts import log_in


class TestProfile:
    async def test_needs_a_login(self, api: httpx.AsyncClient) -> None:
        answer = await api.get("/v1/me")
        assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")

    async def test_tells_staff_their_roles(self, api: httpx.AsyncClient, services: Services, now: datetime) -> None:
        wang = await log_in(WANG, services=services, now=now)
        roles = (await api.get("/v1/me", headers=wang.headers)).json()["roles"]
        assert [(role["role"], role["operator_company"]) for role in roles] == [("guard", "邻里示范")]

    async def test_is_replaced_as_a_whole(self, api: httpx.AsyncClient, services: Services, now: datetime) -> None:
        alice = await log_in(ALICE, services=services, now=now)
        changed = await api.put("/v1/me", json={"name": "小爱", "locale": "en"}, headers=alice.headers)
        assert (changed.json()["name"], changed.json()["locale"]) == ("小爱", "en")
        emptied = await api.put("/v1/me", json={}, headers=alice.headers)
        assert (emptied.json()["name"], emptied.json()["locale"]) == (None, "zh-CN")

    async def test_keeps_nothing_personal_in_clear(
        self, api: httpx.AsyncClient, services: Services, now: datetime
    ) -> None:
        alice = await log_in(ALICE, services=services, now=now)
        row = await db.fetchrow("SELECT * FROM account WHERE id = $1", alice.account_id)
        assert row is not None
        stored = b"".join(value for value in row.values() if isinstance(value, bytes))
        assert ALICE.phone.encode() not in stored and ALICE.name.encode() not in stored
        assert crypto.decrypt(row["phone_cipher"]) == ALICE.phone


class TestVehicles:
    async def test_are_listed_in_one_written_form(
        self, api: httpx.AsyncClient, services: Services, now: datetime
    ) -> None:
        alice = await log_in(ALICE, services=services, now=now)
        body = {"plate": "京a·d12345", "battery_wh": 60000, "chemistry": "lfp"}
        added = await api.post("/v1/me/vehicles", json=body, headers=alice.headers)
        assert added.status_code == 201
        assert added.json() | {"id": ""} == {
            "id": "",
            "plate": "京AD12345",
            "energy_hint": "nev",
            "battery_wh": 60000,
            "chemistry": "lfp",
        }
        listed = (await api.get("/v1/me/vehicles", headers=alice.headers)).json()
        assert listed == {"items": [added.json()], "next": None}

    async def test_stand_once_in_a_list_and_in_the_lists_of_a_family(
        self, api: httpx.AsyncClient, services: Services, now: datetime
    ) -> None:
        alice = await log_in(ALICE, services=services, now=now)
        bob = await log_in(BOB, services=services, now=now)
        statuses = [
            (await api.post("/v1/me/vehicles", json={"plate": "京AD12345"}, headers=person.headers)).status_code
            for person in (alice, alice, bob)
        ]
        assert statuses == [201, 409, 201]
        family = await accounts.list_vehicles_by_plate_hash(plate_hash=crypto.lookup_hash("京AD12345"))
        assert [vehicle.account_id for vehicle in family] == [alice.account_id, bob.account_id]

    async def test_are_at_most_twenty(self, api: httpx.AsyncClient, services: Services, now: datetime) -> None:
        alice = await log_in(ALICE, services=services, now=now)
        answers = [
            await api.post("/v1/me/vehicles", json={"plate": f"京AD{i:05d}"}, headers=alice.headers) for i in range(21)
        ]
        assert [answer.status_code for answer in answers] == [201] * 20 + [409]
        assert answers[-1].json()["code"] == "too_many_vehicles"

    @pytest.mark.parametrize(
        ("body", "code"),
        [
            ({"plate": "ABC"}, "plate_unreadable"),
            ({"plate": "京AD12345", "battery_wh": 60}, "fields_invalid"),
            ({"plate": "京AD12345", "battery_wh": "much"}, "fields_invalid"),
            ({"plate": "京AD12345", "chemistry": "lead"}, "fields_invalid"),
            ({}, "fields_invalid"),
        ],
    )
    async def test_are_refused_with_what_is_wrong(
        self, api: httpx.AsyncClient, services: Services, now: datetime, body: dict[str, object], code: str
    ) -> None:
        alice = await log_in(ALICE, services=services, now=now)
        answer = await api.post("/v1/me/vehicles", json=body, headers=alice.headers)
        assert (answer.status_code, answer.json()["code"]) == (422, code)

    async def test_are_removed_by_their_owner_only(
        self, api: httpx.AsyncClient, services: Services, now: datetime
    ) -> None:
        alice = await log_in(ALICE, services=services, now=now)
        bob = await log_in(BOB, services=services, now=now)
        vehicle = (await api.post("/v1/me/vehicles", json={"plate": "京AD12345"}, headers=alice.headers)).json()
        path = f"/v1/me/vehicles/{vehicle['id']}"
        statuses = [(await api.delete(path, headers=person.headers)).status_code for person in (bob, alice, alice)]
        assert statuses == [404, 204, 404]
        again = await api.post("/v1/me/vehicles", json={"plate": "京AD12345"}, headers=alice.headers)
        assert again.status_code == 201 and again.json()["id"] != vehicle["id"]


class TestPushTokens:
    async def test_belong_to_the_account_that_registered_them_last(
        self, api: httpx.AsyncClient, services: Services, now: datetime
    ) -> None:
        alice = await log_in(ALICE, services=services, now=now)
        bob = await log_in(BOB, services=services, now=now)
        body = {"platform": "ios", "token": "a" * 64}
        ids = {
            (await api.post("/v1/me/push-tokens", json=body, headers=person.headers)).json()["id"]
            for person in (alice, alice, bob)
        }
        assert len(ids) == 1
        assert (await accounts.get_contact(account_id=alice.account_id)).push_tokens == ()
        contact = await accounts.get_contact(account_id=bob.account_id)
        assert [(token.platform, token.token) for token in contact.push_tokens] == [("ios", "a" * 64)]
        foreign = await api.delete(f"/v1/me/push-tokens/{ids.copy().pop()}", headers=alice.headers)
        own = await api.delete(f"/v1/me/push-tokens/{ids.pop()}", headers=bob.headers)
        assert (foreign.status_code, own.status_code) == (404, 204)

    async def test_are_kept_for_the_newest_five_devices(
        self, services: Services, database: object, now: datetime
    ) -> None:
        alice = await log_in(ALICE, services=services, now=now)
        for i in range(7):
            await accounts.register_push_token(account_id=alice.account_id, platform="ios", token=f"token-{i}", now=now)
        contact = await accounts.get_contact(account_id=alice.account_id)
        assert [token.token for token in contact.push_tokens] == [f"token-{i}" for i in range(2, 7)]


class TestConsents:
    async def test_are_per_purpose_and_the_latest_counts(
        self, api: httpx.AsyncClient, services: Services, now: datetime
    ) -> None:
        alice = await log_in(ALICE, services=services, now=now)
        for purpose, given in (("location", True), ("marketing", True), ("marketing", False)):
            body = {"given": given, "text_version": "2026-01"}
            assert (await api.put(f"/v1/me/consents/{purpose}", json=body, headers=alice.headers)).status_code == 200
        shown = (await api.get("/v1/me", headers=alice.headers)).json()["consents"]
        assert {row["purpose"]: row["given"] for row in shown} == {"location": True, "marketing": False}
        assert await consents.has_consent(account_id=alice.account_id, purpose="location")
        assert not await consents.has_consent(account_id=alice.account_id, purpose="service_terms")
        assert await db.fetchval("SELECT count(*) FROM consent WHERE account_id = $1", alice.account_id) == 3

    async def test_are_refused_for_an_unknown_purpose(
        self, api: httpx.AsyncClient, services: Services, now: datetime
    ) -> None:
        alice = await log_in(ALICE, services=services, now=now)
        body = {"given": True, "text_version": "2026-01"}
        answer = await api.put("/v1/me/consents/world-domination", json=body, headers=alice.headers)
        assert answer.status_code in (404, 422)


class TestErasedAccount:
    async def test_has_no_way_to_be_reached_and_no_error(
        self, services: Services, database: object, now: datetime
    ) -> None:
        alice = await log_in(ALICE, services=services, now=now)
        await accounts.erase_personal_data(account_id=alice.account_id, now=now)
        contact = await accounts.get_contact(account_id=alice.account_id)
        assert (contact.phone, contact.push_tokens, contact.wechat_openid) == (None, (), None)

    async def test_gives_its_phone_free_for_a_new_one(
        self, services: Services, database: object, now: datetime
    ) -> None:
        alice = await log_in(ALICE, services=services, now=now)
        await accounts.erase_personal_data(account_id=alice.account_id, now=now)
        again: UUID = await accounts.ensure_account(phone=ALICE.phone, now=now)
        assert again != alice.account_id
