"""Crypto, tokens, tickets, paging, positions, settings, limits, database."""

import asyncio
import base64
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st
from piccolo.engine.postgres import PostgresEngine
from redis.asyncio import Redis

from backend.core import crypto, db
from backend.core.auth import ACCESS_TOKEN_LIFETIME, Principal, TicketInvalid, Tickets, TokenExpired, Tokens
from backend.core.errors import Unauthenticated
from backend.core.ids import new_id
from backend.core.limits import RateLimiter
from backend.core.live import Live
from backend.core.paging import CursorInvalid, decode_cursor, encode_cursor
from backend.core.settings import BadSetting, Settings
from backend.core.units import CoordMissing, Point, PositionInvalid, distance_m, divide_half_up, read_position
from tests.fakes import FixedClock

GOOD = {
    "LINLI_DATABASE_URL": "postgresql://a@127.0.0.1/b",
    "LINLI_REDIS_URL": "redis://127.0.0.1",
    "LINLI_MQTT_URL": "mqtt://127.0.0.1",
    "LINLI_TOKEN_SECRET": "x" * 32,
    "LINLI_DATA_KEYS": "1:" + base64.b64encode(bytes(32)).decode(),
    "LINLI_LOOKUP_KEY": base64.b64encode(bytes(32)).decode(),
}


class TestCrypto:
    @given(st.text())
    def test_gives_back_what_it_was_given(self, text: str) -> None:
        assert crypto.decrypt(crypto.encrypt(text)) == text

    @given(st.binary(min_size=1), st.integers(min_value=0))
    def test_notices_any_changed_byte(self, data: bytes, place: int) -> None:
        blob = bytearray(crypto.encrypt(data))
        blob[place % len(blob)] ^= 1
        with pytest.raises(crypto.Undecryptable):
            crypto.decrypt_bytes(bytes(blob))

    def test_the_same_text_is_found_by_hash_and_never_encrypted_alike(self) -> None:
        assert crypto.lookup_hash("京A12345") == crypto.lookup_hash("京A12345") != crypto.lookup_hash("京A12346")
        assert crypto.encrypt("x") != crypto.encrypt("x")

    def test_old_values_stay_readable_after_a_new_key(self) -> None:
        before = crypto._installed()
        blob = crypto.encrypt("old")
        try:
            crypto.install_keyring(crypto.Keyring({**before.keys, 9: os.urandom(32)}, before.lookup_key))
            assert crypto.encrypt("new")[0] == 9
            assert crypto.decrypt(blob) == "old"
        finally:
            crypto.install_keyring(before)


class TestTokens:
    def test_a_token_stands_for_its_account_until_it_expires(self, clock: FixedClock) -> None:
        tokens = Tokens("s" * 32, clock)
        account, session = new_id(), new_id()
        token, lifetime_s = tokens.issue(account_id=account, session_id=session)
        assert (tokens.read(token), lifetime_s) == (Principal(account, session), 900)
        clock.advance(seconds=ACCESS_TOKEN_LIFETIME.total_seconds())
        with pytest.raises(TokenExpired):
            tokens.read(token)

    @pytest.mark.parametrize("token", ["", "x", "a.b.c", "eyJhbGciOiJub25lIn0.e30."])
    def test_rubbish_and_unsigned_tokens_are_refused(self, clock: FixedClock, token: str) -> None:
        with pytest.raises(Unauthenticated):
            Tokens("s" * 32, clock).read(token)

    def test_a_token_signed_with_another_key_is_refused(self, clock: FixedClock) -> None:
        token, _ = Tokens("t" * 32, clock).issue(account_id=new_id(), session_id=new_id())
        with pytest.raises(Unauthenticated):
            Tokens("s" * 32, clock).read(token)


class TestTickets:
    async def test_a_ticket_works_once_even_when_tried_at_once(self, valkey: Redis) -> None:
        tickets = Tickets(valkey)
        principal = Principal(new_id(), new_id())
        ticket = await tickets.issue(principal)
        answers = await asyncio.gather(*[tickets.redeem(ticket) for _ in range(5)], return_exceptions=True)
        assert [answer for answer in answers if answer == principal] == [principal]
        assert sum(isinstance(answer, TicketInvalid) for answer in answers) == 4

    async def test_a_ticket_is_gone_after_half_a_minute(self, valkey: Redis) -> None:
        ticket = await Tickets(valkey).issue(Principal(new_id(), new_id()))
        assert 0 < await valkey.ttl(f"ticket:{ticket}") <= 30


class TestLive:
    async def test_hears_what_is_published_after_it_subscribed(self, valkey: Redis) -> None:
        live = Live(valkey)
        subscription = await live.subscribed("station:1")
        await live.publish("station:2", {"n": 0})
        await live.publish("station:1", {"n": 1})
        async with asyncio.timeout(5):
            assert await anext(subscription) == ("station:1", b'{"n":1}')
        subscription.close()
        await live.close()


