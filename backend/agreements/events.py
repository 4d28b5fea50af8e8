"""What happened to agreements; without personal data, for features above to react to."""

from datetime import datetime
from uuid import UUID

from backend.core.jobs import Event


class AgreementApproved(Event, frozen=True, kw_only=True):
    """The operator company approved an application; the resident may sign."""

    agreement_id: UUID
    account_id: UUID


class AgreementSigned(Event, frozen=True, kw_only=True):
    """The resident signed: the agreement is in force within its term."""

    agreement_id: UUID
    account_id: UUID
    operator_company_id: UUID
    starts_at: datetime
    ends_at: datetime


class DriverRemoved(Event, frozen=True, kw_only=True):
    """The holder took a named driver off; what the driver has booked ahead under the agreement loses its right."""

    agreement_id: UUID
    account_id: UUID


class AgreementTerminated(Event, frozen=True, kw_only=True):
    """An agreement in force was ended before its term; bookings ahead lose its rights."""

    agreement_id: UUID
    account_id: UUID
    operator_company_id: UUID
    ended_at: datetime
