"""SQL of bays: the state rows (locked while a lock takes a step), their history, the safety log."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from backend.bays.rules.locks import Lock, Position, Target
from backend.bays.rules.occupancy import Occupancy
from backend.core import db
from backend.core.ids import new_id


class BayRow(msgspec.Struct, frozen=True, kw_only=True):
    """One row of `bay_state`."""

    bay_id: UUID
    station_id: UUID
    state: Occupancy
    since: datetime
    plate_hash: bytes | None
    plate_cipher: bytes | None
    energy_type: str
    confidence: float
    image_ref: str | None
    camera_car: bool | None
    camera_heard_at: datetime | None
    lock_position: Position
    lock_car: bool | None
    lock_online: bool
    lock_heard_at: datetime | None
    lock_empty_since: datetime | None
    lock_target: Target | None
    lock_command_id: UUID | None
    lock_attempts: int
    lock_raise_due_at: datetime | None
    lock_keep_down_until: datetime | None

    def lock(self) -> Lock:
        """Return the row as the state machine sees it."""
        return Lock(
            position=self.lock_position,
            car=self.lock_car,
            camera=self.camera_car,
            online=self.lock_online,
            empty_since=self.lock_empty_since,
            target=self.lock_target,
            command_id=self.lock_command_id,
            attempts=self.lock_attempts,
            raise_due_at=self.lock_raise_due_at,
            keep_down_until=self.lock_keep_down_until,
        )

    def with_lock(self, lock: Lock) -> "BayRow":
        """Return the row with the state machine where `lock` is."""
        return msgspec.structs.replace(
            self,
            lock_position=lock.position,
            lock_car=lock.car,
            camera_car=lock.camera,
            lock_online=lock.online,
            lock_empty_since=lock.empty_since,
            lock_target=lock.target,
            lock_command_id=lock.command_id,
            lock_attempts=lock.attempts,
            lock_raise_due_at=lock.raise_due_at,
            lock_keep_down_until=lock.keep_down_until,
        )


_COLUMNS = BayRow.__struct_fields__
_LIST = ", ".join(_COLUMNS)
_SETS = ", ".join(f"{name} = ${n + 1}" for n, name in enumerate(_COLUMNS) if name not in ("bay_id", "station_id"))


async def lock_row(bay_id: UUID, station_id: UUID, now: datetime) -> BayRow:
    """Return the bay's row, made if it is not there, locked to the end of the transaction."""
    await db.execute(
        "INSERT INTO bay_state (id, bay_id, station_id, state, since, energy_type, confidence, lock_position,"
        " lock_online, lock_attempts, updated_at)"
        " VALUES ($1, $2, $3, 'unknown', $4, 'unknown', 0, 'unknown', false, 0, $4)"
        " ON CONFLICT (bay_id) DO NOTHING",
        new_id(),
        bay_id,
        station_id,
        now,
    )
    row = await db.fetchrow(f"SELECT {_LIST} FROM bay_state WHERE bay_id = $1 FOR UPDATE", bay_id)  # noqa: S608
    if row is None:
        raise LookupError(f"bay {bay_id} lost its state row")
    return BayRow(**dict(row))


async def save_row(row: BayRow, now: datetime) -> None:
    """Write the row back; the caller holds its lock."""
    values = [getattr(row, name) for name in _COLUMNS]
    await db.execute(
        f"UPDATE bay_state SET {_SETS}, updated_at = ${len(values) + 1} WHERE bay_id = $1 AND station_id = $2",  # noqa: S608
        *values,
        now,
    )


async def list_rows(*, station_ids: Sequence[UUID] = (), bay_ids: Sequence[UUID] = ()) -> list[BayRow]:
    """Return the rows of these stations or bays."""
    rows = await db.fetch(
        f"SELECT {_LIST} FROM bay_state WHERE station_id = ANY($1) OR bay_id = ANY($2)",  # noqa: S608
        list(station_ids),
        list(bay_ids),
    )
    return [BayRow(**dict(row)) for row in rows]


async def add_change(row: BayRow, *, previous: Occupancy, source: str, occurred_at: datetime, now: datetime) -> None:
    """Keep a change (or a plate that was read later) in the history."""
    await db.execute(
        "INSERT INTO bay_state_change (id, bay_id, station_id, state, previous, source, plate_hash, plate_cipher,"
        " energy_type, confidence, image_ref, occurred_at, recorded_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9,"
        " $10, $11, $12, $13)",
        new_id(),
        row.bay_id,
        row.station_id,
        row.state,
        previous,
        source,
        row.plate_hash,
        row.plate_cipher,
        row.energy_type,
        row.confidence,
        row.image_ref,
        occurred_at,
        now,
    )


async def add_log(row: BayRow, *, entry: str, actor: str, reason: str, known: dict[str, Any], now: datetime) -> None:
    """Write to the safety log."""
    await db.execute(
        "INSERT INTO lock_log (id, bay_id, station_id, entry, actor, reason, known, recorded_at)"
        " VALUES ($1, $2, $3, $4, $5, $6, $7::jsonb, $8)",
        new_id(),
        row.bay_id,
        row.station_id,
        entry,
        actor[:60],
        reason[:120],
        msgspec.json.encode(known).decode(),
        now,
    )


async def list_log(bay_id: UUID, since: datetime) -> list[tuple[datetime, str, str, str, dict[str, Any]]]:
    """Return (when, entry, actor, reason, known) of a bay's safety log, oldest first."""
    rows = await db.fetch(
        "SELECT recorded_at, entry, actor, reason, known FROM lock_log WHERE bay_id = $1 AND recorded_at >= $2"
        " ORDER BY recorded_at, id",
        bay_id,
        since,
    )
    return [(r["recorded_at"], r["entry"], r["actor"], r["reason"], msgspec.json.decode(r["known"])) for r in rows]


async def forget_plates(before: datetime, batch: int = 5000) -> int:
    """Remove plates and pictures from the history (PIPL, 30 days) and from bays whose car has stood longer; says
    how many.
    """
    history = await db.execute(
        "UPDATE bay_state_change SET plate_hash = NULL, plate_cipher = NULL, image_ref = NULL WHERE id IN (SELECT id"
        " FROM bay_state_change WHERE recorded_at < $1 AND (plate_hash IS NOT NULL OR image_ref IS NOT NULL) LIMIT $2)",
        before,
        batch,
    )
    present = await db.execute(
        "UPDATE bay_state SET plate_hash = NULL, plate_cipher = NULL, image_ref = NULL"
        " WHERE since < $1 AND plate_hash IS NOT NULL",
        before,
    )
    return int(history.split()[-1]) + int(present.split()[-1])


async def forget_plate(plate_hash: bytes) -> None:
    """Remove one plate everywhere (erasure)."""
    for table in ("bay_state", "bay_state_change"):
        await db.execute(
            f"UPDATE {table} SET plate_hash = NULL, plate_cipher = NULL, image_ref = NULL WHERE plate_hash = $1",  # noqa: S608
            plate_hash,
        )


async def list_changes_of_plate(plate_hashes: Sequence[bytes]) -> list[tuple[UUID, UUID, str, datetime]]:
    """Return (station, bay, state, when) of what is kept about these plates."""
    rows = await db.fetch(
        "SELECT station_id, bay_id, state, occurred_at FROM bay_state_change"
        " WHERE plate_hash = ANY($1) ORDER BY occurred_at",
        list(plate_hashes),
    )
    return [(r["station_id"], r["bay_id"], r["state"], r["occurred_at"]) for r in rows]
