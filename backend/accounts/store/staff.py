"""SQL of operator companies and the roles they give. Rows in, rows out; encryption and rules are the service's."""

from datetime import datetime
from uuid import UUID

from asyncpg import Record

from backend.core import db
from backend.core.ids import new_id


async def add_company(*, code: str, name: str, hotline: str, now: datetime) -> UUID:
    """Add a company, or return the one that has this code."""
    company_id: UUID = await db.fetchval(
        "INSERT INTO operator_company (id, code, name, hotline, created_at) VALUES ($1, $2, $3, $4, $5)"
        " ON CONFLICT (code) DO UPDATE SET name = excluded.name, hotline = excluded.hotline RETURNING id",
        new_id(),
        code,
        name,
        hotline,
        now,
    )
    return company_id


async def find_company(*, company_id: UUID) -> Record | None:
    """Return a company by id."""
    return await db.fetchrow("SELECT * FROM operator_company WHERE id = $1", company_id)


async def find_company_by_code(*, code: str) -> Record | None:
    """Return a company by code."""
    return await db.fetchrow("SELECT * FROM operator_company WHERE code = $1", code)


async def list_companies() -> list[Record]:
    """Return all companies, oldest first."""
    return await db.fetch("SELECT * FROM operator_company ORDER BY created_at, id")


async def add_grant(
    *,
    account_id: UUID,
    role: str,
    operator_company_id: UUID,
    station_id: UUID | None,
    granted_by: UUID | None,
    name_cipher: bytes | None,
    now: datetime,
) -> UUID | None:
    """Give a role; None when the account has exactly this one already."""
    grant_id: UUID | None = await db.fetchval(
        """
        INSERT INTO staff_grant (id, account_id, role, operator_company_id, station_id, granted_by, granted_at,
            name_cipher)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING RETURNING id
        """,
        new_id(),
        account_id,
        role,
        operator_company_id,
        station_id,
        granted_by,
        now,
        name_cipher,
    )
    return grant_id


async def list_grants(*, account_id: UUID) -> list[Record]:
    """Return the roles an account has now."""
    return await db.fetch(
        "SELECT * FROM staff_grant WHERE account_id = $1 AND revoked_at IS NULL ORDER BY granted_at, id", account_id
    )


async def find_grant(*, grant_id: UUID) -> Record | None:
    """Return a role that is in force, locked."""
    return await db.fetchrow("SELECT * FROM staff_grant WHERE id = $1 AND revoked_at IS NULL FOR UPDATE", grant_id)


async def revoke_grant(*, grant_id: UUID, now: datetime) -> None:
    """Take a role away."""
    await db.execute("UPDATE staff_grant SET revoked_at = $2 WHERE id = $1", grant_id, now)


async def count_grants(*, operator_company_id: UUID, role: str) -> int:
    """Count a company's people of one role; the company's row is locked, so that the count stays true."""
    await db.fetchval("SELECT id FROM operator_company WHERE id = $1 FOR UPDATE", operator_company_id)
    counted: int = await db.fetchval(
        "SELECT count(*) FROM staff_grant WHERE operator_company_id = $1 AND role = $2 AND revoked_at IS NULL",
        operator_company_id,
        role,
    )
    return counted


async def list_staff(
    *,
    operator_company_ids: list[UUID],
    roles: list[str] | None = None,
    station_id: UUID | None = None,
    after: UUID | None = None,
    limit: int | None = None,
) -> list[Record]:
    """Return grants in force with the name they were given under and the person's phone.

    With `station_id`, those for all stations or for that one.
    """
    return await db.fetch(
        """
        SELECT g.id AS grant_id, g.role, g.operator_company_id, g.station_id, g.granted_at,
               a.id AS account_id, g.name_cipher, a.phone_cipher
        FROM staff_grant g JOIN account a ON a.id = g.account_id
        WHERE g.operator_company_id = ANY($1::uuid[]) AND g.revoked_at IS NULL AND a.erased_at IS NULL
          AND ($2::text[] IS NULL OR g.role = ANY($2))
          AND ($3::uuid IS NULL OR g.station_id IS NULL OR g.station_id = $3)
          AND ($4::uuid IS NULL OR g.id > $4)
        ORDER BY g.id LIMIT $5
        """,
        operator_company_ids,
        roles,
        station_id,
        after,
        limit,
    )
