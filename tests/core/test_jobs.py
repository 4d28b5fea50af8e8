"""Events, handlers, timers and ticks."""

import asyncio
from collections.abc import Iterator
from datetime import datetime, timedelta

import msgspec
import pytest
from piccolo.engine.postgres import PostgresEngine

from backend.core import db, jobs
from backend.core.jobs import Event, JobContext, Jobs
from backend.core.services import Services
from tests.fakes import FixedClock
from tests.jobs import queued_jobs, run_due_jobs


class BellRang(Event):
    bell: str


class Reminder(msgspec.Struct, frozen=True):
    text: str


heard: list[str] = []
TABLE = Jobs("bells")


@TABLE.on(BellRang)
async def open_door(event: BellRang, job: JobContext) -> None:
    heard.append(f"door {event.bell}")


@TABLE.on(BellRang)
async def wake_dog(event: BellRang, job: JobContext) -> None:
    heard.append(f"dog {event.bell}")


@TABLE.timer("remind", Reminder)
async def remind(payload: Reminder, job: JobContext) -> None:
    heard.append(payload.text)


@TABLE.timer("ring", Reminder, first="if told")
async def ring(payload: Reminder, job: JobContext) -> None:
    heard.append(payload.text)


@TABLE.every("tick", seconds=60)
async def tick(job: JobContext) -> None:
    heard.append("tick")


@pytest.fixture(autouse=True)
def _bells() -> Iterator[None]:
    heard.clear()
    before = jobs.registry()
    jobs.wire([TABLE])
    yield
    jobs._registry = before


class TestEmit:
    async def test_writes_the_event_and_runs_every_handler_once(self, database: PostgresEngine, now: datetime) -> None:
        async with db.transaction():
            event_id = await jobs.emit(BellRang(bell="north"), now=now)
        row = await db.fetchrow("SELECT name, payload FROM domain_event WHERE id = $1", event_id)
        assert row is not None
        assert (row["name"], msgspec.json.decode(row["payload"])) == ("BellRang", {"bell": "north"})
        assert sorted(await run_due_jobs(now=now)) == ["bells.open_door", "bells.wake_dog"]
        assert sorted(heard) == ["dog north", "door north"]

    async def test_leaves_nothing_behind_when_the_change_is_rolled_back(
        self, database: PostgresEngine, now: datetime
    ) -> None:
        with pytest.raises(ZeroDivisionError):
            async with db.transaction():
                await jobs.emit(BellRang(bell="north"), now=now)
                raise ZeroDivisionError
        assert await queued_jobs() == []
        assert await db.fetchval("SELECT count(*) FROM domain_event") == 0

    async def test_refuses_to_run_outside_a_transaction(self, committing: PostgresEngine, now: datetime) -> None:
        with pytest.raises(RuntimeError, match="inside the transaction"):
            await jobs.emit(BellRang(bell="north"), now=now)


