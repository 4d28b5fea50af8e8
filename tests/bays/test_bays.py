"""Locks and bays through the database: commands, timers, occupancy, safety log."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from backend.bays import service as bays
from backend.bays import store
from backend.core import db
from backend.core.ids import new_id
from backend.stations import service as stations
from tests.factories.bays import (
    camera_says,
    command_names,
    commands_of,
    events_named,
    lock_answers,
    lock_complains,
    lock_goes_silent,
    lock_is_mute,
    lock_says,
)
from tests.factories.stations import DemoStation, Gun, add_demo_station, add_gun
from tests.jobs import run_due_jobs

MINUTE = timedelta(minutes=1)


@pytest.fixture
async def place(database: Any) -> DemoStation:
    return await add_demo_station()


@pytest.fixture
def gun(place: DemoStation) -> Gun:
    return place.ac


async def entries(gun: Gun) -> list[str]:
    rows = await db.fetch("SELECT entry FROM lock_log WHERE bay_id = $1 ORDER BY id", gun.bay.id)
    return [row["entry"] for row in rows]


class TestLoweringALock:
    async def test_sends_the_command_and_writes_the_log(self, gun: Gun, now: datetime) -> None:
        await lock_says(gun, now=now, position="up")
        assert await bays.lower_lock(bay_id=gun.bay.id, reason="check-in", actor="reservations", now=now)
        assert await command_names(gun) == ["lower"]
        assert "lower" in await entries(gun)

    async def test_is_repeated_until_it_is_reported_as_failed(self, gun: Gun, now: datetime) -> None:
        await lock_says(gun, now=now, position="up")
        await bays.lower_lock(bay_id=gun.bay.id, reason="check-in", actor="reservations", now=now)
        for _ in range(3):
            await lock_is_mute(gun, now=now)
        assert await command_names(gun) == ["lower"] * 3
        assert [event["error"] for event in await events_named("LockFailed")] == ["down: no_answer"]

    async def test_ends_with_the_answer(self, gun: Gun, now: datetime) -> None:
        await lock_says(gun, now=now, position="up")
        await bays.lower_lock(bay_id=gun.bay.id, reason="check-in", actor="reservations", now=now)
        await lock_answers(gun, now=now)
        occupancy = await bays.get_occupancy(bay_id=gun.bay.id)
        assert occupancy.lock_position == "down"

    async def test_of_a_bay_without_a_lock_says_so(self, place: DemoStation, now: datetime) -> None:
        bare = await add_gun(station_id=place.station.id, with_lock=False)
        assert not await bays.lower_lock(bay_id=bare.bay.id, reason="check-in", actor="reservations", now=now)

    async def test_of_a_whole_station_opens_every_bay(self, place: DemoStation, now: datetime) -> None:
        assert await bays.lower_all(station_id=place.station.id, reason="smoke", now=now) == 3
        for gun in (place.ac, place.dc, place.public):
            assert await command_names(gun) == ["lower"]


class TestRaisingALock:
    async def occupy_and_leave(self, gun: Gun, now: datetime) -> None:
        await lock_says(gun, now=now, car=True)
        await lock_says(gun, now=now, car=False)

    async def test_happens_three_minutes_after_the_bay_is_empty(self, gun: Gun, now: datetime) -> None:
        await self.occupy_and_leave(gun, now)
        await run_due_jobs(now=now + 2 * MINUTE, only="bays.")
        assert await command_names(gun) == []
        await run_due_jobs(now=now + 3 * MINUTE, only="bays.")
        assert await command_names(gun) == ["raise"]

    async def test_waits_as_long_as_the_station_says(self, database: Any, now: datetime) -> None:
        place = await add_demo_station(settings=stations.StationSettings(lock_raise_delay_s=4))
        await self.occupy_and_leave(place.ac, now)
        await run_due_jobs(now=now + timedelta(seconds=4), only="bays.")
        assert await command_names(place.ac) == ["raise"]

    async def test_never_happens_under_a_safety_hold(self, place: DemoStation, gun: Gun, now: datetime) -> None:
        await self.occupy_and_leave(gun, now)
        incident = new_id()
        await stations.set_safety_hold(station_id=place.station.id, incident_id=incident, now=now)
        await run_due_jobs(now=now + 10 * MINUTE, only="bays.")
        assert await command_names(gun) == []
        assert "raise_blocked" in await entries(gun)

    async def test_happens_after_the_hold_was_lifted(self, place: DemoStation, gun: Gun, now: datetime) -> None:
        await self.test_never_happens_under_a_safety_hold(place, gun, now)
        later = now + 20 * MINUTE
        rows = await db.fetch("SELECT incident_id FROM safety_hold")
        await stations.lift_safety_hold(
            station_id=place.station.id, incident_id=rows[0]["incident_id"], actor_id=None, now=later
        )
        await bays.raise_all(station_id=place.station.id, reason="incident resolved", now=later, actor="alerts")
        await run_due_jobs(now=later, only="bays.")
        assert await command_names(gun) == ["raise"]

    @pytest.mark.parametrize("what", ["car", "unknown", "silent", "camera"])
    async def test_never_happens_when_the_bay_is_not_known_to_be_empty(
        self, place: DemoStation, gun: Gun, now: datetime, what: str
    ) -> None:
        await self.occupy_and_leave(gun, now)
        if what == "car":
            await lock_says(gun, now=now + MINUTE, car=True)
        elif what == "unknown":
            await lock_says(gun, now=now + MINUTE, car=None)
        elif what == "silent":
            await lock_goes_silent(gun, now=now + MINUTE)
        else:
            await camera_says(gun, "bay_occupied", now=now + MINUTE, camera=place.bay_camera)
        await run_due_jobs(now=now + 30 * MINUTE, only="bays.")
        assert await command_names(gun) == []

    async def test_is_turned_round_by_a_car(self, gun: Gun, now: datetime) -> None:
        await self.occupy_and_leave(gun, now)
        await run_due_jobs(now=now + 3 * MINUTE, only="bays.")
        await lock_says(gun, now=now + 3 * MINUTE, car=True)
        assert await command_names(gun) == ["raise", "lower"]

    async def test_refused_by_the_lock_is_not_repeated(self, gun: Gun, now: datetime) -> None:
        await self.occupy_and_leave(gun, now)
        await run_due_jobs(now=now + 3 * MINUTE, only="bays.")
        await lock_answers(gun, now=now + 3 * MINUTE, ok=False, error="car")
        await lock_complains(gun, "refused_car", now=now + 3 * MINUTE)
        await run_due_jobs(now=now + 60 * MINUTE, only="bays.")
        assert await command_names(gun) == ["raise"]

    async def test_waits_for_the_car_that_is_expected(self, gun: Gun, now: datetime) -> None:
        await lock_says(gun, now=now, position="up")
        await bays.lower_lock(
            bay_id=gun.bay.id, reason="check-in", actor="reservations", now=now, keep_down_until=now + 15 * MINUTE
        )
        await lock_answers(gun, now=now)
        await run_due_jobs(now=now + 14 * MINUTE, only="bays.")
        assert await command_names(gun) == ["lower"]
        await run_due_jobs(now=now + 15 * MINUTE, only="bays.")
        assert await command_names(gun) == ["lower", "raise"]

    async def test_reads_the_newest_report_that_no_event_has_told_yet(self, gun: Gun, now: datetime) -> None:
        await self.occupy_and_leave(gun, now)
        assert gun.lock is not None
        await db.execute(
            "INSERT INTO device_state (device_id, station_id, kind, code, boot, seq, boot_first_seq, boot_received,"
            " lost_before, online, last_seen_at, state)"
            " VALUES ($1, $2, 'lock', $3, 1, 1, 0, 2, 0, true, $4, $5::jsonb)",
            gun.lock.id,
            gun.lock.station_id,
            gun.lock.code,
            now,
            '{"position": "down", "car_present": true}',
        )
        await run_due_jobs(now=now + 10 * MINUTE, only="bays.")
        assert await command_names(gun) == []


class TestOccupancy:
    async def test_is_unknown_until_a_device_speaks(self, place: DemoStation, gun: Gun) -> None:
        occupancy = await bays.bay_occupancy(station_id=place.station.id)
        assert {view.state for view in occupancy.values()} == {"unknown"}
        assert len(occupancy) == 3

    async def test_is_told_once_when_a_car_comes_and_once_when_it_leaves(
        self, place: DemoStation, gun: Gun, now: datetime
    ) -> None:
        await lock_says(gun, now=now, car=True)
        await lock_says(gun, now=now, car=True)
        await camera_says(gun, "bay_occupied", now=now, camera=place.bay_camera, energy_type="unknown")
        assert len(await events_named("BayOccupied")) == 1
        await lock_says(gun, now=now + MINUTE, car=False)
        assert await events_named("BayFreed") == []
        await camera_says(gun, "bay_free", now=now + MINUTE, camera=place.bay_camera)
        assert len(await events_named("BayFreed")) == 1
        changes = await db.fetch(
            "SELECT previous, state FROM bay_state_change WHERE bay_id = $1 ORDER BY id", gun.bay.id
        )
        assert [tuple(row) for row in changes] == [("unknown", "occupied"), ("occupied", "free")]

    async def test_is_told_again_when_the_plate_is_read(self, place: DemoStation, gun: Gun, now: datetime) -> None:
        await lock_says(gun, now=now, car=True)
        await camera_says(gun, "bay_occupied", now=now, camera=place.bay_camera, plate_hash=b"p" * 32)
        told = await events_named("BayOccupied")
        assert [event["plate_hash"] is None for event in told] == [True, False]
        assert (await bays.get_occupancy(bay_id=gun.bay.id)).plate_hash == b"p" * 32

    async def test_is_told_again_when_an_unread_car_turns_out_to_burn_fuel(
        self, place: DemoStation, gun: Gun, now: datetime
    ) -> None:
        await lock_says(gun, now=now, car=True)
        for _ in range(2):
            await camera_says(gun, "bay_occupied", now=now, camera=place.bay_camera, energy_type="fuel")
        assert [event["energy_type"] for event in await events_named("BayOccupied")] == ["unknown", "fuel"]

    async def test_ignores_a_report_that_comes_after_a_newer_one(self, gun: Gun, now: datetime) -> None:
        await lock_says(gun, now=now + MINUTE, car=True)
        await lock_says(gun, now=now, car=False)
        assert (await bays.get_occupancy(bay_id=gun.bay.id)).state == "occupied"

    async def test_forgets_plates_after_thirty_days(self, place: DemoStation, gun: Gun, now: datetime) -> None:
        await camera_says(gun, "bay_occupied", now=now, camera=place.bay_camera, plate_hash=b"p" * 32)
        await camera_says(gun, "bay_free", now=now, camera=place.bay_camera)
        assert await store.list_changes_of_plate([b"p" * 32])
        await store.forget_plates(now + timedelta(days=1))
        assert not await store.list_changes_of_plate([b"p" * 32])


class TestTheSafetyLog:
    async def test_says_what_was_known_at_each_step(self, gun: Gun, now: datetime) -> None:
        await lock_says(gun, now=now, car=True)
        await lock_says(gun, now=now, car=False)
        await run_due_jobs(now=now + 3 * MINUTE, only="bays.")
        await lock_answers(gun, now=now + 3 * MINUTE)
        log = await store.list_log(gun.bay.id, now)
        raised = next(known for _, entry, _, _, known in log if entry == "raise")
        assert (raised["car"], raised["online"], raised["position"]) == (False, True, "down")
        assert [entry for _, entry, _, _, _ in log] == ["state", "state", "raise", "acknowledged", "state"]

    async def test_cannot_be_rewritten_by_the_service(self, gun: Gun, now: datetime) -> None:
        await bays.lower_lock(bay_id=gun.bay.id, reason="check-in", actor="reservations", now=now)
        with pytest.raises(Exception, match="permission denied"):
            async with db.transaction():
                await db.execute("DELETE FROM lock_log")

    async def test_has_a_row_for_each_command(self, gun: Gun, now: datetime) -> None:
        await bays.lower_lock(bay_id=gun.bay.id, reason="check-in", actor="reservations", now=now)
        assert len(await commands_of(gun)) == (await entries(gun)).count("lower")
