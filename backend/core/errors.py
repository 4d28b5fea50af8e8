"""What can go wrong in terms of the caller: the bases from which every feature derives its own errors.

A concrete error lives where it is raised and carries a stable `code`, a title and a detail in zh-CN and English.
Keyword arguments become public members of the problem document and fields of the texts.
`backend.core.problems` alone turns them into HTTP answers (RFC 9457).
"""

from typing import Any, ClassVar


class DomainError(Exception):
    """Something the caller asked for that cannot be; never a fault of the service."""

    status: ClassVar[int] = 400
    code: ClassVar[str] = "bad_request"
    title_en: ClassVar[str] = "The request cannot be carried out"
    title_zh: ClassVar[str] = "无法处理该请求"
    detail_en: ClassVar[str] = ""
    detail_zh: ClassVar[str] = ""

    def __init__(self, **params: Any) -> None:
        self.params = params
        super().__init__(f"{self.code}: {params}" if params else self.code)

    def title(self, locale: str) -> str:
        """Return the short text of the error in `locale` ("zh-CN" or "en")."""
        return self.title_en if locale == "en" else self.title_zh

    def detail(self, locale: str) -> str:
        """Return the text that says what to do, filled with the params."""
        text = self.detail_en if locale == "en" else self.detail_zh
        try:
            return text.format_map(self.params)
        except (KeyError, IndexError, ValueError):
            return text


class Invalid(DomainError):
    """A value is not what it must be; `field` names it where there is one."""

    status = 422
    code = "invalid"
    title_en = "A value is not valid"
    title_zh = "参数无效"


class Unauthenticated(DomainError):
    """Nobody is logged in, or the token is not valid (any more)."""

    status = 401
    code = "unauthenticated"
    title_en = "Log in first"
    title_zh = "请先登录"
    detail_en = "Send a valid access token as 'Authorization: Bearer …'; refresh it when it has expired."
    detail_zh = "请在 Authorization: Bearer … 中携带有效的访问令牌；过期请刷新。"


class Forbidden(DomainError):
    """The caller is known and may not do this."""

    status = 403
    code = "forbidden"
    title_en = "You may not do this"
    title_zh = "没有权限"


class NotFound(DomainError):
    """There is no such thing for this caller; another resident's object looks the same as an absent one."""

    status = 404
    code = "not_found"
    title_en = "There is no such thing here"
    title_zh = "未找到"
    detail_en = "It does not exist, or it is not yours."
    detail_zh = "对象不存在，或不属于您。"


class Conflict(DomainError):
    """The state of things does not allow it (now)."""

    status = 409
    code = "conflict"
    title_en = "This does not fit the present state"
    title_zh = "与当前状态冲突"


class TooMany(DomainError):
    """A limit was reached; `retry_after_s` says how many seconds to wait."""

    status = 429
    code = "too_many_requests"
    title_en = "Too many requests"
    title_zh = "请求过于频繁"
    detail_en = "Wait {retry_after_s} seconds and try again."
    detail_zh = "请在 {retry_after_s} 秒后重试。"


class Unavailable(DomainError):
    """Something the service needs is not reachable; nothing was changed."""

    status = 503
    code = "unavailable"
    title_en = "Temporarily unavailable"
    title_zh = "服务暂时不可用"
    detail_en = "Nothing was changed. Try again in a moment."
    detail_zh = "未做任何更改，请稍后重试。"


class GatewayError(Exception):
    """An outside service refused or did not answer.

    `permanent` says that trying again cannot help (a dead token, a malformed number); otherwise the caller retries.
    `retry_after_s` is the provider's own word for when.
    """

    def __init__(self, message: str, *, permanent: bool, retry_after_s: float | None = None, code: str = "") -> None:
        super().__init__(message)
        self.permanent = permanent
        self.retry_after_s = retry_after_s
        self.code = code
