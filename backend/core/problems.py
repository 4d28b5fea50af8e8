"""Errors as RFC 9457 `application/problem+json`: the only place that builds an error answer.

Every answer carries `type`, `title`, `status`, `detail`, `code`, `instance` (the path) and `request_id`; a domain
error's params are members beside them. Texts are zh-CN unless `Accept-Language` prefers English. Only 5xx are logged.
"""

from collections.abc import Mapping
from typing import Any

import asyncpg
import msgspec
import structlog
from litestar import Request, Response
from litestar.exceptions import (
    ClientException,
    HTTPException,
    MethodNotAllowedException,
    NotFoundException,
    ValidationException,
)
from litestar.types import ExceptionHandlersMap
from redis.exceptions import RedisError

from backend.core.errors import Conflict, DomainError, Forbidden, Invalid, NotFound, Unauthenticated, Unavailable
from backend.core.units import CoordMissing

log = structlog.get_logger()

MEDIA_TYPE = "application/problem+json"
TYPE_BASE = "https://linli.example/problems/"


def choose_locale(accept_language: str | None) -> str:
    """Return "en" where the client prefers English over Chinese, else "zh-CN" (RFC 9110 quality values)."""
    best, best_quality = "zh-CN", 0.0
    for part in (accept_language or "").split(","):
        tag, _, params = part.strip().partition(";")
        try:
            quality = float(params.strip().removeprefix("q=")) if params.strip().startswith("q=") else 1.0
        except ValueError:
            continue
        primary = tag.strip().lower().split("-")[0]
        if primary in ("zh", "en") and quality > best_quality:
            best, best_quality = ("en" if primary == "en" else "zh-CN"), quality
    return best


class PathUnknown(NotFound):
    """No such path."""

    code = "path_unknown"
    title_en = "There is no such path"
    title_zh = "路径不存在"
    detail_en = "See /docs for the paths of this service."
    detail_zh = "可用路径请参见 /docs。"


class MethodNotAllowed(DomainError):
    """The path exists, for other methods."""

    status = 405
    code = "method_not_allowed"
    title_en = "The path does not take this method"
    title_zh = "该路径不支持此方法"
    detail_en = "Use one of the methods in the Allow header."
    detail_zh = "请使用 Allow 响应头中的方法。"


class BodyTooLarge(DomainError):
    """The body is over the limit of the path."""

    status = 413
    code = "body_too_large"
    title_en = "The body is too large"
    title_zh = "请求体过大"
    detail_en = "Send at most {max_bytes} bytes to this path."
    detail_zh = "该路径最多接受 {max_bytes} 字节。"


class HeadersTooLarge(DomainError):
    """The header section is over the limit."""

    status = 431
    code = "headers_too_large"
    title_en = "The headers are too large"
    title_zh = "请求头过大"
    detail_en = "Send at most {max_bytes} bytes of headers."
    detail_zh = "请求头最多 {max_bytes} 字节。"


class MalformedBody(DomainError):
    """The body cannot be read as what its Content-Type says."""

    status = 400
    code = "malformed_body"
    title_en = "The body cannot be read"
    title_zh = "请求体无法解析"
    detail_en = "Send one JSON document in UTF-8 with Content-Type: application/json. {reason}"
    detail_zh = "请以 UTF-8 编码发送一个 JSON 文档，并设置 Content-Type: application/json。{reason}"


class UnsupportedMediaType(DomainError):
    """The Content-Type is none the path takes."""

    status = 415
    code = "unsupported_media_type"
    title_en = "The Content-Type is not supported here"
    title_zh = "不支持的 Content-Type"
    detail_en = "Send application/json (or multipart/form-data where the path takes a file)."
    detail_zh = "请发送 application/json（上传文件的路径为 multipart/form-data）。"


class FieldsInvalid(Invalid):
    """One or more fields are missing or of the wrong type; `errors` names each."""

    code = "fields_invalid"
    title_en = "Some fields are not valid"
    title_zh = "部分字段无效"
    detail_en = "See 'errors' for each field and what would be right."
    detail_zh = "各字段问题见 errors。"


class InternalFault(DomainError):
    """A fault of ours."""

    status = 500
    code = "internal"
    title_en = "Something went wrong on our side"
    title_zh = "服务内部错误"
    detail_en = "It has been recorded. Quote the request_id when you ask about it."
    detail_zh = "问题已记录，咨询时请提供 request_id。"


class Busy(Conflict):
    """Two requests met on the same rows and this one lost; nothing was changed."""

    code = "busy"
    title_en = "Somebody else was faster"
    title_zh = "操作冲突"
    detail_en = "Another request changed the same thing at the same moment. Read the present state and try again."
    detail_zh = "另一请求同时修改了同一对象，请读取最新状态后重试。"


_BY_STATUS: dict[int, type[DomainError]] = {
    401: Unauthenticated,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    422: Invalid,
}


