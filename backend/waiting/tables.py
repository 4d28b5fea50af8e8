"""Arrivals, waits and the queue, stored from the first day because they cannot be backfilled.

Checks, partial unique indexes and foreign keys are in the migration.
"""

from piccolo.columns import UUID, Bytea, Integer, Timestamptz, Varchar
from piccolo.table import Table

from backend.core.ids import new_id


class Arrival(Table, tablename="arrival"):
    """A car of a resident came to a station: by plate, app, QR code, or at the latest by the session it started.

    `usable_at` is when a connector was first usable for it. Plates are forgotten after 30 days.
    """

    id = UUID(primary_key=True, default=new_id)
    station_id = UUID(default=None)
    operator_company_id = UUID(default=None)
    plate_hash = Bytea(null=True, default=None)
    account_id = UUID(null=True, default=None)
    reservation_id = UUID(null=True, default=None)
    session_id = UUID(null=True, default=None)
    source = Varchar(length=10)
    user_class = Varchar(length=10)
    arrived_at = Timestamptz(default=None)
    counts_from = Timestamptz(default=None)
    predicted_s = Integer(null=True, default=None)
    usable_at = Timestamptz(null=True, default=None)
    connector_id = UUID(null=True, default=None)
    closed_at = Timestamptz(null=True, default=None)
    outcome = Varchar(length=10, null=True, default=None)


class Wait(Table, tablename="wait"):
    """How long an arrival that wanted to charge waited for a usable connector; one row per arrival, never changed."""

    id = UUID(primary_key=True, default=new_id)
    arrival_id = UUID(default=None, unique=True)
    station_id = UUID(default=None)
    operator_company_id = UUID(default=None)
    connector_id = UUID(default=None)
    user_class = Varchar(length=10)
    from_at = Timestamptz(default=None)
    usable_at = Timestamptz(default=None)
    wait_s = Integer()
    predicted_s = Integer(null=True, default=None)
    recorded_at = Timestamptz(default=None)


class QueueEntry(Table, tablename="queue_entry"):
    """A resident who waits for a connector of a station; `offer_*` while one is kept for them."""

    id = UUID(primary_key=True, default=new_id)
    station_id = UUID(default=None)
    account_id = UUID(default=None)
    vehicle_id = UUID(default=None)
    plate_hash = Bytea()
    power = Varchar(length=2, null=True, default=None)
    user_class = Varchar(length=10)
    on_site_since = Timestamptz(null=True, default=None)
    status = Varchar(length=10)
    joined_at = Timestamptz(default=None)
    offer_connector_id = UUID(null=True, default=None)
    offer_claim_id = UUID(null=True, default=None)
    offer_expires_at = Timestamptz(null=True, default=None)
    closed_at = Timestamptz(null=True, default=None)


class FallbackPlan(Table, tablename="fallback_plan"):
    """What is done for one resident whose wait is predicted to pass five minutes; one open plan per car."""

    id = UUID(primary_key=True, default=new_id)
    station_id = UUID(default=None)
    operator_company_id = UUID(default=None)
    account_id = UUID(null=True, default=None)
    plate_hash = Bytea(null=True, default=None)
    reservation_id = UUID(null=True, default=None)
    arrival_id = UUID(null=True, default=None)
    cause = Varchar(length=20)
    status = Varchar(length=12)
    step = Varchar(length=20)
    offer_station_id = UUID(null=True, default=None)
    offer_connector_id = UUID(null=True, default=None)
    offer_claim_id = UUID(null=True, default=None)
    due_at = Timestamptz(null=True, default=None)
    opened_at = Timestamptz(default=None)
    closed_at = Timestamptz(null=True, default=None)


class FallbackStep(Table, tablename="fallback_step"):
    """One thing a fallback plan tried, with its time limit and what came of it; append only."""

    id = UUID(primary_key=True, default=new_id)
    plan_id = UUID(default=None)
    step = Varchar(length=20)
    outcome = Varchar(length=12)
    station_id = UUID(null=True, default=None)
    connector_id = UUID(null=True, default=None)
    due_at = Timestamptz(null=True, default=None)
    at = Timestamptz(default=None)
