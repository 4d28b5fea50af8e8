"""All SQL of agreements. Rows in, rows out; encryption, files and rules are the service's."""

from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from asyncpg import Record

from backend.core import db
from backend.core.ids import new_id

_AGREEMENT = """
    SELECT a.*, lower(a.term) AS starts_at, upper(a.term) AS ends_at, p.name_cipher, p.plate_cipher, p.phone_cipher,
           s.signed_at, s.text_sha256, s.record_sha256
    FROM agreement a LEFT JOIN agreement_party p ON p.agreement_id = a.id
    LEFT JOIN agreement_signature s ON s.agreement_id = a.id
"""


# Texts


async def get_current_text(*, code: str, at: datetime, operator_company_id: UUID | None = None) -> Record:
    """Return the newest text in force at `at`: the company's own before everybody's, which a migration adds."""
    row = await db.fetchrow(
        "SELECT * FROM agreement_text WHERE code = $1 AND effective_from <= $2"
        " AND (operator_company_id IS NULL OR operator_company_id = $3)"
        " ORDER BY operator_company_id IS NULL, effective_from DESC, version DESC LIMIT 1",
        code,
        at,
        operator_company_id,
    )
    if row is None:
        raise RuntimeError(f"no text {code} is in force")
    return row


async def find_text(*, text_id: UUID) -> Record | None:
    """Return a text version."""
    return await db.fetchrow("SELECT * FROM agreement_text WHERE id = $1", text_id)


# Agreements


async def find_agreement(*, agreement_id: UUID) -> Record | None:
    """Return an agreement with its party and signature."""
    return await db.fetchrow(f"{_AGREEMENT} WHERE a.id = $1", agreement_id)


async def lock_agreement(*, agreement_id: UUID) -> Record | None:
    """Return an agreement, its row locked until the transaction ends."""
    return await db.fetchrow(f"{_AGREEMENT} WHERE a.id = $1 FOR UPDATE OF a", agreement_id)


async def list_agreements(*, account_id: UUID) -> list[Record]:
    """Return the agreements of an account, newest first."""
    return await db.fetch(f"{_AGREEMENT} WHERE a.account_id = $1 ORDER BY a.id DESC", account_id)


async def list_for_companies(
    *,
    operator_company_ids: list[UUID],
    status: str | None,
    after: UUID | None,
    limit: int,
    waiting_for: str | None = None,
) -> list[Record]:
    """Return a page of the companies' agreements, oldest first."""
    return await db.fetch(
        f"{_AGREEMENT} WHERE a.operator_company_id = ANY($1::uuid[]) AND ($2::text IS NULL OR a.status = $2)"
        " AND ($5::text IS NULL OR (a.status = 'submitted' AND a.waiting_for = $5))"
        " AND ($3::uuid IS NULL OR a.id > $3) ORDER BY a.id LIMIT $4",
        operator_company_ids,
        status,
        after,
        limit,
        waiting_for,
    )


async def find_in_force(*, plate_hash: bytes, at: datetime) -> Record | None:
    """Return the agreement in force for a plate at an instant, whoever holds it and with whichever company."""
    return await db.fetchrow(f"{_AGREEMENT} WHERE a.plate_hash = $1 AND a.term @> $2::timestamptz", plate_hash, at)


async def add_application(*, values: dict[str, Any]) -> UUID | None:
    """Add an application; None when another one for this plate is open (the partial unique index decides races)."""
    added: UUID | None = await db.fetchval(
        """
        INSERT INTO agreement (id, account_id, operator_company_id, vehicle_id, plate_hash, community_id,
                               community_name, distance_m, declaration, status, package_id, submitted_at,
                               renews_id, applied_through, applied_by)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9::jsonb, 'submitted', $10, $11, $12, $13, $14)
        ON CONFLICT (plate_hash) WHERE status IN ('submitted', 'approved') DO NOTHING RETURNING id
        """,
        new_id(),
        values["account_id"],
        values["operator_company_id"],
        values["vehicle_id"],
        values["plate_hash"],
        values["community_id"],
        values["community_name"],
        values["distance_m"],
        msgspec.json.encode(values["declaration"]).decode(),
        values["package_id"],
        values["submitted_at"],
        values.get("renews_id"),
        values.get("applied_through", "app"),
        values.get("applied_by"),
    )
    if added is not None:
        await db.execute(
            "INSERT INTO agreement_party (agreement_id, name_cipher, plate_cipher, phone_cipher)"
            " VALUES ($1, $2, $3, $4)",
            added,
            values["name_cipher"],
            values["plate_cipher"],
            values["phone_cipher"],
        )
    return added


