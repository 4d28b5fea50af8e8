"""The outermost layer of the API: request ids, limits, idempotency, access log and metrics, in one pass.

One layer instead of a stack of middlewares, because each costs more than the server itself (architecture.md, traps).
"""

import asyncio
import re
import time
from typing import Any

import structlog
from litestar.types import ASGIApp, Message, Receive, Send

from backend.core import idempotency
from backend.core.auth import Tokens
from backend.core.clock import Clock
from backend.core.errors import DomainError, TooMany, Unauthenticated, Unavailable
from backend.core.ids import new_id
from backend.core.limits import RateLimiter
from backend.core.metrics import HTTP_REQUESTS, HTTP_SECONDS
from backend.core.problems import BodyTooLarge, HeadersTooLarge, MalformedBody, choose_locale, problem_bytes

log = structlog.get_logger()

MAX_HEADER_BYTES = 16 * 1024
MAX_IDEMPOTENT_BODY = 1024 * 1024
STRANGER = "address:"
"""What the name of a caller without a login begins with."""
BODY_TIMEOUT_S = 30.0
"""Longest silence of a client while it sends its body."""
UNSAFE = frozenset({"POST", "PUT", "DELETE"})
UNLIMITED = frozenset({"/livez", "/readyz", "/metrics"})
Scope = Any
"""An ASGI scope of any type; Litestar's own type leaves lifespan out."""
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{8,64}")


class Edge:
    """Wraps the Litestar application."""

    def __init__(
        self, app: ASGIApp, *, tokens: Tokens, clock: Clock, per_minute: int, trusted_proxies: frozenset[str]
    ) -> None:
        self._app = app
        self._tokens = tokens
        self._clock = clock
        self._limiter = RateLimiter(per_minute)
        self._trusted = trusted_proxies

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, WebSocket or lifespan."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        headers = {name.lower(): value for name, value in scope["headers"]}
        given = headers.get(b"x-request-id", b"").decode("latin-1")
        request_id = given if _REQUEST_ID.fullmatch(given) else str(new_id())
        state: dict[str, Any] = scope.setdefault("state", {})
        state["request_id"] = request_id
        state["client_address"] = self._address(scope, headers)
        if scope["type"] == "websocket":
            await self._app(scope, receive, send)
            return
        await self._serve(scope, receive, send, headers, request_id)

    def _address(self, scope: Scope, headers: dict[bytes, bytes]) -> str:
        client = scope.get("client")
        address = client[0] if client else "unknown"
        if address in self._trusted and (forwarded := headers.get(b"x-forwarded-for")):
            return forwarded.decode("latin-1").split(",")[-1].strip()[:64]
        return address

    async def _serve(
        self, scope: Scope, receive: Receive, send: Send, headers: dict[bytes, bytes], request_id: str
    ) -> None:
        started = time.perf_counter()
        status = 500

        async def send_counted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [
                    *message.get("headers", []),
                    (b"x-request-id", request_id.encode()),
                    (b"x-content-type-options", b"nosniff"),
                ]
            await send(message)

        try:
            self._check_limits(scope, headers, started)
            await self._run(scope, _timed(receive), send_counted, headers)
        except DomainError as error:
            body, answer_headers = problem_bytes(
                error,
                locale=choose_locale(headers.get(b"accept-language", b"").decode("latin-1")),
                instance=scope["path"],
                request_id=request_id,
            )
            await _send_all(send_counted, error.status, answer_headers, body)
        finally:
            template = str(scope.get("path_template") or "unknown")
            elapsed = time.perf_counter() - started
            HTTP_REQUESTS.labels(scope["method"], template, str(status)).inc()
            HTTP_SECONDS.labels(scope["method"], template).observe(elapsed)
            log.debug("request", method=scope["method"], path=template, status=status, ms=round(elapsed * 1000, 1))

    def _check_limits(self, scope: Scope, headers: dict[bytes, bytes], now_s: float) -> None:
        if sum(len(name) + len(value) for name, value in scope["headers"]) > MAX_HEADER_BYTES:
            raise HeadersTooLarge(max_bytes=MAX_HEADER_BYTES)
        length = headers.get(b"content-length")
        if length is not None and not length.isdigit():
            raise MalformedBody(reason="Content-Length is not a number.")
        if scope["path"] not in UNLIMITED:
            wait = self._limiter.take(scope["state"]["client_address"], now_s)
            if wait:
                raise TooMany(retry_after_s=max(1, round(wait)))

    async def _run(self, scope: Scope, receive: Receive, send: Send, headers: dict[bytes, bytes]) -> None:
        raw_key = headers.get(b"idempotency-key")
        content_type = headers.get(b"content-type", b"")
        if raw_key is None or scope["method"] not in UNSAFE or content_type.startswith(b"multipart/"):
            await self._app(scope, receive, send)
            return
        key = raw_key.decode("latin-1")
        idempotency.check_key(key)
        caller = self._caller(scope, headers)
        operation = f"{scope['method']} {scope['path']}"[:200]
        body = await _read_body(receive)
        stored = await idempotency.begin(
            caller=caller,
            key=key,
            operation=operation,
            body=body,
            now=self._clock.now(),
            keep_for=idempotency.KEEP_FOR_STRANGERS if caller.startswith(STRANGER) else idempotency.KEEP_FOR,
        )
        if stored is not None:
            replayed = {"content-type": stored.media_type, "idempotency-replayed": "true"}
            await _send_all(send, stored.status, replayed, stored.body)
            return
        answer = _Recorder(send)
        try:
            await self._app(scope, _replay(body), answer)
        finally:
            if answer.complete and answer.status < 500 and answer.status not in (401, 429):
                await idempotency.finish(caller=caller, key=key, operation=operation, answer=answer.stored())
            else:
                await idempotency.abandon(caller=caller, key=key, operation=operation)

    def _caller(self, scope: Scope, headers: dict[bytes, bytes]) -> str:
        scheme, _, token = headers.get(b"authorization", b"").decode("latin-1").partition(" ")
        if scheme.lower() == "bearer":
            try:
                return str(self._tokens.read(token.strip()).account_id)
            except Unauthenticated:
                return f"{STRANGER}nobody"
        return f"{STRANGER}{scope['state']['client_address']}"


