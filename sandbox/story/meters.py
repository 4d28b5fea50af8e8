"""Listens to the chargers on MQTT itself, so that the bills can be recomputed from what the meters really said."""

import threading
from collections import defaultdict
from datetime import datetime
from typing import Any
from urllib.parse import unquote, urlsplit
from uuid import uuid4

import msgspec
import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion


class Meters:
    """Raw messages of all chargers of one station, by charger and connector, as the broker delivered them."""

    def __init__(self, mqtt_url: str, station: str) -> None:
        self._lock = threading.Lock()
        self._station = station
        self.telemetry: dict[tuple[str, int], dict[str, dict[str, Any]]] = defaultdict(dict)
        self.events: dict[str, dict[str, dict[str, Any]]] = defaultdict(dict)
        parts = urlsplit(mqtt_url)
        self._client = mqtt.Client(
            CallbackAPIVersion.VERSION2, client_id=f"story-{uuid4().hex[:8]}", protocol=mqtt.MQTTv5
        )
        self._client.username_pw_set(unquote(parts.username or ""), unquote(parts.password or ""))
        self._client.on_connect = self._subscribe
        self._client.on_message = self._keep
        self._client.connect(parts.hostname or "127.0.0.1", parts.port or 1883)
        self._client.loop_start()

    def _subscribe(self, client: mqtt.Client, *_: Any) -> None:
        client.subscribe([(f"ev/v1/{self._station}/charger/+/{channel}", 1) for channel in ("telemetry", "event")])

    def _keep(self, _client: mqtt.Client, _userdata: Any, message: mqtt.MQTTMessage) -> None:
        charger, channel = message.topic.split("/")[4:6]
        body = msgspec.json.decode(message.payload)
        with self._lock:
            if channel == "telemetry":
                self.telemetry[charger, body["connector"]][body["msg_id"]] = body
            else:
                self.events[charger][body["msg_id"]] = body

    def readings(self, *, charger: str, connector: int, session_id: str) -> list[tuple[datetime, int]]:
        """Return (device time, cumulative Wh) of one session: from the last reading before its start to its end."""
        with self._lock:
            events = [e for e in self.events[charger].values() if e.get("session_id") == session_id]
            samples = sorted(
                ((_at(s), s["meter_wh"]) for s in self.telemetry[charger, connector].values()), key=lambda r: r[0]
            )
        started = next(e for e in events if e["code"] == "session_started")
        ended = next(e for e in events if e["code"] == "session_ended")
        start_at, end_at = _at(started), _at(ended)
        before = [reading for reading in samples if reading[0] <= start_at]
        first = before[-1] if before else (start_at, started["meter_wh"])
        middle = [reading for reading in samples if first[0] < reading[0] < end_at]
        return [first, *middle, (end_at, ended["meter_wh"])]

    def close(self) -> None:
        """Hang up."""
        self._client.disconnect()
        self._client.loop_stop()


def _at(message: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(message["ts"])
