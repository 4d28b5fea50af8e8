"""Arrivals, waits and the queue through the database."""

from datetime import datetime, timedelta
from typing import Any

import msgspec
import pytest

from backend.charging.events import SessionStarted
from backend.core import db, jobs
from backend.core.errors import NotFound
from backend.core.ids import new_id
from backend.core.units import Point
from backend.reservations.service import claims
from backend.stations import service as stations
from backend.waiting import service as waiting
from backend.waiting.service import indicators, queue
from backend.waiting.service.queue import AlreadyQueued, NoOffer, QueueView
from tests.factories.accounts import add_company
from tests.factories.bays import camera_says, command_names, lock_says
from tests.factories.charging import add_charging_scene, begin, idle, sample
from tests.factories.reservations import Resident, Scene, add_scene, approach, book
from tests.factories.stations import Gun
from tests.jobs import run_due_jobs

MINUTE = timedelta(minutes=1)
SECOND = timedelta(seconds=1)


@pytest.fixture
async def scene(database: Any, now: datetime) -> Scene:
    return await add_charging_scene(now=now)


async def let_run(now: datetime, *, only: str = "waiting.") -> None:
    await run_due_jobs(now=now, only=only)


async def waits() -> list[tuple[str, int]]:
    return [tuple(r) for r in await db.fetch("SELECT user_class, wait_s FROM wait ORDER BY id")]


async def arrivals() -> list[tuple[str, str | None]]:
    return [tuple(r) for r in await db.fetch("SELECT source, outcome FROM arrival ORDER BY id")]


async def start(resident: Resident, gun: Gun, *, now: datetime) -> None:
    """Let a resident's session begin, and waiting hear of it."""
    session = await begin(resident, gun, now=now)
    async with db.transaction():
        started = SessionStarted(
            session_id=session.id,
            connector_id=session.connector_id,
            station_id=session.station_id,
            account_id=session.account_id,
            at=now,
        )
        await jobs.emit(started, now=now)
    await let_run(now)


async def hold(gun: Gun, resident: Resident, *, now: datetime, minutes: int) -> None:
    """Let somebody charge at a gun, as far as waiting can see."""
    await claims.claim(
        connector_id=gun.connector.id,
        plate_hash=resident.plate_hash,
        starts_at=now,
        ends_at=now + minutes * MINUTE,
        kind="walk_up",
        reference_id=None,
        now=now,
    )
    await sample(gun, now=now, meter_wh=1_000_000)


def stranger(scene: Scene, number: int) -> Resident:
    """Somebody with a car of nobody in the tests."""
    return Resident(
        account_id=scene.charlie.account_id,
        vehicle=msgspec.structs.replace(scene.charlie.vehicle, plate="", plate_hash=bytes([number]) * 32),
        agreement_id=None,
    )


async def fill(scene: Scene, *, now: datetime) -> None:
    """Let all three guns be taken by cars of nobody in the tests: AC for 30, DC for 50, public for 90 minutes."""
    for number, (gun, minutes) in enumerate(((scene.place.ac, 30), (scene.place.dc, 50), (scene.place.public, 90))):
        await hold(gun, stranger(scene, number), now=now, minutes=minutes)


class TestTheWaitOfABooking:
    async def test_is_none_when_the_connector_is_ready_on_time(self, scene: Scene, now: datetime) -> None:
        booked = await book(scene.alice, scene.place, now=now, starts_at=now + 30 * MINUTE)
        await approach(scene.alice, scene.place, now=booked.starts_at + 3 * MINUTE)
        await let_run(booked.starts_at + 3 * MINUTE)
        assert await waits() == [("booking", 0)]
        assert await arrivals() == [("plate", "served")]

    async def test_runs_until_the_car_before_has_left(self, scene: Scene, now: datetime) -> None:
        gun, arrival = scene.place.ac, now + 32 * MINUTE
        booked = await book(scene.alice, scene.place, now=now, starts_at=now + 30 * MINUTE)
        await hold(scene.place.public, stranger(scene, 9), now=now, minutes=180)
        await camera_says(
            gun, "bay_occupied", now=now, camera=scene.place.bay_camera, plate_hash=scene.charlie.plate_hash
        )
        await approach(scene.alice, scene.place, now=arrival)
        await let_run(arrival)
        assert booked.connector_id == gun.connector.id
        assert await waits() == []
        await camera_says(gun, "bay_free", now=arrival + 7 * MINUTE, camera=scene.place.bay_camera)
        await let_run(arrival + 7 * MINUTE)
        assert await waits() == [("booking", 7 * 60)]

    async def test_begins_with_the_slot_for_one_who_came_early(self, scene: Scene, now: datetime) -> None:
        gun = scene.place.ac
        booked = await book(scene.alice, scene.place, now=now, starts_at=now + 30 * MINUTE)
        early, freed = booked.starts_at - 10 * MINUTE, booked.starts_at + 2 * MINUTE
        await hold(scene.place.public, stranger(scene, 9), now=now, minutes=180)
        await camera_says(
            gun, "bay_occupied", now=now, camera=scene.place.bay_camera, plate_hash=scene.charlie.plate_hash
        )
        await approach(scene.alice, scene.place, now=early)
        await let_run(early)
        await let_run(booked.starts_at, only="reservations.")
        await let_run(booked.starts_at)
        await camera_says(gun, "bay_free", now=freed, camera=scene.place.bay_camera)
        await let_run(freed)
        assert await waits() == [("booking", 2 * 60)]


