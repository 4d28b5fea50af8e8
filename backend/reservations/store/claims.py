"""SQL of connector claims.

Every insert is `ON CONFLICT DO NOTHING` and looks whether a row came back: a plain INSERT against an exclusion
constraint deadlocks under contention (architecture.md "Traps").
"""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from backend.core import db
from backend.reservations.rules.words import ClaimKind, ClaimView

COLUMNS = "id, connector_id, station_id, bay_id, plate_hash, kind, reference_id, starts_at, ends_at, held_until"


async def add_claim(claim: ClaimView, now: datetime) -> bool:
    """Insert the claim; False when an exclusion constraint stands against it."""
    added = await db.fetchval(
        f"INSERT INTO connector_claim ({COLUMNS}, created_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)"  # noqa: S608
        " ON CONFLICT DO NOTHING RETURNING true",
        claim.id,
        claim.connector_id,
        claim.station_id,
        claim.bay_id,
        claim.plate_hash,
        claim.kind,
        claim.reference_id,
        claim.starts_at,
        claim.ends_at,
        claim.held_until,
        now,
    )
    return bool(added)


async def find_claim(claim_id: UUID, *, lock: bool = False) -> ClaimView | None:
    """Return the claim, its row locked to the end of the transaction if asked."""
    row = await db.fetchrow(
        f"SELECT {COLUMNS} FROM connector_claim WHERE id = $1{' FOR UPDATE' if lock else ''}",  # noqa: S608
        claim_id,
    )
    return None if row is None else ClaimView(**dict(row))


async def delete_claim(claim_id: UUID) -> None:
    """Forget a claim that was never used, or that is about to be inserted with another period."""
    await db.execute("DELETE FROM connector_claim WHERE id = $1", claim_id)


async def shorten_claim(claim_id: UUID, ends_at: datetime, held_until: datetime) -> None:
    """Let a claim end earlier; a shrinking range cannot meet another one, so this is a plain update."""
    await db.execute(
        "UPDATE connector_claim SET ends_at = least(ends_at, $2),"
        " held_until = least(held_until, greatest($3, $2)) WHERE id = $1",
        claim_id,
        ends_at,
        held_until,
    )


async def trim_gaps(at: datetime, *, connector_id: UUID | None = None, bay_ids: Sequence[UUID] = ()) -> None:
    """Give back the vacate gaps that cover `at` at this connector or these bays: their cars have left."""
    await db.execute(
        "UPDATE connector_claim SET held_until = greatest(ends_at, $1)"
        " WHERE (connector_id = $2 OR bay_id = ANY($3)) AND ends_at <= $1 AND held_until > $1",
        at,
        connector_id,
        list(bay_ids),
    )


async def delete_offers(connector_id: UUID, plate_hash: bytes) -> None:
    """Forget the queue offers that held this connector for this plate: what they promised is happening."""
    await db.execute(
        "DELETE FROM connector_claim WHERE connector_id = $1 AND plate_hash = $2 AND kind = 'offer'",
        connector_id,
        plate_hash,
    )


async def find_plate_elsewhere(plate_hash: bytes, starts_at: datetime, ends_at: datetime) -> ClaimView | None:
    """Return a claim of this plate that overlaps the period, or None."""
    row = await db.fetchrow(
        f"SELECT {COLUMNS} FROM connector_claim"  # noqa: S608
        " WHERE plate_hash = $1 AND tstzrange(starts_at, ends_at) && tstzrange($2, $3) ORDER BY starts_at LIMIT 1",
        plate_hash,
        starts_at,
        ends_at,
    )
    return None if row is None else ClaimView(**dict(row))


async def find_next_claim(connector_id: UUID, bay_ids: Sequence[UUID], after: datetime) -> ClaimView | None:
    """Return the first claim on the connector (or that leaves it without a bay) that starts at `after` or later."""
    row = await db.fetchrow(
        f"SELECT {COLUMNS} FROM connector_claim"  # noqa: S608
        " WHERE (connector_id = $1 OR (cardinality($2::uuid[]) = 1 AND bay_id = ANY($2))) AND starts_at >= $3"
        " ORDER BY starts_at LIMIT 1",
        connector_id,
        list(bay_ids),
        after,
    )
    return None if row is None else ClaimView(**dict(row))


async def list_claims(
    starts_at: datetime,
    ends_at: datetime,
    *,
    connector_ids: Sequence[UUID] = (),
    bay_ids: Sequence[UUID] = (),
    station_ids: Sequence[UUID] = (),
) -> list[ClaimView]:
    """Return the claims that hold one of these connectors or bays (or any of the stations) within the period, by
    start.
    """
    rows = await db.fetch(
        f"SELECT {COLUMNS} FROM connector_claim"  # noqa: S608
        " WHERE (connector_id = ANY($3) OR bay_id = ANY($4) OR station_id = ANY($5))"
        " AND starts_at < $2 AND held_until > $1 ORDER BY starts_at, id",
        starts_at,
        ends_at,
        list(connector_ids),
        list(bay_ids),
        list(station_ids),
    )
    return [ClaimView(**dict(row)) for row in rows]


async def list_plates_expected(
    bay_id: UUID, connector_ids: Sequence[UUID], at: datetime, opens_before_s: int
) -> list[bytes]:
    """Return the plates that may stand in the bay: of claims on it, and of claims on its connectors that name no
    bay.
    """
    rows = await db.fetch(
        "SELECT DISTINCT plate_hash FROM connector_claim WHERE plate_hash IS NOT NULL"
        " AND (bay_id = $1 OR (bay_id IS NULL AND connector_id = ANY($2)))"
        " AND starts_at - make_interval(secs => $4) <= $3 AND held_until > $3",
        bay_id,
        list(connector_ids),
        at,
        opens_before_s,
    )
    return [row["plate_hash"] for row in rows]


async def move_claim_kind(claim_id: UUID, kind: ClaimKind, reference_id: UUID | None) -> None:
    """Say what a claim is for now, its period unchanged (an accepted offer becomes a walk-up)."""
    await db.execute(
        "UPDATE connector_claim SET kind = $2, reference_id = coalesce($3, reference_id) WHERE id = $1",
        claim_id,
        kind,
        reference_id,
    )


async def forget_plate(plate_hash: bytes, now: datetime) -> None:
    """Forget the past claims of a plate (erasure); nothing is decided by them any more."""
    await db.execute("DELETE FROM connector_claim WHERE plate_hash = $1 AND held_until <= $2", plate_hash, now)


async def lock_station_claims(station_id: UUID) -> None:
    """Let one transaction at a time move claims of a station (extend, widen); plain new claims need no lock."""
    await db.execute("SELECT pg_advisory_xact_lock(hashtextextended('claims:' || $1::text, 0))", str(station_id))
