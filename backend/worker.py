"""The worker process: runs the jobs of all features from the PostgreSQL queue; any number of workers side by side."""

import asyncio
import gc
import signal
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any

import asyncpg
import structlog
from pgqueuer import PgQueuer
from pgqueuer.adapters.drivers.asyncpg import AsyncpgDriver
from pgqueuer.adapters.persistence.queries import Queries
from pgqueuer.core.executors import DatabaseRetryEntrypointExecutor
from pgqueuer.errors import FailingListenerError
from pgqueuer.models import Job
from pgqueuer.types import QueueEntrypoint, QueueExecutionMode

from backend import wiring
from backend.core import audit, db, idempotency, jobs
from backend.core.clock import Clock
from backend.core.logging import configure_logging
from backend.core.metrics import JOB_SECONDS, JOBS_RUN
from backend.core.services import Services
from backend.core.settings import Settings

log = structlog.get_logger()

MAX_ATTEMPTS = 12
"""Tries of a job before it is held for a person; with the backoff below, about half an hour."""

BATCH, AT_ONCE = 20, 100
"""Jobs a lane takes with one statement, and has in hand at most."""
KEPT_FOR_FIRST = 3
"""Database connections of the pool that only jobs of the first lane use: those of danger and of word to people."""
POLL = timedelta(milliseconds=50)
"""Until a lane that found nothing looks again; of a job that is `first` it is told at once."""
PLANNING = {"enable_sort": "off", "enable_seqscan": "off", "enable_bitmapscan": "off"}
"""For the queue's own statements: they want the first few jobs of a kind, in the order of an index.

The planner, which cannot know how many of a kind are waiting, would now and then read and sort all of them for these.
"""
UNHURRIED = {"synchronous_commit": "off"}
"""For the queue's own statements: that a job was taken or done need not wait for the disk.

After a crash of PostgreSQL such a job comes again, as it may anyhow. What handlers write is on disk when they commit.
"""


CORE = jobs.Jobs("core")


@CORE.every("seal_audit", seconds=30)
async def seal_audit(job: jobs.JobContext) -> None:
    """Chain the audit entries written since the last run."""
    await audit.seal_entries(now=job.now)


@CORE.every("forget_idempotency_keys", seconds=3600)
async def forget_idempotency_keys(job: jobs.JobContext) -> None:
    """Drop stored answers older than a day."""
    await idempotency.forget_old(now=job.now)


@CORE.every("trim_job_log", seconds=3600)
async def trim_job_log(job: jobs.JobContext) -> None:
    """Keep a week of the queue's own log."""
    await db.execute("DELETE FROM pgqueuer_log WHERE created < $1", job.now - timedelta(days=7))


@dataclass
class LaneQueries(Queries):
    """PgQueuer's queries, asked less often: jobs by the batch instead of one by one, and only for jobs.

    An empty lane looks again after `POLL` whatever there is, so nothing has to be known of what it will find.
    """

    in_hand: Callable[[], int] = lambda: 0

    async def dequeue(self, batch_size: int, *args: Any, **kwargs: Any) -> list[Job]:
        """Wait a moment for room for a batch; then take what there is room for."""
        for _ in range(10):
            if self.in_hand() <= AT_ONCE - batch_size:
                break
            await asyncio.sleep(0.01)
        return await super().dequeue(batch_size, *args, **kwargs)

    async def eligible_queued_work(self, entrypoints: list[QueueEntrypoint]) -> int:
        """None that a look after `POLL` would not find."""
        return 0

    async def queued_work(self, entrypoints: list[QueueEntrypoint]) -> int:
        """None that a look after `POLL` would not find."""
        return 0

    async def next_deferred_eta(self, entrypoints: list[QueueEntrypoint]) -> timedelta | None:
        """Never sooner than `POLL`."""
        return None


def _context(services: Services, *, job_id: int = 0, attempt: int = 0) -> jobs.JobContext:
    clock: Clock = services.get(Clock)  # type: ignore[type-abstract]
    return jobs.JobContext(now=clock.now(), clock=clock, services=services, job_id=job_id, attempt=attempt)


async def _run(services: Services, name: str, job: Job, share: asyncio.Semaphore | None) -> None:
    started = time.perf_counter()
    if share is not None:
        db.use_share(share)
    structlog.contextvars.bind_contextvars(job=name, job_id=job.id)
    try:
        await jobs.run_payload(name, job.payload, _context(services, job_id=job.id, attempt=job.attempts))
    except Exception as error:
        JOBS_RUN.labels(name, "failed").inc()
        log.warning("job_failed", attempt=job.attempts, error=repr(error)[:300], exc_info=job.attempts == 0)
        raise
    JOBS_RUN.labels(name, "done").inc()
    JOB_SECONDS.labels(name).observe(time.perf_counter() - started)


