"""A plate is no secret and no proof: who types it gets neither the booking of its car nor where the car is."""

from datetime import UTC, datetime, timedelta

import pytest

from backend.accounts import service as accounts
from backend.agreements.service import cars
from backend.charging.service.start import start_session
from backend.core import db
from backend.core.errors import Conflict, Forbidden
from backend.core.services import Services
from backend.reservations.service import bookings
from tests.cast import ALICE, BOB
from tests.factories.accounts import LONG_AGO, add_vehicle
from tests.factories.agreements import add_signed_agreement
from tests.factories.alerts import add_watched_scene, messages_to, smoke
from tests.factories.bays import camera_says
from tests.factories.reservations import Resident, Scene, approach, book
from tests.jobs import run_due_jobs

NOW = datetime(2026, 6, 10, 4, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
PLATE = "京AD77777"

pytestmark = pytest.mark.usefixtures("database")


@pytest.fixture
async def scene(services: Services) -> Scene:
    return await add_watched_scene(now=NOW)


@pytest.fixture
async def stranger(scene: Scene) -> Resident:
    """Charlie, who typed the plate before its owner came."""
    typed = await add_vehicle(account_id=scene.charlie.account_id, plate=PLATE, now=LONG_AGO)
    return Resident(account_id=scene.charlie.account_id, vehicle=typed, agreement_id=None)


@pytest.fixture
async def owner(scene: Scene, stranger: Resident) -> Resident:
    """Alice, who has the agreement of the car."""
    account_id = await accounts.ensure_account(phone=ALICE.phone, now=NOW)
    vehicle = await add_vehicle(account_id=account_id, plate=PLATE, now=NOW - MINUTE)
    signed = await add_signed_agreement(
        account_id=account_id, vehicle=vehicle, operator_company_id=scene.company_id, starts_at=NOW - MINUTE
    )
    return Resident(account_id=account_id, vehicle=vehicle, agreement_id=signed.id)


class TestAStrangerWhoTypedThePlate:
    async def test_cannot_start_a_charge_under_its_booking(
        self, scene: Scene, stranger: Resident, owner: Resident
    ) -> None:
        gun = scene.place.ac
        booked = await book(owner, scene.place, now=NOW, starts_at=NOW + 15 * MINUTE, connector_id=gun.connector.id)
        with pytest.raises((Conflict, Forbidden)):
            await start_session(
                account_id=stranger.account_id,
                vehicle_id=stranger.vehicle.id,
                connector_id=gun.connector.id,
                now=NOW + 15 * MINUTE,
            )
        after = await bookings.get_reservation(account_id=owner.account_id, reservation_id=booked.id)
        assert after.status == "confirmed"
        started = await start_session(
            account_id=owner.account_id,
            vehicle_id=owner.vehicle.id,
            connector_id=gun.connector.id,
            now=NOW + 15 * MINUTE,
        )
        assert started.reservation_id == booked.id

    async def test_is_not_told_where_the_car_stands_and_its_owner_is(
        self, scene: Scene, stranger: Resident, owner: Resident, services: Services
    ) -> None:
        camera = scene.place.bay_camera
        await camera_says(scene.place.ac, "bay_occupied", now=NOW, camera=camera, plate_hash=owner.plate_hash)
        await run_due_jobs(now=NOW + 3 * MINUTE, services=services)
        assert await messages_to(owner.account_id) == ["move_your_car"]
        await smoke(scene.place.smoke, "alarm", now=NOW + 4 * MINUTE, services=services)
        assert "danger_stay_away" in await messages_to(owner.account_id)
        assert await messages_to(stranger.account_id) == []

    async def test_does_not_get_the_arrival_and_its_wait(
        self, scene: Scene, stranger: Resident, owner: Resident, services: Services
    ) -> None:
        await approach(owner, scene.place, now=NOW)
        await run_due_jobs(now=NOW, services=services)
        rows = await db.fetch("SELECT account_id, user_class FROM arrival WHERE plate_hash = $1", owner.plate_hash)
        assert [(row["account_id"], row["user_class"]) for row in rows] == [(owner.account_id, "agreement")]


class TestPeopleOfACar:
    async def test_are_the_holder_and_the_drivers_and_without_an_agreement_who_listed_it_first(
        self, scene: Scene, stranger: Resident
    ) -> None:
        assert await cars.people_of_car(plate_hash=stranger.plate_hash, at=NOW) == [stranger.account_id]
        assert await cars.people_of_car(plate_hash=bytes(32), at=NOW) == []
        bob = await accounts.ensure_account(phone=BOB.phone, now=NOW)
        await db.execute(
            "INSERT INTO agreement_driver (id, agreement_id, account_id, name_cipher, phone_cipher, added_at, added_by)"
            " VALUES (gen_random_uuid(), $1, $2, '', '', $3, $4)",
            scene.alice.agreement_id,
            bob,
            NOW,
            scene.alice.account_id,
        )
        people = await cars.people_of_car(plate_hash=scene.alice.plate_hash, at=NOW)
        assert people == [scene.alice.account_id, bob]
