"""Which slots of a day can be booked, and which connector and bay a booking gets. Pure; issue 4 deepens the choice.

What is offered can be booked: `/slots` and the assignment ask the same question of the same busy times.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID

from backend.reservations.rules.periods import BookingTerms, ceil_to, floor_to, held_until, latest_end, open_until

Refusal = Literal["in_the_past", "too_far_ahead", "off_grid", "too_short", "too_long", "closed"]


@dataclass(frozen=True)
class Span:
    """A half-open period."""

    starts_at: datetime
    ends_at: datetime


@dataclass(frozen=True)
class Place:
    """A connector with one bay it reaches, and when either is held by somebody (sorted, not overlapping)."""

    connector_id: UUID
    bay_id: UUID | None
    power: Literal["ac", "dc"]
    busy: tuple[Span, ...]
    starts: tuple[datetime, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "starts", tuple(span.starts_at for span in self.busy))

    def free_around(self, at: datetime) -> tuple[datetime | None, datetime | None] | None:
        """Return (since when, until when) the place is free around `at` (None: no bound), or None when it is held."""
        after = bisect_right(self.starts, at)
        if after and self.busy[after - 1].ends_at > at:
            return None
        since = self.busy[after - 1].ends_at if after else None
        until = self.busy[after].starts_at if after < len(self.busy) else None
        return since, until


@dataclass(frozen=True)
class SlotOffer:
    """A start that can be booked, with the longest end; every shorter slot on the grid can be booked too."""

    starts_at: datetime
    longest_until: datetime


def merge(spans: Iterable[Span]) -> tuple[Span, ...]:
    """Return the union of the periods, sorted and not overlapping."""
    merged: list[Span] = []
    for span in sorted(spans, key=lambda s: s.starts_at):
        if merged and span.starts_at <= merged[-1].ends_at:
            merged[-1] = Span(merged[-1].starts_at, max(merged[-1].ends_at, span.ends_at))
        else:
            merged.append(span)
    return tuple(merged)


def refuse_slot(
    *, starts_at: datetime, ends_at: datetime, longest: timedelta, now: datetime, terms: BookingTerms
) -> Refusal | None:
    """Return why this period can never be a slot, or None."""
    if starts_at < now:
        return "in_the_past"
    if starts_at >= now + terms.ahead:
        return "too_far_ahead"
    if any(floor_to(at, terms.grid) != at for at in (starts_at, ends_at)):
        return "off_grid"
    if ends_at - starts_at < terms.shortest:
        return "too_short"
    if ends_at - starts_at > longest:
        return "too_long"
    closes_at = open_until(starts_at, terms)
    return "closed" if closes_at is None or ends_at > closes_at else None


def longest_end(place: Place, starts_at: datetime, terms: BookingTerms) -> datetime | None:
    """Return the longest end of a slot that starts then, or None when not even the shortest fits."""
    free = place.free_around(starts_at)
    closes_at = open_until(starts_at, terms)
    if free is None or closes_at is None:
        return None
    end = floor_to(min(starts_at + terms.longest(place.power), closes_at), terms.grid)
    if free[1] is not None and held_until(end, terms) > free[1]:
        end = min(end, latest_end(free_until=free[1], terms=terms, step=terms.grid))
    return end if end - starts_at >= terms.shortest else None


def fits(place: Place, starts_at: datetime, ends_at: datetime, terms: BookingTerms) -> bool:
    """Say whether the slot, and the gap after it, is free at the place."""
    free = place.free_around(starts_at)
    return free is not None and (free[1] is None or held_until(ends_at, terms) <= free[1])


def day_slots(
    places: Sequence[Place], *, opens_at: datetime, closes_at: datetime, now: datetime, terms: BookingTerms
) -> list[SlotOffer]:
    """Return every start in `[opens_at, closes_at)` that some place can take, with the longest end any place allows.

    The answer is `longest_end` of every place at every start. It is found a free stretch at a time: how long a slot
    may be depends on the start alone until it meets the end of the stretch, and on that end alone from there on.
    """
    starts: list[datetime] = []
    starts_at = ceil_to(max(opens_at, now), terms.grid)
    last = min(closes_at, now + terms.ahead)
    while starts_at < last:
        starts.append(starts_at)
        starts_at += terms.grid
    if terms.open_from_min != terms.open_to_min:
        return _within_hours(places, starts, terms)
    best: list[datetime | None] = [None] * len(starts)
    for power in {place.power for place in places}:
        ends = [floor_to(start + terms.longest(power), terms.grid) for start in starts]
        held = [held_until(end, terms) for end in ends]
        for stretch in _stretches(place for place in places if place.power == power):
            _offer(stretch, starts, ends, held, best, terms)
    return [SlotOffer(start, end) for start, end in zip(starts, best, strict=True) if end is not None]


def _within_hours(places: Sequence[Place], starts: Sequence[datetime], terms: BookingTerms) -> list[SlotOffer]:
    """Return the offers of a station that closes: few starts a day, so each is asked of every place."""
    offers: list[SlotOffer] = []
    for starts_at in starts:
        ends = [end for place in places if (end := longest_end(place, starts_at, terms)) is not None]
        if ends:
            offers.append(SlotOffer(starts_at, max(ends)))
    return offers


def _stretches(places: Iterable[Place]) -> set[tuple[datetime | None, datetime | None]]:
    """Every free stretch of the places (None: no bound), each once."""
    found: set[tuple[datetime | None, datetime | None]] = set()
    for place in places:
        since: datetime | None = None
        for span in place.busy:
            if since is None or since < span.starts_at:
                found.add((since, span.starts_at))
            since = span.ends_at
        found.add((since, None))
    return found


def _offer(
    stretch: tuple[datetime | None, datetime | None],
    starts: Sequence[datetime],
    ends: Sequence[datetime],
    held: Sequence[datetime],
    best: list[datetime | None],
    terms: BookingTerms,
) -> None:
    """Put the longest ends of the slots that start in a free stretch into `best` where they are longer."""
    since, until = stretch
    first = 0 if since is None else bisect_left(starts, since)
    beyond = len(starts) if until is None else bisect_left(starts, until)
    # Up to here the longest slot of all ends, gap included, before the stretch does.
    whole = beyond if until is None else min(beyond, bisect_right(held, until))
    for index in range(first, max(first, whole)):
        end = ends[index]
        known = best[index]
        if (known is None or end > known) and end - starts[index] >= terms.shortest:
            best[index] = end
    if until is None or whole >= beyond:
        return
    latest = latest_end(free_until=until, terms=terms, step=terms.grid)
    for index in range(max(first, whole), beyond):
        end = min(ends[index], latest)
        if end - starts[index] < terms.shortest:
            break
        known = best[index]
        if known is None or end > known:
            best[index] = end


def rank_places(
    places: Sequence[Place], *, starts_at: datetime, ends_at: datetime, now: datetime, terms: BookingTerms
) -> list[Place]:
    """Return the places that can take the slot, the best first: fewest unusable gaps, then tightest fit.

    A gap is unusable when it is shorter than the shortest slot with its vacate gap. Equal fits keep a stable order.
    AC comes before DC, which is scarce; a caller who wants DC asks for it.
    """

    def cost(place: Place) -> tuple[bool, int, timedelta, str, str]:
        since, until = place.free_around(starts_at) or (None, None)
        before = starts_at - max(since or now, now)
        after = None if until is None else until - held_until(ends_at, terms)
        unusable = sum(timedelta(0) < gap < terms.shortest + terms.gap for gap in (before, after) if gap is not None)
        slack = before + (terms.ahead if after is None else after)
        return place.power == "dc", unusable, slack, str(place.connector_id), str(place.bay_id)

    return sorted((p for p in places if fits(p, starts_at, ends_at, terms)), key=cost)
