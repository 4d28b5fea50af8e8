"""Events, reactions and timers: an event is a row, with one PgQueuer job per handler, in the transaction it tells of.

Features declare a `Jobs` table; the composition root wires all of them with `wire()`. Delivery is at least once, so
handlers are idempotent. A failing job is retried with backoff and then held (`failed`), where `linli doctor` shows it;
PgQueuer's default, deleting it after one try, would lose it.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, TypeAlias, TypeVar
from uuid import UUID

import msgspec

from backend.core import db
from backend.core.clock import Clock
from backend.core.ids import new_id
from backend.core.services import Services


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """Something that happened, named in the past tense; subclasses are what features tell each other."""


@dataclass(frozen=True)
class JobContext:
    """What a handler is given beside its event or payload."""

    now: datetime
    clock: Clock
    services: Services
    job_id: int
    attempt: int


E = TypeVar("E", bound=Event)
P = TypeVar("P", bound=msgspec.Struct)
PayloadHandler = Callable[[Any, JobContext], Awaitable[None]]
TickHandler = Callable[[JobContext], Awaitable[None]]
WhenFirst: TypeAlias = bool | Literal["if told"]
"""Whether jobs of a handler come first: always, never, or when they are told to."""
Lane: TypeAlias = Literal["first", "urgent", "others"]
"""Jobs of a lane wait for no other lane's. `first` is for danger and what follows from it."""
TOLD_FIRST = ".first"
"""Ends the queue's name of a job that was told to come first."""


@dataclass(frozen=True)
class Entrypoint:
    """One registered handler: its job name and the type its payload decodes to."""

    name: str
    payload_type: type[msgspec.Struct]
    handler: PayloadHandler
    concurrency: int
    urgent: bool
    first: WhenFirst

    def queue_name(self, *, told_first: bool) -> str:
        """What the queue calls a job of it."""
        return self.name + TOLD_FIRST if told_first and self.first == "if told" else self.name

    def queue_names(self) -> dict[Lane, str]:
        """What the queue calls its jobs, by the lane that takes them."""
        lane: Lane = "first" if self.first is True else "urgent" if self.urgent else "others"
        names: dict[Lane, str] = {lane: self.name}
        return {**names, "first": self.queue_name(told_first=True)} if self.first == "if told" else names


@dataclass(frozen=True)
class Tick:
    """A handler that runs every `seconds`, once across all workers."""

    name: str
    seconds: float
    handler: TickHandler


@dataclass
class Jobs:
    """The handlers of one feature; names become `feature.name`."""

    feature: str
    entrypoints: dict[str, Entrypoint] = field(default_factory=dict)
    subscriptions: list[tuple[type[Event], str]] = field(default_factory=list)
    ticks: list[Tick] = field(default_factory=list)

    def _add(
        self,
        name: str,
        payload_type: type[msgspec.Struct],
        handler: PayloadHandler,
        concurrency: int,
        urgent: bool,
        first: WhenFirst,
    ) -> str:
        full = f"{self.feature}.{name}"
        if full in self.entrypoints:
            raise ValueError(f"two handlers are called {full}")
        if full.endswith(TOLD_FIRST):
            raise ValueError(f"{full}: the ending {TOLD_FIRST} is for jobs that were told to come first")
        if urgent and first is True:
            raise ValueError(f"{full} is always first, and so in no other lane")
        self.entrypoints[full] = Entrypoint(full, payload_type, handler, concurrency, urgent, first)
        return full

    def on(
        self, *event_types: type[E], concurrency: int = 0, urgent: bool = False, first: WhenFirst = False
    ) -> Callable[[Callable[[E, JobContext], Awaitable[None]]], Callable[[E, JobContext], Awaitable[None]]]:
        """Run the decorated handler once for each event of these types (in a job of its own).

        `urgent` jobs have a lane of their own in each worker: they wait for no others, however many are queued. Those
        that are `first`, always or `"if told"`, have another, and find database connections kept for them.
        """

        def register(handler: Callable[[E, JobContext], Awaitable[None]]) -> Callable[[E, JobContext], Awaitable[None]]:
            for event_type in event_types:
                name = getattr(handler, "__name__", "handler")
                if len(event_types) > 1:
                    name = f"{name}.{event_type.__name__}"
                self.subscriptions.append(
                    (event_type, self._add(name, event_type, handler, concurrency, urgent, first))
                )
            return handler

        return register

    def timer(
        self, name: str, payload_type: type[P], *, concurrency: int = 0, urgent: bool = False, first: WhenFirst = False
    ) -> Callable[[Callable[[P, JobContext], Awaitable[None]]], Callable[[P, JobContext], Awaitable[None]]]:
        """Run the decorated handler for each `schedule("feature.name", payload, due_at=…)`; the rest as with `on`."""

        def register(handler: Callable[[P, JobContext], Awaitable[None]]) -> Callable[[P, JobContext], Awaitable[None]]:
            self._add(name, payload_type, handler, concurrency, urgent, first)
            return handler

        return register

    def every(self, name: str, *, seconds: float) -> Callable[[TickHandler], TickHandler]:
        """Run the decorated handler every `seconds`, once across all workers."""

        def register(handler: TickHandler) -> TickHandler:
            self.ticks.append(Tick(f"{self.feature}.{name}", seconds, handler))
            return handler

        return register


