"""Bookings under contention on a real PostgreSQL, and whatever the sequence of changes: never two holders."""

import asyncio
import random
from datetime import datetime, timedelta
from typing import Any

import pytest

from backend.core import db
from backend.core.errors import DomainError
from backend.reservations.rules.words import ReservationView
from backend.reservations.service import bookings, claims
from backend.reservations.service.claims import VehicleElsewhere
from backend.reservations.service.reserve import SlotTaken, TooManyOpenBookings
from tests.factories.reservations import Resident, Scene, add_resident, add_scene, book

MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
OVERLAPS = """
SELECT count(*) FROM connector_claim a JOIN connector_claim b ON a.id < b.id AND (
    (a.connector_id = b.connector_id AND tstzrange(a.starts_at, a.held_until) && tstzrange(b.starts_at, b.held_until))
    OR (a.bay_id = b.bay_id AND tstzrange(a.starts_at, a.held_until) && tstzrange(b.starts_at, b.held_until))
    OR (a.plate_hash = b.plate_hash AND tstzrange(a.starts_at, a.ends_at) && tstzrange(b.starts_at, b.ends_at)))
"""


@pytest.fixture
async def scene(committing: Any) -> Scene:
    return await add_scene()


async def residents(scene: Scene, count: int) -> list[Resident]:
    return [
        await add_resident(company_id=scene.company_id, phone=f"139{n:08d}", plate=f"京AD{20000 + n}")
        for n in range(count)
    ]


async def attempt(resident: Resident, scene: Scene, *, now: datetime, starts_at: datetime, **wishes: Any) -> Any:
    try:
        return await book(resident, scene.place, now=now, starts_at=starts_at, **wishes)
    except DomainError as refused:
        return refused


class TestTwoHundredForOneSlot:
    async def test_have_one_winner_and_alternatives_for_the_rest(self, scene: Scene, now: datetime) -> None:
        people = await residents(scene, 200)
        starts_at = now + HOUR
        found = await asyncio.gather(
            *(attempt(person, scene, now=now, starts_at=starts_at, power="ac") for person in people)
        )
        won = [one for one in found if isinstance(one, ReservationView)]
        lost = [one for one in found if isinstance(one, SlotTaken)]
        assert (len(won), len(lost)) == (1, 199)
        assert all(len(one.params["alternatives"]) == 3 for one in lost)
        assert await db.fetchval("SELECT count(*) FROM connector_claim") == 1
        assert await db.fetchval("SELECT count(*) FROM reservation") == 1

    async def test_by_one_agreement_never_pass_its_limit(self, scene: Scene, now: datetime) -> None:
        starts = [now + HOUR + n * 90 * MINUTE for n in range(12)]
        found = await asyncio.gather(*(attempt(scene.alice, scene, now=now, starts_at=at) for at in starts))
        assert sum(isinstance(one, ReservationView) for one in found) == 2
        assert sum(isinstance(one, TooManyOpenBookings) for one in found) == 10

    async def test_by_one_car_at_two_connectors_have_one_winner(self, scene: Scene, now: datetime) -> None:
        powers = ("ac", "dc") * 10
        found = await asyncio.gather(
            *(attempt(scene.alice, scene, now=now, starts_at=now + HOUR, power=power) for power in powers)
        )
        assert sum(isinstance(one, ReservationView) for one in found) == 1
        assert all(isinstance(one, ReservationView | VehicleElsewhere | SlotTaken) for one in found)


class TestTheSameMoment:
    async def test_of_cancelling_arriving_and_lapsing_has_one_outcome(self, scene: Scene, now: datetime) -> None:
        for round_ in range(5):
            start = now + timedelta(days=round_, hours=1)
            booked = await book(scene.alice, scene.place, now=start - HOUR, starts_at=start)
            at = booked.hold_until
            await asyncio.gather(
                bookings.lapse(reservation_id=booked.id, now=at),
                bookings.cancel_reservation(account_id=booked.account_id, reservation_id=booked.id, now=at),
                bookings.check_in(reservation_id=booked.id, means="app", now=at - MINUTE),
                bookings.mark_fulfilled(reservation_id=booked.id, now=at),
                return_exceptions=True,
            )
            ended = await bookings.get_reservation(account_id=booked.account_id, reservation_id=booked.id)
            assert ended.status in ("cancelled", "no_show", "fulfilled", "checked_in")
            told = await db.fetchval(
                "SELECT count(*) FROM domain_event WHERE name IN ('ReservationCancelled', 'ReservationNotUsed')"
                " AND payload ->> 'reservation_id' = $1",
                str(booked.id),
            )
            assert told == (ended.status in ("cancelled", "no_show"))
            await db.execute("DELETE FROM booking_suspension")
            await db.execute("UPDATE reservation SET counts_as_no_show = false")
            await db.execute("DELETE FROM connector_claim")
            await db.execute("UPDATE reservation SET status = 'cancelled', closed_at = $1 WHERE closed_at IS NULL", now)


class TestWhateverTheSequence:
    @pytest.mark.parametrize("seed", range(4))
    async def test_of_changes_no_two_claims_overlap(self, scene: Scene, now: datetime, seed: int) -> None:
        dice = random.Random(seed)
        people = [scene.alice, scene.bob, *await residents(scene, 6)]
        booked: list[ReservationView] = []

        async def one_change() -> None:
            at = now + dice.randrange(0, 600) * MINUTE
            choice = dice.choice(["book", "book", "book", "cancel", "extend", "shorten", "lapse", "arrive", "walk_up"])
            some = dice.choice(booked) if booked else None
            person = dice.choice(people)
            if choice == "book" or some is None:
                starts_at = at + 15 * MINUTE * dice.randrange(0, 20) - (at - now) % (15 * MINUTE)
                view = await attempt(
                    person,
                    scene,
                    now=now,
                    starts_at=starts_at,
                    minutes=dice.choice([30, 60, 90]),
                    power=dice.choice(["ac", "dc", None]),
                )
                if isinstance(view, ReservationView):
                    booked.append(view)
            elif choice == "cancel":
                await bookings.cancel_reservation(account_id=some.account_id, reservation_id=some.id, now=at)
            elif choice == "extend":
                later = some.ends_at + dice.randrange(1, 90) * MINUTE
                await claims.extend_claim(claim_id=some.claim_id, ends_at=later, now=at)
            elif choice == "shorten":
                await claims.shorten_claim(
                    claim_id=some.claim_id, ends_at=some.starts_at + dice.randrange(5, 40) * MINUTE
                )
            elif choice == "lapse":
                await bookings.lapse(reservation_id=some.id, now=some.hold_until)
            elif choice == "arrive":
                await bookings.check_in(reservation_id=some.id, means="app", now=some.starts_at - 10 * MINUTE)
            else:
                gun = dice.choice([scene.place.ac, scene.place.dc, scene.place.public])
                await claims.claim(
                    connector_id=gun.connector.id,
                    plate_hash=person.plate_hash,
                    starts_at=at,
                    ends_at=at + 45 * MINUTE,
                    kind="walk_up",
                    reference_id=None,
                    now=at,
                )

        async def change() -> Any:
            try:
                return await one_change()
            except DomainError as refused:
                return refused

        for _ in range(25):
            await asyncio.gather(*(change() for _ in range(8)))
            assert await db.fetchval(OVERLAPS) == 0
        assert len(booked) > 10
        open_without_claim = await db.fetchval(
            "SELECT count(*) FROM reservation r WHERE status IN ('confirmed', 'checked_in')"
            " AND NOT EXISTS (SELECT FROM connector_claim c WHERE c.id = r.claim_id)"
        )
        assert open_without_claim == 0
