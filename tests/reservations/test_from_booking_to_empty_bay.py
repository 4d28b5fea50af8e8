"""The whole way of a booked car, in the devices' own words: approach, lock down, charge, leave, lock up."""

from datetime import datetime, timedelta
from typing import Any

from backend.core import db
from backend.core.services import Services
from backend.reservations.service import bookings
from backend.stations.service import DeviceView
from tests.factories.bays import command_names, commands_of
from tests.factories.charging import add_charging_scene, answer, begin, report, sample
from tests.factories.reservations import Scene, book
from tests.factories.stations import Gun
from tests.factories.telemetry import say
from tests.jobs import run_due_jobs

MINUTE = timedelta(minutes=1)
SECOND = timedelta(seconds=1)


async def lock_obeys(gun: Gun, *, now: datetime, position: str, car: bool) -> None:
    """Let the lock answer its last command and say where it is."""
    assert gun.lock is not None
    command = (await commands_of(gun))[-1]
    await db.execute("UPDATE command SET status = 'sent', sent_at = $2 WHERE id = $1", command["id"], now)
    await say(gun.lock, "ack", now=now, cmd_id=str(command["id"]), ok=True)
    await say(gun.lock, "state", now=now, position=position, car_present=car)


async def status_of(scene: Scene, booking_id: Any) -> str:
    view = await bookings.get_reservation(account_id=scene.alice.account_id, reservation_id=booking_id)
    return view.status


class TestABookedCar:
    async def test_finds_its_bay_open_charges_leaves_and_the_lock_rises(
        self, database: Any, services: Services, now: datetime
    ) -> None:
        scene = await add_charging_scene(now=now)
        gun, camera = scene.place.ac, scene.place.approach_camera
        assert gun.lock is not None
        lock: DeviceView = gun.lock
        await say(lock, "state", now=now, position="up", car_present=False)
        await run_due_jobs(now=now, services=services)
        booked = await book(scene.alice, scene.place, now=now, starts_at=now + 15 * MINUTE)

        at = now + 10 * MINUTE  # five minutes early
        await say(camera, "event", now=at, code="plate_read", lane="in", plate="京A·D10001")
        await run_due_jobs(now=at, services=services)
        assert await status_of(scene, booked.id) == "checked_in"
        assert await command_names(gun) == ["lower"]
        await lock_obeys(gun, now=at + 2 * SECOND, position="down", car=False)
        await run_due_jobs(now=at + 2 * SECOND, services=services)

        at += MINUTE
        await say(lock, "state", now=at, position="down", car_present=True)
        await run_due_jobs(now=at, services=services)
        session = await begin(scene.alice, gun, now=at + MINUTE)
        assert session.claim_id == booked.claim_id
        await answer(gun, "start", now=at + MINUTE)
        await report(gun, "session_started", now=at + MINUTE, session=session, meter_wh=1_000_000)
        await sample(gun, now=at + MINUTE, meter_wh=1_000_000)
        await run_due_jobs(now=at + MINUTE, services=services)
        assert await status_of(scene, booked.id) == "fulfilled"

        at += 20 * MINUTE
        await sample(gun, now=at - SECOND, meter_wh=1_002_000)
        await report(gun, "session_ended", now=at, session=session, meter_wh=1_002_000, reason="target")
        await sample(gun, now=at + SECOND, meter_wh=1_002_000, status="finishing", power_w=0)
        await run_due_jobs(now=at + SECOND, services=services)
        await report(gun, "unplugged", now=at + MINUTE)
        await say(lock, "state", now=at + 2 * MINUTE, position="down", car_present=False)
        await run_due_jobs(now=at + 2 * MINUTE, services=services)
        assert "raise" not in await command_names(gun)
        await run_due_jobs(now=at + 5 * MINUTE, services=services)
        assert (await command_names(gun))[-1] == "raise"

        (wait,) = await db.fetch("SELECT user_class, wait_s FROM wait")
        assert tuple(wait) == ("booking", 0)
        held = await db.fetch("SELECT held_until FROM connector_claim WHERE connector_id = $1", gun.connector.id)
        assert all(row["held_until"] <= at + 3 * MINUTE for row in held)
        assert await db.fetchval("SELECT count(*) FROM reservation WHERE counts_as_no_show") == 0
