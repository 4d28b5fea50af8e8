"""The picture in the process: it follows committed changes, and does without its connection when it must."""

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime

import pytest
from piccolo.engine.postgres import PostgresEngine

from backend.core import db
from backend.core.ids import new_id
from backend.discovery.rules.picture import count_guns
from backend.discovery.service.board import Board
from backend.discovery.service.watch import Moment, watch_station
from backend.reservations.service import claims
from backend.stations import service as stations
from tests.discovery.test_search import report
from tests.factories.stations import add_demo_station, add_station
from tests.factories.tariffs import publish_tariff
from tests.fakes import FixedClock

WITHIN_S = 1.0
"""The promise: a change of state shows within a second."""


@pytest.fixture
async def board(committing: PostgresEngine, clock: FixedClock) -> AsyncIterator[Board]:
    """A board over a database of the test's own, listening."""
    made = Board(committing.config["dsn"], clock)
    await made.view(now=clock.now())
    yield made
    await made.close()


async def until(board: Board, now: datetime, condition: object) -> float:
    """Wait until `condition` holds of the board's view; returns the seconds it took, fails after the promise."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    while loop.time() - began < 10:
        if condition(await board.view(now=now)):  # type: ignore[operator]
            took = loop.time() - began
            assert took < WITHIN_S
            return took
        await asyncio.sleep(0.005)
    raise AssertionError("the change never showed")


async def listening(board: Board) -> None:
    """Wait until the board follows its connection."""
    async with asyncio.timeout(10):
        while not board._live:  # noqa: ASYNC110  there is nothing to wait for but the state itself
            await asyncio.sleep(0.005)


class TestBoard:
    async def test_shows_new_stations_states_claims_holds_and_prices_as_they_are_committed(
        self, board: Board, now: datetime
    ) -> None:
        await listening(board)
        demo = await add_demo_station()
        station_id = demo.station.id

        def free() -> object:
            return lambda view: [
                counts.free
                for counts in (
                    count_guns(
                        view.pictures[station_id].guns, held=view.pictures[station_id].station.safety_hold, now=now
                    ).resident,
                )
            ]

        await until(board, now, lambda view: station_id in view.pictures and len(view.pictures[station_id].guns) == 3)
        await report(demo, ac="available", dc="available")
        await until(board, now, lambda view: free()(view) == [2])  # type: ignore[operator]
        await claims.claim(
            connector_id=demo.ac.connector.id,
            plate_hash=b"p" * 32,
            starts_at=now,
            ends_at=now.replace(hour=4),
            kind="walk_up",
            reference_id=new_id(),
            now=now,
        )
        await until(board, now, lambda view: free()(view) == [1])  # type: ignore[operator]
        incident = new_id()
        await stations.set_safety_hold(station_id=station_id, incident_id=incident, now=now)
        await until(board, now, lambda view: free()(view) == [0])  # type: ignore[operator]
        await stations.lift_safety_hold(station_id=station_id, incident_id=incident, actor_id=None, now=now)
        await until(board, now, lambda view: free()(view) == [1])  # type: ignore[operator]
        await publish_tariff(operator_company_id=demo.station.operator_company_id)
        await until(board, now, lambda view: view.pictures[station_id].prices is not None)

    async def test_does_not_show_what_was_rolled_back(self, board: Board, now: datetime) -> None:
        await listening(board)
        with pytest.raises(RuntimeError, match="back"):
            async with db.transaction():
                lost = await add_station()
                raise RuntimeError("back")
        kept = await add_station()
        await until(board, now, lambda view: kept.id in view.pictures)
        assert lost.id not in (await board.view(now=now)).pictures

    async def test_finds_its_way_back_when_its_connection_is_cut(self, board: Board, now: datetime) -> None:
        await listening(board)
        cut = await db.fetchval(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
            " WHERE application_name = 'linli:board' AND datname = current_database()"
        )
        assert cut == 1
        while board._live:  # noqa: ASYNC110
            await asyncio.sleep(0.005)
        station = await add_station()
        async with asyncio.timeout(3):
            while station.id not in (await board.view(now=now)).pictures:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        await listening(board)
        later = await add_station()
        await until(board, now, lambda view: later.id in view.pictures)


class TestWatchStation:
    async def test_tells_a_snapshot_then_only_what_changed(
        self, board: Board, clock: FixedClock, now: datetime
    ) -> None:
        demo = await add_demo_station()
        await report(demo, ac="available", dc="available", public="available")
        await listening(board)
        await until(
            board,
            now,
            lambda view: (
                demo.station.id in view.pictures
                and [gun.status for gun in view.pictures[demo.station.id].guns] == ["available"] * 3
            ),
        )
        stream = watch_station(board=board, station_id=demo.station.id, clock=clock)
        first = await anext(stream)
        assert (first.kind, len(first.guns)) == ("snapshot", 3)
        await report(demo, dc="charging")
        told: Moment | None = None
        async with asyncio.timeout(WITHIN_S):
            while told is None or told.kind != "change" or told.guns[0].status != "charging":
                told = await anext(stream)
        assert [gun.id for gun in told.guns] == [demo.dc.connector.id]
        await stream.aclose()
        assert board._watchers == {}

    async def test_ends_at_once_for_a_station_that_is_not_there(self, board: Board, clock: FixedClock) -> None:
        assert [moment async for moment in watch_station(board=board, station_id=new_id(), clock=clock)] == []
