"""One MQTT 5 connection on the asyncio loop: paho for the protocol, our own reading of PUBLISH, acks by hand.

paho reads a packet by three or more `recv` calls and builds an object around it; here one `recv` fills a buffer and
PUBLISH packets are cut out of it, everything else is left to paho, one packet at a time: its `loop_read` reads as many
as it has publishes on their way, and a PUBLISH among them would be swallowed. A message is acknowledged by `ack` after
it is durable, never by itself, and many acknowledgements leave in one write. Reconnects by itself, for ever.
"""

import asyncio
import random
import socket
import struct
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

import paho.mqtt.client as paho
import structlog
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

log = structlog.get_logger()

READ_BYTES = 256 * 1024
KEEPALIVE_S = 20
LONGEST_BACKOFF_S = 5.0
SESSION_TAKEN_OVER = 142
MICROSECOND = timedelta(microseconds=1)


class Incoming(NamedTuple):
    """A message as it came. `connection` counts the link's connections: a `mid` means nothing on another one."""

    topic: str
    payload: bytes
    mid: int
    qos: int
    retain: bool
    received_at: datetime
    connection: int


class NotConnected(ConnectionError):
    """The link is down; what was to be sent was not."""


class _Client(paho.Client):
    """paho's client with a read buffer, and PUBLISH taken out of it before paho looks."""

    take: Callable[[str, bytes, int, int, bool], None]
    _buffer = b""
    _at = 0

    def clear_buffer(self) -> None:
        self._buffer, self._at = b"", 0

    def _sock_recv(self, bufsize: int) -> bytes:
        if self._at >= len(self._buffer) and not self._fill():
            return b""
        chunk = self._buffer[self._at : self._at + bufsize]
        self._at += len(chunk)
        return chunk

    def _fill(self) -> bool:
        """Add what the socket has to what is left; False at the end of the stream. Raises BlockingIOError."""
        data = super()._sock_recv(READ_BYTES)
        self._buffer, self._at = self._buffer[self._at :] + data, 0
        self._last_bytes_received = time.monotonic()
        return bool(data)

    def read(self) -> MQTTErrorCode:
        """Handle what has arrived: one buffer full, so that the loop gets its turn."""
        try:
            ended = not self._fill()
        except BlockingIOError:
            return MQTTErrorCode.MQTT_ERR_SUCCESS
        except OSError:
            ended = True
        while self._at < len(self._buffer):
            if self._in_packet["command"] == 0:
                cut = self._cut_publish()
                if cut is None:
                    break
                if cut:
                    continue
            code = self._packet_read()
            if code > 0:
                return self._loop_rc_handle(code)
        # At the end paho reads once more, finds it, and tells `on_disconnect`.
        return self.loop_read() if ended else MQTTErrorCode.MQTT_ERR_SUCCESS

    def _cut_publish(self) -> bool | None:
        """Take one whole PUBLISH out of the buffer; False for another packet, None while it is not all there."""
        buffer, at = self._buffer, self._at
        head = buffer[at]
        if head & 0xF0 != 0x30:
            return False
        length = shift = 0
        while True:
            at += 1
            if at >= len(buffer):
                return None
            if shift > 21:
                return False
            length |= (buffer[at] & 0x7F) << shift
            if not buffer[at] & 0x80:
                break
            shift += 7
        at += 1
        end = at + length
        if end > len(buffer):
            return None
        topic_end = at + 2 + (buffer[at] << 8 | buffer[at + 1])
        qos = head >> 1 & 3
        mid = 0
        here = topic_end
        if qos:
            mid = buffer[here] << 8 | buffer[here + 1]
            here += 2
        properties = shift = 0
        while True:
            byte = buffer[here]
            here += 1
            properties |= (byte & 0x7F) << shift
            if not byte & 0x80:
                break
            shift += 7
        topic = buffer[at + 2 : topic_end].decode("utf-8", "replace")
        self.take(topic, buffer[here + properties : end], mid, qos, bool(head & 1))
        self._at = end
        return True

    def ack_all(self, mids: Iterable[int]) -> None:
        """Queue PUBACKs as one write."""
        packet = b"".join([struct.pack("!BBH", 0x40, 2, mid) for mid in mids])
        if packet:
            self._packet_queue(paho.PUBACK, packet, 0, 0)


