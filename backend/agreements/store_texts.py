"""All SQL of text drafts and of the versions they become."""

from datetime import datetime
from uuid import UUID

from asyncpg import Record

from backend.core import db
from backend.core.ids import new_id


async def add_draft(
    *, operator_company_id: UUID, title: str, body: str, effective_from: datetime, drafted_by: UUID, now: datetime
) -> UUID:
    """Add a draft."""
    draft_id = new_id()
    await db.execute(
        "INSERT INTO agreement_text_draft"
        " (id, operator_company_id, title, body, effective_from, status, drafted_by, drafted_at)"
        " VALUES ($1, $2, $3, $4, $5, 'draft', $6, $7)",
        draft_id,
        operator_company_id,
        title,
        body,
        effective_from,
        drafted_by,
        now,
    )
    return draft_id


async def find_draft(*, draft_id: UUID, lock: bool = False) -> Record | None:
    """Return a draft in any status."""
    suffix = " FOR UPDATE" if lock else ""
    return await db.fetchrow(f"SELECT * FROM agreement_text_draft WHERE id = $1{suffix}", draft_id)  # noqa: S608


async def list_drafts(*, operator_company_ids: list[UUID]) -> list[Record]:
    """Return the companies' drafts in any status, newest first."""
    return await db.fetch(
        "SELECT * FROM agreement_text_draft WHERE operator_company_id = ANY($1::uuid[]) ORDER BY id DESC",
        operator_company_ids,
    )


async def add_version(
    *, operator_company_id: UUID, code: str, title: str, body: str, sha256: bytes, effective_from: datetime
) -> UUID:
    """Add the company's next version; the unique key on its number decides races."""
    text_id = new_id()
    await db.execute(
        "INSERT INTO agreement_text (id, operator_company_id, code, version, title, body, sha256, effective_from)"
        " SELECT $1::uuid, $2::uuid, $3::varchar, coalesce(max(version), 0) + 1, $4::text, $5::text, $6::bytea,"
        " $7::timestamptz FROM agreement_text"
        " WHERE code = $3 AND (operator_company_id = $2 OR operator_company_id IS NULL)",
        text_id,
        operator_company_id,
        code,
        title,
        body,
        sha256,
        effective_from,
    )
    return text_id


async def latest_effective_from(*, operator_company_id: UUID, code: str) -> datetime | None:
    """Return from when the company's newest text is in force."""
    found: datetime | None = await db.fetchval(
        "SELECT max(effective_from) FROM agreement_text WHERE operator_company_id = $1 AND code = $2",
        operator_company_id,
        code,
    )
    return found


async def decide(*, draft_id: UUID, status: str, decided_by: UUID, text_id: UUID | None, now: datetime) -> None:
    """Approve or withdraw a draft."""
    await db.execute(
        "UPDATE agreement_text_draft SET status = $2, decided_by = $3, text_id = $4, decided_at = $5 WHERE id = $1",
        draft_id,
        status,
        decided_by,
        text_id,
        now,
    )
