"""From a session's stored readings to meter points, price periods, running cost and the evidence for its bill."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import pairwise

import msgspec

from backend.charging.rules.billing import (
    Bill,
    MeterPoint,
    PricePeriod,
    bill_session,
    find_doubts,
    keep_cap,
    order_points,
    thin_points,
)
from backend.charging.rules.packages import Allowance, use_allowance
from backend.charging.store import SessionView
from backend.tariffs.rules.bands import PriceSnapshot, split_by_band
from backend.telemetry import service as telemetry

MAX_GAP_S = 300
"""Twenty of a charger's report intervals: what is shorter cannot hide a price change that matters."""
STALE_START = timedelta(seconds=MAX_GAP_S)


class Metered(msgspec.Struct, frozen=True, kw_only=True):
    """What the meter says of a session: points from its start to its end, or to now, and what is wrong with them."""

    start: MeterPoint | None
    points: tuple[MeterPoint, ...]
    doubts: tuple[str, ...]
    has_reading_after_end: bool


def price_periods(tariff: PriceSnapshot, *, start: datetime, end: datetime) -> list[PricePeriod]:
    """The bands that cover a session, each with its two prices."""
    upto = end if end > start else start + timedelta(microseconds=1)
    return [
        PricePeriod(s.starts_at, s.ends_at, s.band.name, s.band.energy_e4, s.band.service_e4)
        for s in split_by_band(tariff, start, upto)
    ]


async def measure(session: SessionView, *, until: datetime) -> Metered:
    """Collect a session's meter points up to its end, or to `until` while it runs.

    The start meter is the last reading before the start command was acknowledged (where the acknowledgement was lost:
    before the session started). It is placed at that instant, because no energy can have flowed before. The end is
    what `session_ended` said, else the last reading.
    """
    accepted = min((at for at in (session.accepted_at, session.started_at) if at is not None), default=None)
    if accepted is None:
        return Metered(start=None, points=(), doubts=(), has_reading_after_end=False)
    before = await telemetry.last_reading(connector_id=session.connector_id, before=accepted)
    last = session.ended_at or until
    found = await telemetry.meter_points(
        connector_id=session.connector_id, since=accepted, until=last + timedelta(minutes=2)
    )
    in_session = [MeterPoint(at, meter_wh) for at, meter_wh in found if at <= last]
    later = [MeterPoint(at, meter_wh) for at, meter_wh in found if at > last]
    start, doubts = _start_point(session, before, accepted)
    if start is None:
        return Metered(start=None, points=(), doubts=tuple(doubts), has_reading_after_end=bool(later))
    end: list[MeterPoint] = []
    if session.ended_at is not None:
        if session.end_meter_wh is not None:
            end = [MeterPoint(session.ended_at, session.end_meter_wh)]
        elif later:
            end = [MeterPoint(session.ended_at, later[0].meter_wh)]
    in_device_order = [start, *in_session, *end]
    if any(b.meter_wh < a.meter_wh for a, b in pairwise(in_device_order)):
        doubts.append("reset" if min(p.meter_wh for p in in_device_order) < start.meter_wh else "rollback")
    points = order_points(in_device_order)
    if session.ended_at is not None and later and end and later[0].meter_wh < end[-1].meter_wh:
        doubts.append("rollback")
    periods = price_periods(session.tariff, start=points[0].at, end=points[-1].at)
    doubts.extend(d.reason for d in find_doubts(points, periods, start=start, max_gap_s=MAX_GAP_S))
    return Metered(
        start=start, points=tuple(points), doubts=tuple(dict.fromkeys(doubts)), has_reading_after_end=bool(later)
    )


def _start_point(
    session: SessionView, before: telemetry.Reading | None, accepted: datetime
) -> tuple[MeterPoint | None, list[str]]:
    if before is None:
        return None, []
    start = MeterPoint(accepted, before.meter_wh)
    reported = session.start_meter_wh
    if reported is not None and reported < before.meter_wh:
        return start, ["rollback"]
    # A reading long before the start may miss what others drew in between; then the charger's own word has to agree.
    if accepted - before.occurred_at > STALE_START and reported is not None and reported != before.meter_wh:
        return start, ["start_mismatch"]
    return start, []


def price(session: SessionView, points: Sequence[MeterPoint], *, allowance: Allowance | None = None) -> Bill:
    """Bill these points at the session's own prices, capped for agreement sessions, less what a package frees."""
    if not points:
        return Bill(lines=())
    periods = price_periods(session.tariff, start=points[0].at, end=points[-1].at)
    return free(bill_session(points, periods, capped=session.user_class == "agreement"), allowance)


def free(bill: Bill, allowance: Allowance | None) -> Bill:
    """Free what a package includes from service fee, and keep the cap."""
    if allowance is None or allowance.left_wh <= 0:
        return bill
    return Bill(lines=tuple(keep_cap(use_allowance(bill.lines, allowance))))


class RunningMeter:
    """Prices a running session at every new sample, keeping only the readings a bill needs."""

    def __init__(
        self, session: SessionView, points: Sequence[MeterPoint], *, allowance: Allowance | None = None
    ) -> None:
        self._session = session
        self._allowance = allowance
        self._points = list(points)

    def take(self, point: MeterPoint) -> Bill:
        """Add a reading (an older or falling one is left out of the display) and return the bill so far."""
        if self._points and (point.at <= self._points[-1].at or point.meter_wh < self._points[-1].meter_wh):
            return price(self._session, self._points, allowance=self._allowance)
        self._points.append(point)
        periods = price_periods(self._session.tariff, start=self._points[0].at, end=point.at)
        self._points = thin_points(self._points, [period.from_at for period in periods[1:]])
        return price(self._session, self._points, allowance=self._allowance)
