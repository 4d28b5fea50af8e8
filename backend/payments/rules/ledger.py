"""Double entry: what makes an entry, and which accounts there are.

A leg's amount is in fen, positive for a debit, negative for a credit; the legs of an entry add up to zero. Accounts are
names: `receivable` (what residents owe), `provider:MERCHANT` (money at a payment provider), and one per kind of
revenue (`energy_fee`, `service_fee`, `parking_fee`, `overstay_fee`, `discount`, `package_fee`).
"""

import re
from collections.abc import Sequence

RECEIVABLE = "receivable"
_ACCOUNT = re.compile(r"^[a-z][a-z_]{0,39}(:[A-Za-z0-9_-]{1,40})?$")

Leg = tuple[str, int]


def provider_account(merchant_no: str) -> str:
    """Return the account of the money a provider holds for one merchant."""
    return f"provider:{merchant_no}"


def problem_of(legs: Sequence[Leg]) -> str | None:
    """Return what is wrong with the legs of an entry, or None: two or more, none zero, sum zero, named accounts."""
    if len(legs) < 2:
        return "an entry has at least two legs"
    for account, amount in legs:
        if not _ACCOUNT.match(account):
            return f"{account!r} is not an account"
        if amount == 0:
            return f"the leg on {account} is zero"
    total = sum(amount for _, amount in legs)
    return None if total == 0 else f"the legs add up to {total} fen instead of 0"


def payment_legs(*, merchant_no: str, amount_fen: int) -> tuple[Leg, Leg]:
    """Return the legs of a payment: the provider holds what the resident owed."""
    return (provider_account(merchant_no), amount_fen), (RECEIVABLE, -amount_fen)


def refund_legs(*, merchant_no: str, amount_fen: int) -> tuple[Leg, Leg]:
    """Return the legs of a refund, the mirror of a payment's."""
    return (RECEIVABLE, amount_fen), (provider_account(merchant_no), -amount_fen)
