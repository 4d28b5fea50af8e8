"""How long each kind of claim holds its connector, and until when a walk-up may stay (domain.md "Booking")."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Literal

from backend.reservations.rules.periods import BookingTerms, held_until, latest_end, open_until
from backend.reservations.rules.words import ClaimKind, ClaimView

MINUTE = timedelta(minutes=1)
WalkUpRefusal = Literal["agreement_needed", "closed", "taken", "too_little_time"]


def held_for(kind: ClaimKind, ends_at: datetime, terms: BookingTerms) -> datetime:
    """Return until when a claim of this kind holds its connector: cars need a gap to leave, offers and works do not."""
    return held_until(ends_at, terms) if kind in ("booking", "walk_up") else ends_at


def decide_walk_up(
    *,
    zone: Literal["resident", "public"],
    has_agreement: bool,
    holders: Sequence[ClaimView],
    next_starts_at: datetime | None,
    longest: timedelta,
    now: datetime,
    terms: BookingTerms,
) -> datetime | WalkUpRefusal:
    """Return until when a walk-up may hold a connector from now, or why it may not.

    The resident zone is for agreement residents, and nobody charges outside the opening hours. Of the claims that
    cover `now` (`holders`) only an offer lets a walk-up in: the claim itself, made afterwards, tells whether the offer
    was the caller's. The next claim, less the vacate gap, ends it, and so does the end of the opening hours; at least
    the shortest slot must be left.
    """
    if zone == "resident" and not has_agreement:
        return "agreement_needed"
    closes_at = open_until(now, terms)
    if closes_at is None:
        return "closed"
    if any(holder.kind != "offer" for holder in holders):
        return "taken"
    end = min(now + longest, closes_at)
    if end - now < min(terms.shortest, longest):
        return "too_little_time"
    if next_starts_at is not None and held_until(end, terms) > next_starts_at:
        end = latest_end(free_until=next_starts_at, terms=terms, step=MINUTE)
        if end - now < terms.shortest:
            return "too_little_time"
    return end
