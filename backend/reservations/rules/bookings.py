"""The life of a booking: when it can be checked in, cancelled freely, when it lapses, and what not showing up costs."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Literal

from backend.reservations.rules.words import OPEN, BookingStatus

CheckInRefusal = Literal["not_open", "too_early", "too_late"]
BayKnowledge = Literal["occupied", "free", "unknown"]
Lapse = Literal["nothing", "wait", "no_show", "unused"]


def refuse_check_in(
    *, status: BookingStatus, starts_at: datetime, hold_until: datetime, opens_before: timedelta, now: datetime
) -> CheckInRefusal | None:
    """Return why a booking cannot be checked in now, or None; one that is checked in already can be again."""
    if status not in OPEN:
        return "not_open"
    if now < starts_at - opens_before:
        return "too_early"
    return "too_late" if status == "confirmed" and now >= hold_until else None


def is_free_cancellation(*, starts_at: datetime, free_before: timedelta, now: datetime) -> bool:
    """Say whether cancelling now is free: up to 15 minutes before the start (domain.md "Booking")."""
    return now <= starts_at - free_before


def decide_lapse(
    *, status: BookingStatus, hold_until: datetime, ends_at: datetime, bay: BayKnowledge, now: datetime
) -> Lapse:
    """Decide what becomes of a booking whose timer rings: the due time is the stored one, the timer may be an old one.

    Nobody came: no-show. A car that checked in keeps its place while it may be there; when its bay is known to be empty
    at the end of the hold, or its time is over without a charge, the place is given back without counting against it.
    """
    if status not in OPEN or now < hold_until:
        return "nothing"
    if status == "confirmed":
        return "no_show"
    return "unused" if bay == "free" or now >= ends_at else "wait"


def decide_suspension(
    *, no_shows: Sequence[datetime], now: datetime, limit: int, window: timedelta, length: timedelta
) -> datetime | None:
    """Return until when booking is suspended after this no-show (the last of `no_shows`), or None.

    `no_shows` are those that were not answered by an earlier suspension. Three in 30 days: 7 days (domain.md
    "Booking").
    """
    recent = [at for at in no_shows if at > now - window]
    return now + length if limit > 0 and len(recent) >= limit else None
