"""SQL of the safety log, as the worker sees it; bridges write it (mqtt_bridge/safety.py)."""

from datetime import datetime

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
