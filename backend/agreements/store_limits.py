"""SQL of the signing limit: agreements by the station that is nearest to the home."""

from datetime import datetime
from uuid import UUID

from backend.core import db


async def lock_signing(station_id: UUID) -> None:
    """Let signings at one station take turns until the transaction ends: two must not share the last place."""
    await db.execute("SELECT pg_advisory_xact_lock(hashtextextended('signing:' || $1::text, 0))", str(station_id))


async def count_signed(*, station_id: UUID, operator_company_id: UUID, besides: bytes, at: datetime) -> int:
    """Count the vehicles whose agreement in force, or to come, has this station nearest; one plate left out."""
    count: int = await db.fetchval(
        "SELECT count(DISTINCT a.plate_hash) FROM agreement a JOIN agreement_signature s ON s.agreement_id = a.id"
        " WHERE a.operator_company_id = $1 AND a.status = 'signed' AND upper(a.term) > $2 AND a.plate_hash <> $3"
        " AND s.stations -> 0 ->> 'id' = $4",
        operator_company_id,
        at,
        besides,
        str(station_id),
    )
    return count
