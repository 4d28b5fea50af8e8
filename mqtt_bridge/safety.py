"""The safety lane's write: messages with their jobs, and dead letters, in one PostgreSQL transaction per batch."""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple, cast
from uuid import UUID

import asyncpg
import msgspec
import structlog
from pgqueuer.adapters.drivers.asyncpg import AsyncpgDriver
from pgqueuer.adapters.persistence.queries import Queries

log = structlog.get_logger()

JOB, DANGER_JOB = "telemetry.device_message", "telemetry.device_message.first"
"""What the queue calls the job of a message, and of one that tells of danger."""
REUSED = "msg_id_reused"

_INSERT = """
    INSERT INTO device_message (device_id, station_id, kind, channel, msg_id, boot, seq, received_at, retained, payload,
        sealed)
    SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::bigint[], $7::bigint[],
        $8::timestamptz[], $9::boolean[], $10::bytea[], $11::boolean[])
    ON CONFLICT (device_id, msg_id) DO NOTHING
    RETURNING id, device_id, msg_id
"""
_REUSED = """
    SELECT said.device_id, said.msg_id
    FROM unnest($1::uuid[], $2::text[], $3::bigint[], $4::bigint[]) AS said (device_id, msg_id, boot, seq)
    JOIN device_message m USING (device_id, msg_id)
    WHERE (m.boot, m.seq) IS DISTINCT FROM (said.boot, said.seq)
"""
"""Messages that were dropped as repeats although they are not: their device gave one msg_id to two of them."""
_LETTERS = """
    INSERT INTO dead_letter (received_at, cause, detail, topic, device_id, size, payload_cipher)
    SELECT * FROM unnest($1::timestamptz[], $2::text[], $3::text[], $4::text[], $5::uuid[], $6::int[], $7::bytea[])
"""
_COUNTS = """
    INSERT INTO dead_letter_count AS c (cause, total, last_at)
    SELECT * FROM unnest($1::text[], $2::bigint[], $3::timestamptz[]) AS n (cause, total, last_at) ORDER BY cause
    ON CONFLICT (cause) DO UPDATE SET total = c.total + excluded.total, last_at = excluded.last_at
"""


class Row(NamedTuple):
    """A `device_message` to be, and whether its job goes first; the field order is that of the insert."""

    device_id: UUID
    station_id: UUID
    kind: str
    channel: str
    msg_id: str
    boot: int | None
    seq: int | None
    received_at: datetime
    retained: bool
    payload: bytes
    sealed: bool
    danger: bool


class Letter(NamedTuple):
    """A refused message: why, where it came in, and the sealed start of it."""

    received_at: datetime
    cause: str
    detail: str
    topic: str
    device_id: UUID | None
    size: int
    payload_cipher: bytes


async def store(
    pool: "asyncpg.Pool[asyncpg.Record]",
    rows: Sequence[Row],
    letters: Sequence[Letter] = (),
    counts: "Counter[str] | None" = None,
    now: datetime | None = None,
) -> int:
    """Commit messages with one job for each that is new, dead letters and counts; returns how many were new.

    Raises what asyncpg raises; then nothing was stored, and nothing may be acknowledged.
    """
    if not rows and not letters and not counts:
        return 0
    # Twins write the same messages: in one order they wait for each other, in two they would deadlock.
    ordered = sorted(rows, key=lambda row: (row.device_id, row.msg_id))
    async with pool.acquire() as connection, connection.transaction():
        stored = await connection.fetch(_INSERT, *_columns([row[:-1] for row in ordered])) if rows else []
        if stored:
            danger = {(row.device_id, row.msg_id) for row in ordered if row.danger}
            payloads: list[bytes | None] = [msgspec.json.encode({"message_id": row["id"]}) for row in stored]
            first = [(row["device_id"], row["msg_id"]) in danger for row in stored]
            names = [DANGER_JOB if is_first else JOB for is_first in first]
            queries = Queries(AsyncpgDriver(cast("asyncpg.Connection[asyncpg.Record]", connection)))
            await queries.enqueue(names, payloads, [int(is_first) for is_first in first])
        if len(stored) < len(ordered):
            counts = (counts or Counter()) + Counter({REUSED: await _count_reused(connection, ordered)})
        if letters:
            await connection.execute(_LETTERS, *_columns(letters))
        if counts:
            causes = list(counts)
            await connection.execute(_COUNTS, causes, [counts[cause] for cause in causes], [now] * len(causes))
    return len(stored)


async def _count_reused(connection: "asyncpg.pool.PoolConnectionProxy[asyncpg.Record]", rows: Sequence[Row]) -> int:
    """How many of a batch, in which some were there already, share their msg_id with another message of their device.

    The contract drops them; a device whose counter begins anew at each start would fall silent by it, so they are
    counted (by each bridge that heard them) and named in the log.
    """
    columns = _columns([(row.device_id, row.msg_id, row.boot, row.seq) for row in rows])
    reused = await connection.fetch(_REUSED, *columns)
    if reused:
        log.warning("msg_id_reused", devices=sorted({str(row["device_id"]) for row in reused}), messages=len(reused))
    return len(reused)


def _columns(rows: Sequence[tuple[Any, ...]]) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)]
