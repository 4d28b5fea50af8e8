"""Signing in to the console: both factors or nothing, locks, sessions, who cannot."""

from datetime import datetime, timedelta

import httpx
import msgspec
import pytest
from piccolo.engine.postgres import PostgresEngine

from backend.app import create_app
from backend.console.service import people
from backend.console.tables import ConsoleSession
from backend.core import db
from backend.core.services import Services
from backend.core.settings import BadSetting, Settings
from tests.cast import LI
from tests.console.conftest import PASSWORD, Browser, Person, add_person
from tests.factories.accounts import log_in
from tests.fakes import FixedClock


class TestSigningIn:
    async def test_needs_password_and_code(self, browser: Browser, chen: Person, now: datetime) -> None:
        wrong = await browser.try_to_sign_in("chen", "another password", chen.code(now))
        missing = await browser.try_to_sign_in("chen", PASSWORD)
        mistaken = await browser.try_to_sign_in("chen", PASSWORD, "000000")
        assert [wrong.status_code, missing.status_code, mistaken.status_code] == [401, 401, 401]
        assert missing.json()["detail"] == "MFA code required"
        assert "id" not in browser.client.cookies
        assert (await browser.send("GET", "/api/tables/")).status_code == 401

    async def test_opens_the_tables_with_both(self, browser: Browser, chen: Person) -> None:
        await browser.sign_in(chen)
        answer = await browser.send("GET", "/api/tables/")
        assert "charge_order" in answer.json()

    async def test_takes_a_code_once(self, browser: Browser, chen: Person, now: datetime) -> None:
        code = chen.code(now)
        assert (await browser.try_to_sign_in("chen", PASSWORD, code)).status_code == 200
        assert (await browser.try_to_sign_in("chen", PASSWORD, code)).status_code == 401

    async def test_takes_no_older_code_after_a_newer_one(self, browser: Browser, chen: Person, now: datetime) -> None:
        assert (await browser.try_to_sign_in("chen", PASSWORD, chen.code(now))).status_code == 200
        older = chen.code(now - timedelta(seconds=30))
        assert (await browser.try_to_sign_in("chen", PASSWORD, older)).status_code == 401

    @pytest.mark.parametrize("off_s", [-90, 90])
    async def test_takes_no_code_of_another_time(
        self, browser: Browser, chen: Person, now: datetime, off_s: int
    ) -> None:
        code = chen.code(now + timedelta(seconds=off_s))
        assert (await browser.try_to_sign_in("chen", PASSWORD, code)).status_code == 401

    @pytest.mark.parametrize("code", ["", "é12345", "123456789", "x" * 5000])
    async def test_survives_what_is_no_code(self, browser: Browser, chen: Person, code: str) -> None:
        assert (await browser.try_to_sign_in("chen", PASSWORD, code)).status_code == 401

    async def test_takes_a_recovery_code_once(self, browser: Browser, chen: Person) -> None:
        code = chen.recovery_codes[3]
        assert (await browser.try_to_sign_in("chen", PASSWORD, code)).status_code == 200
        assert (await browser.try_to_sign_in("chen", PASSWORD, code)).status_code == 401

    async def test_keeps_no_token_in_the_clear(self, browser: Browser, chen: Person) -> None:
        await browser.sign_in(chen)
        kept = await db.fetchval("SELECT string_agg(token, ' ') FROM console_session")
        assert browser.client.cookies["id"] not in kept

    async def test_keeps_the_secret_of_the_second_factor_encrypted(self, chen: Person) -> None:
        kept = await db.fetchval("SELECT secret FROM console_secret")
        assert chen.secret not in kept

    async def test_sends_the_cookie_to_the_console_only(self, browser: Browser, chen: Person, now: datetime) -> None:
        answer = await browser.try_to_sign_in("chen", PASSWORD, chen.code(now))
        cookie = answer.headers["set-cookie"].lower()
        assert all(part in cookie for part in ("httponly", "path=/admin", "samesite=strict"))
        assert "secure" not in cookie

    async def test_needs_the_token_against_forged_requests(self, browser: Browser, chen: Person, now: datetime) -> None:
        await browser.open()
        body = {"username": "chen", "password": PASSWORD, "mfa_code": chen.code(now)}
        answer = await browser.client.post("/admin/public/login/", json=body)
        assert answer.status_code == 403

    async def test_is_refused_after_twenty_tries_from_one_address(self, browser: Browser) -> None:
        answers = [await browser.try_to_sign_in(f"nobody{i}", PASSWORD) for i in range(21)]
        assert [answer.status_code for answer in answers] == [401] * 20 + [429]