class _Recorder:
    """Passes an answer on and keeps a copy."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.status = 500
        self.media_type = "application/json"
        self.body = bytearray()
        self.complete = False

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            for name, value in message.get("headers", []):
                if name.lower() == b"content-type":
                    self.media_type = value.decode("latin-1")
        elif message["type"] == "http.response.body":
            self.body += message.get("body", b"")
            self.complete = not message.get("more_body", False)
        await self._send(message)

    def stored(self) -> idempotency.StoredAnswer:
        return idempotency.StoredAnswer(self.status, self.media_type, bytes(self.body))


def _timed(receive: Receive) -> Receive:
    """Give up on a client that stops in the middle of its body; streams wait for the disconnect undisturbed."""
    body_done = False

    async def timed() -> Any:
        nonlocal body_done
        if body_done:
            return await receive()
        try:
            async with asyncio.timeout(BODY_TIMEOUT_S):
                message = await receive()
        except TimeoutError as error:
            raise Unavailable(reason="the body did not arrive in time") from error
        body_done = message["type"] != "http.request" or not message.get("more_body", False)
        return message

    return timed


async def _read_body(receive: Receive) -> bytes:
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise MalformedBody(reason="The connection ended before the body did.")
        body += message.get("body", b"")
        if len(body) > MAX_IDEMPOTENT_BODY:
            raise BodyTooLarge(max_bytes=MAX_IDEMPOTENT_BODY)
        if not message.get("more_body", False):
            return bytes(body)


def _replay(body: bytes) -> Receive:
    sent = False

    async def receive() -> Any:
        nonlocal sent
        if sent:
            return {"type": "http.disconnect"}
        sent = True
        return {"type": "http.request", "body": body, "more_body": False}

    return receive


async def _send_all(send: Send, status: int, headers: dict[str, str], body: bytes) -> None:
    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    raw.append((b"content-length", str(len(body)).encode()))
    await send({"type": "http.response.start", "status": status, "headers": raw})
    await send({"type": "http.response.body", "body": body, "more_body": False})
