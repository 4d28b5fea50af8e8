"""The door of the console: what holds for every request before Piccolo Admin sees it, and for every answer after.

Only under the public address; nothing but enrolling without a second factor; bodies and listings have an end; cookies
are sent to the console only; a browser neither frames, keeps nor runs anything of elsewhere.
"""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import asyncpg
from litestar.types import ASGIApp, Message, Receive, Scope, Send
from pydantic import ValidationError
from starlette.requests import Request

from backend.console.service.acting import serving
from backend.console.tables import asked_at, hash_token
from backend.core import db
from backend.core.clock import Clock
from backend.core.services import Services
from backend.core.settings import Settings

MAX_BODY_BYTES = 64 * 1024
MOST_LISTED = 100
"""Ids one answer of a choice list holds; Piccolo would send the whole table."""
LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
CLOSED = ("/api/docs", "/api/openapi.json", "/public/docs", "/public/openapi.json", "/openapi.json", "/docs")
"""Piccolo's pages about itself: they load scripts from elsewhere, and tell what nobody needs."""
WITHOUT_SECOND_FACTOR = "/api/mfa-setup"
_HERE = Path(__file__).parent
OURS = {
    "/second-factor.js": ("text/javascript", (_HERE / "second_factor.js").read_bytes()),
    "/read-only.css": ("text/css", (_HERE / "read_only.css").read_bytes()),
}
HEADERS = {
    "content-security-policy": "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:;"
    " font-src 'self' data:; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
    "x-robots-tag": "noindex",
}


class Door:
    """The console as an ASGI application; `build` makes what is behind the door, at the first request."""

    def __init__(self, services: Services, *, build: Callable[[], Any]) -> None:
        settings = services.get(Settings)
        self._services = services
        self._clock: Clock = services.get(Clock)  # type: ignore[type-abstract]
        self._build = build
        self._behind: Any = None
        self._building = asyncio.Lock()
        self._tls = settings.public_url.startswith("https://")
        host = urlsplit(settings.public_url).hostname or ""
        self._hosts = LOOPBACK | {host} if host in LOOPBACK else frozenset({host})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        asked_at.set(self._clock.now())
        serving.set(self._services)
        scope["scheme"] = "https" if self._tls else "http"
        if address := scope.get("state", {}).get("client_address"):
            scope["client"] = (address, 0)
        request = Request(scope)  # type: ignore[arg-type]
        path = "/" + scope["path"].strip("/")
        answer = _Answer(send, path=path, tls=self._tls)
        if request.url.hostname not in self._hosts:
            await answer.say(421, {"detail": "The console is reached under the public address of the service only."})
        elif path.startswith(CLOSED):
            await answer.say(404, {"detail": "There is no such page."})
        elif path in OURS:
            await answer.raw(200, *OURS[path])
        elif not await self._turned_to_enrol(request, path, answer):
            _end_listing(scope, path)
            await self._pass(scope, receive, answer)

    async def _turned_to_enrol(self, request: Request, path: str, answer: "_Answer") -> bool:
        token = request.cookies.get("id")
        inside = path == "/" or (path.startswith("/api") and not path.startswith(WITHOUT_SECOND_FACTOR))
        if not token or not inside or not await _is_half_open(token):
            return False
        if path == "/":
            await answer.raw(303, "text/plain", b"", {"location": f".{WITHOUT_SECOND_FACTOR}/"})
        else:
            detail = "Set up a second factor first, then sign in again with it."
            await answer.say(403, {"detail": detail}, {"x-second-factor": "missing"})
        return True

    async def _pass(self, scope: Scope, receive: Receive, answer: "_Answer") -> None:
        async with self._building:
            if self._behind is None:
                self._behind = await asyncio.to_thread(self._build)
        body = await _read(receive)
        if body is None:
            await answer.say(413, {"detail": f"Send at most {MAX_BODY_BYTES} bytes."})
            return
        try:
            await self._behind(scope, _replay(body, receive), answer)
        except (ValueError, ValidationError, asyncpg.DataError) as error:
            # Piccolo lets through what it cannot make sense of: an unknown column to sort by, a number out of range
            if answer.begun:
                raise
            await answer.say(422, {"detail": str(error)[:300]})


async def _is_half_open(token: str) -> bool:
    """Say whether this session lives and lacks a second factor: never had one, or lost it since."""
    row = await db.fetchrow(
        "SELECT s.second_factor AND EXISTS (SELECT 1 FROM console_secret c"
        "  WHERE c.user_id = s.user_id AND c.revoked_at IS NULL) AS whole"
        " FROM console_session s WHERE s.token = $1 AND s.expiry_date > $2 AND s.max_expiry_date > $2",
        hash_token(token),
        asked_at.get(),
    )
    return row is not None and not row["whole"]


def _end_listing(scope: Scope, path: str) -> None:
    if not path.endswith("/ids"):
        return
    asked = dict(parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True))
    limit = asked.get("limit", "")
    asked["limit"] = limit if limit.isascii() and limit.isdigit() and int(limit) <= MOST_LISTED else str(MOST_LISTED)
    scope["query_string"] = urlencode(asked).encode()


async def _read(receive: Receive) -> bytes | None:
    """Return the whole body, or None where it passes the limit (or the browser went away)."""
    body = b""
    while len(body) <= MAX_BODY_BYTES:
        message: Any = await receive()
        if message["type"] != "http.request":
            return None
        body += message.get("body", b"")
        if not message.get("more_body", False):
            return body if len(body) <= MAX_BODY_BYTES else None
    return None


def _replay(body: bytes, receive: Receive) -> Receive:
    given = False

    async def replay() -> Any:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay


class _Answer:
    """Passes an answer on with the headers that all of them carry."""

    def __init__(self, send: Send, *, path: str, tls: bool) -> None:
        self._send = send
        self._tls = tls
        self._keep = path.startswith("/assets")
        self.begun = False

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.begun = True
            headers = [
                (name, self._cookie(value) if name.lower() == b"set-cookie" else value)
                for name, value in message.get("headers", [])
            ]
            headers += [(name.encode(), value.encode()) for name, value in HEADERS.items()]
            headers.append((b"cache-control", b"max-age=86400" if self._keep else b"no-store"))
            message["headers"] = headers
        await self._send(message)

    def _cookie(self, value: bytes) -> bytes:
        """Send cookies back to the console alone, never from another site, and under TLS only where there is TLS."""
        parts = [part.strip() for part in value.decode("latin-1").split(";")]
        kept = [part for part in parts if part.lower().split("=")[0] not in ("path", "samesite", "secure")]
        kept += ["Path=/admin", "SameSite=strict", *(["Secure"] if self._tls else [])]
        return "; ".join(kept).encode("latin-1")

    async def say(self, status: int, body: dict[str, str], headers: dict[str, str] | None = None) -> None:
        await self.raw(status, "application/json", json.dumps(body).encode(), headers)

    async def raw(self, status: int, kind: str, body: bytes, headers: dict[str, str] | None = None) -> None:
        told = {"content-type": kind, "content-length": str(len(body)), **(headers or {})}
        raw = [(name.encode(), value.encode()) for name, value in told.items()]
        await self({"type": "http.response.start", "status": status, "headers": raw})
        await self({"type": "http.response.body", "body": body, "more_body": False})


def make_door(services: Services) -> ASGIApp:
    """Return the console, with nothing built behind its door yet."""

    def build() -> Any:
        from backend.console.controllers_site import build_site  # FastAPI and all: seconds, and only where it is used

        return build_site(services.get(Settings).public_url, db.engine())

    return Door(services, build=build)
