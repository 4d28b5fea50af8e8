"""What a person wants to be sent: preferences, quiet hours, consents to WeChat messages."""

from datetime import datetime
from typing import Annotated

import msgspec
from litestar import Controller, get, post, put
from litestar.status_codes import HTTP_200_OK
from msgspec import Meta

from backend.core.auth import Principal
from backend.core.errors import Unauthenticated
from backend.core.paging import Page
from backend.core.problem_docs import answers
from backend.notifications.rules.quiet import QUIET_FROM_MIN, QUIET_TO_MIN
from backend.notifications.service import preferences
from backend.notifications.service.preferences import ConsentRow, NotSubscribable, Preferences, QuietHoursInvalid


class PreferencesBody(msgspec.Struct, frozen=True, kw_only=True):
    """Preferences beside the inbox; safety messages ignore them."""

    push: Annotated[bool, Meta(description="Push of ordinary messages")] = True
    wechat: Annotated[bool, Meta(description="WeChat messages, where consent was given")] = True
    quiet_from_min: Annotated[int, Meta(description="Begin of the quiet hours, minute of the day in Beijing")] = (
        QUIET_FROM_MIN
    )
    quiet_to_min: Annotated[int, Meta(description="Their end; the same as the begin: none")] = QUIET_TO_MIN


class ConsentBody(msgspec.Struct, frozen=True):
    """What the person accepted in the mini-program's dialogue."""

    templates: Annotated[
        list[str],
        Meta(
            description="One entry for each message accepted", min_length=1, max_length=10, examples=[["order_ready"]]
        ),
    ]


def _out(wanted: Preferences) -> PreferencesBody:
    return PreferencesBody(
        push=wanted.push,
        wechat=wanted.wechat,
        quiet_from_min=wanted.quiet_from_min,
        quiet_to_min=wanted.quiet_to_min,
    )


class PreferencesController(Controller):
    """Preferences and consents of the caller."""

    path = "/v1/me"
    tags = ("me",)

    @get(
        "/notifications",
        operation_id="getNotificationPreferences",
        summary="What the caller wants to be sent",
        description="Quiet from 23:00 to 07:00 unless set. Everything is in the inbox in any case.",
        responses=answers(Unauthenticated),
    )
    async def read(self, principal: Principal) -> PreferencesBody:
        """Return the preferences."""
        return _out(await preferences.get_preferences(account_id=principal.account_id))

    @put(
        "/notifications",
        operation_id="putNotificationPreferences",
        summary="Set what the caller wants to be sent",
        description="Warnings of danger ignore it; so do messages somebody waits for, such as an offer of the queue.",
        responses=answers(Unauthenticated, QuietHoursInvalid),
    )
    async def replace(self, principal: Principal, data: PreferencesBody, now: datetime) -> PreferencesBody:
        """Set the preferences."""
        wanted = Preferences(
            push=data.push,
            wechat=data.wechat,
            quiet_from_min=data.quiet_from_min,
            quiet_to_min=data.quiet_to_min,
        )
        return _out(await preferences.put_preferences(account_id=principal.account_id, wanted=wanted, now=now))

    @get(
        "/wechat-consents",
        operation_id="listWechatConsents",
        summary="The ledger of consents",
        description="Each is good for one message; used ones say what became of it.",
        responses=answers(Unauthenticated),
    )
    async def consents(self, principal: Principal) -> Page[ConsentRow]:
        """Return the ledger."""
        return Page(items=await preferences.list_consents(account_id=principal.account_id), next=None)

    @post(
        "/wechat-consents",
        status_code=HTTP_200_OK,
        operation_id="addWechatConsents",
        summary="Record consents",
        description="After wx.requestSubscribeMessage: one entry for each template the person accepted.",
        responses=answers(Unauthenticated, NotSubscribable),
    )
    async def consent(self, principal: Principal, data: ConsentBody, now: datetime) -> Page[ConsentRow]:
        """Return the ledger."""
        ledger = await preferences.add_consents(account_id=principal.account_id, templates=data.templates, now=now)
        return Page(items=ledger, next=None)
