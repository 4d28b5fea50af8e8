"""Versions from month to month: copied, compared, retired, grouped, drafted from the grid's prices; through HTTP."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.core import db
from backend.core.ids import new_id
from backend.core.services import Services
from backend.tariffs import service as tariffs
from backend.tariffs.rules.bands import BEIJING, ParkingTerms
from backend.tariffs.rules.diff import compare
from backend.tariffs.rules.versions import Price, Publication, Refusal, Span, TariffVersionView, decide_publication
from backend.tariffs.service import lifecycle
from tests.cast import LI, QIAN, SUN, ZHOU
from tests.factories.accounts import add_company, log_in
from tests.factories.stations import add_station
from tests.factories.tariffs import BEIJING_SPANS, prices_for, publish_tariff
from tests.fakes import FixedClock
from tests.jobs import run_ticks

DAY = timedelta(days=1)
JULY = datetime(2026, 7, 1, tzinfo=BEIJING)


class Desk:
    """Li and Qian of one company at their desks."""

    def __init__(self, api: httpx.AsyncClient, li: dict[str, str], qian: dict[str, str], company_id: UUID) -> None:
        self.api, self.li, self.qian, self.company_id = api, li, qian, company_id

    async def do(self, verb: str, path: str, *, who: str = "li", expect: int = 200, **kwargs: Any) -> Any:
        answer = await self.api.request(
            verb, f"/v1/operator{path}", headers=self.li if who == "li" else self.qian, **kwargs
        )
        assert answer.status_code == expect, answer.text
        return answer.json() if answer.content else None

    async def publish(self, draft: dict[str, Any]) -> dict[str, Any]:
        await self.do("POST", f"/tariffs/{draft['id']}/approve", who="qian")
        published: dict[str, Any] = await self.do("POST", f"/tariffs/{draft['id']}/publish")
        return published


@pytest.fixture
async def desk(api: httpx.AsyncClient, services: Services, now: datetime) -> Desk:
    li, qian = [await log_in(person, services=services, now=now) for person in (LI, QIAN)]
    company_id = await add_company()
    return Desk(api, li.headers, qian.headers, company_id)


class TestCopies:
    async def test_of_last_month_become_the_next_months_draft_and_close_it_when_published(
        self, desk: Desk, now: datetime
    ) -> None:
        first = await publish_tariff(operator_company_id=desk.company_id, parking=ParkingTerms(free_min=30))
        draft = await desk.do("POST", f"/tariffs/{first.id}/copy", expect=201, json={})
        assert (draft["status"], datetime.fromisoformat(draft["effective_from"])) == ("draft", JULY)
        assert draft["parking"]["free_min"] == 30
        assert len(draft["prices"]) == len(first.prices)
        await desk.publish(draft)
        closed = await desk.do("GET", f"/tariffs/{first.id}")
        assert datetime.fromisoformat(closed["effective_to"]) == JULY

    async def test_that_are_drafts_can_be_thrown_away_and_nothing_else(self, desk: Desk) -> None:
        first = await publish_tariff(operator_company_id=desk.company_id)
        draft = await desk.do("POST", f"/tariffs/{first.id}/copy", expect=201, json={})
        await desk.do("DELETE", f"/tariffs/{draft['id']}", expect=204)
        await desk.do("GET", f"/tariffs/{draft['id']}", expect=404)
        refused = await desk.do("DELETE", f"/tariffs/{first.id}", expect=409)
        assert refused["code"] == "tariff_state"


class TestRetired:
    async def test_before_it_began_lets_the_version_before_it_go_on(self, desk: Desk, now: datetime) -> None:
        station = await add_station(operator_company_id=desk.company_id)
        first = await publish_tariff(operator_company_id=desk.company_id)
        second = await publish_tariff(operator_company_id=desk.company_id, effective_from=JULY, now=now)
        third = await publish_tariff(operator_company_id=desk.company_id, effective_from=JULY + 31 * DAY, now=now)
        retired = await desk.do("POST", f"/tariffs/{second.id}/retire")
        assert (retired["status"], retired["effective_to"]) == ("retired", retired["effective_from"])
        again = await desk.do("GET", f"/tariffs/{first.id}")
        assert datetime.fromisoformat(again["effective_to"]) == third.effective_from
        in_july = await tariffs.price_for(station_id=station.id, user_class="market", at=JULY + DAY)
        assert in_july.version_id == first.id
        await desk.publish(await desk.do("POST", f"/tariffs/{third.id}/copy", expect=201, json={
            "effective_from": "2026-09-01T00:00:00+08:00"}))  # fmt: skip
        listed = await desk.do("GET", "/tariffs", params={"status": "retired"})
        assert [item["id"] for item in listed["items"]] == [str(second.id)]

    async def test_in_force_is_refused_where_nothing_takes_its_place(self, desk: Desk) -> None:
        station = await add_station(operator_company_id=desk.company_id)
        company = await publish_tariff(operator_company_id=desk.company_id)
        refused = await desk.do("POST", f"/tariffs/{company.id}/retire", expect=409)
        assert (refused["code"], station.name in refused["detail"]) == ("tariff_in_force", True)
        own = await publish_tariff(operator_company_id=desk.company_id, station_id=station.id)
        assert (await desk.do("POST", f"/tariffs/{own.id}/retire"))["status"] == "retired"
        assert (await desk.do("GET", f"/tariffs/{company.id}"))["status"] == "published"

    async def test_by_itself_when_it_is_over_and_still_says_what_was_paid(self, desk: Desk, now: datetime) -> None:
        station = await add_station(operator_company_id=desk.company_id)
        first = await publish_tariff(operator_company_id=desk.company_id)
        await publish_tariff(operator_company_id=desk.company_id, effective_from=now + DAY, now=now)
        await run_ticks("tariffs.retire_over", now=now)
        assert (await desk.do("GET", f"/tariffs/{first.id}"))["status"] == "published"
        await run_ticks("tariffs.retire_over", now=now + DAY)
        assert (await desk.do("GET", f"/tariffs/{first.id}"))["status"] == "retired"
        before = await tariffs.price_for(station_id=station.id, user_class="market", at=now)
        assert before.version_id == first.id
        assert (
            await tariffs.price_for(station_id=station.id, user_class="market", at=now + DAY)
        ).version_id != first.id
        refused = await desk.do("POST", f"/tariffs/{first.id}/retire", expect=409)
        assert refused["code"] == "tariff_state"

    async def test_is_not_for_inspectors_or_others(self, desk: Desk, services: Services, now: datetime) -> None:
        version = await publish_tariff(operator_company_id=desk.company_id)
        for person, status in ((SUN, 403), (ZHOU, 404)):
            headers = (await log_in(person, services=services, now=now)).headers
            answer = await desk.api.post(f"/v1/operator/tariffs/{version.id}/retire", headers=headers)
            assert answer.status_code == status

    @pytest.mark.parametrize(
        "sql",
        [
            "UPDATE tariff_version SET effective_to = effective_to + interval '1 day' WHERE id = $1",
            "UPDATE tariff_version SET status = 'published', retired_at = NULL WHERE id = $1",
            "DELETE FROM tariff_version WHERE id = $1",
        ],
    )
    async def test_stays_as_it_is(self, desk: Desk, now: datetime, sql: str) -> None:
        first = await publish_tariff(operator_company_id=desk.company_id)
        await publish_tariff(operator_company_id=desk.company_id, effective_from=now + DAY, now=now)
        await lifecycle.retire_over(now=now + DAY)
        with pytest.raises((asyncpg.RestrictViolationError, asyncpg.InsufficientPrivilegeError)):
            async with db.transaction():
                await db.execute(sql, first.id)


class TestAScopeWithoutAPrice:
    T0 = datetime(2026, 7, 1, tzinfo=UTC)

    @pytest.mark.parametrize(
        ("start", "expected"),
        [
            (-3, Publication(closes=None)),
            (-1, Publication(closes=None)),
            (4, Publication(closes=None)),
            (-4, Refusal(reason="past", at=T0 - 3 * DAY)),
        ],
    )
    def test_may_have_one_again_from_where_the_last_ended(self, start: int, expected: Publication | Refusal) -> None:
        found = decide_publication(
            effective_from=self.T0 + start * DAY,
            effective_to=None,
            published=[(UUID(int=1), self.T0 - 9 * DAY, self.T0 - 3 * DAY)],
            now=self.T0,
        )
        assert found == expected


class TestDiff:
    async def test_says_in_words_what_a_version_changes(self, desk: Desk, now: datetime) -> None:
        first = await publish_tariff(operator_company_id=desk.company_id)
        draft = await desk.do("POST", f"/tariffs/{first.id}/copy", expect=201, json={})
        body = {
            "supply_class": draft["supply_class"],
            "effective_from": draft["effective_from"],
            "spans": [
                {**s, "band": "flat"} if s["from_min"] == 23 * 60 else s for s in draft["spans"]
            ],
            "prices": [
                {**p, "service_e4": 4700} if (p["user_class"], p["band"]) == ("agreement", "peak") else p
                for p in draft["prices"]
            ],
            "parking": {"free_min": 60, "fen_per_hour": 200},
        }  # fmt: skip
        await desk.do("PUT", f"/tariffs/{draft['id']}", json=body)
        found = await desk.do("GET", f"/tariffs/{draft['id']}/diff", params={})
        assert found["against_id"] == str(first.id)
        texts = {item["field"]: item["text"] for item in found["items"]}
        assert texts["spans"] == "months 1-12, 23:00-24:00: valley → flat"
        assert texts["prices.agreement.peak.service_e4"] == (
            "agreement peak service price, yuan/kWh: 0.4500 → 0.4700 (+0.0200)"
        )
        assert texts["parking.fen_per_hour"] == "parking, fen an hour: 0 → 200"
        chinese = await desk.api.get(
            f"/v1/operator/tariffs/{draft['id']}/diff", headers={**desk.li, "accept-language": "zh-CN"}
        )
        assert "协议用户 峰 服务费（元/度）：0.4500 → 0.4700 (+0.0200)" in {i["text"] for i in chinese.json()["items"]}
        same = await desk.do("GET", f"/tariffs/{draft['id']}/diff", params={"against": draft["id"]})
        assert same["items"] == []
        await desk.do("GET", f"/tariffs/{draft['id']}/diff", params={"against": str(new_id())}, expect=404)

    @given(st.permutations(range(len(BEIJING_SPANS))), st.integers(0, 3), st.integers(-400, 400))
    def test_is_empty_for_the_same_prices_in_any_order_and_names_each_change_once(
        self, order: list[int], which: int, by: int
    ) -> None:
        prices = prices_for(BEIJING_SPANS)
        other = list(prices)
        old = other[which]
        other[which] = Price(
            user_class=old.user_class, band=old.band, energy_e4=old.energy_e4 + by, service_e4=old.service_e4
        )
        changes = compare(view(BEIJING_SPANS, prices), view([BEIJING_SPANS[i] for i in order], other[::-1]))
        assert [c.field for c in changes] == ([f"prices.{old.user_class}.{old.band}.energy_e4"] if by else [])


def view(spans: Any, prices: Any) -> TariffVersionView:
    return TariffVersionView(
        id=UUID(int=1),
        operator_company_id=UUID(int=2),
        station_id=None,
        supply_class="below_1kv",
        name="",
        status="draft",
        effective_from=JULY,
        effective_to=None,
        spans=tuple(spans),
        prices=tuple(prices),
        parking=ParkingTerms(),
        created_by=UUID(int=3),
        created_at=JULY,
        approved_by=None,
        approved_at=None,
        published_by=None,
        published_at=None,
    )


class TestGroups:
    async def test_price_their_stations_between_their_own_and_the_companys_version(
        self, desk: Desk, now: datetime
    ) -> None:
        own, grouped, other = [await add_station(operator_company_id=desk.company_id) for _ in range(3)]
        company = await publish_tariff(operator_company_id=desk.company_id)
        alone = await publish_tariff(operator_company_id=desk.company_id, station_id=own.id)
        group = await desk.do(
            "POST",
            "/station-groups",
            expect=201,
            json={"name": "朝阳北", "station_ids": [str(own.id), str(grouped.id)]},
        )
        draft = await desk.do("POST", f"/tariffs/{company.id}/copy", expect=201, json={})
        body = {
            "supply_class": "below_1kv",
            "station_group_id": group["id"],
            "effective_from": now.isoformat(),
            "spans": draft["spans"],
            "prices": [{**p, "service_e4": 1000} for p in draft["prices"]],
        }
        await desk.do("PUT", f"/tariffs/{draft['id']}", json=body)
        published = await desk.publish(draft)
        prices = await tariffs.current_prices(station_ids=[own.id, grouped.id, other.id], at=now)
        assert {i: prices[i].market.version_id for i in prices} == {
            own.id: alone.id,
            grouped.id: UUID(published["id"]),
            other.id: company.id,
        }
        ahead = await tariffs.prices_ahead(station_id=grouped.id, user_class="market", starts_at=now, ends_at=now + DAY)
        assert ahead.versions[0][0].id == UUID(published["id"])
        await desk.do("PUT", f"/station-groups/{group['id']}", json={"name": "朝阳北", "station_ids": [str(own.id)]})
        moved = await tariffs.price_for(station_id=grouped.id, user_class="market", at=now)
        assert moved.version_id == company.id

    async def test_refuse_a_station_of_another_group_or_company_a_known_name_and_to_leave_one_without_a_price(
        self, desk: Desk, now: datetime
    ) -> None:
        first = await add_station(operator_company_id=desk.company_id)
        foreign = await add_station(operator_company_id=await add_company(name="别家充电"))
        made = await desk.do("POST", "/station-groups", expect=201, json={"name": "A", "station_ids": [str(first.id)]})
        again = await desk.do("POST", "/station-groups", expect=409, json={"name": "B", "station_ids": [str(first.id)]})
        known = await desk.do("POST", "/station-groups", expect=409, json={"name": "A", "station_ids": []})
        assert (again["code"], known["code"]) == ("station_in_other_group", "station_group_name_taken")
        await desk.do("POST", "/station-groups", expect=404, json={"name": "C", "station_ids": [str(foreign.id)]})
        assert len((await desk.do("GET", "/station-groups"))["items"]) == 1
        await tariffs.draft_version(**{
            **draft_of(desk.company_id, now), "station_group_id": UUID(made["id"]),
        })  # fmt: skip
        [draft] = (await desk.do("GET", "/tariffs", params={"status": "draft"}))["items"]
        await desk.publish(draft)
        bare = await desk.do("PUT", f"/station-groups/{made['id']}", expect=409, json={"name": "A", "station_ids": []})
        assert bare["code"] == "station_group_no_price"


def draft_of(company_id: UUID, now: datetime) -> dict[str, Any]:
    return {
        "operator_company_id": company_id,
        "station_id": None,
        "supply_class": "below_1kv",
        "name": "",
        "effective_from": now,
        "effective_to": None,
        "spans": (Span(band="flat", from_min=0, to_min=1440),),
        "prices": prices_for((Span(band="flat", from_min=0, to_min=1440),)),
        "parking": ParkingTerms(),
        "actor_id": new_id(),
        "now": now,
    }


class TestGridPrices:
    PRICES: tuple[dict[str, Any], ...] = (
        {"band": "peak", "energy_e4": 10_001},
        {"band": "flat", "energy_e4": 8_002},
        {"band": "valley", "energy_e4": 5_003},
    )

    async def test_of_a_month_become_drafts_of_every_scope_with_their_service_prices_once(
        self, desk: Desk, now: datetime
    ) -> None:
        station = await add_station(operator_company_id=desk.company_id)
        await publish_tariff(operator_company_id=desk.company_id)
        own_prices = prices_for(BEIJING_SPANS, agreement_service_e4=3000)
        await publish_tariff(operator_company_id=desk.company_id, station_id=station.id, prices=own_prices)
        await publish_tariff(operator_company_id=desk.company_id, supply_class="resold")
        path = "/grid-prices/below_1kv/2026-07"
        entered = await desk.do("PUT", path, json={"prices": self.PRICES, "source": "国网北京"})
        assert (entered["month"], entered["bands"]["peak"]) == ("2026-07-01", 10_001)
        made = await desk.do("POST", f"{path}/drafts", expect=201)
        assert len(made["drafted"]) == 2
        for draft in made["drafted"]:
            assert datetime.fromisoformat(draft["effective_from"]) == JULY
            services = {p["service_e4"] for p in draft["prices"] if p["user_class"] == "agreement"}
            assert services == ({3000} if draft["station_id"] else {4500})
            assert {p["energy_e4"] for p in draft["prices"]} == {10_001, 8_002, 5_003}
        again = await desk.do("POST", f"{path}/drafts", expect=201)
        assert (again["drafted"], len(again["already"])) == ([], 2)
        for draft in made["drafted"]:
            await desk.publish(draft)
        july = await tariffs.price_for(station_id=station.id, user_class="agreement", at=JULY)
        assert {(b.name, b.energy_e4, b.service_e4) for b in july.bands} == {
            ("peak", 10_001, 3000), ("flat", 8_002, 3000), ("valley", 5_003, 3000),
        }  # fmt: skip

    async def test_that_lack_a_band_or_have_nothing_to_follow_draft_nothing(self, desk: Desk, now: datetime) -> None:
        await desk.do("PUT", "/grid-prices/resold/2026-07", json={"prices": self.PRICES[:2]})
        nothing = await desk.do("POST", "/grid-prices/resold/2026-07/drafts", expect=409)
        await publish_tariff(operator_company_id=desk.company_id, supply_class="resold")
        lacking = await desk.do("POST", "/grid-prices/resold/2026-07/drafts", expect=409)
        assert (nothing["code"], lacking["code"]) == ("grid_nothing_to_follow", "grid_band_missing")
        assert (await desk.do("GET", "/tariffs", params={"status": "draft"}))["items"] == []
        await desk.do("POST", "/grid-prices/resold/2026-08/drafts", expect=404)

    @pytest.mark.parametrize("path", ["resold/2026-13", "resold/26-07", "coal/2026-07"])
    async def test_of_no_month_or_class_are_refused(self, desk: Desk, path: str) -> None:
        answer = await desk.api.put(f"/v1/operator/grid-prices/{path}", headers=desk.li, json={"prices": self.PRICES})
        assert answer.status_code in (400, 422), answer.text

    async def test_with_a_price_of_five_decimals_or_a_band_twice_are_refused(self, desk: Desk) -> None:
        for prices in ([{"band": "peak", "energy_e4": 10737.1}], [self.PRICES[0], self.PRICES[0]]):
            await desk.do("PUT", "/grid-prices/resold/2026-07", expect=422, json={"prices": prices})


class TestAnAgreementServicePriceAboveTheCap:
    """Above 0.5 yuan/kWh: not by the form (a draft), the API's rewrite, an import, or the database."""

    @pytest.fixture
    def now(self) -> datetime:
        return datetime(2026, 6, 10, 2, tzinfo=UTC)

    async def test_is_refused_by_draft_and_rewrite(self, desk: Desk, clock: FixedClock) -> None:
        first = await publish_tariff(operator_company_id=desk.company_id)
        draft = await desk.do("POST", f"/tariffs/{first.id}/copy", expect=201, json={})
        body = {
            "supply_class": "below_1kv",
            "effective_from": draft["effective_from"],
            "spans": draft["spans"],
            "prices": [{**p, "service_e4": 5001} for p in draft["prices"]],
        }
        for verb, path in (("POST", "/tariffs"), ("PUT", f"/tariffs/{draft['id']}")):
            refused = await desk.do(verb, path, expect=422, json=body)
            assert refused["code"] == "agreement_price_above_cap"
            assert refused["field"].startswith("prices[")
        body["prices"] = [{**p, "service_e4": 5000} for p in draft["prices"]]
        await desk.do("PUT", f"/tariffs/{draft['id']}", json=body)

    async def test_is_refused_by_the_database_on_insert_and_update(self, desk: Desk) -> None:
        draft = await tariffs.draft_version(**draft_of(desk.company_id, JULY))
        for sql in (
            "UPDATE tariff_price SET service_e4 = 5001 WHERE version_id = $1 AND user_class = 'agreement'",
            "UPDATE tariff_price SET user_class = 'agreement', band = 'peak' WHERE version_id = $1"
            " AND user_class = 'market'",
        ):
            with pytest.raises(asyncpg.CheckViolationError):
                async with db.transaction():
                    await db.execute(sql, draft.id)
