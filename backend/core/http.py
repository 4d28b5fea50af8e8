"""Small tools for controllers: ETag answers and the address of the client."""

import hashlib
from collections.abc import Iterable
from typing import Any

import msgspec
from litestar import Request, Response
from litestar.status_codes import HTTP_200_OK, HTTP_304_NOT_MODIFIED
from litestar.types import Receive, Scope, Send


def etag_of(body: bytes) -> str:
    """Return the strong ETag of a body."""
    return f'"{hashlib.blake2b(body, digest_size=12).hexdigest()}"'


def matches(if_none_match: str | None, etag: str) -> bool:
    """Say whether an If-None-Match header names `etag` (weak comparison, RFC 9110 13.1.2)."""
    if if_none_match is None:
        return False
    candidates = [candidate.strip().removeprefix("W/") for candidate in if_none_match.split(",")]
    return "*" in candidates or etag in candidates


class Encoded(Response[Any]):
    """An answer whose body and headers are bytes already: sent as they are, without Litestar's rendering of them.

    The polled GETs are most of the traffic, and building and rendering a `Response` costs as much as their work.
    """

    def __init__(self, *, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
        self._status = status
        self.body = body
        self._encoded_headers = headers

    def to_asgi_response(self, *_: Any, **__: Any) -> Any:
        """Return the ASGI application that sends the answer."""

        status, headers = self._status, self._encoded_headers

        async def answer(_scope: Scope, _receive: Receive, send: Send) -> None:
            await send({"type": "http.response.start", "status": status, "headers": headers})
            await send({"type": "http.response.body", "body": self.body, "more_body": False})

        return answer


def find_header(request: Request[Any, Any, Any], name: bytes) -> str | None:
    """Return a header of the request (its name in lower case), or None, without making a mapping of all of them."""
    return _find_header(request.scope["headers"], name)


def _find_header(headers: Iterable[tuple[bytes, bytes]], name: bytes) -> str | None:
    for given, value in headers:
        if given == name:
            return value.decode("latin-1")
    return None


def etag_bytes_response(request: Request[Any, Any, Any], body: bytes, *, private: bool = True) -> Response[Any]:
    """Answer JSON bytes with an ETag, or 304 without a body where the client has them already."""
    return etag_answer(request.scope["headers"], body, private=private)


def etag_answer(request_headers: Iterable[tuple[bytes, bytes]], body: bytes, *, private: bool = True) -> Encoded:
    """Return the answer `etag_bytes_response` gives to a request with these headers."""
    etag = etag_of(body)
    headers = [
        (b"etag", etag.encode()),
        (b"cache-control", b"private, no-cache" if private else b"no-cache"),
        (b"vary", b"Authorization, Accept-Language"),
    ]
    if matches(_find_header(request_headers, b"if-none-match"), etag):
        return Encoded(status=HTTP_304_NOT_MODIFIED, headers=headers, body=b"")
    headers += [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    return Encoded(status=HTTP_200_OK, headers=headers, body=body)


def etag_response(request: Request[Any, Any, Any], data: Any, *, private: bool = True) -> Response[Any]:
    """Encode `data` (structs, lists, dicts) and answer it with an ETag; for GETs that an app polls."""
    return etag_bytes_response(request, msgspec.json.encode(data), private=private)


def client_address(request: Request[Any, Any, Any]) -> str:
    """Return the client's address as the edge determined it (behind a trusted proxy, the forwarded one)."""
    return str(request.scope["state"].get("client_address") or (request.client.host if request.client else "unknown"))
