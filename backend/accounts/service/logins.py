"""Logging in: by SMS code, by WeChat; refresh tokens that rotate, with reuse ending the whole login.

A login (`login_session`) is a family of refresh tokens, of which one at a time is unused. Presenting a used one means
that two parties hold tokens of this login, so it is ended (RFC 9700, 4.14.2). The exception is the first ten seconds:
an app that refreshes twice at once, or lost the answer, gets `refresh_superseded` and keeps its login; it uses the
tokens the other call got (or repeats that call with the same Idempotency-Key). It never gets tokens from an old one.
"""

import secrets
from datetime import datetime, timedelta
from uuid import UUID

import msgspec
from asyncpg import UniqueViolationError

from backend.accounts import service as accounts
from backend.accounts.service import codes, phones
from backend.accounts.store import logins as login_rows
from backend.accounts.store import people as people_rows
from backend.core import crypto, db
from backend.core.auth import Tokens
from backend.core.errors import Conflict, DomainError, GatewayError, Invalid, Unauthenticated, Unavailable
from backend.core.gateways import WeChatLogin

REFRESH_LIFETIME = timedelta(days=30)
"""Counted from the last refresh: an app that is opened once a month stays logged in."""

REUSE_GRACE = timedelta(seconds=10)
KEEP_ENDED_LOGINS = timedelta(days=90)
KEEP_CODES = timedelta(days=2)


class TokenPair(msgspec.Struct, frozen=True, kw_only=True):
    """What a client gets when it has logged in or refreshed."""

    access_token: str
    refresh_token: str
    expires_in: int


class RefreshTokenInvalid(Unauthenticated):
    """The refresh token is unknown, over, or its login has ended."""

    code = "refresh_token_invalid"
    title_en = "The refresh token is not valid"
    title_zh = "刷新令牌无效"
    detail_en = "Log in again."
    detail_zh = "请重新登录。"


class RefreshTokenReused(Unauthenticated):
    """A used refresh token came back: somebody else may hold a copy, so the login is over."""

    code = "refresh_token_reused"
    title_en = "The refresh token was used before"
    title_zh = "刷新令牌已被使用"
    detail_en = "This login has been ended for safety. Log in again."
    detail_zh = "为了您的账号安全，本次登录已失效，请重新登录。"


class RefreshSuperseded(Conflict):
    """A twin of this call was first, less than ten seconds ago; the login goes on with the twin's tokens."""

    code = "refresh_superseded"
    title_en = "The token was refreshed a moment ago"
    title_zh = "令牌刚刚已刷新"
    detail_en = (
        "Use the tokens that the other call got. To repeat a call whose answer was lost, send the same Idempotency-Key."
    )
    detail_zh = "请使用另一请求获得的新令牌；若响应丢失，请使用相同的 Idempotency-Key 重试。"


class WechatCodeInvalid(Invalid):
    """WeChat does not know the code (any more)."""

    code = "wechat_code_invalid"
    title_en = "The WeChat code is not valid"
    title_zh = "微信登录凭证无效"
    detail_en = "Call wx.login() again and send the new code; each works once, for 5 minutes."
    detail_zh = "请重新调用 wx.login() 获取凭证；凭证 5 分钟内有效且仅可使用一次。"


class PhoneTaken(Conflict):
    """Another account logs in with this phone."""

    code = "phone_taken"
    title_en = "The phone belongs to another account"
    title_zh = "该手机号已绑定其他账号"
    detail_en = "Log in with that phone and bind WeChat there; the account without a phone can then be deleted."
    detail_zh = "请使用该手机号登录后再绑定微信；未绑定手机号的账号可自行注销。"


class WechatTaken(Conflict):
    """Another account logs in with this WeChat identity."""

    code = "wechat_taken"
    title_en = "This WeChat belongs to another account"
    title_zh = "该微信已绑定其他账号"
    detail_en = "Log in with WeChat and bind the phone there; the account without WeChat can then be deleted."
    detail_zh = "请使用微信登录后再绑定手机号；未绑定微信的账号可自行注销。"


async def open_login(*, account_id: UUID, method: str, tokens: Tokens, now: datetime) -> TokenPair:
    """Begin a login of somebody who has proven who they are."""
    session_id = await login_rows.add_session(account_id=account_id, method=method, now=now)
    return await _issue(account_id=account_id, session_id=session_id, tokens=tokens, now=now)


async def _issue(*, account_id: UUID, session_id: UUID, tokens: Tokens, now: datetime) -> TokenPair:
    refresh_token = secrets.token_urlsafe(32)
    await login_rows.add_refresh_token(
        session_id=session_id, token_hash=_token_hash(refresh_token), expires_at=now + REFRESH_LIFETIME, now=now
    )
    access_token, expires_in = tokens.issue(account_id=account_id, session_id=session_id)
    return TokenPair(access_token=access_token, refresh_token=refresh_token, expires_in=expires_in)


def _token_hash(refresh_token: str) -> bytes:
    return crypto.lookup_hash(f"refresh:{refresh_token}")