class TestTheWaitOfAWalkUp:
    async def test_is_none_where_a_connector_was_free_at_the_arrival(self, scene: Scene, now: datetime) -> None:
        await approach(scene.alice, scene.place, now=now)
        await let_run(now)
        await start(scene.alice, scene.place.ac, now=now + 4 * MINUTE)
        assert await waits() == [("agreement", 0)]

    async def test_runs_until_the_session_when_everything_was_taken(self, scene: Scene, now: datetime) -> None:
        await fill(scene, now=now)
        await approach(scene.alice, scene.place, now=now)
        await let_run(now)
        later = now + 40 * MINUTE
        await idle(scene.place.ac, now=later)
        await start(scene.alice, scene.place.ac, now=later)
        assert await waits() == [("agreement", 40 * 60)]

    async def test_is_none_for_a_session_without_a_known_arrival(self, scene: Scene, now: datetime) -> None:
        await start(scene.charlie, scene.place.public, now=now)
        assert await waits() == [("other", 0)]
        assert await arrivals() == [("session", "served")]

    async def test_is_not_counted_for_a_car_that_only_passed(self, scene: Scene, now: datetime) -> None:
        await approach(scene.alice, scene.place, now=now)
        await let_run(now)
        await let_run(now + 30 * MINUTE)
        assert await waits() == []
        assert await arrivals() == [("plate", "passed")]

    async def test_starts_anew_when_the_car_left_and_came_again(self, scene: Scene, now: datetime) -> None:
        await fill(scene, now=now)
        for minutes in (0, 60):
            await approach(scene.alice, scene.place, now=now + minutes * MINUTE)
            await let_run(now + minutes * MINUTE)
        assert await arrivals() == [("plate", "left"), ("plate", None)]

    async def test_is_stored_once_however_often_the_session_is_told(self, scene: Scene, now: datetime) -> None:
        booked = await book(scene.alice, scene.place, now=now, starts_at=now + 30 * MINUTE)
        await approach(scene.alice, scene.place, now=booked.starts_at)
        await let_run(booked.starts_at)
        await start(scene.alice, scene.place.ac, now=booked.starts_at + MINUTE)
        (session,) = await db.fetch("SELECT id, plate_hash FROM charging_session")
        for _ in range(2):
            await waiting.serve_session(
                session_id=session["id"],
                station_id=scene.place.station.id,
                plate_hash=session["plate_hash"],
                account_id=scene.alice.account_id,
                connector_id=scene.place.ac.connector.id,
                asked_at=booked.starts_at + MINUTE,
                now=booked.starts_at + MINUTE,
            )
        assert await waits() == [("booking", 0)]
        assert await arrivals() == [("plate", "served")]

    async def test_is_not_kept_for_plates_nobody_lists(self, scene: Scene, now: datetime) -> None:
        found = await waiting.record_arrival(
            station_id=scene.place.station.id, plate_hash=b"x" * 32, source="plate", at=now, now=now
        )
        assert found is None
        assert await arrivals() == []

    async def test_counts_one_arrival_however_often_it_is_told(self, scene: Scene, now: datetime) -> None:
        for minute in range(3):
            await approach(scene.alice, scene.place, now=now + minute * MINUTE)
            await let_run(now + minute * MINUTE)
        assert len(await arrivals()) == 1


