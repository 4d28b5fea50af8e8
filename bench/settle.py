"""`settle`: ended sessions through the real job path, over plain SQL inserting the same rows in the same transactions.

Ours: one `linli worker` with the events of all sessions in its queue; each is settled from its readings, its car has
left, so the bill is closed, entered into the ledger, told to the resident, and all that follows runs too. The limit
inserts the rows these jobs left into a copy of the database made just before. `LINLI_BENCH_SESSIONS=10000` is the full
size.
"""

import asyncio
import os
import time
from datetime import UTC, datetime, timedelta

import asyncpg
import uvloop

from backend.charging import store
from backend.charging.events import SessionEnded
from backend.core import db, jobs
from backend.core.clock import SystemClock
from backend.tariffs import service as tariffs
from bench import figures, replay
from bench.billing import EVERY, ended_session
from bench.ground import Ground, ground
from sandbox.servers.postgres import DATABASE, SUPERUSER, run_as_superuser
from tests.factories.accounts import add_company
from tests.factories.reservations import Resident, add_resident
from tests.factories.stations import Gun, add_gun, add_station
from tests.factories.tariffs import publish_tariff

SESSIONS = int(os.environ.get("LINLI_BENCH_SESSIONS", "2000"))
GUNS, RESIDENTS, READINGS = 100, 50, 10
APART = timedelta(minutes=4)
"""Of two sessions on a connector: 10,000 are over within seven hours, a day of history as the worker finds it."""
CONNECTIONS = 10
WAITING = "SELECT count(*) FROM pgqueuer WHERE execute_after <= now() AND status IN ('queued', 'picked')"


async def prepare() -> None:
    """Write sessions that have ended, their readings and the events that tell of it."""
    company_id = await add_company()
    await publish_tariff(operator_company_id=company_id)
    guns: list[Gun] = []
    for number in range(GUNS // 10):
        station = await add_station(lat=39.8 + number / 50)
        guns += [await add_gun(station_id=station.id, with_lock=False) for _ in range(10)]
    residents: list[Resident] = [
        await add_resident(company_id=company_id, phone=f"137{n:08d}", plate=f"京AD{n:05d}") for n in range(RESIDENTS)
    ]
    now = SystemClock().now()
    tariff = await tariffs.price_for(station_id=guns[0].connector.station_id, user_class="agreement", at=now)
    rounds = -(-SESSIONS // GUNS)
    first = now - timedelta(hours=1) - APART * rounds
    today = datetime.now(UTC).date()
    rows = []
    async with db.transaction():
        for number in range(SESSIONS):
            gun, turn = guns[number % GUNS], number // GUNS
            start = first + APART * turn
            session = ended_session(
                residents[number % RESIDENTS],
                gun,
                start=start,
                readings=READINGS,
                tariff=tariff,
                company_id=company_id,
            )
            assert await store.add_session(session)
            event = SessionEnded(
                session_id=session.id,
                connector_id=session.connector_id,
                station_id=session.station_id,
                account_id=session.account_id,
                reason="target",
                at=session.ended_at or now,
            )
            await jobs.emit(event, now=now)
            for n in range(READINGS + 2):
                at = start + (n - 1) * EVERY + timedelta(seconds=7)
                meter_wh = 1_000_000 + n * 29
                rows.append(
                    (gun.connector.id, today, turn, n, at, at, False, "charging", meter_wh, 6_950, 221.7, 31.4, 41.5)
                )
    names = (
        "connector_id", "received_on", "boot", "seq", "occurred_at", "received_at", "clock_flagged", "status",
        "meter_wh", "power_w", "voltage_v", "current_a", "gun_temp_c",
    )  # fmt: skip
    await db.copy_records("telemetry_sample", records=rows, columns=names)


async def work_off(made: Ground) -> float:
    """Start a worker and wait until its queue is empty; returns the seconds from its first bill on."""
    connection = await asyncpg.connect(made.postgres.app_url)
    made.launch("worker")
    began = time.perf_counter()
    try:
        while await connection.fetchval("SELECT count(*) FROM charge_order") == 0:
            if time.perf_counter() - began > 60:
                raise TimeoutError("the worker settles nothing")
            await asyncio.sleep(0.02)
        began = time.perf_counter()
        while await connection.fetchval(WAITING) > 0:  # noqa: ASYNC110  it happens in another process
            await asyncio.sleep(0.2)
        seconds = time.perf_counter() - began
        statuses = await connection.fetch("SELECT status, count(*) AS n FROM charge_order GROUP BY 1")
        assert {row["status"]: row["n"] for row in statuses} == {"unpaid": SESSIONS}, [tuple(r) for r in statuses]
        failed = await connection.fetchval("SELECT count(*) FROM pgqueuer WHERE status = 'failed' OR attempts > 0")
        assert failed == 0, f"{failed} jobs failed"
    finally:
        await connection.close()
        made.kill("worker")
    return seconds


async def run(made: Ground) -> None:
    """Settle, then play the same rows."""
    async with made.opened():
        await prepare()
    # What autovacuum does within a minute of such a load.
    await run_as_superuser(made.postgres.url(SUPERUSER, DATABASE), ["ANALYZE"])
    copy = await made.clone("plain")
    seconds = await work_off(made)
    # What the worker does by the clock, settlement or not, is no part of it.
    groups = await replay.collect(made.postgres.app_url, copy, without=("job_tick", "platform_sight"))
    limit_s = await replay.play(copy, groups, connections=CONNECTIONS)
    figures.say(
        "settle",
        ours=SESSIONS / seconds,
        limit=SESSIONS / limit_s,
        unit="sessions/s",
        sessions=SESSIONS,
        transactions=len(groups),
        rows=replay.describe(groups),
    )


def main() -> None:
    """Run the benchmark and print its line."""
    with ground() as made:
        uvloop.run(run(made))


if __name__ == "__main__":
    main()
