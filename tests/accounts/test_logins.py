"""Logging in, over HTTP."""

from datetime import datetime

import httpx
import pytest

from backend.core import crypto, db
from backend.core.auth import TicketInvalid, provide_ticket_principal
from backend.core.errors import GatewayError
from backend.core.services import Services
from tests.cast import ALICE, BOB
from tests.factories.accounts import KnownWechatCodes, SentSms, log_in
from tests.fakes import FixedClock
from tests.jobs import run_due_jobs


async def ask_for_code(api: httpx.AsyncClient, phone: str) -> httpx.Response:
    """Ask for a login code."""
    return await api.post("/v1/auth/sms-codes", json={"phone": phone})


async def get_code(api: httpx.AsyncClient, sms: SentSms, services: Services, clock: FixedClock, phone: str) -> str:
    """Ask for a login code and read it from the SMS."""
    assert (await ask_for_code(api, phone)).status_code == 202
    await run_due_jobs(now=clock.now(), services=services)
    return sms.code_for(phone)


class TestLoginCode:
    async def test_logs_a_new_person_in(
        self, api: httpx.AsyncClient, sms: SentSms, services: Services, clock: FixedClock
    ) -> None:
        code = await get_code(api, sms, services, clock, ALICE.phone)
        answer = await api.post("/v1/auth/sms", json={"phone": f"+86 {ALICE.phone}", "code": code})
        assert answer.status_code == 200
        assert answer.json()["expires_in"] == 900
        me = await api.get("/v1/me", headers={"Authorization": f"Bearer {answer.json()['access_token']}"})
        assert me.json()["phone"] == ALICE.phone
        assert me.json()["roles"] == []

    async def test_works_once(
        self, api: httpx.AsyncClient, sms: SentSms, services: Services, clock: FixedClock
    ) -> None:
        code = await get_code(api, sms, services, clock, ALICE.phone)
        body = {"phone": ALICE.phone, "code": code}
        assert (await api.post("/v1/auth/sms", json=body)).status_code == 200
        again = await api.post("/v1/auth/sms", json=body)
        assert (again.status_code, again.json()["code"]) == (422, "sms_code_wrong")

    async def test_is_over_after_five_minutes(
        self, api: httpx.AsyncClient, sms: SentSms, services: Services, clock: FixedClock
    ) -> None:
        code = await get_code(api, sms, services, clock, ALICE.phone)
        clock.advance(minutes=5)
        answer = await api.post("/v1/auth/sms", json={"phone": ALICE.phone, "code": code})
        assert answer.json()["code"] == "sms_code_wrong"

    async def test_bears_five_tries(
        self, api: httpx.AsyncClient, sms: SentSms, services: Services, clock: FixedClock
    ) -> None:
        code = await get_code(api, sms, services, clock, ALICE.phone)
        wrong = f"{(int(code) + 1) % 1_000_000:06d}"
        tries = [await api.post("/v1/auth/sms", json={"phone": ALICE.phone, "code": wrong}) for _ in range(5)]
        assert [answer.json().get("tries_left") for answer in tries] == [4, 3, 2, 1, None]
        assert tries[-1].json()["code"] == "sms_code_spent"
        right = await api.post("/v1/auth/sms", json={"phone": ALICE.phone, "code": code})
        assert (right.status_code, right.json()["code"]) == (422, "sms_code_spent")

    async def test_replaces_the_one_before(
        self, api: httpx.AsyncClient, sms: SentSms, services: Services, clock: FixedClock
    ) -> None:
        first = await get_code(api, sms, services, clock, ALICE.phone)
        clock.advance(minutes=1)
        second = await get_code(api, sms, services, clock, ALICE.phone)
        old = await api.post("/v1/auth/sms", json={"phone": ALICE.phone, "code": first})
        new = await api.post("/v1/auth/sms", json={"phone": ALICE.phone, "code": second})
        assert (old.status_code, new.status_code) == ((422, 200) if first != second else (200, 422))

    async def test_is_for_its_own_number_only(
        self, api: httpx.AsyncClient, sms: SentSms, services: Services, clock: FixedClock
    ) -> None:
        code = await get_code(api, sms, services, clock, ALICE.phone)
        answer = await api.post("/v1/auth/sms", json={"phone": BOB.phone, "code": code})
        assert answer.json()["code"] == "sms_code_wrong"

    async def test_is_limited_per_number_and_says_until_when(
        self, api: httpx.AsyncClient, sms: SentSms, clock: FixedClock
    ) -> None:
        await ask_for_code(api, ALICE.phone)
        clock.advance(seconds=20)
        refused = await ask_for_code(api, ALICE.phone)
        assert (refused.status_code, refused.json()["code"]) == (429, "sms_limit_reached")
        assert refused.headers["retry-after"] == "40"
        assert "10:01:00" in refused.json()["detail"]
        statuses = []
        for _ in range(5):
            clock.advance(minutes=1)
            statuses.append((await ask_for_code(api, ALICE.phone)).status_code)
        assert statuses == [202, 202, 202, 202, 429]
        assert (await ask_for_code(api, BOB.phone)).status_code == 202

    async def test_leaves_room_for_another_purpose_within_the_minute_but_not_within_the_hour(
        self, api: httpx.AsyncClient, sms: SentSms, services: Services, clock: FixedClock
    ) -> None:
        alice = await log_in(ALICE, services=services, now=clock.now())
        statuses = []
        for _ in range(3):
            statuses.append((await ask_for_code(api, ALICE.phone)).status_code)
            bind = await api.post("/v1/me/phone-codes", json={"phone": ALICE.phone}, headers=alice.headers)
            statuses.append(bind.status_code)
            clock.advance(minutes=1)
        assert statuses == [202, 202, 202, 202, 202, 429]

    async def test_is_limited_per_address_over_all_numbers(self, api: httpx.AsyncClient, sms: SentSms) -> None:
        statuses = [(await ask_for_code(api, f"138{i:08d}")).status_code for i in range(301)]
        assert statuses == [202] * 300 + [429]

    async def test_answers_the_same_for_a_known_and_an_unknown_number(
        self, api: httpx.AsyncClient, sms: SentSms, services: Services, now: datetime
    ) -> None:
        await log_in(ALICE, services=services, now=now)
        known, unknown = await ask_for_code(api, ALICE.phone), await ask_for_code(api, BOB.phone)
        assert (known.status_code, known.content) == (unknown.status_code, unknown.content)

    @pytest.mark.parametrize("phone", ["12345", "010-65529988", "+1 202 555 0123", "abcdefghijk", "138000000011"])
    async def test_is_refused_for_what_is_no_chinese_mobile(self, api: httpx.AsyncClient, phone: str) -> None:
        answer = await ask_for_code(api, phone)
        assert (answer.status_code, answer.json()["code"]) == (422, "phone_invalid")
        assert phone not in answer.text

    async def test_is_nowhere_in_clear_once_sent(
        self, api: httpx.AsyncClient, sms: SentSms, services: Services, clock: FixedClock
    ) -> None:
        code = await get_code(api, sms, services, clock, ALICE.phone)
        row = await db.fetchrow("SELECT * FROM sms_code")
        assert row is not None
        assert row["phone_cipher"] is None and row["code_cipher"] is None
        assert code.encode() not in row["code_hash"] and row["phone_hash"] == crypto.lookup_hash(ALICE.phone)

    async def test_is_tried_again_when_the_provider_is_down_and_dropped_when_it_refuses(
        self, api: httpx.AsyncClient, sms: SentSms, services: Services, clock: FixedClock
    ) -> None:
        await ask_for_code(api, ALICE.phone)
        sms.failing = GatewayError("down", permanent=False)
        with pytest.raises(GatewayError):
            await run_due_jobs(now=clock.now(), services=services)
        assert await db.fetchval("SELECT code_cipher IS NOT NULL FROM sms_code")
        await ask_for_code(api, BOB.phone)
        sms.failing = GatewayError("not a number in service", permanent=True)
        await run_due_jobs(now=clock.now(), services=services)
        assert await db.fetchval("SELECT count(*) FROM sms_code WHERE code_cipher IS NULL") == 1

    async def test_is_refused_after_many_wrong_ones_from_one_address(
        self, api: httpx.AsyncClient, sms: SentSms, clock: FixedClock
    ) -> None:
        for i in range(100):
            await api.post("/v1/auth/sms", json={"phone": f"138{i:08d}", "code": "000000"})
        answer = await api.post("/v1/auth/sms", json={"phone": ALICE.phone, "code": "000000"})
        assert (answer.status_code, answer.json()["code"]) == (429, "too_many_wrong_codes")
        assert answer.headers["retry-after"] == "3600"


