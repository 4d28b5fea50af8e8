"""SQL of one-time codes and of what limits them. Rows in, rows out; encryption and rules are the service's."""

from datetime import datetime
from typing import Any
from uuid import UUID

from asyncpg import Record

from backend.core import db
from backend.core.ids import new_id


async def lock_sms_limits(*, keys: list[bytes]) -> None:
    """Count one request at a time for each of these hashes: the limits hold under concurrent requests too."""
    for key in sorted(keys):
        await db.execute("SELECT pg_advisory_xact_lock($1)", int.from_bytes(key[:8], "big", signed=True))


async def list_code_times(*, column: str, value: bytes, purpose: str | None, since: datetime) -> list[datetime]:
    """Return when codes were asked for this phone or address (for one purpose, when named), newest first."""
    if column not in ("phone_hash", "address_hash"):
        raise ValueError(column)
    rows = await db.fetch(
        f"SELECT created_at FROM sms_code WHERE {column} = $1 AND created_at > $2"  # noqa: S608  one of two columns
        " AND ($3::text IS NULL OR purpose = $3) ORDER BY created_at DESC",
        value,
        since,
        purpose,
    )
    return [row["created_at"] for row in rows]


async def list_failure_times(*, address_hash: bytes, since: datetime) -> list[datetime]:
    """Return when wrong codes came from this address, newest first."""
    rows = await db.fetch(
        "SELECT failed_at FROM login_failure WHERE address_hash = $1 AND failed_at > $2 ORDER BY failed_at DESC",
        address_hash,
        since,
    )
    return [row["failed_at"] for row in rows]


async def add_failure(*, address_hash: bytes, now: datetime) -> None:
    """Record a wrong code from this address."""
    await db.execute(
        "INSERT INTO login_failure (id, address_hash, failed_at) VALUES ($1, $2, $3)", new_id(), address_hash, now
    )


async def add_code(*, values: dict[str, Any]) -> None:
    """Add a one-time code."""
    await db.execute(
        """
        INSERT INTO sms_code (id, purpose, subject_id, phone_hash, address_hash, phone_cipher, code_cipher, code_hash,
                              locale, created_at, expires_at, tries)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, 0)
        """,
        values["id"],
        values["purpose"],
        values["subject_id"],
        values["phone_hash"],
        values["address_hash"],
        values["phone_cipher"],
        values["code_cipher"],
        values["code_hash"],
        values["locale"],
        values["created_at"],
        values["expires_at"],
    )


async def find_code(*, code_id: UUID) -> Record | None:
    """Return a one-time code by id."""
    return await db.fetchrow("SELECT * FROM sms_code WHERE id = $1", code_id)


async def lock_latest_code(*, phone_hash: bytes, purpose: str, subject_id: UUID | None) -> Record | None:
    """Return the newest code of this phone for this purpose and subject, locked; an older one never counts again."""
    return await db.fetchrow(
        "SELECT * FROM sms_code WHERE phone_hash = $1 AND purpose = $2 AND subject_id IS NOT DISTINCT FROM $3"
        " ORDER BY created_at DESC, id DESC LIMIT 1 FOR UPDATE",
        phone_hash,
        purpose,
        subject_id,
    )


async def count_try(*, code_id: UUID) -> None:
    """Count a wrong try."""
    await db.execute("UPDATE sms_code SET tries = tries + 1 WHERE id = $1", code_id)


async def use_code(*, code_id: UUID, now: datetime) -> None:
    """Use a code up."""
    await db.execute("UPDATE sms_code SET used_at = $2 WHERE id = $1", code_id, now)


async def mark_code_sent(*, code_id: UUID, now: datetime) -> None:
    """Forget phone and code in clear once the SMS has been handed over, or has become useless."""
    await db.execute(
        "UPDATE sms_code SET sent_at = $2, phone_cipher = NULL, code_cipher = NULL WHERE id = $1", code_id, now
    )


async def delete_codes(*, phone_hash: bytes) -> None:
    """Delete the one-time codes of a phone (erasure)."""
    await db.execute("DELETE FROM sms_code WHERE phone_hash = $1", phone_hash)
