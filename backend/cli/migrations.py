"""Applying and counting the database migrations of all features."""

import contextlib
import io
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import import_module
from pathlib import Path

import asyncpg
from piccolo.apps.migrations.commands.base import BaseMigrationManager
from piccolo.apps.migrations.commands.forwards import run_forwards
from piccolo.apps.migrations.tables import Migration
from piccolo.engine.postgres import PostgresEngine

from backend.features import FEATURES

# Any number, the same for everyone who migrates: two that start at once wait for each other.
MIGRATION_LOCK = 7_711_202_611


class MigrationFailed(RuntimeError):
    """A migration was refused by the database; the text is Piccolo's."""


@asynccontextmanager
async def _engine(url: str) -> AsyncIterator[PostgresEngine]:
    # Piccolo's migration code asks its configuration module for the engine, and remembers the answer per table.
    os.environ["LINLI_OWNER_DATABASE_URL"] = url
    piccolo_conf = import_module("piccolo_conf")
    engine = PostgresEngine(config={"dsn": url}, extensions=())
    await engine.start_connection_pool(min_size=1, max_size=2)
    vars(piccolo_conf)["DB"] = engine
    Migration._meta.db = engine
    try:
        yield engine
    finally:
        await engine.close_connection_pool()


async def migrate(*, owner_url: str) -> list[str]:
    """Apply what is missing, as the owner role; returns what was applied. Two callers at once take turns."""
    lock = await asyncpg.connect(owner_url)
    try:
        await lock.execute("SELECT pg_advisory_lock($1)", MIGRATION_LOCK)
        before = set(await applied(url=owner_url))
        async with _engine(owner_url):
            talk = io.StringIO()
            try:
                with contextlib.redirect_stdout(talk), contextlib.redirect_stderr(talk):
                    result = await run_forwards("all")
            except asyncpg.PostgresError as error:
                raise MigrationFailed(f"{talk.getvalue()[-500:]}\n{type(error).__name__}: {error}") from error
            if not result.success:
                raise MigrationFailed(f"{result.message}\n{talk.getvalue()[-2000:]}")
        return [name for name in await applied(url=owner_url) if name not in before]
    finally:
        await lock.close()


async def applied(*, url: str) -> list[str]:
    """Return the migrations the database has as `feature id`, oldest first; works as either role."""
    connection = await asyncpg.connect(url)
    try:
        if await connection.fetchval("SELECT to_regclass('migration') IS NULL"):
            return []
        rows = await connection.fetch("SELECT app_name, name FROM migration ORDER BY id")
        return [f"{row['app_name']} {row['name']}" for row in rows]
    finally:
        await connection.close()


def known() -> list[str]:
    """Return the migrations this version of the code brings, as `feature id`."""
    manager = BaseMigrationManager()
    folder = Path(__file__).parents[1]
    ids: list[str] = []
    for feature in FEATURES:
        modules = manager.get_migration_modules(str(folder / feature / "piccolo_migrations"))
        ids += [f"{feature} {name}" for name in manager.get_migration_ids(modules)]
    return ids


async def pending(*, url: str) -> list[str]:
    """Return what the code brings and the database lacks."""
    have = set(await applied(url=url))
    return [name for name in known() if name not in have]
