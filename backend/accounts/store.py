"""All SQL of accounts. Rows in, rows out; encryption and rules are the service's."""

from datetime import datetime
from typing import Any
from uuid import UUID

from asyncpg import Record

from backend.core import db
from backend.core.ids import new_id

# People


async def find_account(*, account_id: UUID) -> Record | None:
    """Return the account's row, erased or not."""
    return await db.fetchrow("SELECT * FROM account WHERE id = $1", account_id)


async def lock_account(*, account_id: UUID) -> Record | None:
    """Return the account's row, locked until the transaction ends."""
    return await db.fetchrow("SELECT * FROM account WHERE id = $1 FOR UPDATE", account_id)


async def find_account_id_by_phone(*, phone_hash: bytes) -> UUID | None:
    """Return the account that logs in with this phone."""
    found: UUID | None = await db.fetchval("SELECT id FROM account WHERE phone_hash = $1", phone_hash)
    return found


async def find_account_id_by_openid(*, openid_hash: bytes) -> UUID | None:
    """Return the account that logs in with this WeChat identity."""
    found: UUID | None = await db.fetchval("SELECT id FROM account WHERE openid_hash = $1", openid_hash)
    return found


async def add_account(
    *,
    now: datetime,
    locale: str,
    phone: tuple[bytes, bytes] | None = None,
    openid: tuple[bytes, bytes] | None = None,
    name_cipher: bytes | None = None,
) -> UUID | None:
    """Add an account for (hash, cipher) of a phone or an openid; None when a twin call was first."""
    added: UUID | None = await db.fetchval(
        """
        INSERT INTO account (id, phone_hash, phone_cipher, openid_hash, openid_cipher, name_cipher, locale, created_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING RETURNING id
        """,
        new_id(),
        phone[0] if phone else None,
        phone[1] if phone else None,
        openid[0] if openid else None,
        openid[1] if openid else None,
        name_cipher,
        locale,
        now,
    )
    return added


async def set_profile(*, account_id: UUID, name_cipher: bytes | None, locale: str) -> None:
    """Replace name and language."""
    await db.execute("UPDATE account SET name_cipher = $2, locale = $3 WHERE id = $1", account_id, name_cipher, locale)


async def set_phone(*, account_id: UUID, phone_hash: bytes, phone_cipher: bytes) -> None:
    """Put a phone on an account; the unique constraint refuses one that another account has."""
    await db.execute(
        "UPDATE account SET phone_hash = $2, phone_cipher = $3 WHERE id = $1", account_id, phone_hash, phone_cipher
    )


async def set_openid(*, account_id: UUID, openid_hash: bytes, openid_cipher: bytes) -> None:
    """Put a WeChat identity on an account; the unique constraint refuses one that another account has."""
    await db.execute(
        "UPDATE account SET openid_hash = $2, openid_cipher = $3 WHERE id = $1", account_id, openid_hash, openid_cipher
    )


async def erase_account(*, account_id: UUID, now: datetime) -> None:
    """Empty the account's row and delete what hangs on it; grants stay as rows without a person (audit)."""
    await db.execute(
        "UPDATE account SET phone_hash = NULL, phone_cipher = NULL, openid_hash = NULL, openid_cipher = NULL,"
        " name_cipher = NULL, erased_at = $2 WHERE id = $1 AND erased_at IS NULL",
        account_id,
        now,
    )
    await db.execute("DELETE FROM vehicle WHERE account_id = $1", account_id)
    await db.execute("DELETE FROM push_token WHERE account_id = $1", account_id)
    await db.execute("DELETE FROM consent WHERE account_id = $1", account_id)
    await db.execute(
        "UPDATE staff_grant SET revoked_at = $2 WHERE account_id = $1 AND revoked_at IS NULL", account_id, now
    )


async def delete_codes(*, phone_hash: bytes) -> None:
    """Delete the one-time codes of a phone (erasure)."""
    await db.execute("DELETE FROM sms_code WHERE phone_hash = $1", phone_hash)


# Vehicles


async def find_vehicle(*, account_id: UUID, vehicle_id: UUID) -> Record | None:
    """Return a listed vehicle of this account."""
    return await db.fetchrow(
        "SELECT * FROM vehicle WHERE id = $1 AND account_id = $2 AND removed_at IS NULL", vehicle_id, account_id
    )


async def list_vehicles(*, account_id: UUID) -> list[Record]:
    """Return the listed vehicles of an account, oldest first."""
    return await db.fetch(
        "SELECT * FROM vehicle WHERE account_id = $1 AND removed_at IS NULL ORDER BY created_at, id", account_id
    )


async def list_all_vehicles(*, account_id: UUID) -> list[Record]:
    """Return every vehicle the account ever listed, removed ones too (export)."""
    return await db.fetch("SELECT * FROM vehicle WHERE account_id = $1 ORDER BY created_at, id", account_id)


async def list_vehicles_by_plate(*, plate_hash: bytes) -> list[Record]:
    """Return every listed vehicle with this plate, the first registered one first."""
    return await db.fetch(
        "SELECT * FROM vehicle WHERE plate_hash = $1 AND removed_at IS NULL ORDER BY created_at, id", plate_hash
    )


