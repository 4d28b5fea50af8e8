"""The lanes of a worker: an urgent job waits for nothing, and a deep queue is as quick to take from as a short one."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from uuid import uuid4

import asyncpg
import msgspec
import pytest
from pgqueuer.adapters.persistence.qb import QueryQueueBuilder
from piccolo.engine.postgres import PostgresEngine

from backend import worker
from backend.core import db, jobs
from backend.core.clock import Clock
from backend.core.jobs import JobContext, Jobs
from backend.core.services import Services
from backend.core.settings import Settings
from mqtt_bridge import safety
from tests.fakes import FixedClock

KINDS = ("deep.bill", "deep.notify", "deep.count", "deep.show")
WAITING, NEXT_WEEK = 50_000, 10_000


class Errand(msgspec.Struct, frozen=True):
    """A payload without content."""


class Ran:
    """What the handlers of a test did."""

    def __init__(self) -> None:
        self.ordinary = 0
        self.before_urgent: int | None = None
        self.urgent = asyncio.Event()
        self.holding = 0
        self.let_go = asyncio.Event()
        self.first = asyncio.Event()


ran: Ran
DEEP = Jobs("deep")


async def _errand(payload: Errand, job: JobContext) -> None:
    ran.ordinary += 1


for _kind in KINDS:
    DEEP.timer(_kind.removeprefix("deep."), Errand)(_errand)


@DEEP.timer("alarm", Errand, urgent=True)
async def alarm(payload: Errand, job: JobContext) -> None:
    ran.before_urgent = ran.ordinary
    ran.urgent.set()


@DEEP.timer("hold", Errand, urgent=True)
async def hold(payload: Errand, job: JobContext) -> None:
    async with db.transaction():
        ran.holding += 1
        await ran.let_go.wait()


@DEEP.timer("danger", Errand, first=True)
async def danger(payload: Errand, job: JobContext) -> None:
    await db.execute("SELECT 1")
    ran.first.set()


@DEEP.timer("word", Errand, first="if told")
async def word(payload: Errand, job: JobContext) -> None:
    await danger(payload, job)


@pytest.fixture(autouse=True)
def _deep() -> Iterator[None]:
    global ran
    ran = Ran()
    before = jobs.registry()
    jobs.wire([DEEP])
    yield
    jobs._registry = before


@pytest.fixture
async def url(committing: PostgresEngine) -> str:
    """The address of a database whose queue holds 50,000 jobs that are due and 10,000 timers of next week."""
    fill = (
        "INSERT INTO pgqueuer (priority, entrypoint, payload, status, execute_after)"
        " SELECT 0, ($1::text[])[1 + n % 4], '{}', 'queued', now() + $2 FROM generate_series(1, $3::int) AS n"
    )
    await db.execute(fill, list(KINDS), timedelta(days=7), NEXT_WEEK)
    await db.execute(fill, list(KINDS), timedelta(minutes=-1), WAITING)
    return str(committing.config["dsn"])


@asynccontextmanager
async def working(url: str, settings: Settings, now: datetime, *, pool_size: int = 10) -> AsyncIterator[None]:
    """A worker's lanes, running on this process's pool of so many connections."""
    services = Services()
    services.put(Settings, msgspec.structs.replace(settings, database_url=url, database_pool_size=pool_size))
    services.put(Clock, FixedClock(now))  # type: ignore[type-abstract]
    stop = asyncio.Event()
    running = asyncio.create_task(worker.run_queue_forever(services, stop))
    try:
        yield
    finally:
        stop.set()
        await running


class TestADeepQueue:
    @pytest.mark.parametrize("known", [False, True], ids=["as it grew", "analysed"])
    async def test_is_taken_from_without_being_read(self, url: str, known: bool) -> None:
        connection = await asyncpg.connect(url, server_settings=worker.PLANNING)
        try:
            if known:
                await connection.execute("ANALYZE pgqueuer")
            # As many kinds as the service has, most of them without a job.
            kinds = [*KINDS, *(f"idle.kind_{n}" for n in range(100))]
            query = QueryQueueBuilder().build_dequeue_query(
                batch_size=worker.BATCH,
                entrypoints=kinds,  # type: ignore[arg-type]  PgQueuer's NewType of str
                concurrency_limits=[0] * len(kinds),
                queue_manager_id=uuid4(),  # type: ignore[arg-type]
                global_concurrency_limit=worker.AT_ONCE,
                heartbeat_timeout=timedelta(seconds=5),
            )
            sql = f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {query.sql}"
            (plan,) = msgspec.json.decode(await connection.fetchval(sql, *query.args))
        finally:
            await connection.close()
        assert plan["Plan"]["Actual Rows"] == worker.BATCH
        # PgQueuer as it comes reads 3,244 here, and 294,497 in a queue of sessions that ended.
        assert plan["Plan"]["Shared Hit Blocks"] + plan["Plan"]["Shared Read Blocks"] < 1_500


class TestAnUrgentJob:
    async def test_does_not_wait_for_fifty_thousand_others(self, url: str, settings: Settings, now: datetime) -> None:
        async with working(url, settings, now):
            async with asyncio.timeout(60):
                while ran.ordinary == 0:  # noqa: ASYNC110  the worker is at it
                    await asyncio.sleep(0.01)
            before = ran.ordinary
            async with db.transaction():
                await jobs.schedule("deep.alarm", Errand(), due_at=now, now=now)
            await asyncio.wait_for(ran.urgent.wait(), timeout=60)
        assert ran.before_urgent is not None
        assert ran.before_urgent - before < 10 * worker.AT_ONCE

    async def test_is_one_that_a_device_sends_over_the_safety_lane(self, wired: None) -> None:
        from backend import wiring

        registry = jobs.wire([worker.CORE, *wiring.collect_jobs()])
        names = registry.entrypoints[safety.JOB].queue_names()
        assert names == {"urgent": safety.JOB, "first": safety.DANGER_JOB}

    async def test_that_comes_first_is_taken_before_older_ones_of_its_lane(self, url: str, now: datetime) -> None:
        async with db.transaction():
            await jobs.schedule("deep.notify", Errand(), due_at=now, now=now, first=True)
        newest = await db.fetchval("SELECT max(id) FROM pgqueuer")
        connection = await asyncpg.connect(url, server_settings=worker.PLANNING)
        try:
            queue = worker.build_queue(connection, Services(), lane="others", share=asyncio.Semaphore(1))
            taken = [job.id async for job in queue.qm.fetch_jobs(worker.BATCH, worker.AT_ONCE, timedelta(seconds=5))]
        finally:
            await connection.close()
        assert taken[0] == newest


class TestAJobThatComesFirst:
    @pytest.mark.parametrize("name", ["deep.danger", "deep.word"])
    async def test_finds_a_connection_while_the_others_hold_all_of_theirs(
        self, name: str, url: str, settings: Settings, now: datetime
    ) -> None:
        size = db.engine().pool.get_max_size()  # type: ignore[union-attr]
        async with db.transaction():
            for _ in range(2 * size):
                await jobs.schedule("deep.hold", Errand(), due_at=now, now=now)
        taken = "SELECT count(*) FROM pgqueuer WHERE entrypoint = 'deep.hold' AND status = 'picked'"
        watching = await asyncpg.connect(url)
        try:
            async with working(url, settings, now, pool_size=size), asyncio.timeout(60):
                try:
                    while await watching.fetchval(taken) < 2 * size:  # noqa: ASYNC110  the worker is at it
                        await asyncio.sleep(0.05)
                    async with db.transaction():
                        await jobs.schedule(name, Errand(), due_at=now, now=now, first=True)
                    await ran.first.wait()
                    assert ran.holding == size - worker.KEPT_FOR_FIRST
                finally:
                    ran.let_go.set()
        finally:
            await watching.close()

    async def test_is_in_the_lane_of_those_only_if_it_may_be_and_is_told(self, url: str, now: datetime) -> None:
        await db.execute("DELETE FROM pgqueuer")
        async with db.transaction():
            for name in ("deep.danger", "deep.word", "deep.alarm", "deep.bill"):
                for first in (False, True):
                    await jobs.schedule(name, Errand(), due_at=now, now=now, first=first)
        taken = {lane: await self._taken(url, lane) for lane in ("first", "urgent", "others")}
        assert taken == {
            "first": ["deep.danger", "deep.danger", "deep.word.first"],
            "urgent": ["deep.alarm", "deep.alarm"],
            "others": ["deep.bill", "deep.bill", "deep.word"],
        }

    async def _taken(self, url: str, lane: jobs.Lane) -> list[str]:
        connection = await asyncpg.connect(url, server_settings=worker.PLANNING)
        try:
            queue = worker.build_queue(connection, Services(), lane=lane, share=asyncio.Semaphore(1))
            fetched = queue.qm.fetch_jobs(worker.BATCH, worker.AT_ONCE, timedelta(seconds=5))
            return sorted([job.entrypoint async for job in fetched])
        finally:
            await connection.close()

    async def test_that_is_held_is_put_back_by_the_name_of_its_handler(self, url: str, now: datetime) -> None:
        await db.execute("DELETE FROM pgqueuer")
        async with db.transaction():
            await jobs.schedule("deep.word", Errand(), due_at=now, now=now, first=True)
        await db.execute("UPDATE pgqueuer SET status = 'failed'")
        assert await jobs.requeue_held(name="deep.danger") == 0
        assert await jobs.requeue_held(name="deep.word") == 1


class TestAKilledWorker:
    async def test_has_its_jobs_taken_over_after_five_seconds_however_deep_the_queue(self, url: str) -> None:
        await db.execute(
            "UPDATE pgqueuer SET status = 'picked', queue_manager_id = gen_random_uuid(), priority = 1,"
            " heartbeat = now() - make_interval(secs => 4 + 2 * (id % 2)) WHERE id > (SELECT max(id) - 2 FROM pgqueuer)"
        )
        lost = await db.fetchval("SELECT id FROM pgqueuer WHERE priority = 1 AND heartbeat < now() - interval '5 s'")
        connection = await asyncpg.connect(url, server_settings=worker.PLANNING)
        try:
            queue = worker.build_queue(connection, Services(), lane="others", share=asyncio.Semaphore(1))
            taken = [job.id async for job in queue.qm.fetch_jobs(worker.BATCH, worker.AT_ONCE, timedelta(seconds=5))]
        finally:
            await connection.close()
        alive = await db.fetchval("SELECT id FROM pgqueuer WHERE priority = 1 AND id <> $1", lost)
        assert taken[0] == lost
        assert alive not in taken
