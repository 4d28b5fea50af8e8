"""SQL of the history: batches by `unnest`, repeats passed over, the newest of each connector into its state."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg

from backend.core import db
from mqtt_bridge.messages import ChargerTelemetry

SampleRow = tuple[Any, ...]

_COLUMNS: tuple[tuple[str, str], ...] = (
    ("connector_id", "uuid"),
    ("received_on", "date"),
    ("boot", "bigint"),
    ("seq", "bigint"),
    ("occurred_at", "timestamptz"),
    ("received_at", "timestamptz"),
    ("clock_flagged", "boolean"),
    ("status", "text"),
    ("meter_wh", "bigint"),
    ("power_w", "integer"),
    ("voltage_v", "float8"),
    ("current_a", "float8"),
    ("gun_temp_c", "float8"),
    ("cabinet_temp_c", "float8"),
    ("insulation_ohm_per_v", "float8"),
    ("soc_pct", "float8"),
    ("pack_v", "float8"),
    ("pack_a", "float8"),
    ("cell_v_max", "float8"),
    ("cell_v_min", "float8"),
    ("temp_max_c", "float8"),
    ("temp_min_c", "float8"),
    ("remaining_min", "float8"),
)
_NAMES = ", ".join(name for name, _ in _COLUMNS)
_ARRAYS = ", ".join(f"${number}::{kind}[]" for number, (_, kind) in enumerate(_COLUMNS, 1))
_FLAGS = len(_COLUMNS) + 1

# A list of texts per row does not fit unnest, which flattens: flags travel as one comma-separated text each.
ADD_SAMPLES = f"""
    INSERT INTO telemetry_sample ({_NAMES}, flags)
    SELECT {_NAMES}, string_to_array(flags, ',')
    FROM unnest({_ARRAYS}, ${_FLAGS}::text[]) AS n ({_NAMES}, flags)
    ON CONFLICT DO NOTHING
"""  # noqa: S608  names are the constants above

_MEASURED = (
    "occurred_at", "received_at", "meter_wh", "power_w", "voltage_v", "current_a", "gun_temp_c", "cabinet_temp_c",
    "insulation_ohm_per_v", "soc_pct", "pack_v", "pack_a", "cell_v_max", "temp_max_c", "temp_min_c", "remaining_min",
)  # fmt: skip
_NEWER_STATUS = "(excluded.status_boot, excluded.status_seq) > (c.status_boot, c.status_seq)"

UPSERT_NEWEST = f"""
    INSERT INTO connector_state AS c (connector_id, device_id, station_id, number, status, reported_status, status_boot,
        status_seq, status_since, boot, seq, {", ".join(_MEASURED)})
    SELECT connector_id, device_id, station_id, number, status, status, boot, seq, occurred_at, boot, seq,
        {", ".join(_MEASURED)}
    FROM unnest({_ARRAYS}, ${_FLAGS}::uuid[], ${_FLAGS + 1}::uuid[], ${_FLAGS + 2}::smallint[])
        AS n ({_NAMES}, device_id, station_id, number)
    ORDER BY connector_id
    ON CONFLICT (connector_id) DO UPDATE SET
        boot = excluded.boot, seq = excluded.seq, {", ".join(f"{name} = excluded.{name}" for name in _MEASURED)},
        status = CASE WHEN {_NEWER_STATUS} THEN excluded.status ELSE c.status END,
        reported_status = CASE WHEN {_NEWER_STATUS} THEN excluded.status ELSE c.reported_status END,
        status_since = CASE WHEN {_NEWER_STATUS} AND c.status <> excluded.status
            THEN excluded.status_since ELSE c.status_since END,
        status_boot = CASE WHEN {_NEWER_STATUS} THEN excluded.status_boot ELSE c.status_boot END,
        status_seq = CASE WHEN {_NEWER_STATUS} THEN excluded.status_seq ELSE c.status_seq END
    WHERE (excluded.boot, excluded.seq) > (c.boot, c.seq)
    RETURNING new.*, coalesce(old.status, 'unknown') AS previous
"""  # noqa: S608  names are the constants above

FIND_STORED = """
    SELECT s.connector_id, s.boot, s.seq
    FROM unnest($1::uuid[], $2::bigint[], $3::bigint[]) AS n (connector_id, boot, seq)
    JOIN telemetry_sample s USING (connector_id, boot, seq) WHERE s.received_on >= $4
"""


def row(
    connector_id: UUID, message: ChargerTelemetry, occurred_at: datetime, flagged: bool, received_at: datetime
) -> SampleRow:
    """The columns of one sample; the flags come last."""
    bms = message.bms
    head = (
        connector_id,
        received_at.astimezone(UTC).date(),
        message.boot,
        message.seq,
        occurred_at,
        received_at,
        flagged,
        message.status,
        message.meter_wh,
        message.power_w,
        message.voltage_v,
        message.current_a,
        message.gun_temp_c,
        message.cabinet_temp_c,
        message.insulation_ohm_per_v,
    )
    if bms is None:
        return (*head, None, None, None, None, None, None, None, None, None)
    return (
        *head,
        bms.soc_pct,
        bms.pack_v,
        bms.pack_a,
        bms.cell_v_max,
        bms.cell_v_min,
        bms.temp_max_c,
        bms.temp_min_c,
        bms.remaining_min,
        ",".join(bms.flags),
    )


async def find_stored(keys: Sequence[tuple[UUID, int, int]], now: datetime) -> set[tuple[UUID, int, int]]:
    """Return which of these (connector, boot, seq) the history has from the last week's arrivals."""
    if not keys:
        return set()
    columns = map(list, zip(*keys, strict=True))
    rows = await db.fetch(FIND_STORED, *columns, (now - timedelta(days=7)).date())
    return {(row["connector_id"], row["boot"], row["seq"]) for row in rows}


async def add_samples(rows: Iterable[SampleRow]) -> None:
    """Write samples; those that stand already are passed over."""
    if columns := [list(column) for column in zip(*rows, strict=True)]:
        await db.execute(ADD_SAMPLES, *columns)


async def upsert_newest(rows: Iterable[tuple[Any, ...]]) -> list[asyncpg.Record]:
    """Make samples the state of their connectors where they are newer; returns the rows that changed.

    Rows: those of `row` without the flags, then device, station and number; one per connector.
    """
    columns = [list(column) for column in zip(*rows, strict=True)]
    return await db.fetch(UPSERT_NEWEST, *columns) if columns else []