class TestLock:
    async def test_shuts_out_after_five_wrong_passwords(
        self, browser: Browser, chen: Person, clock: FixedClock
    ) -> None:
        for _ in range(5):
            await browser.try_to_sign_in("chen", "another password")
        right = await browser.try_to_sign_in("chen", PASSWORD, chen.code(clock.now()))
        assert right.status_code == 401
        assert right.json()["detail"] == "Login failed"  # the same words as for a wrong password
        later = clock.advance(minutes=16)
        assert (await browser.try_to_sign_in("chen", PASSWORD, chen.code(later))).status_code == 200

    async def test_counts_wrong_codes_though_the_password_is_right(
        self, browser: Browser, chen: Person, clock: FixedClock
    ) -> None:
        for _ in range(5):
            await browser.try_to_sign_in("chen", PASSWORD, "000000")
        assert (await browser.try_to_sign_in("chen", PASSWORD, chen.code(clock.now()))).status_code == 401
        assert await db.fetchval("SELECT count(*) FROM audit_entry WHERE action = 'console.locked'") == 1

    async def test_starts_anew_after_both_factors(self, browser: Browser, chen: Person) -> None:
        for _ in range(4):
            await browser.try_to_sign_in("chen", "another password")
        await browser.sign_in(chen)
        for _ in range(4):
            await browser.try_to_sign_in("chen", "another password")
        await browser.sign_in(chen)

    async def test_is_taken_off_by_whoever_runs_the_service(
        self, browser: Browser, chen: Person, clock: FixedClock
    ) -> None:
        for _ in range(5):
            await browser.try_to_sign_in("chen", "another password")
        await people.set_active(username="chen", active=True, now=clock.now())
        await browser.sign_in(chen)


class TestSession:
    async def test_ends_half_an_hour_after_its_last_use(
        self, browser: Browser, chen: Person, clock: FixedClock
    ) -> None:
        await browser.sign_in(chen)
        for _ in range(3):
            clock.advance(minutes=25)
            assert (await browser.send("GET", "/api/user/")).status_code == 200
        clock.advance(minutes=31)
        assert (await browser.send("GET", "/api/user/")).status_code == 401

    async def test_ends_after_a_working_day_in_any_case(
        self, browser: Browser, chen: Person, clock: FixedClock
    ) -> None:
        await browser.sign_in(chen)
        for _ in range(29):
            clock.advance(minutes=25)
            last = await browser.send("GET", "/api/user/")
        assert last.status_code == 401

    async def test_ends_at_once_with_the_login(self, browser: Browser, chen: Person, clock: FixedClock) -> None:
        await browser.sign_in(chen)
        await people.set_active(username="chen", active=False, now=clock.now())
        assert (await browser.send("GET", "/api/user/")).status_code == 401
        answer = await browser.try_to_sign_in("chen", PASSWORD, chen.code(clock.advance(minutes=5)))
        assert answer.status_code == 401

    async def test_ends_when_signing_out(self, browser: Browser, chen: Person) -> None:
        await browser.sign_in(chen)
        kept = browser.client.cookies["id"]
        await browser.send("POST", "/public/logout/")
        browser.client.cookies.set("id", kept, domain="127.0.0.1", path="/admin")
        assert (await browser.send("GET", "/api/user/")).status_code == 401

    async def test_and_password_change_together(self, browser: Browser, chen: Person, clock: FixedClock) -> None:
        await browser.sign_in(chen)
        weak = {
            "current_password": PASSWORD,
            "new_password": "chenchenchenchen",
            "confirm_new_password": "chenchenchenchen",
        }
        refused = await browser.send("POST", "/api/change-password/", json=weak)
        assert refused.status_code == 422
        new = "seven small boats sail"
        body = {"current_password": PASSWORD, "new_password": new, "confirm_new_password": new}
        assert (await browser.send("POST", "/api/change-password/", json=body)).status_code == 303
        assert (await browser.send("GET", "/api/user/")).status_code == 401
        answer = await browser.try_to_sign_in("chen", new, chen.code(clock.advance(minutes=5)))
        assert answer.status_code == 200

    async def test_forgets_what_is_over(self, browser: Browser, chen: Person, clock: FixedClock) -> None:
        await browser.sign_in(chen)
        await people.sweep(now=clock.advance(hours=1))
        assert await ConsoleSession.count() == 0


