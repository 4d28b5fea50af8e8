"""`booking`: spread bookings through the service, over plain SQL that inserts the same rows in the same transactions.

Residents book hours spread over stations, connectors and days, as many at once as the limit has connections. The limit
inserts the rows these bookings left (claim, booking, event, jobs) into a copy of the database made just before.
"""

import asyncio
import os
import random
import time
from datetime import timedelta

import uvloop

from backend.core import db
from backend.core.clock import SystemClock
from backend.core.errors import Conflict
from backend.reservations.service.reserve import reserve_slot
from bench import figures, replay
from bench.ground import Ground, ground
from tests.factories.accounts import add_company
from tests.factories.reservations import Resident, add_resident
from tests.factories.stations import add_gun, add_station

STATIONS, GUNS = 20, 6
BOOKINGS = int(os.environ.get("LINLI_BENCH_BOOKINGS", "1000"))
AT_ONCE = 8


async def book_all(residents: list[Resident], station_ids: list[object]) -> tuple[float, list[float], int]:
    """Two bookings a resident; returns the seconds, the times in ms, and how many were refused."""
    chance = random.Random(3)
    clock = SystemClock()
    now = clock.now()
    midnight = now.replace(hour=16, minute=0, second=0, microsecond=0)  # Beijing's next: all six days are bookable
    midnight += timedelta(days=midnight <= now)
    wishes = []
    for number in range(BOOKINGS):
        resident = residents[number % len(residents)]
        start = midnight + timedelta(
            days=number // len(residents) * 3 + chance.randrange(3), hours=chance.randrange(24)
        )
        wishes.append((resident, station_ids[number % len(station_ids)], max(start, midnight)))
    waiting = iter(wishes)
    took: list[float] = []
    refused = 0

    async def work() -> None:
        nonlocal refused
        for resident, station_id, start in waiting:
            began = time.perf_counter()
            try:
                await reserve_slot(
                    account_id=resident.account_id,
                    station_id=station_id,  # type: ignore[arg-type]
                    vehicle_id=resident.vehicle.id,
                    starts_at=start,
                    ends_at=start + timedelta(hours=1),
                    power=None,
                    connector_id=None,
                    now=clock.now(),
                )
            except Conflict:
                refused += 1
            else:
                took.append((time.perf_counter() - began) * 1000)

    began = time.perf_counter()
    await asyncio.gather(*(work() for _ in range(AT_ONCE)))
    return time.perf_counter() - began, took, refused


async def run(made: Ground) -> None:
    """Book, then play the same rows."""
    async with made.opened():
        company_id = await add_company()
        station_ids: list[object] = []
        for number in range(STATIONS):
            station = await add_station(lat=39.8 + number / 50)
            station_ids.append(station.id)
            for _ in range(GUNS):
                await add_gun(station_id=station.id, with_lock=False)
        residents = [
            await add_resident(company_id=company_id, phone=f"137{n:08d}", plate=f"京AD{n:05d}")
            for n in range(BOOKINGS // 2)
        ]
    copy = await made.clone("plain")
    async with made.opened(pool=AT_ONCE):
        await db.execute("ANALYZE")
        seconds, took, refused = await book_all(residents, station_ids)
    groups = await replay.collect(made.postgres.app_url, copy)
    booked = len(took)
    assert booked >= BOOKINGS * 0.8, f"only {booked} of {BOOKINGS} could be booked"
    assert len(groups) == booked, (len(groups), booked)
    limit_s = await replay.play(copy, groups, connections=AT_ONCE)
    figures.say(
        "booking",
        ours=booked / seconds,
        limit=booked / limit_s,
        unit="bookings/s",
        took_ms=took,
        rows=replay.describe(groups),
        refused=refused,
    )


def main() -> None:
    """Run the benchmark and print its line."""
    with ground() as made:
        uvloop.run(run(made))


if __name__ == "__main__":
    main()