class TestRefresh:
    async def test_gives_a_new_pair_and_takes_the_old_one_back(
        self, api: httpx.AsyncClient, services: Services, clock: FixedClock
    ) -> None:
        login = await log_in(ALICE, services=services, now=clock.now())
        clock.advance(minutes=14)
        answer = await api.post("/v1/auth/refresh", json={"refresh_token": login.refresh_token})
        assert answer.status_code == 200
        assert answer.json()["refresh_token"] != login.refresh_token
        clock.advance(minutes=2)
        assert (await api.get("/v1/me", headers=login.headers)).json()["code"] == "token_expired"
        fresh = {"Authorization": f"Bearer {answer.json()['access_token']}"}
        assert (await api.get("/v1/me", headers=fresh)).status_code == 200

    async def test_ends_the_whole_login_when_an_old_token_comes_back(
        self, api: httpx.AsyncClient, services: Services, clock: FixedClock
    ) -> None:
        login = await log_in(ALICE, services=services, now=clock.now())
        first = await api.post("/v1/auth/refresh", json={"refresh_token": login.refresh_token})
        clock.advance(seconds=10)
        stolen = await api.post("/v1/auth/refresh", json={"refresh_token": login.refresh_token})
        assert (stolen.status_code, stolen.json()["code"]) == (401, "refresh_token_reused")
        family = await api.post("/v1/auth/refresh", json={"refresh_token": first.json()["refresh_token"]})
        assert family.json()["code"] == "refresh_token_invalid"
        fresh = {"Authorization": f"Bearer {first.json()['access_token']}"}
        assert (await api.get("/v1/me", headers=fresh)).status_code == 401

    async def test_spares_the_login_when_a_twin_was_first_a_moment_ago(
        self, api: httpx.AsyncClient, services: Services, clock: FixedClock
    ) -> None:
        login = await log_in(ALICE, services=services, now=clock.now())
        first = await api.post("/v1/auth/refresh", json={"refresh_token": login.refresh_token})
        clock.advance(seconds=9)
        twin = await api.post("/v1/auth/refresh", json={"refresh_token": login.refresh_token})
        assert (twin.status_code, twin.json()["code"]) == (409, "refresh_superseded")
        again = await api.post("/v1/auth/refresh", json={"refresh_token": first.json()["refresh_token"]})
        assert again.status_code == 200

    async def test_repeats_a_lost_answer_under_the_same_idempotency_key(
        self, api: httpx.AsyncClient, services: Services, clock: FixedClock
    ) -> None:
        login = await log_in(ALICE, services=services, now=clock.now())
        body, key = {"refresh_token": login.refresh_token}, {"Idempotency-Key": "a-lost-answer"}
        lost = await api.post("/v1/auth/refresh", json=body, headers=key)
        again = await api.post("/v1/auth/refresh", json=body, headers=key)
        assert (again.status_code, again.json()) == (200, lost.json())

    async def test_refuses_a_token_after_thirty_days(
        self, api: httpx.AsyncClient, services: Services, clock: FixedClock
    ) -> None:
        login = await log_in(ALICE, services=services, now=clock.now())
        clock.advance(days=30)
        answer = await api.post("/v1/auth/refresh", json={"refresh_token": login.refresh_token})
        assert answer.json()["code"] == "refresh_token_invalid"

    async def test_refuses_what_is_no_token(self, api: httpx.AsyncClient) -> None:
        answer = await api.post("/v1/auth/refresh", json={"refresh_token": "rubbish"})
        assert (answer.status_code, answer.json()["code"]) == (401, "refresh_token_invalid")


