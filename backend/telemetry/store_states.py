"""SQL of device and connector states. Lock order everywhere: device_state (by id), then connector_state."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg

from backend.core import db

NEW_DEVICE = """
    INSERT INTO device_state (device_id, station_id, kind, code, last_seen_at, window_s, silence_check_at)
    SELECT *, n.at + make_interval(secs => n.window_s)
    FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::timestamptz[], $6::int[])
        AS n (id, station_id, kind, code, at, window_s)
    ON CONFLICT DO NOTHING
"""


async def add_devices(rows: Sequence[tuple[UUID, UUID, str, str, datetime, int]]) -> None:
    """Make the rows of devices heard for the first time: (id, station, kind, code, arrival, silence window)."""
    await db.execute(NEW_DEVICE, *map(list, zip(*rows, strict=True)))


async def lock_devices(device_ids: Collection[UUID]) -> list[asyncpg.Record]:
    return await db.fetch(
        "SELECT device_id, online, boot, seq, boot_first_seq, boot_received, lost_before, last_seen_at, silent_since,"
        " offline_since, clock_offset_ms, clock_candidate_ms, clock_candidate_count, clock_candidate_at,"
        " last_occurred_at, state_boot, state_seq, state"
        " FROM device_state WHERE device_id = ANY($1::uuid[]) ORDER BY device_id FOR UPDATE",
        list(device_ids),
    )


async def save_contacts(rows: Sequence[tuple[Any, ...]]) -> None:
    """Write what was heard of locked devices, one row each in the order of the unnest."""
    await db.execute(
        """
        UPDATE device_state d SET
            online = n.online, boot = n.boot, seq = n.seq, boot_first_seq = n.boot_first_seq,
            boot_received = n.boot_received, lost_before = n.lost_before, last_seen_at = n.last_seen_at,
            silent_since = n.silent_since, offline_since = n.offline_since, clock_offset_ms = n.clock_offset_ms,
            clock_candidate_ms = n.clock_candidate_ms, clock_candidate_count = n.clock_candidate_count,
            clock_candidate_at = n.clock_candidate_at, last_occurred_at = n.last_occurred_at,
            window_s = n.window_s, silence_check_at = CASE WHEN d.silent_since IS NULL THEN d.silence_check_at
                ELSE n.last_seen_at + make_interval(secs => n.window_s) END
        FROM unnest($1::uuid[], $2::boolean[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[],
            $8::timestamptz[], $9::timestamptz[], $10::timestamptz[], $11::bigint[], $12::bigint[], $13::smallint[],
            $14::timestamptz[], $15::timestamptz[], $16::int[])
            AS n (device_id, online, boot, seq, boot_first_seq, boot_received, lost_before, last_seen_at, silent_since,
                offline_since, clock_offset_ms, clock_candidate_ms, clock_candidate_count, clock_candidate_at,
                last_occurred_at, window_s)
        WHERE d.device_id = n.device_id
        """,
        *map(list, zip(*rows, strict=True)),
    )


async def save_state(
    device_id: UUID, boot: int, seq: int, state: str, firmware: str | None, battery_pct: float | None
) -> None:
    await db.execute(
        "UPDATE device_state SET state_boot = $2, state_seq = $3, state = $4::jsonb,"
        " firmware = coalesce($5, firmware), battery_pct = coalesce($6, battery_pct) WHERE device_id = $1",
        device_id,
        boot,
        seq,
        state,
        firmware,
        battery_pct,
    )


async def mark_offline(device_id: UUID, at: datetime) -> None:
    await db.execute("UPDATE device_state SET online = false, offline_since = $2 WHERE device_id = $1", device_id, at)


async def mark_silent(device_id: UUID, since: datetime) -> None:
    await db.execute("UPDATE device_state SET silent_since = $2 WHERE device_id = $1", device_id, since)


async def move_silence_checks(checks: Sequence[tuple[UUID, datetime]]) -> None:
    await db.execute(
        "UPDATE device_state d SET silence_check_at = n.at FROM unnest($1::uuid[], $2::timestamptz[]) AS n (id, at)"
        " WHERE d.device_id = n.id",
        [device_id for device_id, _ in checks],
        [at for _, at in checks],
    )


async def postpone_silence_checks(now: datetime, sighted_since: datetime) -> None:
    """Move the due checks of devices that spoke within their window, or could not be heard, in one statement."""
    await db.execute(
        """
        UPDATE device_state d
        SET silence_check_at = greatest(d.last_seen_at, $2) + make_interval(secs => d.window_s)
        FROM (
            SELECT device_id FROM device_state
            WHERE silent_since IS NULL AND silence_check_at <= $1
                AND greatest(last_seen_at, $2) + make_interval(secs => window_s) > $1
            ORDER BY device_id FOR UPDATE
        ) AS heard
        WHERE d.device_id = heard.device_id
        """,
        now,
        sighted_since,
    )


async def list_overdue(now: datetime, limit: int) -> list[asyncpg.Record]:
    """Return devices whose silence check is due, by its index, longest overdue first."""
    return await db.fetch(
        "SELECT device_id, last_seen_at FROM device_state WHERE silent_since IS NULL AND silence_check_at <= $1"
        " ORDER BY silence_check_at LIMIT $2",
        now,
        limit,
    )


async def find_sighted_since(now: datetime, alive_s: float) -> datetime | None:
    """Return since when the platform sees devices without a break; None while it is blind.

    It sees while at least one bridge and one ingest process reported within `alive_s`; the longest-seeing of each
    counts, because a twin takes over a dead one's queue.
    """
    since: datetime | None = await db.fetchval(
        """
        SELECT CASE WHEN count(*) = 2 THEN max(since) END FROM (
            SELECT role, min(sighted_since) AS since FROM platform_sight
            WHERE seen_at > $1::timestamptz - make_interval(secs => $2) AND role IN ('bridge', 'ingest') GROUP BY role
        ) AS roles
        """,
        now,
        alive_s,
    )
    return since


async def list_alive_roles(now: datetime, alive_s: float) -> set[str]:
    """Return the roles (bridge, standby, ingest) of which a process reported within `alive_s`."""
    rows = await db.fetch(
        "SELECT DISTINCT role FROM platform_sight WHERE seen_at > $1::timestamptz - make_interval(secs => $2)",
        now,
        alive_s,
    )
    return {row["role"] for row in rows}


UPSERT_STATUS = """
    INSERT INTO connector_state AS c (connector_id, device_id, station_id, number, status, reported_status, status_boot,
        status_seq, status_since)
    SELECT id, device_id, station_id, number, status, status, boot, seq, occurred_at
    FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::smallint[], $5::text[], $6::bigint[], $7::bigint[],
        $8::timestamptz[]) AS n (id, device_id, station_id, number, status, boot, seq, occurred_at)
    ORDER BY id
    ON CONFLICT (connector_id) DO UPDATE SET
        status = excluded.status, reported_status = excluded.status,
        status_boot = excluded.status_boot, status_seq = excluded.status_seq,
        status_since = CASE WHEN c.status = excluded.status THEN c.status_since ELSE excluded.status_since END
    WHERE (excluded.status_boot, excluded.status_seq) > (c.status_boot, c.status_seq)
    RETURNING new.*, coalesce(old.status, 'unknown') AS previous
