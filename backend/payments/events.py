"""What happened to money."""

from datetime import date
from uuid import UUID

from backend.core.jobs import Event


class PaymentSucceeded(Event, frozen=True, kw_only=True):
    """The provider holds the money of an order."""

    payment_id: UUID
    order_id: UUID
    amount_fen: int


class RefundSucceeded(Event, frozen=True, kw_only=True):
    """Money went back to the channel that paid."""

    refund_id: UUID
    payment_id: UUID
    order_id: UUID
    amount_fen: int


class RefundFailed(Event, frozen=True, kw_only=True):
    """The provider could not give the money back (closed or abnormal); a person must look."""

    refund_id: UUID
    payment_id: UUID
    order_id: UUID
    amount_fen: int
    provider_state: str


class RefundWaits(Event, frozen=True, kw_only=True):
    """The provider does not take a refund, for the account is short of money or for another passing cause.

    It is tried again every hour; told again every day while it waits.
    """

    refund_id: UUID
    payment_id: UUID
    order_id: UUID
    amount_fen: int
    why: str
    """The provider's own code, such as NOT_ENOUGH."""


class BillDiffered(Event, frozen=True, kw_only=True):
    """A day's bill of the provider does not agree with our books; a person must look."""

    operator_company_id: UUID
    merchant_no: str
    day: date
    differences: int


class BillUnreadable(Event, frozen=True, kw_only=True):
    """A day's bill was fetched and is not what it says it is: another hash, shape or sum; nothing was compared."""

    operator_company_id: UUID
    merchant_no: str
    day: date
