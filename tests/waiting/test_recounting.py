"""Waits recounted from the devices' own messages: they equal the stored ones, and a wrong one is found."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from backend.core import db
from backend.reservations.service import claims
from backend.waiting.rules.recount import Case, Gun, Plug, Seen, arrival_of, is_empty, recount, verdict
from backend.waiting.service import recounting
from backend.waiting.service.recounting import Recounted
from tests.factories.charging import add_charging_scene, answer, begin, idle, report, sample
from tests.factories.reservations import Resident, Scene, book
from tests.factories.stations import Gun as StationGun
from tests.factories.telemetry import say
from tests.jobs import run_due_jobs

MINUTE = timedelta(minutes=1)
SECOND = timedelta(seconds=1)
T = datetime.fromisoformat("2026-06-10T10:00:00+08:00")
OWN, OTHER = b"own", b"other"
BAY, CONNECTOR = UUID(int=1), UUID(int=2)


@pytest.fixture
async def scene(database: Any, now: datetime) -> Scene:
    return await add_charging_scene(now=now)


async def heard(*, now: datetime) -> None:
    """Let the features hear what the devices said; nothing is sent to anybody's phone."""
    ran = True
    while ran:
        ran = False
        for feature in ("telemetry", "bays", "charging", "reservations", "waiting"):
            ran = bool(await run_due_jobs(now=now, only=f"{feature}.")) or ran


async def arrives(scene: Scene, resident: Resident, *, now: datetime) -> None:
    """The approach camera reads the plate, in its own words."""
    camera = scene.place.approach_camera
    await say(camera, "event", now=now, code="plate_read", lane=camera.lane, plate=resident.vehicle.plate)
    await heard(now=now)


async def in_bay(scene: Scene, gun: StationGun, resident: Resident | None, *, now: datetime) -> None:
    """The bay camera sees a car, or an empty bay."""
    words = {"code": "bay_free"} if resident is None else {"code": "bay_occupied", "plate": resident.vehicle.plate}
    await say(scene.place.bay_camera, "event", now=now, bay=gun.bay.code, **words)
    await heard(now=now)


async def charges(gun: StationGun, resident: Resident, *, now: datetime) -> None:
    """A resident plugs in and starts; the charger tells of both."""
    await report(gun, "plugged", now=now)
    session = await begin(resident, gun, now=now)
    await answer(gun, "start", now=now + SECOND)
    await report(gun, "session_started", now=now + 2 * SECOND, session=session, meter_wh=1_000_000)
    await sample(gun, now=now + 3 * SECOND, meter_wh=1_000_010)
    await heard(now=now + 3 * SECOND)


async def leaves(scene: Scene, gun: StationGun, *, now: datetime) -> None:
    """The car in a bay ends its charge and drives away."""
    (session,) = await db.fetch(
        "SELECT id FROM charging_session WHERE connector_id = $1 AND status = 'charging'", gun.connector.id
    )
    fields = {"session_id": str(session["id"]), "meter_wh": 1_005_000, "reason": "target"}
    await say(gun.charger, "event", now=now, code="session_ended", connector=1, **fields)
    await report(gun, "unplugged", now=now + SECOND)
    await idle(gun, now=now + 2 * SECOND, meter_wh=1_005_000)
    await heard(now=now + 2 * SECOND)
    await in_bay(scene, gun, None, now=now + 3 * SECOND)


async def recounted(scene: Scene, now: datetime) -> list[Recounted]:
    return await recounting.recount_waits(
        station_id=scene.place.station.id, since=now - timedelta(days=1), until=now + timedelta(days=1)
    )


