"""The five-minute promise: the fallback plan step after step, through the database."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from backend.charging.service import credits
from backend.core import db
from backend.core.errors import NotFound
from backend.core.units import Point
from backend.reservations.rules.words import ReservationView
from backend.reservations.service import bookings, claims
from backend.waiting.service import fallback, queue
from backend.waiting.service.fallback import NoFallbackOffer, PlanView
from tests.factories.bays import camera_says
from tests.factories.charging import add_charging_scene, idle, sample
from tests.factories.reservations import Resident, Scene, approach, book
from tests.factories.stations import DemoStation, Gun, add_demo_station
from tests.jobs import run_due_jobs

MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)


@pytest.fixture
async def scene(database: Any, now: datetime) -> Scene:
    return await add_charging_scene(now=now)


@pytest.fixture
async def neighbour(scene: Scene, now: datetime) -> DemoStation:
    """Another pilot station of the company, some 200 m away."""
    place = await add_demo_station(operator_company_id=scene.company_id, lat=scene.place.station.lat + 0.002)
    for gun in (place.ac, place.dc, place.public):
        await idle(gun, now=now)
    return place


@pytest.fixture
async def booked(scene: Scene, now: datetime) -> ReservationView:
    """Alice's booking of the only AC gun of the zone, from 11:00 to 12:00; it is 10:00."""
    return await book(scene.alice, scene.place, now=now, starts_at=now + HOUR)


async def let_run(now: datetime) -> None:
    await run_due_jobs(now=now, only="reservations.")
    await run_due_jobs(now=now, only="waiting.")
    await run_due_jobs(now=now, only="reservations.")


async def stay(gun: Gun, scene: Scene, *, now: datetime) -> None:
    """Let charlie's car stand in the bay."""
    await camera_says(gun, "bay_occupied", now=now, camera=scene.place.bay_camera, plate_hash=scene.charlie.plate_hash)


async def hold_public(scene: Scene, *, now: datetime, minutes: int = 180) -> None:
    await claims.claim(
        connector_id=scene.place.public.connector.id,
        plate_hash=b"p" * 32,
        starts_at=now,
        ends_at=now + minutes * MINUTE,
        kind="walk_up",
        reference_id=None,
        now=now,
    )
    await sample(scene.place.public, now=now, meter_wh=1_000_000)


async def plan_of(resident: Resident) -> PlanView:
    (plan,) = await fallback.list_own(account_id=resident.account_id)
    return plan


def tried(plan: PlanView) -> list[tuple[str, str]]:
    return [(step.step, step.outcome) for step in plan.steps]


async def again(booked: ReservationView) -> ReservationView:
    return await bookings.get_reservation(account_id=booked.account_id, reservation_id=booked.id)


