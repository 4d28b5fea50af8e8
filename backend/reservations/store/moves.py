"""SQL of moves, outages and appeals."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import msgspec

from backend.core import db
from backend.core.ids import new_id
from backend.reservations.rules.words import ReservationView
from backend.reservations.store.bookings import COLUMNS


class MoveView(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a booking's trace."""

    id: UUID
    reservation_id: UUID
    station_id: UUID
    outcome: str
    reason: str
    actor: str
    from_connector_id: UUID
    from_bay_id: UUID | None
    to_connector_id: UUID | None
    to_bay_id: UUID | None
    at: datetime


_MOVE = ", ".join(MoveView.__struct_fields__)


async def add_move(move: MoveView) -> None:
    """Write a line of the trace."""
    values = [getattr(move, name) for name in MoveView.__struct_fields__]
    places = ", ".join(f"${n + 1}" for n in range(len(values)))
    await db.execute(f"INSERT INTO reservation_move ({_MOVE}) VALUES ({places})", *values)  # noqa: S608


async def list_moves(reservation_id: UUID) -> list[MoveView]:
    """Return a booking's trace, oldest first."""
    rows = await db.fetch(
        f"SELECT {_MOVE} FROM reservation_move WHERE reservation_id = $1 ORDER BY at, id",  # noqa: S608
        reservation_id,
    )
    return [MoveView(**dict(row)) for row in rows]


async def list_moves_of(reservation_ids: Sequence[UUID]) -> dict[UUID, list[MoveView]]:
    """Return the traces of bookings, oldest line first; those never moved are missing."""
    rows = await db.fetch(
        f"SELECT {_MOVE} FROM reservation_move WHERE reservation_id = ANY($1) ORDER BY at, id",  # noqa: S608
        list(reservation_ids),
    )
    found: dict[UUID, list[MoveView]] = {}
    for row in rows:
        found.setdefault(row["reservation_id"], []).append(MoveView(**dict(row)))
    return found


async def list_held_by(
    connector_ids: Sequence[UUID], since: datetime, until: datetime, *, bay_ids: Sequence[UUID] = ()
) -> list[ReservationView]:
    """Return the open bookings on these connectors or bays whose slot meets the period, by start, their rows locked."""
    rows = await db.fetch(
        f"SELECT {COLUMNS} FROM reservation WHERE (connector_id = ANY($1) OR bay_id = ANY($4))"  # noqa: S608
        " AND status IN ('confirmed', 'checked_in') AND starts_at < $3 AND ends_at > $2 ORDER BY starts_at, id"
        " FOR UPDATE",
        list(connector_ids),
        since,
        until,
        list(bay_ids),
    )
    return [ReservationView(**dict(row)) for row in rows]


async def save_place(reservation_id: UUID, connector_id: UUID, bay_id: UUID | None, now: datetime) -> None:
    """Give a booking another place; it is not stranded any more."""
    await db.execute(
        "UPDATE reservation SET connector_id = $2, bay_id = $3, stranded_at = NULL, updated_at = $4,"
        " sequence = sequence + 1 WHERE id = $1",
        reservation_id,
        connector_id,
        bay_id,
        now,
    )


async def save_stranded(reservation_id: UUID, stranded_at: datetime | None, now: datetime) -> bool:
    """Mark or unmark a booking as stranded; False when it is so already."""
    changed = await db.fetchval(
        "UPDATE reservation SET stranded_at = $2, updated_at = $3, sequence = sequence + 1"
        " WHERE id = $1 AND status IN ('confirmed', 'checked_in')"
        " AND (stranded_at IS NULL) <> ($2::timestamptz IS NULL) RETURNING true",
        reservation_id,
        stranded_at,
        now,
    )
    return bool(changed)


async def save_relocated(reservation_id: UUID, to_id: UUID) -> None:
    """Name the booking that took the place of this one."""
    await db.execute("UPDATE reservation SET relocated_to = $2 WHERE id = $1", reservation_id, to_id)


async def open_outage(connector_id: UUID, station_id: UUID, reason: str, now: datetime) -> bool:
    """Note that a connector cannot serve; False when that is known."""
    added = await db.fetchval(
        "INSERT INTO connector_outage (id, connector_id, station_id, reason, began_at) VALUES ($1, $2, $3, $4, $5)"
        " ON CONFLICT (connector_id) WHERE ended_at IS NULL DO NOTHING RETURNING true",
        new_id(),
        connector_id,
        station_id,
        reason,
        now,
    )
    return bool(added)


async def close_outage(connector_id: UUID, now: datetime) -> bool:
    """Note that a connector serves again; False when it had not been out."""
    closed = await db.fetchval(
        "UPDATE connector_outage SET ended_at = greatest(began_at, $2)"
        " WHERE connector_id = $1 AND ended_at IS NULL RETURNING true",
        connector_id,
        now,
    )
    return bool(closed)


async def list_out(connector_ids: Sequence[UUID]) -> frozenset[UUID]:
    """Return which of the connectors are out."""
    rows = await db.fetch(
        "SELECT connector_id FROM connector_outage WHERE connector_id = ANY($1) AND ended_at IS NULL",
        list(connector_ids),
    )
    return frozenset(row["connector_id"] for row in rows)


async def list_stranded(connector_id: UUID) -> list[UUID]:
    """Return the open bookings on the connector that are stranded."""
    rows = await db.fetch(
        "SELECT id FROM reservation WHERE connector_id = $1 AND stranded_at IS NOT NULL"
        " AND status IN ('confirmed', 'checked_in') ORDER BY starts_at",
        connector_id,
    )
    return [row["id"] for row in rows]


async def find_claim_before(
    connector_id: UUID, bay_id: UUID | None, at: datetime, not_id: UUID
) -> tuple[UUID, bytes | None, datetime] | None:
    """Return (claim, plate, end) of the last car that was due on the connector or bay before `at`, within a day."""
    row = await db.fetchrow(
        "SELECT id, plate_hash, ends_at FROM connector_claim WHERE (connector_id = $1 OR bay_id = $2)"
        " AND kind IN ('booking', 'walk_up') AND starts_at < $3 AND ends_at > $3 - interval '1 day' AND id <> $4"
        " ORDER BY starts_at DESC LIMIT 1",
        connector_id,
        bay_id,
        at,
        not_id,
    )
    return None if row is None else (row["id"], row["plate_hash"], row["ends_at"])