class TestPaging:
    def test_a_cursor_comes_back_as_it_was_made(self) -> None:
        account = new_id()
        assert decode_cursor(encode_cursor(account, 5), type(account), int) == (account, 5)

    @given(st.text(max_size=40))
    def test_any_other_text_is_refused_and_never_a_fault(self, text: str) -> None:
        with pytest.raises(CursorInvalid):
            decode_cursor(text, int, int, int)


class TestPositions:
    def test_refuses_a_position_without_a_datum(self) -> None:
        with pytest.raises(CoordMissing):
            read_position(lat=39.9, lng=116.4, coord=None)

    @pytest.mark.parametrize(("lat", "lng"), [(91.0, 0.0), (0.0, 181.0), (float("nan"), 0.0), (None, 1.0)])
    def test_refuses_what_is_not_on_earth(self, lat: float | None, lng: float | None) -> None:
        with pytest.raises(PositionInvalid):
            read_position(lat=lat, lng=lng, coord="gcj02")

    def test_moves_wgs84_in_beijing_by_hundreds_of_metres(self) -> None:
        # Tian'anmen: WGS-84 39.90734, 116.39089 lies at GCJ-02 39.90874, 116.39713 (published converters agree to 1 m).
        moved = read_position(lat=39.90734, lng=116.39089, coord="wgs84")
        assert distance_m(moved, Point(39.908742, 116.397133)) <= 2
        assert distance_m(moved, Point(39.90734, 116.39089)) > 300

    def test_one_degree_of_latitude_is_111_195_m(self) -> None:
        assert distance_m(Point(39.0, 116.0), Point(40.0, 116.0)) == 111_195

    @given(st.integers(0, 10**9), st.integers(1, 10**6))
    def test_rounds_half_up(self, numerator: int, denominator: int) -> None:
        rounded = divide_half_up(numerator, denominator)
        assert -denominator < 2 * (numerator - rounded * denominator) <= denominator or (
            2 * (rounded * denominator - numerator) == denominator
        )


class TestSettings:
    def test_names_everything_that_is_missing_and_how_to_set_it(self) -> None:
        with pytest.raises(BadSetting) as caught:
            Settings.from_environ({})
        for name in GOOD:
            assert name in str(caught.value)

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("LINLI_DATABASE_URL", "mysql://x"),
            ("LINLI_TOKEN_SECRET", "short"),
            ("LINLI_DATA_KEYS", "1:AAAA"),
            ("LINLI_LOOKUP_KEY", "***"),
            ("LINLI_API_PORT", "eighty"),
        ],
    )
    def test_refuses_a_malformed_value_by_its_name(self, name: str, value: str) -> None:
        with pytest.raises(BadSetting, match=name):
            Settings.from_environ({**GOOD, name: value})

    def test_reads_a_complete_environment(self) -> None:
        assert Settings.from_environ(GOOD).api_port == 8000


class TestRateLimiter:
    def test_gives_a_minute_s_worth_at_once_and_refills_evenly(self) -> None:
        limiter = RateLimiter(per_minute=60)
        assert [limiter.take("a", 100.0) for _ in range(60)] == [0.0] * 60
        assert limiter.take("a", 100.0) == pytest.approx(1.0)
        assert limiter.take("b", 100.0) == 0
        assert limiter.take("a", 101.01) == 0


class TestTransaction:
    async def test_a_nested_one_that_fails_is_undone_alone(self, database: PostgresEngine, clock: FixedClock) -> None:
        async with db.transaction():
            await db.execute("INSERT INTO job_tick (name, ran_at) VALUES ('outer', $1)", clock.now())
            with pytest.raises(ZeroDivisionError):
                async with db.transaction():
                    await db.execute("INSERT INTO job_tick (name, ran_at) VALUES ('inner', $1)", clock.now())
                    raise ZeroDivisionError
        assert [row["name"] for row in await db.fetch("SELECT name FROM job_tick")] == ["outer"]

    async def test_what_joins_it_fails_with_it_whole(self, committing: PostgresEngine, clock: FixedClock) -> None:
        async def note(name: str) -> None:
            async with db.joined():
                await db.execute("INSERT INTO job_tick (name, ran_at) VALUES ($1, $2)", name, clock.now())

        with pytest.raises(ZeroDivisionError):
            async with db.transaction():
                await note("inner")
                raise ZeroDivisionError
        await note("alone")
        assert [row["name"] for row in await db.fetch("SELECT name FROM job_tick")] == ["alone"]

    async def test_a_task_started_outside_does_not_join_it(self, committing: PostgresEngine) -> None:
        seen: list[bool] = []

        async def look() -> None:
            seen.append(db.in_transaction())

        async with db.transaction():
            await db.start_outside_transaction(look)
            seen.append(db.in_transaction())
        assert seen == [False, True]
