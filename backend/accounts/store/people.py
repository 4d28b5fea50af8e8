"""SQL of people, their vehicles, push tokens and consents. Rows in, rows out; encryption is the service's."""

from datetime import datetime
from uuid import UUID

from asyncpg import Record

from backend.core import db
from backend.core.ids import new_id


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
        "UPDATE staff_grant SET revoked_at = coalesce(revoked_at, $2), name_cipher = NULL WHERE account_id = $1",
        account_id,
        now,
    )


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
