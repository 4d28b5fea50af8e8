"""Bookings that move because their connector cannot serve them, through the database."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from backend.core import db, jobs
from backend.reservations.rules.words import ReservationView
from backend.reservations.service import claims, moving, outages, slots
from backend.reservations.service.moving import BookingsInTheWay
from backend.reservations.store import bookings as store
from backend.telemetry.events import ConnectorStatusChanged
from tests.factories.bays import camera_says, command_names, events_named, lock_says
from tests.factories.charging import add_charging_scene, idle, sample
from tests.factories.reservations import Scene, approach, book
from tests.factories.stations import Gun, add_gun
from tests.jobs import run_due_jobs

MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)


@pytest.fixture
async def scene(database: Any, now: datetime) -> Scene:
    return await add_charging_scene(now=now)


@pytest.fixture
async def spare(scene: Scene, now: datetime) -> Gun:
    """A second AC gun in the resident zone."""
    gun = await add_gun(station_id=scene.place.station.id, kind="ac")
    await idle(gun, now=now)
    return gun


async def book_ac(scene: Scene, now: datetime, starts_at: datetime, who: str = "alice") -> ReservationView:
    return await book(
        getattr(scene, who), scene.place, now=now, starts_at=starts_at, connector_id=scene.place.ac.connector.id
    )


async def again(booked: ReservationView) -> ReservationView:
    found = await store.find_reservation(booked.id)
    assert found is not None
    return found


async def trace(booked: ReservationView) -> list[tuple[str, str]]:
    return [(move.outcome, move.reason) for move in await moving.list_moves(reservation_id=booked.id)]


async def told(booked: ReservationView) -> list[str]:
    rows = await db.fetch("SELECT template FROM inbox_message WHERE recipient_id = $1 ORDER BY id", booked.account_id)
    return [row["template"] for row in rows]


async def let_run(now: datetime) -> None:
    await run_due_jobs(now=now, only="reservations.")


async def break_down(gun: Gun, *, now: datetime, status: str = "faulted") -> None:
    """Let a charger say that its connector is broken (or works again)."""
    await sample(gun, now=now, meter_wh=1_000_000, status=status)
    changed = ConnectorStatusChanged(
        device_id=gun.charger.id,
        device_code=gun.charger.code,
        station_id=gun.connector.station_id,
        occurred_at=now,
        received_at=now,
        connector_id=gun.connector.id,
        status=status,  # type: ignore[arg-type]
        previous="available",
    )
    async with db.transaction():
        await jobs.emit(changed, now=now)
    await run_due_jobs(now=now, only="reservations.note_connector")


class TestAFault:
    async def test_moves_the_coming_booking_tells_and_leaves_a_trace(
        self, scene: Scene, spare: Gun, now: datetime
    ) -> None:
        booked = await book_ac(scene, now, now + HOUR)
        await break_down(scene.place.ac, now=now + MINUTE)
        await let_run(now + MINUTE)
        assert (await again(booked)).connector_id == scene.place.ac.connector.id, "it may be over in a moment"
        await let_run(now + 2 * MINUTE)
        moved = await again(booked)
        assert (moved.connector_id, moved.bay_id) == (spare.connector.id, spare.bay.id)
        assert (moved.starts_at, moved.status) == (booked.starts_at, "confirmed")
        claim = await claims.find_claim(claim_id=booked.claim_id)
        assert claim is not None
        assert (claim.connector_id, claim.starts_at, claim.ends_at) == (
            spare.connector.id,
            booked.starts_at,
            booked.ends_at,
        )
        assert await trace(booked) == [("moved", "fault")]
        assert await told(booked) == ["reservation_relocated"]

    async def test_that_is_over_within_a_minute_moves_nobody(self, scene: Scene, spare: Gun, now: datetime) -> None:
        booked = await book_ac(scene, now, now + HOUR)
        await break_down(scene.place.ac, now=now + MINUTE)
        await idle(scene.place.ac, now=now + MINUTE + timedelta(seconds=30))
        await let_run(now + 10 * MINUTE)
        assert await trace(booked) == []

    async def test_without_another_connector_strands_and_costs_nothing(self, scene: Scene, now: datetime) -> None:
        booked = await book_ac(scene, now, now + HOUR)
        await break_down(scene.place.ac, now=now + MINUTE)
        await let_run(now + 2 * MINUTE)
        assert (await again(booked)).stranded_at == now + 2 * MINUTE
        assert await trace(booked) == [("stranded", "fault")]
        assert len(await events_named("BookingStranded")) == 1
        await let_run(booked.hold_until)
        assert (await again(booked)).status == "failed"
        assert not await db.fetchval("SELECT counts_as_no_show FROM reservation WHERE id = $1", booked.id)

    async def test_that_ends_restores_whoever_was_stranded(self, scene: Scene, now: datetime) -> None:
        booked = await book_ac(scene, now, now + HOUR)
        await break_down(scene.place.ac, now=now + MINUTE)
        await let_run(now + 2 * MINUTE)
        await break_down(scene.place.ac, now=now + 20 * MINUTE, status="available")
        await let_run(now + 20 * MINUTE)
        assert (await again(booked)).stranded_at is None
        assert await trace(booked) == [("stranded", "fault"), ("restored", "fault")]

    async def test_opens_the_new_bay_for_a_car_that_is_here(self, scene: Scene, spare: Gun, now: datetime) -> None:
        booked = await book_ac(scene, now, now + 30 * MINUTE)
        await lock_says(spare, now=now, position="up")
        await approach(scene.alice, scene.place, now=booked.starts_at)
        await break_down(scene.place.ac, now=booked.starts_at + MINUTE)
        await let_run(booked.starts_at + 2 * MINUTE)
        assert (await again(booked)).connector_id == spare.connector.id
        assert await command_names(spare) == ["lower"]


class TestACarThatStays:
    async def test_moves_the_next_booking_before_it_starts_and_keeps_the_place(
        self, scene: Scene, spare: Gun, now: datetime
    ) -> None:
        gun = scene.place.ac
        stays = await claims.claim(
            connector_id=gun.connector.id,
            plate_hash=scene.charlie.plate_hash,
            starts_at=now,
            ends_at=now + 50 * MINUTE,
            kind="walk_up",
            reference_id=None,
            now=now,
        )
        booked = await book_ac(scene, now, now + HOUR)
        await camera_says(
            gun, "bay_occupied", now=now, camera=scene.place.bay_camera, plate_hash=scene.charlie.plate_hash
        )
        await let_run(now + 54 * MINUTE)
        assert await trace(booked) == []
        await let_run(now + 55 * MINUTE)
        assert await trace(booked) == [("moved", "overrun")]
        held = await claims.find_claim(claim_id=stays)
        assert held is not None
        assert held.ends_at == now + 85 * MINUTE, "nobody else is sold the place"

    async def test_strands_at_the_start_where_nothing_else_is_free(self, scene: Scene, now: datetime) -> None:
        booked = await book_ac(scene, now, now + HOUR)
        await camera_says(
            scene.place.ac,
            "bay_occupied",
            now=now,
            camera=scene.place.bay_camera,
            plate_hash=scene.charlie.plate_hash,
        )
        await let_run(now + 55 * MINUTE)
        assert (await again(booked)).stranded_at is None, "it may leave until the start"
        await let_run(now + HOUR)
        assert (await again(booked)).stranded_at == now + HOUR
        await camera_says(scene.place.ac, "bay_free", now=now + 62 * MINUTE, camera=scene.place.bay_camera)
        await let_run(now + 63 * MINUTE)
        assert (await again(booked)).stranded_at is None

    async def test_that_comes_after_the_start_moves_the_booking_too(
        self, scene: Scene, spare: Gun, now: datetime
    ) -> None:
        booked = await book_ac(scene, now, now + HOUR)
        await let_run(now + HOUR)
        at = now + 63 * MINUTE
        await camera_says(
            scene.place.ac, "bay_occupied", now=at, camera=scene.place.bay_camera, plate_hash=scene.charlie.plate_hash
        )
        await let_run(at)
        await let_run(at + MINUTE)
        assert await trace(booked) == [("moved", "blocked")]


class TestMaintenance:
    async def test_moves_the_bookings_of_its_time_and_holds_the_connector(
        self, scene: Scene, spare: Gun, now: datetime
    ) -> None:
        inside, after = await book_ac(scene, now, now + HOUR), await book_ac(scene, now, now + 5 * HOUR, "bob")
        claim_id, became = await outages.plan_maintenance(
            connector_id=scene.place.ac.connector.id,
            starts_at=now + HOUR,
            ends_at=now + 3 * HOUR,
            actor="li",
            now=now,
        )
        assert became.moved == (inside.id,)
        assert (await again(inside)).connector_id == spare.connector.id
        assert (await again(after)).connector_id == scene.place.ac.connector.id
        works = await claims.find_claim(claim_id=claim_id)
        assert works is not None
        assert works.kind == "maintenance"

    async def test_is_refused_as_a_whole_where_one_booking_cannot_move(
        self, scene: Scene, spare: Gun, now: datetime
    ) -> None:
        booked = [await book_ac(scene, now, now + HOUR)]
        booked.append(
            await book(scene.bob, scene.place, now=now, starts_at=now + HOUR, connector_id=spare.connector.id)
        )
        with pytest.raises(BookingsInTheWay):
            await outages.plan_maintenance(
                connector_id=scene.place.ac.connector.id, starts_at=now, ends_at=now + 3 * HOUR, actor="li", now=now
            )
        assert [(await again(b)).connector_id for b in booked] == [b.connector_id for b in booked]
        assert await db.fetchval("SELECT count(*) FROM connector_claim") == 2


class TestSlotsOfABrokenConnector:
    async def test_are_not_offered_for_the_next_hours(self, scene: Scene, now: datetime) -> None:
        await break_down(scene.place.ac, now=now)
        await let_run(now + MINUTE)

        found = await slots.day(station_id=scene.place.station.id, on=None, power="ac", now=now + MINUTE)
        assert found
        assert found[0].starts_at >= now + 4 * HOUR