async def log_in_by_sms(
    *, phone: str, code: str, address: str, locale: str, tokens: Tokens, now: datetime
) -> TokenPair:
    """Log in with the code that was sent; a new number gets an account. Raises what `codes.check_code` raises."""
    await codes.check_code(phone=phone, purpose="login", code=code, address=address, now=now)
    async with db.transaction():
        account_id = await accounts.ensure_account(phone=phone, now=now, locale=locale)
        return await open_login(account_id=account_id, method="sms", tokens=tokens, now=now)


async def _openid_for(code: str, wechat: WeChatLogin) -> str:
    try:
        return await wechat.openid_for(code)
    except GatewayError as error:
        if error.permanent:
            raise WechatCodeInvalid(field="code") from error
        raise Unavailable from error


async def log_in_by_wechat(*, code: str, wechat: WeChatLogin, locale: str, tokens: Tokens, now: datetime) -> TokenPair:
    """Log in with the mini-program's code; a new openid gets an account. Raises WechatCodeInvalid, Unavailable."""
    openid = await _openid_for(code, wechat)
    async with db.transaction():
        openid_hash, cipher = accounts.hidden(openid)
        account_id = await people_rows.find_account_id_by_openid(openid_hash=openid_hash)
        if account_id is None:
            account_id = await people_rows.add_account(now=now, locale=locale, openid=(openid_hash, cipher))
        if account_id is None:
            account_id = await people_rows.find_account_id_by_openid(openid_hash=openid_hash)
        if account_id is None:
            raise RuntimeError("the account was neither added nor found")
        return await open_login(account_id=account_id, method="wechat", tokens=tokens, now=now)


async def _put_phone(*, account_id: UUID, phone: str) -> None:
    """Put a proven phone on the account; raises PhoneTaken."""
    phone_hash, cipher = accounts.hidden(phone)
    try:
        async with db.transaction():
            await people_rows.set_phone(account_id=account_id, phone_hash=phone_hash, phone_cipher=cipher)
    except UniqueViolationError as error:
        raise PhoneTaken(field="phone") from error


async def _put_openid(*, account_id: UUID, openid: str) -> None:
    """Put a proven WeChat identity on the account; raises WechatTaken."""
    openid_hash, cipher = accounts.hidden(openid)
    try:
        async with db.transaction():
            await people_rows.set_openid(account_id=account_id, openid_hash=openid_hash, openid_cipher=cipher)
    except UniqueViolationError as error:
        raise WechatTaken(field="code") from error


async def bind_phone(*, account_id: UUID, phone: str, code: str, address: str, now: datetime) -> None:
    """Put a phone on an account that logs in by WeChat, or change it; raises PhoneTaken and all of `check_code`."""
    await codes.check_code(phone=phone, purpose="bind", subject_id=account_id, code=code, address=address, now=now)
    await _put_phone(account_id=account_id, phone=phones.normalise(phone))


async def bind_wechat(*, account_id: UUID, code: str, wechat: WeChatLogin) -> None:
    """Put a WeChat identity on an account that logs in by phone; raises WechatTaken, WechatCodeInvalid, Unavailable."""
    await _put_openid(account_id=account_id, openid=await _openid_for(code, wechat))


async def refresh(*, refresh_token: str, tokens: Tokens, now: datetime) -> TokenPair:
    """Trade a refresh token for a new pair; raises RefreshTokenInvalid, RefreshTokenReused, RefreshSuperseded.

    Of concurrent calls with one token exactly one wins: the login's row is locked.
    """
    async with db.transaction():
        outcome = await _rotate(_token_hash(refresh_token), tokens, now)
    if isinstance(outcome, DomainError):
        raise outcome
    return outcome


async def _rotate(token_hash: bytes, tokens: Tokens, now: datetime) -> TokenPair | DomainError:
    """Decide about one refresh and store what it changes; the caller commits before it raises."""
    known = await login_rows.find_refresh_token(token_hash=token_hash)
    session = None if known is None else await login_rows.lock_session(session_id=known["session_id"])
    token = await login_rows.find_refresh_token(token_hash=token_hash)  # again, now that nobody else can change it
    if token is None or session is None or session["ended_at"] is not None:
        return RefreshTokenInvalid()
    if token["used_at"] is not None:
        if now - token["used_at"] < REUSE_GRACE:
            return RefreshSuperseded()
        await login_rows.end_session(session_id=session["id"], reason="reuse", now=now)
        return RefreshTokenReused()
    if token["expires_at"] <= now:
        return RefreshTokenInvalid()
    await login_rows.use_refresh_token(token_id=token["id"], now=now)
    return await _issue(account_id=session["account_id"], session_id=session["id"], tokens=tokens, now=now)


async def log_out(*, session_id: UUID, now: datetime) -> None:
    """End this login; its access token stops working at once, its refresh token too."""
    await login_rows.end_session(session_id=session_id, reason="logout", now=now)


async def is_open(session_id: UUID) -> bool:
    """Say whether a login has not been ended (asked at each call with an access token)."""
    return await login_rows.is_session_open(session_id=session_id)


async def sweep(*, now: datetime) -> None:
    """Delete logins that ended 90 days ago, and codes and failures older than any limit looks back."""
    await login_rows.delete_old_logins(ended_before=now - KEEP_ENDED_LOGINS, codes_before=now - KEEP_CODES)