@dataclass(frozen=True)
class Registry:
    """All handlers of the service, by name, and who listens to which event."""

    entrypoints: dict[str, Entrypoint]
    subscribers: dict[type[Event], tuple[str, ...]]
    ticks: tuple[Tick, ...]


_registry: Registry | None = None


def wire(tables: Iterable[Jobs]) -> Registry:
    """Install the handlers of all features as the registry of this process (composition root)."""
    global _registry
    entrypoints: dict[str, Entrypoint] = {}
    subscribers: dict[type[Event], tuple[str, ...]] = {}
    ticks: list[Tick] = []
    for table in tables:
        if overlap := entrypoints.keys() & table.entrypoints.keys():
            raise ValueError(f"two features register {sorted(overlap)}")
        entrypoints.update(table.entrypoints)
        ticks.extend(table.ticks)
        for event_type, name in table.subscriptions:
            subscribers[event_type] = (*subscribers.get(event_type, ()), name)
    _registry = Registry(entrypoints, subscribers, tuple(ticks))
    return _registry


def registry() -> Registry:
    """Return the installed registry; a RuntimeError tells that the composition root has not wired one."""
    if _registry is None:
        raise RuntimeError("no job handlers are wired: call core.jobs.wire at the composition root")
    return _registry


def _require_transaction(what: str) -> None:
    if not db.in_transaction():
        raise RuntimeError(f"{what} belongs inside the transaction of the change it tells of")


@dataclass(frozen=True)
class _Recorded:
    """A row of domain_event."""

    id: UUID
    name: str
    payload: str
    at: datetime


@dataclass(frozen=True)
class _Queued:
    """A row of the queue; without `due_at` it is due at once, by the database's clock."""

    entry: Entrypoint
    payload: bytes
    due_at: datetime | None
    dedupe_key: str | None
    first: bool = False
    ahead: bool = False


async def _write(rows: list[_Recorded | _Queued]) -> None:
    """Write events and jobs with one statement, the jobs in this order.

    PgQueuer's own would take one more for each event and for each due time: it counts a delay from the transaction's
    start, and a due time is absolute.
    """
    recorded = [row for row in rows if isinstance(row, _Recorded)]
    queued = [row for row in rows if isinstance(row, _Queued)]
    await db.execute(
        """
        WITH recorded AS (
            INSERT INTO domain_event (id, name, payload, occurred_at)
            SELECT e.id, e.name, e.payload::jsonb, e.at
            FROM unnest($1::uuid[], $2::text[], $3::text[], $4::timestamptz[]) AS e (id, name, payload, at)
        )
        INSERT INTO pgqueuer (status, priority, entrypoint, payload, execute_after, dedupe_key)
        SELECT 'queued', j.priority, j.name, j.payload, coalesce(j.due_at, now()), j.dedupe_key
        FROM unnest($5::int[], $6::text[], $7::bytea[], $8::timestamptz[], $9::text[])
            WITH ORDINALITY AS j (priority, name, payload, due_at, dedupe_key, n)
        ORDER BY j.n
        ON CONFLICT DO NOTHING
        """,
        [row.id for row in recorded],
        [row.name for row in recorded],
        [row.payload for row in recorded],
        [row.at for row in recorded],
        [int(row.first or row.ahead or row.entry.first is True) for row in queued],
        [row.entry.queue_name(told_first=row.first) for row in queued],
        [row.payload for row in queued],
        [row.due_at for row in queued],
        [row.dedupe_key for row in queued],
    )


