"""SQL that proves who was told what, and whether a provider took it."""

from datetime import datetime
from uuid import UUID

import msgspec

from backend.core import db


class ProofRow(msgspec.Struct, frozen=True, kw_only=True):
    """One message on one channel: `state` is pending, accepted, failed or unreachable."""

    recipient_id: UUID
    event_key: str
    channel: str
    template: str
    state: str
    attempts: int
    created_at: datetime
    settled_at: datetime | None


async def list_by_prefix(prefix: str) -> list[ProofRow]:
    """Deliveries whose event key begins so, oldest first."""
    rows = await db.fetch(
        "SELECT recipient_id, event_key, channel, template, state, attempts, created_at, settled_at FROM delivery"
        " WHERE starts_with(event_key, $1) ORDER BY created_at, id LIMIT 5000",
        prefix,
    )
    return [ProofRow(**dict(row)) for row in rows]
