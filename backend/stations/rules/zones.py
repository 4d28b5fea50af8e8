"""Painted zones over time: who may use a gun when, and how early a change has to be announced. Pure.

A gun is of the resident zone while every bay it reaches is (as `connector_now` says for now).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise

from backend.stations.rules.topology import Zone

BEGINNING = datetime.min.replace(tzinfo=UTC)
END = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True)
class ZoneSpan:
    """A bay's zone in a half-open period."""

    zone: Zone
    starts_at: datetime
    ends_at: datetime


Period = tuple[datetime, datetime]


def periods_of_zone(bays: Iterable[Sequence[ZoneSpan]], zone: Zone) -> list[Period]:
    """Return when a gun that reaches these bays (each with its zones over time) is of the zone, by start.

    A time without a painted zone counts as public, and so does a gun without bays.
    """
    spans = [list(bay) for bay in bays]
    edges = sorted({BEGINNING, END, *(edge for bay in spans for s in bay for edge in (s.starts_at, s.ends_at))})
    found: list[Period] = []
    for since, until in pairwise(edges):
        resident = bool(spans) and all(
            any(s.zone == "resident" and s.starts_at <= since < s.ends_at for s in bay) for bay in spans
        )
        if resident != (zone == "resident"):
            continue
        if found and found[-1][1] == since:
            found[-1] = (found[-1][0], until)
        else:
            found.append((since, until))
    return found


def outside(periods: Sequence[Period]) -> list[Period]:
    """Return the time that the periods (by start, not overlapping) leave out."""
    found: list[Period] = []
    since = BEGINNING
    for starts_at, ends_at in periods:
        if since < starts_at:
            found.append((since, starts_at))
        since = ends_at
    return [*found, (since, END)] if since < END else found


def earliest_change(now: datetime, notice_days: int) -> datetime:
    """Return the first instant a zone may change that is announced now: signs and notice come before."""
    return now + timedelta(days=notice_days)