async def emit(event: Event, *, now: datetime, first: bool = False) -> UUID:
    """Record `event` and enqueue one job for each of its handlers, in the caller's transaction; returns its id.

    Of an event that is `first` (it tells of danger), the jobs that may be are first, others go ahead in their lane.
    """
    _require_transaction("emit")
    event_id = new_id()
    payload = msgspec.json.encode(event)
    rows: list[_Recorded | _Queued] = [_Recorded(event_id, type(event).__name__, payload.decode(), now)]
    handlers = registry().subscribers.get(type(event), ())
    rows += [_Queued(registry().entrypoints[name], payload, None, None, first) for name in handlers]
    await db.write_at_end(_write, rows)
    return event_id


async def schedule(
    name: str,
    payload: msgspec.Struct,
    *,
    due_at: datetime,
    now: datetime,
    dedupe_key: str | None = None,
    first: bool = False,
    ahead: bool = False,
) -> None:
    """Run the timer `name` at `due_at`, in the caller's transaction.

    With a `dedupe_key` a second one that is still waiting is skipped. The handler checks the stored due time again:
    what it was set for may have moved. One that is `first`, and may be, is taken by the lane of those; one that goes
    `ahead` is taken before the others of its own.
    """
    _require_transaction("schedule")
    entry = registry().entrypoints.get(name)
    if entry is None:
        raise ValueError(f"no timer is called {name}")
    key = f"{name}:{dedupe_key}" if dedupe_key else None
    rows: list[_Recorded | _Queued] = [
        _Queued(entry, msgspec.json.encode(payload), due_at if due_at > now else None, key, first, ahead)
    ]
    await db.write_at_end(_write, rows)


async def run_payload(name: str, payload: bytes | None, context: JobContext) -> None:
    """Decode the payload of the job that the queue calls `name` and run its handler."""
    entry = registry().entrypoints[name.removesuffix(TOLD_FIRST)]
    await entry.handler(msgspec.json.decode(payload or b"{}", type=entry.payload_type), context)


async def run_tick(tick: Tick, context: JobContext) -> bool:
    """Run a tick if no other worker ran it within its period; says whether it ran.

    The claim is a row per tick, taken with the database's own clock, so that workers with different clocks agree.
    """
    claimed = await db.fetchval(
        """
        INSERT INTO job_tick (name, ran_at) VALUES ($1, clock_timestamp())
        ON CONFLICT (name) DO UPDATE SET ran_at = excluded.ran_at
        WHERE job_tick.ran_at <= excluded.ran_at - make_interval(secs => $2 * 0.9) OR job_tick.ran_at > excluded.ran_at
        RETURNING true
        """,
        tick.name,
        tick.seconds,
    )
    if claimed:
        await tick.handler(context)
    return bool(claimed)


async def list_held() -> list[tuple[int, str, datetime]]:
    """Return (id, name, since) of the jobs that failed for good and wait for a person."""
    rows = await db.fetch("SELECT id, entrypoint, updated FROM pgqueuer WHERE status = 'failed' ORDER BY id LIMIT 500")
    return [(row["id"], row["entrypoint"], row["updated"]) for row in rows]


async def requeue_held(*, name: str | None = None) -> int:
    """Put held jobs back into the queue (all, or those called `name`); returns how many."""
    status = await db.execute(
        "UPDATE pgqueuer SET status = 'queued', attempts = 0, execute_after = now() "
        "WHERE status = 'failed' AND ($1::text IS NULL OR entrypoint IN ($1, $1 || $2))",
        name,
        TOLD_FIRST,
    )
    return int(status.split()[-1])


def ticks_forever(
    make_context: Callable[[], JobContext], on_error: Callable[[str, Exception], None]
) -> list[asyncio.Task[None]]:
    """Start one task per tick of the registry; a failing run is reported and the next one comes all the same."""

    async def loop(tick: Tick) -> None:
        while True:
            try:
                await run_tick(tick, make_context())
            except Exception as error:  # noqa: BLE001  a tick must outlive one bad run; it is reported, not swallowed
                on_error(tick.name, error)
            await asyncio.sleep(tick.seconds)

    return [asyncio.create_task(loop(tick), name=f"tick:{tick.name}") for tick in registry().ticks]
