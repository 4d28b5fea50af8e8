"""All SQL of alerts, of the safety log and of what the rules remember."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from asyncpg import Record

from backend.alerts.rules.model import CarLimits, Level
from backend.core import db
from backend.core.ids import new_id


class AlertView(msgspec.Struct, frozen=True, kw_only=True):
    """What a rule raised; `repeats` counts further reports while it is open."""

    id: UUID
    device_id: UUID
    connector_id: UUID | None
    bay_id: UUID | None
    station_id: UUID
    operator_company_id: UUID
    code: str
    source: str
    level: Level
    value: float | None
    limit_value: float | None
    session_id: UUID | None
    incident_id: UUID | None
    first_at: datetime
    last_at: datetime
    raised_at: datetime
    repeats: int = 0
    cleared_at: datetime | None = None
    cleared_by: UUID | None = None


class WatchRow(msgspec.Struct, frozen=True, kw_only=True):
    """What the rules of a connector remember over a restart."""

    connector_id: UUID
    boot: int
    seq: int
    counters: dict[str, dict[str, int | str | None]]
    start_meter_wh: int | None
    car: CarLimits | None
    limit_w: int | None = None
    limit_until: datetime | None = None
    limit_at: datetime | None = None


class BlockedBayRow(msgspec.Struct, frozen=True, kw_only=True):
    """A car that nobody expects, while it stands there."""

    id: UUID
    bay_id: UUID
    station_id: UUID
    plate_hash: bytes | None
    seen_at: datetime
    due_at: datetime
    reason: str
    owner_told_at: datetime | None
    alert_id: UUID | None


ALERT_COLUMNS = tuple(AlertView.__struct_fields__)


def _alert(row: Record) -> AlertView:
    return AlertView(**{name: row[name] for name in ALERT_COLUMNS})


async def find_open_alert(
    device_id: UUID, connector_id: UUID | None, bay_id: UUID | None, code: str, *, lock: bool = False
) -> AlertView | None:
    suffix = " FOR UPDATE" if lock else ""
    row = await db.fetchrow(
        "SELECT * FROM alert WHERE device_id = $1 AND connector_id IS NOT DISTINCT FROM $2"  # noqa: S608
        f" AND bay_id IS NOT DISTINCT FROM $3 AND code = $4 AND cleared_at IS NULL{suffix}",
        device_id,
        connector_id,
        bay_id,
        code,
    )
    return None if row is None else _alert(row)


async def add_alert(alert: AlertView) -> bool:
    marks = ", ".join(f"${n}" for n in range(1, len(ALERT_COLUMNS) + 1))
    added = await db.fetchval(
        f"INSERT INTO alert ({', '.join(ALERT_COLUMNS)}) VALUES ({marks}) "  # noqa: S608  constant columns
        "ON CONFLICT DO NOTHING RETURNING true",
        *(getattr(alert, name) for name in ALERT_COLUMNS),
    )
    return bool(added)


async def save_alert(alert_id: UUID, changes: dict[str, Any]) -> None:
    pairs = ", ".join(f"{name} = ${n}" for n, name in enumerate(changes, 2))
    await db.execute(f"UPDATE alert SET {pairs} WHERE id = $1", alert_id, *changes.values())  # noqa: S608


async def list_open_alerts(
    *, company_ids: Iterable[UUID] | None = None, incident_id: UUID | None = None, device_id: UUID | None = None
) -> list[AlertView]:
    rows = await db.fetch(
        """
        SELECT * FROM alert WHERE cleared_at IS NULL AND ($1::uuid[] IS NULL OR operator_company_id = ANY($1))
           AND ($2::uuid IS NULL OR incident_id = $2) AND ($3::uuid IS NULL OR device_id = $3)
         ORDER BY raised_at DESC LIMIT 500
        """,
        None if company_ids is None else list(company_ids),
        incident_id,
        device_id,
    )
    return [_alert(row) for row in rows]


async def list_alerts_of(incident_id: UUID) -> list[AlertView]:
    """Every alert of an incident, cleared ones too, oldest first."""
    rows = await db.fetch("SELECT * FROM alert WHERE incident_id = $1 ORDER BY raised_at, id", incident_id)
    return [_alert(row) for row in rows]


async def list_open_on_connector(connector_id: UUID) -> list[AlertView]:
    rows = await db.fetch(
        "SELECT * FROM alert WHERE connector_id = $1 AND cleared_at IS NULL ORDER BY raised_at", connector_id
    )
    return [_alert(row) for row in rows]


async def add_log(
    *,
    at: datetime,
    station_id: UUID,
    operator_company_id: UUID,
    what: str,
    code: str,
    level: str,
    device_id: UUID | None = None,
    connector_id: UUID | None = None,
    incident_id: UUID | None = None,
    occurred_at: datetime | None = None,
    clock_flagged: bool = False,
    detail: dict[str, Any] | None = None,
) -> None:
    await db.execute(
        "INSERT INTO safety_log (id, at, station_id, operator_company_id, device_id, connector_id, incident_id, what,"
        " code, level, occurred_at, clock_flagged, detail)"
        " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13::jsonb)",
        new_id(),
        at,
        station_id,
        operator_company_id,
        device_id,
        connector_id,
        incident_id,
        what,
        code,
        level,
        occurred_at,
        clock_flagged,
        msgspec.json.encode(detail or {}).decode(),
    )


def _car(value: str | None) -> CarLimits | None:
    return None if value is None else msgspec.json.decode(value, type=CarLimits)


async def list_watches(connector_ids: Sequence[UUID]) -> dict[UUID, WatchRow]:
    rows = await db.fetch("SELECT * FROM connector_watch_state WHERE connector_id = ANY($1)", list(connector_ids))
    return {
        row["connector_id"]: WatchRow(
            connector_id=row["connector_id"],
            boot=row["boot"],
            seq=row["seq"],
            counters=msgspec.json.decode(row["counters"]),
            start_meter_wh=row["start_meter_wh"],
            car=_car(row["car_limits"]),
            limit_w=row["limit_w"],
            limit_until=row["limit_until"],
            limit_at=row["limit_at"],
        )
        for row in rows
    }


async def save_watches(rows: Sequence[WatchRow], now: datetime) -> None:
    """Keep the counters; the car's limits belong to the safety lane and stay as they are."""
    await db.executemany(
        """
        INSERT INTO connector_watch_state (connector_id, boot, seq, counters, start_meter_wh, updated_at)
        VALUES ($1, $2, $3, $4::jsonb, $5, $6)
        ON CONFLICT (connector_id) DO UPDATE SET boot = excluded.boot, seq = excluded.seq,
            counters = excluded.counters, start_meter_wh = excluded.start_meter_wh, updated_at = excluded.updated_at
        """,
        [
            (r.connector_id, r.boot, r.seq, msgspec.json.encode(r.counters).decode(), r.start_meter_wh, now)
            for r in rows
        ],
    )


