"""The audit log cannot be changed by the service, and its chain shows who tried as the owner."""

from datetime import datetime, timedelta

import asyncpg
import pytest
from piccolo.engine.postgres import PostgresEngine

from backend.core import audit, db
from backend.core.ids import new_id
from sandbox.servers.postgres import PostgresServer


async def write(now: datetime, action: str) -> None:
    async with db.transaction():
        await audit.record(
            actor_id=new_id(), actor_role="operator", action=action, object_kind="tariff", object_id="t1",
            detail={"b": 1, "a": [2]}, now=now,
        )  # fmt: skip


class TestAudit:
    async def test_the_service_may_add_but_neither_change_nor_delete(
        self, database: PostgresEngine, now: datetime
    ) -> None:
        await write(now, "publish")
        for statement in ("UPDATE audit_entry SET action = 'x'", "DELETE FROM audit_entry", "DELETE FROM domain_event"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                async with db.transaction():
                    await db.execute(statement)

    async def test_seals_entries_once_and_in_order(self, database: PostgresEngine, now: datetime) -> None:
        for number in range(3):
            await write(now, f"step {number}")
        later = now + timedelta(minutes=1)
        assert await audit.seal_entries(now=now) == 0
        assert await audit.seal_entries(now=later) == 3
        assert await audit.seal_entries(now=later) == 0
        assert await audit.find_broken_seal() is None

    async def test_a_changed_entry_breaks_the_chain(
        self, committing: PostgresEngine, postgres: PostgresServer, now: datetime
    ) -> None:
        for number in range(3):
            await write(now, f"step {number}")
        await audit.seal_entries(now=now + timedelta(minutes=1))
        database = await db.fetchval("SELECT current_database()")
        owner = await asyncpg.connect(postgres.owner_url, database=database)
        try:
            await owner.execute("UPDATE audit_entry SET action = 'another' WHERE action = 'step 1'")
        finally:
            await owner.close()
        assert await audit.find_broken_seal() == 2
