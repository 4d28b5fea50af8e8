"""The database of this process: one Piccolo engine with its pool, installed once at the composition root.

`transaction()` nests by savepoint (Piccolo's own is a no-op when nested); `fetch` and its kin run on the
transaction's connection where there is one, else on one from the pool.
"""

import asyncio
import contextvars
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable, Sequence
from contextlib import asynccontextmanager, nullcontext, suppress
from importlib import import_module
from typing import Any, TypeVar, cast

import asyncpg
from piccolo.engine.postgres import PostgresEngine
from piccolo.table import Table

from backend.features import FEATURES

_engine: PostgresEngine | None = None


def all_tables() -> list[type[Table]]:
    """Return the Piccolo tables of every feature, lowest feature first."""
    tables: list[type[Table]] = []
    for feature in FEATURES:
        config = import_module(f"backend.{feature}.piccolo_app").APP_CONFIG
        tables.extend(config.table_classes)
    return tables


def install_engine(engine: PostgresEngine) -> None:
    """Make `engine` the database of this process and bind every table to it."""
    global _engine
    _engine = engine
    for table in all_tables():
        table._meta.db = engine


async def open_database(url: str, *, min_size: int = 2, max_size: int = 10) -> PostgresEngine:
    """Connect to `url` with a pool and install it as the database of this process."""
    engine = PostgresEngine(config={"dsn": url}, extensions=())
    await engine.start_connection_pool(
        min_size=min_size,
        max_size=max_size,
        command_timeout=30,
        server_settings={"timezone": "UTC", "application_name": "linli"},
        reset=_leave_as_it_is,
    )
    install_engine(engine)
    return engine


async def _leave_as_it_is(_connection: object) -> None:
    """Spare the round trip of asyncpg's own reset (RESET ALL, UNLISTEN) after each statement outside a transaction.

    Nothing here changes a pooled connection's session: settings and locks are of a transaction, and who listens has a
    connection of its own. A transaction left open is still rolled back, asyncpg does that before.
    """


async def close_database() -> None:
    """Close the pool, if one is open."""
    global _engine
    if _engine is not None and _engine.pool is not None:
        await _engine.close_connection_pool()
    _engine = None


def uninstall_engine() -> None:
    """Forget the installed engine without closing it: from now on using the database is an error again."""
    global _engine
    _engine = None


def engine() -> PostgresEngine:
    """Return the installed engine; a RuntimeError tells that the composition root has not installed one."""
    if _engine is None:
        raise RuntimeError("no database is installed: call core.db.open_database at the composition root")
    return _engine


def in_transaction() -> bool:
    """Say whether the present task runs inside a transaction."""
    return engine().current_transaction.get() is not None


@asynccontextmanager
async def transaction() -> AsyncIterator[None]:
    """Run the block in a transaction; nested, in a savepoint that is rolled back alone when the block raises."""
    current = engine().current_transaction.get()
    if current is not None:
        async with current.connection.transaction(), _ending():
            yield
        return
    async with _pooled() as conn:
        # Piccolo's own `async with` keeps the connection, and the task's transaction, when COMMIT or ROLLBACK fails
        # (a deferred constraint, a database that went away): the pool would run dry. Its object only carries ours.
        carrier = engine().transaction()
        carrier.connection = conn
        carrier.transaction = conn.transaction()
        await carrier.transaction.start()
        token = engine().current_transaction.set(carrier)
        try:
            async with _ending():
                yield
        except asyncio.CancelledError:
            # Whoever cancels waits for it: a connection too broken to roll back (the pool drops it) must not hide it.
            with suppress(asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError):
                await carrier.transaction.rollback()
            raise
        except BaseException:
            await carrier.transaction.rollback()
            raise
        else:
            await carrier.transaction.commit()
        finally:
            engine().current_transaction.reset(token)


@asynccontextmanager
async def joined() -> AsyncIterator[None]:
    """Run the block as a part of the present transaction, which fails with it whole; where there is none, in one.

    For what belongs to its caller's change: a savepoint would cost two round trips, and nobody goes on without it.
    """
    if in_transaction():
        yield
        return
    async with transaction():
        yield


R = TypeVar("R")