async def save_car_limits(connector_id: UUID, car: CarLimits | None, at: datetime, now: datetime) -> None:
    """Keep what the newest car said, and all of it as history; an older message than the one kept changes nothing."""
    said = None if car is None else msgspec.json.encode(car).decode()
    await db.execute(
        "INSERT INTO car_limits_said (id, connector_id, at, car_limits) VALUES ($1, $2, $3, $4::jsonb)",
        new_id(),
        connector_id,
        at,
        said,
    )
    await db.execute(
        """
        INSERT INTO connector_watch_state AS kept
            (connector_id, boot, seq, counters, car_limits, car_limits_at, updated_at)
        VALUES ($1, -1, -1, '{}'::jsonb, $2::jsonb, $3, $4)
        ON CONFLICT (connector_id) DO UPDATE SET car_limits = excluded.car_limits,
            car_limits_at = excluded.car_limits_at, updated_at = excluded.updated_at
            WHERE kept.car_limits_at IS NULL OR kept.car_limits_at <= excluded.car_limits_at
        """,
        connector_id,
        said,
        at,
        now,
    )


async def save_limit(connector_id: UUID, limit_w: int, until: datetime | None, at: datetime, now: datetime) -> None:
    """Keep the newest limit that the charger acknowledged for a connector."""
    await db.execute(
        """
        INSERT INTO connector_watch_state AS kept
            (connector_id, boot, seq, counters, limit_w, limit_until, limit_at, updated_at)
        VALUES ($1, -1, -1, '{}'::jsonb, $2, $3, $4, $5)
        ON CONFLICT (connector_id) DO UPDATE SET limit_w = excluded.limit_w, limit_until = excluded.limit_until,
            limit_at = excluded.limit_at, updated_at = excluded.updated_at
            WHERE kept.limit_at IS NULL OR kept.limit_at <= excluded.limit_at
        """,
        connector_id,
        limit_w,
        until,
        at,
        now,
    )


