"""What accounts reads and answers over HTTP."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

import msgspec
from msgspec import Meta

from backend.accounts.service import Chemistry, Platform, ProfileView, StaffView, VehicleView
from backend.accounts.service.consents import ConsentView
from backend.core.auth import Grant, Role

PhoneText = Annotated[
    str, Meta(min_length=5, max_length=30, description="Chinese mobile number, 11 digits", examples=["13800000001"])
]
CodeText = Annotated[str, Meta(min_length=6, max_length=12, description="The 6 digits of the SMS", examples=["123456"])]
WechatCodeText = Annotated[
    str, Meta(min_length=1, max_length=200, description="What wx.login() gave; good once, for 5 minutes")
]
NameText = Annotated[str, Meta(min_length=1, max_length=60, description="Name of the person", examples=["李小爱"])]


class PhoneBody(msgspec.Struct):
    """A phone that is to get a code."""

    phone: PhoneText


class SmsLoginBody(msgspec.Struct):
    """A login by code."""

    phone: PhoneText
    code: CodeText


class WechatLoginBody(msgspec.Struct):
    """A login by the mini-program."""

    code: WechatCodeText


class RefreshBody(msgspec.Struct):
    """A refresh token that is to be traded for a new pair."""

    refresh_token: Annotated[str, Meta(min_length=1, max_length=200, description="The unused refresh token")]


class CodeSentAnswer(msgspec.Struct, frozen=True):
    """The code is on its way, if the number exists; the answer never says whether it is known."""

    expires_in: Annotated[int, Meta(description="Seconds the code lives", examples=[300])]
    retry_after_s: Annotated[int, Meta(description="Seconds until another code can be asked for", examples=[60])]


class TokenAnswer(msgspec.Struct, frozen=True):
    """Tokens of a login."""

    access_token: Annotated[str, Meta(description="Send as `Authorization: Bearer …`")]
    refresh_token: Annotated[str, Meta(description="For POST /v1/auth/refresh; works once")]
    expires_in: Annotated[int, Meta(description="Seconds the access token lives", examples=[900])]
    token_type: Annotated[str, Meta(description="Always Bearer")] = "Bearer"


class TicketAnswer(msgspec.Struct, frozen=True):
    """A one-use ticket for one live path."""

    ticket: Annotated[str, Meta(description="Pass as ?ticket= to a live path")]
    expires_in: Annotated[int, Meta(description="Seconds the ticket lives", examples=[30])]


class RoleAnswer(msgspec.Struct, frozen=True):
    """A role the caller has."""

    role: Annotated[Role, Meta(description="What the caller may do there")]
    operator_company_id: Annotated[UUID, Meta(description="The operator company")]
    operator_company: Annotated[str, Meta(description="Its name")]
    station_id: Annotated[UUID | None, Meta(description="The one station it is limited to; null: all")] = None

    @classmethod
    def of(cls, grant: Grant, company: str) -> "RoleAnswer":
        """Build the answer from a grant and the company's name."""
        return cls(grant.role, grant.operator_company_id, company, grant.station_id)


class ConsentAnswer(msgspec.Struct, frozen=True):
    """The consent in force for one purpose."""

    purpose: Annotated[str, Meta(description="Why data is processed")]
    given: Annotated[bool, Meta(description="Whether the consent is given (or withdrawn)")]
    text_version: Annotated[str, Meta(description="Version of the text the person saw")]
    recorded_at: Annotated[datetime, Meta(description="When it was given or withdrawn")]

    @classmethod
    def of(cls, view: ConsentView) -> "ConsentAnswer":
        """Build the answer from the view."""
        return cls(view.purpose, view.given, view.text_version, view.recorded_at)


class ProfileAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The caller's own profile."""

    id: Annotated[UUID, Meta(description="The account")]
    name: Annotated[str | None, Meta(description="Name, as the person gave it")]
    phone: Annotated[str | None, Meta(description="Own phone, 11 digits; null for those who came by WeChat only")]
    wechat_bound: Annotated[bool, Meta(description="Whether WeChat can be used to log in")]
    locale: Annotated[str, Meta(description="Language of messages", examples=["zh-CN"])]
    created_at: Annotated[datetime, Meta(description="Since when the account exists")]
    roles: Annotated[list[RoleAnswer], Meta(description="Staff roles; empty for residents")]
    consents: Annotated[list[ConsentAnswer], Meta(description="Consents in force, by purpose")]

    @classmethod
    def of(cls, view: ProfileView, roles: list[RoleAnswer], consents: list[ConsentView]) -> "ProfileAnswer":
        """Build the answer from the views."""
        return cls(
            id=view.id,
            name=view.name,
            phone=view.phone,
            wechat_bound=view.wechat_bound,
            locale=view.locale,
            created_at=view.created_at,
            roles=roles,
            consents=[ConsentAnswer.of(consent) for consent in consents],
        )