class TestSchedule:
    async def test_waits_until_it_is_due(self, database: PostgresEngine, now: datetime) -> None:
        async with db.transaction():
            due = now + timedelta(minutes=5)
            await jobs.schedule("bells.remind", Reminder("tea"), due_at=due, now=now)
        assert await run_due_jobs(now=now) == []
        assert await run_due_jobs(now=now + timedelta(minutes=6)) == ["bells.remind"]
        assert heard == ["tea"]

    async def test_keeps_the_time_of_each(self, database: PostgresEngine, now: datetime) -> None:
        async with db.transaction():
            for n in (3, 1, 2):
                due = now + timedelta(minutes=n)
                await jobs.schedule("bells.remind", Reminder(f"tea {n}"), due_at=due, now=now)
        assert [due for _, due in await queued_jobs()] == [now + timedelta(minutes=n) for n in (1, 2, 3)]
        for minute in (1, 2, 3):
            await run_due_jobs(now=now + timedelta(minutes=minute))
        assert heard == ["tea 1", "tea 2", "tea 3"]

    async def test_sets_those_due_now_by_the_database_s_clock(self, database: PostgresEngine) -> None:
        """A clock of ours that is minutes ahead keeps no job that is due from being taken."""
        fast = await db.fetchval("SELECT now()") + timedelta(minutes=5)
        async with db.transaction():
            for text, due in (("now", fast), ("later", fast + timedelta(hours=1))):
                await jobs.schedule("bells.remind", Reminder(text), due_at=due, now=fast, first=True)
        rows = await db.fetch("SELECT priority, execute_after <= now() AS due FROM pgqueuer ORDER BY execute_after")
        assert [(row["priority"], row["due"]) for row in rows] == [(1, True), (1, False)]

    async def test_keeps_the_order_in_which_it_was_told(self, database: PostgresEngine, now: datetime) -> None:
        async with db.transaction():
            await jobs.schedule("bells.remind", Reminder("first"), due_at=now, now=now)
            await jobs.emit(BellRang(bell="front"), now=now)
            await jobs.schedule("bells.remind", Reminder("last"), due_at=now, now=now)
        await run_due_jobs(now=now)
        assert heard == ["first", "door front", "dog front", "last"]

    async def test_is_taken_back_with_its_savepoint_and_with_no_other(
        self, database: PostgresEngine, now: datetime
    ) -> None:
        async def ring(bell: str, *, refused: bool = False) -> None:
            async with db.transaction():
                await jobs.emit(BellRang(bell=bell), now=now)
                await jobs.schedule("bells.remind", Reminder(bell), due_at=now, now=now)
                if refused:
                    raise ValueError(bell)

        async with db.transaction():
            await ring("kept")
            with pytest.raises(ValueError, match="refused"):
                await ring("refused", refused=True)
            await ring("after")
        rows = await db.fetch("SELECT payload ->> 'bell' AS bell FROM domain_event ORDER BY id")
        assert [row["bell"] for row in rows] == ["kept", "after"]
        await run_due_jobs(now=now)
        assert heard == ["door kept", "dog kept", "kept", "door after", "dog after", "after"]

    async def test_by_a_task_that_outlived_its_transaction_is_an_error(
        self, database: PostgresEngine, now: datetime
    ) -> None:
        over = asyncio.Event()

        async def too_late() -> None:
            await over.wait()
            await jobs.schedule("bells.remind", Reminder("late"), due_at=now, now=now)

        async with db.transaction():
            straggler = asyncio.create_task(too_late())
            await asyncio.sleep(0)
        over.set()
        with pytest.raises(RuntimeError, match="outlived"):
            await straggler

    async def test_goes_ahead_in_its_own_lane_or_first_in_the_lane_of_those(
        self, database: PostgresEngine, now: datetime
    ) -> None:
        async with db.transaction():
            for how in ({}, {"ahead": True}, {"first": True}):
                await jobs.schedule("bells.ring", Reminder("x"), due_at=now, now=now, **how)
        rows = await db.fetch("SELECT entrypoint, priority FROM pgqueuer ORDER BY id")
        assert [tuple(row) for row in rows] == [("bells.ring", 0), ("bells.ring", 1), ("bells.ring.first", 1)]

    async def test_skips_a_second_one_with_the_same_key(self, database: PostgresEngine, now: datetime) -> None:
        async with db.transaction():
            for text in ("tea", "more tea"):
                due = now + timedelta(minutes=5)
                await jobs.schedule("bells.remind", Reminder(text), due_at=due, now=now, dedupe_key="x")
        assert len(await queued_jobs()) == 1

    async def test_names_a_timer_that_does_not_exist(self, database: PostgresEngine, now: datetime) -> None:
        with pytest.raises(ValueError, match=r"bells\.forget"):
            await jobs.schedule("bells.forget", Reminder("tea"), due_at=now, now=now)


class TestRegistering:
    def test_refuses_a_name_that_says_first_and_two_lanes_for_one_handler(self) -> None:
        table = Jobs("bells")
        with pytest.raises(ValueError, match=r"the ending \.first"):
            table.timer("ring.first", Reminder)(remind)
        with pytest.raises(ValueError, match="in no other lane"):
            table.timer("ring", Reminder, urgent=True, first=True)(remind)


class TestTick:
    async def test_runs_once_however_many_workers_try(self, committing: PostgresEngine, now: datetime) -> None:
        context = JobContext(now=now, clock=FixedClock(now), services=Services(), job_id=0, attempt=0)
        (only,) = jobs.registry().ticks
        ran = await asyncio.gather(*[jobs.run_tick(only, context) for _ in range(8)])
        assert sorted(ran) == [False] * 7 + [True]
        assert heard == ["tick"]
