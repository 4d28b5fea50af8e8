"""How long a connector is held: slot lengths, the vacate gap, and cars that stay overnight (domain.md "Booking").

Overstay costs nothing in the quiet hours (23:00-07:00 unless the station says otherwise), so a car whose fee would
start in them is expected to stay until they end: the connector is held until then, and what `/slots` offers can
really be booked.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

BEIJING = ZoneInfo("Asia/Shanghai")


@dataclass(frozen=True, kw_only=True)
class BookingTerms:
    """The numbers of a station that decide about periods. `quiet_*_min` are minutes of the Beijing day; equal means
    none.
    """

    grid: timedelta = timedelta(minutes=15)
    shortest: timedelta = timedelta(minutes=30)
    longest_ac: timedelta = timedelta(hours=8)
    longest_dc: timedelta = timedelta(hours=2)
    gap: timedelta = timedelta(minutes=10)
    grace: timedelta = timedelta(minutes=10)
    quiet_from_min: int = 23 * 60
    quiet_to_min: int = 7 * 60
    ahead: timedelta = timedelta(days=7)
    open_from_min: int = 0
    open_to_min: int = 0

    def longest(self, power: Literal["ac", "dc"]) -> timedelta:
        """Return the longest slot of a power class."""
        return self.longest_dc if power == "dc" else self.longest_ac


def quiet_until(at: datetime, terms: BookingTerms) -> datetime | None:
    """Return when the quiet hours that cover `at` end, or None outside them."""
    start, end = terms.quiet_from_min, terms.quiet_to_min
    if start == end:
        return None
    local = at.astimezone(BEIJING)
    minute = local.hour * 60 + local.minute
    covered = start <= minute < end if start < end else minute >= start or minute < end
    if not covered:
        return None
    day = local.date() + timedelta(days=1 if minute >= end else 0)
    return datetime.combine(day, time(end // 60, end % 60), BEIJING).astimezone(UTC)


def open_until(at: datetime, terms: BookingTerms) -> datetime | None:
    """Return when the station closes next after `at`, or None when it is closed then. Equal minutes: always open.

    Opening hours may go over midnight; both are minutes of the Beijing day.
    """
    opens, closes = terms.open_from_min, terms.open_to_min
    if opens == closes:
        return datetime.max.replace(tzinfo=UTC)
    local = at.astimezone(BEIJING)
    minute = local.hour * 60 + local.minute
    is_open = opens <= minute < closes if opens < closes else minute >= opens or minute < closes
    if not is_open:
        return None
    day = local.date() + timedelta(days=1 if minute >= closes else 0)
    return datetime.combine(day, time(closes // 60, closes % 60), BEIJING).astimezone(UTC)


def leaves_by(ends_at: datetime, terms: BookingTerms) -> datetime:
    """Return when a car whose time ends at `ends_at` is expected to be gone: at once, or when the quiet hours end."""
    return quiet_until(ends_at + terms.grace, terms) or quiet_until(ends_at, terms) or ends_at


def held_until(ends_at: datetime, terms: BookingTerms) -> datetime:
    """Return until when a connector is held: until the car is expected to be gone, and the vacate gap.

    A later end never gives an earlier answer, so every slot shorter than a possible one is possible too.
    """
    return leaves_by(ends_at, terms) + terms.gap


def latest_end(*, free_until: datetime, terms: BookingTerms, step: timedelta) -> datetime:
    """Return the last end (a multiple of `step`) whose car is gone, gap included, by `free_until`.

    Where that end falls into quiet hours, the car would stay until morning: then it is the last end before them.
    """
    end = floor_to(free_until - terms.gap, step)
    if held_until(end, terms) <= free_until:
        return end
    morning = leaves_by(end, terms)
    evening = morning - timedelta(minutes=(terms.quiet_to_min - terms.quiet_from_min) % 1440)
    end = floor_to(evening - terms.grace, step)
    while leaves_by(end, terms) > end:
        end -= step
    return end


def floor_to(at: datetime, step: timedelta) -> datetime:
    """Return the last multiple of `step` since the epoch not after `at`; grids of 15 minutes agree with Beijing's
    clock.
    """
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    return at - (at - epoch) % step


def ceil_to(at: datetime, step: timedelta) -> datetime:
    """Return the first multiple of `step` not before `at`."""
    floor = floor_to(at, step)
    return floor if floor == at else floor + step
