"""Telling people: an inbox message and its deliveries, written in the transaction of what happened.

Sending itself is in `.deliveries`, run by jobs; nothing here touches the network.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec

from backend.core import db, jobs
from backend.core.errors import NotFound
from backend.notifications import store, store_consents
from backend.notifications.rules import channels as rules
from backend.notifications.rules import quiet, texts
from backend.notifications.rules.channels import Channel

SUBJECT_LIMIT = 200


class Announce(msgspec.Struct, frozen=True):
    """Payload of the job that shows a new message on open inboxes."""

    message_id: UUID


class Deliver(msgspec.Struct, frozen=True):
    """Payload of the job that hands one delivery to its provider."""

    delivery_id: UUID


class MoveOn(msgspec.Struct, frozen=True):
    """Payload of the timer that starts the next channel of a message."""

    event_key: str
    recipient_id: UUID


class InboxItem(msgspec.Struct, frozen=True, kw_only=True):
    """A message as a person reads it."""

    id: UUID
    template: str
    title: str
    body: str
    params: dict[str, str | int]
    safety: bool
    created_at: datetime
    read_at: datetime | None


class MessageNotFound(NotFound):
    """No such message in this person's inbox."""

    code = "message_not_found"
    title_en = "There is no such message"
    title_zh = "消息不存在"


async def notify(
    *,
    recipient: UUID,
    event_key: str,
    template: str,
    params: Mapping[str, str | int],
    safety: bool,
    now: datetime,
    channels: Sequence[Channel] | None = None,
) -> None:
    """Tell a person: one inbox message and one delivery per channel, each once for (event_key, recipient, channel).

    Belongs inside the caller's transaction. Ordinary messages go to the inbox and as a push; safety messages start as
    a push and move on to SMS and a ringing call when a channel does not accept within 10 s. `channels` overrides it
    with channels that all start at once. Raises UnknownTemplate, MissingParams.
    """
    async with db.transaction():
        await _add_message(recipient, event_key, template, params, safety, now)
        if channels is not None:
            for channel in channels:
                await start_delivery(recipient, event_key, channel, template, params, safety, (), now)
        elif safety:
            await start_chain(recipient, event_key, template, params, rules.SAFETY_CHAIN, now)
        else:
            await _start_ordinary(recipient, event_key, template, params, now)


async def warn_neighbours(
    *, recipients: Sequence[UUID], event_key: str, template: str, params: Mapping[str, str | int], now: datetime
) -> None:
    """Tell many people of something dangerous near their homes: a push, and an SMS where it is not accepted in 10 s.

    Belongs inside the caller's transaction; idempotent by event_key as `notify` is, and quiet hours do not hold it.
    """
    async with db.transaction():
        for recipient in recipients:
            await _add_message(recipient, event_key, template, params, True, now)
            await start_chain(recipient, event_key, template, params, rules.NEIGHBOUR_CHAIN, now)


async def _start_ordinary(
    recipient: UUID, event_key: str, template: str, params: Mapping[str, str | int], now: datetime
) -> None:
    """Start the channels the person wants, at the end of their quiet hours where it is no hurry."""
    wanted = await store_consents.find_preferences(recipient)
    due_at = quiet.sound_at(template=template, preferences=wanted, now=now)
    if wanted.push:
        await start_delivery(recipient, event_key, "push", template, params, False, (), now, due_at=due_at)
    if wanted.wechat and template in quiet.SUBSCRIBABLE and await store_consents.has_consent(recipient, template):
        await start_delivery(recipient, event_key, "wechat", template, params, False, (), now, due_at=due_at)


async def page(
    *, recipient: UUID, event_key: str, template: str, params: Mapping[str, str | int], now: datetime
) -> None:
    """Ring a member of staff at once, with a push beside it and an SMS when the call is not accepted within 10 s.

    Belongs inside the caller's transaction, and is idempotent by event_key as `notify` is.
    """
    async with db.transaction():
        await _add_message(recipient, event_key, template, params, True, now)
        await start_chain(recipient, event_key, template, params, rules.PAGE_CHAIN, now)
        await start_delivery(recipient, event_key, "push", template, params, True, (), now)


async def _add_message(
    recipient: UUID, event_key: str, template: str, params: Mapping[str, str | int], safety: bool, now: datetime
) -> None:
    texts.check_params(template, params)
    message_id = await store.add_message(
        recipient_id=recipient, event_key=event_key, template=template, params=params, safety=safety, now=now
    )
    if message_id is not None:
        await jobs.schedule("notifications.announce", Announce(message_id), due_at=now, now=now, first=safety)