async def add_vehicle(
    *,
    account_id: UUID,
    plate: tuple[bytes, bytes],
    energy_hint: str,
    battery_wh: int | None,
    chemistry: str | None,
    now: datetime,
) -> Record | None:
    """Add a vehicle for (hash, cipher) of its plate; None when the account lists that plate already."""
    return await db.fetchrow(
        """
        INSERT INTO vehicle (id, account_id, plate_hash, plate_cipher, energy_hint, battery_wh, chemistry, created_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
        ON CONFLICT (account_id, plate_hash) WHERE removed_at IS NULL DO NOTHING RETURNING *
        """,
        new_id(),
        account_id,
        plate[0],
        plate[1],
        energy_hint,
        battery_wh,
        chemistry,
        now,
    )


async def remove_vehicle(*, account_id: UUID, vehicle_id: UUID, now: datetime) -> bool:
    """Take a vehicle off the account's list; says whether it was there."""
    tag = await db.execute(
        "UPDATE vehicle SET removed_at = $3 WHERE id = $1 AND account_id = $2 AND removed_at IS NULL",
        vehicle_id,
        account_id,
        now,
    )
    return tag == "UPDATE 1"


# Push tokens and consents


async def put_push_token(
    *, account_id: UUID, platform: str, token: tuple[bytes, bytes], now: datetime, keep: int
) -> UUID:
    """Give (hash, cipher) of a push token to this account, whoever had it before; the oldest beyond `keep` go."""
    token_id: UUID = await db.fetchval(
        """
        INSERT INTO push_token (id, account_id, platform, token_hash, token_cipher, created_at)
        VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (platform, token_hash)
        DO UPDATE SET account_id = excluded.account_id, created_at = excluded.created_at
        RETURNING id
        """,
        new_id(),
        account_id,
        platform,
        token[0],
        token[1],
        now,
    )
    await db.execute(
        "DELETE FROM push_token WHERE account_id = $1 AND id NOT IN"
        " (SELECT id FROM push_token WHERE account_id = $1 ORDER BY created_at DESC, id DESC LIMIT $2)",
        account_id,
        keep,
    )
    return token_id


async def list_push_tokens(*, account_id: UUID) -> list[Record]:
    """Return the push tokens of an account."""
    return await db.fetch("SELECT * FROM push_token WHERE account_id = $1 ORDER BY created_at, id", account_id)


async def delete_push_token(*, token_id: UUID, account_id: UUID | None = None) -> bool:
    """Delete one push token (of this account, when named); says whether it was there."""
    tag = await db.execute(
        "DELETE FROM push_token WHERE id = $1 AND ($2::uuid IS NULL OR account_id = $2)", token_id, account_id
    )
    return tag == "DELETE 1"


async def add_consent(*, account_id: UUID, purpose: str, given: bool, text_version: str, now: datetime) -> None:
    """Record a given or withdrawn consent."""
    await db.execute(
        "INSERT INTO consent (id, account_id, purpose, given, text_version, recorded_at)"
        " VALUES ($1, $2, $3, $4, $5, $6)",
        new_id(),
        account_id,
        purpose,
        given,
        text_version,
        now,
    )


async def list_consents(*, account_id: UUID) -> list[Record]:
    """Return every consent row of the account, oldest first."""
    return await db.fetch("SELECT * FROM consent WHERE account_id = $1 ORDER BY recorded_at, id", account_id)


# Operator companies and staff


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
    now: datetime,
) -> UUID | None:
    """Give a role; None when the account has exactly this one already."""
    grant_id: UUID | None = await db.fetchval(
        """
        INSERT INTO staff_grant (id, account_id, role, operator_company_id, station_id, granted_by, granted_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING RETURNING id
        """,
        new_id(),
        account_id,
        role,
        operator_company_id,
        station_id,
        granted_by,
        now,
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
    """Return grants in force with the person's row; with `station_id`, those for all stations or for that one."""
    return await db.fetch(
        """
        SELECT g.id AS grant_id, g.role, g.operator_company_id, g.station_id, g.granted_at,
               a.id AS account_id, a.name_cipher, a.phone_cipher
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


# Logins


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


# One-time codes


async def lock_sms_limits(*, keys: list[bytes]) -> None:
    """Count one request at a time for each of these hashes: the limits hold under concurrent requests too."""
    for key in sorted(keys):
        await db.execute("SELECT pg_advisory_xact_lock($1)", int.from_bytes(key[:8], "big", signed=True))


async def list_code_times(*, column: str, value: bytes, since: datetime) -> list[datetime]:
    """Return when codes were asked for this phone or this address, newest first."""
    if column not in ("phone_hash", "address_hash"):
        raise ValueError(column)
    rows = await db.fetch(
        f"SELECT created_at FROM sms_code WHERE {column} = $1 AND created_at > $2 ORDER BY created_at DESC",  # noqa: S608
        value,
        since,
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
