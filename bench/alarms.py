"""`alarms`: a smoke alarm from the broker to committed, to the guard's open board (WebSocket), to the push handed over.

The whole service runs: api, bridge, ingest, worker, and the sandbox's APNs over HTTP/2 and TLS. Each alarm is another
station's. Idle first, then under `LINLI_BENCH_LOAD` messages a second: twice the telemetry that `soak` carries without
end, with the same hundred plugs and unplugs a second, more than two cores have time for. The limit is the promise:
500 ms to the WebSocket and 1 s to the push at p99 (domain.md, "Safety"); the ratio is p99 to the push over it, below 1
is kept. `bare_commit` is how long the disk takes meanwhile.
"""

import asyncio
import os
import time

import asyncpg
import httpx
import msgspec
from websockets.asyncio.client import connect

from backend.accounts import service as accounts
from backend.accounts.service import logins
from backend.core.auth import Tokens
from backend.core.clock import SystemClock
from backend.core.services import Services
from bench import figures
from bench.ground import Ground, ground
from bench.load import Crowd, CrowdApart, Detector
from sandbox import providers as sandbox_providers
from sandbox.providers import Providers

ALARMS = int(os.environ.get("LINLI_BENCH_ALARMS", "100"))
LOAD = float(os.environ.get("LINLI_BENCH_LOAD", "4000"))
EVENTS = 100.0
"""Of them on the safety lane, a second: as many as in `soak`. What is twice as much is telemetry."""
PROMISE_MS, WEBSOCKET_MS = 1000.0, 500.0
COMMITTED = "SELECT count(*) FROM incident WHERE station_id = $1"


class Disk:
    """How long a bare commit takes meanwhile: what no service on this disk can be quicker than, three times over."""

    def __init__(self, connection: "asyncpg.Connection[asyncpg.Record]") -> None:
        self.connection = connection
        self.took_ms: list[float] = []

    async def probe(self) -> None:
        """Commit a row ten times a second, until cancelled."""
        await self.connection.execute("CREATE TABLE IF NOT EXISTS disk_probe (n int)")
        while True:
            began = time.perf_counter()
            await self.connection.execute("INSERT INTO disk_probe VALUES (1)")
            self.took_ms.append((time.perf_counter() - began) * 1000)
            await asyncio.sleep(0.1)


class Watch:
    """What reaches the guard, with the moment it did."""

    def __init__(self, providers: Providers) -> None:
        self.providers = providers
        self.shown: dict[str, float] = {}

    async def board(self, made: Ground, token: str) -> None:
        """Keep the board open and note when each station's incident shows."""
        async with httpx.AsyncClient(base_url=made.api_url) as client:
            answer = await client.post("/v1/auth/tickets", headers={"Authorization": f"Bearer {token}"})
            ticket = answer.raise_for_status().json()["ticket"]
        async with connect(f"{made.api_url.replace('http', 'ws', 1)}/v1/staff/live?ticket={ticket}") as socket:
            async for text in socket:
                now = time.perf_counter()
                for station_id in _incident_stations(msgspec.json.decode(text)):
                    self.shown.setdefault(station_id, now)

    def pushed_at(self, detector: Detector, since: float) -> float | None:
        """When APNs took the page of this detector's alarm (Unix time); escalations of others come meanwhile."""
        for push in reversed(self.providers.pushes):
            if push.at < since:
                return None
            if f'"紧急：{detector.station}"' in msgspec.json.encode(push.payload).decode():
                return push.at
        return None


def _incident_stations(message: object) -> list[str]:
    """The station of an incident that a message of the board shows."""
    if isinstance(message, dict):
        text = msgspec.json.encode(message).decode()
        if "incident" in text and message.get("station_id"):
            return [str(message["station_id"])]
        return [found for value in message.values() for found in _incident_stations(value)]
    return []


async def add_guard(crowd: Crowd, services: Services) -> str:
    """A guard with a phone that takes pushes; returns the access token."""
    now = SystemClock().now()
    assert crowd.company_id is not None
    account_id = await accounts.ensure_account(phone="13800000011", name="王", now=now)
    await accounts.add_staff(account_id=account_id, role="guard", operator_company_id=crowd.company_id, now=now)
    await accounts.register_push_token(account_id=account_id, platform="ios", token="a" * 64, now=now)
    login = await logins.open_login(account_id=account_id, method="sms", tokens=services.get(Tokens), now=now)
    return login.access_token


