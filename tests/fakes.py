"""Stand-ins for what a test must steer: the clock; and live messages that nobody listens to."""

from datetime import datetime, timedelta
from typing import Any

from backend.core.live import Live


class FixedClock:
    """A clock that stands still until it is moved."""

    def __init__(self, now: datetime) -> None:
        if now.tzinfo is None:
            raise ValueError("instants are aware: give the clock a datetime with a time zone")
        self._now = now

    def now(self) -> datetime:
        """Return the instant the clock stands at."""
        return self._now

    def move_to(self, now: datetime) -> None:
        """Set the clock."""
        self._now = now

    def advance(self, **duration: float) -> datetime:
        """Move the clock on (`minutes=15`) and return the new instant."""
        self._now += timedelta(**duration)
        return self._now


class UnheardLive(Live):
    """Live messages of a test in which nobody listens."""

    def __init__(self) -> None:
        """Hold no connection."""

    async def publish(self, channel: str, message: Any) -> None:
        """Tell nobody."""
