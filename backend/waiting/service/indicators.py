"""Waits as operators and inspectors read them."""

from collections.abc import Collection
from datetime import date, datetime, time, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

from backend.waiting import store, store_fallback
from backend.waiting.rules.waits import UserClass
from backend.waiting.store import WaitFigure
from backend.waiting.store_fallback import ArrivalFigure

BEIJING = ZoneInfo("Asia/Shanghai")
PROMISE_S = 300


async def wait_figures(
    *, company_ids: Collection[UUID], first: date, last: date, user_class: UserClass | None, station_id: UUID | None
) -> list[WaitFigure]:
    """Return arrivals, those within 5 minutes, median, 95th percentile and worst wait by station and Beijing day."""
    since = datetime.combine(first, time(0), BEIJING)
    until = datetime.combine(last + timedelta(days=1), time(0), BEIJING)
    return await store.list_wait_figures(
        sorted(company_ids), since, until, within_s=PROMISE_S, user_class=user_class, station_id=station_id
    )


async def arrivals_behind(
    *,
    company_ids: Collection[UUID],
    station_id: UUID,
    day: date,
    user_class: UserClass | None,
    after: UUID | None,
    limit: int,
) -> list[ArrivalFigure]:
    """Return the arrivals behind one station's figure of one Beijing day; nothing in them names a person."""
    since = datetime.combine(day, time(0), BEIJING)
    return await store_fallback.list_arrivals_behind(
        sorted(company_ids),
        station_id,
        since,
        since + timedelta(days=1),
        user_class=user_class,
        after=after,
        limit=limit,
    )
