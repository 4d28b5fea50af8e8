"""`nearby`: the nearest search over 1,706 stations, full live answers through HTTP, over a bare Litestar handler.

Ours: the API as `linli api` runs it, one Granian worker, asked from points drawn near stations; every connector has a
state, every station a price, and every answer comes with counts, price and wait. The limit: Granian with one Litestar
handler that returns the very same bytes and does nothing else, asked by the same client in the same run, by short
turns.
Afterwards, under a quarter of the connections (so that the asking process keeps time), a connector's state is
changed in PostgreSQL again and again; each change must show within 1 s.
"""

import asyncio
import os
import random
import statistics
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import uvloop
from granian.constants import Interfaces, Loops
from granian.server import Server
from litestar import Litestar, Response, get

from backend.accounts import service as accounts
from backend.core import db
from backend.core.ids import new_id
from backend.core.units import Point, distance_m
from backend.stations.service import imports
from backend.tariffs import service as tariffs
from bench.figures import say
from bench.ground import Ground, ground, wait_until
from sandbox.demo import prices
from sandbox.demo.stations import moved
from sandbox.servers import processes

LEAST = 0.25
SHOWN_WITHIN_S = 1.0
CONNECTIONS = 32
ROUNDS = 8
ROUND_S = float(os.environ.get("LINLI_BENCH_SECONDS", "1.5"))
WARM_UP_S = 5
WATCH_S = 5
POINTS = 2000
BODIES = "LINLI_BENCH_BODIES"
STATIONS_FILE = Path(__file__).parents[1] / "data" / "shenzhen_stations.csv"
NOW = datetime(2026, 8, 3, 4, 0, tzinfo=UTC)


async def prepare() -> list[tuple[float, float]]:
    """Import the stations, let every connector have spoken, publish a price; returns the stations' points."""
    report = await imports.import_stations(file=STATIONS_FILE, now=NOW)
    if report.added != 1706:
        raise RuntimeError(f"{report.added} stations were added instead of 1706")
    company = await accounts.find_operator_company_by_code(code=imports.PUBLIC_COMPANY_CODE)
    if company is None:
        raise RuntimeError("the holder of public data is missing")
    author, approver = new_id(), new_id()
    mine = frozenset({company.id})
    draft = await tariffs.draft_version(
        operator_company_id=company.id,
        station_id=None,
        supply_class="below_1kv",
        name="bench",
        effective_from=prices.EFFECTIVE_FROM,
        effective_to=None,
        spans=prices.SPANS["below_1kv"],
        prices=prices.prices_of("below_1kv"),
        parking=prices.PARKING,
        actor_id=author,
        now=NOW,
    )
    await tariffs.approve_version(version_id=draft.id, company_ids=mine, actor_id=approver, now=NOW)
    await tariffs.publish_version(version_id=draft.id, company_ids=mine, actor_id=approver, now=NOW)
    await db.execute("UPDATE station SET has_devices = true")
    await db.execute(
        "INSERT INTO connector_state (connector_id, device_id, station_id, number, status, reported_status,"
        " status_boot, status_seq, status_since)"
        " SELECT id, charger_id, station_id, number, s, s, 1, 1, $1 FROM (SELECT *,"
        " (ARRAY['available', 'available', 'charging', 'charging', 'unknown', 'faulted'])[1 + (random() * 5)::int] AS s"
        " FROM connector) c",
        NOW,
    )
    return [(row["lat"], row["lng"]) for row in await db.fetch("SELECT lat, lng FROM station")]


def draw_paths(places: list[tuple[float, float]]) -> list[bytes]:
    """Return searches from points up to 400 m beside stations."""
    dice = random.Random(20261121)
    paths = []
    for _ in range(POINTS):
        lat, lng = moved(*dice.choice(places), north_m=dice.randint(-280, 280), east_m=dice.randint(-280, 280))
        paths.append(f"/v1/stations?lat={lat}&lng={lng}&coord=gcj02".encode())
    return paths


