"""Small tools for controllers: ETag answers and the address of the client."""

import hashlib
from typing import Any

import msgspec
from litestar import Request, Response
from litestar.status_codes import HTTP_304_NOT_MODIFIED


def etag_of(body: bytes) -> str:
    """Return the strong ETag of a body."""
    return f'"{hashlib.blake2b(body, digest_size=12).hexdigest()}"'


def matches(if_none_match: str | None, etag: str) -> bool:
    """Say whether an If-None-Match header names `etag` (weak comparison, RFC 9110 13.1.2)."""
    if if_none_match is None:
        return False
    candidates = [candidate.strip().removeprefix("W/") for candidate in if_none_match.split(",")]
    return "*" in candidates or etag in candidates


def etag_bytes_response(
    request: Request[Any, Any, Any], body: bytes, *, private: bool = True
) -> Response[bytes | None]:
    """Answer JSON bytes with an ETag, or 304 without a body where the client has them already."""
    etag = etag_of(body)
    headers = {"etag": etag, "cache-control": "private, no-cache" if private else "no-cache"}
    headers["vary"] = "Authorization, Accept-Language"
    if matches(request.headers.get("if-none-match"), etag):
        return Response(content=None, status_code=HTTP_304_NOT_MODIFIED, headers=headers)
    return Response(content=body, media_type="application/json", headers=headers)


def etag_response(request: Request[Any, Any, Any], data: Any, *, private: bool = True) -> Response[Any]:
    """Encode `data` (structs, lists, dicts) and answer it with an ETag; for GETs that an app polls."""
    return etag_bytes_response(request, msgspec.json.encode(data), private=private)


def client_address(request: Request[Any, Any, Any]) -> str:
    """Return the client's address as the edge determined it (behind a trusted proxy, the forwarded one)."""
    return str(request.scope["state"].get("client_address") or (request.client.host if request.client else "unknown"))
