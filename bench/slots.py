"""`slots`: one day of a 40-connector station through HTTP, over a bare handler that returns equal bytes.

Ours: the API as `linli api` runs it; the day has bookings on every connector. The limit: the bare handler of `nearby`,
asked by the same client, turn by turn. While ours is asked, its DC connectors are held for an hour and given back, once
a second, from another process; the very next answer after each of these changes must show it.
"""

import asyncio
import os
import socket
import sys
import time
from datetime import datetime, timedelta
from uuid import UUID

import msgspec
import uvloop

from backend.core import db
from backend.core.clock import SystemClock
from backend.reservations.rules.periods import BEIJING
from backend.reservations.service import claims
from bench import figures
from bench.ground import Ground, ground, wait_until
from bench.nearby import BODIES, ask
from sandbox.servers import processes
from tests.factories.stations import add_gun, add_station

GUNS = 40
ROUNDS = 3
ROUND_S = float(os.environ.get("LINLI_BENCH_SECONDS", "4"))
CONNECTIONS = 16


async def run(made: Ground) -> None:
    """Measure with an open database."""
    async with made.opened(pool=4):
        await measure(made)


async def measure(made: Ground) -> None:
    """Fill a day, ask for it and for the limit turn by turn, and print the figure."""
    station = await add_station()
    guns = [
        await add_gun(station_id=station.id, kind="dc" if n % 4 == 0 else "ac", with_lock=False) for n in range(GUNS)
    ]
    now = SystemClock().now()
    day = (now.astimezone(BEIJING) + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)
    booked = 0
    for number, gun in enumerate(guns):
        for turn in range(3):
            starts_at = day + timedelta(hours=7 + 4 * turn + number % 2, minutes=15 * (number % 4))
            await claims.claim(
                connector_id=gun.connector.id,
                plate_hash=(10 * number + turn).to_bytes(32, "big"),
                starts_at=starts_at,
                ends_at=starts_at + timedelta(hours=2),
                kind="booking",
                reference_id=station.id,
                now=now,
            )
            booked += 1
    fast = [gun.connector.id for gun in guns if gun.connector.kind == "dc"]
    made.launch("api")
    await asyncio.to_thread(made.wait_for_api)
    path = f"/v1/stations/{station.id}/slots?date={day.date().isoformat()}".encode()
    bodies: list[bytes] = []
    await ask(made.api_port, [path], seconds=1, bodies=bodies, connections=1)
    items = msgspec.json.decode(bodies[0])["items"]
    assert len(items) > 60, f"only {len(items)} slots"
    file = made.folder / "bodies"
    file.write_bytes(msgspec.msgpack.encode(bodies[:1]))
    port = processes.free_port()
    made.run("bare", "-m", "bench.nearby", "bare", str(port), environ={BODIES: str(file)})
    await asyncio.to_thread(wait_until, lambda: _listens(port), what="the bare handler does not answer")
    ours, limit = [], []
    took: list[float] = []
    changes = 0
    for _ in range(ROUNDS):
        changing = asyncio.create_task(change_and_look(made.api_port, path, fast, day + timedelta(hours=20)))
        rate, times = await ask(made.api_port, [path], seconds=ROUND_S, connections=CONNECTIONS)
        changes += await changing
        ours.append(rate)
        took += times
        rate, _ = await ask(port, [b"/v1/stations"], seconds=ROUND_S, connections=CONNECTIONS)
        limit.append(rate)
    figures.say(
        "slots",
        ours=sum(ours) / ROUNDS,
        limit=sum(limit) / ROUNDS,
        unit="answers/s",
        took_ms=took,
        slots=len(items),
        bytes=len(bodies[0]),
        claims=booked,
        changes=changes,
    )


async def change_and_look(port: int, path: bytes, connector_ids: list[UUID], starts_at: datetime) -> int:
    """Hold these connectors at one time, then give them back, again and again; each next answer must show it."""
    free: list[bytes] = []
    await ask(port, [path], seconds=0, bodies=free, connections=1)
    changes = 0
    ends = time.monotonic() + ROUND_S
    while time.monotonic() < ends:
        async with db.transaction():
            held = [
                await claims.claim(
                    connector_id=connector_id,
                    plate_hash=None,
                    starts_at=starts_at,
                    ends_at=starts_at + timedelta(hours=1),
                    kind="maintenance",
                    reference_id=None,
                    now=SystemClock().now(),
                )
                for connector_id in connector_ids
            ]
        seen: list[bytes] = []
        await ask(port, [path], seconds=0, bodies=seen, connections=1)
        async with db.transaction():
            for claim_id in held:
                await claims.release_claim(claim_id=claim_id, now=SystemClock().now())
        await ask(port, [path], seconds=0, bodies=seen, connections=1)
        if seen[0] == free[0] or seen[-1] != free[0]:
            raise RuntimeError("the next answer did not show a change")
        changes += 2
        await asyncio.sleep(1)
    return changes


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def main() -> int:
    """Run the benchmark and print its line."""
    with ground() as made:
        uvloop.run(run(made))
    return 0


if __name__ == "__main__":
    sys.exit(main())
