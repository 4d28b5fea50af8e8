"""Telling people: an inbox message and its deliveries, written in the transaction of what happened.

Sending itself is in `.deliveries`, run by jobs; nothing here touches the network.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal, TypeAlias
from uuid import UUID

import msgspec

from backend.core import db, jobs
from backend.core.errors import NotFound
from backend.notifications import store, store_consents
from backend.notifications.rules import channels as rules
from backend.notifications.rules import quiet, texts
from backend.notifications.rules.channels import Channel

SUBJECT_LIMIT = 200

_Start: TypeAlias = tuple[Channel, Sequence[Channel]]
"""A channel to be told on, and the chain that goes on from it; without one, nothing follows."""


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
    """What people are told: of which event, in which words, and whether lives may hang on it."""

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
    message = _Message(event_key, template, params, safety)
    async with db.joined():
        await _add_messages([recipient], message, now)
        if channels is not None:
            await _start([recipient], message, [(channel, ()) for channel in channels], now)
        elif safety:
            await _start([recipient], message, [(rules.SAFETY_CHAIN[0], rules.SAFETY_CHAIN)], now)
        else:
            await _start_ordinary(recipient, message, now)


async def warn(
    *,
    recipients: Sequence[UUID],
    event_key: str,
    template: str,
    params: Mapping[str, str | int],
    now: datetime,
    chain: Sequence[Channel] = rules.SAFETY_CHAIN,
) -> None:
    """Tell several people what is about their safety, as `notify` does one; on other channels with another `chain`.

    Belongs inside the caller's transaction; idempotent by event_key as `notify` is, and quiet hours do not hold it.
    """
    message = _Message(event_key, template, params, safety=True)
    async with db.joined():
        await _add_messages(recipients, message, now)
        await _start(recipients, message, [(chain[0], chain)], now)


async def page(
    *, recipients: Sequence[UUID], event_key: str, template: str, params: Mapping[str, str | int], now: datetime
) -> None:
    """Ring members of staff at once, with a push beside it and an SMS when the call is not accepted within 10 s.

    Belongs inside the caller's transaction, and is idempotent by event_key as `notify` is.
    """
    message = _Message(event_key, template, params, safety=True)
    async with db.joined():
        await _add_messages(recipients, message, now)
        await _start(recipients, message, [(rules.PAGE_CHAIN[0], rules.PAGE_CHAIN), ("push", ())], now)


async def _start_ordinary(recipient: UUID, message: _Message, now: datetime) -> None:
    """Start the deliveries the person wants, at the end of their quiet hours where it is no hurry."""
    wanted, has_consent = await store_consents.find_wanted(recipient, message.template)
    starts: list[_Start] = []
    if wanted.push:
        starts.append(("push", ()))
    if wanted.wechat and has_consent and message.template in quiet.SUBSCRIBABLE:
        starts.append(("wechat", ()))
    due_at = quiet.sound_at(template=message.template, preferences=wanted, now=now)
    await _start([recipient], message, starts, now, due_at=due_at)


async def _add_messages(recipients: Sequence[UUID], message: _Message, now: datetime) -> None:
    """Write the message into the inbox of whoever has it not yet, and show it there."""
    texts.check_params(message.template, message.params)
    if not recipients:
        return
    added = await store.add_messages(
        recipient_ids=recipients,
        event_key=message.event_key,
        template=message.template,
        params=message.params,
        safety=message.safety,
        now=now,
    )
    for message_id in added:
        await _schedule("announce", Announce(message_id), message, due_at=now, now=now)


async def _start(
    recipients: Sequence[UUID],
    message: _Message,
    starts: Sequence[_Start],
    now: datetime,
    *,
    due_at: datetime | None = None,
) -> None:
    """Start deliveries on these channels to each recipient, now or at `due_at`, where there was none on the channel.

    A timer moves on from a channel with a chain to the chain's next.
    """
    added = await store.add_deliveries(
        recipient_ids=recipients,
        starts=[(channel, ",".join(chain)) for channel, chain in starts],
        event_key=message.event_key,
        template=message.template,
        params=message.params,
        safety=message.safety,
        now=now,
        due_at=due_at or now,
    )
    for delivery in added:
        await _schedule("deliver", Deliver(delivery.id), message, due_at=due_at or now, now=now)
        if delivery.chain:
            move_on = MoveOn(message.event_key, delivery.recipient_id)
            accepted_by = now + timedelta(seconds=rules.ACCEPTED_WITHIN_S)
            await _schedule("move_on", move_on, message, due_at=accepted_by, now=now)


async def _schedule(
    name: Literal["announce", "deliver", "move_on"],
    payload: Announce | Deliver | MoveOn,
    said: _Message | store.DeliveryRow,
    *,
    due_at: datetime,
    now: datetime,
) -> None:
    """Schedule a job about something that is said, with the haste of its kind."""
    first = rules.goes_first(said.template, safety=said.safety)
    await jobs.schedule(f"notifications.{name}", payload, due_at=due_at, now=now, first=first, ahead=said.safety)


async def try_again(row: store.DeliveryRow, *, due_at: datetime, now: datetime) -> None:
    """Have a pending delivery tried again."""
    await _schedule("deliver", Deliver(row.id), row, due_at=due_at, now=now)


async def move_on_at_once(row: store.DeliveryRow, *, now: datetime) -> None:
    """Look at once whether the next channel of a message has to be started."""
    await _schedule("move_on", MoveOn(row.event_key, row.recipient_id), row, due_at=now, now=now)


async def start_next(row: store.DeliveryRow, channel: Channel, chain: Sequence[Channel], now: datetime) -> None:
    """Start the next channel of a chain that `row` began, and the timer that moves on from it."""
    message = _Message(row.event_key, row.template, row.params, row.safety)
    await _start([row.recipient_id], message, [(channel, chain)], now)


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
