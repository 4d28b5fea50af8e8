"""`ingest`: telemetry from a pre-filled broker queue to state and history, over a bare paho receiver in the same run.

The limit: stock paho on the asyncio loop (add_reader, its own acknowledgements), which counts the messages and does
nothing with them. Ours: one bridge and one ingest process as `linli` runs them, each message durable in Valkey
(`appendfsync always`) before it is acknowledged, then in history, state and rules in PostgreSQL (`fsync` on). Both
take the same messages from a session that filled while nobody was connected. The broker keeps its queues in memory, so
that it is not what is measured. p50 and p99, in ms: from publishing to
the live channel, afterwards, at 200 messages a second.
"""

import asyncio
import base64
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg
import msgspec
import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from redis.asyncio import Redis

from backend.accounts.service import add_operator_company
from backend.cli.migrations import migrate
from backend.core import db
from backend.core.clock import SystemClock
from backend.core.ids import new_id
from backend.stations.rules.broker import hash_password
from backend.stations.service import build
from mqtt_bridge import messages, topics
from mqtt_bridge.process import TELEMETRY_CLIENT
from sandbox.servers import processes
from sandbox.servers.mosquitto import BRIDGE_RULES, BrokerUser, MosquittoServer
from sandbox.servers.mosquitto_program import find_mosquitto, programs_folder
from sandbox.servers.postgres import PostgresPasswords, PostgresServer
from sandbox.servers.valkey import ValkeyServer

STATIONS = 40
CHARGERS = 10
MESSAGES = int(os.environ.get("LINLI_BENCH_MESSAGES", "60000"))
LIVE_MESSAGES, LIVE_RATE = 1000, 200
ROOT = Path(__file__).parents[1]


def _properties(kind: int, **values: int) -> Properties:
    made = Properties(kind)  # type: ignore[no-untyped-call]
    for name, value in values.items():
        setattr(made, name, value)
    return made


def _nothing(_: bool) -> None:
    """Drop what an asyncio call answers where paho wants nothing."""


