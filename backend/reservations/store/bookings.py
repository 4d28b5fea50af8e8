"""SQL of bookings, suspensions and calendar addresses."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from backend.core import db
from backend.core.ids import new_id
from backend.reservations.rules.words import BookingStatus, CheckInMeans, ReservationView

COLUMNS = ", ".join(ReservationView.__struct_fields__)


async def add_reservation(view: ReservationView) -> None:
    """Insert a booking as it stands in the view."""
    values = [getattr(view, name) for name in ReservationView.__struct_fields__]
    places = ", ".join(f"${n + 1}" for n in range(len(values)))
    await db.execute(f"INSERT INTO reservation ({COLUMNS}, counts_as_no_show) VALUES ({places}, false)", *values)  # noqa: S608


async def find_reservation(reservation_id: UUID, *, lock: bool = False) -> ReservationView | None:
    """Return the booking, its row locked to the end of the transaction if asked."""
    row = await db.fetchrow(
        f"SELECT {COLUMNS} FROM reservation WHERE id = $1{' FOR UPDATE' if lock else ''}",  # noqa: S608
        reservation_id,
    )
    return None if row is None else ReservationView(**dict(row))


async def find_current(connector_id: UUID, at: datetime, opens_before_s: int) -> ReservationView | None:
    """Return the open booking on the connector whose check-in is open or whose slot runs at `at`, the earliest
    first.
    """
    row = await db.fetchrow(
        f"SELECT {COLUMNS} FROM reservation WHERE connector_id = $1 AND status IN ('confirmed', 'checked_in')"  # noqa: S608
        " AND starts_at - make_interval(secs => $3) <= $2 AND ends_at > $2 ORDER BY starts_at LIMIT 1",
        connector_id,
        at,
        opens_before_s,
    )
    return None if row is None else ReservationView(**dict(row))


async def find_due_for_plate(
    station_id: UUID, plate_hash: bytes, at: datetime, opens_before_s: int
) -> ReservationView | None:
    """Return the plate's open booking at the station whose check-in is open at `at`, the earliest first."""
    row = await db.fetchrow(
        f"SELECT {COLUMNS} FROM reservation WHERE plate_hash = $2 AND station_id = $1"  # noqa: S608
        " AND status IN ('confirmed', 'checked_in')"
        " AND starts_at - make_interval(secs => $4) <= $3 AND ends_at > $3 ORDER BY starts_at LIMIT 1",
        station_id,
        plate_hash,
        at,
        opens_before_s,
    )
    return None if row is None else ReservationView(**dict(row))


async def list_due_in_bay(bay_id: UUID, at: datetime, opens_before_s: int) -> list[ReservationView]:
    """Return the confirmed bookings of the bay whose check-in is open at `at`, the earliest first."""
    rows = await db.fetch(
        f"SELECT {COLUMNS} FROM reservation WHERE bay_id = $1 AND status = 'confirmed'"  # noqa: S608
        " AND starts_at - make_interval(secs => $3) <= $2 AND ends_at > $2 ORDER BY starts_at",
        bay_id,
        at,
        opens_before_s,
    )
    return [ReservationView(**dict(row)) for row in rows]


async def count_open(agreement_id: UUID) -> int:
    """Return how many bookings of the agreement are still open; count under the agreement's row lock."""
    return int(
        await db.fetchval(
            "SELECT count(*) FROM reservation WHERE agreement_id = $1 AND status IN ('confirmed', 'checked_in')",
            agreement_id,
        )
    )


async def lock_household(account_id: UUID) -> None:
    """Let one transaction at a time count and add bookings of an account."""
    await db.execute("SELECT pg_advisory_xact_lock(hashtextextended('household:' || $1::text, 0))", str(account_id))


async def count_open_of_household(account_ids: Sequence[UUID]) -> int:
    """Return how many bookings of these accounts are open, whatever the agreement; count under `lock_household`."""
    return int(
        await db.fetchval(
            "SELECT count(*) FROM reservation WHERE account_id = ANY($1) AND status IN ('confirmed', 'checked_in')",
            list(account_ids),
        )
    )


async def count_made(agreement_id: UUID, since: datetime) -> int:
    """Return how many bookings the agreement made since then, cancelled ones too; moves by us are not its doing."""
    return int(
        await db.fetchval(
            "SELECT count(*) FROM reservation WHERE agreement_id = $1 AND created_at > $2"
            " AND status IN ('confirmed', 'checked_in', 'cancelled', 'no_show')",
            agreement_id,
            since,
        )
    )


async def save_slot(view: ReservationView) -> None:
    """Write another slot of a booking; the caller holds its row's lock."""
    await db.execute(
        "UPDATE reservation SET connector_id = $2, bay_id = $3, claim_id = $4, power = $5, starts_at = $6,"
        " ends_at = $7, hold_until = $8, updated_at = $9, stranded_at = NULL, changes = changes + 1,"
        " sequence = sequence + 1 WHERE id = $1",
        view.id,
        view.connector_id,
        view.bay_id,
        view.claim_id,
        view.power,
        view.starts_at,
        view.ends_at,
        view.hold_until,
        view.updated_at,
    )


async def list_reservations(
    account_id: UUID, *, before: UUID | None, limit: int, open_only: bool = False
) -> list[ReservationView]:
    """Return the account's bookings, the newest first, before a cursor."""
    rows = await db.fetch(
        f"SELECT {COLUMNS} FROM reservation WHERE account_id = $1 AND ($2::uuid IS NULL OR id < $2)"  # noqa: S608
        " AND (NOT $4 OR status IN ('confirmed', 'checked_in')) ORDER BY id DESC LIMIT $3",
        account_id,
        before,
        limit,
        open_only,
    )
    return [ReservationView(**dict(row)) for row in rows]


