"""HTTP paths of accounts: logging in, the own profile, the staff of a company."""

from datetime import datetime
from typing import Annotated, Any, Final
from uuid import UUID

from litestar import Controller, Request, delete, get, post, put
from litestar.params import Parameter
from litestar.types import ControllerRouterHandler

from backend.accounts import service as accounts
from backend.accounts.rules.plates import PlateUnreadable
from backend.accounts.schemas import (
    BindPhoneBody,
    CodeSentAnswer,
    ConsentAnswer,
    ConsentBody,
    PhoneBody,
    ProfileAnswer,
    ProfileBody,
    PushTokenAnswer,
    PushTokenBody,
    RefreshBody,
    RoleAnswer,
    SmsLoginBody,
    StaffAnswer,
    StaffBody,
    TicketAnswer,
    TokenAnswer,
    VehicleAnswer,
    VehicleBody,
    WechatLoginBody,
)
from backend.accounts.service import TooManyVehicles, VehicleListed, codes, consents, logins
from backend.accounts.service import staff as staff_list
from backend.accounts.service.codes import SmsCodeSpent, SmsCodeWrong, SmsLimitReached, TooManyWrongCodes
from backend.accounts.service.consents import Purpose
from backend.accounts.service.logins import (
    PhoneTaken,
    RefreshSuperseded,
    RefreshTokenInvalid,
    RefreshTokenReused,
    TokenPair,
    WechatCodeInvalid,
    WechatTaken,
)
from backend.accounts.service.phones import PhoneInvalid
from backend.accounts.service.staff import CompanyUnclear, LastOperator, RoleGiven, StationForGuards
from backend.core.auth import TICKET_LIFETIME_S, Principal, Staff, StaffOnly, Tickets, Tokens
from backend.core.errors import NotFound, Unauthenticated, Unavailable
from backend.core.gateways import WeChatLogin
from backend.core.http import client_address
from backend.core.paging import Page, decode_cursor, encode_cursor
from backend.core.problem_docs import answers
from backend.core.services import Services

AnyRequest = Request[Any, Any, Any]
_SENT: Final = CodeSentAnswer(expires_in=int(codes.LIFETIME.total_seconds()), retry_after_s=60)
_CODE_ERRORS = (PhoneInvalid, SmsCodeWrong, SmsCodeSpent, TooManyWrongCodes)


def _tokens(pair: TokenPair) -> TokenAnswer:
    return TokenAnswer(pair.access_token, pair.refresh_token, pair.expires_in)


def _wechat(services: Services) -> WeChatLogin:
    return services.get(WeChatLogin)  # type: ignore[type-abstract]


class Auth(Controller):
    """Logging in and out."""

    path = "/v1/auth"
    tags = ("auth",)

    @post(
        "/sms-codes",
        status_code=202,
        operation_id="requestLoginCode",
        summary="Have a login code sent",
        description="The same answer whether the number is known. One a minute; 5 an hour and 10 a day per number.",
        responses=answers(PhoneInvalid, SmsLimitReached),
    )
    async def request_login_code(
        self, request: AnyRequest, data: PhoneBody, locale: str, now: datetime
    ) -> CodeSentAnswer:
        """Send a code."""
        await codes.request_code(
            phone=data.phone, purpose="login", address=client_address(request), locale=locale, now=now
        )
        return _SENT

    @post(
        "/sms",
        status_code=200,
        operation_id="logInBySms",
        summary="Log in with the code of an SMS",
        description="A new number gets an account. A code bears 5 tries.",
        responses=answers(*_CODE_ERRORS),
    )
    async def log_in_by_sms(
        self, request: AnyRequest, data: SmsLoginBody, locale: str, services: Services, now: datetime
    ) -> TokenAnswer:
        """Log in by SMS."""
        pair = await logins.log_in_by_sms(
            phone=data.phone,
            code=data.code,
            address=client_address(request),
            locale=locale,
            tokens=services.get(Tokens),
            now=now,
        )
        return _tokens(pair)

    @post(
        "/wechat",
        status_code=200,
        operation_id="logInByWechat",
        summary="Log in with the code of wx.login()",
        description="A new WeChat identity gets an account; a phone can be bound to it later (PUT /v1/me/phone).",
        responses=answers(WechatCodeInvalid, Unavailable),
    )
    async def log_in_by_wechat(
        self, data: WechatLoginBody, locale: str, services: Services, now: datetime
    ) -> TokenAnswer:
        """Log in by WeChat."""
        pair = await logins.log_in_by_wechat(
            code=data.code, wechat=_wechat(services), locale=locale, tokens=services.get(Tokens), now=now
        )
        return _tokens(pair)

    @post(
        "/refresh",
        status_code=200,
        operation_id="refreshTokens",
        summary="Trade a refresh token for a new pair",
        description=(
            "A refresh token works once, for 30 days. A used one that comes back ends the login, except in the first 10"
            " seconds (`refresh_superseded`: a twin of the call was first). Send an Idempotency-Key: a repeat with the"
            " same key gets the same answer, so that an answer lost on the way costs nothing."
        ),
        responses=answers(RefreshTokenInvalid, RefreshTokenReused, RefreshSuperseded),
    )
    async def refresh(self, data: RefreshBody, services: Services, now: datetime) -> TokenAnswer:
        """Rotate the refresh token."""
        return _tokens(await logins.refresh(refresh_token=data.refresh_token, tokens=services.get(Tokens), now=now))

    @post(
        "/logout",
        status_code=204,
        operation_id="logOut",
        summary="End this login",
        description="Access and refresh token stop working at once; other devices stay logged in.",
        responses=answers(Unauthenticated),
    )
    async def log_out(self, principal: Principal, now: datetime) -> None:
        """End the login."""
        await logins.log_out(session_id=principal.session_id, now=now)

    @post(
        "/tickets",
        status_code=201,
        operation_id="getTicket",
        summary="Get a ticket for a live path",
        description="Good for one WebSocket or SSE path, once, within 30 seconds.",
        responses=answers(Unauthenticated),
    )
    async def ticket(self, principal: Principal, services: Services) -> TicketAnswer:
        """Issue a ticket."""
        return TicketAnswer(await services.get(Tickets).issue(principal), TICKET_LIFETIME_S)


