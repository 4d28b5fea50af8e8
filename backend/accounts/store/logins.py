"""SQL of logins and their refresh tokens. Rows in, rows out; encryption and rules are the service's."""

from datetime import datetime
from uuid import UUID

from asyncpg import Record

from backend.core import db
from backend.core.ids import new_id


async def add_session(*, account_id: UUID, method: str, now: datetime) -> UUID:
    """Add a login."""
    session_id = new_id()
    await db.execute(
        "INSERT INTO login_session (id, account_id, method, created_at) VALUES ($1, $2, $3, $4)",
        session_id,
        account_id,
        method,
        now,
    )
    return session_id


async def lock_session(*, session_id: UUID) -> Record | None:
    """Return a login, locked: everything that happens to its tokens happens one at a time."""
    return await db.fetchrow("SELECT * FROM login_session WHERE id = $1 FOR UPDATE", session_id)


async def is_session_open(*, session_id: UUID) -> bool:
    """Say whether the login has not been ended; its row outlives its access tokens by weeks."""
    return not await db.fetchval("SELECT ended_at IS NOT NULL FROM login_session WHERE id = $1", session_id)


async def end_session(*, session_id: UUID, reason: str, now: datetime) -> None:
    """End one login, if it is open."""
    await db.execute(
        "UPDATE login_session SET ended_at = $2, ended_reason = $3 WHERE id = $1 AND ended_at IS NULL",
        session_id,
        now,
        reason,
    )


async def end_sessions(*, account_id: UUID, reason: str, now: datetime) -> None:
    """End every open login of an account."""
    await db.execute(
        "UPDATE login_session SET ended_at = $2, ended_reason = $3 WHERE account_id = $1 AND ended_at IS NULL",
        account_id,
        now,
        reason,
    )


async def list_sessions(*, account_id: UUID) -> list[Record]:
    """Return the logins of an account, newest first (export)."""
    return await db.fetch(
        "SELECT method, created_at, ended_at, ended_reason FROM login_session WHERE account_id = $1 ORDER BY id DESC",
        account_id,
    )


async def add_refresh_token(*, session_id: UUID, token_hash: bytes, expires_at: datetime, now: datetime) -> None:
    """Add the next refresh token of a login; a partial unique index allows one unused at a time."""
    await db.execute(
        "INSERT INTO refresh_token (id, session_id, token_hash, issued_at, expires_at) VALUES ($1, $2, $3, $4, $5)",
        new_id(),
        session_id,
        token_hash,
        now,
        expires_at,
    )


async def find_refresh_token(*, token_hash: bytes) -> Record | None:
    """Return a refresh token by hash."""
    return await db.fetchrow("SELECT * FROM refresh_token WHERE token_hash = $1", token_hash)


async def use_refresh_token(*, token_id: UUID, now: datetime) -> None:
    """Mark a refresh token as used."""
    await db.execute("UPDATE refresh_token SET used_at = $2 WHERE id = $1", token_id, now)


async def delete_old_logins(*, ended_before: datetime, codes_before: datetime) -> None:
    """Delete logins that ended or ran out long ago, and codes and failures that no limit counts any more."""
    await db.execute(
        "DELETE FROM login_session s WHERE s.ended_at < $1 OR NOT EXISTS"
        " (SELECT 1 FROM refresh_token t WHERE t.session_id = s.id AND t.expires_at >= $1)",
        ended_before,
    )
    await db.execute("DELETE FROM sms_code WHERE created_at < $1", codes_before)
    await db.execute("DELETE FROM login_failure WHERE failed_at < $1", codes_before)
