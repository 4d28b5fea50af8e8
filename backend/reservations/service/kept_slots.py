"""Answers of `/slots` that were worked out already, given again as long as nothing they rest on has changed.

Each call asks PostgreSQL for the mark of the station (one statement), so a change that is committed is seen by the
very next call, in whatever process it was made; nothing is told, and nothing can be missed. Decision 140.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from datetime import date, datetime, time, timedelta
from uuid import UUID
from weakref import WeakValueDictionary

import msgspec

from backend.core import db
from backend.core.errors import NotFound
from backend.reservations.rules.periods import BEIJING
from backend.reservations.rules.words import Power
from backend.reservations.service.slots import LOOK_BEYOND, is_ahead
from backend.reservations.store import marks
from backend.reservations.store.marks import Mark
from backend.tariffs.rules.bands import UserClass

AT_MOST = 512
"""Answers a process keeps, the least lately asked dropped first: about 13 KB each at a station of 40 connectors."""


class Asked(msgspec.Struct, frozen=True):
    """What one answer of `/slots` is about."""

    station_id: UUID
    on: date
    power: Power | None
    user_class: UserClass


class Made(msgspec.Struct, frozen=True, kw_only=True):
    """An encoded answer, and until when it holds unless something changes: which starts are past depends on the
    clock.
    """

    body: bytes
    good_until: datetime


class _Kept(msgspec.Struct, frozen=True):
    mark: Mark
    made_at: datetime
    made: Made


class KeptSlots:
    """The kept answers of a process."""

    def __init__(self) -> None:
        self._kept: OrderedDict[Asked, _Kept] = OrderedDict()
        self._making: WeakValueDictionary[Asked, asyncio.Lock] = WeakValueDictionary()

    async def answer(self, asked: Asked, *, now: datetime, make: Callable[[], Awaitable[Made]]) -> bytes:
        """Return what `make` would answer now, made anew only when it could differ. Raises NotFound.

        One caller at a time makes an answer. Mark and answer are read in one snapshot of the database: an answer can
        never be kept under the mark of another state. Inside a transaction it is always made through that transaction,
        and for a day without slots there is nothing to keep.
        """
        if db.in_transaction() or not is_ahead(asked.on, now):
            return (await make()).body
        found = self._find(asked, await self._mark(asked, now), now)
        if found is not None:
            return found
        lock = self._making.setdefault(asked, asyncio.Lock())
        async with lock:
            found = self._find(asked, await self._mark(asked, now), now)
            if found is not None:
                return found
            async with db.transaction():
                await marks.fix_what_is_read()
                mark = await self._mark(asked, now)
                made = await make()
            self._kept[asked] = _Kept(mark, now, made)
            self._kept.move_to_end(asked)
            if len(self._kept) > AT_MOST:
                self._kept.popitem(last=False)
            return made.body

    def _find(self, asked: Asked, mark: Mark, now: datetime) -> bytes | None:
        kept = self._kept.get(asked)
        if kept is None or kept.mark != mark or not kept.made_at <= now <= kept.made.good_until:
            return None
        self._kept.move_to_end(asked)
        return kept.made.body

    async def _mark(self, asked: Asked, now: datetime) -> Mark:
        opens_at = datetime.combine(asked.on, time(0), BEIJING)
        closes_at = opens_at + timedelta(days=1)
        since = min(max(opens_at, now), closes_at)
        mark = await marks.find_mark(asked.station_id, since, closes_at, closes_at + LOOK_BEYOND)
        if mark is None:
            raise NotFound(kind="station")
        return mark
