"""Claims: one holder at a time, one place per car, gaps that are given back, walk-ups that end before the next
claim.
"""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from backend.core import db
from backend.core.errors import NotFound
from backend.core.ids import new_id
from backend.reservations.rules.words import ClaimKind
from backend.reservations.service import claims
from backend.reservations.service.claims import AgreementNeeded, ConnectorTaken, TooLittleTimeLeft, VehicleElsewhere
from backend.stations.service import build
from tests.factories.bays import camera_says
from tests.factories.reservations import Scene, add_scene, book
from tests.factories.stations import Gun
from tests.jobs import run_due_jobs

MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)


@pytest.fixture
async def scene(database: Any) -> Scene:
    return await add_scene()


@pytest.fixture
def gun(scene: Scene) -> Gun:
    return scene.place.ac


async def hold(
    gun: Gun, plate: int, starts_at: datetime, minutes: int, *, now: datetime, kind: ClaimKind = "walk_up"
) -> UUID:
    return await claims.claim(
        connector_id=gun.connector.id,
        plate_hash=bytes([plate]) * 32,
        starts_at=starts_at,
        ends_at=starts_at + minutes * MINUTE,
        kind=kind,
        reference_id=None,
        now=now,
    )


class TestAClaim:
    async def test_keeps_others_off_the_connector_and_says_until_when(self, gun: Gun, now: datetime) -> None:
        await hold(gun, 1, now, 60, now=now)
        with pytest.raises(ConnectorTaken) as refused:
            await hold(gun, 2, now + 30 * MINUTE, 60, now=now)
        assert refused.value.params["free_from"] == now + 70 * MINUTE
        assert await db.fetchval("SELECT count(*) FROM connector_claim") == 1

    async def test_keeps_a_car_from_being_in_two_places(self, scene: Scene, now: datetime) -> None:
        await hold(scene.place.ac, 1, now, 60, now=now)
        with pytest.raises(VehicleElsewhere):
            await hold(scene.place.dc, 1, now + 30 * MINUTE, 30, now=now)
        await hold(scene.place.dc, 1, now + 60 * MINUTE, 30, now=now)

    async def test_holds_the_bay_for_both_connectors_that_reach_it(self, scene: Scene, now: datetime) -> None:
        both = [scene.place.ac.connector.id, scene.place.dc.connector.id]
        station_id = scene.place.station.id
        bay_id = await build.put_bay(station_id=station_id, code="SHARED", zone="resident", connector_ids=both)
        for gun, plate in ((scene.place.ac, 1), (scene.place.dc, 2)):
            await claims.claim(
                connector_id=gun.connector.id,
                plate_hash=bytes([plate]) * 32,
                starts_at=now + plate * HOUR,
                ends_at=now + plate * HOUR + 30 * MINUTE,
                kind="walk_up",
                reference_id=None,
                now=now,
                bay_id=bay_id,
            )
        with pytest.raises(ConnectorTaken):
            await claims.claim(
                connector_id=scene.place.dc.connector.id,
                plate_hash=b"z" * 32,
                starts_at=now + HOUR,
                ends_at=now + HOUR + 30 * MINUTE,
                kind="walk_up",
                reference_id=None,
                now=now,
                bay_id=bay_id,
            )

    async def test_that_starts_now_takes_over_the_gap_of_a_car_that_has_left(self, gun: Gun, now: datetime) -> None:
        first = await hold(gun, 1, now, 30, now=now)
        await claims.shorten_claim(claim_id=first, ends_at=now + 10 * MINUTE)
        await hold(gun, 2, now + 12 * MINUTE, 30, now=now + 12 * MINUTE)
        earlier = await claims.find_claim(claim_id=first)
        assert earlier is not None
        assert earlier.held_until == now + 12 * MINUTE

    async def test_takes_over_the_offer_made_to_the_same_car(self, gun: Gun, now: datetime) -> None:
        offer = await hold(gun, 1, now, 2, now=now, kind="offer")
        with pytest.raises(ConnectorTaken):
            await hold(gun, 2, now, 60, now=now)
        await hold(gun, 1, now + MINUTE, 60, now=now + MINUTE)
        assert await claims.find_claim(claim_id=offer) is None

    async def test_refused_leaves_the_callers_transaction_usable(self, gun: Gun, now: datetime) -> None:
        await hold(gun, 1, now, 60, now=now)
        async with db.transaction():
            with pytest.raises(ConnectorTaken):
                await hold(gun, 2, now, 60, now=now)
            assert await db.fetchval("SELECT 1") == 1

    async def test_cannot_be_made_by_sql_that_forgets_the_rules(self, gun: Gun, now: datetime) -> None:
        await hold(gun, 1, now, 60, now=now)
        with pytest.raises(Exception, match="connector_claim_one_holder"):
            async with db.transaction():
                await db.execute(
                    "INSERT INTO connector_claim (id, connector_id, station_id, kind, starts_at, ends_at, held_until,"
                    " created_at) VALUES ($1, $2, $3, 'maintenance', $4, $5, $5, $4)",
                    new_id(),
                    gun.connector.id,
                    gun.connector.station_id,
                    now,
                    now + HOUR,
                )


