"""What a package is and from when to when one is had: calendar months on the Beijing clock.

Packages are billed in arrears (domain.md, Money): the energy they include is free of *service fee* only, and the line
of a period is capped by `charging.rules.packages`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Literal
from uuid import UUID

from backend.agreements.rules.terms import BEIJING, term_end

PackageKind = Literal["pay_as_you_go", "valley", "bundle", "trial"]
Band = Literal["sharp", "peak", "flat", "valley"]

NEW_RESIDENT_WITHIN = timedelta(days=60)
"""A trial is for who has had an agreement with the company for no longer than this."""

MAX_PRICE_FEN = 1_000_000


@dataclass(frozen=True)
class PackageTerms:
    """What a package gives for what price a calendar month."""

    kind: PackageKind
    price_fen: int
    included_wh: int
    bands: tuple[str, ...]
    max_periods: int | None
    available_from: datetime | None = None
    available_until: datetime | None = None


@dataclass(frozen=True)
class Choice:
    """A package from an instant on; the newest choice before an instant is the one that counts."""

    package_id: UUID
    effective_from: datetime


@dataclass(frozen=True)
class Stretch:
    """A package during the half-open part of a month in which it was had."""

    package_id: UUID
    starts_at: datetime
    ends_at: datetime


@dataclass(frozen=True)
class Share:
    """What of a package's price and included energy falls to a part of a month."""

    price_fen: int
    included_wh: int


def share_of(terms: PackageTerms, *, stretch: Stretch, month: tuple[datetime, datetime]) -> Share:
    """Return price and included energy of a stretch: a package begun or ended within a month counts by its time.

    The price is rounded down and the energy up, both for the resident.
    """
    second = timedelta(seconds=1)
    had, whole = -(-(stretch.ends_at - stretch.starts_at) // second), (month[1] - month[0]) // second
    return Share(price_fen=terms.price_fen * had // whole, included_wh=-(-terms.included_wh * had // whole))


def month_of(at: datetime) -> tuple[datetime, datetime]:
    """Return begin and end (exclusive) of the Beijing month that `at` lies in, in the zone of `at`."""
    start = at.astimezone(BEIJING).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    return start.astimezone(at.tzinfo), term_end(start, months=1).astimezone(at.tzinfo)


def wrong_terms(terms: PackageTerms) -> tuple[str, str] | None:
    """Return the field that makes no package, and what would be right; None when all is well."""
    checks = (
        (not 0 <= terms.price_fen <= MAX_PRICE_FEN, "price_fen", f"0 to {MAX_PRICE_FEN} fen a month"),
        (terms.included_wh < 0, "included_wh", "not negative"),
        (terms.kind == "pay_as_you_go", "kind", "valley, bundle or trial: pay as you go is there already"),
        (terms.included_wh == 0, "included_wh", "more than 0 Wh: a package includes energy free of service fee"),
        (terms.kind in ("valley", "bundle") and terms.price_fen == 0, "price_fen", "more than 0 fen"),
        (terms.kind == "valley" and terms.bands != ("valley",), "bands", "valley alone"),
        (len(set(terms.bands)) != len(terms.bands), "bands", "each band once; none for all bands"),
        ((terms.kind == "trial") != (terms.max_periods is not None), "max_periods", "for a trial 1 to 12, else null"),
        (terms.max_periods is not None and not 1 <= terms.max_periods <= 12, "max_periods", "1 to 12 months"),
        (
            terms.available_from is not None
            and terms.available_until is not None
            and terms.available_until <= terms.available_from,
            "available_until",
            "later than available_from",
        ),
    )
    return next(((field, right) for wrong, field, right in checks if wrong), None)


def effective_from(*, present: PackageKind, now: datetime) -> datetime:
    """Return from when a choice counts: at once from pay as you go, else from the next month.

    A package that runs is billed whole at its month's end, so that it is never changed or ended within the month.
    """
    return now if present == "pay_as_you_go" else month_of(now)[1]


def trial_ends(*, starts_at: datetime, max_periods: int) -> datetime:
    """Return when a trial gives way to pay as you go: after so many calendar months, the one it begins in counted."""
    return term_end(month_of(starts_at)[0], months=max_periods)


def stretches(
    choices: Sequence[Choice],
    *,
    default: UUID,
    month: tuple[datetime, datetime],
    term: tuple[datetime, datetime],
    ends: dict[UUID, datetime],
) -> list[Stretch]:
    """Return which package was had when in a month, in order, without gaps, within the term.

    `choices` in the order they were made: of those for one instant the last counts. A package whose own end (`ends`)
    lies at or before the stretch's beginning does not begin again: from then on it is `default` (pay as you go). One
    that ends within the stretch runs to the end of the month it began in.
    """
    begin, end = max(month[0], term[0]), min(month[1], term[1])
    if begin >= end:
        return []
    ordered = sorted(choices, key=lambda choice: choice.effective_from)  # stable: later made comes after
    edges = sorted({begin, end, *(c.effective_from for c in ordered if begin < c.effective_from < end)})
    found: list[Stretch] = []
    for starts_at, ends_at in pairwise(edges):
        had = next((c.package_id for c in reversed(ordered) if c.effective_from <= starts_at), default)
        if had in ends and ends[had] <= starts_at:
            had = default
        if found and found[-1].package_id == had:
            found[-1] = Stretch(had, found[-1].starts_at, ends_at)
        else:
            found.append(Stretch(had, starts_at, ends_at))
    return found