async def start_chain(
    recipient: UUID,
    event_key: str,
    template: str,
    params: Mapping[str, str | int],
    chain: Sequence[Channel],
    now: datetime,
) -> None:
    """Start the first channel of `chain` and the timer that moves on to the next."""
    if await start_delivery(recipient, event_key, chain[0], template, params, True, chain, now):
        await schedule_move_on(event_key=event_key, recipient=recipient, now=now)


async def schedule_move_on(*, event_key: str, recipient: UUID, now: datetime, at_once: bool = False) -> None:
    """Set the timer that looks whether the next channel has to be started."""
    wait = 0 if at_once else rules.ACCEPTED_WITHIN_S
    due_at = now + timedelta(seconds=wait)
    await jobs.schedule("notifications.move_on", MoveOn(event_key, recipient), due_at=due_at, now=now, first=True)


async def start_delivery(
    recipient: UUID,
    event_key: str,
    channel: Channel,
    template: str,
    params: Mapping[str, str | int],
    safety: bool,
    chain: Sequence[Channel],
    now: datetime,
    *,
    due_at: datetime | None = None,
) -> bool:
    """Write a delivery and its job, due now or at `due_at`; False when this was sent to the person on this channel."""
    delivery_id = await store.add_delivery(
        recipient_id=recipient,
        event_key=event_key,
        channel=channel,
        template=template,
        params=params,
        safety=safety,
        chain=",".join(chain),
        now=now,
    )
    if delivery_id is None:
        return False
    if due_at is not None and due_at > now:
        await store.defer_delivery(delivery_id=delivery_id, due_at=due_at)
    await jobs.schedule("notifications.deliver", Deliver(delivery_id), due_at=due_at or now, now=now, first=safety)
    return True


def item_of(row: store.MessageRow, *, locale: str) -> InboxItem:
    """Return a message in the reader's language."""
    text = texts.render(row.template, locale=locale, params=row.params)
    return InboxItem(
        id=row.id,
        template=row.template,
        title=text.title,
        body=text.body,
        params=row.params,
        safety=row.safety,
        created_at=row.created_at,
        read_at=row.read_at,
    )


async def list_inbox(
    *, account_id: UUID, locale: str, before: UUID | None = None, limit: int = 50, unread_only: bool = False
) -> list[InboxItem]:
    """Return a person's messages, newest first, below the message `before`."""
    rows = await store.list_messages(recipient_id=account_id, before=before, limit=limit, unread_only=unread_only)
    return [item_of(row, locale=locale) for row in rows]


async def count_unread(*, account_id: UUID) -> int:
    """Return how many messages of a person wait to be read."""
    return await store.count_unread(recipient_id=account_id)


async def mark_read(*, account_id: UUID, message_id: UUID, locale: str, now: datetime) -> InboxItem:
    """Mark a message as read (the first time counts) and return it; raises MessageNotFound."""
    await store.mark_read(message_id=message_id, recipient_id=account_id, now=now)
    row = await store.find_message(message_id=message_id, recipient_id=account_id)
    if row is None:
        raise MessageNotFound
    return item_of(row, locale=locale)


async def find_item(*, message_id: UUID, account_id: UUID, locale: str) -> InboxItem | None:
    """Return one message of a person, if it is theirs."""
    row = await store.find_message(message_id=message_id, recipient_id=account_id)
    return None if row is None else item_of(row, locale=locale)


async def export_personal_data(*, account_id: UUID) -> dict[str, Any]:
    """Return what was sent to a person (PIPL art. 45)."""
    rows = await store.list_messages(recipient_id=account_id, before=None, limit=10_000)
    return {
        "inbox": [msgspec.to_builtins(item_of(row, locale="zh-CN")) for row in rows],
        "notification_preferences": msgspec.to_builtins(await store_consents.find_preferences(account_id)),
        "wechat_consents": [msgspec.to_builtins(row) for row in await store_consents.list_consents(account_id)],
    }


async def erase_personal_data(*, account_id: UUID, now: datetime) -> None:
    """Delete a person's inbox and deliveries (PIPL art. 47)."""
    async with db.transaction():
        await store.forget_person(recipient_id=account_id)
        await store_consents.forget_person(account_id)
