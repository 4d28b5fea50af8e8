"""`slot_race`: 200 residents ask for one slot of one connector over HTTP at the same time, some rounds.

One gets 201, all others 409 `slot_taken` with alternatives, nobody a 5xx; anything else fails the run. The times are
those of single requests while all 200 wait.
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
from backend.core.auth import Tokens
from backend.core.clock import SystemClock
from bench import figures
from bench.ground import Ground, ground
from tests.factories.accounts import add_company
from tests.factories.reservations import Resident, add_resident
from tests.factories.stations import add_gun, add_station

CALLERS = 200
ROUNDS = int(os.environ.get("LINLI_BENCH_ROUNDS", "3"))


async def run(made: Ground) -> tuple[Counter[int], list[float]]:
    """Race, round after round; returns the answers by status, and the times in ms."""
    now = SystemClock().now()
    async with made.opened() as services:
        company_id = await add_company()
        station = await add_station()
        await add_gun(station_id=station.id, with_lock=False)
        residents: list[tuple[Resident, str]] = []
        for n in range(CALLERS):
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
    limits = httpx.Limits(max_connections=CALLERS, max_keepalive_connections=CALLERS)
    async with httpx.AsyncClient(base_url=made.api_url, timeout=60, limits=limits) as client:
        for turn in range(ROUNDS):
            start = midnight + timedelta(hours=8 + 3 * turn)
            answers = await asyncio.gather(
                *(_book(client, r, token, str(station.id), start, took) for r, token in residents)
            )
            found = Counter(answer.status_code for answer in answers)
            if found != {201: 1, 409: CALLERS - 1}:
                raise RuntimeError(f"round {turn}: {dict(found)}: {answers[0].text[:300]}")
            for answer in answers:
                body = answer.json()
                if answer.status_code == 409 and (body["code"] != "slot_taken" or not body["alternatives"]):
                    raise RuntimeError(f"refused without alternatives: {answer.text[:300]}")
            statuses += found
    return statuses, took


async def _book(
    client: httpx.AsyncClient, resident: Resident, token: str, station_id: str, start: datetime, took: list[float]
) -> httpx.Response:
    body = {
        "station_id": station_id,
        "vehicle_id": str(resident.vehicle.id),
        "starts_at": start.isoformat(),
        "ends_at": (start + timedelta(hours=1)).isoformat(),
    }
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
        f"slot_race rounds={ROUNDS} callers={CALLERS} created={statuses[201]} refused={statuses[409]} errors=0"
        f" unit=ms p50={p50:.0f} p99={p99:.0f} max={max(took):.0f}"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
