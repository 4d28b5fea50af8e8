"""How often something may happen in sliding windows: when is the next time allowed?"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta


@dataclass(frozen=True)
class Limit:
    """At most `times` within any stretch of `window`."""

    times: int
    window: timedelta


SMS_PER_PURPOSE = (Limit(1, timedelta(minutes=1)),)
"""What one number may be sent for one purpose: who has just logged in may sign within the same minute."""

SMS_PER_PHONE = (Limit(5, timedelta(hours=1)), Limit(10, timedelta(days=1)))
"""What one number may be sent in all (issue 2): an SMS costs money and annoys a stranger whose number is abused."""

SMS_PER_ADDRESS = (Limit(300, timedelta(hours=1)), Limit(1500, timedelta(days=1)))
"""What one client address may ask for; wide, because mobile carriers put thousands of people behind one address."""

FAILURES_PER_ADDRESS = (Limit(100, timedelta(hours=1)), Limit(500, timedelta(days=1)))
"""Wrong codes from one client address: 500 guesses a day, each one in a million; fewer would let one lock out many."""


def longest_window(limits: Sequence[Limit]) -> timedelta:
    """Return how far back times must be known to decide."""
    return max(limit.window for limit in limits)


def next_allowed_at(times: Sequence[datetime], limits: Sequence[Limit], now: datetime) -> datetime | None:
    """Return when the next one is allowed, or None when it is allowed at `now`.

    `times` are the past ones in any order. A window is half-open: something exactly `window` ago no longer counts.
    """
    newest_first = sorted(times, reverse=True)
    waits = [
        newest_first[limit.times - 1] + limit.window
        for limit in limits
        if len(newest_first) >= limit.times and newest_first[limit.times - 1] + limit.window > now
    ]
    return max(waits, default=None)
