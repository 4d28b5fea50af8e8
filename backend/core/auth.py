"""Who is calling: access tokens, staff grants, one-use tickets of live paths.

Access tokens (PyJWT, HS256, 15 min) carry the account and the login session only; roles of staff are read from the
database at each call, so that a removed guard is out at once.
"""

import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal, cast
from uuid import UUID

import jwt
from litestar.connection import ASGIConnection
from litestar.types import Empty
from redis.asyncio import Redis

from backend.core.clock import Clock
from backend.core.errors import Forbidden, Unauthenticated
from backend.core.services import Services

ACCESS_TOKEN_LIFETIME = timedelta(minutes=15)
TICKET_LIFETIME_S = 30
Role = Literal["guard", "lead", "operator", "inspector"]


class TokenExpired(Unauthenticated):
    """The access token was good and is over."""

    code = "token_expired"
    title_en = "The access token has expired"
    title_zh = "访问令牌已过期"
    detail_en = "Get a new one from POST /v1/auth/refresh."
    detail_zh = "请通过 POST /v1/auth/refresh 获取新令牌。"


class TicketInvalid(Unauthenticated):
    """A live path was opened with a ticket that is unknown, used or older than 30 s."""

    code = "ticket_invalid"
    title_en = "The ticket is not valid"
    title_zh = "票据无效"
    detail_en = "Get one from POST /v1/auth/tickets and open the live path within 30 seconds; each works once."
    detail_zh = "请通过 POST /v1/auth/tickets 获取票据并在 30 秒内使用；每张仅可使用一次。"


class StaffOnly(Forbidden):
    """The path is for staff with certain roles."""

    code = "staff_only"
    title_en = "This is for staff"
    title_zh = "仅限工作人员"
    detail_en = "Your account needs one of these roles: {roles}."
    detail_zh = "您的账号需要以下角色之一：{roles}。"


@dataclass(frozen=True)
class Principal:
    """A logged-in person: the account and the login (refresh family) it came from."""

    account_id: UUID
    session_id: UUID


@dataclass(frozen=True)
class Grant:
    """One role of a member of staff at one operator company, for one station or (None) all of them."""

    role: Role
    operator_company_id: UUID
    station_id: UUID | None = None


@dataclass(frozen=True)
class Staff:
    """A logged-in member of staff with the grants in force now."""

    account_id: UUID
    grants: tuple[Grant, ...]
    acts_as: str | None = None
    """What the audit log calls the person instead of the role: "platform" for staff of the platform (the console)."""

    def company_ids(self, *roles: Role) -> frozenset[UUID]:
        """Return the operator companies at which this person has one of `roles`; raises StaffOnly when none."""
        found = frozenset(grant.operator_company_id for grant in self.grants if grant.role in roles)
        if not found:
            raise StaffOnly(roles=", ".join(roles))
        return found

    def may(self, *roles: Role, operator_company_id: UUID, station_id: UUID | None = None) -> bool:
        """Say whether this person has one of `roles` for that company (and, where given, that station)."""
        return any(
            grant.role in roles
            and grant.operator_company_id == operator_company_id
            and (station_id is None or grant.station_id is None or grant.station_id == station_id)
            for grant in self.grants
        )

    def role_at(self, operator_company_id: UUID) -> str:
        """Return the first role at that company, for the audit log; raises StaffOnly when there is none."""
        for grant in self.grants:
            if grant.operator_company_id == operator_company_id:
                return self.acts_as or grant.role
        raise StaffOnly(roles="staff of this company")


GrantLoader = Callable[[UUID], Awaitable[tuple[Grant, ...]]]
"""Reads the grants of an account; accounts.service.load_grants, put in by the composition root."""


class GrantSource:
    """Wraps the grant loader so that `Services` can hold it."""

    def __init__(self, load: GrantLoader) -> None:
        self.load = load


LoginCheck = Callable[[UUID], Awaitable[bool]]
"""Says whether a login (by its session id) has not been ended; accounts.service.logins.is_open."""


class LoginSource:
    """Wraps the login check so that `Services` can hold it: logging out and erasure work at once, not in 15 minutes."""

    def __init__(self, is_open: LoginCheck) -> None:
        self.is_open = is_open


