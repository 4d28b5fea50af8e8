"""`slot_race`: 500 residents ask for one slot of one connector over HTTP through 32 connections, 20 rounds.

One gets 201, all others 409 `slot_taken` with alternatives, nobody a 5xx, PostgreSQL sees no deadlock; anything else
fails the run. The times are those of single requests while 32 are under way.
"""

import asyncio
import os
import sys
import time
from collections import Counter
from datetime import datetime, timedelta

import httpx
import uvloop

from backend.accounts.service import logins
from backend.core import db
from backend.core.auth import Tokens
from backend.core.clock import SystemClock
from bench import figures
from bench.ground import Ground, ground
from tests.factories.accounts import add_company
from tests.factories.reservations import Resident, add_resident
from tests.factories.stations import add_gun, add_station

CALLERS = 500
CONNECTIONS = 32
ROUNDS = int(os.environ.get("LINLI_BENCH_ROUNDS", "20"))
A_DAY = 4
"""Rounds a day, three hours apart from 9:00 on: a car that stays over night would take the next morning's slot too."""


async def run(made: Ground) -> tuple[Counter[int], list[float]]:
    """Race, round after round; returns the answers by status, and the times in ms."""
    now = SystemClock().now()
    async with made.opened() as services:
        company_id = await add_company()
        station = await add_station()
        await add_gun(station_id=station.id, with_lock=False)
        residents: list[tuple[Resident, str]] = []
        for n in range(CALLERS + ROUNDS):
            resident = await add_resident(company_id=company_id, phone=f"136{n:08d}", plate=f"京AF{n:05d}")
            login = await logins.open_login(
                account_id=resident.account_id, method="sms", tokens=services.get(Tokens), now=now
            )
            residents.append((resident, login.access_token))
    made.launch("api")
    await asyncio.to_thread(made.wait_for_api)
    midnight = now.replace(hour=16, minute=0, second=0, microsecond=0) + timedelta(days=1)
    statuses: Counter[int] = Counter()
    took: list[float] = []
    limits = httpx.Limits(max_connections=CONNECTIONS, max_keepalive_connections=CONNECTIONS)
    lanes = asyncio.Semaphore(CONNECTIONS)
    async with httpx.AsyncClient(base_url=made.api_url, timeout=60, limits=limits) as client:
        for turn in range(ROUNDS):
            start = midnight + timedelta(days=turn // A_DAY, hours=9 + 3 * (turn % A_DAY))
            callers = residents[:CALLERS]
            answers = await asyncio.gather(
                *(_book(client, lanes, r, token, str(station.id), start, took) for r, token in callers)
            )
            found = Counter(answer.status_code for answer in answers)
            if found != {201: 1, 409: CALLERS - 1}:
                raise RuntimeError(f"round {turn}: {dict(found)}: {answers[0].text[:300]}")
            for answer in answers:
                body = answer.json()
                if answer.status_code == 409 and (body["code"] != "slot_taken" or not body["alternatives"]):
                    raise RuntimeError(f"refused without alternatives: {answer.text[:300]}")
            residents.pop(next(n for n, answer in enumerate(answers) if answer.status_code == 201))
            statuses += found
    async with made.opened():
        deadlocks = await db.fetchval("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")
        claims = await db.fetchval("SELECT count(*) FROM connector_claim")
    if (deadlocks, claims) != (0, ROUNDS):
        raise RuntimeError(f"{deadlocks} deadlocks, {claims} claims after {ROUNDS} rounds")
    return statuses, took


async def _book(
    client: httpx.AsyncClient,
    lanes: asyncio.Semaphore,
    resident: Resident,
    token: str,
    station_id: str,
    start: datetime,
    took: list[float],
) -> httpx.Response:
    body = {
        "station_id": station_id,
        "vehicle_id": str(resident.vehicle.id),
        "starts_at": start.isoformat(),
        "ends_at": (start + timedelta(hours=1)).isoformat(),
    }
    async with lanes:
        began = time.perf_counter()
        answer = await client.post("/v1/reservations", json=body, headers={"Authorization": f"Bearer {token}"})
        took.append((time.perf_counter() - began) * 1000)
    return answer


def main() -> int:
    """Run the race and print its line."""
    with ground() as made:
        statuses, took = uvloop.run(run(made))
    p50, p99 = figures.percentiles(took)
    print(
        f"slot_race rounds={ROUNDS} callers={CALLERS} connections={CONNECTIONS} created={statuses[201]}"
        f" refused={statuses[409]} errors=0 deadlocks=0"
        f" unit=ms p50={p50:.0f} p99={p99:.0f} max={max(took):.0f}"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
