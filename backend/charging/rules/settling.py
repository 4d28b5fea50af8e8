"""Decide when the readings of an ended session are good enough to bill, when to wait and when a person has to look."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Literal, TypeAlias

Verdict: TypeAlias = Literal["bill", "wait", "review"]

LAST_READING_WITHIN = timedelta(seconds=45)
"""How long the bill waits for a reading after the end: the last samples may trail the charger's own report."""
ONLINE_PATIENCE = timedelta(minutes=5)
"""How long a charger in contact may take to fill what is missing."""
OFFLINE_PATIENCE = timedelta(hours=24)
"""How long a charger out of reach may: it sends what it kept when it returns (mqtt.md)."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known of an ended session's meter."""

    age: timedelta
    has_start: bool
    has_end: bool
    has_reading_after_end: bool
    doubts: tuple[str, ...]
    online: bool
    end_unclear: bool


def decide_settlement(evidence: Evidence) -> tuple[Verdict, tuple[str, ...]]:
    """Bill, wait, or hand to a person with the reasons. Nothing is ever guessed (domain.md "Money").

    A meter that ran backwards does not heal by waiting; what is missing may still arrive.
    """
    reasons = list(evidence.doubts)
    if evidence.end_unclear:
        reasons.append("end_unclear")
    if not evidence.has_start:
        reasons.append("start_missing")
    if not evidence.has_end:
        reasons.append("end_missing")
    if reasons:
        patience = ONLINE_PATIENCE if evidence.online else OFFLINE_PATIENCE
        heals = not {"rollback", "reset", "end_unclear", "start_mismatch"} & set(reasons)
        verdict: Verdict = "wait" if heals and evidence.age < patience else "review"
        return verdict, tuple(dict.fromkeys(reasons))
    if not evidence.has_reading_after_end and evidence.age < LAST_READING_WITHIN:
        return "wait", ()
    return "bill", ()


def next_try(age: timedelta) -> timedelta:
    """When to look again: every 5 s in the first minute, then ever more rarely, at most every 10 minutes."""
    if age < timedelta(minutes=1):
        return timedelta(seconds=5)
    return min(age / 2, timedelta(minutes=10))
