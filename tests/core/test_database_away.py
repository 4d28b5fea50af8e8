"""A connection that breaks in the midst of a query is an error that everybody who waits for PostgreSQL knows."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

import asyncpg
import pytest
from piccolo.engine.postgres import PostgresEngine

from backend.core import db


class BrokenPool:
    """A pool whose connection breaks while it is given back: what asyncpg raised under a restart of PostgreSQL."""

    @asynccontextmanager
    async def acquire(self) -> AsyncIterator[Any]:
        yield cast(Any, None)
        raise asyncpg.InternalClientError("cannot switch to state 15; another operation (2) is in progress")


class TestABrokenConnection:
    async def test_is_told_as_a_lost_connection(self, database: PostgresEngine) -> None:
        broken = PostgresEngine(config={"dsn": "postgresql://nowhere"}, extensions=())
        broken.pool = cast(Any, BrokenPool())
        db.install_engine(broken)
        try:
            with pytest.raises(asyncpg.InterfaceError, match="connection was lost"):
                async with db.connection():
                    pass
        finally:
            db.install_engine(database)


class TestAPooledConnection:
    async def test_comes_back_without_the_transaction_somebody_left_open(self, committing: PostgresEngine) -> None:
        for _ in range(3):
            async with db.connection() as connection:
                await connection.execute("BEGIN")
                await connection.execute("SET LOCAL application_name = 'left open'")
        for _ in range(3):
            async with db.connection() as connection:
                assert not connection.is_in_transaction()
                assert await connection.fetchval("SHOW application_name") == "linli"