class TestLogout:
    async def test_ends_this_login_at_once_and_no_other(
        self, api: httpx.AsyncClient, services: Services, now: datetime
    ) -> None:
        phone = await log_in(ALICE, services=services, now=now)
        tablet = await log_in(ALICE, services=services, now=now)
        assert (await api.post("/v1/auth/logout", headers=phone.headers)).status_code == 204
        assert (await api.get("/v1/me", headers=phone.headers)).status_code == 401
        refreshed = await api.post("/v1/auth/refresh", json={"refresh_token": phone.refresh_token})
        assert refreshed.status_code == 401
        assert (await api.get("/v1/me", headers=tablet.headers)).status_code == 200

    async def test_ends_tickets_that_were_not_used_yet(
        self, api: httpx.AsyncClient, services: Services, now: datetime
    ) -> None:
        login = await log_in(ALICE, services=services, now=now)
        answer = await api.post("/v1/auth/tickets", headers=login.headers)
        assert answer.status_code == 201 and answer.json()["expires_in"] == 30
        await api.post("/v1/auth/logout", headers=login.headers)
        with pytest.raises(TicketInvalid):
            await provide_ticket_principal(answer.json()["ticket"], services)


class TestWechat:
    async def test_logs_a_person_in_and_finds_them_again(
        self, api: httpx.AsyncClient, wechat: KnownWechatCodes
    ) -> None:
        ids = []
        for code in ("alices-code", "alices-next-code", "bobs-code"):
            answer = await api.post("/v1/auth/wechat", json={"code": code})
            assert answer.status_code == 200
            me = await api.get("/v1/me", headers={"Authorization": f"Bearer {answer.json()['access_token']}"})
            ids.append(me.json()["id"])
        assert ids[0] == ids[1] != ids[2]

    async def test_refuses_a_code_that_wechat_does_not_know(
        self, api: httpx.AsyncClient, wechat: KnownWechatCodes
    ) -> None:
        answer = await api.post("/v1/auth/wechat", json={"code": "rubbish"})
        assert (answer.status_code, answer.json()["code"]) == (422, "wechat_code_invalid")

    async def test_says_so_when_wechat_is_down(self, api: httpx.AsyncClient) -> None:
        answer = await api.post("/v1/auth/wechat", json={"code": "any"})
        assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")


