"""How a payment and a refund move between their states, and when the provider is asked.

The state is the recovery point: it is committed before each call to the provider, and every call is safe to repeat
because the provider knows it by our number (out_trade_no, out_refund_no).

    payment: created -> prepared -> succeeded        refund: created -> processing -> succeeded
                 \\-> closed <-/                                   \\-> failed <-/
A payment that was closed on our side still becomes `succeeded` when the provider says so: the money is real.
"""

from datetime import datetime, timedelta
from typing import Literal

PaymentState = Literal["created", "prepared", "succeeded", "closed"]
RefundState = Literal["created", "processing", "succeeded", "failed"]
ProviderState = Literal["unknown", "waiting", "succeeded", "closed"]
"""What the provider says of a payment; `unknown`: it has never heard of it."""
CheckDecision = Literal["settle", "mark_closed", "close_at_provider", "wait"]

PAY_WITHIN = timedelta(minutes=30)
"""A prepared payment can be paid for this long."""
CHECK_GAPS_S = (10, 30, 60, 180, 300, 600, 600, 1800)
"""When the provider is asked about an open payment, as WeChat Pay recommends; afterwards hourly."""


def next_check_at(*, checks: int, now: datetime) -> datetime:
    """Return when the provider is asked next, after `checks` earlier times."""
    return now + timedelta(seconds=CHECK_GAPS_S[checks] if checks < len(CHECK_GAPS_S) else 3600)


def decide_check(*, provider_state: ProviderState, created_at: datetime, now: datetime) -> CheckDecision:
    """Decide what to do with an open payment after asking the provider.

    An order the provider has not heard of may still be on its way until its time is over; a waiting one is closed at
    the provider first, so that it cannot be paid behind our back.
    """
    if provider_state == "succeeded":
        return "settle"
    if provider_state == "closed":
        return "mark_closed"
    if now < created_at + PAY_WITHIN:
        return "wait"
    return "mark_closed" if provider_state == "unknown" else "close_at_provider"


def refundable_fen(*, paid_fen: int, refunds_fen: list[int]) -> int:
    """Return what may still be given back; refunds under way count, failed ones do not belong in the list."""
    return paid_fen - sum(refunds_fen)
