"""The fallback plan: what is tried, in which order, when a wait is predicted to pass five minutes. Pure.

First that works: another connector of the resident zone; a public-zone connector at the agreement price; another pilot
station within 500 m; a compensation (domain.md "The three fives"). Each step has a time limit; only the way to another
station waits for an answer, because somebody else must drive there.
"""

from datetime import datetime, timedelta
from typing import Literal

Step = Literal["resident_connector", "public_connector", "other_station", "compensation"]
STEPS: tuple[Step, ...] = ("resident_connector", "public_connector", "other_station", "compensation")
PlanStatus = Literal["running", "offered", "moved", "served", "relocated", "compensated", "restored", "left"]
Outcome = Literal["moved", "offered", "accepted", "declined", "expired", "impossible", "granted"]
OPEN: frozenset[PlanStatus] = frozenset({"running", "offered"})
LONGEST_ANSWER = timedelta(minutes=30)
"""An offer for a slot that is hours ahead need not be answered at once."""


def next_step(step: Step) -> Step | None:
    """Return what is tried when this step did not work, or None after the last."""
    after = STEPS.index(step) + 1
    return STEPS[after] if after < len(STEPS) else None


def must_run(*, waited: timedelta, expected: timedelta | None, promise: timedelta, look_every: timedelta) -> bool:
    """Say whether the plan has to begin: the wait so far and what is expected pass the promise.

    Where nothing can be predicted it begins when the next look would come too late.
    """
    if expected is None:
        return waited + look_every >= promise
    return waited + expected > promise


def answer_by(*, now: datetime, starts_at: datetime, shortest: timedelta) -> datetime:
    """Return until when an offer stands: at least the usual time, longer while the slot is still far."""
    return now + max(shortest, min(LONGEST_ANSWER, (starts_at - now) / 2))


def owes_compensation(*, user_class: Literal["booking", "agreement", "other"], wait_s: int, promise_s: int) -> bool:
    """Say whether a wait broke the promise, which is made to residents under agreement."""
    return user_class != "other" and wait_s > promise_s
