"""SQL of who lives together, and of a station's residents, as far as agreements tell."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from backend.core import db


async def list_bound_to(*, account_ids: Sequence[UUID], at: datetime) -> frozenset[UUID]:
    """Return the accounts bound to these by agreements in force: as holder and driver of one car, or by one proof of
    residence handed in for the same compound.
    """
    rows = await db.fetch(
        """
        WITH mine AS (
            SELECT a.id, a.community_id FROM agreement a
            WHERE a.term @> $2::timestamptz AND (a.account_id = ANY($1) OR a.id IN (
                SELECT agreement_id FROM agreement_driver WHERE account_id = ANY($1) AND removed_at IS NULL))
        ), bound AS (
            SELECT id FROM mine
            UNION
            SELECT other.id FROM mine
            JOIN agreement_evidence own ON own.agreement_id = mine.id AND own.kind = 'residence'
            JOIN agreement_evidence same ON same.sha256 = own.sha256 AND same.kind = 'residence'
            JOIN agreement other ON other.id = same.agreement_id AND other.community_id = mine.community_id
                AND other.term @> $2::timestamptz
        )
        SELECT account_id FROM agreement WHERE id IN (SELECT id FROM bound)
        UNION
        SELECT account_id FROM agreement_driver WHERE agreement_id IN (SELECT id FROM bound) AND removed_at IS NULL
        """,
        list(account_ids),
        at,
    )
    return frozenset(row["account_id"] for row in rows)


async def list_residents_of(*, station_id: UUID, operator_company_id: UUID, at: datetime) -> list[UUID]:
    """Return the holders and drivers of agreements in force whose signed list names the station."""
    rows = await db.fetch(
        """
        WITH near AS (
            SELECT a.id, a.account_id FROM agreement a JOIN agreement_signature s ON s.agreement_id = a.id
            WHERE a.operator_company_id = $2 AND a.term @> $3::timestamptz
              AND s.stations @> jsonb_build_array(jsonb_build_object('id', $1::text))
        )
        SELECT account_id FROM near
        UNION
        SELECT d.account_id FROM agreement_driver d JOIN near ON near.id = d.agreement_id WHERE d.removed_at IS NULL
        ORDER BY 1
        """,
        str(station_id),
        operator_company_id,
        at,
    )
    return [row["account_id"] for row in rows]
