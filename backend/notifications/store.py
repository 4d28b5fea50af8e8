"""All SQL of notifications."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import cast
from uuid import UUID

import msgspec

from backend.core import db
from backend.core.ids import new_id
from backend.notifications.rules.channels import Channel, State

Params = dict[str, str | int]


class MessageRow(msgspec.Struct, frozen=True, kw_only=True):
    """A row of inbox_message."""

    id: UUID
    recipient_id: UUID
    event_key: str
    template: str
    params: Params
    safety: bool
    created_at: datetime
    read_at: datetime | None


class DeliveryRow(msgspec.Struct, frozen=True, kw_only=True):
    """A row of delivery."""

    id: UUID
    event_key: str
    recipient_id: UUID
    channel: Channel
    template: str
    params: Params
    safety: bool
    chain: str
    state: State
    attempts: int
    created_at: datetime
    due_at: datetime
    settled_at: datetime | None
    provider_id: str | None
    provider_answer: str | None


class AddedDelivery(msgspec.Struct, frozen=True, kw_only=True):
    """A delivery that was just written."""

    id: UUID
    recipient_id: UUID
    chain: str


def _params(raw: str) -> Params:
    return msgspec.json.decode(raw, type=Params)


def _message(row: Mapping[str, object]) -> MessageRow:
    return MessageRow(**{**row, "params": _params(cast(str, row["params"]))})  # type: ignore[arg-type]


def _delivery(row: Mapping[str, object]) -> DeliveryRow:
    return DeliveryRow(**{**row, "params": _params(cast(str, row["params"]))})  # type: ignore[arg-type]


async def add_messages(
    *,
    recipient_ids: Sequence[UUID],
    event_key: str,
    template: str,
    params: Mapping[str, str | int],
    safety: bool,
    now: datetime,
) -> list[UUID]:
    """Write a message to each of these people; returns the ids of those whose recipient had none for the event."""
    rows = await db.fetch(
        """
        INSERT INTO inbox_message (id, recipient_id, event_key, template, params, safety, created_at)
        SELECT m.id, m.recipient_id, $3, $4, $5::jsonb, $6, $7
        FROM unnest($1::uuid[], $2::uuid[]) AS m (id, recipient_id)
        ON CONFLICT (event_key, recipient_id) DO NOTHING RETURNING id
        """,
        [new_id() for _ in recipient_ids],
        list(recipient_ids),
        event_key,
        template,
        msgspec.json.encode(params).decode(),
        safety,
        now,
    )
    return [row["id"] for row in rows]


async def find_message(*, message_id: UUID, recipient_id: UUID | None = None) -> MessageRow | None:
    """Return a message, only of `recipient_id` where given."""
    row = await db.fetchrow(
        "SELECT * FROM inbox_message WHERE id = $1 AND ($2::uuid IS NULL OR recipient_id = $2)",
        message_id,
        recipient_id,
    )
    return None if row is None else _message(dict(row))


async def list_messages(
    *, recipient_id: UUID, before: UUID | None, limit: int, unread_only: bool = False
) -> list[MessageRow]:
    """Return messages, newest first, below the cursor `before`."""
    rows = await db.fetch(
        """
        SELECT * FROM inbox_message
        WHERE recipient_id = $1 AND ($2::uuid IS NULL OR id < $2) AND (NOT $4 OR read_at IS NULL)
        ORDER BY id DESC LIMIT $3
        """,
        recipient_id,
        before,
        limit,
        unread_only,
    )
    return [_message(dict(row)) for row in rows]


async def mark_read(*, message_id: UUID, recipient_id: UUID, now: datetime) -> None:
    """Set read_at, the first time only."""
    await db.execute(
        "UPDATE inbox_message SET read_at = $3 WHERE id = $1 AND recipient_id = $2 AND read_at IS NULL",
        message_id,
        recipient_id,
        now,
    )


async def count_unread(*, recipient_id: UUID) -> int:
    """Return how many messages wait to be read."""
    return cast(
        int,
        await db.fetchval(
            "SELECT count(*) FROM inbox_message WHERE recipient_id = $1 AND read_at IS NULL", recipient_id
        ),
    )


async def add_deliveries(
    *,
    recipient_ids: Sequence[UUID],
    starts: Sequence[tuple[Channel, str]],
    event_key: str,
    template: str,
    params: Mapping[str, str | int],
    safety: bool,
    now: datetime,
    due_at: datetime,
) -> list[AddedDelivery]:
    """Write deliveries to each person on each of these channels (with their chains), first tried at `due_at`.

    Returns those that were not there already: the event, recipient and channel have one.
    """
    wanted = [(recipient_id, channel, chain) for recipient_id in recipient_ids for channel, chain in starts]
    if not wanted:
        return []
    rows = await db.fetch(
        """
        INSERT INTO delivery
            (id, event_key, recipient_id, channel, template, params, safety, chain, state, attempts, created_at, due_at)
        SELECT d.id, $5, d.recipient_id, d.channel, $6, $7::jsonb, $8, d.chain, 'pending', 0, $9, $10
        FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[]) AS d (id, recipient_id, channel, chain)
        ON CONFLICT (event_key, recipient_id, channel) DO NOTHING RETURNING id, recipient_id, chain
        """,
        [new_id() for _ in wanted],
        [recipient_id for recipient_id, _, _ in wanted],
        [channel for _, channel, _ in wanted],
        [chain for _, _, chain in wanted],
        event_key,
        template,
        msgspec.json.encode(params).decode(),
        safety,
        now,
        due_at,
    )
    return [AddedDelivery(**row) for row in rows]


async def find_delivery(*, delivery_id: UUID) -> DeliveryRow | None:
    """Return a delivery."""
    row = await db.fetchrow("SELECT * FROM delivery WHERE id = $1", delivery_id)
    return None if row is None else _delivery(dict(row))


async def list_deliveries(*, event_key: str, recipient_id: UUID) -> list[DeliveryRow]:
    """Return the deliveries of one message, oldest first."""
    rows = await db.fetch(
        "SELECT * FROM delivery WHERE event_key = $1 AND recipient_id = $2 ORDER BY created_at, id",
        event_key,
        recipient_id,
    )
    return [_delivery(dict(row)) for row in rows]


async def settle_delivery(
    *, delivery_id: UUID, state: State, provider_id: str | None, provider_answer: str | None, now: datetime
) -> bool:
    """Set the end of a pending delivery; says whether it was still pending."""
    return (
        await db.execute(
            """
            UPDATE delivery SET state = $2, provider_id = $3, provider_answer = $4, settled_at = $5,
                attempts = attempts + 1
            WHERE id = $1 AND state = 'pending'
            """,
            delivery_id,
            state,
            provider_id,
            provider_answer,
            now,
        )
        == "UPDATE 1"
    )


async def postpone_delivery(*, delivery_id: UUID, due_at: datetime, provider_answer: str) -> bool:
    """Count a failed try of a pending delivery and set when the next is due."""
    return (
        await db.execute(
            """
            UPDATE delivery SET attempts = attempts + 1, due_at = $2, provider_answer = $3
            WHERE id = $1 AND state = 'pending'
            """,
            delivery_id,
            due_at,
            provider_answer,
        )
        == "UPDATE 1"
    )


async def list_overdue(*, before: datetime) -> list[UUID]:
    """Return pending deliveries whose next try was due before an instant."""
    rows = await db.fetch("SELECT id FROM delivery WHERE state = 'pending' AND due_at < $1 LIMIT 1000", before)
    return [row["id"] for row in rows]


async def forget_person(*, recipient_id: UUID) -> None:
    """Delete everything that was sent to a person."""
    await db.execute("DELETE FROM inbox_message WHERE recipient_id = $1", recipient_id)
    await db.execute("DELETE FROM delivery WHERE recipient_id = $1", recipient_id)


async def trim(*, before: datetime) -> None:
    """Delete deliveries settled before an instant."""
    await db.execute("DELETE FROM delivery WHERE settled_at < $1", before)
