"""APNs over HTTP/2 and TLS, built on h2: checks each push as Apple does, and fails on demand as Apple does."""

import asyncio
import time
import uuid
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import h2.settings

from sandbox.apns import checks
from sandbox.apns.checks import Push, Refused
from sandbox.apns.keys import ApnsKeys
from sandbox.faults import Faults

KEEP = 500
STREAMS_WHEN_TRUSTED = 1000
TOKEN_UPDATE_GAP_S = 1200
BODY_LIMIT = 64 * 1024
FAULTS = {
    "429": Refused(429, "TooManyRequests"),
    "503": Refused(503, "ServiceUnavailable"),
    "shutdown": Refused(503, "Shutdown"),
    "500": Refused(500, "InternalServerError"),
    "expired_token": Refused(403, "ExpiredProviderToken"),
    "bad_device_token": Refused(400, "BadDeviceToken"),
}


@dataclass
class _Stream:
    headers: list[tuple[str, str]]
    body: bytearray = field(default_factory=bytearray)


class ApnsServer:
    """One APNs host; `pushes` keeps what was accepted, `unregister` makes a device token dead."""

    def __init__(self, *, keys: ApnsKeys, topics: frozenset[str], clock: Callable[[], float] = time.time) -> None:
        self.keys = keys
        self.topics = topics
        self.clock = clock
        self.pushes: deque[Push] = deque(maxlen=KEEP)
        self.faults = Faults({*FAULTS, "410", "empty_500", "goaway", "drop", "hang"})
        self.connections_made = 0
        self.public_key = keys.public_key()
        self.unregistered: dict[str, int] = {}
        self.open: set[_Connection] = set()
        self._server: asyncio.Server | None = None
        self.port = 0

    async def start(self, *, host: str, port: int) -> None:
        """Listen on `host` and `port` (0: a free one)."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Connection(self), host, port, ssl=self.keys.server_context())
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Stop listening and cut the open connections."""
        if self._server is not None:
            self._server.close()
        for connection in list(self.open):
            connection.abort()
        if self._server is not None:
            await self._server.wait_closed()

    def unregister(self, device_token: str, *, at: float | None = None) -> None:
        """Let the app be gone from the device since `at`: pushes to it are 410 from now on."""
        self.unregistered[device_token.lower()] = int((self.clock() if at is None else at) * 1000)

    def accept(self, headers: list[tuple[str, str]], body: bytes, connection: "_Connection", fault: str | None) -> Push:
        """Return the push if APNs would take it; raises Refused."""
        found = checks.one_value_each(headers)
        device = checks.device_token(found)
        now = self.clock()
        token = checks.provider_token(
            found.get("authorization"),
            key=self.public_key,
            key_id=self.keys.key_id,
            team_id=self.keys.team_id,
            now=now,
        )
        connection.note_token(token, now)
        wanted = checks.push(found, body, device=device, topics=self.topics, now=now, new_id=str(uuid.uuid4()).upper())
        if fault == "410":
            self.unregister(device)
        elif fault in FAULTS:
            raise FAULTS[fault]
        if device in self.unregistered:
            raise Refused(410, "Unregistered", timestamp=self.unregistered[device])
        self.pushes.append(wanted)
        return wanted


class _Connection(asyncio.Protocol):
    """One provider connection: a single stream until a valid token was seen, then many."""

    def __init__(self, server: ApnsServer) -> None:
        self._server = server
        self._h2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding="utf-8"))
        self._streams: dict[int, _Stream] = {}
        self._transport: asyncio.Transport | None = None
        self._token: tuple[str, float] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Greet with the settings: one stream for now."""
        if not isinstance(transport, asyncio.Transport):
            raise TypeError("a stream transport is needed")
        self._transport = transport
        self._server.open.add(self)
        self._server.connections_made += 1
        selected = transport.get_extra_info("ssl_object").selected_alpn_protocol()
        if selected != "h2":
            transport.abort()
            return
        self._h2.local_settings = h2.settings.Settings(
            client=False, initial_values={h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS: 1}
        )
        self._h2.initiate_connection()
        self._flush()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._server.open.discard(self)

    def abort(self) -> None:
        """Cut the connection without a word."""
        if self._transport is not None:
            self._transport.abort()

    def note_token(self, token: str, now: float) -> None:
        """Open the connection for many streams at the first good token; a new one within 20 minutes is too soon."""
        if self._token is None:
            self._h2.update_settings({h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS: STREAMS_WHEN_TRUSTED})
        elif token != self._token[0]:
            if now - self._token[1] < TOKEN_UPDATE_GAP_S:
                raise Refused(429, "TooManyProviderTokenUpdates")
        else:
            return
        self._token = (token, now)

    def data_received(self, data: bytes) -> None:
        """Feed the protocol machine and answer what is complete."""
        try:
            for event in self._h2.receive_data(data):
                self._on_event(event)
        except h2.exceptions.ProtocolError:
            self._flush()
            if self._transport is not None:
                self._transport.close()
            return
        self._flush()

    def _on_event(self, event: h2.events.Event) -> None:
        if isinstance(event, h2.events.RequestReceived):
            headers = [(_text(name), _text(value)) for name, value in event.headers or ()]
            self._streams[event.stream_id or 0] = _Stream(headers)
        elif isinstance(event, h2.events.DataReceived):
            stream = self._streams.get(event.stream_id or 0)
            if event.flow_controlled_length:
                self._h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id or 0)
            if stream is not None and len(stream.body) <= BODY_LIMIT:
                stream.body += event.data or b""
        elif isinstance(event, h2.events.StreamEnded):
            stream = self._streams.pop(event.stream_id or 0, None)
            if stream is not None:
                self._answer(event.stream_id or 0, stream)
        elif isinstance(event, h2.events.StreamReset):
            self._streams.pop(event.stream_id or 0, None)

    def _answer(self, stream_id: int, stream: _Stream) -> None:
        fault = self._server.faults.take()
        if fault == "drop":
            self.abort()
            return
        if fault == "hang":
            return
        if fault == "goaway":
            self._h2.close_connection(
                error_code=h2.errors.ErrorCodes.NO_ERROR,
                additional_data=b'{"reason":"Shutdown"}',
                last_stream_id=max(stream_id - 2, 0),
            )
            self._flush()
            if self._transport is not None:
                self._transport.close()
            return
        if fault == "empty_500":
            self._h2.send_headers(stream_id, [(":status", "500")], end_stream=True)
            return
        try:
            taken = self._server.accept(stream.headers, bytes(stream.body), self, fault)
        except Refused as refusal:
            apns_id = dict(stream.headers).get("apns-id", str(uuid.uuid4()).upper())
            headers = [(":status", str(refusal.status)), ("apns-id", apns_id), ("content-type", "application/json")]
            self._h2.send_headers(stream_id, headers)
            self._h2.send_data(stream_id, refusal.body(), end_stream=True)
            return
        self._h2.send_headers(stream_id, [(":status", "200"), ("apns-id", taken.apns_id)], end_stream=True)

    def _flush(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(self._h2.data_to_send())


def _text(value: str | bytes) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value