class Caller(asyncio.Protocol):
    """One keep-alive connection that asks one path after another and times each answer."""

    def __init__(self, paths: list[bytes], start: int, took: list[float], bodies: list[bytes] | None) -> None:
        self._paths = paths
        self._next = start
        self._took = took
        self._bodies = bodies
        self._buffer = b""
        self._asked = 0.0
        self.stopping = False
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport: Any = transport
        self._ask()

    def _ask(self) -> None:
        path = self._paths[self._next % len(self._paths)]
        self._next += 1
        self._asked = time.perf_counter()
        self._transport.write(b"GET " + path + b" HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n")

    def data_received(self, data: bytes) -> None:
        """Take an answer and ask again."""
        self._buffer += data
        head, found, rest = self._buffer.partition(b"\r\n\r\n")
        if not found:
            return
        lower = head.lower()
        if not head.startswith(b"HTTP/1.1 200"):
            self._fail(RuntimeError(head.decode(errors="replace")))
            return
        at = lower.index(b"content-length:") + 15
        length = int(lower[at:].split(b"\r\n", 1)[0])
        if len(rest) < length:
            return
        self._took.append((time.perf_counter() - self._asked) * 1000)
        if self._bodies is not None:
            self._bodies.append(rest[:length])
        self._buffer = b""
        if self.stopping:
            self._transport.close()
            self.done.set_result(None)
        else:
            self._ask()

    def connection_lost(self, exc: Exception | None) -> None:
        """An end that was not asked for fails the run."""
        self._fail(exc or ConnectionResetError("the server closed the connection"))

    def _fail(self, error: Exception) -> None:
        if not self.done.done():
            self.done.set_exception(error)


async def ask(
    port: int, paths: list[bytes], *, seconds: float, bodies: list[bytes] | None = None, connections: int = CONNECTIONS
) -> tuple[float, list[float]]:
    """Ask for a while over some connections; returns answers a second and the times in ms."""
    loop = asyncio.get_running_loop()
    took: list[float] = []
    began = time.perf_counter()
    callers = []
    for number in range(connections):
        _, caller = await loop.create_connection(
            lambda number=number: Caller(paths, number * 61, took, bodies),  # type: ignore[misc]
            "127.0.0.1",
            port,
        )
        callers.append(caller)
    await asyncio.sleep(seconds)
    for caller in callers:
        caller.stopping = True
    await asyncio.gather(*(caller.done for caller in callers))
    return len(took) / (time.perf_counter() - began), took


async def change_and_watch(port: int, place: Any, *, seconds: float) -> list[float]:
    """Change a connector's state again and again and ask until it shows; returns the seconds each took."""
    path = f"/v1/stations/{place['station_id']}/connectors".encode()
    shown: list[float] = []
    ends = time.monotonic() + seconds
    status = "available"
    while time.monotonic() < ends:
        status = "charging" if status == "available" else "available"
        await db.execute(
            "UPDATE connector_state SET status = $2 WHERE connector_id = $1", place["connector_id"], status
        )
        began = time.monotonic()
        while await _status(port, path, str(place["connector_id"])) != status:
            if time.monotonic() - began > 5:
                raise RuntimeError("a change of state did not show within 5 s")
            await asyncio.sleep(0.01)
        shown.append(time.monotonic() - began)
        await asyncio.sleep(0.2)
    return shown


async def _status(port: int, path: bytes, connector_id: str) -> str:
    bodies: list[bytes] = []
    await ask(port, [path], seconds=0, bodies=bodies, connections=1)
    items = msgspec.json.decode(bodies[0])["items"]
    return next(str(item["status"]) for item in items if item["id"] == connector_id)


