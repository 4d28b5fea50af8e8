"""Telling people: an inbox message and its deliveries, written in the transaction of what happened.

Sending itself is in `.deliveries`, run by jobs; nothing here touches the network.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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


@dataclass(frozen=True)
class _Message:
    """What a person is told: of which event, in which words, and whether lives may hang on it."""

    recipient: UUID
    event_key: str
    template: str
    params: Mapping[str, str | int]
    safety: bool


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
    message = _Message(recipient, event_key, template, params, safety)
    async with db.joined():
        timers = await _add_message(message, now)
        if channels is not None:
            for channel in channels:
                timers += await _add_delivery(message, channel, (), now)
        elif safety:
            timers += await _add_chain(message, rules.SAFETY_CHAIN, now)
        else:
            timers += await _add_ordinary(message, now)
        await jobs.schedule_all(timers, now=now, first=safety)


async def warn_neighbours(
    *, recipients: Sequence[UUID], event_key: str, template: str, params: Mapping[str, str | int], now: datetime
) -> None:
    """Tell many people of something dangerous near their homes: a push, and an SMS where it is not accepted in 10 s.

    Belongs inside the caller's transaction; idempotent by event_key as `notify` is, and quiet hours do not hold it.
    """
    timers: list[jobs.Timer] = []
    async with db.joined():
        for recipient in recipients:
            message = _Message(recipient, event_key, template, params, safety=True)
            timers += await _add_message(message, now)
            timers += await _add_chain(message, rules.NEIGHBOUR_CHAIN, now)
        await jobs.schedule_all(timers, now=now, first=True)


async def _add_ordinary(message: _Message, now: datetime) -> list[jobs.Timer]:
    """Write the deliveries the person wants, for the end of their quiet hours where it is no hurry."""
    wanted, has_consent = await store_consents.find_wanted(message.recipient, message.template)
    due_at = quiet.sound_at(template=message.template, preferences=wanted, now=now)
    timers: list[jobs.Timer] = []
    if wanted.push:
        timers += await _add_delivery(message, "push", (), now, due_at=due_at)
    if wanted.wechat and has_consent and message.template in quiet.SUBSCRIBABLE:
        timers += await _add_delivery(message, "wechat", (), now, due_at=due_at)
    return timers


async def page(
    *, recipient: UUID, event_key: str, template: str, params: Mapping[str, str | int], now: datetime
) -> None:
    """Ring a member of staff at once, with a push beside it and an SMS when the call is not accepted within 10 s.

    Belongs inside the caller's transaction, and is idempotent by event_key as `notify` is.
    """
    message = _Message(recipient, event_key, template, params, safety=True)
    async with db.joined():
        timers = await _add_message(message, now)
        timers += await _add_chain(message, rules.PAGE_CHAIN, now)
        timers += await _add_delivery(message, "push", (), now)
        await jobs.schedule_all(timers, now=now, first=True)


async def _add_message(message: _Message, now: datetime) -> list[jobs.Timer]:
    """Write the inbox message; returns the job that shows it, nothing when the person has it already."""
    texts.check_params(message.template, message.params)
    message_id = await store.add_message(
        recipient_id=message.recipient,
        event_key=message.event_key,
        template=message.template,
        params=message.params,
        safety=message.safety,
        now=now,
    )
    return [] if message_id is None else [("notifications.announce", Announce(message_id), now)]


async def _add_chain(message: _Message, chain: Sequence[Channel], now: datetime) -> list[jobs.Timer]:
    """Write the delivery on the first channel of `chain`; returns its job and the timer that moves on to the next."""
    timers = await _add_delivery(message, chain[0], chain, now)
    return timers and [*timers, _move_on(message.event_key, message.recipient, now)]


def _move_on(event_key: str, recipient: UUID, now: datetime, *, at_once: bool = False) -> jobs.Timer:
    wait = 0 if at_once else rules.ACCEPTED_WITHIN_S
    return "notifications.move_on", MoveOn(event_key, recipient), now + timedelta(seconds=wait)


async def schedule_move_on(*, event_key: str, recipient: UUID, now: datetime) -> None:
    """Look at once whether the next channel has to be started."""
    await jobs.schedule_all([_move_on(event_key, recipient, now, at_once=True)], now=now, first=True)


async def start_next(row: store.DeliveryRow, channel: Channel, chain: Sequence[Channel], now: datetime) -> None:
    """Start the next channel of a chain that `row` began, and the timer that moves on from it."""
    message = _Message(row.recipient_id, row.event_key, row.template, row.params, row.safety)
    timers = await _add_delivery(message, channel, chain, now)
    if timers:
        timers.append(_move_on(row.event_key, row.recipient_id, now))
    await jobs.schedule_all(timers, now=now, first=True)


async def _add_delivery(
    message: _Message, channel: Channel, chain: Sequence[Channel], now: datetime, *, due_at: datetime | None = None
) -> list[jobs.Timer]:
    """Write a delivery due now or at `due_at`; returns its job, nothing when the person was told on this channel."""
    delivery_id = await store.add_delivery(
        recipient_id=message.recipient,
        event_key=message.event_key,
        channel=channel,
        template=message.template,
        params=message.params,
        safety=message.safety,
        chain=",".join(chain),
        now=now,
        due_at=due_at or now,
    )
    return [] if delivery_id is None else [("notifications.deliver", Deliver(delivery_id), due_at or now)]


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
