"""SQL of suspensions and appeals."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import msgspec

from backend.core import db
from backend.core.ids import new_id


class SuspensionView(msgspec.Struct, frozen=True, kw_only=True):
    """A suspension and the appeal against it."""

    id: UUID
    account_id: UUID
    operator_company_id: UUID
    starts_at: datetime
    ends_at: datetime
    appealed_at: datetime | None
    appeal_decided_at: datetime | None
    appeal_cipher: bytes | None
    appeal_lifted: bool | None
    lifted_at: datetime | None
    no_shows: int
    station_id: UUID


_SELECT = (
    "SELECT s.id, s.account_id, s.operator_company_id, s.starts_at, s.ends_at, a.made_at AS appealed_at,"
    " a.decided_at AS appeal_decided_at, nullif(a.text_cipher, ''::bytea) AS appeal_cipher,"
    " a.lifted AS appeal_lifted, s.lifted_at, (SELECT count(*) FROM reservation r WHERE r.account_id = s.account_id"
    " AND r.counts_as_no_show AND r.closed_at BETWEEN s.starts_at - interval '30 days' AND s.starts_at)::int"
    " AS no_shows, (SELECT r.station_id FROM reservation r WHERE r.id = s.caused_by) AS station_id"
    " FROM booking_suspension s"
    " LEFT JOIN suspension_appeal a ON a.suspension_id = s.id"
)


async def list_in_force(company_ids: Sequence[UUID], now: datetime, limit: int) -> list[SuspensionView]:
    """Return the suspensions in force, open appeals first."""
    rows = await db.fetch(
        f"{_SELECT} WHERE s.operator_company_id = ANY($1) AND s.lifted_at IS NULL AND s.ends_at > $2"
        " ORDER BY (a.made_at IS NOT NULL AND a.decided_at IS NULL) DESC, s.starts_at DESC LIMIT $3",
        list(company_ids),
        now,
        limit,
    )
    return [SuspensionView(**dict(row)) for row in rows]


async def find_in_force(suspension_id: UUID, now: datetime) -> SuspensionView | None:
    """Return a suspension that is in force, its row locked."""
    row = await db.fetchrow(
        f"{_SELECT} WHERE s.id = $1 AND s.lifted_at IS NULL AND s.ends_at > $2 FOR UPDATE OF s", suspension_id, now
    )
    return None if row is None else SuspensionView(**dict(row))


async def find_of_account(account_id: UUID, now: datetime) -> SuspensionView | None:
    """Return the account's suspension in force."""
    row = await db.fetchrow(
        f"{_SELECT} WHERE s.account_id = $1 AND s.lifted_at IS NULL AND s.ends_at > $2 ORDER BY s.ends_at DESC LIMIT 1",
        account_id,
        now,
    )
    return None if row is None else SuspensionView(**dict(row))


async def list_of_account(account_id: UUID) -> list[SuspensionView]:
    """Return every suspension the account ever had, oldest first."""
    rows = await db.fetch(f"{_SELECT} WHERE s.account_id = $1 ORDER BY s.starts_at", account_id)
    return [SuspensionView(**dict(row)) for row in rows]


async def forget_words(account_id: UUID) -> None:
    """Forget what a person wrote in appeals; that there were appeals, and how they were decided, stays."""
    await db.execute("UPDATE suspension_appeal SET text_cipher = ''::bytea WHERE account_id = $1", account_id)


async def lift(suspension_id: UUID, actor_id: UUID, reason: str, now: datetime) -> None:
    """End a suspension by a person's word."""
    await db.execute(
        "UPDATE booking_suspension SET lifted_at = $2, lifted_by = $3, lift_reason = $4 WHERE id = $1",
        suspension_id,
        now,
        actor_id,
        reason,
    )


async def add_appeal(
    suspension_id: UUID, account_id: UUID, operator_company_id: UUID, text_cipher: bytes, now: datetime
) -> bool:
    """Keep an appeal; False when there is one."""
    added = await db.fetchval(
        "INSERT INTO suspension_appeal (id, suspension_id, account_id, operator_company_id, text_cipher, made_at)"
        " VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (suspension_id) DO NOTHING RETURNING true",
        new_id(),
        suspension_id,
        account_id,
        operator_company_id,
        text_cipher,
        now,
    )
    return bool(added)


async def decide_appeal(suspension_id: UUID, lifted: bool, now: datetime) -> None:
    """Note how an open appeal was decided."""
    await db.execute(
        "UPDATE suspension_appeal SET decided_at = $2, lifted = $3 WHERE suspension_id = $1 AND decided_at IS NULL",
        suspension_id,
        now,
        lifted,
    )