async def set_decision(*, agreement_id: UUID, status: str, reason: str | None, decided_by: UUID, now: datetime) -> None:
    """Approve or reject."""
    await db.execute(
        "UPDATE agreement SET status = $2, decision_reason = $3, decided_by = $4, decided_at = $5 WHERE id = $1",
        agreement_id,
        status,
        reason,
        decided_by,
        now,
    )


async def set_reason(*, agreement_id: UUID, reason: str) -> None:
    """Keep why the company decided as it did."""
    await db.execute("UPDATE agreement SET decision_reason = $2 WHERE id = $1", agreement_id, reason)


async def set_signed(*, agreement_id: UUID, starts_at: datetime, ends_at: datetime) -> None:
    """Put an agreement in force; raises ExclusionViolationError when the plate has another one in that time."""
    await db.execute(
        "UPDATE agreement SET status = 'signed', term = tstzrange($2, $3) WHERE id = $1",
        agreement_id,
        starts_at,
        ends_at,
    )


async def add_signature(*, values: dict[str, Any]) -> None:
    """Keep how an agreement was signed."""
    await db.execute(
        """
        INSERT INTO agreement_signature
            (agreement_id, text_id, text_sha256, signed_at, address_cipher, code_id, stations, record_sha256,
             method, evidence_id, acted_by)
        VALUES ($1, $2, $3, $4, $5, $6, $7::jsonb, $8, $9, $10, $11)
        """,
        values["agreement_id"],
        values["text_id"],
        values["text_sha256"],
        values["signed_at"],
        values["address_cipher"],
        values["code_id"],
        msgspec.json.encode(values["stations"]).decode(),
        values["record_sha256"],
        values.get("method", "sms_code"),
        values.get("evidence_id"),
        values.get("acted_by"),
    )


async def set_party_phone(*, agreement_id: UUID, phone_cipher: bytes) -> None:
    """Keep the phone that the signing code went to."""
    await db.execute("UPDATE agreement_party SET phone_cipher = $2 WHERE agreement_id = $1", agreement_id, phone_cipher)


async def find_signature(*, agreement_id: UUID) -> Record | None:
    """Return how an agreement was signed, with the text."""
    return await db.fetchrow(
        "SELECT s.*, t.title, t.version, t.body FROM agreement_signature s JOIN agreement_text t ON t.id = s.text_id"
        " WHERE s.agreement_id = $1",
        agreement_id,
    )


async def set_terminated(*, agreement_id: UUID, reason: str, now: datetime) -> None:
    """End an agreement or withdraw an application; a term in force ends now."""
    await db.execute(
        """
        UPDATE agreement SET status = 'terminated', ended_at = $2, ended_reason = $3,
            term = CASE WHEN term IS NULL THEN NULL
                   ELSE tstzrange(lower(term), greatest(lower(term), least(upper(term), $2))) END
        WHERE id = $1
        """,
        agreement_id,
        now,
        reason,
    )


# Evidence and documents


