"""Which channel carries a message, which comes next, and when a failed try is repeated."""

from collections.abc import Mapping, Sequence
from typing import Literal

Channel = Literal["push", "sms", "voice", "wechat"]
State = Literal["pending", "accepted", "failed", "unreachable"]

SAFETY_CHAIN: tuple[Channel, ...] = ("push", "sms", "voice")
"""A safety message moves on when a channel has not accepted it in time (domain.md, Safety)."""
NEIGHBOUR_CHAIN: tuple[Channel, ...] = ("push", "sms")
"""Whole compounds are not rung up: their calls would hold the lines that the people on duty need."""
PAGE_CHAIN: tuple[Channel, ...] = ("voice", "sms")
"""A page rings at once and falls back to an SMS; the push goes beside it."""
ACCEPTED_WITHIN_S = 10
MAX_ATTEMPTS = 10
GIVE_UP_AFTER_S = 6 * 3600


TO_MANY = frozenset({"danger_neighbours", "danger_neighbours_confirmed", "all_clear", "all_clear_nearby"})
"""Words of safety that whole compounds are told: before ordinary ones, behind every alarm."""


def next_channel(chain: Sequence[Channel], states: Mapping[Channel, State]) -> Channel | None:
    """Return the channel to start now: none when one has accepted or none is left, else the first not yet tried."""
    if any(states.get(channel) == "accepted" for channel in chain):
        return None
    return next((channel for channel in chain if channel not in states), None)


def retry_after_s(*, attempts: int, safety: bool, asked_s: float | None) -> float:
    """Return how long to wait before try `attempts` + 1.

    The provider's own word (`Retry-After`) counts, but a safety message never waits longer than 30 s for it.
    """
    limit = 30.0 if safety else 600.0
    backoff = min(2.0 ** max(attempts - 1, 0), limit)
    return min(max(backoff, asked_s or 0.0), limit)


def may_retry(*, attempts: int, age_s: float) -> bool:
    """Say whether another try is worth it: a warning that comes a quarter of a day late helps nobody."""
    return attempts < MAX_ATTEMPTS and age_s < GIVE_UP_AFTER_S


def goes_first(template: str, *, safety: bool) -> bool:
    """Whether the word has its lane with the alarms: of safety, and to few. Thousands of neighbours delay no alarm."""
    return safety and template not in TO_MANY