class Link:
    """A connection with a session of its own. `take()` what `arrived`, make it durable, then `ack()` it."""

    def __init__(
        self,
        *,
        url: str,
        client_id: str,
        filters: Sequence[str],
        now: Callable[[], datetime],
        qos: int = 1,
        session_expiry_s: int = 0,
        receive_maximum: int = 2000,
        retained: bool = False,
    ) -> None:
        """`session_expiry_s` 0: a clean session. `retained`: ask the broker for retained messages on subscribing."""
        parts = urlsplit(url)
        self._host = parts.hostname or "localhost"
        self._port = parts.port or (8883 if parts.scheme == "mqtts" else 1883)
        self._filters = list(filters)
        self._unwanted: list[str] = []
        self._qos = qos
        self._now = now
        self._session_expiry_s = session_expiry_s
        self._receive_maximum = receive_maximum
        self._retained = retained
        self._client = _Client(CallbackAPIVersion.VERSION2, client_id, protocol=paho.MQTTv5, manual_ack=True)
        if parts.username:
            self._client.username_pw_set(unquote(parts.username), unquote(parts.password or ""))
        if parts.scheme == "mqtts":
            self._client.tls_set()
        self._client.take = self._take
        self._client.on_connect = self._on_connect
        self._client.on_disconnect = self._on_disconnect
        self._client.on_publish = self._on_publish
        self._client.on_subscribe = self._on_subscribe
        self._client.on_socket_open = self._on_socket_open
        self._client.on_socket_close = self._on_socket_close
        self._client.on_socket_register_write = self._on_register_write
        self._client.on_socket_unregister_write = self._on_unregister_write
        self.client_id = client_id
        self.arrived = asyncio.Event()
        self.connected = asyncio.Event()
        self.subscribed = asyncio.Event()
        """The broker has confirmed what we asked for: nothing sent from now on passes us by."""
        self.connected_at: datetime | None = None
        self.connection = 0
        self.taken_over = False
        self._running = False
        self._inbox: list[Incoming] = []
        self._gone = asyncio.Event()
        self._published: dict[int, asyncio.Future[None]] = {}
        self._loop = asyncio.get_running_loop()
        self._stamp = now()
        self._unacknowledged = 0

    async def run(self) -> None:
        """Stay connected until cancelled."""
        backoff = 0.1
        self._running = True
        misc = asyncio.create_task(self._misc())
        try:
            while not self.taken_over:
                self._gone.clear()
                try:
                    await self._loop.run_in_executor(None, self._connect)
                    async with asyncio.timeout(10):
                        await _first(self.connected, self._gone)
                    if self.connected.is_set():
                        backoff = 0.1
                        await self._gone.wait()
                except (OSError, TimeoutError, ValueError) as error:
                    log.warning("mqtt_connect_failed", client=self.client_id, error=str(error) or type(error).__name__)
                    self._close()
                await asyncio.sleep(backoff * random.uniform(0.5, 1.0))
                backoff = min(backoff * 2, LONGEST_BACKOFF_S)
        finally:
            self._running = False
            misc.cancel()
            self._close()

    def take(self) -> list[Incoming]:
        """Everything that has arrived and was not taken yet."""
        self.arrived.clear()
        batch, self._inbox = self._inbox, []
        return batch

    def ack(self, batch: Iterable[Incoming]) -> None:
        """Tell the broker that these are durable; those of an earlier connection it sends again by itself."""
        if self.connected.is_set():
            mids = [m.mid for m in batch if m.qos and m.connection == self.connection]
            self._unacknowledged -= len(mids)
            self._client.ack_all(mids)

    async def publish(self, topic: str, payload: bytes, *, expiry_s: int) -> None:
        """Publish with QoS 1 and wait until the broker has it. Raises NotConnected, TimeoutError."""
        if not self.connected.is_set():
            raise NotConnected(self.client_id)
        properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
        properties.MessageExpiryInterval = max(1, expiry_s)
        future: asyncio.Future[None] = self._loop.create_future()
        info = self._client.publish(topic, payload, qos=1, properties=properties)
        if info.rc not in (MQTTErrorCode.MQTT_ERR_SUCCESS, MQTTErrorCode.MQTT_ERR_NO_CONN):
            raise NotConnected(self.client_id)
        self._published[info.mid] = future
        try:
            async with asyncio.timeout(5):
                await future
        finally:
            self._published.pop(info.mid, None)

    def idle_s(self) -> float:
        """Seconds since the last message arrived, or since connecting; 0 while unconnected or with messages in work."""
        if self._unacknowledged or not self.connected.is_set() or self.connected_at is None:
            return 0.0
        return (self._now() - max(self._stamp, self.connected_at)).total_seconds()

    def unsubscribe(self) -> None:
        """Ask for nothing new; what the session has queued still comes."""
        self._unwanted, self._filters = self._filters, []
        if self._unwanted and self.connected.is_set():
            self._client.unsubscribe(self._unwanted)

    def renew(self) -> None:
        """Be as new, to `run` again: what was taken and not acknowledged comes again."""
        self._close()
        self.taken_over = False
        self.take()

    async def end_session(self) -> None:
        """Disconnect and have the broker forget the session."""
        properties = Properties(PacketTypes.DISCONNECT)  # type: ignore[no-untyped-call]
        properties.SessionExpiryInterval = 0
        self.taken_over = True
        self._client.disconnect(properties=properties)
        await asyncio.sleep(0.2)

    def _connect(self) -> None:
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.ReceiveMaximum = self._receive_maximum
        if self._session_expiry_s:
            properties.SessionExpiryInterval = self._session_expiry_s
        self._client.clear_buffer()
        self._client.connect(
            self._host,
            self._port,
            keepalive=KEEPALIVE_S,
            clean_start=self._session_expiry_s == 0,
            properties=properties,
        )

    def _close(self) -> None:
        self.connected.clear()
        self.subscribed.clear()
        self._client._sock_close()

    async def _misc(self) -> None:
        while True:
            await asyncio.sleep(1)
            self._client.loop_misc()

    def _take(self, topic: str, payload: bytes, mid: int, qos: int, retain: bool) -> None:
        self._unacknowledged += qos > 0
        # What was read together still has an order: a last will and the state of the device that is back, say.
        self._stamp += MICROSECOND
        self._inbox.append(Incoming(topic, payload, mid, qos, retain, self._stamp, self.connection))

    def _on_readable(self) -> None:
        self._stamp = self._now()
        self._client.read()
        if self._inbox:
            self.arrived.set()

    def _on_connect(self, _client: Any, _userdata: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        if reason.is_failure:
            log.error("mqtt_refused", client=self.client_id, reason=str(reason))
            return
        self.connection += 1
        self._inbox = []
        self._unacknowledged = 0
        self.connected_at = self._now()
        self.connected.set()
        self._subscribe()
        log.info("mqtt_connected", client=self.client_id)

    def _subscribe(self) -> None:
        handling = SubscribeOptions.RETAIN_SEND_ON_SUBSCRIBE if self._retained else SubscribeOptions.RETAIN_DO_NOT_SEND
        options = SubscribeOptions(qos=self._qos, retainHandling=handling)
        if self._filters:
            self._client.subscribe([(name, options) for name in self._filters])
        if self._unwanted:
            self._client.unsubscribe(self._unwanted)

    def _on_disconnect(self, _client: Any, _userdata: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        if getattr(reason, "value", 0) == SESSION_TAKEN_OVER:
            self.taken_over = True
        if self.connected.is_set():
            log.warning("mqtt_disconnected", client=self.client_id, reason=str(reason))
        self.connected.clear()
        self.subscribed.clear()
        for future in self._published.values():
            if not future.done():
                future.set_exception(NotConnected(self.client_id))
        self._gone.set()

    def _on_subscribe(self, _client: Any, _userdata: Any, _mid: int, reasons: Any, _properties: Any) -> None:
        if any(reason.is_failure for reason in reasons):
            log.error("mqtt_subscription_refused", client=self.client_id, reasons=[str(reason) for reason in reasons])
        else:
            self.subscribed.set()

    def _on_publish(self, _client: Any, _userdata: Any, mid: int, _reason: Any, _properties: Any) -> None:
        future = self._published.get(mid)
        if future is not None and not future.done():
            future.set_result(None)

    # paho opens the socket in the executor's thread; the loop may only be touched from its own.
    def _on_socket_open(self, _client: Any, _userdata: Any, sock: Any) -> None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._loop.call_soon_threadsafe(self._watch, sock)

    def _watch(self, sock: Any) -> None:
        if not self._running:  # cancelled while a thread was connecting: this connection is nobody's
            self._close()
        elif sock.fileno() >= 0:
            self._loop.add_reader(sock, self._on_readable)

    def _on_socket_close(self, _client: Any, _userdata: Any, sock: Any) -> None:
        self._loop.remove_reader(sock)
        self._loop.remove_writer(sock)
        self._loop.call_soon(self._gone.set)

    def _on_register_write(self, _client: Any, _userdata: Any, sock: Any) -> None:
        self._loop.call_soon_threadsafe(self._watch_write, sock)

    def _watch_write(self, sock: Any) -> None:
        if sock.fileno() >= 0:
            self._loop.add_writer(sock, self._client.loop_write)

    def _on_unregister_write(self, _client: Any, _userdata: Any, sock: Any) -> None:
        self._loop.remove_writer(sock)


async def _first(*events: asyncio.Event) -> None:
    tasks = [asyncio.create_task(event.wait()) for event in events]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