class TestBind:
    async def test_gives_a_wechat_account_a_phone_to_log_in_with(
        self,
        api: httpx.AsyncClient,
        wechat: KnownWechatCodes,
        sms: SentSms,
        services: Services,
        clock: FixedClock,
    ) -> None:
        token = (await api.post("/v1/auth/wechat", json={"code": "alices-code"})).json()["access_token"]
        headers = {"Authorization": f"Bearer {token}"}
        await api.post("/v1/me/phone-codes", json={"phone": ALICE.phone}, headers=headers)
        await run_due_jobs(now=clock.now(), services=services)
        bound = await api.put(
            "/v1/me/phone", json={"phone": ALICE.phone, "code": sms.code_for(ALICE.phone)}, headers=headers
        )
        assert (bound.status_code, bound.json()["phone"]) == (200, ALICE.phone)
        clock.advance(minutes=1)
        code = await get_code(api, sms, services, clock, ALICE.phone)
        by_phone = await api.post("/v1/auth/sms", json={"phone": ALICE.phone, "code": code})
        me = await api.get("/v1/me", headers={"Authorization": f"Bearer {by_phone.json()['access_token']}"})
        assert me.json()["id"] == bound.json()["id"]

    async def test_refuses_a_phone_of_another_account(
        self,
        api: httpx.AsyncClient,
        wechat: KnownWechatCodes,
        sms: SentSms,
        services: Services,
        clock: FixedClock,
    ) -> None:
        await log_in(BOB, services=services, now=clock.now())
        token = (await api.post("/v1/auth/wechat", json={"code": "alices-code"})).json()["access_token"]
        headers = {"Authorization": f"Bearer {token}"}
        await api.post("/v1/me/phone-codes", json={"phone": BOB.phone}, headers=headers)
        await run_due_jobs(now=clock.now(), services=services)
        answer = await api.put(
            "/v1/me/phone", json={"phone": BOB.phone, "code": sms.code_for(BOB.phone)}, headers=headers
        )
        assert (answer.status_code, answer.json()["code"]) == (409, "phone_taken")
        assert (await api.get("/v1/me", headers=headers)).json()["phone"] is None

    async def test_gives_a_phone_account_a_wechat_to_log_in_with(
        self, api: httpx.AsyncClient, wechat: KnownWechatCodes, services: Services, now: datetime
    ) -> None:
        alice = await log_in(ALICE, services=services, now=now)
        bound = await api.put("/v1/me/wechat", json={"code": "alices-code"}, headers=alice.headers)
        assert bound.json()["wechat_bound"] is True
        answer = await api.post("/v1/auth/wechat", json={"code": "alices-next-code"})
        me = await api.get("/v1/me", headers={"Authorization": f"Bearer {answer.json()['access_token']}"})
        assert me.json()["id"] == str(alice.account_id)
        bob = await log_in(BOB, services=services, now=now)
        taken = await api.put("/v1/me/wechat", json={"code": "alices-code"}, headers=bob.headers)
        assert (taken.status_code, taken.json()["code"]) == (409, "wechat_taken")

    async def test_does_not_take_a_login_code_for_binding(
        self, api: httpx.AsyncClient, sms: SentSms, services: Services, clock: FixedClock
    ) -> None:
        alice = await log_in(ALICE, services=services, now=clock.now())
        code = await get_code(api, sms, services, clock, BOB.phone)
        answer = await api.put("/v1/me/phone", json={"phone": BOB.phone, "code": code}, headers=alice.headers)
        assert answer.json()["code"] == "sms_code_wrong"


class TestLogs:
    async def test_never_hold_a_phone_or_a_code(
        self,
        api: httpx.AsyncClient,
        sms: SentSms,
        services: Services,
        clock: FixedClock,
        capfd: pytest.CaptureFixture[str],
    ) -> None:
        code = await get_code(api, sms, services, clock, ALICE.phone)
        await api.post("/v1/auth/sms", json={"phone": ALICE.phone, "code": "999999" if code != "999999" else "0" * 6})
        answer = await api.post("/v1/auth/sms", json={"phone": ALICE.phone, "code": code})
        assert answer.status_code == 200
        body = {"plate": "京AD12345", "battery_wh": "wrong"}
        headers = {"Authorization": f"Bearer {answer.json()['access_token']}"}
        assert (await api.post("/v1/me/vehicles", json=body, headers=headers)).status_code == 422
        written = "".join(capfd.readouterr())
        assert "/v1/auth/sms" in written, "the calls are logged"
        for secret in (ALICE.phone, code, "AD12345", answer.json()["access_token"], answer.json()["refresh_token"]):
            assert secret not in written