class TestAStrandedBooking:
    async def test_gets_a_public_connector_under_its_own_id(
        self, scene: Scene, booked: ReservationView, now: datetime
    ) -> None:
        await stay(scene.place.ac, scene, now=now)
        await let_run(booked.starts_at)
        moved = await again(booked)
        assert (moved.connector_id, moved.status) == (scene.place.public.connector.id, "confirmed")
        plan = await plan_of(scene.alice)
        assert plan.plan.status == "moved"
        assert tried(plan) == [("resident_connector", "impossible"), ("public_connector", "moved")]

    async def test_is_offered_another_station_and_relocated_when_accepted(
        self, scene: Scene, booked: ReservationView, neighbour: DemoStation, now: datetime
    ) -> None:
        await hold_public(scene, now=now)
        await stay(scene.place.ac, scene, now=now)
        await let_run(booked.starts_at)
        plan = await plan_of(scene.alice)
        assert (plan.plan.status, plan.plan.offer_station_id) == ("offered", neighbour.station.id)
        assert plan.plan.due_at == booked.starts_at + 5 * MINUTE
        await fallback.answer(
            account_id=scene.alice.account_id, plan_id=plan.plan.id, accept=True, now=booked.starts_at + MINUTE
        )
        old = await again(booked)
        assert old.status == "relocated"
        assert old.relocated_to is not None
        new = await bookings.get_reservation(account_id=old.account_id, reservation_id=old.relocated_to)
        assert (new.station_id, new.connector_id) == (neighbour.station.id, neighbour.ac.connector.id)
        held = await claims.find_claim(claim_id=new.claim_id)
        assert held is not None
        assert (held.kind, held.plate_hash, held.reference_id) == ("booking", scene.alice.plate_hash, new.id)
        given_back = await claims.find_claim(claim_id=booked.claim_id)
        assert given_back is not None
        assert given_back.held_until == booked.starts_at + MINUTE
        assert tried(await plan_of(scene.alice))[-2:] == [("other_station", "offered"), ("other_station", "accepted")]

    async def test_is_compensated_when_nobody_answers_in_time(
        self, scene: Scene, booked: ReservationView, neighbour: DemoStation, now: datetime
    ) -> None:
        await hold_public(scene, now=now)
        await stay(scene.place.ac, scene, now=now)
        await let_run(booked.starts_at)
        held = (await plan_of(scene.alice)).plan.offer_claim_id
        assert held is not None
        await let_run(booked.starts_at + 5 * MINUTE)
        plan = await plan_of(scene.alice)
        assert plan.plan.status == "compensated"
        assert tried(plan)[-2:] == [("other_station", "expired"), ("compensation", "granted")]
        offered = await claims.find_claim(claim_id=held)
        assert offered is None or offered.held_until <= booked.starts_at + 5 * MINUTE
        (credit,) = await credits.list_credits(account_id=scene.alice.account_id, now=booked.hold_until)
        assert (credit.remaining_fen, credit.operator_company_id) == (500, scene.company_id)
        with pytest.raises(NoFallbackOffer):
            await fallback.answer(
                account_id=scene.alice.account_id, plan_id=plan.plan.id, accept=True, now=booked.hold_until
            )

    async def test_is_never_compensated_twice(self, scene: Scene, booked: ReservationView, now: datetime) -> None:
        await hold_public(scene, now=now)
        await stay(scene.place.ac, scene, now=now)
        await let_run(booked.starts_at)
        assert (await plan_of(scene.alice)).plan.status == "compensated"
        await approach(scene.alice, scene.place, now=booked.starts_at + MINUTE)
        await let_run(booked.starts_at + MINUTE)
        await camera_says(scene.place.ac, "bay_free", now=booked.starts_at + 12 * MINUTE, camera=scene.place.bay_camera)
        await let_run(booked.starts_at + 12 * MINUTE)
        assert await db.fetchval("SELECT wait_s FROM wait") == 11 * 60
        assert await db.fetchval("SELECT count(*) FROM discount_credit") == 1

    async def test_has_its_place_back_when_the_car_leaves(
        self, scene: Scene, booked: ReservationView, neighbour: DemoStation, now: datetime
    ) -> None:
        await hold_public(scene, now=now)
        await stay(scene.place.ac, scene, now=now)
        await let_run(booked.starts_at)
        at = booked.starts_at + 2 * MINUTE
        await camera_says(scene.place.ac, "bay_free", now=at, camera=scene.place.bay_camera)
        await let_run(at)
        assert (await plan_of(scene.alice)).plan.status == "restored"
        assert (await again(booked)).stranded_at is None

    async def test_is_told_to_its_owner_only(
        self, scene: Scene, booked: ReservationView, neighbour: DemoStation, now: datetime
    ) -> None:
        await hold_public(scene, now=now)
        await stay(scene.place.ac, scene, now=now)
        await let_run(booked.starts_at)
        plan = (await plan_of(scene.alice)).plan
        with pytest.raises(NotFound):
            await fallback.answer(account_id=scene.bob.account_id, plan_id=plan.id, accept=True, now=booked.starts_at)


class TestSomebodyInTheQueue:
    async def join(self, scene: Scene, resident: Resident, now: datetime) -> Any:
        return await queue.join(
            account_id=resident.account_id,
            station_id=scene.place.station.id,
            vehicle_id=resident.vehicle.id,
            power=None,
            position=Point(scene.place.station.lat, scene.place.station.lng),
            now=now,
        )

    async def fill(self, scene: Scene, now: datetime) -> None:
        for number, gun in enumerate((scene.place.ac, scene.place.dc, scene.place.public)):
            await claims.claim(
                connector_id=gun.connector.id,
                plate_hash=bytes([number]) * 32,
                starts_at=now,
                ends_at=now + 90 * MINUTE,
                kind="walk_up",
                reference_id=None,
                now=now,
            )
            await sample(gun, now=now, meter_wh=1_000_000)

    async def test_on_site_with_a_long_wait_ahead_is_offered_another_station(
        self, scene: Scene, neighbour: DemoStation, now: datetime
    ) -> None:
        await self.fill(scene, now)
        entry = await self.join(scene, scene.alice, now)
        await let_run(now)
        plan = await plan_of(scene.alice)
        assert (plan.plan.status, plan.plan.cause) == ("offered", "predicted")
        await fallback.answer(account_id=scene.alice.account_id, plan_id=plan.plan.id, accept=True, now=now + MINUTE)
        left = await queue.read(account_id=scene.alice.account_id, entry_id=entry.entry.id, now=now + MINUTE)
        assert left.entry.status == "left"
        kept = await claims.claims_between(
            connector_ids=[neighbour.ac.connector.id, neighbour.dc.connector.id],
            starts_at=now,
            ends_at=now + HOUR,
        )
        assert [(c.kind, c.plate_hash) for c in kept] == [("offer", scene.alice.plate_hash)]

    async def test_without_an_agreement_has_no_plan(self, scene: Scene, neighbour: DemoStation, now: datetime) -> None:
        await self.fill(scene, now)
        await self.join(scene, scene.charlie, now)
        await let_run(now)
        assert await fallback.list_own(account_id=scene.charlie.account_id) == []

    async def test_has_no_plan_where_a_connector_is_free(self, scene: Scene, now: datetime) -> None:
        await self.join(scene, scene.alice, now)
        await let_run(now)
        assert await fallback.list_own(account_id=scene.alice.account_id) == []
