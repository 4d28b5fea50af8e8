"""How often one address may call, counted in the process: a token bucket per address, bounded in memory.

The limits of single features (SMS codes, login tries) are theirs and kept in PostgreSQL; this one only keeps a single
client from drowning the others.
"""

from collections import OrderedDict

MAX_TRACKED = 50_000
"""Addresses remembered at once; the one unseen longest is forgotten first."""


class RateLimiter:
    """A token bucket of `per_minute` tokens for each caller, refilled evenly."""

    def __init__(self, per_minute: int) -> None:
        self._per_minute = per_minute
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, caller: str, now_s: float) -> float:
        """Take one token at `now_s` (monotonic seconds); returns 0, or the seconds to wait where none is left."""
        tokens, seen = self._buckets.pop(caller, (float(self._per_minute), now_s))
        tokens = min(self._per_minute, tokens + (now_s - seen) * self._per_minute / 60)
        wait = 0.0 if tokens >= 1 else (1 - tokens) * 60 / self._per_minute
        self._buckets[caller] = (tokens - 1 if wait == 0 else tokens, now_s)
        if len(self._buckets) > MAX_TRACKED:
            self._buckets.popitem(last=False)
        return wait
