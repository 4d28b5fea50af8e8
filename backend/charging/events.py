"""What charging tells the other features."""

from datetime import datetime
from uuid import UUID

from backend.core.jobs import Event


class SessionStarted(Event, frozen=True, kw_only=True):
    """The charger delivers: reported by itself, or seen by its connector's state."""

    session_id: UUID
    connector_id: UUID
    station_id: UUID
    account_id: UUID
    at: datetime


class SessionEnded(Event, frozen=True, kw_only=True):
    """Charging is over; the car may still stand there. `reason` is the charger's or the rule's word."""

    session_id: UUID
    connector_id: UUID
    station_id: UUID
    account_id: UUID
    reason: str
    at: datetime


class SessionFailed(Event, frozen=True, kw_only=True):
    """A session that was asked for never started; nothing is billed."""

    session_id: UUID
    connector_id: UUID
    station_id: UUID
    account_id: UUID
    reason: str
    at: datetime


class OrderClosed(Event, frozen=True, kw_only=True):
    """A bill is final and, where it is not zero, waits to be paid."""

    order_id: UUID
    session_id: UUID
    account_id: UUID
    operator_company_id: UUID
    station_id: UUID
    total_fen: int
    at: datetime


class StatementMade(Event, frozen=True, kw_only=True):
    """A month's statement is there; where the package fee is not zero, it waits to be paid."""

    statement_id: UUID
    account_id: UUID
    operator_company_id: UUID
    package_fee_fen: int
    at: datetime
