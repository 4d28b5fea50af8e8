"""SQL of arrivals, waits and the queue."""

from collections.abc import Sequence
from datetime import datetime
from typing import Literal
from uuid import UUID

import msgspec

from backend.core import db
from backend.core.ids import new_id
from backend.waiting.rules.queue import QueueStatus
from backend.waiting.rules.waits import UserClass


class ArrivalRow(msgspec.Struct, frozen=True, kw_only=True):
    """One row of `arrival`."""

    id: UUID
    station_id: UUID
    operator_company_id: UUID
    plate_hash: bytes | None
    account_id: UUID | None
    reservation_id: UUID | None
    session_id: UUID | None
    source: str
    user_class: UserClass
    arrived_at: datetime
    counts_from: datetime
    predicted_s: int | None
    usable_at: datetime | None
    connector_id: UUID | None
    closed_at: datetime | None
    outcome: str | None


class EntryRow(msgspec.Struct, frozen=True, kw_only=True):
    """One row of `queue_entry`."""

    id: UUID
    station_id: UUID
    account_id: UUID
    vehicle_id: UUID
    plate_hash: bytes
    power: Literal["ac", "dc"] | None
    user_class: UserClass
    on_site_since: datetime | None
    status: QueueStatus
    joined_at: datetime
    offer_connector_id: UUID | None
    offer_claim_id: UUID | None
    offer_expires_at: datetime | None
    closed_at: datetime | None


_ARRIVAL = ", ".join(ArrivalRow.__struct_fields__)
_ENTRY = ", ".join(EntryRow.__struct_fields__)


async def add_arrival(row: ArrivalRow) -> bool:
    """Insert an arrival; False when the plate's arrival at the station is open already."""
    values = [getattr(row, name) for name in ArrivalRow.__struct_fields__]
    places = ", ".join(f"${n + 1}" for n in range(len(values)))
    added = await db.fetchval(
        f"INSERT INTO arrival ({_ARRIVAL}) VALUES ({places})"  # noqa: S608
        " ON CONFLICT (station_id, plate_hash) WHERE closed_at IS NULL DO NOTHING RETURNING true",
        *values,
    )
    return bool(added)


async def find_open_arrival(station_id: UUID, plate_hash: bytes) -> ArrivalRow | None:
    """Return the plate's open arrival at the station, its row locked."""
    row = await db.fetchrow(
        f"SELECT {_ARRIVAL} FROM arrival WHERE station_id = $1 AND plate_hash = $2"  # noqa: S608
        " AND closed_at IS NULL FOR UPDATE",
        station_id,
        plate_hash,
    )
    return None if row is None else ArrivalRow(**dict(row))


async def find_arrival(arrival_id: UUID) -> ArrivalRow | None:
    """Return the arrival, its row locked."""
    row = await db.fetchrow(f"SELECT {_ARRIVAL} FROM arrival WHERE id = $1 FOR UPDATE", arrival_id)  # noqa: S608
    return None if row is None else ArrivalRow(**dict(row))


async def has_session(session_id: UUID) -> bool:
    """Say whether an arrival belongs to the session already."""
    return bool(await db.fetchval("SELECT EXISTS (SELECT FROM arrival WHERE session_id = $1)", session_id))


async def find_served_arrival(station_id: UUID, plate_hash: bytes, since: datetime) -> ArrivalRow | None:
    """Return the plate's last arrival that got its connector (checked in, accepted) and has no session yet."""
    row = await db.fetchrow(
        f"SELECT {_ARRIVAL} FROM arrival WHERE station_id = $1 AND plate_hash = $2 AND arrived_at > $3"  # noqa: S608
        " AND outcome = 'served' AND session_id IS NULL ORDER BY arrived_at DESC LIMIT 1 FOR UPDATE",
        station_id,
        plate_hash,
        since,
    )
    return None if row is None else ArrivalRow(**dict(row))


