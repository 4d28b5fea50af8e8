"""The term of an agreement: twelve calendar months on the Beijing clock."""

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

BEIJING = ZoneInfo("Asia/Shanghai")
TERM_MONTHS = 12
RENEWABLE_WITHIN = timedelta(days=30)
"""How long before its end an agreement may be followed by the next one."""

SIGN_WITHIN = timedelta(days=30)
"""An approved application that is not signed by then lapses: it must not keep the plate from others for ever."""

KEEP_AFTER_END = timedelta(days=3 * 366)
"""Signed contracts are kept three years after their end (domain.md, Personal data); no day is missing."""

KEEP_UNSIGNED = timedelta(days=30)
"""Evidence of applications that came to nothing goes after 30 days, like all pictures."""


def term_end(starts_at: datetime, *, months: int = TERM_MONTHS) -> datetime:
    """Return the end (exclusive) of a term: the same wall-clock moment so many months later.

    A day that the month does not have becomes its last one (29 February: 28 February). Aware in, UTC offset of Beijing
    out; Beijing has no daylight saving time, so the wall clock never jumps.
    """
    local = starts_at.astimezone(BEIJING)
    month_index = local.month - 1 + months
    year, month = local.year + month_index // 12, month_index % 12 + 1
    first_of_next = local.replace(year=year + month // 12, month=month % 12 + 1, day=1)
    last_day = (first_of_next - timedelta(days=1)).day
    return local.replace(year=year, month=month, day=min(local.day, last_day)).astimezone(starts_at.tzinfo)
