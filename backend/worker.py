"""The worker process: runs the jobs of all features from the PostgreSQL queue; any number of workers side by side."""

import asyncio
import signal
import time
from collections.abc import Callable, Coroutine
from datetime import timedelta
from functools import partial
from typing import Any

import asyncpg
import structlog
from pgqueuer import PgQueuer
from pgqueuer.adapters.drivers.asyncpg import AsyncpgDriver
from pgqueuer.core.executors import DatabaseRetryEntrypointExecutor
from pgqueuer.errors import FailingListenerError
from pgqueuer.models import Job
from pgqueuer.types import QueueExecutionMode

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


def _context(services: Services, *, job_id: int = 0, attempt: int = 0) -> jobs.JobContext:
    clock: Clock = services.get(Clock)  # type: ignore[type-abstract]
    return jobs.JobContext(now=clock.now(), clock=clock, services=services, job_id=job_id, attempt=attempt)


async def _run(services: Services, name: str, job: Job) -> None:
    started = time.perf_counter()
    structlog.contextvars.bind_contextvars(job=name, job_id=job.id)
    try:
        await jobs.run_payload(name, job.payload, _context(services, job_id=job.id, attempt=job.attempts))
    except Exception as error:
        JOBS_RUN.labels(name, "failed").inc()
        log.warning("job_failed", attempt=job.attempts, error=repr(error)[:300], exc_info=job.attempts == 0)
        raise
    JOBS_RUN.labels(name, "done").inc()
    JOB_SECONDS.labels(name).observe(time.perf_counter() - started)


def build_queue(connection: asyncpg.Connection, services: Services) -> PgQueuer:
    """Return a PgQueuer with every handler of the registry, retried with backoff and held when it fails for good."""
    queue = PgQueuer(AsyncpgDriver(connection))
    executor = partial(
        DatabaseRetryEntrypointExecutor,
        max_attempts=MAX_ATTEMPTS,
        initial_delay=timedelta(milliseconds=500),
        max_delay=timedelta(minutes=5),
    )
    for name, entry in jobs.registry().entrypoints.items():
        queue.entrypoint(
            name,
            concurrency_limit=entry.concurrency,
            accepts_context=False,
            on_failure="hold",
            executor_factory=executor,
        )(_entry(services, name))
    return queue


def _entry(services: Services, name: str) -> Callable[[Job], Coroutine[Any, Any, None]]:
    async def run(job: Job) -> None:
        await _run(services, name, job)

    return run


async def run_queue_forever(services: Services, stop: asyncio.Event) -> None:
    """Run jobs until `stop`; a lost database connection is made again, and jobs that were running come back."""
    settings = services.get(Settings)
    while not stop.is_set():
        connection: asyncpg.Connection | None = None
        try:
            connection = await asyncpg.connect(
                settings.database_url, timeout=10, server_settings={"application_name": "linli worker queue"}
            )
            queue = build_queue(connection, services)
            running = asyncio.create_task(
                queue.run(
                    dequeue_timeout=timedelta(seconds=5),
                    batch_size=20,
                    max_concurrent_tasks=100,
                    mode=QueueExecutionMode.continuous,
                    shutdown_on_listener_failure=True,
                    heartbeat_timeout=timedelta(seconds=5),
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
            log.error("queue_connection_lost", error=repr(error)[:200])
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
