"""One-minute roll-ups of the history, and raw samples kept around incidents.

Samples are merged by arrival, each once; a minute whose samples came late grows. When an arrival day is over, the
number merged is held against the number stored: a day that differs (something arrived behind our back) is made anew.
"""

from datetime import UTC, date, datetime, time, timedelta
from uuid import UUID

import msgspec

from backend.core import db
from backend.stations.service import holds
from backend.telemetry import store_rollups as store

MARGIN = timedelta(seconds=60)
"""A bridge stamps arrival before it appends, and may wait for Valkey in between; what waits longer is found at the
day's close."""
STEP = timedelta(hours=1)
MOST_STEPS = 200
CLOSE_AFTER = timedelta(hours=1)
LOOK_BACK_DAYS = 7
AROUND_INCIDENT = timedelta(hours=1)


class Minute(msgspec.Struct, frozen=True, kw_only=True):
    """What a connector's samples of one minute come to; battery values are None on AC."""

    minute: datetime
    samples: int
    flagged: int
    meter_min_wh: int
    meter_max_wh: int
    power_avg_w: int
    power_max_w: int
    gun_temp_max_c: float
    cabinet_temp_max_c: float | None
    insulation_min_ohm_per_v: float | None
    soc_min_pct: float | None
    soc_max_pct: float | None
    cell_v_max: float | None
    temp_max_c: float | None
    temp_min_c: float | None


async def roll(*, now: datetime) -> int:
    """Merge what has arrived and is surely stored; returns how many samples. One worker at a time, by row locks."""
    until = await store.ingested_until()
    if until is None:
        return 0
    until -= MARGIN
    merged = 0
    for _ in range(MOST_STEPS):
        step = await _step(until, now)
        if step is None:
            break
        merged += step
    return merged


async def _step(until: datetime, now: datetime) -> int | None:
    """Merge one hour of the oldest open day, or close it; None when there is nothing left to do."""
    async with db.transaction():
        today = now.astimezone(UTC).date()
        for row in await store.open_days(today - timedelta(days=LOOK_BACK_DAYS), today):
            day, rolled_to = row["received_on"], row["rolled_to"]
            ends_at = _start(day) + timedelta(days=1)
            target = min(until, ends_at, rolled_to + STEP)
            if target > rolled_to:
                merged = await store.merge(day, rolled_to, target)
                await store.move_rolled(day, target, row["samples"] + merged)
                return merged
            if rolled_to >= ends_at and now >= ends_at + CLOSE_AFTER:
                return await _close(day, row["samples"])
    return None


async def _close(day: date, samples: int) -> int:
    stored = await store.count_samples(day)
    if stored != samples:
        await store.forget_minutes(day)
        await store.merge(day, _start(day) - timedelta(days=1), _start(day) + timedelta(days=2))
        await store.move_rolled(day, _start(day) + timedelta(days=1), stored)
    await store.close_day(day)
    return abs(stored - samples)


def _start(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)


async def minutes(*, connector_id: UUID, since: datetime, until: datetime) -> list[Minute]:
    """Return the minutes of a connector in [since, until) that have samples, up to about two minutes ago."""
    return [Minute(**dict(row)) for row in await store.list_minutes(connector_id, since, until)]


async def keep_raw(
    *, station_id: UUID, reference_id: UUID, reason: str, since: datetime, until: datetime, now: datetime
) -> None:
    """Keep the raw samples of a station and time beyond their retention; asked again, the longer period holds."""
    await store.put_hold(reference_id, station_id, reason, since, until, now)


async def keep_around_incidents(*, now: datetime) -> None:
    """Keep raw what was measured from an hour before a safety hold to an hour after it, at that station."""
    for hold in await holds.list_holds(in_force_since=now - timedelta(days=LOOK_BACK_DAYS)):
        await keep_raw(
            station_id=hold.station_id,
            reference_id=hold.incident_id,
            reason="incident",
            since=hold.set_at - AROUND_INCIDENT,
            until=(hold.lifted_at or now) + AROUND_INCIDENT,
            now=now,
        )