class Me(Controller):
    """The caller's own profile, vehicles, devices and consents."""

    path = "/v1/me"
    tags = ("me",)

    async def _profile(self, account_id: UUID) -> ProfileAnswer:
        companies = {company.id: company.name for company in await accounts.list_operator_companies()}
        roles = [
            RoleAnswer.of(grant, companies[grant.operator_company_id])
            for grant in await accounts.load_grants(account_id)
        ]
        view = await accounts.get_profile(account_id=account_id)
        return ProfileAnswer.of(view, roles, await consents.list_consents(account_id=account_id))

    @get(
        operation_id="getMe",
        summary="Read the own profile",
        description="With staff roles and the consents in force. The home is at /v1/me/home.",
        responses=answers(Unauthenticated),
    )
    async def read(self, principal: Principal) -> ProfileAnswer:
        """Read the profile."""
        return await self._profile(principal.account_id)

    @put(
        operation_id="putMe",
        summary="Replace name and language",
        description="A field that is left out is emptied (name) or set to its default (locale).",
        responses=answers(Unauthenticated),
    )
    async def replace(self, principal: Principal, data: ProfileBody) -> ProfileAnswer:
        """Replace the profile."""
        await accounts.replace_profile(account_id=principal.account_id, name=data.name, locale=data.locale)
        return await self._profile(principal.account_id)

    @post(
        "/phone-codes",
        status_code=202,
        operation_id="requestBindCode",
        summary="Have a code sent to a phone that shall be bound",
        description="For accounts that came by WeChat, and for changing the phone. Same limits as login codes.",
        responses=answers(Unauthenticated, PhoneInvalid, SmsLimitReached),
    )
    async def request_bind_code(
        self, request: AnyRequest, principal: Principal, data: PhoneBody, locale: str, now: datetime
    ) -> CodeSentAnswer:
        """Send a code for binding."""
        await codes.request_code(
            phone=data.phone,
            purpose="bind",
            subject_id=principal.account_id,
            address=client_address(request),
            locale=locale,
            now=now,
        )
        return _SENT

    @put(
        "/phone",
        operation_id="bindPhone",
        summary="Bind or change the phone",
        description="With the code that was sent to it. A phone of another account is refused.",
        responses=answers(Unauthenticated, PhoneTaken, *_CODE_ERRORS),
    )
    async def bind_phone(
        self, request: AnyRequest, principal: Principal, data: BindPhoneBody, now: datetime
    ) -> ProfileAnswer:
        """Bind a phone."""
        await logins.bind_phone(
            account_id=principal.account_id,
            phone=data.phone,
            code=data.code,
            address=client_address(request),
            now=now,
        )
        return await self._profile(principal.account_id)

    @put(
        "/wechat",
        operation_id="bindWechat",
        summary="Bind or change the WeChat identity",
        description="With a fresh code of wx.login(). A WeChat identity of another account is refused.",
        responses=answers(Unauthenticated, WechatTaken, WechatCodeInvalid, Unavailable),
    )
    async def bind_wechat(self, principal: Principal, data: WechatLoginBody, services: Services) -> ProfileAnswer:
        """Bind a WeChat identity."""
        await logins.bind_wechat(account_id=principal.account_id, code=data.code, wechat=_wechat(services))
        return await self._profile(principal.account_id)

    @get(
        "/vehicles",
        operation_id="listVehicles",
        summary="List the own vehicles",
        description="Oldest first, all on one page.",
        responses=answers(Unauthenticated),
    )
    async def list_vehicles(self, principal: Principal) -> Page[VehicleAnswer]:
        """List vehicles."""
        views = await accounts.list_vehicles(account_id=principal.account_id)
        return Page([VehicleAnswer.of(view) for view in views])

    @post(
        "/vehicles",
        operation_id="addVehicle",
        summary="List a vehicle",
        description=(
            "The plate may be written in any usual way. Several members of a family may list one plate; an agreement"
            " exists at most once per plate."
        ),
        responses=answers(Unauthenticated, PlateUnreadable, VehicleListed, TooManyVehicles),
    )
    async def add_vehicle(self, principal: Principal, data: VehicleBody, now: datetime) -> VehicleAnswer:
        """Add a vehicle."""
        view = await accounts.add_vehicle(
            account_id=principal.account_id,
            plate=data.plate,
            battery_wh=data.battery_wh,
            chemistry=data.chemistry,
            now=now,
        )
        return VehicleAnswer.of(view)

    @delete(
        "/vehicles/{vehicle_id:uuid}",
        operation_id="removeVehicle",
        summary="Take a vehicle off the list",
        description="Agreements, bookings and bills that name it stay as they are.",
        responses=answers(Unauthenticated, NotFound),
    )
    async def remove_vehicle(self, principal: Principal, vehicle_id: UUID, now: datetime) -> None:
        """Remove a vehicle."""
        await accounts.remove_vehicle(account_id=principal.account_id, vehicle_id=vehicle_id, now=now)

    @post(
        "/push-tokens",
        operation_id="addPushToken",
        summary="Register the app for push messages",
        description="Safe to repeat at every start of the app; a token moves to the account that registered it last.",
        responses=answers(Unauthenticated),
    )
    async def add_push_token(self, principal: Principal, data: PushTokenBody, now: datetime) -> PushTokenAnswer:
        """Register a push token."""
        token_id = await accounts.register_push_token(
            account_id=principal.account_id, platform=data.platform, token=data.token, now=now
        )
        return PushTokenAnswer(token_id)

    @delete(
        "/push-tokens/{token_id:uuid}",
        operation_id="removePushToken",
        summary="Stop push messages to a device",
        description="For logging out on a device.",
        responses=answers(Unauthenticated, NotFound),
    )
    async def remove_push_token(self, principal: Principal, token_id: UUID) -> None:
        """Remove a push token."""
        if not await accounts.drop_push_token(token_id=token_id, account_id=principal.account_id):
            raise NotFound(kind="push_token")

    @put(
        "/consents/{purpose:str}",
        operation_id="putConsent",
        summary="Give or withdraw a consent",
        description="Each purpose has its own consent; every change is kept with its time and the text's version.",
        responses=answers(Unauthenticated),
    )
    async def put_consent(
        self, principal: Principal, purpose: Purpose, data: ConsentBody, now: datetime
    ) -> Page[ConsentAnswer]:
        """Record a consent."""
        await consents.record_consent(
            account_id=principal.account_id, purpose=purpose, given=data.given, text_version=data.text_version, now=now
        )
        views = await consents.list_consents(account_id=principal.account_id)
        return Page([ConsentAnswer.of(view) for view in views])