async def save_arrival(row: ArrivalRow) -> None:
    """Write back what may change of an arrival; the caller holds its row's lock."""
    await db.execute(
        "UPDATE arrival SET account_id = $2, reservation_id = $3, user_class = $4, counts_from = $5, usable_at = $6,"
        " connector_id = $7, closed_at = $8, outcome = $9, session_id = $10 WHERE id = $1",
        row.id,
        row.account_id,
        row.reservation_id,
        row.user_class,
        row.counts_from,
        row.usable_at,
        row.connector_id,
        row.closed_at,
        row.outcome,
        row.session_id,
    )


async def list_waiting_bookings(station_id: UUID) -> list[ArrivalRow]:
    """Return the open arrivals with a booking whose connector was not usable yet, the first come first."""
    rows = await db.fetch(
        f"SELECT {_ARRIVAL} FROM arrival WHERE station_id = $1"  # noqa: S608
        " AND closed_at IS NULL AND usable_at IS NULL AND reservation_id IS NOT NULL ORDER BY arrived_at FOR UPDATE",
        station_id,
    )
    return [ArrivalRow(**dict(row)) for row in rows]


async def add_wait(row: ArrivalRow, *, connector_id: UUID, usable_at: datetime, wait_s: int, now: datetime) -> bool:
    """Store the wait of an arrival; False when it is stored already."""
    added = await db.fetchval(
        "INSERT INTO wait (id, arrival_id, station_id, operator_company_id, connector_id, user_class, from_at,"
        " usable_at, wait_s, predicted_s, recorded_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)"
        " ON CONFLICT (arrival_id) DO NOTHING RETURNING true",
        new_id(),
        row.id,
        row.station_id,
        row.operator_company_id,
        connector_id,
        row.user_class,
        row.counts_from,
        usable_at,
        wait_s,
        row.predicted_s,
        now,
    )
    return bool(added)


async def add_entry(row: EntryRow) -> bool:
    """Insert a queue entry; False when the plate is in a queue already."""
    values = [getattr(row, name) for name in EntryRow.__struct_fields__]
    places = ", ".join(f"${n + 1}" for n in range(len(values)))
    added = await db.fetchval(
        f"INSERT INTO queue_entry ({_ENTRY}) VALUES ({places})"  # noqa: S608
        " ON CONFLICT (plate_hash) WHERE status IN ('waiting', 'offered', 'accepted') DO NOTHING RETURNING true",
        *values,
    )
    return bool(added)


async def find_entry(entry_id: UUID, *, lock: bool = False) -> EntryRow | None:
    """Return a queue entry."""
    row = await db.fetchrow(
        f"SELECT {_ENTRY} FROM queue_entry WHERE id = $1{' FOR UPDATE' if lock else ''}",  # noqa: S608
        entry_id,
    )
    return None if row is None else EntryRow(**dict(row))


async def find_open_entry(plate_hash: bytes, *, lock: bool = False) -> EntryRow | None:
    """Return the plate's open queue entry, wherever it is."""
    row = await db.fetchrow(
        f"SELECT {_ENTRY} FROM queue_entry WHERE plate_hash = $1"  # noqa: S608
        f" AND status IN ('waiting', 'offered', 'accepted'){' FOR UPDATE' if lock else ''}",
        plate_hash,
    )
    return None if row is None else EntryRow(**dict(row))


async def list_open_entries(station_ids: Sequence[UUID]) -> list[EntryRow]:
    """Return the open entries of the stations' queues, in the order they joined."""
    rows = await db.fetch(
        f"SELECT {_ENTRY} FROM queue_entry WHERE station_id = ANY($1)"  # noqa: S608
        " AND status IN ('waiting', 'offered', 'accepted') ORDER BY joined_at, id",
        list(station_ids),
    )
    return [EntryRow(**dict(row)) for row in rows]


async def save_entry(row: EntryRow) -> None:
    """Write back what may change of an entry; the caller holds its row's or the station's queue lock."""
    await db.execute(
        "UPDATE queue_entry SET on_site_since = $2, status = $3, offer_connector_id = $4, offer_claim_id = $5,"
        " offer_expires_at = $6, closed_at = $7 WHERE id = $1",
        row.id,
        row.on_site_since,
        row.status,
        row.offer_connector_id,
        row.offer_claim_id,
        row.offer_expires_at,
        row.closed_at,
    )


