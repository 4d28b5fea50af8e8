"""Decide the parking fee (停车费) of a stay: free minutes, then every hour begun, at most so much a Beijing day."""

from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

BEIJING = ZoneInfo("Asia/Shanghai")
HOUR = timedelta(hours=1)


def parking_fee_fen(*, from_at: datetime, until: datetime, free_min: int, fen_per_hour: int, day_cap_fen: int) -> int:
    """Return the fee of a stay `[from_at, until)`.

    Hours are counted from the end of the free minutes; one that is begun costs whole and belongs to the day it begins
    in, by Beijing's clock. `day_cap_fen` 0 means that a day has no cap. A stay within the free minutes is free.
    """
    begins = from_at + timedelta(minutes=free_min)
    by_day: dict[date, int] = {}
    while begins < until and fen_per_hour > 0:
        day = begins.astimezone(BEIJING).date()
        by_day[day] = by_day.get(day, 0) + fen_per_hour
        begins += HOUR
    return sum(min(fen, day_cap_fen) if day_cap_fen else fen for fen in by_day.values())
