"""SQL of the fleet view."""

from collections.abc import Sequence
from uuid import UUID

import asyncpg

from backend.core import db


async def count_refused(device_ids: Sequence[UUID]) -> dict[UUID, int]:
    """Return how many refused messages are kept of each device."""
    rows = await db.fetch(
        "SELECT device_id, count(*) AS count FROM dead_letter WHERE device_id = ANY($1::uuid[]) GROUP BY device_id",
        list(device_ids),
    )
    return {row["device_id"]: row["count"] for row in rows}


async def list_out_of_contact(station_ids: Sequence[UUID]) -> list[asyncpg.Record]:
    return await db.fetch(
        """
        SELECT device_id, code, kind, station_id, coalesce(silent_since, offline_since, last_seen_at) AS since,
            CASE WHEN silent_since IS NOT NULL THEN 'silent' ELSE 'offline' END AS how
        FROM device_state WHERE station_id = ANY($1::uuid[]) AND (silent_since IS NOT NULL OR NOT online)
        ORDER BY since, code
        """,
        list(station_ids),
    )
