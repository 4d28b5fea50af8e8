"""A crowd of devices that speaks at a given rate and counts what it said, for fault runs, `alarms` and `soak`.

All chargers share one broker connection (user `fleet`), and all detectors another: an alarm does not wait in the
chargers' queue. Each keeps what the broker has not acknowledged and sends it again, as devices do. What was said is
counted here and nowhere in the service, so that both can be compared.
"""

import asyncio
import multiprocessing
import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import msgspec
import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from backend.accounts.service import add_operator_company
from backend.core.clock import SystemClock
from backend.stations.service import build
from bench.wire import Wire
from mqtt_bridge import messages, topics

TICK_S = 0.02
EVENT_EVERY = 20
"""Every twentieth message is an event on the safety lane, unless said otherwise; the others are telemetry."""


@dataclass
class Charger:
    """A charger with one gun: what it is called, and how far it has spoken."""

    station: str
    code: str
    device_id: UUID
    connector_id: UUID
    dc: bool
    boot: int = 1
    seq: int = 0
    last_sample: tuple[int, int] = (-1, -1)
    meter_wh: int = 100_000

    def topic(self, channel: str) -> str:
        """Where it speaks."""
        return topics.make(station=self.station, kind="charger", device=self.code, channel=channel)


@dataclass(frozen=True)
class Detector:
    """A smoke detector."""

    station: str
    station_id: UUID
    code: str
    device_id: UUID

    def topic(self, channel: str) -> str:
        """Where it speaks."""
        return topics.make(station=self.station, kind="smoke", device=self.code, channel=channel)


