"""One device's connection to the broker: MQTT 5 by paho on the asyncio loop, without a thread.

A device keeps its last 200 unsent messages and sends them oldest first; what was sent but not acknowledged when a
connection broke goes to the front again with the same ``msg_id``, so delivery is at least once and in order. Each
connection uses a fresh paho client and a socket connected by the loop (paho's own connect blocks). The session at the
broker outlives the connection for ten minutes, because ``stop`` and ``lower`` live that long.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import socket
import ssl
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, Protocol
from urllib.parse import urlsplit

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

log = logging.getLogger("sandbox.fleet")

KEPT_MESSAGES: Final = 200
IN_FLIGHT: Final = 10
SESSION_EXPIRY_S: Final = 600
KEEPALIVE_S: Final = 30
CONNECT_TIMEOUT_S: Final = 10.0
WAIT_MIN_S: Final = 0.5
WAIT_MAX_S: Final = 15.0


class Outgoing(NamedTuple):
    """One message on its way: topic, body, whether the broker retains it."""

    topic: str
    body: bytes
    retain: bool


class Sender(Protocol):
    """Where a device puts its messages; the `Link`, or a list in tests."""

    def send(self, message: Outgoing) -> None:
        """Take a message; never blocks, never fails."""
        ...


@dataclass(frozen=True, kw_only=True)
class Broker:
    """The broker's address."""

    host: str
    port: int
    tls: ssl.SSLContext | None

    @classmethod
    def from_url(cls, url: str) -> Broker:
        """Read ``mqtt://host:port`` or ``mqtts://host:port``; raises ValueError for anything else."""
        parts = urlsplit(url)
        if parts.scheme not in {"mqtt", "mqtts"} or not parts.hostname:
            raise ValueError(f"mqtt_url must look like mqtt://127.0.0.1:1883, not {parts.scheme}://…")
        secure = parts.scheme == "mqtts"
        context = ssl.create_default_context() if secure else None
        return cls(host=parts.hostname, port=parts.port or (8883 if secure else 1883), tls=context)


class _SocketGiven(mqtt.Client):
    """A paho client that uses the socket it is given instead of connecting (and blocking) by itself."""

    given_socket: socket.socket

    def _create_socket_connection(self) -> socket.socket:
        return self.given_socket


class Outbox:
    """The bounded memory of a device: what waits, what is in flight. Oldest first; past 200 the oldest is lost."""

    def __init__(self, *, kept: int = KEPT_MESSAGES) -> None:
        self.kept = kept
        self.waiting: deque[Outgoing] = deque()
        self.in_flight: dict[int, Outgoing] = {}
        self.lost = 0

    def put(self, message: Outgoing) -> None:
        """Add the newest message."""
        self.waiting.append(message)
        self._trim()

    def sent(self, *, mid: int, message: Outgoing) -> None:
        """Note that the message left under packet id ``mid``."""
        self.in_flight[mid] = message

    def acknowledged(self, *, mid: int) -> None:
        """Forget a message that the broker has."""
        self.in_flight.pop(mid, None)

    def connection_lost(self) -> None:
        """Put what was in flight before everything that waits, in the order it was sent."""
        self.waiting.extendleft(reversed(self.in_flight.values()))
        self.in_flight.clear()
        self._trim()

    def _trim(self) -> None:
        while len(self.waiting) > self.kept:
            self.waiting.popleft()
            self.lost += 1


