"""Which month is meant, and how it is written: calendar months of Asia/Shanghai."""

import re
from dataclasses import dataclass
from datetime import date, datetime, time
from zoneinfo import ZoneInfo

BEIJING = ZoneInfo("Asia/Shanghai")
FIRST_YEAR = 2020


@dataclass(frozen=True, slots=True)
class Month:
    """A calendar month, half-open, as days and as instants."""

    name: str
    first: date
    end: date

    @property
    def from_at(self) -> datetime:
        """Return its first instant."""
        return datetime.combine(self.first, time(), BEIJING)

    @property
    def to_at(self) -> datetime:
        """Return the first instant after it."""
        return datetime.combine(self.end, time(), BEIJING)


def read_month(text: str, *, now: datetime) -> Month | None:
    """Return the month of `2026-06`; None for anything else and for a month that has not begun."""
    found = re.fullmatch(r"([0-9]{4})-(0[1-9]|1[0-2])", text)
    if found is None or int(found[1]) < FIRST_YEAR:
        return None
    year, number = int(found[1]), int(found[2])
    end = date(year + 1, 1, 1) if number == 12 else date(year, number + 1, 1)
    month = Month(text, date(year, number, 1), end)
    return month if month.from_at <= now else None