async def lock_queue(station_id: UUID) -> None:
    """Let one transaction at a time change a station's queue."""
    await db.execute("SELECT pg_advisory_xact_lock(hashtextextended('queue:' || $1::text, 0))", str(station_id))


class WaitFigure(msgspec.Struct, frozen=True, kw_only=True):
    """Waits of one station and Beijing day."""

    station_id: UUID
    day: str
    arrivals: int
    within: int
    p50_s: int
    p95_s: int
    worst_s: int


async def list_wait_figures(
    company_ids: Sequence[UUID],
    since: datetime,
    until: datetime,
    *,
    within_s: int,
    user_class: UserClass | None,
    station_id: UUID | None,
) -> list[WaitFigure]:
    """Return share, median, 95th percentile and worst wait by station and Beijing day of the wait's begin."""
    rows = await db.fetch(
        "SELECT station_id, to_char(from_at AT TIME ZONE 'Asia/Shanghai', 'YYYY-MM-DD') AS day,"
        " count(*)::int AS arrivals,"
        " count(*) FILTER (WHERE wait_s <= $4)::int AS within,"
        " percentile_disc(0.5) WITHIN GROUP (ORDER BY wait_s) AS p50_s,"
        " percentile_disc(0.95) WITHIN GROUP (ORDER BY wait_s) AS p95_s, max(wait_s) AS worst_s"
        " FROM wait WHERE operator_company_id = ANY($1) AND from_at >= $2 AND from_at < $3"
        " AND ($5::text IS NULL OR user_class = $5) AND ($6::uuid IS NULL OR station_id = $6)"
        " GROUP BY 1, 2 ORDER BY 2, 1",
        list(company_ids),
        since,
        until,
        within_s,
        user_class,
        station_id,
    )
    return [WaitFigure(**dict(row)) for row in rows]


async def forget_plates(before: datetime) -> None:
    """Remove plates of arrivals and of closed queue entries from before then (PIPL, 30 days)."""
    await db.execute(
        "UPDATE arrival SET plate_hash = NULL"
        " WHERE arrived_at < $1 AND plate_hash IS NOT NULL AND closed_at IS NOT NULL",
        before,
    )
    await db.execute(
        "UPDATE queue_entry SET plate_hash = ''::bytea WHERE closed_at < $1 AND plate_hash <> ''::bytea", before
    )


async def list_personal(account_id: UUID) -> list[dict[str, str]]:
    """Return an account's arrivals, oldest first."""
    rows = await db.fetch(
        "SELECT station_id, source, arrived_at, outcome FROM arrival WHERE account_id = $1 ORDER BY arrived_at",
        account_id,
    )
    return [
        {
            "station_id": str(row["station_id"]),
            "source": row["source"],
            "arrived_at": row["arrived_at"].isoformat(),
            "outcome": row["outcome"] or "open",
        }
        for row in rows
    ]


async def list_personal_queues(account_id: UUID) -> list[dict[str, str]]:
    """Return an account's places in queues, oldest first."""
    rows = await db.fetch(
        "SELECT station_id, status, joined_at FROM queue_entry WHERE account_id = $1 ORDER BY joined_at", account_id
    )
    return [
        {"station_id": str(row["station_id"]), "status": row["status"], "joined_at": row["joined_at"].isoformat()}
        for row in rows
    ]


async def erase(account_id: UUID, now: datetime) -> None:
    """Take the person out of arrivals and queues; the waits stay, without anybody's name."""
    await db.execute(
        "UPDATE arrival SET plate_hash = NULL, account_id = NULL, closed_at = coalesce(closed_at, $2),"
        " outcome = coalesce(outcome, 'left') WHERE account_id = $1",
        account_id,
        now,
    )
    await db.execute("DELETE FROM queue_entry WHERE account_id = $1", account_id)
