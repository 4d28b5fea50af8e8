"""What a person wants to be sent: preferences, quiet hours, and the ledger of consents to WeChat messages."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from backend.core import db
from backend.core.errors import Invalid
from backend.notifications import store_consents
from backend.notifications.rules.quiet import DAY_MIN, SUBSCRIBABLE, Preferences
from backend.notifications.store_consents import ConsentRow

__all__ = ["ConsentRow", "Preferences"]

AT_MOST = 10
"""Consents recorded in one call: the mini-program may ask for three templates at a time."""


class NotSubscribable(Invalid):
    """No consent can be given for this kind of message."""

    code = "not_subscribable"
    title_en = "This message cannot be subscribed to"
    title_zh = "该消息不支持订阅"
    detail_en = "{template} is not one of: {allowed}."
    detail_zh = "{template} 不在可订阅的消息之列：{allowed}。"


class QuietHoursInvalid(Invalid):
    """Quiet hours are minutes of the day."""

    code = "quiet_hours_invalid"
    title_en = "Quiet hours are minutes of the day"
    title_zh = "免打扰时段无效"
    detail_en = "From and to are 0 to 1439, in Beijing time; equal ones mean none."
    detail_zh = "起止须为0至1439（北京时间的分钟数），相等表示不设免打扰。"


async def get_preferences(*, account_id: UUID) -> Preferences:
    """Return the person's preferences, or the defaults (quiet from 23:00 to 07:00)."""
    return await store_consents.find_preferences(account_id)


async def put_preferences(*, account_id: UUID, wanted: Preferences, now: datetime) -> Preferences:
    """Set the preferences; raises QuietHoursInvalid."""
    if not all(0 <= minute < DAY_MIN for minute in (wanted.quiet_from_min, wanted.quiet_to_min)):
        raise QuietHoursInvalid
    await store_consents.save_preferences(account_id, wanted, now)
    return wanted


async def add_consents(*, account_id: UUID, templates: Sequence[str], now: datetime) -> list[ConsentRow]:
    """Record what the person accepted in the mini-program's dialogue: one consent, one message.

    Raises NotSubscribable. Returns the ledger.
    """
    for template in templates:
        if template not in SUBSCRIBABLE:
            raise NotSubscribable(template=template, allowed=", ".join(sorted(SUBSCRIBABLE)))
    async with db.transaction():
        await store_consents.add_consents(account_id, templates[:AT_MOST], now)
    return await store_consents.list_consents(account_id)


async def list_consents(*, account_id: UUID) -> list[ConsentRow]:
    """Return the person's ledger, oldest first."""
    return await store_consents.list_consents(account_id)
