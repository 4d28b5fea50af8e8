"""The system clock stepped by five minutes, both ways, around the due time of timers: each fires once."""

from datetime import timedelta

import pytest
from piccolo.engine.postgres import PostgresEngine

from backend.core import db
from backend.core.services import Services
from tests.conftest import NOW
from tests.factories.reservations import add_scene, book
from tests.faults.conftest import Row
from tests.jobs import run_due_jobs

pytestmark = pytest.mark.slow

STEP = timedelta(minutes=5)


class TestSystemClockSteps:
    @pytest.mark.parametrize("steps", [(1, -1, 1, -1, 1), (-1, 1, -1, 1, 1)])
    async def test_timers_fire_once(
        self, steps: tuple[int, ...], committing: PostgresEngine, services: Services, row: Row
    ) -> None:
        scene = await add_scene()
        start = NOW + timedelta(minutes=30)
        booked = [
            await book(resident, scene.place, now=NOW, starts_at=start, power=power)  # type: ignore[arg-type]
            for resident, power in ((scene.alice, "ac"), (scene.bob, "dc"))
        ]
        due = booked[0].hold_until
        await run_due_jobs(now=NOW, services=services)
        clock = due - timedelta(minutes=2)
        runs: list[str] = []
        for step in steps:
            clock += step * STEP
            runs += await run_due_jobs(now=clock, services=services)
        closed = await db.fetchval("SELECT count(*) FROM reservation WHERE status = 'no_show'")
        told = await db.fetchval("SELECT count(*) FROM domain_event WHERE name = 'ReservationNotUsed'")
        inbox = await db.fetchval("SELECT count(*) FROM inbox_message WHERE template = 'reservation_no_show'")
        early = await db.fetchval(
            "SELECT count(*) FROM domain_event WHERE name = 'ReservationNotUsed' AND occurred_at < $1", due
        )
        row(
            f"system clock stepped {'+-'[steps[0] < 0]}5 min",
            f"{len(steps)} steps around the due time of {len(booked)} no-show timers",
            f"fired {told} of {len(booked)}, too early {early}, told {inbox}, timer jobs run"
            f" {runs.count('reservations.lapse')}",
        )
        assert (closed, told, inbox, early) == (2, 2, 2, 0)
