"""A small HTTP/1.1 server on h11 for the sandbox: raw targets and bodies, because signatures cover them.

The providers it stands in for sign and check the exact bytes; a framework that parses first would hide what
they see.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

import h11

BODY_LIMIT = 1 << 20


@dataclass(frozen=True)
class Request:
    """One request as it came: `target` is path and query, header names are lower case."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def path(self) -> str:
        """Return the target without its query."""
        return self.target.partition("?")[0]

    @property
    def query(self) -> str:
        """Return the query as it came, without the question mark."""
        return self.target.partition("?")[2]


@dataclass(frozen=True)
class Response:
    """What is answered; `drop` closes the connection without a word instead."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    drop: bool = False


Handler = Callable[[Request], Awaitable[Response]]


class HttpServer:
    """A running server; `close()` stops it and its connections."""

    def __init__(self, handler: Handler) -> None:
        self._handler = handler
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self.port = 0

    async def start(self, *, host: str, port: int) -> None:
        """Listen on `host` and `port` (0: a free one)."""
        self._server = await asyncio.start_server(self._accept, host, port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Stop listening and end the open connections."""
        if self._server is not None:
            self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._server is not None:
            await self._server.wait_closed()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = h11.Connection(h11.SERVER)
        try:
            while await self._serve_one(connection, reader, writer):
                connection.start_next_cycle()
        except (h11.ProtocolError, ConnectionError):
            pass
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError, asyncio.CancelledError):
                await writer.wait_closed()

    async def _serve_one(
        self, connection: h11.Connection, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        """Answer one request; says whether the connection may carry another."""
        head: h11.Request | None = None
        body = bytearray()
        while True:
            event = connection.next_event()
            if event is h11.NEED_DATA:
                connection.receive_data(await reader.read(65536))
            elif isinstance(event, h11.Request):
                head = event
            elif isinstance(event, h11.Data):
                body += event.data
                if len(body) > BODY_LIMIT:
                    return False
            elif isinstance(event, h11.EndOfMessage):
                break
            else:
                return False
        if head is None:
            return False
        request = Request(
            method=head.method.decode(),
            target=head.target.decode(),
            headers={name.decode().lower(): value.decode("latin-1") for name, value in head.headers},
            body=bytes(body),
        )
        response = await self._handler(request)
        if response.drop:
            return False
        headers = [(name, value) for name, value in response.headers.items()]
        if response.status != 204:
            headers.append(("Content-Length", str(len(response.body))))
        writer.write(connection.send(h11.Response(status_code=response.status, headers=headers)) or b"")
        if response.body and response.status != 204:
            writer.write(connection.send(h11.Data(data=response.body)) or b"")
        writer.write(connection.send(h11.EndOfMessage()) or b"")
        await writer.drain()
        return connection.our_state is h11.DONE and connection.their_state is h11.DONE
