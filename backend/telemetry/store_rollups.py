"""SQL of the one-minute roll-ups and of what holds raw history."""

from datetime import date, datetime
from uuid import UUID

import asyncpg

from backend.core import db

_MERGE = """
    WITH merged AS (
        INSERT INTO telemetry_minute AS m (connector_id, received_on, minute, samples, flagged, meter_min_wh,
            meter_max_wh, power_sum_w, power_max_w, gun_temp_max_c, cabinet_temp_max_c, insulation_min_ohm_per_v,
            soc_min_pct, soc_max_pct, cell_v_max, temp_max_c, temp_min_c)
        SELECT connector_id, received_on, date_trunc('minute', occurred_at), count(*),
            count(*) FILTER (WHERE clock_flagged), min(meter_wh), max(meter_wh), sum(power_w), max(power_w),
            max(gun_temp_c), max(cabinet_temp_c), min(insulation_ohm_per_v), min(soc_pct), max(soc_pct),
            max(cell_v_max), max(temp_max_c), min(temp_min_c)
        FROM telemetry_sample WHERE received_on = $1 AND received_at >= $2 AND received_at < $3
        GROUP BY 1, 2, 3 ORDER BY 1, 3
        ON CONFLICT (connector_id, minute, received_on) DO UPDATE SET
            samples = m.samples + excluded.samples, flagged = m.flagged + excluded.flagged,
            meter_min_wh = least(m.meter_min_wh, excluded.meter_min_wh),
            meter_max_wh = greatest(m.meter_max_wh, excluded.meter_max_wh),
            power_sum_w = m.power_sum_w + excluded.power_sum_w,
            power_max_w = greatest(m.power_max_w, excluded.power_max_w),
            gun_temp_max_c = greatest(m.gun_temp_max_c, excluded.gun_temp_max_c),
            cabinet_temp_max_c = greatest(m.cabinet_temp_max_c, excluded.cabinet_temp_max_c),
            insulation_min_ohm_per_v = least(m.insulation_min_ohm_per_v, excluded.insulation_min_ohm_per_v),
            soc_min_pct = least(m.soc_min_pct, excluded.soc_min_pct),
            soc_max_pct = greatest(m.soc_max_pct, excluded.soc_max_pct),
            cell_v_max = greatest(m.cell_v_max, excluded.cell_v_max),
            temp_max_c = greatest(m.temp_max_c, excluded.temp_max_c),
            temp_min_c = least(m.temp_min_c, excluded.temp_min_c)
        RETURNING 1
    )
    SELECT (SELECT count(*) FROM telemetry_sample WHERE received_on = $1 AND received_at >= $2 AND received_at < $3)
        + 0 * (SELECT count(*) FROM merged)
"""
"""Merges the samples that arrived in [$2, $3) of day $1; returns how many. Everything merged is associative, so a
minute may grow by several merges; that each sample is merged once is kept by `telemetry_rolled` in the same
transaction."""


async def ingested_until() -> datetime | None:
    """Return up to when everything a bridge took is in the history."""
    until: datetime | None = await db.fetchval("SELECT max(caught_up_to) FROM platform_sight WHERE role = 'ingest'")
    return until


async def open_days(since: date, today: date) -> list[asyncpg.Record]:
    """Return the days with samples that are not closed, oldest first, locked; days first met begin here."""
    await db.execute(
        "INSERT INTO telemetry_rolled (received_on, rolled_to) SELECT d::date, d AT TIME ZONE 'UTC'"
        " FROM generate_series($1::date::timestamp, $2::date::timestamp, interval '1 day') AS d"
        " WHERE EXISTS (SELECT FROM telemetry_sample WHERE received_on = d::date) ON CONFLICT DO NOTHING",
        since,
        today,
    )
    return await db.fetch(
        "SELECT received_on, rolled_to, samples FROM telemetry_rolled WHERE NOT closed ORDER BY received_on FOR UPDATE"
    )


async def merge(day: date, since: datetime, until: datetime) -> int:
    count: int = await db.fetchval(_MERGE, day, since, until)
    return count


async def move_rolled(day: date, rolled_to: datetime, samples: int) -> None:
    await db.execute(
        "UPDATE telemetry_rolled SET rolled_to = $2, samples = $3 WHERE received_on = $1", day, rolled_to, samples
    )


async def count_samples(day: date) -> int:
    count: int = await db.fetchval("SELECT count(*) FROM telemetry_sample WHERE received_on = $1", day)
    return count


async def forget_minutes(day: date) -> None:
    await db.execute("DELETE FROM telemetry_minute WHERE received_on = $1", day)


async def close_day(day: date) -> None:
    await db.execute("UPDATE telemetry_rolled SET closed = true WHERE received_on = $1", day)


async def list_minutes(connector_id: UUID, since: datetime, until: datetime) -> list[asyncpg.Record]:
    return await db.fetch(
        """
        SELECT minute, sum(samples)::int AS samples, sum(flagged)::int AS flagged, min(meter_min_wh) AS meter_min_wh,
            max(meter_max_wh) AS meter_max_wh, (sum(power_sum_w) / sum(samples))::int AS power_avg_w,
            max(power_max_w) AS power_max_w, max(gun_temp_max_c) AS gun_temp_max_c,
            max(cabinet_temp_max_c) AS cabinet_temp_max_c, min(insulation_min_ohm_per_v) AS insulation_min_ohm_per_v,
            min(soc_min_pct) AS soc_min_pct, max(soc_max_pct) AS soc_max_pct, max(cell_v_max) AS cell_v_max,
            max(temp_max_c) AS temp_max_c, min(temp_min_c) AS temp_min_c
        FROM telemetry_minute WHERE connector_id = $1 AND minute >= $2 AND minute < $3 GROUP BY minute ORDER BY minute
        """,
        connector_id,
        since,
        until,
    )


async def put_hold(
    reference_id: UUID, station_id: UUID, reason: str, since: datetime, until: datetime, now: datetime
) -> None:
    await db.execute(
        "INSERT INTO telemetry_hold AS h (reference_id, station_id, reason, since, until, created_at)"
        " VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (reference_id, station_id) DO UPDATE"
        " SET since = least(h.since, excluded.since), until = greatest(h.until, excluded.until)",
        reference_id,
        station_id,
        reason,
        since,
        until,
        now,
    )