def build_queue(
    connection: asyncpg.Connection, services: Services, *, lane: jobs.Lane, share: asyncio.Semaphore
) -> PgQueuer:
    """Return a PgQueuer with the handlers of a lane, retried with backoff and held when they fail for good.

    Jobs that are not first take database connections within `share`, that of the other lanes.
    """
    driver = AsyncpgDriver(connection)
    queries = LaneQueries(driver)
    queue = PgQueuer(driver, queries=queries)
    queries.in_hand = lambda: len(queue.qm.job_context)
    executor = partial(
        DatabaseRetryEntrypointExecutor,
        max_attempts=MAX_ATTEMPTS,
        initial_delay=timedelta(milliseconds=500),
        max_delay=timedelta(minutes=5),
    )
    for entry in jobs.registry().entrypoints.values():
        if name := entry.queue_names().get(lane):
            queue.entrypoint(
                name,
                concurrency_limit=entry.concurrency,
                accepts_context=False,
                on_failure="hold",
                executor_factory=executor,
            )(_entry(services, entry.name, None if lane == "first" else share))
    return queue


def _entry(
    services: Services, name: str, share: asyncio.Semaphore | None
) -> Callable[[Job], Coroutine[Any, Any, None]]:
    async def run(job: Job) -> None:
        await _run(services, name, job, share)

    return run


async def run_queue_forever(services: Services, stop: asyncio.Event) -> None:
    """Run jobs until `stop`, each lane by itself; all end when one of them fails for good."""
    lanes = {lane for entry in jobs.registry().entrypoints.values() for lane in entry.queue_names()}
    share = asyncio.Semaphore(max(1, services.get(Settings).database_pool_size - KEPT_FOR_FIRST))
    async with asyncio.TaskGroup() as group:
        for lane in lanes:
            group.create_task(_run_lane(services, stop, lane=lane, share=share), name=lane)


async def _run_lane(services: Services, stop: asyncio.Event, *, lane: jobs.Lane, share: asyncio.Semaphore) -> None:
    """Run the jobs of a lane; a lost database connection is made again, and jobs that were running come back."""
    settings = services.get(Settings)
    name = f"linli worker {lane}"
    while not stop.is_set():
        connection: asyncpg.Connection | None = None
        try:
            connection = await asyncpg.connect(
                settings.database_url, timeout=10, server_settings={"application_name": name, **PLANNING, **UNHURRIED}
            )
            queue = build_queue(connection, services, lane=lane, share=share)
            running = asyncio.create_task(
                queue.run(
                    dequeue_timeout=POLL,
                    batch_size=BATCH,
                    max_concurrent_tasks=AT_ONCE,
                    mode=QueueExecutionMode.continuous,
                    shutdown_on_listener_failure=True,
                    heartbeat_timeout=timedelta(seconds=5),
                    # Nobody reads PgQueuer's statistics (Prometheus has ours), and writing them stops the lane.
                    log_aggregation_interval=timedelta(0),
                )
            )
            stopping = asyncio.create_task(stop.wait())
            await asyncio.wait({running, stopping}, return_when=asyncio.FIRST_COMPLETED)
            queue.shutdown.set()
            await asyncio.wait_for(running, timeout=20)
            stopping.cancel()
        except (
            OSError,
            asyncpg.PostgresError,
            asyncpg.InterfaceError,
            asyncpg.InternalClientError,
            FailingListenerError,
            TimeoutError,
        ) as error:
            log.error("queue_connection_lost", lane=lane, error=repr(error)[:200])
            await asyncio.sleep(1)
        finally:
            if connection is not None and not connection.is_closed():
                connection.terminate()


async def run() -> None:
    """Run the worker until SIGTERM or SIGINT."""
    settings = Settings.from_environ()
    configure_logging(process="worker", log_format=settings.log_format, level=settings.log_level)
    services = wiring.build_services(settings)
    jobs.wire([CORE, *wiring.collect_jobs()])
    stop = asyncio.Event()
    for signal_number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(signal_number, stop.set)
    await db.open_database(settings.database_url, max_size=settings.database_pool_size)
    ticks = jobs.ticks_forever(
        lambda: _context(services), lambda name, error: log.error("tick_failed", tick=name, exc_info=error)
    )
    # A full collection stops everything for 100 to 200 ms: what is here to stay is left out of it.
    gc.collect()
    gc.freeze()
    log.info("worker_started", handlers=len(jobs.registry().entrypoints), ticks=len(ticks))
    try:
        await run_queue_forever(services, stop)
    finally:
        for tick in ticks:
            tick.cancel()
        await asyncio.gather(*ticks, return_exceptions=True)
        await wiring.close_services(services)


def main() -> None:
    """Entry point of `linli worker`."""
    import uvloop

    uvloop.run(run())
