"""Every error of the control port as problem+json, with a hint that says what to do."""

from __future__ import annotations

import logging
from typing import Any

import msgspec
from litestar import Request, Response
from litestar.exceptions import HTTPException, ValidationException

from sandbox.fleet.errors import SandboxError

log = logging.getLogger("sandbox.control")

MEDIA_TYPE = "application/problem+json"


def _problem(*, status: int, code: str, title: str, detail: str, hint: str, **more: Any) -> Response[bytes]:
    body = {"type": f"about:{code}", "title": title, "status": status, "code": code, "detail": detail, "hint": hint}
    return Response(
        msgspec.json.encode({**body, **{key: value for key, value in more.items() if value}}),
        status_code=status,
        media_type=MEDIA_TYPE,
    )


def render_refusal(_request: Request[Any, Any, Any], error: SandboxError) -> Response[bytes]:
    """What the simulated world refuses."""
    return _problem(status=error.status, code=error.code, title=error.title, detail=error.detail, hint=error.hint)


def render_http(request: Request[Any, Any, Any], error: HTTPException) -> Response[bytes]:
    """What the HTTP layer refuses: unknown paths, wrong methods, bodies that do not fit."""
    if isinstance(error, ValidationException):
        fields = error.extra if isinstance(error.extra, list) else []
        return _problem(
            status=422,
            code="bad_request",
            title="The request cannot be understood",
            detail=error.detail,
            hint=f"GET / shows the body that {request.method} {request.url.path} takes.",
            errors=fields,
        )
    hints = {
        404: "GET / lists every path of this port.",
        405: "GET / lists the methods of this path.",
        400: "Send a JSON object with Content-Type: application/json.",
    }
    return _problem(
        status=error.status_code,
        code={404: "no_such_path", 405: "wrong_method", 400: "bad_request"}.get(error.status_code, "refused"),
        title=error.detail or "Refused",
        detail=f"{request.method} {request.url.path}: {error.detail}",
        hint=hints.get(error.status_code, "GET / lists what can be done here."),
    )


def render_fault(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """A fault of the sandbox itself: logged whole, told without the trace."""
    log.error("%s %s failed", request.method, request.url.path, exc_info=error)
    return _problem(
        status=500,
        code="sandbox_fault",
        title="The sandbox itself failed",
        detail=f"{type(error).__name__}: {error}",
        hint="See the log of the sandbox; this is a fault to report.",
    )
