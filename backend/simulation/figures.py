"""What a simulated week comes to: waits and the promise, utilisation, who did not come, who stayed, the prediction."""

import statistics
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from backend.simulation.records import Arrival, Charge, WeekRun
from backend.waiting.rules.fallback import owes_compensation

HOUR = timedelta(hours=1)


@dataclass(frozen=True, kw_only=True)
class WeekFigures:
    """The figures of one week. `share_within` and the percentiles are of agreement residents who came; None: nobody.

    Who gave up waiting counts as not served within the time, and the time until giving up as the wait, at least.
    `prediction_bias_s` is predicted less waited: positive where the service promises too long a wait. Who gave up is
    compared with the time after which it would have been their turn: those told of long waits are the ones who leave.
    `compensations` are owed to residents who waited longer than promised, the last step of the fallback plan.
    """

    arrivals: int
    outcomes: dict[str, int]
    came: int
    within: int
    share_within: float | None
    p50_s: int | None
    p95_s: int | None
    worst_s: int | None
    others_share_within: float | None
    utilisation: dict[UUID, float]
    utilisation_all: float
    utilisation_by_hour: list[float]
    bookings: int
    bookings_refused: int
    moved: int
    interrupted: int
    no_shows: int
    suspensions: int
    compensations: int
    overstays: int
    overnight_overstays: int
    predictions: int
    prediction_mae_s: float | None
    prediction_bias_s: float | None
    waits_s: list[int]


def figures_of(run: WeekRun) -> WeekFigures:
    """Return the figures of a finished week."""
    outcomes: dict[str, int] = defaultdict(int)
    for arrival in run.arrivals:
        outcomes[arrival.outcome or "open"] += 1
    promise_s = run.station.settings.max_wait_s
    residents = waits_of([a for a in run.arrivals if a.trip.resident])
    others = waits_of([a for a in run.arrivals if not a.trip.resident])
    errors = [
        float(a.predicted_s - after_s)
        for a in run.arrivals
        if a.predicted_s is not None and (after_s := a.wait_s if a.outcome == "served" else a.turn_after_s) is not None
    ]
    within = sum(wait <= promise_s and served for wait, served in residents)
    waits = sorted(wait for wait, _ in residents)
    use = utilisation(run)
    return WeekFigures(
        arrivals=len(run.arrivals),
        outcomes=dict(sorted(outcomes.items())),
        came=len(residents),
        within=within,
        share_within=within / len(residents) if residents else None,
        p50_s=percentile(waits, 50),
        p95_s=percentile(waits, 95),
        worst_s=waits[-1] if waits else None,
        others_share_within=(
            sum(wait <= promise_s and served for wait, served in others) / len(others) if others else None
        ),
        utilisation=use,
        utilisation_all=statistics.fmean(use.values()) if use else 0.0,
        utilisation_by_hour=by_hour(run),
        bookings=sum(a.booked for a in run.arrivals),
        bookings_refused=run.bookings_refused,
        moved=sum(a.moved for a in run.arrivals),
        interrupted=sum(a.interrupted for a in run.arrivals),
        no_shows=sum(a.outcome == "no_show" for a in run.arrivals),
        suspensions=run.suspensions,
        compensations=sum(
            owes_compensation(user_class="agreement", wait_s=wait, promise_s=promise_s) for wait, _ in residents
        ),
        overstays=sum(a.overstay_s > 0 for a in run.arrivals),
        overnight_overstays=sum(a.overnight for a in run.arrivals),
        predictions=len(errors),
        prediction_mae_s=statistics.fmean(map(abs, errors)) if errors else None,
        prediction_bias_s=statistics.fmean(errors) if errors else None,
        waits_s=waits,
    )


def waits_of(arrivals: Sequence[Arrival]) -> list[tuple[int, bool]]:
    """Return (seconds waited, whether served) of everybody who came and could have been served here."""
    found: list[tuple[int, bool]] = []
    for arrival in arrivals:
        if arrival.outcome == "served" and arrival.wait_s is not None:
            found.append((arrival.wait_s, True))
        elif arrival.outcome == "left" and arrival.counts_from is not None and arrival.left_at is not None:
            found.append((max(0, int((arrival.left_at - arrival.counts_from).total_seconds())), False))
    return found


def percentile(ordered: Sequence[int], percent: int) -> int | None:
    """Return the smallest value that so many percent do not pass (nearest rank), or None of nothing."""
    if not ordered:
        return None
    return ordered[max(0, -(-len(ordered) * percent // 100) - 1)]


def utilisation(run: WeekRun) -> dict[UUID, float]:
    """Return 时长利用率 by connector: time delivering energy over time in service (not broken), within the week."""
    delivering: dict[UUID, timedelta] = defaultdict(timedelta)
    broken: dict[UUID, timedelta] = defaultdict(timedelta)
    for spans, total in ((run.charges, delivering), (run.broken, broken)):
        for span in spans:
            total[span.connector_id] += _inside(span, run.starts_at, run.ends_at)
    week = run.ends_at - run.starts_at
    return {gun.id: delivering[gun.id] / (week - broken[gun.id]) for gun in run.station.guns if broken[gun.id] < week}


def by_hour(run: WeekRun) -> list[float]:
    """Return, for each hour of the week from its first, which part of the connectors' time delivered energy."""
    hours = [0.0] * (7 * 24)
    for charge in run.charges:
        at = max(charge.from_at, run.starts_at)
        while at < min(charge.until, run.ends_at):
            hour = (at - run.starts_at) // HOUR
            edge = min(run.starts_at + (hour + 1) * HOUR, charge.until, run.ends_at)
            hours[hour] += (edge - at) / HOUR
            at = edge
    return [hour / len(run.station.guns) if run.station.guns else 0.0 for hour in hours]


def _inside(span: Charge, start: datetime, end: datetime) -> timedelta:
    return max(timedelta(0), min(span.until, end) - max(span.from_at, start))
