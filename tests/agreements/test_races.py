"""Two agreements for one plate: there is never more than one, whoever comes when."""

import asyncio
from collections.abc import Awaitable
from datetime import datetime, timedelta
from uuid import UUID

from asyncpg import ExclusionViolationError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from piccolo.engine.postgres import PostgresEngine

from backend.agreements import store, store_packages
from backend.agreements.service import AgreementView, Declaration, apply
from backend.agreements.service.apply import VehicleHasAgreement
from backend.core import crypto, db
from backend.core.ids import new_id
from tests.cast import ALICE, BOB, CHARLIE
from tests.factories.accounts import add_company, add_person, add_vehicle
from tests.factories.agreements import add_home, add_signed_agreement
from tests.factories.stations import add_station

GOOD = Declaration(
    long_term_resident=True,
    has_own_bay=False,
    has_private_charger=False,
    vehicle_use="family",
    vehicle_energy="battery",
)


class TestSubmit:
    async def test_takes_one_application_of_a_whole_family_for_one_car(
        self, committing: PostgresEngine, now: datetime
    ) -> None:
        await add_station(operator_company_id=await add_company())
        calls: list[Awaitable[AgreementView]] = []
        for person in (ALICE, BOB, CHARLIE):
            account_id = await add_person(person)
            await add_home(account_id=account_id)
            vehicle = await add_vehicle(account_id=account_id)
            calls += [
                apply.submit(
                    account_id=account_id, vehicle_id=vehicle.id, real_name=person.name, declaration=GOOD, now=now
                )
                for _ in range(7)
            ]
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
        assert sum(isinstance(outcome, AgreementView) for outcome in outcomes) == 1
        assert sum(isinstance(outcome, VehicleHasAgreement) for outcome in outcomes) == 20
        assert await db.fetchval("SELECT count(*) FROM agreement") == 1


class TestTerms:
    async def _add(self, account_id: UUID, company_id: UUID, starts_at: datetime, ends_at: datetime) -> bool:
        """Try to put one more agreement of the plate in force; says whether the database took it."""
        vehicle_id = new_id()
        try:
            async with db.transaction():
                agreement_id = await db.fetchval(
                    """
                    INSERT INTO agreement (id, account_id, operator_company_id, vehicle_id, plate_hash, community_id,
                        community_name, distance_m, declaration, status, package_id, submitted_at)
                    VALUES ($1, $2, $3, $4, $5, $4, '', 0, '{}', 'terminated', $6, now()) RETURNING id
                    """,
                    new_id(),
                    account_id,
                    company_id,
                    vehicle_id,
                    crypto.lookup_hash("京AD12345"),
                    await store_packages.get_default_package_id(),
                )
                await store.set_signed(agreement_id=agreement_id, starts_at=starts_at, ends_at=ends_at)
        except ExclusionViolationError:
            return False
        return True

    @settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(st.lists(st.tuples(st.integers(0, 60), st.integers(1, 20)), min_size=1, max_size=12))
    async def test_of_one_plate_never_overlap_in_any_order(
        self, database: PostgresEngine, spans: list[tuple[int, int]]
    ) -> None:
        base = datetime.fromisoformat("2026-01-01T00:00+00:00")
        async with db.transaction():
            account_id, company_id = await add_person(ALICE), await add_company()
            taken: list[tuple[datetime, datetime]] = []
            for start, length in spans:
                starts_at, ends_at = base + timedelta(days=start), base + timedelta(days=start + length)
                free = all(ends_at <= other[0] or starts_at >= other[1] for other in taken)
                assert await self._add(account_id, company_id, starts_at, ends_at) is free
                if free:
                    taken.append((starts_at, ends_at))
            await db.execute("DELETE FROM agreement WHERE account_id = $1", account_id)

    async def test_taken_at_the_same_moment_leave_one(self, committing: PostgresEngine, now: datetime) -> None:
        account_id, company_id = await add_person(ALICE), await add_company()
        outcomes = await asyncio.gather(
            *(self._add(account_id, company_id, now, now + timedelta(days=365)) for _ in range(10)),
            return_exceptions=True,
        )
        assert outcomes.count(True) == 1

    async def test_ended_early_free_the_plate_from_that_second(self, committing: PostgresEngine, now: datetime) -> None:
        account_id, company_id = await add_person(ALICE), await add_company()
        vehicle = await add_vehicle(account_id=account_id)
        first = await add_signed_agreement(
            account_id=account_id, vehicle=vehicle, operator_company_id=company_id, starts_at=now
        )
        await store.set_terminated(agreement_id=first.id, reason="by_resident", now=now + timedelta(days=1))
        assert not await self._add(account_id, company_id, now + timedelta(hours=23), now + timedelta(days=9))
        assert await self._add(account_id, company_id, now + timedelta(days=1), now + timedelta(days=9))
