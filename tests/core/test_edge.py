"""The edge and the problems, over a small application of the tests' own."""

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated, Any

import httpx
import msgspec
import pytest
from litestar import Litestar, get, post
from piccolo.engine.postgres import PostgresEngine

from backend.core.auth import Tokens
from backend.core.edge import Edge
from backend.core.errors import Conflict
from backend.core.ids import new_id
from backend.core.problems import EXCEPTION_HANDLERS
from tests.fakes import FixedClock

SECRET = "s" * 40


class Taken(Conflict):
    code = "taken"
    title_en = "Taken"
    title_zh = "已占用"
    detail_en = "Bay {bay} is taken."
    detail_zh = "{bay} 已占用。"


class Order(msgspec.Struct):
    amount_fen: Annotated[int, msgspec.Meta(ge=0)]
    note: str = ""


@pytest.fixture
def calls() -> list[int]:
    return []


@pytest.fixture
async def client(clock: FixedClock, calls: list[int], database: PostgresEngine) -> AsyncIterator[httpx.AsyncClient]:
    @get("/taken")
    async def taken() -> None:
        raise Taken(bay="A1")

    @get("/boom")
    async def boom() -> None:
        raise RuntimeError("a secret of the service")

    @post("/orders")
    async def make(data: Order) -> dict[str, int]:
        calls.append(data.amount_fen)
        if data.note == "fail":
            raise RuntimeError("broken")
        if data.note == "slow":
            await asyncio.sleep(0.05)
        return {"amount_fen": data.amount_fen, "call": len(calls)}

    app = Litestar([taken, boom, make], exception_handlers=EXCEPTION_HANDLERS, request_max_body_size=2000)
    edge = Edge(app, tokens=Tokens(SECRET, clock), clock=clock, per_minute=60, trusted_proxies=frozenset({"10.0.0.1"}))
    transport = httpx.ASGITransport(app=edge, client=("192.0.2.7", 5000))
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        yield client


def problem(response: httpx.Response) -> dict[str, Any]:
    assert response.headers["content-type"] == "application/problem+json"
    document = response.json()
    assert document["status"] == response.status_code
    assert document["request_id"] == response.headers["x-request-id"]
    return dict(document)


class TestProblems:
    async def test_a_domain_error_speaks_chinese_by_default(self, client: httpx.AsyncClient) -> None:
        document = problem(await client.get("/taken"))
        assert (document["code"], document["title"], document["detail"]) == ("taken", "已占用", "A1 已占用。")
        assert document["bay"] == "A1"

    async def test_a_domain_error_speaks_english_when_asked(self, client: httpx.AsyncClient) -> None:
        response = await client.get("/taken", headers={"accept-language": "fr;q=1, en;q=0.8, zh;q=0.2"})
        assert problem(response)["detail"] == "Bay A1 is taken."
        assert response.headers["content-language"] == "en"

    async def test_a_fault_tells_nothing_of_the_inside(self, client: httpx.AsyncClient) -> None:
        response = await client.get("/boom")
        assert response.status_code == 500
        assert problem(response)["code"] == "internal"
        assert "secret" not in response.text

    async def test_an_unknown_path_and_a_wrong_method_are_named(self, client: httpx.AsyncClient) -> None:
        assert problem(await client.get("/nowhere"))["code"] == "path_unknown"
        response = await client.put("/orders", json={})
        assert problem(response)["code"] == "method_not_allowed"
        assert "POST" in response.headers["allow"]

    async def test_a_wrong_type_names_the_field(self, client: httpx.AsyncClient) -> None:
        document = problem(await client.post("/orders", json={"amount_fen": "x"}))
        assert document["status"] == 422
        assert document["errors"][0]["field"] == "amount_fen"

    async def test_malformed_json_is_a_400_of_its_own(self, client: httpx.AsyncClient) -> None:
        response = await client.post("/orders", content=b"{", headers={"content-type": "application/json"})
        assert (response.status_code, problem(response)["code"]) == (400, "malformed_body")

    async def test_a_huge_body_is_a_413_that_names_the_limit(self, client: httpx.AsyncClient) -> None:
        response = await client.post("/orders", json={"amount_fen": 1, "note": "x" * 3000})
        assert (response.status_code, problem(response)["max_bytes"]) == (413, 2000)


