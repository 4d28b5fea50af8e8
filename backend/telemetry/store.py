"""SQL of commands, states, readings and hours. Messages and batches of ingest: `store_messages`, `store_samples`."""

from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import msgspec

from backend.core import db
from backend.core.ids import new_id

COMMAND_CHANNEL = "linli_command"
"""PostgreSQL NOTIFY channel on which bridges hear of new commands."""

DEAD_LETTERS_KEPT = 10_000


async def add_command(
    *,
    command_id: UUID,
    device_id: UUID,
    device_code: str,
    station_id: UUID,
    station_code: str,
    kind: str,
    name: str,
    args: dict[str, Any],
    actor: str,
    created_at: datetime,
    expires_at: datetime,
) -> None:
    await db.execute(
        "INSERT INTO command (id, device_id, device_code, station_id, station_code, kind, name, args, actor,"
        " created_at, expires_at, status) VALUES ($1, $2, $3, $4, $5, $6, $7, $8::jsonb, $9, $10, $11, 'queued')",
        command_id,
        device_id,
        device_code,
        station_id,
        station_code,
        kind,
        name,
        msgspec.json.encode(args).decode(),
        actor,
        created_at,
        expires_at,
    )
    await db.execute("SELECT pg_notify($1, '')", COMMAND_CHANNEL)


async def find_command(command_id: UUID, *, lock: bool = False) -> asyncpg.Record | None:
    sql = (
        "SELECT id, device_id, device_code, station_id, name, args, actor, created_at, expires_at, status, sent_at,"
        " timed_out_at, acked_at, ok, error FROM command WHERE id = $1"
    )
    return await db.fetchrow(sql + " FOR UPDATE" if lock else sql, command_id)


async def mark_command_timed_out(command_id: UUID, now: datetime) -> None:
    await db.execute("UPDATE command SET timed_out_at = $2 WHERE id = $1", command_id, now)


async def mark_command_acknowledged(command_id: UUID, *, ok: bool, error: str | None, at: datetime) -> None:
    await db.execute(
        "UPDATE command SET status = 'acknowledged', acked_at = $2, ok = $3, error = $4 WHERE id = $1",
        command_id,
        at,
        ok,
        error,
    )


async def list_connector_states(connector_ids: Collection[UUID]) -> list[asyncpg.Record]:
    return await db.fetch("SELECT * FROM connector_state WHERE connector_id = ANY($1::uuid[])", list(connector_ids))


async def list_connector_states_of_device(device_id: UUID) -> list[asyncpg.Record]:
    return await db.fetch(
        "SELECT * FROM connector_state WHERE device_id = $1 ORDER BY connector_id FOR UPDATE", device_id
    )


async def list_device_states(device_ids: Collection[UUID]) -> list[asyncpg.Record]:
    return await db.fetch("SELECT * FROM device_state WHERE device_id = ANY($1::uuid[])", list(device_ids))


async def is_device_online(device_id: UUID) -> bool:
    online = await db.fetchval(
        "SELECT online AND silent_since IS NULL FROM device_state WHERE device_id = $1", device_id
    )
    return online is True


_READING_COLUMNS = """boot, seq, occurred_at, received_at, clock_flagged, status, meter_wh, power_w,
        voltage_v, current_a, gun_temp_c, cabinet_temp_c, insulation_ohm_per_v, soc_pct, cell_v_max, temp_max_c,
        temp_min_c, remaining_min, flags"""
_READINGS_WITHIN = """FROM telemetry_sample
    WHERE connector_id = $1 AND received_on >= $2::date AND occurred_at >= $3 AND occurred_at < $4"""
# The texts below are put together from the constants above.
_READINGS = f"""
    SELECT DISTINCT ON (boot, seq) {_READING_COLUMNS} {_READINGS_WITHIN} ORDER BY boot, seq, received_at
"""
_METER_POINTS = f"""
    SELECT DISTINCT ON (boot, seq) occurred_at, meter_wh {_READINGS_WITHIN} ORDER BY boot, seq, received_at
"""
_LAST_READING = f"""
    SELECT {_READING_COLUMNS} {_READINGS_WITHIN} ORDER BY boot DESC, seq DESC, received_at LIMIT 1
"""


async def list_readings(connector_id: UUID, since: datetime, until: datetime) -> list[asyncpg.Record]:
    return await db.fetch(_READINGS, connector_id, _first_arrival_day(since), since, until)


