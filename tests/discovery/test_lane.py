"""Plain searches go a short way, with the very answers of the long one."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, cast

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from piccolo.engine.postgres import PostgresEngine

from backend.app import build_app, create_app
from backend.core.clock import Clock
from backend.core.services import Services
from backend.discovery.controllers_lane import PlainSearch, read_plain
from backend.discovery.service.board import Board
from tests.discovery.test_search import report
from tests.factories.stations import BEIJING_LAT, BEIJING_LNG, add_demo_station
from tests.factories.tariffs import publish_tariff
from tests.fakes import FixedClock

HERE = f"lat={BEIJING_LAT}&lng={BEIJING_LNG}&coord=gcj02"
PLAIN = [
    HERE,
    f"coord=wgs84&lng={BEIJING_LNG}&lat={BEIJING_LAT}",
    f"{HERE}&radius_m=5000",
    f"{HERE}&radius_m=1",
    f"{HERE}&zone=public",
    f"{HERE}&power=fast&zone=resident",
    "lat=0&lng=0&coord=gcj02",
    "lat=-33.5&lng=-180&coord=gcj02",
]
OTHERS = [
    "",
    "lat=39.9&lng=116.4",
    "lat=39.9&coord=gcj02",
    "lat=91&lng=116.4&coord=gcj02",
    "lat=39.9&lng=181&coord=gcj02",
    "lat=nan&lng=116.4&coord=gcj02",
    "lat=1e1&lng=116.4&coord=gcj02",
    "lat=+39.9&lng=116.4&coord=gcj02",
    f"{HERE}&lat=40",
    f"{HERE}&radius_m=0",
    f"{HERE}&radius_m=5001",
    f"{HERE}&radius_m=99999",
    f"{HERE}&radius_m=x",
    f"{HERE}&radius_m=",
    f"{HERE}&zone=private",
    f"{HERE}&power=FAST",
    f"{HERE}&free=true",
    f"{HERE}&limit=1",
    f"{HERE}&cursor=x",
    f"{HERE}&near=home",
    f"{HERE}&unknown=1",
    f"{HERE}&",
    f"{HERE};zone=public",
    f"{HERE}&zone=public%20",
    "lat=%33%39.9&lng=116.4&coord=gcj02",
    "lat=39.9&lng=116.4&coord=GCJ02",
    "lat=\u0663\u0669&lng=116.4&coord=gcj02",
]


@pytest.fixture
async def warm(committing: PostgresEngine, services: Services, clock: FixedClock) -> AsyncIterator[Services]:
    """The services of a process whose board is live."""
    demo = await add_demo_station()
    await publish_tariff(operator_company_id=demo.station.operator_company_id)
    await report(demo, ac="available", dc="charging")
    board = Board(committing.config["dsn"], clock)
    services.put(Board, board)
    await board.warm()
    async with asyncio.timeout(10):
        while board.live_view() is None:  # noqa: ASYNC110  there is nothing to wait for but the state itself
            await asyncio.sleep(0.005)
    yield services
    await board.close()


def client_of(app: Any) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(app=cast(Any, app), raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url="http://linli.test", headers={"Accept-Language": "en"})


async def nobody(scope: Any, receive: Any, send: Any) -> None:
    """An application behind the short way that must not be reached."""
    raise AssertionError("handed on")


class TestPlainSearch:
    async def test_answers_what_the_controller_answers(self, warm: Services) -> None:
        async with client_of(PlainSearch(nobody, services=warm)) as short, client_of(build_app(warm)) as long:
            for query in PLAIN:
                for headers in ({}, {"Accept-Language": "zh-CN"}):
                    ours = await short.get(f"/v1/stations?{query}", headers=headers)
                    theirs = await long.get(f"/v1/stations?{query}", headers=headers)
                    assert (ours.status_code, ours.content) == (200, theirs.content), query
                    assert dict(ours.headers) == dict(theirs.headers)
            etag = ours.headers["etag"]
            unchanged = await short.get(f"/v1/stations?{query}", headers={"If-None-Match": etag})
            assert (unchanged.status_code, unchanged.content) == (304, b"")

    async def test_hands_on_whatever_is_not_plain(self, warm: Services) -> None:
        async with client_of(PlainSearch(nobody, services=warm)) as short:
            for query in OTHERS:
                with pytest.raises(AssertionError, match="handed on"):
                    await short._transport.app(  # type: ignore[attr-defined]
                        {
                            "type": "http",
                            "path": "/v1/stations",
                            "method": "GET",
                            "query_string": query.encode(),
                            "headers": [],
                        },
                        None,
                        None,
                    )
        async with client_of(create_app(warm)) as whole:
            for query in OTHERS:
                assert (await whole.get(f"/v1/stations?{query}")).status_code in (200, 400, 401, 422), query
            assert (await whole.get(f"/v1/stations?{HERE}", headers={"Authorization": "Bearer x"})).status_code == 401
            assert (await whole.delete(f"/v1/stations?{HERE}")).status_code == 405

    async def test_is_counted_under_its_path(self, warm: Services) -> None:
        async with client_of(create_app(warm)) as whole:
            line = 'linli_http_requests_total{method="GET",path="/v1/stations",status="200"}'
            before = _count(await whole.get("/metrics"), line)
            assert (await whole.get(f"/v1/stations?{HERE}")).headers["x-request-id"]
            assert _count(await whole.get("/metrics"), line) == before + 1


def _count(metrics: httpx.Response, line: str) -> float:
    return sum(float(text.rpartition(" ")[2]) for text in metrics.text.splitlines() if text.startswith(line))


class TestReadPlain:
    @given(st.binary(max_size=80))
    def test_never_fails(self, query: bytes) -> None:
        read_plain(query)

    @pytest.mark.parametrize("query", PLAIN)
    def test_reads_what_is_plain(self, query: str) -> None:
        assert read_plain(query.encode()) is not None


class TestWarm:
    async def test_returns_though_the_database_is_away(self, database: object, services: Services) -> None:
        board = Board("postgresql://nobody@127.0.0.1:9/none", services.get(Clock))  # type: ignore[type-abstract]
        async with asyncio.timeout(5):
            await board.warm()
        assert board.live_view() is None
        await board.close()
