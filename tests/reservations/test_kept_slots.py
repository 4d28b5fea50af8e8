"""Answers of `/slots` that are kept: the very next call sees every change, and their prices are the bill's."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextvars import Context
from datetime import datetime, timedelta
from typing import Any, cast

import httpx
import msgspec
import pytest

from backend.accounts.service import logins
from backend.agreements import service as agreements
from backend.app import create_app
from backend.core import db
from backend.core.auth import Tokens
from backend.core.errors import NotFound
from backend.core.ids import new_id
from backend.core.services import Services
from backend.reservations.rules.periods import BEIJING
from backend.reservations.service import bookings, kept_slots, outages
from backend.reservations.service.kept_slots import Asked, KeptSlots, Made
from backend.reservations.store import moves as moves_store
from backend.stations.service import build
from backend.tariffs import service as tariffs
from backend.tariffs.rules.bands import band_at
from tests.factories.reservations import Scene, add_scene, book
from tests.factories.tariffs import BEIJING_SPANS, prices_for, publish_tariff
from tests.fakes import FixedClock

HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)
Change = Callable[[Scene, datetime], Awaitable[object]]


@pytest.fixture
async def scene(committing: Any) -> Scene:
    made = await add_scene()
    await publish_tariff(operator_company_id=made.company_id)
    return made


@pytest.fixture
async def process(scene: Scene, services: Services) -> AsyncIterator[httpx.AsyncClient]:
    """The API in this process, on a database whose transactions commit: only so are answers kept."""
    transport = httpx.ASGITransport(app=cast(Any, create_app(services)), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://linli.test") as client:
        yield client


async def asked_of(client: httpx.AsyncClient, scene: Scene, **query: str) -> dict[str, Any]:
    answer = await client.get(f"/v1/stations/{scene.place.station.id}/slots", params=query)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def a_booking(scene: Scene, now: datetime) -> None:
    await book(scene.alice, scene.place, now=now, starts_at=now + HOUR)


async def a_cancelled_booking(scene: Scene, now: datetime) -> None:
    made = await book(scene.bob, scene.place, now=now, starts_at=now + 9 * HOUR, power="dc")
    await bookings.cancel_reservation(account_id=made.account_id, reservation_id=made.id, now=now)


async def an_outage(scene: Scene, now: datetime) -> None:
    await moves_store.open_outage(scene.place.dc.connector.id, scene.place.station.id, "fault", now)


async def the_outages_end(scene: Scene, now: datetime) -> None:
    await outages.connector_works(connector_id=scene.place.dc.connector.id, now=now)


async def maintenance(scene: Scene, now: datetime) -> None:
    await outages.plan_maintenance(
        connector_id=scene.place.ac.connector.id,
        starts_at=now + 4 * HOUR,
        ends_at=now + 5 * HOUR,
        actor="li",
        now=now,
    )


async def a_connector_out_of_service(scene: Scene, now: datetime) -> None:
    await build.set_connector_in_service(connector_id=scene.place.dc.connector.id, in_service=False)


async def a_connector_in_service(scene: Scene, now: datetime) -> None:
    await build.set_connector_in_service(connector_id=scene.place.dc.connector.id, in_service=True)


async def a_zone_painted_anew(scene: Scene, now: datetime) -> None:
    await build.change_zone(bay_id=scene.place.dc.bay.id, zone="public", at=now)


async def other_settings(scene: Scene, now: datetime) -> None:
    changed = msgspec.structs.replace(scene.place.station.settings, vacate_gap_s=1800, slot_grid_s=1800)
    await build.put_settings(station_id=scene.place.station.id, settings=changed, now=now)


async def a_price_of_the_station(scene: Scene, now: datetime) -> None:
    await publish_tariff(
        operator_company_id=scene.company_id,
        station_id=scene.place.station.id,
        effective_from=now + 3 * HOUR,
        prices=prices_for(BEIJING_SPANS, market_service_e4=6100, agreement_service_e4=3100),
        now=now,
    )


class TestTheNextCall:
    @pytest.mark.parametrize(
        "changes",
        [
            (a_booking,),
            (a_cancelled_booking,),
            (an_outage,),
            (an_outage, the_outages_end),
            (maintenance,),
            (a_connector_out_of_service,),
            (a_connector_out_of_service, a_connector_in_service),
            (a_zone_painted_anew,),
            (other_settings,),
            (a_price_of_the_station,),
        ],
        ids=lambda changes: "_".join(change.__name__ for change in changes),
    )
    async def test_sees(
        self, process: httpx.AsyncClient, services: Services, scene: Scene, now: datetime, changes: tuple[Change, ...]
    ) -> None:
        before = await asked_of(process, scene)
        for change in changes:
            # as another process would: none of this one's answers hear of it
            await asyncio.get_running_loop().create_task(_made(change(scene, now)), context=Context())
            seen = await asked_of(process, scene)
            services.put(KeptSlots, KeptSlots())
            assert seen == await asked_of(process, scene), change.__name__
        assert len(changes) == 2 or changes == (a_cancelled_booking,) or seen != before

    async def test_of_an_unchanged_station_is_the_kept_answer(
        self, process: httpx.AsyncClient, services: Services, scene: Scene, clock: FixedClock, now: datetime
    ) -> None:
        first = await asked_of(process, scene)
        read = services.get(KeptSlots)
        kept = dict(read._kept)
        assert await asked_of(process, scene) == first
        assert read._kept == kept
        clock.advance(minutes=1)  # no start has passed at 10:01 that had not at 10:00, but 10:00 itself
        later = await asked_of(process, scene)
        assert later["items"] == [item for item in first["items"] if item["starts_at"] > first["items"][0]["starts_at"]]

    async def test_does_not_get_an_answer_from_before_a_zone_changed_by_the_clock(
        self, process: httpx.AsyncClient, services: Services, scene: Scene, clock: FixedClock, now: datetime
    ) -> None:
        await build.change_zone(bay_id=scene.place.dc.bay.id, zone="public", at=now + 7 * MINUTE)
        clock.advance(minutes=5)
        await asked_of(process, scene)
        (kept,) = services.get(KeptSlots)._kept.values()
        assert kept.made.good_until == now + 7 * MINUTE - timedelta.resolution

    async def test_of_an_unknown_station_is_not_found(self, process: httpx.AsyncClient, scene: Scene) -> None:
        for path in (f"/v1/stations/{new_id()}/slots", f"/v1/stations/{new_id()}/slots?date=9999-12-31"):
            assert (await process.get(path)).status_code == 404

    @pytest.mark.parametrize("day", ["0001-01-01", "9999-12-31", "2026-06-09"])
    async def test_of_a_day_without_slots_is_empty(self, process: httpx.AsyncClient, scene: Scene, day: str) -> None:
        assert (await asked_of(process, scene, date=day))["items"] == []


async def _made(change: Awaitable[object]) -> object:
    return await change


class TestAnAnswer:
    async def test_is_never_kept_under_the_mark_of_another_state(self, scene: Scene, now: datetime) -> None:
        """A booking comes and goes while the answer is made: what is kept must not have seen it."""
        kept = KeptSlots()
        asked = Asked(scene.place.station.id, now.astimezone(BEIJING).date(), None, "market")
        seen: list[int] = []

        async def elsewhere() -> None:
            await a_booking(scene, now)

        async def make() -> Made:
            await asyncio.get_running_loop().create_task(elsewhere(), context=Context())
            seen.append(await db.fetchval("SELECT count(*) FROM connector_claim"))
            return Made(body=b"%d" % seen[-1], good_until=now + HOUR)

        async def count() -> Made:
            seen.append(await db.fetchval("SELECT count(*) FROM connector_claim"))
            return Made(body=b"%d" % seen[-1], good_until=now + HOUR)

        assert await kept.answer(asked, now=now, make=make) == b"0"
        assert await kept.answer(asked, now=now, make=count) == b"1"
        assert await kept.answer(asked, now=now, make=count) == b"1"
        assert seen == [0, 1]

    async def test_is_made_once_for_many_who_ask(self, scene: Scene, now: datetime) -> None:
        kept, made = KeptSlots(), []
        asked = Asked(scene.place.station.id, now.astimezone(BEIJING).date(), None, "market")

        async def make() -> Made:
            made.append(1)
            await asyncio.sleep(0)
            return Made(body=b"[]", good_until=now + HOUR)

        answers = await asyncio.gather(*(kept.answer(asked, now=now, make=make) for _ in range(50)))
        assert (set(answers), len(made)) == ({b"[]"}, 1)

    async def test_is_dropped_when_there_are_too_many(
        self, scene: Scene, now: datetime, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(kept_slots, "AT_MOST", 3)
        kept = KeptSlots()
        today = now.astimezone(BEIJING).date()

        async def make() -> Made:
            return Made(body=b"[]", good_until=now + HOUR)

        for days in range(5):
            await kept.answer(
                Asked(scene.place.station.id, today + timedelta(days=days), None, "market"), now=now, make=make
            )
        assert [asked.on for asked in kept._kept] == [today + timedelta(days=days) for days in (2, 3, 4)]
        with pytest.raises(NotFound):
            await kept.answer(Asked(new_id(), today, None, "market"), now=now, make=make)


class TestPrices:
    @pytest.mark.parametrize("who", ["alice", "charlie", None])
    async def test_of_each_slot_are_what_a_session_started_then_is_billed(
        self, process: httpx.AsyncClient, services: Services, scene: Scene, now: datetime, who: str | None
    ) -> None:
        """Three versions in one day: the company's, the station's own for four hours, the company's next one."""
        day = (now.astimezone(BEIJING) + timedelta(days=1)).replace(hour=0, minute=0)
        for station_id, starts, ends, service_e4 in (
            (scene.place.station.id, 9, 13, 3300),
            (None, 18, None, 4100),
        ):
            await publish_tariff(
                operator_company_id=scene.company_id,
                station_id=station_id,
                effective_from=day + starts * HOUR,
                effective_to=None if ends is None else day + ends * HOUR,
                prices=prices_for(BEIJING_SPANS, market_service_e4=2 * service_e4, agreement_service_e4=service_e4),
                now=now,
            )
        headers = {}
        if who is not None:
            pair = await logins.open_login(
                account_id=getattr(scene, who).account_id, method="sms", tokens=services.get(Tokens), now=now
            )
            headers = {"Authorization": f"Bearer {pair.access_token}"}
        process.headers.update(headers)
        answer = await asked_of(process, scene, date=day.date().isoformat())
        assert answer["user_class"] == ("agreement" if who == "alice" else "market")
        shown = {item["starts_at"]: item["price"] for item in answer["items"]}
        assert len(shown) > 60
        for text, price in shown.items():
            at = datetime.fromisoformat(text)
            billed = band_at(
                await tariffs.price_for(station_id=scene.place.station.id, user_class=answer["user_class"], at=at),
                at,
            )
            assert price == {
                "band": billed.name,
                "energy_e4": billed.energy_e4,
                "service_e4": billed.service_e4,
            }, text
        assert len({price["service_e4"] for price in shown.values()}) == 3

    async def test_are_null_where_none_is_published(
        self, process: httpx.AsyncClient, scene: Scene, now: datetime
    ) -> None:
        ends = now.astimezone(BEIJING).replace(hour=14, minute=0)
        await db.execute(
            "UPDATE tariff_version SET effective_to = $1 WHERE operator_company_id = $2", ends, scene.company_id
        )
        items = (await asked_of(process, scene))["items"]
        without = {item["starts_at"] for item in items if item["price"] is None}
        assert without == {item["starts_at"] for item in items if datetime.fromisoformat(item["starts_at"]) >= ends}
        assert 0 < len(without) < len(items)

    async def test_follow_the_agreement_as_it_is_at_the_call(
        self, process: httpx.AsyncClient, services: Services, scene: Scene, now: datetime
    ) -> None:
        pair = await logins.open_login(
            account_id=scene.alice.account_id, method="sms", tokens=services.get(Tokens), now=now
        )
        process.headers.update({"Authorization": f"Bearer {pair.access_token}"})
        assert (await asked_of(process, scene))["user_class"] == "agreement"
        assert scene.alice.agreement_id is not None
        await agreements.terminate(account_id=scene.alice.account_id, agreement_id=scene.alice.agreement_id, now=now)
        assert (await asked_of(process, scene))["user_class"] == "market"
