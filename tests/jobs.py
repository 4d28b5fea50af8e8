"""Runs what is due in the job queue inside the test's own transaction, through the registry the workers use."""

from datetime import datetime
from typing import Any

from backend.core import db, jobs
from backend.core.jobs import JobContext
from backend.core.live import Live
from backend.core.services import Services
from tests.fakes import FixedClock, UnheardLive

ROUNDS = 100


async def run_due_jobs(*, now: datetime, services: Services | None = None, only: str | None = None) -> list[str]:
    """Run every job due at `now`, and those they lead to, oldest first; returns the names in the order they ran.

    `only` runs those whose name starts so and leaves the others queued. A handler that raises fails the test: in a
    worker it would be retried and then held.
    """
    ran: list[str] = []
    context_services = services or _unheard()
    for _ in range(ROUNDS):
        row = await _take_due(now, only)
        if row is None:
            return ran
        context = JobContext(now=now, clock=FixedClock(now), services=context_services, job_id=row["id"], attempt=0)
        await jobs.run_payload(row["entrypoint"], row["payload"], context)
        ran.append(row["entrypoint"].removesuffix(jobs.TOLD_FIRST))
    raise AssertionError(f"jobs lead to jobs without an end: {ran[-10:]}")


def _unheard() -> Services:
    """Services of a process whose live messages nobody listens to; they are display only."""
    made = Services()
    made.put(Live, UnheardLive())
    return made


async def run_ticks(*names: str, now: datetime, services: Services | None = None) -> None:
    """Run the periodic handlers with these names (`feature.name`), whenever they last ran."""
    known = {tick.name: tick for tick in jobs.registry().ticks}
    for name in names:
        context = JobContext(now=now, clock=FixedClock(now), services=services or Services(), job_id=0, attempt=0)
        await known[name].handler(context)


async def queued_jobs(*, name: str | None = None) -> list[tuple[str, datetime]]:
    """Return (name, due time) of what waits in the queue, soonest first."""
    rows = await db.fetch(
        "SELECT entrypoint, execute_after FROM pgqueuer "
        "WHERE $1::text IS NULL OR entrypoint = $1 ORDER BY execute_after, id",
        name,
    )
    return [(row["entrypoint"], row["execute_after"]) for row in rows]


async def _take_due(now: datetime, only: str | None) -> Any:
    # A reaction to an event is due at once: PgQueuer stamped it with the database's clock, which is not the test's.
    return await db.fetchrow(
        """
        DELETE FROM pgqueuer WHERE id = (
            SELECT id FROM pgqueuer
            WHERE (execute_after <= $1 OR execute_after = created) AND ($2::text IS NULL OR starts_with(entrypoint, $2))
            ORDER BY id LIMIT 1
        )
        RETURNING id, entrypoint, payload
        """,
        now,
        only,
    )
