"""Limits per household: whom agreements bind together shares one number of open bookings."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
import pytest

from backend.accounts import service as accounts
from backend.agreements.service import households
from backend.core import crypto, db
from backend.core.ids import new_id
from backend.reservations.service import bookings
from backend.reservations.service.reserve import BookingIsSuspended, TooManyOpenBookings
from tests.factories.accounts import add_company
from tests.factories.charging import idle
from tests.factories.reservations import Resident, add_resident, book
from tests.factories.stations import DemoStation, add_demo_station, add_gun

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


async def name_driver(agreement_id: UUID | None, driver: Resident, now: datetime) -> None:
    await db.execute(
        "INSERT INTO agreement_driver (id, agreement_id, account_id, name_cipher, phone_cipher, added_at, added_by)"
        " VALUES ($1, $2, $3, $4, $4, $5, $3)",
        new_id(),
        agreement_id,
        driver.account_id,
        crypto.encrypt("somebody"),
        now,
    )


async def prove_residence(agreement_id: UUID | None, content: bytes, now: datetime) -> None:
    await db.execute(
        "INSERT INTO agreement_evidence (id, agreement_id, kind, sha256, store_key, media_type, size_bytes,"
        " uploaded_at) VALUES ($1, $2, 'residence', sha256($3), $4, 'application/pdf', 3, $5)",
        new_id(),
        agreement_id,
        content,
        new_id().hex,
        now,
    )


@pytest.fixture
async def company_id(database: Any) -> UUID:
    return await add_company()


@pytest.fixture
async def place(company_id: UUID, now: datetime) -> DemoStation:
    place = await add_demo_station(operator_company_id=company_id)
    for _ in range(2):
        await idle(await add_gun(station_id=place.station.id, kind="ac"), now=now)
    return place


async def family(company_id: UUID, count: int, community_id: UUID | None = None) -> list[Resident]:
    return [
        await add_resident(
            company_id=company_id, phone=f"1390000000{n}", plate=f"京AD3000{n}", community_id=community_id
        )
        for n in range(count)
    ]


class TestAHousehold:
    async def test_is_a_person_alone_where_nothing_binds_them(self, company_id: UUID, now: datetime) -> None:
        one, _ = await family(company_id, 2)
        assert await households.household_of(account_id=one.account_id, at=now) == {one.account_id}

    async def test_is_holder_and_drivers_through_any_number_of_cars(self, company_id: UUID, now: datetime) -> None:
        one, two, three = await family(company_id, 3)
        await name_driver(one.agreement_id, two, now)
        await name_driver(two.agreement_id, three, now)
        everybody = {person.account_id for person in (one, two, three)}
        for person in (one, two, three):
            assert await households.household_of(account_id=person.account_id, at=now) == everybody

    async def test_is_whoever_handed_in_one_proof_of_residence_for_one_compound(
        self, company_id: UUID, now: datetime
    ) -> None:
        one, two = await family(company_id, 2, community_id=new_id())
        (elsewhere,) = [await add_resident(company_id=company_id, phone="13900000009", plate="京AD30009")]
        for person in (one, two, elsewhere):
            await prove_residence(person.agreement_id, b"the same lease", now)
        assert await households.household_of(account_id=one.account_id, at=now) == {one.account_id, two.account_id}

    async def test_ends_with_the_agreement(self, company_id: UUID, now: datetime) -> None:
        one, two = await family(company_id, 2)
        await name_driver(one.agreement_id, two, now)
        assert await households.household_of(account_id=one.account_id, at=now + 400 * DAY) == {one.account_id}


class TestTheLimit:
    async def test_counts_the_whole_household(self, company_id: UUID, place: DemoStation, now: datetime) -> None:
        one, two, three = await family(company_id, 3)
        await name_driver(one.agreement_id, two, now)
        await name_driver(two.agreement_id, three, now)
        for person in (one, two):
            for hour in (1, 5):
                await book(person, place, now=now, starts_at=now + hour * HOUR)
        with pytest.raises(TooManyOpenBookings) as refused:
            await book(three, place, now=now, starts_at=now + 3 * HOUR)
        assert refused.value.params["limit"] == 4

    async def test_is_not_anothers(self, company_id: UUID, place: DemoStation, now: datetime) -> None:
        one, two, three = await family(company_id, 3)
        await name_driver(one.agreement_id, two, now)
        for person in (one, two):
            for hour in (1, 5):
                await book(person, place, now=now, starts_at=now + hour * HOUR)
        assert (await book(three, place, now=now, starts_at=now + 3 * HOUR)).status == "confirmed"


class TestASuspension:
    async def test_holds_for_every_driver_of_the_agreement(
        self, company_id: UUID, place: DemoStation, now: datetime
    ) -> None:
        holder, driver = await family(company_id, 2)
        await name_driver(holder.agreement_id, driver, now)
        shared = await accounts.add_vehicle(account_id=driver.account_id, plate=holder.vehicle.plate, now=now)
        for day in range(3):
            at = now - timedelta(days=3 - day)
            missed = await book(holder, place, now=at, starts_at=at + HOUR)
            await bookings.lapse(reservation_id=missed.id, now=missed.hold_until)
        with pytest.raises(BookingIsSuspended):
            await book(msgspec.structs.replace(driver, vehicle=shared), place, now=now, starts_at=now + HOUR)
        assert (await book(driver, place, now=now, starts_at=now + HOUR)).status == "confirmed"