def problem_document(error: DomainError, *, locale: str, instance: str, request_id: str | None) -> dict[str, Any]:
    """Return the problem document of `error` in `locale`."""
    document: dict[str, Any] = {
        "type": TYPE_BASE + error.code.replace("_", "-"),
        "title": error.title(locale),
        "status": error.status,
        "detail": error.detail(locale) or error.title(locale),
        "code": error.code,
        "instance": instance,
        "request_id": request_id,
    }
    for key, value in error.params.items():
        document.setdefault(key, value)
    return document


def problem_bytes(
    error: DomainError, *, locale: str, instance: str, request_id: str | None
) -> tuple[bytes, dict[str, str]]:
    """Return body and headers of the answer for `error`."""
    document = problem_document(error, locale=locale, instance=instance, request_id=request_id)
    headers = {"content-type": MEDIA_TYPE, "content-language": locale, "cache-control": "no-store"}
    if "retry_after_s" in error.params:
        headers["retry-after"] = str(int(error.params["retry_after_s"]))
    elif error.status == 503:
        headers["retry-after"] = "5"
    if error.status == 401:
        headers["www-authenticate"] = "Bearer"
    return msgspec.json.encode(document, enc_hook=str), headers


def _answer(
    request: Request[Any, Any, Any], error: DomainError, extra: Mapping[str, str] | None = None
) -> Response[bytes]:
    body, headers = problem_bytes(
        error,
        locale=choose_locale(request.headers.get("accept-language")),
        instance=request.url.path,
        request_id=request.scope["state"].get("request_id"),
    )
    return Response(content=body, status_code=error.status, headers={**headers, **(extra or {})}, media_type=MEDIA_TYPE)


def handle_domain_error(request: Request[Any, Any, Any], error: DomainError) -> Response[bytes]:
    """Answer a domain error."""
    if error.status >= 500:
        log.error("request_failed", code=error.code, path=request.url.path, cause=repr(error.__cause__))
    return _answer(request, error)


def field_errors(error: ValidationException) -> list[dict[str, str]]:
    """Turn Litestar's validation details into {field, message, in}."""
    items = error.extra if isinstance(error.extra, list) else []
    return [
        {
            "field": str(item.get("key") or item.get("field") or "body"),
            "message": str(item.get("message", "")),
            "in": str(getattr(item.get("source"), "value", item.get("source") or "body")),
        }
        for item in items
        if isinstance(item, dict)
    ]


def handle_http_exception(request: Request[Any, Any, Any], error: HTTPException) -> Response[bytes]:
    """Answer what Litestar itself refuses, in our words."""
    extra = {key.lower(): value for key, value in (error.headers or {}).items() if key.lower() == "allow"}
    if isinstance(error, NotFoundException):
        return _answer(request, PathUnknown())
    if isinstance(error, MethodNotAllowedException):
        return _answer(request, MethodNotAllowed(), extra)
    if isinstance(error, ValidationException):
        details = field_errors(error)
        if [item["field"] for item in details] == ["coord"]:
            return _answer(request, CoordMissing(field="coord"))
        details = details or [{"field": "body", "message": error.detail, "in": "body"}]
        return _answer(request, FieldsInvalid(errors=details))
    if error.status_code == 413:
        return _answer(request, BodyTooLarge(max_bytes=request.route_handler.resolve_request_max_body_size()))
    if error.status_code == 415:
        return _answer(request, UnsupportedMediaType())
    if isinstance(error, ClientException) or error.status_code == 400:
        return _answer(request, MalformedBody(reason=error.detail))
    if error.status_code >= 500:
        return handle_fault(request, error)
    return _answer(request, _BY_STATUS.get(error.status_code, DomainError)())


def handle_fault(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """Answer a fault of ours: log it whole, tell the client its request id and nothing else."""
    log.error("request_fault", path=request.url.path, exc_info=error)
    return _answer(request, InternalFault())


def handle_database_conflict(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """Answer what PostgreSQL refused because two requests met (23P01, 40P01, 40001) as a conflict."""
    log.warning("database_conflict", path=request.url.path, kind=type(error).__name__)
    return _answer(request, Busy())


def handle_unavailable(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """Answer a database or Valkey that cannot be reached as 503."""
    log.error("dependency_unavailable", path=request.url.path, kind=type(error).__name__, error=str(error)[:200])
    return _answer(request, Unavailable())


EXCEPTION_HANDLERS: ExceptionHandlersMap = {
    DomainError: handle_domain_error,
    HTTPException: handle_http_exception,
    asyncpg.ExclusionViolationError: handle_database_conflict,
    asyncpg.DeadlockDetectedError: handle_database_conflict,
    asyncpg.SerializationError: handle_database_conflict,
    asyncpg.PostgresConnectionError: handle_unavailable,
    asyncpg.CannotConnectNowError: handle_unavailable,
    asyncpg.InterfaceError: handle_unavailable,
    asyncpg.TooManyConnectionsError: handle_unavailable,
    asyncpg.AdminShutdownError: handle_unavailable,
    ConnectionError: handle_unavailable,
    TimeoutError: handle_unavailable,
    RedisError: handle_unavailable,
    Exception: handle_fault,
}