async def note_critical(
    connector_id: UUID, code: str, boot: int, seq: int, at: datetime
) -> tuple[int, int, datetime] | None:
    """Remember a critical sample; returns (boot, seq, at) of the one before, None for the first."""
    before = await db.fetchrow(
        "SELECT boot, seq, at FROM critical_streak WHERE connector_id = $1 AND code = $2 FOR UPDATE", connector_id, code
    )
    await db.execute(
        "INSERT INTO critical_streak (id, connector_id, code, boot, seq, at) VALUES ($1, $2, $3, $4, $5, $6)"
        " ON CONFLICT (connector_id, code) DO UPDATE SET boot = excluded.boot, seq = excluded.seq, at = excluded.at",
        new_id(),
        connector_id,
        code,
        boot,
        seq,
        at,
    )
    return None if before is None else (before["boot"], before["seq"], before["at"])


def _blocked(row: Record) -> BlockedBayRow:
    return BlockedBayRow(**{name: row[name] for name in BlockedBayRow.__struct_fields__})


async def find_blocked(bay_id: UUID, *, lock: bool = False) -> BlockedBayRow | None:
    suffix = " FOR UPDATE" if lock else ""
    row = await db.fetchrow(
        f"SELECT * FROM blocked_bay WHERE bay_id = $1 AND gone_at IS NULL{suffix}",  # noqa: S608
        bay_id,
    )
    return None if row is None else _blocked(row)


async def add_blocked(blocked: BlockedBayRow) -> bool:
    added = await db.fetchval(
        "INSERT INTO blocked_bay (id, bay_id, station_id, plate_hash, seen_at, due_at, reason)"
        " VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING RETURNING true",
        blocked.id,
        blocked.bay_id,
        blocked.station_id,
        blocked.plate_hash,
        blocked.seen_at,
        blocked.due_at,
        blocked.reason,
    )
    return bool(added)


async def save_blocked(blocked_id: UUID, changes: dict[str, Any]) -> None:
    pairs = ", ".join(f"{name} = ${n}" for n, name in enumerate(changes, 2))
    await db.execute(f"UPDATE blocked_bay SET {pairs} WHERE id = $1", blocked_id, *changes.values())  # noqa: S608


async def list_blocked_of(plate_hashes: list[bytes]) -> list[dict[str, str]]:
    """Return where cars of these plates stood in a bay that was not theirs, oldest first."""
    rows = await db.fetch(
        "SELECT station_id, bay_id, reason, seen_at FROM blocked_bay WHERE plate_hash = ANY($1) ORDER BY seen_at",
        plate_hashes,
    )
    return [
        {
            "station_id": str(row["station_id"]),
            "bay_id": str(row["bay_id"]),
            "reason": row["reason"],
            "seen_at": row["seen_at"].isoformat(),
        }
        for row in rows
    ]


async def forget_cars(plate_hashes: list[bytes]) -> None:
    """Take these plates out of blocked bays; that a bay was blocked stays."""
    await db.execute("UPDATE blocked_bay SET plate_hash = NULL WHERE plate_hash = ANY($1)", plate_hashes)


async def forget_plates(before: datetime) -> None:
    """Plates live 30 days (domain.md "Personal data")."""
    await db.execute("UPDATE blocked_bay SET plate_hash = NULL WHERE seen_at < $1 AND plate_hash IS NOT NULL", before)
