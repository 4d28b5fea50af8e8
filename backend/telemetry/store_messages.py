"""SQL of the safety log, as the worker sees it; bridges write it (mqtt_bridge/safety.py)."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import asyncpg

from backend.core import db


async def claim_message(message_id: int, now: datetime) -> asyncpg.Record | None:
    """Take a message for handling in this transaction; None when it was handled before."""
    return await db.fetchrow(
        "UPDATE device_message SET handled_at = $2 WHERE id = $1 AND handled_at IS NULL"
        " RETURNING device_id, kind, channel, received_at, retained, payload, sealed",
        message_id,
        now,
    )


async def list_events(device_ids: Sequence[UUID], since: datetime, until: datetime) -> list[asyncpg.Record]:
    """Return the events these devices sent in the period, by arrival; those without a text are forgotten ones."""
    return await db.fetch(
        "SELECT device_id, kind, received_at, payload, sealed FROM device_message"
        " WHERE device_id = ANY($1) AND channel = 'event' AND received_at >= $2 AND received_at < $3 AND payload <> ''"
        " ORDER BY received_at, id",
        list(device_ids),
        since,
        until,
    )
