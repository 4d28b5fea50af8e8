"""All SQL of sessions: raw rows in, frozen views out."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from asyncpg import Record

from backend.charging.rules.states import Status
from backend.core import db
from backend.tariffs.rules.bands import PriceSnapshot, UserClass

OPEN_STATES = "('requested', 'starting', 'charging', 'ending')"


class SessionView(msgspec.Struct, frozen=True, kw_only=True):
    """One charge of one car on one connector; `tariff` and `user_class` are those of its start."""

    id: UUID
    account_id: UUID
    vehicle_id: UUID
    plate_hash: bytes
    operator_company_id: UUID
    station_id: UUID
    connector_id: UUID
    charger_code: str
    connector_number: int
    kind: str
    claim_id: UUID | None
    reservation_id: UUID | None
    agreement_id: UUID | None
    user_class: UserClass
    tariff: PriceSnapshot
    status: Status
    target_soc_pct: float | None
    target_energy_wh: int | None
    departs_at: datetime | None
    limit_at: datetime
    start_due_at: datetime
    requested_at: datetime
    accepted_at: datetime | None = None
    started_at: datetime | None = None
    start_meter_wh: int | None = None
    ending_since: datetime | None = None
    ended_at: datetime | None = None
    end_meter_wh: int | None = None
    end_reason: str | None = None
    end_unclear: bool = False
    starts_sent: int = 0
    stops_sent: int = 0
    left_at: datetime | None = None


class OverstayLookRow(msgspec.Struct, frozen=True, kw_only=True):
    """A look at the zone while a car stayed."""

    at: datetime
    other_free: bool


def _session(row: Record) -> SessionView:
    values = dict(row)
    values["tariff"] = msgspec.json.decode(values["tariff"], type=PriceSnapshot)
    return SessionView(**values)


COLUMNS = tuple(SessionView.__struct_fields__)


async def add_session(session: SessionView) -> bool:
    """Insert an open session; False when its connector or its car already has one."""
    values: list[Any] = [getattr(session, name) for name in COLUMNS]
    values[COLUMNS.index("tariff")] = msgspec.json.encode(session.tariff).decode()
    marks = ", ".join(f"${n}::jsonb" if c == "tariff" else f"${n}" for n, c in enumerate(COLUMNS, 1))
    added = await db.fetchval(
        f"INSERT INTO charging_session ({', '.join(COLUMNS)}) VALUES ({marks}) "  # noqa: S608  constant columns
        "ON CONFLICT DO NOTHING RETURNING true",
        *values,
    )
    return bool(added)


async def find_session(session_id: UUID, *, lock: bool = False) -> SessionView | None:
    suffix = " FOR UPDATE" if lock else ""
    row = await db.fetchrow(f"SELECT * FROM charging_session WHERE id = $1{suffix}", session_id)  # noqa: S608
    return None if row is None else _session(row)


async def save_session(session_id: UUID, changes: dict[str, Any]) -> None:
    """Write the changed columns of a session that is locked."""
    if not changes:
        return
    names = list(changes)
    pairs = ", ".join(f"{name} = ${n}" for n, name in enumerate(names, 2))
    await db.execute(
        f"UPDATE charging_session SET {pairs} WHERE id = $1",  # noqa: S608  names come from this feature's code
        session_id,
        *changes.values(),
    )


async def list_open(
    *,
    station_id: UUID | None = None,
    connector_ids: Sequence[UUID] | None = None,
    plate_hash: bytes | None = None,
    account_id: UUID | None = None,
) -> list[SessionView]:
    rows = await db.fetch(
        f"""
        SELECT * FROM charging_session WHERE status IN {OPEN_STATES}
           AND ($1::uuid IS NULL OR station_id = $1) AND ($2::uuid[] IS NULL OR connector_id = ANY($2))
           AND ($3::bytea IS NULL OR plate_hash = $3) AND ($4::uuid IS NULL OR account_id = $4)
         ORDER BY id
        """,  # noqa: S608  a constant list of states
        station_id,
        None if connector_ids is None else list(connector_ids),
        plate_hash,
        account_id,
    )
    return [_session(row) for row in rows]


async def list_staying(
    *, station_id: UUID | None = None, connector_ids: Sequence[UUID] | None = None
) -> list[SessionView]:
    """Sessions of the last two days that ended while the car was not yet seen to leave."""
    rows = await db.fetch(
        """
        SELECT * FROM charging_session WHERE status = 'ended' AND left_at IS NULL
           AND ($1::uuid IS NULL OR station_id = $1) AND ($2::uuid[] IS NULL OR connector_id = ANY($2)) ORDER BY id
        """,
        station_id,
        None if connector_ids is None else list(connector_ids),
    )
    return [_session(row) for row in rows]


async def list_of_account(account_id: UUID, before: UUID | None, limit: int) -> list[SessionView]:
    rows = await db.fetch(
        "SELECT * FROM charging_session WHERE account_id = $1 AND ($2::uuid IS NULL OR id < $2)"
        " ORDER BY id DESC LIMIT $3",
        account_id,
        before,
        limit,
    )
    return [_session(row) for row in rows]


async def add_look(session_id: UUID, at: datetime, other_free: bool) -> None:
    await db.execute(
        "INSERT INTO overstay_look (session_id, at, other_free) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
        session_id,
        at,
        other_free,
    )


async def list_looks(session_id: UUID) -> list[OverstayLookRow]:
    rows = await db.fetch("SELECT at, other_free FROM overstay_look WHERE session_id = $1 ORDER BY at", session_id)
    return [OverstayLookRow(at=row["at"], other_free=row["other_free"]) for row in rows]


async def forget_person(account_id: UUID) -> None:
    """Cut the car from the account's closed sessions; what money needs stays (domain.md "Personal data")."""
    await db.execute(
        f"UPDATE charging_session SET plate_hash = '\\x00' WHERE account_id = $1 AND status NOT IN {OPEN_STATES}",  # noqa: S608
        account_id,
    )