def check_answer(path: bytes, body: bytes, places: list[tuple[float, float]]) -> None:
    """Compare an answer with plain measuring of every station."""
    query = dict(pair.split("=") for pair in path.decode().partition("?")[2].split("&"))
    here = Point(float(query["lat"]), float(query["lng"]))
    expected = sorted(away for lat, lng in places if (away := distance_m(here, Point(lat, lng))) <= 500)
    answer = msgspec.json.decode(body)
    found = [item["distance_m"] for item in answer["items"]]
    if found != expected[:50] or not all(item["price"] for item in answer["items"]):
        raise RuntimeError(f"{path.decode()} answered {found}, measured {expected}")


def served() -> Litestar:
    """Return the limit: a Litestar application with one handler that returns bytes (factory for Granian)."""
    bodies: list[bytes] = msgspec.msgpack.decode(Path(os.environ[BODIES]).read_bytes())
    turn = 0

    @get("/v1/stations", sync_to_thread=False)
    def bare() -> Response[bytes]:
        nonlocal turn
        turn += 1
        return Response(bodies[turn % len(bodies)], media_type="application/json")

    return Litestar([bare], openapi_config=None)


def serve_bare(port: int) -> None:
    """Serve the limit just as the API is served."""
    Server(
        "bench.nearby:served",
        address="127.0.0.1",
        port=port,
        interface=Interfaces.ASGI,
        workers=1,
        loop=Loops.uvloop,
        factory=True,
        log_access=False,
    ).serve()


async def measure(made: Ground) -> None:
    """Run turns of ours and the limit, and print the figure."""
    async with made.opened(pool=4):
        places = await prepare()
        made.launch("api")
        await asyncio.to_thread(made.wait_for_api)
        paths = draw_paths(places)
        await ask(made.api_port, paths, seconds=WARM_UP_S)
        bodies: list[bytes] = []
        await ask(made.api_port, paths, seconds=2, bodies=bodies, connections=1)
        for number in range(min(len(bodies), 200)):
            check_answer(paths[number], bodies[number], places)
        file = made.folder / "bodies"
        file.write_bytes(msgspec.msgpack.encode(bodies))
        bare_port = processes.free_port()
        made.run("bare", "-m", "bench.nearby", "bare", str(bare_port), environ={BODIES: str(file)})
        await asyncio.to_thread(wait_until, lambda: _listens(bare_port), what="the bare handler does not answer")
        place = await db.fetchrow(
            "SELECT connector_id, station_id FROM connector_state WHERE status = 'available'"
            " ORDER BY connector_id LIMIT 1"
        )
        ours: list[float] = []
        limits: list[float] = []
        took: list[float] = []
        for _ in range(ROUNDS):
            limits.append((await ask(bare_port, [b"/v1/stations"], seconds=ROUND_S))[0])
            rate, times = await ask(made.api_port, paths, seconds=ROUND_S)
            ours.append(rate)
            took += times
        _, shown = await asyncio.gather(
            ask(made.api_port, paths, seconds=WATCH_S, connections=CONNECTIONS // 4),
            change_and_watch(made.api_port, place, seconds=WATCH_S),
        )
    ratio = statistics.median(ours) / statistics.median(limits)
    say(
        "nearby",
        ours=statistics.median(ours),
        limit=statistics.median(limits),
        unit="req/s",
        took_ms=took,
        shown_max_s=f"{max(shown):.3f}",
        answer_bytes=round(statistics.mean(map(len, bodies))),
    )
    if ratio < LEAST:
        raise SystemExit(f"nearby: {ratio:.2f} is below {LEAST}")
    if max(shown) > SHOWN_WITHIN_S:
        raise SystemExit(f"nearby: a change took {max(shown):.2f} s to show")


def _listens(port: int) -> bool:
    import socket

    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def main() -> None:
    """Run the benchmark, or (with `bare PORT`) be its limit."""
    if sys.argv[1:2] == ["bare"]:
        serve_bare(int(sys.argv[2]))
        return
    with ground() as made:
        uvloop.run(measure(made))


if __name__ == "__main__":
    main()
