"""Decide the fee of a car that stays after charging (占位费).

Grace, a price per minute, a cap; free at night, and free while another connector of the zone is free.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

BEIJING = ZoneInfo("Asia/Shanghai")


@dataclass(frozen=True, slots=True)
class OverstayTerms:
    """What a station asks for overstay (domain.md: 10 min grace, 0.5 yuan/min, at most 50 yuan)."""

    grace_s: int = 600
    fen_per_min: int = 50
    cap_fen: int = 5000
    free_from_min: int = 23 * 60
    free_to_min: int = 7 * 60


@dataclass(frozen=True, slots=True)
class ZoneLook:
    """What was seen at an instant: whether another connector of the zone was free."""

    at: datetime
    other_free: bool


def charged_from(*, charging_ended_at: datetime, booked_until: datetime | None, terms: OverstayTerms) -> datetime:
    """The instant from which minutes may cost: after the grace, from the end of charging or of the booked time."""
    later = charging_ended_at if booked_until is None else max(charging_ended_at, booked_until)
    return later + timedelta(seconds=terms.grace_s)


def quiet_edges(*, start: datetime, end: datetime, terms: OverstayTerms) -> list[datetime]:
    """The instants in (start, end) at which the night's free hours begin or end, by Beijing's clock."""
    edges: list[datetime] = []
    day = start.astimezone(BEIJING).date() - timedelta(days=1)
    last = end.astimezone(BEIJING).date()
    while day <= last:
        midnight = datetime.combine(day, time(), BEIJING).astimezone(UTC)
        edges.extend(midnight + timedelta(minutes=minute) for minute in (terms.free_to_min, terms.free_from_min))
        day += timedelta(days=1)
    return sorted(edge for edge in edges if start < edge < end)


def is_quiet(at: datetime, terms: OverstayTerms) -> bool:
    """Whether an instant lies in the free hours by Beijing's clock; they may pass midnight."""
    wall = at.astimezone(BEIJING)
    minute = wall.hour * 60 + wall.minute
    if terms.free_from_min <= terms.free_to_min:
        return terms.free_from_min <= minute < terms.free_to_min
    return minute >= terms.free_from_min or minute < terms.free_to_min


def charged_seconds(*, looks: Sequence[ZoneLook], from_at: datetime, until: datetime, terms: OverstayTerms) -> int:
    """Seconds of overstay that cost: in [from_at, until), by day, between two looks that both saw no free connector.

    What was not looked at is not charged: the operator has to show that somebody was kept waiting.
    """
    seconds = timedelta(0)
    ordered = sorted(looks, key=lambda look: look.at)
    for look, following in pairwise(ordered):
        if look.other_free or following.other_free:
            continue
        start, end = max(look.at, from_at), min(following.at, until)
        if start >= end:
            continue
        stops = [start, *quiet_edges(start=start, end=end, terms=terms), end]
        for piece_from, piece_to in pairwise(stops):
            if not is_quiet(piece_from, terms):
                seconds += piece_to - piece_from
    return seconds // timedelta(seconds=1)


def overstay_fee_fen(*, looks: Sequence[ZoneLook], from_at: datetime, until: datetime, terms: OverstayTerms) -> int:
    """The overstay fee: full minutes only, never above the cap."""
    minutes = charged_seconds(looks=looks, from_at=from_at, until=until, terms=terms) // 60
    return min(minutes * terms.fen_per_min, terms.cap_fen)