class TestSecondFactor:
    async def test_missing_leaves_nothing_but_enrolling(
        self, browser: Browser, chen: Person, clock: FixedClock
    ) -> None:
        await db.execute("UPDATE console_secret SET revoked_at = $1", clock.now())
        assert (await browser.try_to_sign_in("chen", PASSWORD)).status_code == 200
        closed = ["/api/tables/", "/api/tables/account/", "/api/forms/", "/api/user/", "/api/links/"]
        answers = [await browser.send("GET", path) for path in closed]
        assert {answer.status_code for answer in answers} == {403}
        assert (await browser.fill("approve-refund", request_id=str(chen))).status_code == 403
        page = await browser.open()
        assert (page.status_code, page.headers["location"]) == (303, "./api/mfa-setup/")

    async def test_enrolled_in_the_console_asks_for_signing_in_again(
        self, browser: Browser, chen: Person, clock: FixedClock
    ) -> None:
        await db.execute("UPDATE console_secret SET revoked_at = $1", clock.now())
        await browser.try_to_sign_in("chen", PASSWORD)
        wrong = await browser.send("POST", "/api/mfa-setup/", json={"action": "register", "password": "wrong"})
        assert wrong.status_code == 401
        done = await browser.send("POST", "/api/mfa-setup/", json={"action": "register", "password": PASSWORD})
        assert "data:image/png;base64," in done.text
        assert (await browser.send("GET", "/api/tables/")).status_code == 401
        assert (await browser.try_to_sign_in("chen", PASSWORD)).json()["detail"] == "MFA code required"

    async def test_taken_off_ends_every_session(self, browser: Browser, chen: Person) -> None:
        await browser.sign_in(chen)
        await browser.send("POST", "/api/mfa-setup/", json={"action": "revoke", "password": PASSWORD})
        assert (await browser.send("GET", "/api/tables/")).status_code == 401


class TestOthers:
    async def test_of_operator_companies_cannot_sign_in(
        self, browser: Browser, chen: Person, services: Services, now: datetime
    ) -> None:
        li = await log_in(LI, services=services, now=now)
        with_token = await browser.client.get("/admin/api/tables/", headers=li.headers)
        with_phone = await browser.try_to_sign_in(LI.phone, PASSWORD)
        browser.client.cookies.set("id", li.headers["Authorization"][7:], domain="127.0.0.1", path="/admin")
        with_cookie = await browser.client.get("/admin/api/tables/")
        assert [with_token.status_code, with_phone.status_code, with_cookie.status_code] == [401, 401, 401]

    async def test_hosts_than_the_public_one_are_not_served(self, browser: Browser) -> None:
        answer = await browser.client.get("/admin/", headers={"Host": "evil.example"})
        assert answer.status_code == 421

    @pytest.mark.parametrize("path", ["/api/docs/", "/public/docs/", "/public/openapi.json", "/api/openapi.json"])
    async def test_pages_of_piccolo_about_itself_are_closed(self, browser: Browser, path: str) -> None:
        assert (await browser.send("GET", path)).status_code == 404


