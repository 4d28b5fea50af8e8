"""What operators send and read of refunds and reconciliations."""

from datetime import date, datetime
from typing import Annotated
from uuid import UUID

import msgspec
from msgspec import Meta

from backend.payments.rules.reconciling import Difference
from backend.payments.store_bills import ReconciliationView
from backend.payments.store_limits import LimitChangeView


class RefundBody(msgspec.Struct, frozen=True):
    """What goes back, to the channel that paid."""

    amount_fen: Annotated[
        int, Meta(description="How much, fen, from 1 to what is left of the payment", examples=[1250])
    ]
    reason: Annotated[str, Meta(description="Why; the payer sees it (退款原因)", min_length=1, max_length=80)]
    order_id: Annotated[UUID | None, Meta(description="The order whose payment is refunded; or give payment_id")] = None
    payment_id: Annotated[UUID | None, Meta(description="The payment; or give order_id")] = None


class DecisionBody(msgspec.Struct, frozen=True):
    """Why it is not done."""

    note: Annotated[str, Meta(description="Kept with the request", min_length=1, max_length=200)]


class LimitBody(msgspec.Struct, frozen=True):
    """Another limit for the company."""

    second_person_above_fen: Annotated[
        int,
        Meta(
            description="Refunds and corrections up to this amount need one person; fen, 0 to 1000000", examples=[20000]
        ),
    ]
    reason: Annotated[str, Meta(description="Why; kept with the change", min_length=1, max_length=200)]
    operator_company_id: Annotated[UUID | None, Meta(description="For operators of several companies")] = None


class LimitChangeOut(msgspec.Struct, frozen=True, kw_only=True):
    """A change of the limit."""

    id: UUID
    second_person_above_fen: Annotated[int, Meta(description="fen")]
    reason: str
    state: Annotated[
        str, Meta(description="pending (a second person decides), in_force (it became the limit), rejected")
    ]
    proposed_by: UUID
    proposed_at: datetime
    decided_by: Annotated[UUID | None, Meta(description="The second person; null where none was needed")]
    decided_at: datetime | None


class LimitOut(msgspec.Struct, frozen=True, kw_only=True):
    """Above which amount a company's refunds and corrections need a second person."""

    operator_company_id: UUID
    second_person_above_fen: Annotated[int, Meta(description="fen, the limit in force")]
    is_default: Annotated[bool, Meta(description="Whether the company never set one of its own (100 yuan)")]
    changes: Annotated[list[LimitChangeOut], Meta(description="The latest 20, newest first")]


class RefundRequestOut(msgspec.Struct, frozen=True, kw_only=True):
    """A refund as it was asked for, and what became of it."""

    id: UUID
    payment_id: UUID
    order_id: UUID
    amount_fen: Annotated[int, Meta(description="fen")]
    reason: str
    state: Annotated[str, Meta(description="pending (a second person decides), approved or rejected")]
    requested_by: UUID
    requested_at: datetime
    decided_by: Annotated[UUID | None, Meta(description="The second person; null where none was needed")]
    decided_at: datetime | None
    decision_note: str | None
    refund_id: UUID | None
    refund_state: Annotated[str | None, Meta(description="created, processing, succeeded or failed at the provider")]


class DifferenceOut(msgspec.Struct, frozen=True, kw_only=True):
    """A movement on which the provider's bill and our books do not agree."""

    what: Annotated[
        str,
        Meta(description="missing_in_bill, unknown_to_us, amount_differs, state_differs or ledger_differs"),
    ]
    kind: Annotated[str, Meta(description="payment or refund")]
    number: Annotated[str, Meta(description="Our number at the provider (out_trade_no, out_refund_no)")]
    provider_no: str | None
    ours_fen: Annotated[int | None, Meta(description="fen in our books")]
    bill_fen: Annotated[int | None, Meta(description="fen in the bill")]
    our_state: str | None
    bill_state: str | None


class ReconciliationOut(msgspec.Struct, frozen=True, kw_only=True):
    """A day of one merchant account held against the provider's bill."""

    id: UUID
    provider: str
    merchant_no: str
    day: Annotated[date, Meta(description="Day of the bill, Asia/Shanghai")]
    state: Annotated[str, Meta(description="matched or differs")]
    bill_sha1: Annotated[str, Meta(description="SHA-1 of the bill; empty where nothing moved")]
    rows: Annotated[int, Meta(description="Rows of the bill")]
    bill_payments_fen: Annotated[int, Meta(description="Payments in the bill, fen")]
    bill_refunds_fen: Annotated[int, Meta(description="Refunds in the bill, fen")]
    bill_fees_fen: Annotated[int, Meta(description="The provider's fees, fen")]
    our_payments_fen: Annotated[int, Meta(description="The same payments in our ledger, fen")]
    our_refunds_fen: Annotated[int, Meta(description="The same refunds in our ledger, fen")]
    checked_at: datetime
    difference_count: int


class ReconciliationDayOut(msgspec.Struct, frozen=True, kw_only=True):
    """A day with every difference."""

    reconciliation: ReconciliationOut
    differences: list[DifferenceOut]


def limit_change_out(view: LimitChangeView) -> LimitChangeOut:
    """Show a change."""
    return LimitChangeOut(**{name: getattr(view, name) for name in LimitChangeOut.__struct_fields__})


def reconciliation_out(view: ReconciliationView) -> ReconciliationOut:
    """Show a compared day."""
    values = {name: getattr(view, name) for name in ReconciliationOut.__struct_fields__ if name != "difference_count"}
    return ReconciliationOut(**values, difference_count=view.differences)


def difference_out(found: Difference) -> DifferenceOut:
    """Show a difference."""
    return DifferenceOut(**{name: getattr(found, name) for name in DifferenceOut.__struct_fields__})
