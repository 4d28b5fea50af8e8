"""SQL of residents' reports of blocked bays."""

from collections.abc import Sequence
from datetime import datetime
from typing import Literal
from uuid import UUID

import msgspec

from backend.core import db
from backend.core.ids import new_id

Verdict = Literal["confirmed", "false", "gone"]


class BayReportView(msgspec.Struct, frozen=True, kw_only=True):
    """A report, without the words and the picture."""

    id: UUID
    account_id: UUID | None
    station_id: UUID
    operator_company_id: UUID
    bay_id: UUID
    reservation_id: UUID | None
    doubted: bool
    reported_at: datetime
    verdict: Verdict | None
    decided_by: UUID | None
    decided_reason: str | None
    closed_at: datetime | None
    has_photo: bool
    note_cipher: bytes | None


_COLUMNS = ", ".join(
    "EXISTS (SELECT FROM bay_report_photo p WHERE p.report_id = r.id) AS has_photo"
    if name == "has_photo"
    else f"r.{name}"
    for name in BayReportView.__struct_fields__
)
_SELECT = f"SELECT {_COLUMNS} FROM bay_report r"  # noqa: S608  constant columns


async def add_report(
    *,
    account_id: UUID,
    station_id: UUID,
    operator_company_id: UUID,
    bay_id: UUID,
    reservation_id: UUID | None,
    note_cipher: bytes | None,
    doubted: bool,
    now: datetime,
) -> UUID | None:
    """Insert a report; None where the account has an open one of this bay."""
    report_id: UUID | None = await db.fetchval(
        "INSERT INTO bay_report (id, account_id, station_id, operator_company_id, bay_id, reservation_id, note_cipher,"
        " doubted, reported_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)"
        " ON CONFLICT (bay_id, account_id) WHERE closed_at IS NULL DO NOTHING RETURNING id",
        new_id(),
        account_id,
        station_id,
        operator_company_id,
        bay_id,
        reservation_id,
        note_cipher,
        doubted,
        now,
    )
    return report_id


async def lock_reporter(account_id: UUID) -> None:
    """Let one transaction at a time count and add reports of an account."""
    await db.execute("SELECT pg_advisory_xact_lock(hashtextextended('reports:' || $1::text, 0))", str(account_id))


async def count_made(account_id: UUID, since: datetime) -> int:
    """Return how many reports the account made since then."""
    return int(
        await db.fetchval(
            "SELECT count(*) FROM bay_report WHERE account_id = $1 AND reported_at > $2", account_id, since
        )
    )


async def list_false(account_id: UUID, since: datetime) -> list[datetime]:
    """Return when reports of the account were found false since then, oldest first."""
    rows = await db.fetch(
        "SELECT closed_at FROM bay_report WHERE account_id = $1 AND verdict = 'false' AND closed_at > $2"
        " ORDER BY closed_at",
        account_id,
        since,
    )
    return [row["closed_at"] for row in rows]


async def find_report(report_id: UUID, *, lock: bool = False) -> BayReportView | None:
    """Return a report, its row locked if asked."""
    row = await db.fetchrow(f"{_SELECT} WHERE r.id = $1{' FOR UPDATE OF r' if lock else ''}", report_id)
    return None if row is None else BayReportView(**dict(row))


async def find_open_of(account_id: UUID, bay_id: UUID) -> BayReportView | None:
    """Return the account's open report of the bay."""
    row = await db.fetchrow(
        f"{_SELECT} WHERE r.account_id = $1 AND r.bay_id = $2 AND r.closed_at IS NULL", account_id, bay_id
    )
    return None if row is None else BayReportView(**dict(row))


async def list_open_of_bay(bay_id: UUID) -> list[BayReportView]:
    """Return the open reports of a bay, their rows locked, oldest first."""
    rows = await db.fetch(
        f"{_SELECT} WHERE r.bay_id = $1 AND r.closed_at IS NULL ORDER BY r.id FOR UPDATE OF r", bay_id
    )
    return [BayReportView(**dict(row)) for row in rows]


async def list_of_account(account_id: UUID, limit: int) -> list[BayReportView]:
    """Return the account's reports, the newest first."""
    rows = await db.fetch(f"{_SELECT} WHERE r.account_id = $1 ORDER BY r.id DESC LIMIT $2", account_id, limit)
    return [BayReportView(**dict(row)) for row in rows]


async def list_of_companies(
    company_ids: Sequence[UUID], *, open_only: bool, before: UUID | None, limit: int
) -> list[BayReportView]:
    """Return the reports at these companies' stations, the newest first."""
    rows = await db.fetch(
        f"{_SELECT} WHERE r.operator_company_id = ANY($1) AND (NOT $2 OR r.closed_at IS NULL)"
        " AND ($3::uuid IS NULL OR r.id < $3) ORDER BY r.id DESC LIMIT $4",
        list(company_ids),
        open_only,
        before,
        limit,
    )
    return [BayReportView(**dict(row)) for row in rows]


async def believe(report_id: UUID) -> None:
    """A report that was doubted is not any more."""
    await db.execute("UPDATE bay_report SET doubted = false WHERE id = $1", report_id)


async def close(
    report_id: UUID, *, verdict: Verdict, decided_by: UUID | None, reason: str | None, now: datetime
) -> None:
    """Write what became of a report."""
    await db.execute(
        "UPDATE bay_report SET verdict = $2, decided_by = $3, decided_reason = $4, closed_at = $5 WHERE id = $1",
        report_id,
        verdict,
        decided_by,
        reason,
        now,
    )


async def put_photo(report_id: UUID, media_type: str, content_cipher: bytes, now: datetime) -> None:
    """Keep the picture of a report; a second one takes its place."""
    await db.execute(
        "INSERT INTO bay_report_photo (report_id, media_type, content_cipher, added_at) VALUES ($1, $2, $3, $4)"
        " ON CONFLICT (report_id) DO UPDATE SET media_type = EXCLUDED.media_type,"
        " content_cipher = EXCLUDED.content_cipher, added_at = EXCLUDED.added_at",
        report_id,
        media_type,
        content_cipher,
        now,
    )


async def find_photo(report_id: UUID) -> tuple[str, bytes] | None:
    """Return the media type and the encrypted content of a report's picture."""
    row = await db.fetchrow("SELECT media_type, content_cipher FROM bay_report_photo WHERE report_id = $1", report_id)
    return None if row is None else (row["media_type"], row["content_cipher"])


async def forget_photos(before: datetime) -> None:
    """Remove pictures from before then (PIPL, 30 days)."""
    await db.execute("DELETE FROM bay_report_photo WHERE added_at < $1", before)


async def forget_account(account_id: UUID, now: datetime) -> None:
    """Take a person's words and pictures out of the reports; that a bay was reported stays."""
    await db.execute(
        "DELETE FROM bay_report_photo WHERE report_id IN (SELECT id FROM bay_report WHERE account_id = $1)", account_id
    )
    await db.execute(
        "UPDATE bay_report SET account_id = NULL, note_cipher = NULL, closed_at = coalesce(closed_at, $2),"
        " verdict = coalesce(verdict, 'gone') WHERE account_id = $1",
        account_id,
        now,
    )