async def measure(
    name: str,
    detectors: list[Detector],
    *,
    made: Ground,
    crowd: Crowd,
    watch: Watch,
    board: "asyncio.Task[None]",
    extra: dict[str, object],
) -> None:
    """Raise one alarm after the other and print the times of each leg."""
    committed, shown, pushed = [], [], []
    connection = await asyncpg.connect(made.postgres.app_url)
    disk = Disk(await asyncpg.connect(made.postgres.owner_url))
    probing = asyncio.create_task(disk.probe())
    try:
        for detector in detectors:
            station_id = str(detector.station_id)
            began, since = time.perf_counter(), time.time()
            crowd.raise_smoke(detector)
            committed_at, push_at = 0.0, None
            async with asyncio.timeout(30):
                while not (committed_at and push_at and station_id in watch.shown):
                    if not committed_at and await connection.fetchval(COMMITTED, detector.station_id):
                        committed_at = time.perf_counter()
                    push_at = push_at or watch.pushed_at(detector, since)
                    if board.done():
                        board.result()
                    await asyncio.sleep(0.004)
            committed.append((committed_at - began) * 1000)
            pushed.append((push_at - since) * 1000)
            shown.append((watch.shown[station_id] - began) * 1000)
            await asyncio.sleep(0.3)
    finally:
        probing.cancel()
        await asyncio.gather(probing, return_exceptions=True)
        await disk.connection.close()
        await connection.close()
    _, p99 = figures.percentiles(pushed)
    legs = {}
    for leg, times in (("committed", committed), ("websocket", shown), ("bare_commit", disk.took_ms)):
        legs[f"{leg}_p50"], legs[f"{leg}_p99"] = (f"{value:.0f}" for value in figures.percentiles(times))
    kept = float(legs["websocket_p99"]) <= WEBSOCKET_MS and p99 <= PROMISE_MS
    figures.say(
        name,
        ours=p99,
        limit=PROMISE_MS,
        unit="ms",
        took_ms=pushed,
        **legs,
        alarms=len(detectors),
        promise="kept" if kept else "BROKEN",
        **extra,
    )


async def run(made: Ground) -> None:
    """Idle, then under load."""
    providers = await sandbox_providers.start(state_dir=made.folder / "providers")
    made.extra = dict(providers.settings)
    crowd = Crowd(made.broker_port)
    async with made.opened() as services:
        await crowd.register(stations=2 * ALARMS, chargers=2)
        token = await add_guard(crowd, services)
    made.launch("api", "bridge", "ingest", "worker")
    await asyncio.to_thread(made.wait_for_api)
    crowd.connect()
    watch = Watch(providers)
    board = asyncio.create_task(watch.board(made, token))
    try:
        await asyncio.sleep(3)
        await measure(
            "alarms_idle", crowd.detectors[:ALARMS], made=made, crowd=crowd, watch=watch, board=board, extra={}
        )
        apart = CrowdApart(crowd, port=made.broker_port, rate=LOAD, event_every=round(LOAD / EVENTS))
        await asyncio.sleep(8)
        said, began = apart.said, time.perf_counter()
        loaded = crowd.detectors[ALARMS:]
        await measure(
            "alarms_loaded",
            loaded,
            made=made,
            crowd=crowd,
            watch=watch,
            board=board,
            extra={"asked_msg_per_s": f"{LOAD:.0f}"},
        )
        rate = (apart.said - said) / (time.perf_counter() - began)
        apart.stop()
        print(f"alarms_loaded: the crowd said {rate:.0f} msg/s meanwhile", flush=True)
        if rate < 0.95 * LOAD:
            raise RuntimeError("the load was less than what was asked for: the figures above are not of it")
    finally:
        board.cancel()
        crowd.close()
        made.stop_service()
        await providers.close()


def main() -> None:
    """Run the benchmark and print its lines."""
    with ground(broker=True) as made:
        asyncio.run(run(made))


if __name__ == "__main__":
    main()