class TestEdge:
    async def test_keeps_a_sensible_request_id_and_replaces_another(self, client: httpx.AsyncClient) -> None:
        kept = await client.get("/taken", headers={"x-request-id": "abcdef-123456"})
        assert kept.headers["x-request-id"] == "abcdef-123456"
        replaced = await client.get("/taken", headers={"x-request-id": "a b\tc"})
        assert replaced.headers["x-request-id"] != "a b\tc"

    async def test_refuses_headers_over_the_limit(self, client: httpx.AsyncClient) -> None:
        response = await client.get("/taken", headers={"x-long": "x" * 17_000})
        assert (response.status_code, problem(response)["code"]) == (431, "headers_too_large")

    async def test_refuses_an_address_that_calls_too_often_and_says_how_long_to_wait(
        self, client: httpx.AsyncClient
    ) -> None:
        answers = [await client.get("/taken") for _ in range(70)]
        refused = [answer for answer in answers if answer.status_code == 429]
        assert len(refused) >= 8
        assert int(refused[0].headers["retry-after"]) >= 1
        assert problem(refused[0])["code"] == "too_many_requests"


class TestIdempotencyKey:
    async def test_the_same_key_and_body_get_the_same_answer_once(
        self, client: httpx.AsyncClient, calls: list[int]
    ) -> None:
        key = {"idempotency-key": "k-1"}
        first = await client.post("/orders", json={"amount_fen": 5}, headers=key)
        again = await client.post("/orders", json={"amount_fen": 5}, headers=key)
        assert first.json() == again.json()
        assert again.headers["idempotency-replayed"] == "true"
        assert (first.status_code, again.status_code, calls) == (201, 201, [5])

    async def test_the_same_key_with_another_body_is_refused(self, client: httpx.AsyncClient) -> None:
        key = {"idempotency-key": "k-1"}
        await client.post("/orders", json={"amount_fen": 5}, headers=key)
        response = await client.post("/orders", json={"amount_fen": 6}, headers=key)
        assert (response.status_code, problem(response)["code"]) == (422, "idempotency_key_reused")

    async def test_two_people_may_use_the_same_key(
        self, client: httpx.AsyncClient, calls: list[int], clock: FixedClock
    ) -> None:
        for _ in range(2):
            token, _lifetime = Tokens(SECRET, clock).issue(account_id=new_id(), session_id=new_id())
            headers = {"idempotency-key": "k-1", "authorization": f"Bearer {token}"}
            response = await client.post("/orders", json={"amount_fen": 5}, headers=headers)
            assert "idempotency-replayed" not in response.headers
        assert calls == [5, 5]

    async def test_an_answer_to_nobody_in_particular_is_kept_for_a_minute(
        self, client: httpx.AsyncClient, calls: list[int], clock: FixedClock
    ) -> None:
        token, _lifetime = Tokens(SECRET, clock).issue(account_id=new_id(), session_id=new_id())
        stranger, known = {"idempotency-key": "1"}, {"idempotency-key": "1", "authorization": f"Bearer {token}"}
        for headers in (stranger, known):
            await client.post("/orders", json={"amount_fen": 5}, headers=headers)
        clock.advance(seconds=61)
        replayed = [
            "idempotency-replayed" in (await client.post("/orders", json={"amount_fen": 5}, headers=headers)).headers
            for headers in (stranger, known)
        ]
        assert (replayed, calls) == ([False, True], [5, 5, 5])

    async def test_a_fault_of_ours_is_not_kept(self, client: httpx.AsyncClient, calls: list[int]) -> None:
        key = {"idempotency-key": "k-1"}
        for _ in range(2):
            response = await client.post("/orders", json={"amount_fen": 5, "note": "fail"}, headers=key)
            assert response.status_code == 500
        assert calls == [5, 5]

    async def test_an_empty_or_endless_key_is_refused(self, client: httpx.AsyncClient) -> None:
        for key in ("", "x" * 121):
            response = await client.post("/orders", json={"amount_fen": 5}, headers={"idempotency-key": key})
            assert problem(response)["code"] == "idempotency_key_invalid"


class TestIdempotencyRace:
    async def test_of_many_at_once_one_runs_and_the_others_wait_or_repeat_it(
        self, committing: PostgresEngine, clock: FixedClock
    ) -> None:
        calls: list[int] = []
        entered = asyncio.Event()
        leave = asyncio.Event()

        @post("/orders")
        async def make(data: Order) -> dict[str, int]:
            calls.append(data.amount_fen)
            entered.set()
            await leave.wait()
            return {"call": len(calls)}

        edge = Edge(
            Litestar([make], exception_handlers=EXCEPTION_HANDLERS),
            tokens=Tokens(SECRET, clock),
            clock=clock,
            per_minute=10_000,
            trusted_proxies=frozenset(),
        )
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app=edge), base_url="http://test") as client:

            async def call() -> httpx.Response:
                return await client.post("/orders", json={"amount_fen": 1}, headers={"idempotency-key": "k"})

            first = asyncio.create_task(call())
            await entered.wait()
            others = await asyncio.gather(*[call() for _ in range(20)])
            assert {answer.status_code for answer in others} == {409}
            leave.set()
            assert (await first).status_code == 201
            assert (await call()).json() == {"call": 1}
        assert calls == [1]