class TestPredictedWaits:
    async def predict(self, scene: Scene, now: datetime) -> int | None:
        station_id = scene.place.station.id
        return (await waiting.predicted_waits(station_ids=[station_id], now=now)).get(station_id)

    async def test_is_none_at_all_where_something_is_free(self, scene: Scene, now: datetime) -> None:
        assert await self.predict(scene, now) == 0

    async def test_is_until_the_first_claim_ends_and_its_gap(self, scene: Scene, now: datetime) -> None:
        await fill(scene, now=now)
        assert await self.predict(scene, now) == 40 * 60

    async def test_grows_with_the_queue(self, scene: Scene, now: datetime) -> None:
        await fill(scene, now=now)
        await join(scene.bob, scene, now=now)
        assert await self.predict(scene, now) == 50 * 60, "the car on DC says that it needs 40 minutes, and the gap"

    async def test_is_unknown_where_no_charger_speaks(self, database: Any, now: datetime) -> None:
        assert await self.predict(await add_scene(), now) is None


async def join(resident: Resident, scene: Scene, *, now: datetime, power: Any = None) -> QueueView:
    return await queue.join(
        account_id=resident.account_id,
        station_id=scene.place.station.id,
        vehicle_id=resident.vehicle.id,
        power=power,
        position=Point(scene.place.station.lat + 0.009, scene.place.station.lng),
        now=now,
    )


async def read(resident: Resident, view: QueueView, *, now: datetime) -> QueueView:
    return await queue.read(account_id=resident.account_id, entry_id=view.entry.id, now=now)


class TestTheQueue:
    async def free(self, scene: Scene, gun: Gun, now: datetime) -> None:
        """Let a gun become free, seen by its charger."""
        async with db.transaction():
            await db.execute("DELETE FROM connector_claim WHERE connector_id = $1", gun.connector.id)
        await idle(gun, now=now)
        await queue.offer_free(station_id=scene.place.station.id, now=now)

    async def test_offers_a_free_connector_at_once(self, scene: Scene, now: datetime) -> None:
        view = await join(scene.alice, scene, now=now)
        assert (view.entry.status, view.entry.offer_connector_id) == ("offered", scene.place.ac.connector.id)
        claim = await claims.find_claim(claim_id=view.entry.offer_claim_id)  # type: ignore[arg-type]
        assert claim is not None
        assert (claim.kind, claim.ends_at) == ("offer", now + 5 * MINUTE)

    async def test_offers_others_the_public_zone_only(self, scene: Scene, now: datetime) -> None:
        view = await join(scene.charlie, scene, now=now)
        assert view.entry.offer_connector_id == scene.place.public.connector.id

    async def test_serves_agreement_residents_before_others_and_tells_the_position(
        self, scene: Scene, now: datetime
    ) -> None:
        await fill(scene, now=now)
        charlie = await join(scene.charlie, scene, now=now)
        alice = await join(scene.alice, scene, now=now + MINUTE)
        charlie, alice = await read(scene.charlie, charlie, now=now), await read(scene.alice, alice, now=now)
        assert (alice.position, charlie.position) == (1, 2)
        await self.free(scene, scene.place.public, now + 2 * MINUTE)
        assert (await read(scene.alice, alice, now=now)).entry.status == "offered"
        assert (await read(scene.charlie, charlie, now=now)).position == 1

    async def test_on_site_makes_an_offer_stand_ninety_seconds(self, scene: Scene, now: datetime) -> None:
        await approach(scene.alice, scene.place, now=now)
        await let_run(now)
        view = await join(scene.alice, scene, now=now)
        assert view.entry.offer_expires_at == now + 90 * SECOND

    async def test_goes_on_to_the_next_when_an_offer_runs_out(self, scene: Scene, now: datetime) -> None:
        await fill(scene, now=now)
        alice, bob = await join(scene.alice, scene, now=now), await join(scene.bob, scene, now=now + SECOND)
        await self.free(scene, scene.place.ac, now + MINUTE)
        await let_run(now + 5 * MINUTE)
        assert (await read(scene.alice, alice, now=now)).entry.status == "offered"
        await let_run(now + 6 * MINUTE)
        assert (await read(scene.alice, alice, now=now)).entry.status == "expired"
        assert (await read(scene.bob, bob, now=now)).entry.status == "offered"

    async def test_accepting_lowers_the_lock_keeps_the_connector_and_ends_the_wait(
        self, scene: Scene, now: datetime
    ) -> None:
        await fill(scene, now=now)
        await approach(scene.alice, scene.place, now=now)
        await let_run(now)
        view = await join(scene.alice, scene, now=now)
        await lock_says(scene.place.ac, now=now, position="up")
        await self.free(scene, scene.place.ac, now + 3 * MINUTE)
        accepted = await queue.accept(account_id=scene.alice.account_id, entry_id=view.entry.id, now=now + 4 * MINUTE)
        assert accepted.entry.status == "accepted"
        assert await command_names(scene.place.ac) == ["lower"]
        assert await waits() == [("agreement", 4 * 60)]
        await start(scene.alice, scene.place.ac, now=now + 5 * MINUTE)
        assert (await read(scene.alice, view, now=now)).entry.status == "served"
        assert await waits() == [("agreement", 4 * 60)]

    async def test_refuses_an_offer_that_has_run_out(self, scene: Scene, now: datetime) -> None:
        view = await join(scene.alice, scene, now=now)
        with pytest.raises(NoOffer):
            await queue.accept(account_id=scene.alice.account_id, entry_id=view.entry.id, now=now + 5 * MINUTE)

    async def test_refuses_one_car_in_two_queues(self, scene: Scene, now: datetime) -> None:
        await join(scene.alice, scene, now=now)
        with pytest.raises(AlreadyQueued):
            await join(scene.alice, scene, now=now)

    async def test_left_gives_the_offer_to_the_next(self, scene: Scene, now: datetime) -> None:
        await fill(scene, now=now)
        alice, bob = await join(scene.alice, scene, now=now), await join(scene.bob, scene, now=now + SECOND)
        await self.free(scene, scene.place.ac, now + MINUTE)
        for _ in range(2):
            await queue.leave(account_id=scene.alice.account_id, entry_id=alice.entry.id, now=now + 2 * MINUTE)
        assert (await read(scene.alice, alice, now=now)).entry.status == "left"
        assert (await read(scene.bob, bob, now=now)).entry.status == "offered"

    async def test_shows_anothers_place_as_absent(self, scene: Scene, now: datetime) -> None:
        view = await join(scene.alice, scene, now=now)
        with pytest.raises(NotFound):
            await read(scene.bob, view, now=now)

    async def test_offers_nothing_under_a_safety_hold(self, scene: Scene, now: datetime) -> None:
        await stations.set_safety_hold(station_id=scene.place.station.id, incident_id=new_id(), now=now)
        assert (await join(scene.alice, scene, now=now)).entry.status == "waiting"


