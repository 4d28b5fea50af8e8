"""The fixtures keep what they promise: nothing of one test is seen by the next."""

from datetime import datetime

import httpx
import pytest
from piccolo.engine.postgres import PostgresEngine
from redis.asyncio import Redis

from backend.core import audit, db

COUNT = "SELECT count(*) FROM audit_entry"


@pytest.mark.parametrize("turn", [1, 2])
class TestDatabase:
    async def test_starts_empty_whatever_the_test_before_wrote(
        self, database: PostgresEngine, now: datetime, turn: int
    ) -> None:
        assert await db.fetchval(COUNT) == 0
        async with db.transaction():
            await audit.record(
                actor_id=None,
                actor_role="operator",
                action="try",
                object_kind="x",
                object_id=str(turn),
                detail={},
                now=now,
            )
        assert await db.fetchval(COUNT) == 1

    async def test_rolls_back_an_inner_transaction_alone(
        self, database: PostgresEngine, now: datetime, turn: int
    ) -> None:
        with pytest.raises(ZeroDivisionError):
            async with db.transaction():
                await db.execute("INSERT INTO job_tick (name, ran_at) VALUES ('x', $1)", now)
                raise ZeroDivisionError
        assert await db.fetchval("SELECT count(*) FROM job_tick") == 0


@pytest.mark.parametrize("turn", [1, 2])
class TestCommitting:
    async def test_commits_in_a_database_of_its_own(self, committing: PostgresEngine, now: datetime, turn: int) -> None:
        async with db.transaction():
            await db.execute("INSERT INTO job_tick (name, ran_at) VALUES ('x', $1)", now)
        assert await db.fetchval("SELECT count(*) FROM job_tick") == 1


@pytest.mark.parametrize("turn", [1, 2])
class TestValkey:
    async def test_starts_empty(self, valkey: Redis, turn: int) -> None:
        assert await valkey.dbsize() == 0
        await valkey.set("x", turn)


class TestApi:
    async def test_answers_in_the_tests_own_transaction(self, api: httpx.AsyncClient) -> None:
        answer = await api.get("/readyz")
        assert (answer.status_code, answer.json()["status"]) == (200, "degraded")  # tests have no broker
        assert answer.json()["checks"]["postgresql"] == "ok"

    async def test_answers_an_unknown_path_with_a_problem(self, api: httpx.AsyncClient) -> None:
        answer = await api.get("/v1/nothing-here")
        assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")