"""


async def upsert_statuses(rows: Sequence[tuple[Any, ...]]) -> list[asyncpg.Record]:
    """Take the statuses of `state` messages where they are newer; returns the rows that were taken.

    Rows: (connector, device, station, number, status, boot, seq, occurred_at), one per connector.
    """
    return await db.fetch(UPSERT_STATUS, *map(list, zip(*rows, strict=True))) if rows else []


async def forget_statuses(device_id: UUID, at: datetime) -> list[asyncpg.Record]:
    """Make the connectors of a device that went silent or offline `unknown`; returns those that changed."""
    return await db.fetch(
        "UPDATE connector_state SET status = 'unknown', status_since = $2 WHERE device_id = $1 AND status <> 'unknown'"
        " RETURNING new.*, old.status AS previous",
        device_id,
        at,
    )


async def put_sight(
    name: str, role: str, sighted_since: datetime, now: datetime, caught_up_to: datetime | None
) -> None:
    await db.execute(
        "INSERT INTO platform_sight (name, role, sighted_since, seen_at, caught_up_to) VALUES ($1, $2, $3, $4, $5)"
        " ON CONFLICT (name) DO UPDATE SET role = excluded.role, sighted_since = excluded.sighted_since,"
        " seen_at = excluded.seen_at, caught_up_to = coalesce(excluded.caught_up_to, platform_sight.caught_up_to)",
        name,
        role,
        sighted_since,
        now,
        caught_up_to,
    )


async def forget_sights(before: datetime) -> None:
    await db.execute("DELETE FROM platform_sight WHERE seen_at < $1", before)