class TestMounting:
    async def test_is_off_unless_set(self, database: PostgresEngine, services: Services, browser: Browser) -> None:
        services.put(Settings, msgspec.structs.replace(services.get(Settings), admin="off"))
        transport = httpx.ASGITransport(app=create_app(services))
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8000") as client:
            answer = await client.get("/admin/")
            inside = await client.post("/admin/public/login/")
        assert [answer.status_code, inside.status_code] == [404, 404]

    @pytest.mark.parametrize(
        ("url", "wrong"),
        [("http://linli.example", True), ("https://linli.example", False), ("http://127.0.0.1:8000", False)],
    )
    def test_needs_tls_in_front_of_anything_but_this_machine(self, settings: Settings, url: str, wrong: bool) -> None:
        environment = {f"LINLI_{name.upper()}": str(getattr(settings, name)) for name in Settings.__struct_fields__} | {
            "LINLI_ADMIN": "on",
            "LINLI_PUBLIC_URL": url,
        }
        if wrong:
            with pytest.raises(BadSetting, match="LINLI_ADMIN=on needs LINLI_PUBLIC_URL"):
                Settings.from_environ(environment)
        else:
            assert Settings.from_environ(environment).admin == "on"

    async def test_under_tls_sends_cookies_under_tls_only(
        self, database: PostgresEngine, console_services: Services, now: datetime
    ) -> None:
        settings = msgspec.structs.replace(console_services.get(Settings), public_url="https://linli.example")
        console_services.put(Settings, settings)
        person = await add_person("chen", "13900000001", now=now)
        transport = httpx.ASGITransport(app=create_app(console_services), raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="https://linli.example") as client:
            await client.get("/admin/")
            body = {"username": "chen", "password": PASSWORD, "mfa_code": person.code(now)}
            headers = {"X-CSRFToken": client.cookies["csrftoken"]}
            elsewhere = await client.post(
                "/admin/public/login/", json=body, headers=headers | {"Origin": "https://evil.example"}
            )
            here = await client.post(
                "/admin/public/login/", json=body, headers=headers | {"Origin": "https://linli.example"}
            )
        assert elsewhere.status_code == 403
        assert here.status_code == 200
        assert "; Secure" in here.headers["set-cookie"]


class TestPeople:
    @pytest.mark.parametrize(
        ("password", "why"),
        [
            ("short", "at least 12 characters"),
            ("aaaaaaaaaaaaaaaa", "different characters"),
            ("my-name-is-chen-yes", "user name"),
            ("password123456", "guessed first"),
            ("x1y2" * 40, "at most 128"),
        ],
    )
    async def test_need_a_password_nobody_guesses(
        self, database: PostgresEngine, now: datetime, password: str, why: str
    ) -> None:
        with pytest.raises(people.PasswordWeak, match=why):
            await people.add_user(
                username="chen", phone="13900000001", name="陈", password=password, may_act=True, now=now
            )

    async def test_have_one_login_each(self, chen: Person, now: datetime) -> None:
        for username, phone in (("chen", "13900000009"), ("chen2", chen.phone)):
            with pytest.raises(people.UserExists):
                await add_person(username, phone, now=now)

    async def test_get_a_new_second_factor_when_the_phone_is_lost(
        self, browser: Browser, chen: Person, clock: FixedClock
    ) -> None:
        made = await people.renew(username="chen", password=None, now=clock.now())
        old = await browser.try_to_sign_in("chen", PASSWORD, chen.code(clock.now()))
        assert old.status_code == 401
        chen.secret = made.secret
        await browser.sign_in(chen)
