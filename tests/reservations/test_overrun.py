"""A charge or a car that stays past its time: the bookings behind it move first, in one transaction."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from backend.charging.service import overstay, sessions
from backend.core import db
from backend.core.services import Services
from backend.reservations.rules.words import ReservationView
from backend.reservations.service import bookings, claims, moving, outages
from tests.factories.bays import camera_says
from tests.factories.charging import add_charging_scene, answer, begin, charge, idle, report, sample
from tests.factories.reservations import Scene, book
from tests.factories.stations import Gun, add_gun
from tests.jobs import run_due_jobs

MINUTE = timedelta(minutes=1)
SECOND = timedelta(seconds=1)


@pytest.fixture
async def scene(database: Any, now: datetime) -> Scene:
    return await add_charging_scene(now=now)


@pytest.fixture
async def spare(scene: Scene, now: datetime) -> Gun:
    gun = await add_gun(station_id=scene.place.station.id, kind="ac")
    await idle(gun, now=now)
    return gun


async def again(booked: ReservationView) -> ReservationView:
    found = await bookings.find_reservation(reservation_id=booked.id)
    assert found is not None
    return found


async def trace(booked: ReservationView) -> list[tuple[str, str]]:
    return [(move.outcome, move.reason) for move in await moving.list_moves(reservation_id=booked.id)]


async def two_in_a_row(scene: Scene, now: datetime) -> tuple[ReservationView, ReservationView]:
    """Alice from now for half an hour, bob on the same connector a quarter of an hour later."""
    ac = scene.place.ac.connector.id
    first = await book(scene.alice, scene.place, now=now, starts_at=now, minutes=30, connector_id=ac)
    following = await book(scene.bob, scene.place, now=now, starts_at=now + 45 * MINUTE, minutes=60, connector_id=ac)
    return first, following


async def held_by(claim_id: Any) -> Any:
    found = await claims.find_claim(claim_id=claim_id)
    assert found is not None
    return found


class TestACarThatStaysAfterItsCharge:
    async def test_moves_the_next_booking_once_half_of_the_gap_is_over(
        self, scene: Scene, spare: Gun, services: Services, now: datetime
    ) -> None:
        first, following = await two_in_a_row(scene, now)
        session, _, _ = await charge(scene.alice, scene.place.ac, start=now, minutes=20, services=services)
        await overstay.follow(session_id=session.id, now=now + 34 * MINUTE)
        assert await trace(following) == []
        at = now + 35 * MINUTE
        await overstay.follow(session_id=session.id, now=at)
        assert (await again(following)).connector_id == spare.connector.id
        assert await trace(following) == [("moved", "overrun")]
        assert (await held_by(first.claim_id)).ends_at == at + moving.STANDS_FOR
        told = await db.fetchval(
            "SELECT count(*) FROM inbox_message WHERE recipient_id = $1 AND template = 'reservation_relocated'",
            following.account_id,
        )
        assert told == 1

    async def test_leaves_whoever_cannot_be_moved_the_place_and_begins_the_fallback_plan_at_the_start(
        self, scene: Scene, services: Services, now: datetime
    ) -> None:
        first, following = await two_in_a_row(scene, now)
        session, _, _ = await charge(scene.alice, scene.place.ac, start=now, minutes=20, services=services)
        await overstay.follow(session_id=session.id, now=now + 40 * MINUTE)
        assert (await again(following)).stranded_at is None, "it may leave until the start"
        assert (await held_by(following.claim_id)).connector_id == following.connector_id
        assert (await held_by(first.claim_id)).ends_at == first.ends_at
        await overstay.follow(session_id=session.id, now=following.starts_at)
        assert await trace(following) == [("stranded", "overrun")]
        await run_due_jobs(now=following.starts_at, only="waiting.")
        assert (
            await db.fetchval("SELECT cause FROM fallback_plan WHERE reservation_id = $1", following.id) == "stranded"
        )

    async def test_moves_nobody_when_it_leaves_in_time(
        self, scene: Scene, spare: Gun, services: Services, now: datetime
    ) -> None:
        _, following = await two_in_a_row(scene, now)
        session, _, meter = await charge(scene.alice, scene.place.ac, start=now, minutes=20, services=services)
        await idle(scene.place.ac, now=now + 33 * MINUTE, meter_wh=meter)
        await overstay.follow(session_id=session.id, now=now + 36 * MINUTE)
        assert await trace(following) == []

    async def test_is_looked_at_as_often_as_one_likes(
        self, scene: Scene, spare: Gun, services: Services, now: datetime
    ) -> None:
        first, following = await two_in_a_row(scene, now)
        await charge(scene.alice, scene.place.ac, start=now, minutes=20, services=services)
        for minute in (35, 35, 36, 40):
            await outages.overrun(claim_id=first.claim_id, now=now + minute * MINUTE)
        assert await trace(following) == [("moved", "overrun")]
        assert (await held_by(first.claim_id)).ends_at == now + 65 * MINUTE


class TestAChargeThatDoesNotEnd:
    async def test_moves_the_next_booking_too(
        self, scene: Scene, spare: Gun, services: Services, now: datetime
    ) -> None:
        _, following = await two_in_a_row(scene, now)
        gun = scene.place.ac
        session = await begin(scene.alice, gun, now=now)
        await answer(gun, "start", now=now + SECOND)
        await report(gun, "session_started", now=now + 2 * SECOND, session=session, meter_wh=1_000_000)
        await run_due_jobs(now=now + 2 * SECOND, services=services)
        await sample(gun, now=now + 29 * MINUTE, meter_wh=1_003_000)
        await sessions.check_limit(session_id=session.id, now=now + 30 * MINUTE)
        await sample(gun, now=now + 36 * MINUTE, meter_wh=1_004_000)
        await sessions.check_end(session_id=session.id, now=now + 36 * MINUTE)
        assert await trace(following) == [("moved", "overrun")]
        assert (await again(following)).connector_id == spare.connector.id


class TestACarInItsLastMinutes:
    async def test_that_another_camera_sees_is_left_alone(self, scene: Scene, spare: Gun, now: datetime) -> None:
        first, following = await two_in_a_row(scene, now)
        await camera_says(
            scene.place.ac, "bay_occupied", now=now, camera=scene.place.bay_camera, plate_hash=scene.alice.plate_hash
        )
        await outages.overrun(claim_id=first.claim_id, now=now + 29 * MINUTE)
        assert await trace(following) == []