async def list_meter_points(connector_id: UUID, since: datetime, until: datetime) -> list[asyncpg.Record]:
    return await db.fetch(_METER_POINTS, connector_id, _first_arrival_day(since), since, until)


async def find_last_reading(connector_id: UUID, since: datetime, before: datetime) -> asyncpg.Record | None:
    return await db.fetchrow(_LAST_READING, connector_id, _first_arrival_day(since), since, before)


def _first_arrival_day(since: datetime) -> Any:
    """What occurred after `since` arrived after it, but for the 60 s a corrected clock may be ahead."""
    return (since.astimezone(UTC) - timedelta(minutes=5)).date()


async def has_ingested_until(at: datetime) -> bool:
    return await db.fetchval("SELECT max(caught_up_to) >= $1 FROM platform_sight WHERE role = 'ingest'", at) is True


async def sum_connector_hours(
    connector_ids: Collection[UUID], since: datetime, until: datetime
) -> list[asyncpg.Record]:
    return await db.fetch(
        """
        WITH part AS (
            SELECT connector_id, status,
                extract(epoch FROM least(coalesce(ended_at, $3), $3) - greatest(started_at, $2)) AS seconds
            FROM connector_status_period
            WHERE connector_id = ANY($1::uuid[]) AND started_at < $3 AND coalesce(ended_at, 'infinity') > $2
        )
        SELECT connector_id,
            coalesce(sum(seconds) FILTER (WHERE status NOT IN ('unknown', 'faulted', 'unavailable')), 0)::bigint
                AS in_service_s,
            coalesce(sum(seconds) FILTER (WHERE status = 'charging'), 0)::bigint AS delivering_s
        FROM part GROUP BY connector_id
        """,
        list(connector_ids),
        since,
        until,
    )


async def switch_status_period(connector_id: UUID, station_id: UUID, status: str, at: datetime) -> None:
    """End the connector's open period and begin the next; a corrected time before its start ends it at its start."""
    ended = await db.fetchval(
        "UPDATE connector_status_period SET ended_at = greatest($2, started_at)"
        " WHERE connector_id = $1 AND ended_at IS NULL RETURNING ended_at",
        connector_id,
        at,
    )
    await db.execute(
        "INSERT INTO connector_status_period (id, connector_id, station_id, status, started_at)"
        " VALUES ($1, $2, $3, $4, $5)",
        new_id(),
        connector_id,
        station_id,
        status,
        ended or at,
    )


async def open_outage(
    *, subject: str, device_id: UUID, connector_id: UUID | None, station_id: UUID, reason: str, at: datetime
) -> None:
    """Begin an outage unless one is open for this device or connector."""
    await db.execute(
        "INSERT INTO outage (id, subject, device_id, connector_id, station_id, reason, started_at)"
        " VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING",
        new_id(),
        subject,
        device_id,
        connector_id,
        station_id,
        reason,
        at,
    )


async def close_device_outage(device_id: UUID, at: datetime) -> None:
    await db.execute(
        "UPDATE outage SET ended_at = greatest($2, started_at)"
        " WHERE subject = 'device' AND device_id = $1 AND ended_at IS NULL",
        device_id,
        at,
    )


async def close_connector_outage(connector_id: UUID, at: datetime) -> None:
    await db.execute(
        "UPDATE outage SET ended_at = greatest($2, started_at)"
        " WHERE subject = 'connector' AND connector_id = $1 AND ended_at IS NULL",
        connector_id,
        at,
    )


async def trim_dead_letters() -> None:
    await db.execute(
        "DELETE FROM dead_letter WHERE id < (SELECT id FROM dead_letter ORDER BY id DESC OFFSET $1 LIMIT 1)",
        DEAD_LETTERS_KEPT - 1,
    )


async def roll_partitions(*, days_ahead: int, days_kept: int) -> int:
    changed: int = await db.fetchval("SELECT telemetry_roll_partitions($1, $2)", days_ahead, days_kept)
    return changed


async def empty_sealed_messages(before: datetime) -> None:
    """Forget plates and VINs: pictures and plates are kept 30 days, unless in an incident (which keeps its own)."""
    await db.execute(
        "UPDATE device_message SET payload = '' WHERE sealed AND payload <> '' AND received_at < $1", before
    )


async def delete_messages(before: datetime) -> None:
    await db.execute("DELETE FROM device_message WHERE received_at < $1 AND handled_at IS NOT NULL", before)
