"""A place in a queue as its owner sees it: a snapshot from PostgreSQL, then each change of position, wait and offer."""

import asyncio
from collections.abc import AsyncGenerator
from uuid import UUID

from backend.core.clock import Clock
from backend.core.live import Live
from backend.waiting.rules.queue import OPEN_STATUSES
from backend.waiting.schemas import QueueAnswer, QueueMessage
from backend.waiting.service import queue

LOOK_EVERY_S = 10.0
"""The expected wait shrinks with the clock too: it is worked out again this often, and a ping sent if nothing moved."""


def channel_of(station_id: UUID) -> str:
    """Return the live channel of a station's queue."""
    return f"queue:{station_id}"


async def watch_entry(
    *, entry_id: UUID, account_id: UUID, live: Live, clock: Clock
) -> AsyncGenerator[QueueMessage, None]:
    """Yield the place, then what becomes of it, until it is over; subscribed before the snapshot is read, so that
    nothing is missed.
    """
    first = await queue.read(account_id=account_id, entry_id=entry_id, now=clock.now())
    subscription = await live.subscribed(channel_of(first.entry.station_id))
    try:
        shown = QueueAnswer.of(await queue.read(account_id=account_id, entry_id=entry_id, now=clock.now()))
        yield QueueMessage(type="snapshot", entry=shown)
        while shown.status in OPEN_STATUSES:
            told = True
            try:
                async with asyncio.timeout(LOOK_EVERY_S):
                    await anext(subscription)
            except TimeoutError:
                told = False
            fresh = QueueAnswer.of(await queue.read(account_id=account_id, entry_id=entry_id, now=clock.now()))
            if fresh != shown:
                offered = fresh.status == "offered" and fresh.offer != shown.offer
                shown = fresh
                yield QueueMessage(type="offer" if offered else "change", entry=shown)
            elif not told:
                yield QueueMessage(type="ping")
    finally:
        subscription.close()