class Bench:
    """The servers, the devices and the clients of one run."""

    def __init__(self, folder: Path) -> None:
        self.postgres = PostgresServer(folder=folder / "pg", passwords=PostgresPasswords())
        self.valkey = ValkeyServer(folder=folder / "valkey", password="bench")
        program = find_mosquitto(folder=programs_folder(folder), say=print)
        self.broker = MosquittoServer(folder=folder / "mqtt", program=program, durable=False)
        self.log = folder / "service.log"
        self.chargers: list[tuple[str, bool]] = []
        self.children: list[subprocess.Popen[bytes]] = []

    def start(self) -> None:
        self.postgres.start()
        self.valkey.start()
        rules = ("topic readwrite ev/v1/#",)
        self.broker.set_access(
            users=(
                BrokerUser(name="bridge", password_hash=hash_password("b"), rules=BRIDGE_RULES),
                BrokerUser(name="fleet", password_hash=hash_password("f"), rules=rules),
            )
        )
        self.broker.start()

    def stop(self) -> None:
        for child in self.children:
            child.kill()
            child.wait()
        for server in (self.broker, self.valkey, self.postgres):
            server.stop()

    async def register(self) -> None:
        """Add the stations; every second charger is DC. Device logins are not used: the fleet has one."""
        now = SystemClock().now()
        await db.open_database(self.postgres.app_url)
        async with db.transaction():
            company_id = await add_operator_company(code="bench", name="Bench", now=now)
            for s in range(STATIONS):
                station_id = await build.put_station(
                    code=f"S{s}", name=f"S{s}", operator_company_id=company_id, lat=39.9, lng=116.4, now=now
                )
                for c in range(CHARGERS):
                    dc = c % 2 == 1
                    code = f"S{s}C{c}"
                    charger_id, _ = await build.put_charger(
                        station_id=station_id, code=code, kind="dc" if dc else "ac", max_power_w=60_000 if dc else 7_000
                    )
                    await db.execute(
                        "INSERT INTO device (id, code, kind, station_id, charger_id, report_interval_s, password_hash,"
                        " created_at, updated_at) VALUES ($1, $2, 'charger', $3, $4, 15, '$7$none', $5, $5)",
                        new_id(),
                        code,
                        station_id,
                        charger_id,
                        now,
                    )
                    self.chargers.append(
                        (topics.make(station=f"S{s}", kind="charger", device=code, channel="telemetry"), dc)
                    )
        await db.close_database()

    def payload(self, number: int) -> tuple[str, bytes]:
        """Message `number` of the fleet: charging, an AC or a DC sample."""
        topic, dc = self.chargers[number % len(self.chargers)]
        seq = number // len(self.chargers)
        body: dict[str, Any] = {
            "msg_id": f"1-{seq}",
            "boot": 1,
            "seq": seq,
            "ts": messages.format_ts(datetime.now(UTC)),
            "connector": 1,
            "status": "charging",
            "meter_wh": 100_000 + 30 * seq,
            "power_w": 48_000 if dc else 6_950,
            "voltage_v": 400.3 if dc else 221.7,
            "current_a": 119.9 if dc else 31.4,
            "gun_temp_c": 41.5,
            "cabinet_temp_c": 38.0,
        }
        if dc:
            body["insulation_ohm_per_v"] = 1000.0
            body["bms"] = {
                "soc_pct": 55.0,
                "pack_v": 400.1,
                "pack_a": 119.7,
                "cell_v_max": 3.98,
                "cell_v_min": 3.95,
                "temp_max_c": 36,
                "temp_min_c": 33,
                "remaining_min": 25,
                "flags": [],
            }
        return topic, msgspec.json.encode(body)

    def client(self, user: str, password: str, name: str) -> paho.Client:
        made = paho.Client(CallbackAPIVersion.VERSION2, name, protocol=paho.MQTTv5)
        made.username_pw_set(user, password)
        return made

    def open_session(self, name: str, topic: str) -> None:
        """Make a session that the broker fills while its client is away."""
        client = self.client("bridge", "b", name)
        subscribed = False

        def on_subscribe(*_: Any) -> None:
            nonlocal subscribed
            subscribed = True

        client.on_subscribe = on_subscribe
        properties = _properties(PacketTypes.CONNECT, SessionExpiryInterval=86_400)
        client.connect("127.0.0.1", self.broker.port, clean_start=False, properties=properties)
        client.subscribe(topic, qos=1)
        while not subscribed:
            client.loop(0.1)
        client.disconnect(properties=_properties(PacketTypes.DISCONNECT, SessionExpiryInterval=86_400))
        client.loop(0.1)

    def fill(self) -> None:
        """Publish everything once; both sessions queue it."""
        client = self.client("fleet", "f", "fleet")
        client.max_inflight_messages_set(1000)
        client.connect("127.0.0.1", self.broker.port)
        client.loop_start()
        infos = []
        for number in range(MESSAGES):
            topic, body = self.payload(number)
            infos.append(client.publish(topic, body, qos=1))
            if number % 1000 == 999:
                infos[number - 500].wait_for_publish()
        for info in infos:
            info.wait_for_publish()
        client.disconnect()
        client.loop_stop()

    async def receive_bare(self) -> float:
        """Messages a second of stock paho on this loop: received, acknowledged, counted."""
        loop = asyncio.get_running_loop()
        client = self.client("bridge", "b", "bare")
        done = asyncio.Event()
        count, first = 0, 0.0

        def on_message(*_: Any) -> None:
            nonlocal count, first
            if count == 0:
                first = time.perf_counter()
            count += 1
            if count == MESSAGES:
                done.set()

        client.on_message = on_message
        client.on_socket_open = lambda _c, _u, sock: loop.add_reader(sock, client.loop_read)
        client.on_socket_close = lambda _c, _u, sock: _nothing(loop.remove_reader(sock))
        client.on_socket_register_write = lambda _c, _u, sock: loop.add_writer(sock, client.loop_write)
        client.on_socket_unregister_write = lambda _c, _u, sock: _nothing(loop.remove_writer(sock))
        properties = _properties(PacketTypes.CONNECT, SessionExpiryInterval=86_400, ReceiveMaximum=2000)
        client.connect("127.0.0.1", self.broker.port, clean_start=False, properties=properties)
        async with asyncio.timeout(300):
            await done.wait()
        seconds = time.perf_counter() - first
        client.disconnect(properties=_properties(PacketTypes.DISCONNECT, SessionExpiryInterval=0))
        await asyncio.sleep(0.2)
        return MESSAGES / seconds

    def launch(self, *arguments: str) -> None:
        environ = {
            **os.environ,
            "LINLI_DATABASE_URL": self.postgres.app_url,
            "LINLI_REDIS_URL": self.valkey.url,
            "LINLI_MQTT_URL": self.broker.url("bridge", "b"),
            "LINLI_TOKEN_SECRET": "bench-bench-bench-bench-bench-bench-bench",
            "LINLI_DATA_KEYS": "1:" + base64.b64encode(bytes(32)).decode(),
            "LINLI_LOOKUP_KEY": base64.b64encode(bytes(32)).decode(),
            "LINLI_LOG_FORMAT": "json",
        }
        with self.log.open("ab") as log:
            child = subprocess.Popen([sys.executable, *arguments], env=environ, cwd=ROOT, stderr=log, stdout=log)
        self.children.append(child)

    async def receive_ours(self) -> float:
        """Messages a second from the bridge's first to the last one committed with its connector's state."""
        connection = await asyncpg.connect(self.postgres.app_url)
        self.launch("-m", "backend.cli", "ingest")
        await _reaches(connection, "SELECT count(*) FROM platform_sight", 1)
        self.launch("-m", "backend.cli", "bridge")
        await _reaches(connection, "SELECT count(*) FROM telemetry_sample", MESSAGES)
        ended = datetime.now(UTC)
        began: datetime = await connection.fetchval("SELECT min(received_at) FROM telemetry_sample")
        last = (MESSAGES - 1) // len(self.chargers)
        states = await connection.fetchval("SELECT count(*) FROM connector_state WHERE seq >= $1", last - 1)
        assert states == min(len(self.chargers), MESSAGES), "the states are not those of the last samples"
        await connection.close()
        seconds: float = (ended - began).total_seconds()
        return MESSAGES / seconds

    async def measure_live(self) -> list[float]:
        """Milliseconds from publishing to the live channel, at a modest rate."""
        valkey = Redis.from_url(self.valkey.url)
        pubsub = valkey.pubsub(ignore_subscribe_messages=True)
        await pubsub.psubscribe("live:connector:*")
        await pubsub.get_message(timeout=1)
        client = self.client("fleet", "f", "live")
        client.connect("127.0.0.1", self.broker.port)
        client.loop_start()
        sent: dict[int, float] = {}
        took: list[float] = []

        async def send() -> None:
            for n in range(LIVE_MESSAGES):
                number = MESSAGES + n * len(self.chargers) + n % len(self.chargers)
                topic, body = self.payload(number)
                sent[number // len(self.chargers)] = time.perf_counter()
                client.publish(topic, body, qos=1)
                await asyncio.sleep(1 / LIVE_RATE)

        sending = asyncio.create_task(send())
        async with asyncio.timeout(60):
            while len(took) < LIVE_MESSAGES:
                message = await pubsub.get_message(timeout=1)
                if message is not None:
                    seq = msgspec.json.decode(message["data"])["seq"]
                    if seq in sent:
                        took.append((time.perf_counter() - sent.pop(seq)) * 1000)
        await sending
        client.disconnect()
        client.loop_stop()
        await pubsub.aclose()  # type: ignore[no-untyped-call]
        await valkey.aclose()
        return took


async def _reaches(connection: "asyncpg.Connection[asyncpg.Record]", sql: str, wanted: int) -> None:
    async with asyncio.timeout(300):
        while await connection.fetchval(sql) < wanted:  # noqa: ASYNC110  it happens in another process
            await asyncio.sleep(0.05)


async def _run(bench: Bench) -> None:
    await bench.register()
    bench.open_session("bare", topics.telemetry_filter())
    bench.open_session(TELEMETRY_CLIENT, topics.telemetry_filter())
    await asyncio.to_thread(bench.fill)
    limit = await bench.receive_bare()
    ours = await bench.receive_ours()
    percentiles = statistics.quantiles(await bench.measure_live(), n=100)
    print(
        f"ingest ratio={ours / limit:.2f} ours={ours:.0f} limit={limit:.0f} unit=msg/s"
        f" p50={percentiles[49]:.1f} p99={percentiles[98]:.1f}"
    )


def main() -> None:
    """Run the benchmark in a folder of its own and print its line."""
    base = processes.STATE_OF_ROOT if processes.is_root() else Path(tempfile.gettempdir())
    base.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="bench-", dir=base))
    folder.chmod(0o755)
    bench = Bench(folder)
    try:
        bench.start()
        asyncio.run(migrate(owner_url=bench.postgres.owner_url))
        asyncio.run(_run(bench))
    except BaseException:
        if bench.log.exists():
            print(bench.log.read_text()[-4000:], file=sys.stderr)
        raise
    finally:
        bench.stop()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