class Tokens:
    """Makes and checks access tokens."""

    def __init__(self, secret: str, clock: Clock) -> None:
        self._secret = secret
        self._clock = clock

    def issue(self, *, account_id: UUID, session_id: UUID) -> tuple[str, int]:
        """Return an access token and its lifetime in seconds."""
        now = self._clock.now()
        claims = {
            "sub": str(account_id),
            "sid": str(session_id),
            "iat": int(now.timestamp()),
            "exp": int((now + ACCESS_TOKEN_LIFETIME).timestamp()),
            "iss": "linli",
        }
        return jwt.encode(claims, self._secret, algorithm="HS256"), int(ACCESS_TOKEN_LIFETIME.total_seconds())

    def read(self, token: str) -> Principal:
        """Return who the token stands for; raises TokenExpired, Unauthenticated."""
        try:
            claims = jwt.decode(
                token,
                self._secret,
                algorithms=["HS256"],
                issuer="linli",
                options={"require": ["sub", "sid", "exp"], "verify_exp": False, "verify_iat": False},
            )
            if int(claims["exp"]) <= self._clock.now().timestamp():
                raise TokenExpired
            return Principal(UUID(claims["sub"]), UUID(claims["sid"]))
        except (jwt.PyJWTError, ValueError, TypeError) as error:
            raise Unauthenticated from error


class Tickets:
    """One-use tickets for WebSocket and SSE, whose clients cannot send headers; they live in Valkey for 30 s."""

    def __init__(self, valkey: "Redis") -> None:
        self._valkey = valkey

    async def issue(self, principal: Principal) -> str:
        """Return a ticket that opens one live path as `principal`."""
        ticket = secrets.token_urlsafe(24)
        await self._valkey.set(
            f"ticket:{ticket}", f"{principal.account_id}/{principal.session_id}", ex=TICKET_LIFETIME_S
        )
        return ticket

    async def redeem(self, ticket: str) -> Principal:
        """Return who the ticket stands for and use it up; raises TicketInvalid."""
        value = await self._valkey.getdel(f"ticket:{ticket}") if 0 < len(ticket) <= 64 else None
        if not value:
            raise TicketInvalid
        account_id, _, session_id = (value.decode() if isinstance(value, bytes) else value).partition("/")
        return Principal(UUID(account_id), UUID(session_id))


def bearer_token(connection: ASGIConnection[Any, Any, Any, Any]) -> str | None:
    """Return the token of the Authorization header, or None where there is no such header; raises Unauthenticated."""
    header = connection.headers.get("authorization")
    if header is None:
        return None
    scheme, _, token = header.partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise Unauthenticated
    return token.strip()


async def provide_caller(request: ASGIConnection[Any, Any, Any, Any], services: Services) -> Principal | None:
    """Litestar dependency `caller`: the logged-in person, or None; a bad token is a 401, never an anonymous call."""
    cached = request.scope["state"].get("linli_principal", Empty)
    if cached is not Empty:
        return cast("Principal | None", cached)
    token = bearer_token(request)
    found = services.get(Tokens).read(token) if token is not None else None
    if found is not None and not await services.get(LoginSource).is_open(found.session_id):
        raise Unauthenticated
    request.scope["state"]["linli_principal"] = found
    return found


async def provide_principal(caller: Principal | None) -> Principal:
    """Litestar dependency `principal`: the logged-in person; raises Unauthenticated."""
    if caller is None:
        raise Unauthenticated
    return caller


async def provide_staff(principal: Principal, services: Services) -> Staff:
    """Litestar dependency `staff`: the logged-in member of staff; raises StaffOnly."""
    grants = await services.get(GrantSource).load(principal.account_id)
    if not grants:
        raise StaffOnly(roles="guard, lead, operator, inspector")
    return Staff(principal.account_id, grants)


async def provide_ticket_principal(ticket: str, services: Services) -> Principal:
    """Litestar dependency `ticket_principal` of live paths: redeems `?ticket=`; raises TicketInvalid."""
    principal = await services.get(Tickets).redeem(ticket)
    if not await services.get(LoginSource).is_open(principal.session_id):
        raise TicketInvalid
    return principal
