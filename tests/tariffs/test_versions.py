"""Tariff versions: the way to publication, and what the database itself refuses."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import asyncpg
import pytest

from backend.core import db
from backend.core.errors import NotFound
from backend.core.ids import new_id
from backend.tariffs import service as tariffs
from backend.tariffs.rules.bands import ParkingTerms
from backend.tariffs.rules.faults import find_faults
from backend.tariffs.rules.versions import (
    Price,
    Publication,
    Refusal,
    Span,
    decide_publication,
)
from tests.factories.stations import add_station
from tests.factories.tariffs import BEIJING_SPANS, prices_for, publish_tariff

T0 = datetime(2026, 7, 1, tzinfo=UTC)
DAY = timedelta(days=1)
A, B = UUID(int=1), UUID(int=2)


class TestDecidePublication:
    @pytest.mark.parametrize(
        ("start", "end", "published", "decision"),
        [
            (-5, None, [], Publication(closes=None)),
            (5, None, [(A, -10, None)], Publication(closes=A)),
            (5, None, [(A, -10, 5)], Publication(closes=None)),
            (
                5,
                9,
                [
                    (A, -10, None),
                ],
                Publication(closes=A),
            ),
            (-1, None, [(A, -10, None)], Refusal(reason="past", at=T0)),
            (5, None, [(A, -10, 7)], Refusal(reason="overlap", at=T0 + 7 * DAY)),
            (5, None, [(A, -10, 3)], Refusal(reason="gap", at=T0 + 3 * DAY)),
            (5, None, [(A, -10, 8), (B, 8, None)], Refusal(reason="overlap", at=T0 + 8 * DAY)),
            (5, 8, [(A, -10, 5), (B, 8, None)], Publication(closes=None)),
            (5, 7, [(A, -10, 5), (B, 8, None)], Refusal(reason="gap", at=T0 + 7 * DAY)),
            (5, None, [(A, -10, 5), (B, 8, None)], Refusal(reason="overlap", at=T0 + 8 * DAY)),
        ],
    )
    def test_neither_overlaps_nor_leaves_a_gap_nor_reaches_back(
        self,
        start: int,
        end: int | None,
        published: list[tuple[UUID, int, int | None]],
        decision: Publication | Refusal,
    ) -> None:
        found = decide_publication(
            effective_from=T0 + start * DAY,
            effective_to=None if end is None else T0 + end * DAY,
            published=[(i, T0 + s * DAY, None if e is None else T0 + e * DAY) for i, s, e in published],
            now=T0,
        )
        assert found == decision


class TestFindFaults:
    def test_finds_none_in_the_beijing_schedule(self) -> None:
        assert find_faults(BEIJING_SPANS, prices_for(BEIJING_SPANS), ParkingTerms()) == []

    def test_refuses_an_agreement_service_price_above_the_cap(self) -> None:
        faults = find_faults(BEIJING_SPANS, prices_for(BEIJING_SPANS, agreement_service_e4=5001), ParkingTerms())
        assert len(faults) == 3
        assert "at most 5000" in faults[0].problem

    def test_names_missing_and_doubled_prices(self) -> None:
        spans = (Span(band="flat", from_min=0, to_min=1440),)
        price = Price(user_class="market", band="flat", energy_e4=1, service_e4=1)
        problems = [fault.problem for fault in find_faults(spans, [price, price], ParkingTerms(fen_per_hour=-1))]
        assert problems == [
            "the agreement price of band flat is missing",
            "the market price of band flat is given twice",
            "no number may be below zero",
        ]


@pytest.mark.usefixtures("database")
class TestPriceFor:
    async def test_gives_each_class_its_price(self, now: datetime) -> None:
        station = await add_station()
        version = await publish_tariff(operator_company_id=station.operator_company_id)
        market = await tariffs.price_for(station_id=station.id, user_class="market", at=now)
        agreement = await tariffs.price_for(station_id=station.id, user_class="agreement", at=now)
        assert market.version_id == agreement.version_id == version.id
        assert {b.service_e4 for b in market.bands} == {8000}
        assert {b.service_e4 for b in agreement.bands} == {4500}

    async def test_takes_the_stations_own_version_before_the_companys(self, now: datetime) -> None:
        station = await add_station()
        neighbour = await add_station(operator_company_id=station.operator_company_id)
        company = await publish_tariff(operator_company_id=station.operator_company_id)
        own = await publish_tariff(operator_company_id=station.operator_company_id, station_id=station.id)
        prices = await tariffs.current_prices(station_ids=[station.id, neighbour.id], at=now)
        assert prices[station.id].market.version_id == own.id
        assert prices[neighbour.id].market.version_id == company.id

    async def test_has_no_price_for_another_supply_class_or_before_the_first_version(self, now: datetime) -> None:
        station = await add_station(supply_class="resold")
        await publish_tariff(operator_company_id=station.operator_company_id)
        with pytest.raises(tariffs.NoTariff):
            await tariffs.price_for(station_id=station.id, user_class="market", at=now)
        await publish_tariff(operator_company_id=station.operator_company_id, supply_class="resold", effective_from=now)
        with pytest.raises(tariffs.NoTariff):
            await tariffs.price_for(station_id=station.id, user_class="market", at=now - timedelta(microseconds=1))
        assert await tariffs.price_for(station_id=station.id, user_class="market", at=now)

    async def test_says_until_when_a_price_holds(self, now: datetime) -> None:
        station = await add_station()
        await publish_tariff(operator_company_id=station.operator_company_id)
        later = await publish_tariff(operator_company_id=station.operator_company_id, effective_from=now + DAY, now=now)
        prices = (await tariffs.current_prices(station_ids=[station.id], at=now))[station.id]
        assert prices.valid_until == now + DAY
        assert (
            await tariffs.price_for(station_id=station.id, user_class="market", at=now + DAY)
        ).version_id == later.id


@pytest.mark.usefixtures("database")
class TestPublication:
    async def draft(self, company_id: UUID, author: UUID, now: datetime) -> UUID:
        version = await tariffs.draft_version(
            operator_company_id=company_id,
            station_id=None,
            supply_class="below_1kv",
            name="",
            effective_from=now,
            effective_to=None,
            spans=BEIJING_SPANS,
            prices=prices_for(BEIJING_SPANS),
            parking=ParkingTerms(),
            actor_id=author,
            now=now,
        )
        return version.id

    async def test_needs_a_second_person(self, now: datetime) -> None:
        company, author = new_id(), new_id()
        version_id = await self.draft(company, author, now)
        with pytest.raises(tariffs.TariffNeedsSecondPerson):
            await tariffs.approve_version(
                version_id=version_id, company_ids=frozenset({company}), actor_id=author, now=now
            )

    async def test_needs_approval_first(self, now: datetime) -> None:
        company = new_id()
        version_id = await self.draft(company, new_id(), now)
        with pytest.raises(tariffs.TariffNotDraft):
            await tariffs.publish_version(
                version_id=version_id, company_ids=frozenset({company}), actor_id=new_id(), now=now
            )

    async def test_is_hidden_from_another_company(self, now: datetime) -> None:
        version_id = await self.draft(new_id(), new_id(), now)
        with pytest.raises(NotFound):
            await tariffs.approve_version(
                version_id=version_id, company_ids=frozenset({new_id()}), actor_id=new_id(), now=now
            )

    async def test_closes_the_open_end_before_it(self, now: datetime) -> None:
        company = new_id()
        first = await publish_tariff(operator_company_id=company)
        await publish_tariff(operator_company_id=company, effective_from=now + DAY, now=now)
        closed = await tariffs.get_version(version_id=first.id, company_ids=frozenset({company}))
        assert closed.effective_to == now + DAY

    async def test_refuses_to_reach_back_over_what_was_in_force(self, now: datetime) -> None:
        company = new_id()
        await publish_tariff(operator_company_id=company)
        with pytest.raises(tariffs.TariffPeriodRefused):
            await publish_tariff(operator_company_id=company, effective_from=now - DAY, now=now)


@pytest.mark.usefixtures("database")
class TestTheDatabaseItself:
    @pytest.mark.parametrize(
        "sql",
        [
            "UPDATE tariff_price SET energy_e4 = 1 WHERE version_id = $1",
            "DELETE FROM tariff_price WHERE version_id = $1",
            "UPDATE tariff_version SET parking = '{\"free_min\": 5}' WHERE id = $1",
            "UPDATE tariff_version SET effective_from = effective_from - interval '1 day' WHERE id = $1",
            "UPDATE tariff_version SET status = 'draft' WHERE id = $1",
            "DELETE FROM tariff_version WHERE id = $1",
        ],
    )
    async def test_keeps_a_published_version_as_it_is(self, sql: str) -> None:
        version = await publish_tariff(operator_company_id=new_id())
        with pytest.raises((asyncpg.RestrictViolationError, asyncpg.InsufficientPrivilegeError)):
            async with db.transaction():
                await db.execute(sql, version.id)

    async def test_refuses_an_agreement_service_price_above_the_cap(self) -> None:
        with pytest.raises(asyncpg.CheckViolationError):
            async with db.transaction():
                await db.execute(
                    "INSERT INTO tariff_price (id, version_id, user_class, band, energy_e4, service_e4)"
                    " VALUES ($1, $1, 'agreement', 'flat', 1, 5001)",
                    new_id(),
                )

    async def test_refuses_two_published_versions_at_one_time(self) -> None:
        company = new_id()
        version = await publish_tariff(operator_company_id=company)
        with pytest.raises(asyncpg.ExclusionViolationError):
            async with db.transaction():
                await db.execute(
                    "INSERT INTO tariff_version (id, operator_company_id, supply_class, name, status, effective_from,"
                    " spans, parking, created_by, created_at, approved_by, approved_at, published_by, published_at)"
                    " SELECT $2, operator_company_id, supply_class, name, status, effective_from, spans, parking,"
                    " created_by, created_at, approved_by, approved_at, published_by, published_at"
                    " FROM tariff_version WHERE id = $1",
                    version.id,
                    new_id(),
                )
