"""SQL of the dead letters."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import asyncpg

from backend.core import db

_COLUMNS = "id, received_at, cause, detail, topic, device_id, size, replayed_at, replay_outcome"


async def list_letters(
    *, device_ids: Sequence[UUID] | None, cause: str | None, waiting: bool, before: int | None, limit: int
) -> list[asyncpg.Record]:
    return await db.fetch(
        f"SELECT {_COLUMNS} FROM dead_letter WHERE ($1::uuid[] IS NULL OR device_id = ANY($1))"  # noqa: S608
        " AND ($2::text IS NULL OR cause = $2) AND (NOT $3 OR replay_outcome IS DISTINCT FROM 'stored')"
        " AND ($4::bigint IS NULL OR id < $4) ORDER BY id DESC LIMIT $5",
        None if device_ids is None else list(device_ids),
        cause,
        waiting,
        before,
        limit,
    )


async def find_letter(letter_id: int) -> asyncpg.Record | None:
    return await db.fetchrow(
        f"SELECT {_COLUMNS}, payload_cipher FROM dead_letter WHERE id = $1 FOR UPDATE",  # noqa: S608
        letter_id,
    )


async def mark_replayed(letter_id: int, outcome: str, now: datetime) -> None:
    await db.execute(
        "UPDATE dead_letter SET replayed_at = $2, replay_outcome = $3 WHERE id = $1", letter_id, now, outcome[:60]
    )


async def list_counts() -> list[asyncpg.Record]:
    return await db.fetch("SELECT cause, total, last_at FROM dead_letter_count ORDER BY total DESC, cause")


async def add_letters(rows: Sequence[tuple[datetime, str, str, str, UUID, int, bytes]]) -> None:
    await db.executemany(
        "INSERT INTO dead_letter (received_at, cause, detail, topic, device_id, size, payload_cipher)"
        " VALUES ($1, $2, $3, $4, $5, $6, $7)",
        rows,
    )


async def count_refused(causes: Sequence[str], totals: Sequence[int], now: datetime) -> None:
    await db.execute(
        "INSERT INTO dead_letter_count AS c (cause, total, last_at)"
        " SELECT n.cause, n.total, $3 FROM unnest($1::text[], $2::bigint[]) AS n (cause, total) ORDER BY n.cause"
        " ON CONFLICT (cause) DO UPDATE SET total = c.total + excluded.total, last_at = excluded.last_at",
        list(causes),
        list(totals),
        now,
    )


async def add_message(
    *,
    device_id: UUID,
    station_id: UUID,
    kind: str,
    channel: str,
    msg_id: str,
    boot: int,
    seq: int,
    received_at: datetime,
    payload: bytes,
) -> int | None:
    """Store a message of the safety lane, sealed; None when the same one is there."""
    message_id: int | None = await db.fetchval(
        "INSERT INTO device_message (device_id, station_id, kind, channel, msg_id, boot, seq, received_at, retained,"
        " payload, sealed) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, false, $9, true)"
        " ON CONFLICT (device_id, msg_id) DO NOTHING RETURNING id",
        device_id,
        station_id,
        kind,
        channel,
        msg_id,
        boot,
        seq,
        received_at,
        payload,
    )
    return message_id
