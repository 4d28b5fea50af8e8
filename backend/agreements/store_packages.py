"""All SQL of packages and of which agreement has which when."""

from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from asyncpg import Record

from backend.core import db
from backend.core.ids import new_id

DRAFT = ("code", "name_zh", "name_en", "description_zh", "description_en", "kind", "price_fen", "included_wh")
DEFAULT_CODE = "pay_as_you_go"
LATER = ("max_periods", "available_from", "available_until", "drafted_by", "drafted_at")


async def list_offered(*, operator_company_ids: list[UUID] | None, at: datetime) -> list[Record]:
    """Return what can be chosen at an instant: of every company, and of these companies (None: of all)."""
    return await db.fetch(
        "SELECT * FROM package WHERE status = 'offered' AND (available_from IS NULL OR available_from <= $2)"
        " AND (available_until IS NULL OR available_until > $2)"
        " AND (operator_company_id IS NULL OR $1::uuid[] IS NULL OR operator_company_id = ANY($1))"
        " ORDER BY price_fen, id",
        operator_company_ids,
        at,
    )


async def list_of_companies(*, operator_company_ids: list[UUID]) -> list[Record]:
    """Return every package of these companies, newest first."""
    return await db.fetch(
        "SELECT * FROM package WHERE operator_company_id = ANY($1::uuid[]) ORDER BY id DESC", operator_company_ids
    )


async def find_package(*, package_id: UUID, lock: bool = False) -> Record | None:
    """Return a package in any status."""
    suffix = " FOR UPDATE" if lock else ""
    return await db.fetchrow(f"SELECT * FROM package WHERE id = $1{suffix}", package_id)  # noqa: S608


async def list_with_default(*, package_ids: list[UUID]) -> list[Record]:
    """Return packages by their ids, and the one everybody starts with (`is_default`)."""
    return await db.fetch(
        "SELECT *, operator_company_id IS NULL AND code = $2 AS is_default FROM package"
        " WHERE id = ANY($1::uuid[]) OR (operator_company_id IS NULL AND code = $2)",
        package_ids,
        DEFAULT_CODE,
    )


async def get_default_package_id() -> UUID:
    """Return the package everybody starts with: pay as you go."""
    found: UUID = await db.fetchval(
        "SELECT id FROM package WHERE operator_company_id IS NULL AND code = $1", DEFAULT_CODE
    )
    return found


async def add_draft(*, operator_company_id: UUID, values: dict[str, Any]) -> UUID | None:
    """Add a draft; None when the company has a package of this code."""
    names = (*DRAFT, *LATER)
    marks = ", ".join(f"${n}" for n in range(4, len(names) + 4))
    added: UUID | None = await db.fetchval(
        f"INSERT INTO package (id, operator_company_id, status, bands, {', '.join(names)})"  # noqa: S608
        f" VALUES ($1, $2, 'draft', $3::jsonb, {marks})"
        " ON CONFLICT (operator_company_id, code) DO NOTHING RETURNING id",
        new_id(),
        operator_company_id,
        msgspec.json.encode(values["bands"]).decode(),
        *(values[name] for name in names),
    )
    return added


async def replace_draft(*, package_id: UUID, values: dict[str, Any]) -> None:
    """Write a draft anew; raises UniqueViolationError when the code is taken."""
    names = (*DRAFT, *LATER)
    pairs = ", ".join(f"{name} = ${n}" for n, name in enumerate(names, 3))
    await db.execute(
        f"UPDATE package SET bands = $2::jsonb, {pairs} WHERE id = $1",  # noqa: S608
        package_id,
        msgspec.json.encode(values["bands"]).decode(),
        *(values[name] for name in names),
    )


async def delete_draft(*, package_id: UUID) -> None:
    """Delete a draft."""
    await db.execute("DELETE FROM package WHERE id = $1 AND status = 'draft'", package_id)


async def offer(*, package_id: UUID, approved_by: UUID, now: datetime) -> None:
    """Put a draft on offer."""
    await db.execute(
        "UPDATE package SET status = 'offered', approved_by = $2, approved_at = $3 WHERE id = $1",
        package_id,
        approved_by,
        now,
    )


async def withdraw(*, package_id: UUID, until: datetime) -> None:
    """Take a package off the offer; who has it keeps it until `until`, or its own earlier end."""
    await db.execute(
        "UPDATE package SET status = 'withdrawn', available_until = least(available_until, $2) WHERE id = $1",
        package_id,
        until,
    )


async def add_choice(
    *,
    agreement_id: UUID,
    package_id: UUID,
    chosen_by: UUID | None,
    from_at: datetime,
    now: datetime,
    shown: bool = True,
) -> None:
    """Keep a choice and, where it is `shown`, name it on the agreement."""
    if shown:
        await db.execute("UPDATE agreement SET package_id = $2 WHERE id = $1", agreement_id, package_id)
    await db.execute(
        "INSERT INTO agreement_package (id, agreement_id, package_id, chosen_at, effective_from, chosen_by)"
        " VALUES ($1, $2, $3, $4, $5, $6)",
        new_id(),
        agreement_id,
        package_id,
        now,
        from_at,
        chosen_by,
    )


async def drop_pending(*, agreement_id: UUID, after: datetime) -> None:
    """Forget choices that have not begun: the newest decides."""
    await db.execute(
        "DELETE FROM agreement_package WHERE agreement_id = $1 AND effective_from > $2", agreement_id, after
    )


async def list_choices(*, agreement_ids: list[UUID]) -> list[Record]:
    """Return the choices of agreements in the order they were made."""
    return await db.fetch(
        "SELECT * FROM agreement_package WHERE agreement_id = ANY($1::uuid[]) ORDER BY id", agreement_ids
    )


async def list_choosers(*, package_id: UUID, at: datetime) -> list[Record]:
    """Return id and holder of the agreements in force that ever chose a package."""
    return await db.fetch(
        "SELECT DISTINCT a.id, a.account_id FROM agreement a JOIN agreement_package c ON c.agreement_id = a.id"
        " WHERE c.package_id = $1 AND a.term @> $2::timestamptz ORDER BY a.id",
        package_id,
        at,
    )


async def find_choice_of_kind(*, account_id: UUID, operator_company_id: UUID, kind: str) -> UUID | None:
    """Return an agreement of this person with this company that ever had a package of this kind."""
    found: UUID | None = await db.fetchval(
        "SELECT a.id FROM agreement a JOIN agreement_package c ON c.agreement_id = a.id"
        " JOIN package p ON p.id = c.package_id"
        " WHERE a.account_id = $1 AND a.operator_company_id = $2 AND p.kind = $3 LIMIT 1",
        account_id,
        operator_company_id,
        kind,
    )
    return found


async def first_term_start(*, account_id: UUID, operator_company_id: UUID) -> datetime | None:
    """Return since when this person has had agreements with this company."""
    found: datetime | None = await db.fetchval(
        "SELECT min(lower(term)) FROM agreement WHERE account_id = $1 AND operator_company_id = $2"
        " AND NOT isempty(term)",
        account_id,
        operator_company_id,
    )
    return found


async def list_in_month(
    *, account_id: UUID, operator_company_id: UUID, from_at: datetime, to_at: datetime
) -> list[Record]:
    """Return the agreements of this person with this company whose term touches a month."""
    return await db.fetch(
        "SELECT id, account_id, lower(term) AS starts_at, upper(term) AS ends_at FROM agreement"
        " WHERE account_id = $1 AND operator_company_id = $2 AND term && tstzrange($3, $4) ORDER BY id",
        account_id,
        operator_company_id,
        from_at,
        to_at,
    )
