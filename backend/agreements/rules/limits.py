"""How many agreements a station may carry: the number `linli simulate week` found (docs/simulation.md)."""

from typing import Literal

SigningDecision = Literal["free", "at_limit", "beyond", "refused"]


def decide_signing(*, signed: int, limit: int | None, refuses: bool) -> SigningDecision:
    """Decide about one more agreement beside `signed` others: the last one within the limit warns, too.

    Beyond the limit fewer than 99 % of arrivals are sure to wait at most five minutes. Whether that is refused or only
    told is the operator's choice; without a limit nothing is said.
    """
    if limit is None or signed + 1 < limit:
        return "free"
    if signed + 1 == limit:
        return "at_limit"
    return "refused" if refuses else "beyond"