async def add_evidence(
    *, agreement_id: UUID, kind: str, sha256: bytes, store_key: str, media_type: str, size_bytes: int, now: datetime
) -> Record:
    """Add a piece of evidence; the same content again is the one there is."""
    await db.execute(
        """
        INSERT INTO agreement_evidence (id, agreement_id, kind, sha256, store_key, media_type, size_bytes, uploaded_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (agreement_id, sha256) DO NOTHING
        """,
        new_id(),
        agreement_id,
        kind,
        sha256,
        store_key,
        media_type,
        size_bytes,
        now,
    )
    row = await db.fetchrow(
        "SELECT * FROM agreement_evidence WHERE agreement_id = $1 AND sha256 = $2", agreement_id, sha256
    )
    if row is None:
        raise RuntimeError("the evidence was neither added nor found")
    return row


async def list_evidence(*, agreement_id: UUID) -> list[Record]:
    """Return the evidence of an agreement, oldest first."""
    return await db.fetch("SELECT * FROM agreement_evidence WHERE agreement_id = $1 ORDER BY id", agreement_id)


async def find_evidence(*, agreement_id: UUID, evidence_id: UUID) -> Record | None:
    """Return a piece of evidence of this agreement."""
    return await db.fetchrow(
        "SELECT * FROM agreement_evidence WHERE agreement_id = $1 AND id = $2", agreement_id, evidence_id
    )


async def add_document(
    *, agreement_id: UUID, sha256: bytes, store_key: str, size_bytes: int, now: datetime
) -> Record | None:
    """Add the document of an agreement; the first one stays, and is returned."""
    await db.execute(
        "INSERT INTO agreement_document (agreement_id, sha256, store_key, size_bytes, made_at)"
        " VALUES ($1, $2, $3, $4, $5) ON CONFLICT (agreement_id) DO NOTHING",
        agreement_id,
        sha256,
        store_key,
        size_bytes,
        now,
    )
    return await find_document(agreement_id=agreement_id)


async def find_document(*, agreement_id: UUID) -> Record | None:
    """Return the document of an agreement, if it has been made."""
    return await db.fetchrow("SELECT * FROM agreement_document WHERE agreement_id = $1", agreement_id)


# Erasure and retention


async def list_store_keys(*, agreement_ids: list[UUID], documents: bool) -> list[str]:
    """Return the store keys of the evidence, and with `documents` of the PDFs, of these agreements."""
    rows = await db.fetch(
        "SELECT store_key FROM agreement_evidence WHERE agreement_id = ANY($1::uuid[])"
        " UNION ALL SELECT store_key FROM agreement_document WHERE $2 AND agreement_id = ANY($1::uuid[])",
        agreement_ids,
        documents,
    )
    return [row["store_key"] for row in rows]


async def delete_evidence(*, agreement_ids: list[UUID]) -> None:
    """Delete the rows of the evidence of these agreements."""
    await db.execute("DELETE FROM agreement_evidence WHERE agreement_id = ANY($1::uuid[])", agreement_ids)


async def delete_agreements(*, agreement_ids: list[UUID]) -> None:
    """Delete agreements with everything that hangs on them."""
    await db.execute("DELETE FROM agreement WHERE id = ANY($1::uuid[])", agreement_ids)


async def forget_plates(*, agreement_ids: list[UUID]) -> None:
    """Take the plate's hash off agreements; the party, kept apart, still has the plate."""
    await db.execute("UPDATE agreement SET plate_hash = NULL WHERE id = ANY($1::uuid[])", agreement_ids)


async def list_over(*, ended_before: datetime, unsigned_before: datetime, limit: int) -> list[Record]:
    """Return agreements whose time of keeping is over: signed ones by their end, unsigned ones by their decision."""
    return await db.fetch(
        """
        SELECT a.id FROM agreement a LEFT JOIN agreement_signature s ON s.agreement_id = a.id
        WHERE (s.agreement_id IS NOT NULL AND coalesce(upper(a.term), a.ended_at) < $1)
           OR (s.agreement_id IS NULL AND a.status IN ('rejected', 'terminated')
               AND coalesce(a.ended_at, a.decided_at, a.submitted_at) < $2)
        ORDER BY a.id LIMIT $3
        """,
        ended_before,
        unsigned_before,
        limit,
    )
