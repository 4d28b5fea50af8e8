"""Chargers with a car at them that answer the service's commands over MQTT, each by a clock of its own."""

import asyncio
import threading
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import msgspec
import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from mqtt_bridge import messages, topics
from tests.factories.stations import Gun

STEP_WH = 50


@dataclass
class GunState:
    gun: Gun
    clock: "timedelta | str"
    status: str = "preparing"
    session_id: str | None = None
    started_wh: int | None = None
    ended_wh: int | None = None
    meter_wh: int = 1_000_000
    seq: int = 0


class Guns:
    """All guns of a run in one connection. `clock`: how far a device's clock is off, or the text it always says."""

    def __init__(self, *, url: str, user: str, password: str, name: str) -> None:
        parts = urlsplit(url)
        self._states: dict[str, GunState] = {}
        self._lock = threading.Lock()
        self._client = paho.Client(CallbackAPIVersion.VERSION2, name, protocol=paho.MQTTv5)
        self._client.username_pw_set(user, password)
        self._client.reconnect_delay_set(min_delay=1, max_delay=1)
        self._client.on_message = self._obey
        self._client.on_connect = lambda client, *_: self._subscribe(client)
        self._client.connect(parts.hostname or "127.0.0.1", parts.port or 1883)
        self._client.loop_start()
        self._talking: asyncio.Task[None] | None = None

    def add(self, gun: Gun, *, station: str, clock: "timedelta | str" = timedelta()) -> GunState:
        """Put a car at a gun; it reports from now on."""
        state = GunState(gun, clock)
        with self._lock:
            self._states[topics.make(station=station, kind="charger", device=gun.charger.code, channel="cmd")] = state
        self._subscribe(self._client)
        return state

    def _subscribe(self, client: paho.Client) -> None:
        for topic in list(self._states):
            client.subscribe(topic, qos=1)

    def talk(self) -> None:
        """Report twice a second, until `close()`."""
        self._talking = asyncio.create_task(self._talk())

    async def _talk(self) -> None:
        while True:
            with self._lock:
                for topic, state in self._states.items():
                    self._measure(topic, state)
            await asyncio.sleep(0.5)

    def _measure(self, topic: str, state: GunState) -> None:
        charging = state.status == "charging"
        state.meter_wh += STEP_WH if charging else 0
        self._say(
            topic,
            state,
            "telemetry",
            connector=1,
            status=state.status,
            meter_wh=state.meter_wh,
            power_w=6900 if charging else 0,
            voltage_v=220.0,
            current_a=31.0 if charging else 0.0,
            gun_temp_c=30.0,
        )

    def _obey(self, _client: Any, _userdata: Any, message: Any) -> None:
        with self._lock:
            state = self._states[message.topic]
            command = msgspec.json.decode(message.payload, type=messages.Command)
            self._say(message.topic, state, "ack", cmd_id=command.cmd_id, ok=True)
            if command.name == "start" and state.session_id is None:
                state.session_id, state.status, state.started_wh = (
                    command.args["session_id"],
                    "charging",
                    state.meter_wh,
                )
                self._tell(message.topic, state, "session_started")
            elif command.name == "stop" and state.status == "charging":
                state.ended_wh = state.meter_wh
                self._tell(message.topic, state, "session_ended", reason="remote")
                state.status = "available"
                self._say(message.topic, state, "event", code="unplugged", connector=1)

    def _tell(self, topic: str, state: GunState, code: str, **fields: Any) -> None:
        body = {"code": code, "connector": 1, "session_id": state.session_id, "meter_wh": state.meter_wh, **fields}
        self._say(topic, state, "event", **body)

    def _say(self, topic: str, state: GunState, channel: str, **fields: Any) -> None:
        now = datetime.now(UTC)  # noqa: TID251  a device's own clock
        ts = state.clock if isinstance(state.clock, str) else messages.format_ts(now + state.clock)
        header = {"msg_id": f"g{state.seq}", "boot": 1, "seq": state.seq, "ts": ts}
        state.seq += 1
        self._client.publish(topic.removesuffix("cmd") + channel, msgspec.json.encode({**header, **fields}), qos=1)

    async def close(self) -> None:
        """Fall silent."""
        if self._talking is not None:
            self._talking.cancel()
            await asyncio.gather(self._talking, return_exceptions=True)
        self._client.disconnect()
        self._client.loop_stop()
