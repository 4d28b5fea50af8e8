"""Cars where they should not be, silent devices, and locks that do not obey."""

from datetime import UTC, datetime, timedelta

import pytest

from backend.alerts.rules.blocked import why_blocked
from backend.bays.events import BayFreed, BayOccupied, LockFailed
from backend.core import db, jobs
from backend.core.services import Services
from backend.telemetry.events import DeviceCameBack, DeviceWentSilent
from tests.cast import WANG
from tests.factories.accounts import add_person
from tests.factories.alerts import add_watched_scene, messages_to, open_codes, tasks_at
from tests.factories.bays import camera_says
from tests.factories.charging import begin
from tests.factories.reservations import Scene, book
from tests.jobs import run_due_jobs

NOW = datetime(2026, 6, 10, 4, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
SECOND = timedelta(seconds=1)
STRANGER = b"s" * 32

pytestmark = pytest.mark.usefixtures("database")


async def tell(event: jobs.Event, *, now: datetime, services: Services) -> None:
    """Emit an event and let everybody react."""
    async with db.transaction():
        await jobs.emit(event, now=now)
    await run_due_jobs(now=now, services=services)


async def park(
    scene: Scene, plate_hash: bytes | None, *, now: datetime, services: Services, energy: str = "nev"
) -> None:
    """Let a car be seen in the AC bay of the resident zone."""
    gun = scene.place.ac
    if energy != "fuel":
        await camera_says(gun, "bay_occupied", now=now, camera=scene.place.bay_camera, plate_hash=plate_hash)
        await run_due_jobs(now=now, services=services)
        return
    event = BayOccupied(
        bay_id=gun.bay.id, station_id=scene.place.station.id, plate_hash=plate_hash, energy_type=energy, at=now
    )
    await tell(event, now=now, services=services)


class TestWhyBlocked:
    @pytest.mark.parametrize(
        ("zone", "plate", "energy", "expected", "charging", "reason"),
        [
            ("resident", b"a", "fuel", frozenset(), False, "fuel"),
            ("resident", b"a", "nev", frozenset(), False, "foreign"),
            ("resident", b"a", "fuel", frozenset({b"a"}), False, None),
            ("resident", b"a", "nev", frozenset({b"b"}), False, "foreign"),
            ("resident", None, "unknown", frozenset(), False, "unreadable"),
            ("resident", None, "unknown", frozenset({b"b"}), False, None),
            ("resident", None, "unknown", frozenset(), True, None),
            ("public", b"a", "fuel", frozenset(), False, None),
        ],
    )
    def test_matches_bookings_before_the_colour_of_the_plate(
        self,
        zone: str,
        plate: bytes | None,
        energy: str,
        expected: frozenset[bytes],
        charging: bool,
        reason: str | None,
    ) -> None:
        found = why_blocked(zone=zone, plate_hash=plate, energy_type=energy, expected=expected, charging_here=charging)
        assert found == reason


class TestABlockedBay:
    async def test_of_a_fuel_car_becomes_a_guards_task_after_three_minutes(self, services: Services) -> None:
        scene = await add_watched_scene(now=NOW)
        await park(scene, STRANGER, now=NOW, services=services, energy="fuel")
        await camera_says(scene.place.ac, "bay_occupied", now=NOW, camera=scene.place.bay_camera, plate_hash=STRANGER)
        await run_due_jobs(now=NOW + 179 * SECOND, services=services)
        assert await tasks_at(scene) == []
        await run_due_jobs(now=NOW + 181 * SECOND, services=services)
        (task,) = await tasks_at(scene)
        assert (task.kind, task.bay_id) == ("blocked_bay", scene.place.ac.bay.id)
        assert await messages_to(await add_person(WANG)) == ["task_assigned"]
        gone = BayFreed(bay_id=scene.place.ac.bay.id, station_id=scene.place.station.id, at=NOW + 5 * MINUTE)
        await tell(gone, now=NOW + 5 * MINUTE, services=services)
        assert (await open_codes(), (await tasks_at(scene))[0].status) == ([], "resolved")

    async def test_tells_a_known_owner_before_it_sends_a_guard(self, services: Services) -> None:
        scene = await add_watched_scene(now=NOW)
        await park(scene, scene.charlie.plate_hash, now=NOW, services=services)
        await run_due_jobs(now=NOW + 3 * MINUTE, services=services)
        assert (await messages_to(scene.charlie.account_id), await tasks_at(scene)) == (["move_your_car"], [])
        await run_due_jobs(now=NOW + 6 * MINUTE, services=services)
        assert [t.kind for t in await tasks_at(scene)] == ["blocked_bay"]

    async def test_is_none_for_the_car_that_booked_it(self, services: Services) -> None:
        scene = await add_watched_scene(now=NOW)
        connector_id = scene.place.ac.connector.id
        await book(scene.alice, scene.place, now=NOW, starts_at=NOW + 15 * MINUTE, connector_id=connector_id)
        await park(scene, scene.alice.plate_hash, now=NOW + 5 * MINUTE, services=services)
        await run_due_jobs(now=NOW + 10 * MINUTE, services=services)
        assert (await tasks_at(scene), await open_codes()) == ([], [])

    async def test_is_none_for_the_car_that_charges_there(self, services: Services) -> None:
        scene = await add_watched_scene(now=NOW)
        await begin(scene.alice, scene.place.ac, now=NOW)
        await park(scene, None, now=NOW + SECOND, services=services)
        assert await db.fetchval("SELECT count(*) FROM blocked_bay") == 0

    async def test_is_over_when_the_car_leaves_in_time(self, services: Services) -> None:
        scene = await add_watched_scene(now=NOW)
        await park(scene, STRANGER, now=NOW, services=services)
        await camera_says(scene.place.ac, "bay_free", now=NOW + MINUTE, camera=scene.place.bay_camera)
        await run_due_jobs(now=NOW + 10 * MINUTE, services=services)
        assert (await tasks_at(scene), await open_codes()) == ([], [])


class TestADevice:
    async def test_that_is_silent_is_an_alert_until_it_is_heard_again(self, services: Services) -> None:
        scene = await add_watched_scene(now=NOW)
        device = scene.place.smoke
        about = {"device_id": device.id, "device_code": device.code, "station_id": device.station_id, "kind": "smoke"}
        silent = DeviceWentSilent(**about, occurred_at=NOW, received_at=NOW, last_seen_at=None)
        await tell(silent, now=NOW, services=services)
        assert (await open_codes(), [t.kind for t in await tasks_at(scene)]) == (["device_silent"], ["device_silent"])
        back = DeviceCameBack(
            **about, occurred_at=NOW - timedelta(hours=1), received_at=NOW + MINUTE, since=NOW - MINUTE
        )
        await tell(back, now=NOW + MINUTE, services=services)
        assert (await open_codes(), (await tasks_at(scene))[0].status) == ([], "resolved")

    async def test_that_is_a_lock_and_does_not_obey_is_a_task(self, services: Services) -> None:
        scene = await add_watched_scene(now=NOW)
        failed = LockFailed(
            bay_id=scene.place.ac.bay.id, station_id=scene.place.station.id, error="down: no_answer", at=NOW
        )
        await tell(failed, now=NOW, services=services)
        assert [t.kind for t in await tasks_at(scene)] == ["lock_no_answer"]