class Crowd:
    """Chargers and smoke detectors of `stations` stations, and the connections to the broker they speak through."""

    def __init__(self, port: int, *, name: str = "crowd") -> None:
        self._port = port
        self._name = name
        self.event_every = EVENT_EVERY
        self.chargers: list[Charger] = []
        self.detectors: list[Detector] = []
        self.company_id: UUID | None = None
        self.samples = 0
        self.events = 0
        self._turn = 0
        self._smoke_seq = 0
        self._client: paho.Client | None = None
        self._detector_client: paho.Client | None = None
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    async def register(self, *, stations: int, chargers: int) -> None:
        """Put the devices into the registry; every second charger is DC. Needs an open database."""
        now = SystemClock().now()
        self.company_id = await add_operator_company(code="crowd", name="Crowd", now=now)
        for s in range(stations):
            station_id = await build.put_station(
                code=f"K{s}", name=f"K{s}", operator_company_id=self.company_id, lat=39.9, lng=116.4, now=now
            )
            for c in range(chargers):
                dc = c % 2 == 1
                code = f"K{s}C{c}"
                charger_id, (connector_id,) = await build.put_charger(
                    station_id=station_id, code=code, kind="dc" if dc else "ac", max_power_w=60_000 if dc else 7_000
                )
                device, _ = await build.register_device(
                    station_id=station_id, code=code, kind="charger", charger_id=charger_id, now=now
                )
                self.chargers.append(Charger(f"K{s}", code, device.id, connector_id, dc))
            smoke, _ = await build.register_device(station_id=station_id, code=f"K{s}F", kind="smoke", now=now)
            self.detectors.append(Detector(f"K{s}", station_id, smoke.code, smoke.id))

    def connect(self) -> None:
        """Connect to the broker and stay connected, whatever becomes of it."""
        self._client = self._connected(self._name)
        self._detector_client = self._connected(f"{self._name}-detectors")

    def _connected(self, name: str) -> paho.Client:
        client = paho.Client(CallbackAPIVersion.VERSION2, name, protocol=paho.MQTTv5)
        client.username_pw_set("fleet", "f")
        client.max_inflight_messages_set(500)
        client.max_queued_messages_set(0)
        client.reconnect_delay_set(min_delay=1, max_delay=1)
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.SessionExpiryInterval = 86_400
        client.connect("127.0.0.1", self._port, clean_start=False, properties=properties)
        client.loop_start()
        return client

    def close(self) -> None:
        """Fall silent and disconnect."""
        self.stop()
        for client in (self._client, self._detector_client):
            if client is not None:
                client.disconnect()
                client.loop_stop()
        self._client = self._detector_client = None

    def publish(self, topic: str, body: bytes) -> paho.MQTTMessageInfo:
        """Say something as some device."""
        assert self._client is not None
        return self._client.publish(topic, body, qos=1)

    def say_next(self) -> None:
        """Let the next charger say a sample, or an event when it is the turn of one."""
        self.publish(*self.next_word())

    def next_word(self) -> tuple[str, bytes]:
        """What the next charger says, and where: a sample, or an event when it is the turn of one."""
        self._turn += 1
        charger = self.chargers[self._turn % len(self.chargers)]
        if self._turn % self.event_every == 0:
            charger = self.chargers[(self._turn // self.event_every) % len(self.chargers)]
            code = "plugged" if self._turn % (2 * self.event_every) else "unplugged"
            self.events += 1
            return charger.topic("event"), event(charger, code=code, connector=1)
        self.samples += 1
        return charger.topic("telemetry"), sample(charger)

    def start(self, *, rate: float) -> None:
        """Speak at `rate` messages a second, in a thread, until `stop()`."""
        self._stop.clear()
        self._thread = threading.Thread(target=self._speak, args=(rate,), name="crowd", daemon=True)
        self._thread.start()

    def _speak(self, rate: float) -> None:
        began, said = time.monotonic(), 0
        while not self._stop.wait(TICK_S):
            due = int((time.monotonic() - began) * rate)
            while said < due:
                self.say_next()
                said += 1

    def stop(self) -> None:
        """Fall silent."""
        if self._thread is not None:
            self._stop.set()
            self._thread.join()
            self._thread = None

    def flush(self, *, timeout_s: float = 300) -> None:
        """Wait until the broker has acknowledged everything that was said."""
        assert self._client is not None
        deadline = time.monotonic() + timeout_s
        while self._client._out_messages:
            if time.monotonic() > deadline:
                raise TimeoutError(f"the broker has not acknowledged {len(self._client._out_messages)} messages")
            time.sleep(0.05)

    def raise_smoke(self, detector: Detector, *, code: str = "alarm", ts: str | None = None) -> None:
        """Let a detector say what it senses."""
        self._smoke_seq += 1
        assert self._detector_client is not None
        body = _encode({**_header(1, self._smoke_seq, "smoke", ts), "code": code})
        self._detector_client.publish(detector.topic("event"), body, qos=1)


class CrowdApart:
    """The chargers of a crowd, speaking at `rate` messages a second from a process of their own until `stop()`.

    For runs that watch the clock: in this process their haste would be that of who watches. Nothing is said again.
    """

    def __init__(self, crowd: Crowd, *, port: int, rate: float, event_every: int) -> None:
        apart = multiprocessing.get_context("spawn")
        self._stop = apart.Event()
        self._said = apart.Value("q", 0)
        arguments = (port, crowd.chargers, rate, event_every, self._stop, self._said)
        self._process = apart.Process(target=_speak_apart, args=arguments, daemon=True)
        self._process.start()

    @property
    def said(self) -> int:
        """Messages the broker has acknowledged so far."""
        return int(self._said.value)

    def stop(self) -> None:
        """Fall silent."""
        self._stop.set()
        self._process.join(timeout=20)


def _speak_apart(port: int, chargers: list[Charger], rate: float, event_every: int, stop: Any, said: Any) -> None:
    crowd = Crowd(port, name="crowd-apart")
    crowd.chargers, crowd.event_every = chargers, event_every
    wire = Wire(port, client_id="crowd-apart", user="fleet", password="f")
    began, total = time.monotonic(), 0
    while not stop.wait(TICK_S):
        due = int((time.monotonic() - began) * rate)
        wire.publish([crowd.next_word() for _ in range(due - total)])
        total, said.value = due, wire.acknowledged
    wire.close()


def sample(charger: Charger, *, ts: str | None = None, **fields: Any) -> bytes:
    """The charger's next sample: charging."""
    charger.meter_wh += 30
    body: dict[str, Any] = {
        **_header(charger.boot, charger.seq, "t", ts),
        "connector": 1,
        "status": "charging",
        "meter_wh": charger.meter_wh,
        "power_w": 48_000 if charger.dc else 6_950,
        "voltage_v": 400.3 if charger.dc else 221.7,
        "current_a": 119.9 if charger.dc else 31.4,
        "gun_temp_c": 41.5,
        "cabinet_temp_c": 38.0,
    }
    if charger.dc:
        body["insulation_ohm_per_v"] = 1000.0
        body["bms"] = {
            "soc_pct": 55.0,
            "pack_v": 380 + charger.seq % 200 / 10,
            "pack_a": 119.7,
            "cell_v_max": 3.48,
            "temp_max_c": 36,
            "temp_min_c": 33,
            "remaining_min": 25,
            "flags": [],
        }
    charger.last_sample = (charger.boot, charger.seq)
    charger.seq += 1
    return _encode({**body, **fields})


def event(charger: Charger, **fields: Any) -> bytes:
    """The charger's next event."""
    body = {**_header(charger.boot, charger.seq, "e", None), **fields}
    charger.seq += 1
    return _encode(body)


def _header(boot: int, seq: int, mark: str, ts: str | None) -> dict[str, Any]:
    now = datetime.now(UTC)
    return {"msg_id": f"{mark}{boot}-{seq}", "boot": boot, "seq": seq, "ts": ts or messages.format_ts(now)}


def _encode(body: dict[str, Any]) -> bytes:
    return msgspec.json.encode(body)


@dataclass(frozen=True)
class Count:
    """What PostgreSQL holds of what the crowd said."""

    samples: int
    distinct_samples: int
    events: int
    handled: int
    effects: int
    wrong_states: int
    failed_jobs: int

    def missing(self, crowd: Crowd) -> int:
        """Messages that were said and are not there, or without their effect."""
        return (crowd.samples - self.distinct_samples) + (crowd.events - min(self.handled, self.effects))

    def doubled(self, crowd: Crowd) -> int:
        """Rows and effects beyond one a message."""
        return (self.samples - self.distinct_samples) + max(0, self.effects - self.events)


async def count(connection: "asyncpg.Connection[asyncpg.Record]", crowd: Crowd) -> Count:
    """Count the crowd's messages in PostgreSQL, by queries of our own."""
    chargers = [charger.device_id for charger in crowd.chargers]
    samples, distinct = await connection.fetchrow(  # type: ignore[misc]
        "SELECT count(*), count(DISTINCT (connector_id, boot, seq)) FROM telemetry_sample WHERE connector_id = ANY($1)",
        [charger.connector_id for charger in crowd.chargers],
    )
    events, handled = await connection.fetchrow(  # type: ignore[misc]
        "SELECT count(*), count(handled_at) FROM device_message WHERE channel = 'event' AND device_id = ANY($1)",
        chargers,
    )
    effects = await connection.fetchval(
        "SELECT count(*) FROM domain_event WHERE name = 'ChargerEventReported'"
        " AND (payload ->> 'device_id')::uuid = ANY($1)",
        chargers,
    )
    rows = await connection.fetch("SELECT connector_id, boot, seq, meter_wh FROM connector_state")
    states = {row["connector_id"]: (row["boot"], row["seq"], row["meter_wh"]) for row in rows}
    spoken = [charger for charger in crowd.chargers if charger.last_sample[1] >= 0]
    wrong = sum(states.get(c.connector_id) != (*c.last_sample, c.meter_wh) for c in spoken)
    failed = await connection.fetchval("SELECT count(*) FROM pgqueuer WHERE status = 'failed'")
    return Count(samples, distinct, events, handled, effects, wrong, failed)


async def count_when_drained(dsn: str, crowd: Crowd, *, timeout_s: float = 240) -> tuple[Count, float]:
    """Wait until all has arrived and been handled (or the time is over); returns the count and the seconds it took."""
    began = time.monotonic()
    connection = await asyncpg.connect(dsn)
    try:
        while True:
            asked = time.monotonic()
            found = await count(connection, crowd)
            done = found.missing(crowd) <= 0 and found.wrong_states == 0
            if done or time.monotonic() - began > timeout_s:
                return found, time.monotonic() - began
            await asyncio.sleep(max(0.5, 3 * (time.monotonic() - asked)))  # counting millions is a load of its own
    finally:
        await connection.close()


async def await_rows(dsn: str, sql: str, *args: Any, at_least: int = 1, timeout_s: float = 60) -> float:
    """Wait until a count reaches a number; returns the seconds it took, raises TimeoutError."""
    began = time.monotonic()
    connection = await asyncpg.connect(dsn)
    try:
        while await connection.fetchval(sql, *args) < at_least:
            if time.monotonic() - began > timeout_s:
                raise TimeoutError(sql)
            await asyncio.sleep(0.02)
        return time.monotonic() - began
    finally:
        await connection.close()


def ago(**duration: float) -> str:
    """A device time that is off by this."""
    return messages.format_ts(datetime.now(UTC) - timedelta(**duration))