class Link:
    """Keeps one device connected, until told to go offline.

    ``on_connect`` runs after each CONNACK, when the device announces its state; ``on_message`` takes the raw bytes of
    a command. ``will`` is what the broker says of the device when it is lost.
    """

    def __init__(
        self,
        *,
        broker: Broker,
        code: str,
        password: str,
        command_topic: str,
        will: Outgoing,
        on_connect: Callable[[], None],
        on_message: Callable[[bytes], None],
        gate: asyncio.Semaphore,
    ) -> None:
        self.broker = broker
        self.code = code
        self.outbox = Outbox()
        self.refused = 0
        self.refused_once = asyncio.Event()
        self.connects = 0
        self._password = password
        self._command_topic = command_topic
        self._will = will
        self._on_connect = on_connect
        self._on_message = on_message
        self._gate = gate
        self._client: _SocketGiven | None = None
        self.up = asyncio.Event()
        self._wanted = asyncio.Event()
        self._wanted.set()
        self._gone = asyncio.Event()
        self._jitter = random.Random(code)
        self._task: asyncio.Task[None] | None = None

    @property
    def connected(self) -> bool:
        """Whether the broker has accepted the present connection."""
        return self.up.is_set()

    def start(self) -> None:
        """Begin to connect, and to reconnect for as long as the link lives."""
        self._task = asyncio.get_running_loop().create_task(self._run(), name=f"link-{self.code}")

    async def stop(self) -> None:
        """End the link without a goodbye, as a device does that loses power: the broker publishes the last will."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None
        self._drop()

    def send(self, message: Outgoing) -> None:
        """Queue a message; it leaves at once when the connection stands."""
        self.outbox.put(message)
        self._pump()

    def go_offline(self) -> None:
        """Lose the network: the socket closes without DISCONNECT and nothing reconnects."""
        self._wanted.clear()
        self._drop()

    def go_online(self) -> None:
        """Get the network back; the link connects by itself."""
        self._wanted.set()

    def drop(self) -> None:
        """Lose this one connection (a reboot); the link comes back by itself."""
        self._drop()

    def keep_alive(self) -> None:
        """To be called every few seconds: pings, and notices a dead broker."""
        if self._client is not None and self._client.loop_misc() != mqtt.MQTT_ERR_SUCCESS:
            self._drop()

    async def _run(self) -> None:
        wait = WAIT_MIN_S
        while True:
            await self._wanted.wait()
            self._gone.clear()
            before = self.connects
            try:
                async with self._gate:
                    await self._open()
                await self._gone.wait()
            except (OSError, TimeoutError) as error:
                log.debug("%s cannot reach the broker: %s", self.code, error)
            finally:
                self._drop()
            if self.connects > before:
                wait = WAIT_MIN_S
            await asyncio.sleep(wait * (0.5 + self._jitter.random()))
            wait = min(WAIT_MAX_S, wait * 2)

    async def _open(self) -> None:
        loop = asyncio.get_running_loop()
        client = _SocketGiven(
            CallbackAPIVersion.VERSION2, client_id=self.code, protocol=mqtt.MQTTv5, reconnect_on_failure=False
        )
        client.username_pw_set(self.code, self._password)
        client.will_set(self._will.topic, self._will.body, qos=1, retain=self._will.retain)
        if self.broker.tls is not None:
            client.tls_set_context(self.broker.tls)
        client.on_connect = self._connected
        client.on_message = self._received
        client.on_publish = self._published
        client.on_disconnect = self._disconnected
        client.on_socket_open = self._socket_opened
        client.on_socket_close = self._socket_closed
        client.on_socket_register_write = self._write_wanted
        client.on_socket_unregister_write = self._write_done
        address = await loop.getaddrinfo(self.broker.host, self.broker.port, type=socket.SOCK_STREAM)
        family, kind, proto, _, target = address[0]
        raw = socket.socket(family, kind, proto)
        try:
            raw.setblocking(False)
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await asyncio.wait_for(loop.sock_connect(raw, target), CONNECT_TIMEOUT_S)
        except BaseException:
            raw.close()
            raise
        client.given_socket = raw
        self._client = client
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.SessionExpiryInterval = SESSION_EXPIRY_S
        client.connect(
            self.broker.host, self.broker.port, keepalive=KEEPALIVE_S, clean_start=False, properties=properties
        )

    def _socket_opened(self, client: Any, _userdata: Any, sock: Any) -> None:
        asyncio.get_running_loop().add_reader(sock, self._read, client, sock)

    def _socket_closed(self, _client: Any, _userdata: Any, sock: Any) -> None:
        asyncio.get_running_loop().remove_reader(sock)

    def _write_wanted(self, client: Any, _userdata: Any, sock: Any) -> None:
        asyncio.get_running_loop().add_writer(sock, client.loop_write)

    def _write_done(self, _client: Any, _userdata: Any, sock: Any) -> None:
        asyncio.get_running_loop().remove_writer(sock)

    def _read(self, client: mqtt.Client, sock: Any) -> None:
        client.loop_read()
        while isinstance(sock, ssl.SSLSocket) and sock.fileno() >= 0 and sock.pending():
            client.loop_read()

    def _connected(self, client: Any, _userdata: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        if reason.is_failure:
            self.refused += 1
            self.refused_once.set()
            log.warning("the broker refuses device %s: %s", self.code, reason)
            self._gone.set()
            return
        client.subscribe(self._command_topic, qos=1)
        self.connects += 1
        self.up.set()
        self._on_connect()
        self._pump()

    def _received(self, _client: Any, _userdata: Any, message: mqtt.MQTTMessage) -> None:
        self._on_message(bytes(message.payload))

    def _published(self, _client: Any, _userdata: Any, mid: int, reason: Any, _properties: Any) -> None:
        if reason.is_failure:
            self.refused += 1
            self.refused_once.set()
            log.warning("the broker refuses a message of %s: %s", self.code, reason)
        self.outbox.acknowledged(mid=mid)
        self._pump()

    def _disconnected(self, client: Any, _userdata: Any, _flags: Any, _reason: Any, _properties: Any) -> None:
        if client is self._client:
            self.up.clear()
            self._gone.set()

    def _pump(self) -> None:
        box = self.outbox
        while self.connected and self._client is not None and box.waiting and len(box.in_flight) < IN_FLIGHT:
            message = box.waiting.popleft()
            info = self._client.publish(message.topic, message.body, qos=1, retain=message.retain)
            box.sent(mid=info.mid, message=message)

    def _drop(self) -> None:
        client, self._client = self._client, None
        self.up.clear()
        if client is not None:
            client._sock_close()  # a lost network, not a DISCONNECT
            self.outbox.connection_lost()
        self._gone.set()
