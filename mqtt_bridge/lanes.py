"""Client ids held by lease: PostgreSQL advisory locks of one connection, given back by the kernel when a bridge dies.

Each bridge has a lane of the safety lane: a session of its own that hears everything. A broker queues what is sent to a
persistent session while its client is away, so the ids are few and stable (`bridge_lane`): a bridge takes a free one
that is registered before it makes another, and drains those whose holder is gone. The telemetry lane is one session
for all bridges; whoever holds `TELEMETRY` carries it, and a twin takes it over with its queue.
"""

import asyncio
from collections.abc import Callable
from datetime import datetime
from typing import Final

import asyncpg
import structlog

log = structlog.get_logger()

LOCK_CLASS: Final = 7_711_203
TELEMETRY: Final = -1
"""The lease of the telemetry lane, beside the numbers of the lanes."""
ADOPT_AFTER_CHECKS: Final = 2
"""A lane must be seen free so often before a twin drains it: its own bridge may just be starting again."""


class Lanes:
    """The lanes this bridge holds. The connection is its own; when it breaks the locks are gone and taken anew."""

    def __init__(self, *, dsn: str, now: Callable[[], datetime]) -> None:
        self._dsn = dsn
        self._now = now
        self._connection: asyncpg.Connection[asyncpg.Record] | None = None
        self._seen_free: dict[int, int] = {}
        self._turn = asyncio.Lock()
        self.held: set[int] = set()

    async def take_own(self) -> int:
        """Hold the lowest free lane, registering a new one when all are held; waits for PostgreSQL."""
        while True:
            try:
                connection = await self._connect()
                numbers = await self._numbers(connection)
                beyond = max(numbers, default=-1) + 2
                for number in [*numbers, *(n for n in range(beyond) if n not in numbers)]:
                    if await self._lock(connection, number):
                        await connection.execute(
                            "INSERT INTO bridge_lane (number, registered_at) VALUES ($1, $2) ON CONFLICT DO NOTHING",
                            number,
                            self._now(),
                        )
                        return number
            except (
                OSError,
                asyncpg.PostgresError,
                asyncpg.InterfaceError,
                asyncpg.InternalClientError,
                TimeoutError,
            ) as error:
                log.warning("lanes_wait_for_postgresql", error=type(error).__name__)
            await asyncio.sleep(1)

    async def hold(self, lease: int) -> bool:
        """Hold a lease if nobody else does; returns whether we do. Call it every few seconds, held or not.

        When the connection was lost meanwhile, our own leases are taken again first; one that a twin took is dropped.
        """
        async with self._turn:
            connection = await self._connect()
            if lease in self.held:
                await connection.execute("SELECT 1")
                return True
            return await self._lock(connection, lease)

    async def find_abandoned(self) -> list[int]:
        """Lanes whose holder is gone, now held by us to be drained. Call it every few seconds."""
        async with self._turn:
            connection = await self._connect()
            found = []
            for number in await self._numbers(connection):
                if number in self.held:
                    continue
                if not await self._lock(connection, number):
                    self._seen_free.pop(number, None)
                    continue
                self._seen_free[number] = self._seen_free.get(number, 0) + 1
                if self._seen_free[number] < ADOPT_AFTER_CHECKS:
                    await self._unlock(connection, number)
                    continue
                self._seen_free.pop(number)
                found.append(number)
            return found

    async def retire(self, number: int) -> None:
        """Give a drained lane up for good."""
        async with self._turn:
            connection = await self._connect()
            if number in self.held:
                await connection.execute("DELETE FROM bridge_lane WHERE number = $1", number)
                await self._unlock(connection, number)

    async def give_back(self, number: int) -> None:
        """Let go of a lane, if we hold it still: one that could not be drained stays registered, and is found again."""
        async with self._turn:
            if number in self.held:
                await self._unlock(await self._connect(), number)

    async def close(self) -> None:
        """Give all lanes back; they stay registered."""
        if self._connection is not None:
            await self._connection.close(timeout=2)

    async def _connect(self) -> "asyncpg.Connection[asyncpg.Record]":
        if self._connection is None or self._connection.is_closed():
            self._connection = await asyncpg.connect(
                self._dsn,
                timeout=5,
                command_timeout=10,
                # A machine that is gone does not close its connections: PostgreSQL finds out in some 10 s, not hours.
                server_settings={
                    "application_name": "linli-bridge-lanes",
                    "tcp_keepalives_idle": "4",
                    "tcp_keepalives_interval": "2",
                    "tcp_keepalives_count": "3",
                },
            )
            for number in sorted(self.held):
                self.held.discard(number)
                if not await self._lock(self._connection, number):
                    log.warning("lane_taken_by_a_twin", lane=number)
        return self._connection

    @staticmethod
    async def _numbers(connection: "asyncpg.Connection[asyncpg.Record]") -> list[int]:
        return [row["number"] for row in await connection.fetch("SELECT number FROM bridge_lane ORDER BY number")]

    async def _lock(self, connection: "asyncpg.Connection[asyncpg.Record]", number: int) -> bool:
        locked = await connection.fetchval("SELECT pg_try_advisory_lock($1, $2)", LOCK_CLASS, number) is True
        if locked:
            self.held.add(number)
        return locked

    async def _unlock(self, connection: "asyncpg.Connection[asyncpg.Record]", number: int) -> None:
        await connection.execute("SELECT pg_advisory_unlock($1, $2)", LOCK_CLASS, number)
        self.held.discard(number)
