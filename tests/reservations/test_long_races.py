"""Long races on a real PostgreSQL: one slot for five hundred, and hundreds of residents over days of trouble."""

import asyncio
import random
import statistics
import time
from datetime import datetime, timedelta
from typing import Any

import pytest

from backend.core import db
from backend.core.errors import DomainError
from backend.reservations.rules.words import ReservationView
from backend.reservations.service import bookings, changing, claims, moving, outages
from backend.reservations.service.reserve import SlotTaken
from tests.factories.reservations import Resident, Scene, add_resident, add_scene, book
from tests.factories.stations import Gun, add_gun
from tests.reservations.test_races import OVERLAPS, attempt

pytestmark = pytest.mark.slow

MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
CALLERS, CONNECTIONS, ROUNDS = 500, 32, 20


@pytest.fixture
async def scene(committing: Any) -> Scene:
    return await add_scene()


async def residents(scene: Scene, count: int) -> list[Resident]:
    return [
        await add_resident(company_id=scene.company_id, phone=f"139{n:08d}", plate=f"京AD{20000 + n}")
        for n in range(count)
    ]


class TestFiveHundredForOneSlot:
    async def test_have_one_winner_in_every_round_and_no_fault(
        self, scene: Scene, now: datetime, capsys: pytest.CaptureFixture[str]
    ) -> None:
        people = await residents(scene, CALLERS)
        lanes = asyncio.Semaphore(CONNECTIONS)
        took: list[float] = []

        async def call(person: Resident, starts_at: datetime) -> Any:
            async with lanes:
                begun = time.perf_counter()
                found = await attempt(person, scene, now=now, starts_at=starts_at, power="ac")
                took.append(time.perf_counter() - begun)
                return found

        for round_ in range(ROUNDS):
            day, slot = divmod(round_, 4)
            starts_at = now + timedelta(days=day) + (1 + 2 * slot) * HOUR  # by day: nobody stays over night
            found = await asyncio.gather(*(call(person, starts_at) for person in people))
            won = [one for one in found if isinstance(one, ReservationView)]
            lost = [one for one in found if isinstance(one, SlotTaken)]
            assert (len(won), len(won) + len(lost)) == (1, CALLERS), {type(one).__name__ for one in found}
            people.remove(next(p for p in people if p.account_id == won[0].account_id))
            people.append(await residents_more(scene, round_))
        with capsys.disabled():
            cuts = statistics.quantiles(took, n=100)
            print(f"\n{len(took)} calls: p50 {cuts[49] * 1000:.0f} ms, p99 {cuts[98] * 1000:.0f} ms")


async def residents_more(scene: Scene, number: int) -> Resident:
    return await add_resident(company_id=scene.company_id, phone=f"138{number:08d}", plate=f"京AD{30000 + number}")


class TestDaysOfTrouble:
    @pytest.mark.parametrize("seed", range(3))
    async def test_never_lose_a_booking_without_a_trace_nor_hold_a_place_twice(
        self, scene: Scene, now: datetime, seed: int
    ) -> None:
        dice = random.Random(seed)
        guns = [scene.place.ac, *[await add_gun(station_id=scene.place.station.id, kind="ac") for _ in range(5)]]
        people = await residents(scene, 120)
        booked: list[ReservationView] = []
        at = now

        async def one_change() -> None:
            choice = dice.choice(["book"] * 5 + ["change", "cancel", "arrive", "lapse", "walk_up", "works", "strand"])
            some = dice.choice(booked) if booked else None
            if choice == "book" or some is None:
                starts_at = at + 15 * MINUTE * dice.randrange(1, 30)
                minutes = dice.choice([30, 60])
                person = dice.choice(people)
                booked.append(await book(person, scene.place, now=at, starts_at=starts_at, minutes=minutes))
            elif choice == "change":
                starts_at = at + 15 * MINUTE * dice.randrange(1, 30)
                await changing.change_slot(
                    account_id=some.account_id,
                    reservation_id=some.id,
                    starts_at=starts_at,
                    ends_at=starts_at + HOUR,
                    power="ac",
                    connector_id=None,
                    now=at,
                )
            elif choice == "cancel":
                await bookings.cancel_reservation(account_id=some.account_id, reservation_id=some.id, now=at)
            elif choice == "arrive":
                await bookings.check_in(reservation_id=some.id, means="app", now=max(at, some.starts_at - 10 * MINUTE))
            elif choice == "lapse":
                await bookings.lapse(reservation_id=some.id, now=at)
            elif choice == "walk_up":
                await claims.claim(
                    connector_id=dice.choice(guns).connector.id,
                    plate_hash=dice.choice(people).plate_hash,
                    starts_at=at,
                    ends_at=at + 45 * MINUTE,
                    kind="walk_up",
                    reference_id=None,
                    now=at,
                )
            elif choice == "works":
                gun: Gun = dice.choice(guns)
                await outages.plan_maintenance(
                    connector_id=gun.connector.id,
                    starts_at=at + HOUR,
                    ends_at=at + 2 * HOUR,
                    actor="li",
                    now=at,
                )
            else:
                await moving.move_bookings(
                    station_id=some.station_id, reservation_ids=[some.id], reason="blocked", actor="test", now=at
                )

        async def change() -> Any:
            try:
                return await one_change()
            except DomainError as refused:
                return refused

        for _ in range(40):
            await asyncio.gather(*(change() for _ in range(16)))
            assert await db.fetchval(OVERLAPS) == 0
            at += 15 * MINUTE
        assert len(booked) > 50
        without_place = await db.fetchval(
            "SELECT count(*) FROM reservation r WHERE status IN ('confirmed', 'checked_in') AND ends_at > $1"
            " AND NOT EXISTS (SELECT FROM connector_claim c WHERE c.id = r.claim_id"
            " AND c.connector_id = r.connector_id AND c.bay_id IS NOT DISTINCT FROM r.bay_id"
            " AND c.starts_at <= greatest(r.starts_at, $1) AND c.ends_at = r.ends_at)",
            at,
        )
        assert without_place == 0
        moved_silently = await db.fetchval(
            "SELECT count(*) FROM reservation_move m WHERE outcome = 'moved' AND reason <> 'change' AND NOT EXISTS ("
            "SELECT FROM inbox_message i WHERE i.event_key LIKE 'reservation:' || m.reservation_id || ':moved:%')"
        )
        assert moved_silently == 0
        end = at + timedelta(days=2)
        await run_due_jobs_of_timers(end)
        told_twice = await db.fetchval(
            "SELECT count(*) FROM (SELECT payload ->> 'reservation_id' FROM domain_event"
            " WHERE name IN ('ReservationCancelled', 'ReservationNotUsed') GROUP BY 1 HAVING count(*) > 1) twice"
        )
        assert told_twice == 0
        still_open = await db.fetchval(
            "SELECT count(*) FROM reservation WHERE status IN ('confirmed', 'checked_in') AND ends_at < $1", at
        )
        assert still_open == 0


async def run_due_jobs_of_timers(until: datetime) -> None:
    """Ring every lapse there is, twice: a timer is effective once."""
    for row in await db.fetch("SELECT id FROM reservation"):
        await asyncio.gather(
            *(bookings.lapse(reservation_id=row["id"], now=until) for _ in range(2)), return_exceptions=True
        )