async def list_for_calendar(account_id: UUID, since: datetime) -> list[ReservationView]:
    """Return the account's bookings that end after `since`, cancelled ones too (calendars must learn of them)."""
    rows = await db.fetch(
        f"SELECT {COLUMNS} FROM reservation WHERE account_id = $1 AND ends_at > $2 ORDER BY starts_at",  # noqa: S608
        account_id,
        since,
    )
    return [ReservationView(**dict(row)) for row in rows]


async def list_open_on(connector_ids: Sequence[UUID], since: datetime) -> list[ReservationView]:
    """Return the open bookings on these connectors that end after `since`, by start."""
    rows = await db.fetch(
        f"SELECT {COLUMNS} FROM reservation WHERE connector_id = ANY($1) AND status IN ('confirmed', 'checked_in')"  # noqa: S608
        " AND ends_at > $2 ORDER BY starts_at",
        list(connector_ids),
        since,
    )
    return [ReservationView(**dict(row)) for row in rows]


async def mark_checked_in(reservation_id: UUID, means: CheckInMeans, now: datetime) -> None:
    """Record that the car is here."""
    await db.execute(
        "UPDATE reservation SET status = 'checked_in', checked_in_at = $2, checked_in_by = $3, updated_at = $2,"
        " sequence = sequence + 1 WHERE id = $1",
        reservation_id,
        now,
        means,
    )


async def move_hold(reservation_id: UUID, hold_until: datetime, now: datetime) -> None:
    """Let the booking lapse later."""
    await db.execute(
        "UPDATE reservation SET hold_until = $2, updated_at = $3 WHERE id = $1", reservation_id, hold_until, now
    )


async def close_reservation(
    reservation_id: UUID, status: BookingStatus, reason: str, now: datetime, *, counts_as_no_show: bool = False
) -> None:
    """Record the end of a booking."""
    await db.execute(
        "UPDATE reservation SET status = $2::text, closed_at = $4, closed_reason = $3, counts_as_no_show = $5,"
        " fulfilled_at = CASE WHEN $2 = 'fulfilled' THEN $4 ELSE fulfilled_at END, updated_at = $4,"
        " sequence = sequence + 1 WHERE id = $1",
        reservation_id,
        status,
        reason,
        now,
        counts_as_no_show,
    )


async def list_no_shows(account_id: UUID, since: datetime) -> list[datetime]:
    """Return when the account did not show up since then (and since its last lifted suspension), oldest first."""
    rows = await db.fetch(
        "SELECT closed_at FROM reservation WHERE account_id = $1 AND counts_as_no_show AND closed_at > $2"
        " AND closed_at > coalesce((SELECT max(coalesce(lifted_at, starts_at)) FROM booking_suspension"
        " WHERE account_id = $1), '-infinity') ORDER BY closed_at",
        account_id,
        since,
    )
    return [row["closed_at"] for row in rows]


async def add_suspension(
    account_id: UUID,
    agreement_id: UUID,
    operator_company_id: UUID,
    caused_by: UUID,
    starts_at: datetime,
    ends_at: datetime,
) -> bool:
    """Suspend booking; False when this no-show had already done so."""
    added = await db.fetchval(
        "INSERT INTO booking_suspension"
        " (id, account_id, agreement_id, operator_company_id, caused_by, starts_at, ends_at)"
        " VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (caused_by) DO NOTHING RETURNING true",
        new_id(),
        account_id,
        agreement_id,
        operator_company_id,
        caused_by,
        starts_at,
        ends_at,
    )
    return bool(added)


async def suspended_until(account_id: UUID, agreement_id: UUID | None, now: datetime) -> datetime | None:
    """Return when the suspension in force of the account, or of the agreement (another driver's too), ends, or None."""
    until: datetime | None = await db.fetchval(
        "SELECT max(ends_at) FROM booking_suspension"
        " WHERE (account_id = $1 OR agreement_id = $3) AND lifted_at IS NULL AND starts_at <= $2 AND ends_at > $2",
        account_id,
        now,
        agreement_id,
    )
    return until


async def put_calendar_token(account_id: UUID, token_hash: bytes, now: datetime) -> None:
    """Make this the account's calendar address; the one before it stops working."""
    await db.execute(
        "INSERT INTO calendar_address (id, account_id, token_hash, created_at) VALUES ($1, $2, $3, $4)"
        " ON CONFLICT (account_id) DO UPDATE SET token_hash = EXCLUDED.token_hash, created_at = EXCLUDED.created_at",
        new_id(),
        account_id,
        token_hash,
        now,
    )


async def find_calendar_account(token_hash: bytes) -> UUID | None:
    """Return whose calendar a token opens, or None."""
    account_id: UUID | None = await db.fetchval(
        "SELECT account_id FROM calendar_address WHERE token_hash = $1", token_hash
    )
    return account_id


async def forget(account_id: UUID) -> list[bytes]:
    """Forget the calendar address and the plates of closed bookings; returns the plates they were for."""
    await db.execute("DELETE FROM calendar_address WHERE account_id = $1", account_id)
    rows = await db.fetch(
        "UPDATE reservation SET plate_hash = ''::bytea FROM reservation old WHERE old.id = reservation.id"
        " AND reservation.account_id = $1 AND reservation.closed_at IS NOT NULL AND old.plate_hash <> ''::bytea"
        " RETURNING old.plate_hash",
        account_id,
    )
    return sorted({row["plate_hash"] for row in rows})
