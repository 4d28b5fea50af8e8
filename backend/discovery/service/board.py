"""The picture of all stations, kept in the process and read again, station by station, when PostgreSQL tells of a
change.

A connection of its own listens to `station_changed` (triggers of the features below notify it at commit). While that
connection is away the picture is read anew before it is shown, at most once a second, so that it is never stale.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable
from datetime import datetime
from uuid import UUID

import asyncpg
import structlog

from backend.core import db
from backend.core.clock import Clock
from backend.core.units import Point
from backend.discovery.rules.grid import Grid
from backend.discovery.service.pictures import HORIZON, StationPicture, read_pictures

log = structlog.get_logger()

CHANNEL = "station_changed"
ALL = "*"
MANY = 300
"""More changed stations than this are read faster all together."""
GATHER_S = 0.03
"""Changes that come within this time are read together."""
LOOK_EVERY_S = 30.0
"""Where somebody waits the prediction is made anew this often."""
WAITS_AT_ONCE = 100
FIRST_READ_S = 20.0
BLIND_READ_S = 1.0
RETRY_S = 0.5
REREAD_AFTER = HORIZON / 2


class View:
    """One state of the picture: stations by id and the grid of their places. Replaced, never changed, by the board."""

    def __init__(self, pictures: dict[UUID, StationPicture], grid: Grid[UUID] | None = None) -> None:
        self.pictures = pictures
        self.grid = grid or Grid(
            (station_id, Point(picture.station.lat, picture.station.lng)) for station_id, picture in pictures.items()
        )
        self.rendered: dict[object, object] = {}
        """What callers derived from this state and want to keep with it (see `nearby`)."""


class Board:
    """Gives the present view and wakes those who watch a station."""

    def __init__(self, database_url: str, clock: Clock) -> None:
        self._url = database_url
        self._clock = clock
        self._view: View | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._live = False
        self._read_at = 0.0
        self._reading = asyncio.Lock()
        self._pending: set[str] = set()
        self._wake = asyncio.Event()
        self._lost = False
        self._first = asyncio.Event()
        self._reread_at: datetime | None = None
        self._watchers: dict[UUID, set[asyncio.Event]] = {}

    async def view(self, *, now: datetime) -> View:
        """Return the picture as it is now.

        Inside a transaction it is read through that transaction, which may hold what nobody else sees yet.
        """
        if db.in_transaction():
            return View(await read_pictures(station_ids=None, now=now))
        if self._live and self._view is not None:
            return self._view
        await self.warm()
        async with self._reading:
            if self._view is None or (not self._live and time.monotonic() - self._read_at > BLIND_READ_S):
                await self._read_all(now)
            if self._view is None:
                raise RuntimeError("the board was read and is empty-handed")
            return self._view

    async def warm(self) -> None:
        """Read the picture before anybody asks, and follow it from now on; a process does so before it is ready.

        Returns when it is read, when the first attempt failed, or after `FIRST_READ_S`: a service whose database is
        away starts all the same, and says so by /readyz.
        """
        if self._keeper is None or self._keeper.done():
            self._keeper = db.start_outside_transaction(self._keep, name="discovery:board")
            await asyncio.sleep(0)
        if self._view is None:
            # The keeper is about to read everything: once is enough, unless it does not get its connection.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(FIRST_READ_S):
                    await self._first.wait()

    def live_view(self) -> View | None:
        """Return the picture if it is known to be that of now, without waiting for anything; else None."""
        return self._view if self._live and not db.in_transaction() else None

    def watch(self, station_id: UUID) -> tuple[asyncio.Event, Callable[[], None]]:
        """Return an event that is set whenever the station was read again, and what ends the watch."""
        changed = asyncio.Event()
        self._watchers.setdefault(station_id, set()).add(changed)

        def stop() -> None:
            holders = self._watchers.get(station_id, set())
            holders.discard(changed)
            if not holders:
                self._watchers.pop(station_id, None)

        return changed, stop

    async def close(self) -> None:
        """Stop listening."""
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)
            self._keeper = None
        self._live = False

    async def _keep(self) -> None:
        while True:
            connection: asyncpg.Connection | None = None
            try:
                connection = await asyncpg.connect(self._url, server_settings={"application_name": "linli:board"})
                await self._follow(connection)
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, TimeoutError) as error:
                log.warning("board_connection_lost", error=type(error).__name__)
            finally:
                self._live = False
                self._first.set()
                if connection is not None:
                    connection.terminate()
            await asyncio.sleep(RETRY_S)

    async def _follow(self, connection: asyncpg.Connection) -> None:
        self._lost = False
        self._pending.clear()

        def told(_connection: object, _pid: int, _channel: str, payload: object) -> None:
            self._pending.add(str(payload))
            self._wake.set()

        def ended(_connection: object) -> None:
            self._lost = True
            self._wake.set()

        connection.add_termination_listener(ended)
        await connection.add_listener(CHANNEL, told)
        async with self._reading:
            await self._read_all(self._clock.now())
        self._live = True
        while not self._lost:
            try:
                await asyncio.wait_for(self._wake.wait(), self._patience_s())
                await asyncio.sleep(GATHER_S)
            except TimeoutError:
                self._pending |= self._oldest_waits()
            self._wake.clear()
            await self._take_changes()

    def _patience_s(self) -> float:
        """Return how long to wait for a change: less than usual when prices or claims have to be read again before."""
        if self._reread_at is None:
            return LOOK_EVERY_S
        return min(LOOK_EVERY_S, max(0.0, (self._reread_at - self._clock.now()).total_seconds()))

    def _oldest_waits(self) -> set[str]:
        """Return the stations where somebody waits whose prediction is oldest, so many that reading them is quick."""
        pictures = {} if self._view is None else self._view.pictures
        waiting = sorted((p for p in pictures.values() if p.waiting), key=lambda picture: picture.read_at)
        return {str(picture.station.id) for picture in waiting[:WAITS_AT_ONCE]}

    async def _take_changes(self) -> None:
        now = self._clock.now()
        changed, self._pending = self._pending, set()
        over = self._reread_at is not None and now >= self._reread_at
        if over or ALL in changed or len(changed) > MANY:
            await self._read_all(now)
        elif changed:
            await self._read_some({UUID(station_id) for station_id in changed}, now)

    async def _read_all(self, now: datetime) -> None:
        pictures = await read_pictures(station_ids=None, now=now)
        self._view = View(pictures)
        self._read_at = time.monotonic()
        self._first.set()
        ends = {p.prices.valid_until for p in pictures.values() if p.prices is not None and p.prices.valid_until}
        self._reread_at = min([now + REREAD_AFTER, *ends])
        for events in self._watchers.values():
            for event in events:
                event.set()

    async def _read_some(self, station_ids: set[UUID], now: datetime) -> None:
        before = self._view
        fresh = await read_pictures(station_ids=station_ids, now=now)
        if before is None:
            return
        pictures = {**before.pictures, **fresh}
        moved = any(
            s not in before.pictures
            or (before.pictures[s].station.lat, before.pictures[s].station.lng) != (p.station.lat, p.station.lng)
            for s, p in fresh.items()
        )
        view = View(pictures, None if moved else before.grid)
        view.rendered = {
            key: kept for key, kept in before.rendered.items() if not (isinstance(key, tuple) and key[0] in fresh)
        }
        self._view = view
        for station_id in fresh:
            for event in self._watchers.get(station_id, ()):
                event.set()
