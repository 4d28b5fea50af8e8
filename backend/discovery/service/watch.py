"""One station as it changes: a snapshot, then the connectors that changed."""

import asyncio
from collections.abc import AsyncGenerator
from datetime import datetime
from typing import Literal
from uuid import UUID

from backend.core.clock import Clock
from backend.discovery.rules.picture import GunPicture, ZoneCounts, count_guns, is_claimed, is_free, next_change
from backend.discovery.service.board import Board
from backend.discovery.service.nearby import wait_of
from backend.discovery.service.pictures import StationPicture

QUIET_S = 20.0
"""A ping after this long without a change, so that proxies and phones keep the connection."""


class Moment:
    """A station's picture at an instant, with the guns to tell of (all, those that changed, or none)."""

    def __init__(
        self,
        kind: Literal["snapshot", "change", "ping"],
        picture: StationPicture,
        guns: tuple[GunPicture, ...],
        now: datetime,
    ) -> None:
        self.kind = kind
        self.picture = picture
        self.guns = guns
        self.now = now

    @property
    def held(self) -> bool:
        """Whether the station is closed for safety."""
        return self.picture.station.safety_hold

    @property
    def counts(self) -> ZoneCounts:
        """What is free, by zone."""
        return count_guns(self.picture.guns, held=self.held, now=self.now)

    @property
    def wait_s(self) -> int | None:
        """The predicted wait."""
        return wait_of(self.picture, now=self.now)


def _faces(picture: StationPicture, now: datetime) -> dict[UUID, tuple[str, bool, bool]]:
    held = picture.station.safety_hold
    return {gun.id: (gun.status, is_free(gun, held=held, now=now), is_claimed(gun, now)) for gun in picture.guns}


async def watch_station(*, board: Board, station_id: UUID, clock: Clock) -> AsyncGenerator[Moment, None]:
    """Yield a snapshot, then each change: told by the database, or by a claim that begins or ends meanwhile."""
    changed, stop = board.watch(station_id)
    try:
        now = clock.now()
        picture = (await board.view(now=now)).pictures.get(station_id)
        if picture is None:
            return
        faces = _faces(picture, now)
        yield Moment("snapshot", picture, picture.guns, now)
        while True:
            edge = next_change(picture.guns, now=now)
            patience = QUIET_S if edge is None else min(QUIET_S, max(0.0, (edge - now).total_seconds()) + 0.01)
            try:
                async with asyncio.timeout(patience):
                    await changed.wait()
            except TimeoutError:
                pass
            changed.clear()
            now = clock.now()
            picture = (await board.view(now=now)).pictures.get(station_id)
            if picture is None:
                return
            fresh = _faces(picture, now)
            guns = tuple(gun for gun in picture.guns if fresh[gun.id] != faces.get(gun.id))
            faces = fresh
            yield Moment("change" if guns else "ping", picture, guns, now)
    finally:
        stop()
