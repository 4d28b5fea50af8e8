"""kill -9 of each process under load: nothing acknowledged is missing, nothing has its effect twice, all is drained."""

import asyncio

import pytest

from bench.load import count_when_drained
from tests.faults.conftest import KILLS, RATE, Row, Running

pytestmark = pytest.mark.slow


class TestKilledUnderLoad:
    @pytest.mark.parametrize("role", ["bridge", "ingest", "worker", "api"])
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