class TestTheEndOfAClaim:
    async def test_moves_earlier_with_its_gap(self, gun: Gun, now: datetime) -> None:
        claim_id = await hold(gun, 1, now, 60, now=now)
        await claims.shorten_claim(claim_id=claim_id, ends_at=now + 20 * MINUTE)
        claim = await claims.find_claim(claim_id=claim_id)
        assert claim is not None
        assert (claim.ends_at, claim.held_until) == (now + 20 * MINUTE, now + 30 * MINUTE)

    async def test_before_its_start_deletes_it(self, gun: Gun, now: datetime) -> None:
        claim_id = await hold(gun, 1, now + HOUR, 60, now=now, kind="booking")
        await claims.shorten_claim(claim_id=claim_id, ends_at=now)
        assert await claims.find_claim(claim_id=claim_id) is None

    async def test_moves_later_while_nobody_comes_after(self, gun: Gun, now: datetime) -> None:
        claim_id = await hold(gun, 1, now, 60, now=now)
        moved = await claims.extend_claim(claim_id=claim_id, ends_at=now + 90 * MINUTE, now=now)
        assert (moved.id, moved.held_until) == (claim_id, now + 100 * MINUTE)

    async def test_does_not_move_into_the_next_claim_and_stays_as_it_was(self, gun: Gun, now: datetime) -> None:
        claim_id = await hold(gun, 1, now, 60, now=now)
        await hold(gun, 2, now + 80 * MINUTE, 30, now=now)
        before = await claims.find_claim(claim_id=claim_id)
        with pytest.raises(ConnectorTaken):
            await claims.extend_claim(claim_id=claim_id, ends_at=now + 75 * MINUTE, now=now)
        assert await claims.find_claim(claim_id=claim_id) == before

    async def test_gives_its_gap_back_when_the_bay_is_seen_empty(self, scene: Scene, gun: Gun, now: datetime) -> None:
        camera = scene.place.bay_camera
        claim_id = await hold(gun, 1, now, 30, now=now)
        await camera_says(gun, "bay_occupied", now=now, camera=camera)
        await camera_says(gun, "bay_free", now=now + 32 * MINUTE, camera=camera)
        await run_due_jobs(now=now + 32 * MINUTE, only="reservations.")
        claim = await claims.find_claim(claim_id=claim_id)
        assert claim is not None
        assert claim.held_until == now + 32 * MINUTE

    async def test_in_the_night_lasts_until_the_morning(self, gun: Gun, now: datetime) -> None:
        night = now + 13 * HOUR  # 23:00 in Beijing
        claim_id = await hold(gun, 1, night, 60, now=now)
        claim = await claims.find_claim(claim_id=claim_id)
        assert claim is not None
        assert claim.held_until == now + 21 * HOUR + 10 * MINUTE


class TestAWalkUp:
    async def until(self, gun: Gun, now: datetime, *, has_agreement: bool = True) -> float:
        end = await claims.walk_up_until(connector_id=gun.connector.id, has_agreement=has_agreement, now=now)
        return (end - now) / MINUTE

    async def test_may_stay_as_long_as_a_slot_where_nobody_follows(self, scene: Scene, now: datetime) -> None:
        assert await self.until(scene.place.ac, now) == 8 * 60
        assert await self.until(scene.place.dc, now) == 2 * 60

    async def test_ends_before_the_next_claim_and_its_gap(self, scene: Scene, gun: Gun, now: datetime) -> None:
        await book(scene.bob, scene.place, now=now, starts_at=now + HOUR)
        assert await self.until(gun, now) == 50

    async def test_is_refused_when_too_little_time_is_left(self, scene: Scene, gun: Gun, now: datetime) -> None:
        await book(scene.bob, scene.place, now=now, starts_at=now + 30 * MINUTE)
        with pytest.raises(TooLittleTimeLeft):
            await self.until(gun, now)

    async def test_is_refused_while_somebody_is_there(self, gun: Gun, now: datetime) -> None:
        await hold(gun, 1, now, 60, now=now)
        with pytest.raises(ConnectorTaken):
            await self.until(gun, now)

    async def test_in_the_resident_zone_needs_an_agreement(self, scene: Scene, gun: Gun, now: datetime) -> None:
        with pytest.raises(AgreementNeeded):
            await self.until(gun, now, has_agreement=False)
        assert await self.until(scene.place.public, now, has_agreement=False) == 8 * 60


class TestPlatesThatMayStandInABay:
    async def test_are_those_of_its_claims_from_check_in_to_the_end_of_the_gap(
        self, scene: Scene, gun: Gun, now: datetime
    ) -> None:
        booked = await book(scene.alice, scene.place, now=now, starts_at=now + HOUR)

        async def expected(at: datetime) -> set[bytes]:
            return set(await claims.expected_plate_hashes(bay_id=gun.bay.id, at=at))

        assert await expected(booked.starts_at - 16 * MINUTE) == set()
        assert await expected(booked.starts_at - 15 * MINUTE) == {scene.alice.plate_hash}
        assert await expected(booked.ends_at + 9 * MINUTE) == {scene.alice.plate_hash}
        assert await expected(booked.ends_at + 10 * MINUTE) == set()

    async def test_of_another_bay_are_not(self, scene: Scene, now: datetime) -> None:
        booked = await book(scene.alice, scene.place, now=now, starts_at=now + HOUR)
        found = await claims.expected_plate_hashes(bay_id=scene.place.dc.bay.id, at=booked.starts_at)
        assert found == frozenset()

    async def test_are_nobodys_in_a_bay_that_does_not_exist(self, scene: Scene, now: datetime) -> None:
        with pytest.raises(NotFound):
            await claims.expected_plate_hashes(bay_id=new_id(), at=now)
