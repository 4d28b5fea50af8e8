"""Who holds a connector when, the bookings, and what follows from not showing up.

The two exclusion constraints that make double booking impossible are raw SQL in the migration: no two claims hold
one connector (or one bay) at once, and no plate is in two places at once. Write claims only through `store.claims`
(`ON CONFLICT DO NOTHING`).
"""

from piccolo.columns import UUID, Boolean, Bytea, Integer, Text, Timestamptz, Varchar
from piccolo.table import Table

from backend.core.ids import new_id


class ConnectorClaim(Table, tablename="connector_claim"):
    """A connector (and its bay) is held for somebody in `[starts_at, held_until)`; the car uses it in `[starts_at,
    ends_at)`.

    `held_until` is `ends_at` plus the vacate gap, or the morning where a car may stay overnight. Claims move by
    delete and insert under the same id, so nothing refers to them by a foreign key; a claim that was never used is
    deleted.
    """

    id = UUID(primary_key=True, default=new_id)
    connector_id = UUID(default=None)
    station_id = UUID(default=None)
    bay_id = UUID(null=True, default=None)
    plate_hash = Bytea(null=True, default=None)
    kind = Varchar(length=20)
    reference_id = UUID(null=True, default=None)
    starts_at = Timestamptz(default=None)
    ends_at = Timestamptz(default=None)
    held_until = Timestamptz(default=None)
    created_at = Timestamptz(default=None)


class Reservation(Table, tablename="reservation"):
    """A booked slot. `hold_until` is when it lapses unless the car is there; the times of what happened stay for
    disputes.
    """

    id = UUID(primary_key=True, default=new_id)
    account_id = UUID(default=None)
    agreement_id = UUID(default=None)
    vehicle_id = UUID(default=None)
    operator_company_id = UUID(default=None)
    station_id = UUID(default=None)
    connector_id = UUID(default=None)
    bay_id = UUID(null=True, default=None)
    claim_id = UUID(default=None)
    plate_hash = Bytea()
    power = Varchar(length=2)
    status = Varchar(length=20)
    starts_at = Timestamptz(default=None)
    ends_at = Timestamptz(default=None)
    hold_until = Timestamptz(default=None)
    checked_in_at = Timestamptz(null=True, default=None)
    checked_in_by = Varchar(length=10, null=True, default=None)
    fulfilled_at = Timestamptz(null=True, default=None)
    closed_at = Timestamptz(null=True, default=None)
    closed_reason = Varchar(length=40, null=True, default=None)
    counts_as_no_show = Boolean(default=False)
    sequence = Integer(default=0, help_text="rises with each change, for calendars (RFC 5545 SEQUENCE)")
    created_at = Timestamptz(default=None)
    updated_at = Timestamptz(default=None)
    stranded_at = Timestamptz(null=True, default=None, help_text="since when its place cannot serve it")
    changes = Integer(default=0, help_text="how often its owner changed it")
    relocated_to = UUID(null=True, default=None, help_text="the booking at another station that took its place")


class ReservationMove(Table, tablename="reservation_move"):
    """Why a booking went to another place, or could not; append only."""

    id = UUID(primary_key=True, default=new_id)
    reservation_id = UUID(default=None)
    station_id = UUID(default=None)
    outcome = Varchar(length=10)
    reason = Varchar(length=20)
    actor = Varchar(length=60)
    from_connector_id = UUID(default=None)
    from_bay_id = UUID(null=True, default=None)
    to_connector_id = UUID(null=True, default=None)
    to_bay_id = UUID(null=True, default=None)
    at = Timestamptz(default=None)


class ConnectorOutage(Table, tablename="connector_outage"):
    """A connector that cannot serve anybody for now; bookings of the coming hours are moved away while it is open."""

    id = UUID(primary_key=True, default=new_id)
    connector_id = UUID(default=None)
    station_id = UUID(default=None)
    reason = Varchar(length=20)
    began_at = Timestamptz(default=None)
    ended_at = Timestamptz(null=True, default=None)


class SuspensionAppeal(Table, tablename="suspension_appeal"):
    """A resident's objection to a suspension, and how it was decided."""

    id = UUID(primary_key=True, default=new_id)
    suspension_id = UUID(default=None, unique=True)
    account_id = UUID(default=None)
    operator_company_id = UUID(default=None)
    text_cipher = Bytea()
    made_at = Timestamptz(default=None)
    decided_at = Timestamptz(null=True, default=None)
    lifted = Boolean(null=True, default=None)


class BookingSuspension(Table, tablename="booking_suspension"):
    """An account may not book under an agreement until `ends_at`, unless a person lifts it on appeal."""

    id = UUID(primary_key=True, default=new_id)
    account_id = UUID(default=None)
    agreement_id = UUID(default=None)
    operator_company_id = UUID(default=None)
    starts_at = Timestamptz(default=None)
    ends_at = Timestamptz(default=None)
    caused_by = UUID(default=None, help_text="the reservation whose no-show reached the limit")
    lifted_at = Timestamptz(null=True, default=None)
    lifted_by = UUID(null=True, default=None)
    lift_reason = Text(null=True, default=None)


class CalendarAddress(Table, tablename="calendar_address"):
    """The secret address of a resident's booking calendar; only the hash of its token is kept."""

    id = UUID(primary_key=True, default=new_id)
    account_id = UUID(default=None, unique=True)
    token_hash = Bytea()
    created_at = Timestamptz(default=None)


class BayReport(Table, tablename="bay_report"):
    """A resident says that a car that should not be there stands in a bay; what became of it."""

    id = UUID(primary_key=True, default=new_id)
    account_id = UUID(null=True, default=None)
    station_id = UUID(default=None)
    operator_company_id = UUID(default=None)
    bay_id = UUID(default=None)
    reservation_id = UUID(null=True, default=None)
    note_cipher = Bytea(null=True, default=None)
    doubted = Boolean(default=False, help_text="the bay's devices see no car there; waits for a photo")
    reported_at = Timestamptz(default=None)
    verdict = Varchar(length=10, null=True, default=None)
    decided_by = UUID(null=True, default=None)
    decided_reason = Varchar(length=200, null=True, default=None)
    closed_at = Timestamptz(null=True, default=None)


class BayReportPhoto(Table, tablename="bay_report_photo"):
    """The picture of a report, encrypted; kept 30 days."""

    report_id = UUID(primary_key=True, default=None)
    media_type = Varchar(length=40)
    content_cipher = Bytea()
    added_at = Timestamptz(default=None)