class OperatorStaff(Controller):
    """The staff of the caller's own companies."""

    path = "/v1/operator/staff"
    tags = ("operator",)

    @get(
        operation_id="listStaff",
        summary="List the staff of the own company",
        description="For operators, leads and inspectors; one item per role.",
        responses=answers(Unauthenticated, StaffOnly),
    )
    async def list_people(
        self,
        staff: Staff,
        cursor: str | None = None,
        limit: Annotated[int, Parameter(ge=1, le=200, description="Items per page")] = 50,
    ) -> Page[StaffAnswer]:
        """List staff."""
        after = decode_cursor(cursor, UUID)[0] if cursor else None
        views = await staff_list.list_people(staff=staff, after=after, limit=limit + 1)
        more = encode_cursor(views[limit - 1].grant_id) if len(views) > limit else None
        return Page([StaffAnswer.of(view) for view in views[:limit]], more)

    @post(
        operation_id="addStaff",
        summary="Give a person a role",
        description="By phone; the account is made when there is none. Only operators, only in their own company.",
        responses=answers(
            Unauthenticated, StaffOnly, NotFound, StationForGuards, PhoneInvalid, RoleGiven, CompanyUnclear
        ),
    )
    async def give_role(self, staff: Staff, data: StaffBody, now: datetime) -> StaffAnswer:
        """Give a role."""
        view = await staff_list.give_role(
            staff=staff,
            phone=data.phone,
            name=data.name,
            role=data.role,
            operator_company_id=data.operator_company_id,
            station_id=data.station_id,
            now=now,
        )
        return StaffAnswer.of(view)

    @delete(
        "/{grant_id:uuid}",
        operation_id="removeStaff",
        summary="Take a role away",
        description="Works at once: roles are read at every call. The last operator stays.",
        responses=answers(Unauthenticated, StaffOnly, NotFound, LastOperator),
    )
    async def remove_role(self, staff: Staff, grant_id: UUID, now: datetime) -> None:
        """Remove a role."""
        await staff_list.remove_role(staff=staff, grant_id=grant_id, now=now)


ROUTES: list[ControllerRouterHandler] = [Auth, Me, OperatorStaff]