class ProfileBody(msgspec.Struct):
    """The profile as it shall be; what is left out is emptied."""

    name: Annotated[str, Meta(max_length=60, description="Name of the person")] | None = None
    locale: Annotated[Literal["zh-CN", "en"], Meta(description="Language of messages")] = "zh-CN"


class BindPhoneBody(msgspec.Struct):
    """A phone with the code that was sent to it."""

    phone: PhoneText
    code: CodeText


class ConsentBody(msgspec.Struct):
    """A consent given or withdrawn."""

    given: Annotated[bool, Meta(description="true: given, false: withdrawn")]
    text_version: Annotated[str, Meta(min_length=1, max_length=40, description="Version of the text that was shown")]


class VehicleBody(msgspec.Struct):
    """A vehicle to list."""

    plate: Annotated[str, Meta(min_length=1, max_length=30, description="Number plate", examples=["京AD12345"])]
    battery_wh: (
        Annotated[int, Meta(ge=1000, le=2_000_000, description="Battery capacity in Wh", examples=[60_000])] | None
    ) = None
    chemistry: Annotated[Chemistry | None, Meta(description="Battery chemistry, where known")] = None


class VehicleAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A vehicle in the caller's list."""

    id: Annotated[UUID, Meta(description="The vehicle")]
    plate: Annotated[str, Meta(description="Plate in its one written form", examples=["京AD12345"])]
    energy_hint: Annotated[str, Meta(description="nev: the plate has the green form; unknown: it does not tell")]
    battery_wh: Annotated[int | None, Meta(description="Battery capacity in Wh")]
    chemistry: Annotated[str | None, Meta(description="ncm, lfp or unknown")]

    @classmethod
    def of(cls, view: VehicleView) -> "VehicleAnswer":
        """Build the answer from the view."""
        return cls(
            id=view.id,
            plate=view.plate,
            energy_hint=view.energy_hint,
            battery_wh=view.battery_wh,
            chemistry=view.chemistry,
        )


class PushTokenBody(msgspec.Struct):
    """Where the app can be reached."""

    platform: Annotated[Platform, Meta(description="Which push service the token is of")]
    token: Annotated[str, Meta(min_length=8, max_length=400, description="The token the system gave the app")]


class PushTokenAnswer(msgspec.Struct, frozen=True):
    """A registered push token."""

    id: Annotated[UUID, Meta(description="For DELETE /v1/me/push-tokens/{id}")]


class StaffBody(msgspec.Struct):
    """A role to give."""

    phone: PhoneText
    name: NameText
    role: Annotated[Role, Meta(description="guard, lead, operator or inspector")]
    station_id: Annotated[UUID | None, Meta(description="Limit a guard to one station; null: all of the company")] = (
        None
    )
    operator_company_id: Annotated[UUID | None, Meta(description="Needed only by operators of several companies")] = (
        None
    )


class StaffAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A person with one role; somebody with two roles appears twice."""

    id: Annotated[UUID, Meta(description="The grant, for DELETE")]
    account_id: Annotated[UUID, Meta(description="The person")]
    name: Annotated[str, Meta(description="Name")]
    phone: Annotated[str | None, Meta(description="Phone")]
    role: Annotated[Role, Meta(description="What the person may do")]
    operator_company_id: Annotated[UUID, Meta(description="At which company")]
    station_id: Annotated[UUID | None, Meta(description="At which station; null: all")]

    @classmethod
    def of(cls, view: StaffView) -> "StaffAnswer":
        """Build the answer from the view."""
        return cls(
            id=view.grant_id,
            account_id=view.account_id,
            name=view.name,
            phone=view.phone,
            role=view.role,
            operator_company_id=view.operator_company_id,
            station_id=view.station_id,
        )
