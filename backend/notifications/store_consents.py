"""All SQL of preferences and of the ledger of consents to WeChat messages."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import msgspec
from asyncpg import Record

from backend.core import db
from backend.core.ids import new_id
from backend.notifications.rules.quiet import Preferences


class ConsentRow(msgspec.Struct, frozen=True, kw_only=True):
    """One consent: good for one message; `outcome` is sent, refused or failed once it was used."""

    id: UUID
    template: str
    granted_at: datetime
    used_at: datetime | None
    outcome: str | None


async def find_preferences(account_id: UUID) -> Preferences:
    """Return what the person set, or the defaults."""
    return _preferences(await db.fetchrow("SELECT * FROM notification_preference WHERE account_id = $1", account_id))


def _preferences(row: Record | None) -> Preferences:
    if row is None:
        return Preferences()
    return Preferences(
        push=row["push"],
        wechat=row["wechat"],
        quiet_from_min=row["quiet_from_min"],
        quiet_to_min=row["quiet_to_min"],
    )


async def save_preferences(account_id: UUID, wanted: Preferences, now: datetime) -> None:
    await db.execute(
        """
        INSERT INTO notification_preference (account_id, push, wechat, quiet_from_min, quiet_to_min, updated_at)
        VALUES ($1, $2, $3, $4, $5, $6)
        ON CONFLICT (account_id) DO UPDATE SET push = excluded.push, wechat = excluded.wechat,
            quiet_from_min = excluded.quiet_from_min, quiet_to_min = excluded.quiet_to_min,
            updated_at = excluded.updated_at
        """,
        account_id,
        wanted.push,
        wanted.wechat,
        wanted.quiet_from_min,
        wanted.quiet_to_min,
        now,
    )


async def add_consents(account_id: UUID, templates: Sequence[str], now: datetime) -> None:
    await db.executemany(
        "INSERT INTO wechat_consent (id, account_id, template, granted_at) VALUES ($1, $2, $3, $4)",
        [(new_id(), account_id, template, now) for template in templates],
    )


async def find_wanted(account_id: UUID, template: str) -> tuple[Preferences, bool]:
    """Return what the person set, or the defaults, and whether a consent to `template` is left."""
    row = await db.fetchrow(
        """
        SELECT p.*, EXISTS (SELECT FROM wechat_consent WHERE account_id = $1 AND template = $2 AND used_at IS NULL)
               AS has_consent
          FROM (SELECT $1::uuid AS account_id) AS person LEFT JOIN notification_preference p USING (account_id)
        """,
        account_id,
        template,
    )
    assert row is not None
    return _preferences(None if row["push"] is None else row), row["has_consent"]


async def claim_consent(account_id: UUID, template: str, delivery_id: UUID, now: datetime) -> bool:
    """Use the oldest consent for a delivery; a further try of the same delivery uses the same one."""
    async with db.transaction():
        kept = await db.fetchval("SELECT outcome IS NULL FROM wechat_consent WHERE delivery_id = $1", delivery_id)
        if kept is not None:
            return bool(kept)
        claimed = await db.fetchval(
            """
            UPDATE wechat_consent SET used_at = $4, delivery_id = $3 WHERE id = (
                SELECT id FROM wechat_consent WHERE account_id = $1 AND template = $2 AND used_at IS NULL
                 ORDER BY granted_at, id LIMIT 1 FOR UPDATE SKIP LOCKED)
            RETURNING true
            """,
            account_id,
            template,
            delivery_id,
            now,
        )
    return bool(claimed)


async def settle_consent(delivery_id: UUID, outcome: str) -> None:
    await db.execute("UPDATE wechat_consent SET outcome = $2 WHERE delivery_id = $1", delivery_id, outcome)


async def drop_consents(account_id: UUID, template: str, now: datetime) -> None:
    """WeChat says that the person refuses: what we believed to have is used up."""
    await db.execute(
        "UPDATE wechat_consent SET used_at = $3, outcome = 'refused'"
        " WHERE account_id = $1 AND template = $2 AND used_at IS NULL",
        account_id,
        template,
        now,
    )


async def list_consents(account_id: UUID) -> list[ConsentRow]:
    rows = await db.fetch(
        "SELECT id, template, granted_at, used_at, outcome FROM wechat_consent WHERE account_id = $1"
        " ORDER BY granted_at, id LIMIT 1000",
        account_id,
    )
    return [ConsentRow(**dict(row)) for row in rows]


async def forget_person(account_id: UUID) -> None:
    await db.execute("DELETE FROM wechat_consent WHERE account_id = $1", account_id)
    await db.execute("DELETE FROM notification_preference WHERE account_id = $1", account_id)
