"""All SQL of corrections of mispublished tariff versions over their orders."""

from datetime import datetime
from typing import Any, Literal, TypeAlias
from uuid import UUID

import msgspec
from asyncpg import Record

from backend.core import db
from backend.core.ids import new_id

ItemState: TypeAlias = Literal["waiting", "applied", "unchanged", "held"]


class TariffCorrectionView(msgspec.Struct, frozen=True, kw_only=True):
    """A mispublished version, the one that says what was right, who asked and who decided."""

    id: UUID
    operator_company_id: UUID
    version_id: UUID
    replacement_id: UUID
    reason: str
    state: Literal["pending", "approved", "rejected"]
    requested_by: UUID
    requested_at: datetime
    decided_by: UUID | None = None
    decided_at: datetime | None = None
    decision_note: str | None = None


class CorrectedOrder(msgspec.Struct, frozen=True, kw_only=True):
    """An order of the version and what became of it; `problem` says why it is held for a person."""

    id: UUID
    order_id: UUID
    state: ItemState
    order_correction_id: UUID | None
    difference_fen: int
    problem: str | None
    settled_at: datetime | None


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """How far a correction is, and what it moved."""

    waiting: int
    applied: int
    unchanged: int
    held: int
    difference_fen: int


COLUMNS = TariffCorrectionView.__struct_fields__


def _view(row: Record) -> TariffCorrectionView:
    return TariffCorrectionView(**{name: row[name] for name in COLUMNS})


def _item(row: Record) -> CorrectedOrder:
    return CorrectedOrder(**{name: row[name] for name in CorrectedOrder.__struct_fields__})


async def add(view: TariffCorrectionView) -> bool:
    """Write a correction; False while the version has one that was not rejected."""
    marks = ", ".join(f"${n}" for n in range(1, len(COLUMNS) + 1))
    added = await db.fetchval(
        f"INSERT INTO tariff_correction ({', '.join(COLUMNS)}) VALUES ({marks})"  # noqa: S608  constant columns
        " ON CONFLICT DO NOTHING RETURNING true",
        *(getattr(view, name) for name in COLUMNS),
    )
    return bool(added)


async def find(correction_id: UUID, *, lock: bool = False) -> TariffCorrectionView | None:
    suffix = " FOR UPDATE" if lock else ""
    row = await db.fetchrow(f"SELECT * FROM tariff_correction WHERE id = $1{suffix}", correction_id)  # noqa: S608
    return None if row is None else _view(row)


async def find_approved(version_id: UUID) -> TariffCorrectionView | None:
    row = await db.fetchrow("SELECT * FROM tariff_correction WHERE version_id = $1 AND state = 'approved'", version_id)
    return None if row is None else _view(row)


async def list_of_companies(company_ids: list[UUID], before: UUID | None, limit: int) -> list[TariffCorrectionView]:
    rows = await db.fetch(
        "SELECT * FROM tariff_correction WHERE operator_company_id = ANY($1::uuid[]) AND ($2::uuid IS NULL OR id < $2)"
        " ORDER BY id DESC LIMIT $3",
        company_ids,
        before,
        limit,
    )
    return [_view(row) for row in rows]


async def list_approved() -> list[TariffCorrectionView]:
    return [_view(row) for row in await db.fetch("SELECT * FROM tariff_correction WHERE state = 'approved'")]


async def decide(correction_id: UUID, *, state: str, decided_by: UUID, note: str | None, now: datetime) -> None:
    await db.execute(
        "UPDATE tariff_correction SET state = $2, decided_by = $3, decision_note = $4, decided_at = $5 WHERE id = $1",
        correction_id,
        state,
        decided_by,
        note,
        now,
    )


async def order_ids_of_version(version_id: UUID, limit: int) -> list[UUID]:
    rows = await db.fetch(
        "SELECT id FROM charge_order WHERE tariff ->> 'version_id' = $1 ORDER BY id LIMIT $2", str(version_id), limit
    )
    return [row["id"] for row in rows]


async def collect(correction: TariffCorrectionView) -> None:
    """Put every order of the version on the list, each once."""
    rows = await db.fetch(
        """
        SELECT o.id FROM charge_order o WHERE o.tariff ->> 'version_id' = $1
           AND NOT EXISTS (SELECT 1 FROM tariff_correction_order x
                            WHERE x.tariff_correction_id = $2 AND x.order_id = o.id)
        """,
        str(correction.version_id),
        correction.id,
    )
    await db.executemany(
        "INSERT INTO tariff_correction_order (id, tariff_correction_id, order_id, state, difference_fen, tries)"
        " VALUES ($1, $2, $3, 'waiting', 0, 0) ON CONFLICT DO NOTHING",
        [(new_id(), correction.id, row["id"]) for row in rows],
    )


async def list_waiting(correction_id: UUID, limit: int) -> list[CorrectedOrder]:
    rows = await db.fetch(
        "SELECT * FROM tariff_correction_order WHERE tariff_correction_id = $1 AND state = 'waiting'"
        " ORDER BY id LIMIT $2",
        correction_id,
        limit,
    )
    return [_item(row) for row in rows]


async def list_items(
    correction_id: UUID, *, state: str | None, before: UUID | None, limit: int
) -> list[CorrectedOrder]:
    rows = await db.fetch(
        "SELECT * FROM tariff_correction_order WHERE tariff_correction_id = $1 AND ($2::text IS NULL OR state = $2)"
        " AND ($3::uuid IS NULL OR id < $3) ORDER BY id DESC LIMIT $4",
        correction_id,
        state,
        before,
        limit,
    )
    return [_item(row) for row in rows]


async def lock_item(item_id: UUID) -> CorrectedOrder | None:
    row = await db.fetchrow("SELECT * FROM tariff_correction_order WHERE id = $1 FOR UPDATE", item_id)
    return None if row is None else _item(row)


async def settle_item(item_id: UUID, now: datetime, **changes: Any) -> None:
    """Write what became of an order."""
    await db.execute(
        "UPDATE tariff_correction_order SET state = $2, order_correction_id = $3, difference_fen = $4, problem = $5,"
        " tries = tries + 1, settled_at = $6 WHERE id = $1",
        item_id,
        changes["state"],
        changes.get("order_correction_id"),
        changes.get("difference_fen", 0),
        changes.get("problem"),
        now,
    )


async def release_held(correction_id: UUID) -> None:
    """Have the held orders tried again."""
    await db.execute(
        "UPDATE tariff_correction_order SET state = 'waiting', problem = NULL, settled_at = NULL"
        " WHERE tariff_correction_id = $1 AND state = 'held'",
        correction_id,
    )


async def progress(correction_id: UUID) -> Progress:
    row = await db.fetchrow(
        """
        SELECT count(*) FILTER (WHERE state = 'waiting') AS waiting,
               count(*) FILTER (WHERE state = 'applied') AS applied,
               count(*) FILTER (WHERE state = 'unchanged') AS unchanged,
               count(*) FILTER (WHERE state = 'held') AS held,
               coalesce(sum(difference_fen), 0)::bigint AS difference_fen
          FROM tariff_correction_order WHERE tariff_correction_id = $1
        """,
        correction_id,
    )
    return Progress(**dict(row or {}))
