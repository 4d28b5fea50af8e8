"""All SQL of named drivers and of what company and applicant ask and answer."""

from datetime import datetime
from uuid import UUID

from asyncpg import Record

from backend.core import db
from backend.core.ids import new_id


async def is_driver(*, agreement_id: UUID, account_id: UUID) -> bool:
    """Say whether an account is a named driver of an agreement now."""
    found: bool = await db.fetchval(
        "SELECT EXISTS (SELECT 1 FROM agreement_driver"
        " WHERE agreement_id = $1 AND account_id = $2 AND removed_at IS NULL)",
        agreement_id,
        account_id,
    )
    return found


async def list_drivers(*, agreement_id: UUID) -> list[Record]:
    """Return the named drivers, oldest first."""
    return await db.fetch(
        "SELECT * FROM agreement_driver WHERE agreement_id = $1 AND removed_at IS NULL ORDER BY id", agreement_id
    )


async def list_driven(*, account_id: UUID) -> list[UUID]:
    """Return the agreements that name this account as a driver."""
    rows = await db.fetch(
        "SELECT agreement_id FROM agreement_driver WHERE account_id = $1 AND removed_at IS NULL ORDER BY id", account_id
    )
    return [row["agreement_id"] for row in rows]


async def list_companies(*, account_id: UUID, at: datetime) -> list[UUID]:
    """Return the companies of the agreements in force that are this account's own, or name it as a driver."""
    rows = await db.fetch(
        """
        SELECT operator_company_id FROM agreement
         WHERE account_id = $1 AND term @> $2::timestamptz
        UNION
        SELECT a.operator_company_id FROM agreement_driver d JOIN agreement a ON a.id = d.agreement_id
         WHERE d.account_id = $1 AND d.removed_at IS NULL AND a.term @> $2::timestamptz
        """,
        account_id,
        at,
    )
    return [row["operator_company_id"] for row in rows]


async def add_driver(
    *, agreement_id: UUID, account_id: UUID, name_cipher: bytes, phone_cipher: bytes, added_by: UUID, now: datetime
) -> Record | None:
    """Name a driver; None when they are one already."""
    return await db.fetchrow(
        "INSERT INTO agreement_driver (id, agreement_id, account_id, name_cipher, phone_cipher, added_at, added_by)"
        " VALUES ($1, $2, $3, $4, $5, $6, $7)"
        " ON CONFLICT (agreement_id, account_id) WHERE removed_at IS NULL DO NOTHING RETURNING *",
        new_id(),
        agreement_id,
        account_id,
        name_cipher,
        phone_cipher,
        now,
        added_by,
    )


async def remove_driver(*, agreement_id: UUID, driver_id: UUID, now: datetime) -> UUID | None:
    """Take a driver off; returns the driver's account, None when there is none."""
    removed: UUID | None = await db.fetchval(
        "UPDATE agreement_driver SET removed_at = $3 WHERE agreement_id = $1 AND id = $2 AND removed_at IS NULL"
        " RETURNING account_id",
        agreement_id,
        driver_id,
        now,
    )
    return removed


async def forget_driver(*, account_id: UUID) -> None:
    """Delete every row that names an account as a driver."""
    await db.execute("DELETE FROM agreement_driver WHERE account_id = $1", account_id)


async def forget_drivers_of(*, agreement_ids: list[UUID]) -> None:
    """Delete the drivers of agreements."""
    await db.execute("DELETE FROM agreement_driver WHERE agreement_id = ANY($1::uuid[])", agreement_ids)


async def add_exchange(*, agreement_id: UUID, kind: str, actor_id: UUID, text_cipher: bytes, now: datetime) -> None:
    """Keep what was asked or answered."""
    await db.execute(
        "INSERT INTO agreement_exchange (id, agreement_id, kind, actor_id, text_cipher, at)"
        " VALUES ($1, $2, $3, $4, $5, $6)",
        new_id(),
        agreement_id,
        kind,
        actor_id,
        text_cipher,
        now,
    )


async def set_waiting(*, agreement_id: UUID, waiting_for: str, asked_at: datetime | None) -> None:
    """Keep whose turn it is."""
    await db.execute(
        "UPDATE agreement SET waiting_for = $2, asked_at = $3 WHERE id = $1", agreement_id, waiting_for, asked_at
    )


async def list_exchanges(*, agreement_id: UUID) -> list[Record]:
    """Return what was asked and answered, oldest first."""
    return await db.fetch("SELECT * FROM agreement_exchange WHERE agreement_id = $1 ORDER BY id", agreement_id)


async def forget_exchanges(*, agreement_ids: list[UUID]) -> None:
    """Delete what was asked and answered of agreements."""
    await db.execute("DELETE FROM agreement_exchange WHERE agreement_id = ANY($1::uuid[])", agreement_ids)


async def list_ending(*, after: datetime, until: datetime) -> list[Record]:
    """Return agreements in force that end in a stretch and that no other one follows."""
    return await db.fetch(
        """
        SELECT a.id, a.account_id, upper(a.term) AS ends_at FROM agreement a
         WHERE a.status = 'signed' AND upper(a.term) > $1 AND upper(a.term) <= $2
           AND NOT EXISTS (SELECT 1 FROM agreement n WHERE n.status IN ('signed', 'approved', 'submitted')
                              AND n.id <> a.id AND n.plate_hash = a.plate_hash
                              AND (n.term IS NULL OR lower(n.term) >= upper(a.term)))
         ORDER BY a.id
        """,
        after,
        until,
    )