class _Gathered:
    """Rows that wait for the end of a transaction or savepoint, by who writes them."""

    def __init__(self) -> None:
        self.rows: dict[Callable[[list[Any]], Awaitable[None]], list[Any]] = {}
        self.is_over = False

    def add(self, write: Callable[[list[Any]], Awaitable[None]], rows: Sequence[Any]) -> None:
        """Let more rows wait; raises RuntimeError after the end, when nobody would write them."""
        if self.is_over:
            raise RuntimeError("the transaction this belongs to is over: a task outlived it")
        self.rows.setdefault(write, []).extend(rows)


_at_end: contextvars.ContextVar[_Gathered | None] = contextvars.ContextVar("at_end", default=None)


async def write_at_end(write: Callable[[list[R]], Awaitable[None]], rows: Sequence[R]) -> None:
    """Have `write` called once at the end of the transaction, with these rows and all others that came for it.

    For rows that nothing in the transaction reads. What a savepoint takes back is taken back of these too.
    """
    waiting = _at_end.get()
    if waiting is not None:
        waiting.add(write, rows)
    elif rows:
        await write(list(rows))


@asynccontextmanager
async def _ending() -> AsyncIterator[None]:
    """Gather the rows of the block for the end: of a savepoint they join those around it, else they are written."""
    around = _at_end.get()
    waiting = _Gathered()
    token = _at_end.set(waiting)
    try:
        yield
    finally:
        waiting.is_over = True
        _at_end.reset(token)
    for write, rows in waiting.rows.items():
        if around is not None:
            around.add(write, rows)
        elif rows:
            await write(rows)


@asynccontextmanager
async def connection() -> AsyncIterator[asyncpg.Connection]:
    """Give the asyncpg connection of the present transaction, or one from the pool for the block."""
    current = engine().current_transaction.get()
    if current is not None:
        yield current.connection
        return
    async with _pooled() as conn:
        yield conn


_share: contextvars.ContextVar[asyncio.Semaphore | None] = contextvars.ContextVar("share", default=None)


def use_share(share: asyncio.Semaphore) -> None:
    """From now on, take connections in this task only within `share`: what is more pressing finds the others free."""
    _share.set(share)


@asynccontextmanager
async def _pooled() -> AsyncIterator[asyncpg.Connection]:
    pool = engine().pool
    if pool is None:
        raise RuntimeError("the database has no pool: call core.db.open_database")
    try:
        async with _share.get() or nullcontext(), pool.acquire() as conn:
            yield cast(asyncpg.Connection, conn)
    except asyncpg.InternalClientError as error:
        # asyncpg's word for a connection that broke in the midst of a query; to be waited out as any other.
        raise asyncpg.InterfaceError(f"the connection was lost: {error}") from error


async def fetch(sql: str, *args: Any) -> list[asyncpg.Record]:
    """Return all rows of `sql` ($1 parameters)."""
    async with connection() as conn:
        return await conn.fetch(sql, *args)


async def fetchrow(sql: str, *args: Any) -> asyncpg.Record | None:
    """Return the first row of `sql`, or None."""
    async with connection() as conn:
        return await conn.fetchrow(sql, *args)


async def fetchval(sql: str, *args: Any) -> Any:
    """Return the first column of the first row of `sql`, or None."""
    async with connection() as conn:
        return await conn.fetchval(sql, *args)


async def execute(sql: str, *args: Any) -> str:
    """Run `sql` and return PostgreSQL's command tag, such as "UPDATE 1"."""
    async with connection() as conn:
        return await conn.execute(sql, *args)


async def executemany(sql: str, rows: Iterable[Sequence[Any]]) -> None:
    """Run `sql` once for each row of parameters, pipelined."""
    async with connection() as conn:
        await conn.executemany(sql, rows)


async def copy_records(table: str, *, records: Iterable[Sequence[Any]], columns: Sequence[str]) -> None:
    """Write rows with COPY, the fast lane for history."""
    async with connection() as conn:
        await conn.copy_records_to_table(table, records=records, columns=columns)


def start_outside_transaction(
    make: Callable[[], Coroutine[Any, Any, None]], *, name: str | None = None
) -> asyncio.Task[None]:
    """Start a task that does not inherit the caller's transaction (contextvars would carry it over)."""
    return asyncio.get_running_loop().create_task(make(), name=name, context=contextvars.Context())
