"""kill -9 of each process under load: nothing acknowledged is missing, nothing has its effect twice, all is drained."""

import asyncio

import pytest

from bench.load import await_rows, count_when_drained
from tests.faults.conftest import KILLS, RATE, Row, Running
from tests.faults.residents import found_town

pytestmark = pytest.mark.slow


class TestApiKilled:
    async def test_loses_and_doubles_no_booking_and_no_payment(self, running: Running, row: Row) -> None:
        """Residents book, cancel and pay over HTTP, again with the same key when there is no answer."""
        town = await found_town(running, name="api-killed", people=6, bills=2 * KILLS, merchant=1)
        crowd = running.crowd
        before = crowd.samples + crowd.events
        try:
            crowd.start(rate=RATE)
            async with town.live():
                for _ in range(KILLS):
                    await asyncio.sleep(4)
                    running.restart("api")
                await running.settle()
            crowd.stop()
            await asyncio.to_thread(crowd.flush)
            found, took_s = await count_when_drained(running.dsn, crowd)
            people = await town.look()
        finally:
            crowd.stop()
            await town.close()
        row(
            "kill -9 api",
            f"{KILLS} times under {RATE:.0f} msg/s, {crowd.samples + crowd.events - before} messages, 6 residents",
            f"missing {found.missing(crowd)}, doubled {found.doubled(crowd)}, held jobs {found.failed_jobs},"
            f" drained after {took_s:.1f} s; {people}",
        )
        assert people.wrong == 0
        assert people.bookings and people.payments and people.unanswered, "nothing was written while it was killed"
        assert (found.missing(crowd), found.doubled(crowd), found.failed_jobs) == (0, 0, 0)


class TestKilledUnderLoad:
    @pytest.mark.parametrize("role", ["bridge", "ingest", "worker"])
    async def test_loses_and_doubles_nothing(self, role: str, running: Running, row: Row) -> None:
        crowd = running.crowd
        before = crowd.samples + crowd.events
        crowd.start(rate=RATE)
        for _ in range(KILLS):
            await asyncio.sleep(4)
            running.restart(role)
        await asyncio.sleep(3)
        crowd.stop()
        await asyncio.to_thread(crowd.flush)
        found, took_s = await count_when_drained(running.dsn, crowd)
        said = crowd.samples + crowd.events - before
        row(
            f"kill -9 {role}",
            f"{KILLS} times under {RATE:.0f} msg/s, {said} messages",
            f"missing {found.missing(crowd)}, doubled {found.doubled(crowd)}, wrong states {found.wrong_states},"
            f" held jobs {found.failed_jobs}, drained after {took_s:.1f} s",
        )
        assert found.missing(crowd) == 0
        assert found.doubled(crowd) == 0
        assert (found.wrong_states, found.failed_jobs) == (0, 0)
        await running.settle()


class TestTwins:
    async def test_what_one_held_is_carried_by_the_other(self, running: Running, row: Row) -> None:
        """Two bridges and two ingest processes; one of each is killed and does not come back until all is counted."""
        crowd, made = running.crowd, running.ground
        await running.settle()
        made.launch("bridge:2", "ingest:2")
        alive = (
            "SELECT least(count(*) FILTER (WHERE role <> 'ingest'), count(*) FILTER (WHERE role = 'ingest'))"
            " FROM platform_sight WHERE seen_at > now() - interval '4 seconds'"
        )
        before = crowd.samples + crowd.events
        try:
            await await_rows(running.dsn, alive, at_least=2)
            crowd.start(rate=RATE)
            await asyncio.sleep(3)
            for role in ("bridge", "ingest"):
                made.kill(role)
                await asyncio.sleep(5)
            crowd.stop()
            await asyncio.to_thread(crowd.flush)
            found, took_s = await count_when_drained(running.dsn, crowd)
            made.launch("bridge", "ingest")
            await await_rows(running.dsn, alive, at_least=2)
        finally:
            crowd.stop()
            made.kill("bridge:2")
            made.kill("ingest:2")
        row(
            "one of two bridges, of two ingest",
            f"killed for good under {RATE:.0f} msg/s, {crowd.samples + crowd.events - before} messages",
            f"missing {found.missing(crowd)}, doubled {found.doubled(crowd)}, wrong states {found.wrong_states},"
            f" held jobs {found.failed_jobs}, drained by the twins after {took_s:.1f} s",
        )
        assert (found.missing(crowd), found.doubled(crowd), found.wrong_states, found.failed_jobs) == (0, 0, 0, 0)