class TestStoredWaits:
    async def test_equal_what_cameras_and_chargers_say(self, scene: Scene, now: datetime) -> None:
        """A resident who finds a free gun, one whose booked gun is left late, and one who waits for any gun."""
        ac, dc = scene.place.ac, scene.place.dc
        await arrives(scene, scene.alice, now=now)
        await in_bay(scene, dc, scene.alice, now=now + MINUTE)
        await charges(dc, scene.alice, now=now + 2 * MINUTE)
        booked = await book(scene.bob, scene.place, now=now, starts_at=now + 60 * MINUTE, minutes=60)
        assert booked.connector_id == ac.connector.id
        await in_bay(scene, ac, scene.charlie, now=now + 50 * MINUTE)
        for gun, number in ((scene.place.public, 1),):
            await claims.claim(
                connector_id=gun.connector.id,
                plate_hash=bytes([number]) * 32,
                starts_at=now,
                ends_at=now + 180 * MINUTE,
                kind="walk_up",
                reference_id=None,
                now=now,
            )
        await arrives(scene, scene.bob, now=now + 61 * MINUTE)
        await in_bay(scene, ac, None, now=now + 68 * MINUTE)
        await in_bay(scene, ac, scene.bob, now=now + 69 * MINUTE)
        await charges(ac, scene.bob, now=now + 70 * MINUTE)
        found = await recounted(scene, now)
        assert [(one.user_class, one.stored_s, one.verdict) for one in found] == [
            ("agreement", 0, "equal"),
            ("booking", 7 * 60, "equal"),
        ]
        assert [one.recounted_s for one in found] == [0, 7 * 60]

    async def test_of_a_car_that_waits_for_any_gun_last_until_its_own_plug(
        self, scene: Scene, now: datetime, also_before: int = 0
    ) -> None:
        guns = (scene.place.ac, scene.place.dc, scene.place.public)
        for number, gun in enumerate(guns):
            await claims.claim(
                connector_id=gun.connector.id,
                plate_hash=bytes([number]) * 32,
                starts_at=now,
                ends_at=now + 30 * MINUTE,
                kind="walk_up",
                reference_id=None,
                now=now,
            )
            await report(gun, "plugged", now=now)
            await sample(gun, now=now, meter_wh=1_000_000)
        await heard(now=now)
        await arrives(scene, scene.alice, now=now + 5 * MINUTE)
        await report(scene.place.ac, "unplugged", now=now + 30 * MINUTE)
        await idle(scene.place.ac, now=now + 30 * MINUTE)
        await heard(now=now + 30 * MINUTE)
        await charges(scene.place.ac, scene.alice, now=now + 41 * MINUTE)
        (found,) = await recounted(scene, now)
        again = (36 + also_before) * 60
        assert (found.stored_s, found.recounted_s) == (36 * 60, again)
        assert found.verdict == ("differs" if also_before else "equal")

    async def test_that_are_too_short_are_found(self, scene: Scene, now: datetime) -> None:
        """The service never heard of the first sighting; a stored wait itself can be changed by nobody."""
        camera = scene.place.approach_camera
        words = {"code": "plate_read", "lane": camera.lane, "plate": scene.alice.vehicle.plate}
        await say(camera, "event", now=now - 15 * MINUTE, **words)
        await db.execute("DELETE FROM pgqueuer")
        await self.test_of_a_car_that_waits_for_any_gun_last_until_its_own_plug(scene, now, also_before=20)

    async def test_without_a_camera_have_no_evidence(self, scene: Scene, now: datetime) -> None:
        await charges(scene.place.ac, scene.alice, now=now)
        (found,) = await recounted(scene, now)
        assert (found.stored_s, found.recounted_s, found.verdict) == (0, None, "no evidence")


class TestRecount:
    def case(self, *, slot: datetime | None = None, usable: int = 60) -> Case:
        gun = Gun(CONNECTOR, (BAY,))
        return Case(OWN, T + usable * MINUTE, CONNECTOR, slot, (gun,), 30 * MINUTE)

    def test_begins_with_the_slot_for_one_who_came_early(self) -> None:
        seen = [Seen(T - 60 * MINUTE, OTHER, BAY), Seen(T, OWN), Seen(T + 12 * MINUTE, None, BAY)]
        assert recount(self.case(slot=T + 10 * MINUTE), seen=seen, plugs=[], held=[]) == 120

    def test_takes_the_last_visit(self) -> None:
        seen = [Seen(T - 100 * MINUTE, OWN), Seen(T, OWN), Seen(T + 20 * MINUTE, OWN)]
        assert arrival_of(OWN, before=T + 30 * MINUTE, seen=seen) == T
        assert arrival_of(OTHER, before=T, seen=seen) is None

    def test_a_gun_is_empty_unless_plugged_or_its_bay_has_another_car(self) -> None:
        gun = Gun(CONNECTOR, (BAY,))
        assert is_empty(gun, T, OWN, [], [])
        assert not is_empty(gun, T, OWN, [], [Plug(T, CONNECTOR, True)])
        assert is_empty(gun, T, OWN, [], [Plug(T - MINUTE, CONNECTOR, True), Plug(T, CONNECTOR, False)])
        assert not is_empty(gun, T, OWN, [Seen(T, OTHER, BAY)], [])
        assert is_empty(gun, T, OWN, [Seen(T, OWN, BAY)], [])
        assert is_empty(Gun(CONNECTOR, (BAY, UUID(int=9))), T, OWN, [Seen(T, OTHER, BAY)], [])

    @pytest.mark.parametrize(
        ("stored", "again", "says"), [(0, 60, "equal"), (0, 61, "differs"), (300, None, "no evidence")]
    )
    def test_compares_within_a_minute(self, stored: int, again: int | None, says: str) -> None:
        assert verdict(stored, again) == says