class TestTheFigures:
    async def test_count_arrivals_and_those_within_five_minutes(self, scene: Scene, now: datetime) -> None:
        for number, minutes in enumerate((0, 1, 5, 20)):
            account_id, plate = scene.alice.account_id, bytes([number]) * 32
            async with db.transaction():
                arrival_id = await waiting.record_arrival(
                    station_id=scene.place.station.id,
                    plate_hash=plate,
                    source="app",
                    at=now,
                    now=now,
                    account_id=account_id,
                )
                assert arrival_id is not None
                await db.execute("UPDATE arrival SET usable_at = NULL WHERE id = $1", arrival_id)
                await waiting.connector_usable(
                    arrival_id=arrival_id,
                    connector_id=scene.place.ac.connector.id,
                    at=now + minutes * MINUTE,
                    now=now + minutes * MINUTE,
                )
        (figure,) = await indicators.wait_figures(
            company_ids=[scene.company_id], first=now.date(), last=now.date(), user_class=None, station_id=None
        )
        assert (figure.arrivals, figure.within, figure.p50_s, figure.p95_s, figure.worst_s) == (4, 3, 60, 1200, 1200)

    async def test_cannot_be_changed_afterwards(self, scene: Scene, now: datetime) -> None:
        with pytest.raises(Exception, match="permission denied"):
            async with db.transaction():
                await db.execute("UPDATE wait SET wait_s = 0")

    async def test_of_one_company_are_not_anothers(self, scene: Scene, now: datetime) -> None:
        await self.test_count_arrivals_and_those_within_five_minutes(scene, now)
        others = await add_company(name="远邻充电")
        found = await indicators.wait_figures(
            company_ids=[others], first=now.date(), last=now.date(), user_class=None, station_id=None
        )
        assert found == []


class TestPersonalData:
    async def test_leaves_with_the_person_and_the_wait_stays(self, scene: Scene, now: datetime) -> None:
        await approach(scene.alice, scene.place, now=now)
        await let_run(now)
        await start(scene.alice, scene.place.ac, now=now)
        assert len((await waiting.export_personal_data(account_id=scene.alice.account_id))["arrivals"]) == 1  # type: ignore[arg-type]
        await waiting.erase_personal_data(account_id=scene.alice.account_id, now=now)
        assert await db.fetchval("SELECT count(*) FROM arrival WHERE plate_hash IS NOT NULL") == 0
        assert len(await waits()) == 1
