"""Play one week of a demand at a station."""

from collections.abc import Callable
from datetime import UTC, datetime, time

from backend.simulation.demand import BEIJING, MONDAY, Demand
from backend.simulation.records import WeekRun
from backend.simulation.station import SimulatedStation
from backend.simulation.week import Week
from backend.simulation.world import FAULTS_PER_GUN


def simulate_week(
    station: SimulatedStation,
    demand: Demand,
    *,
    agreements: int | None = None,
    seed: int = 0,
    faults_per_gun: float = FAULTS_PER_GUN,
    on_progress: Callable[[int], None] | None = None,
) -> WeekRun:
    """Play one week of so many agreements (None: the demand's own number); the same seed gives the same week."""
    count = demand.agreements if agreements is None else agreements
    trips = demand.trips(agreements=count, seed=seed)
    starts_at = min((trip.arrives_at for trip in trips), default=MONDAY).astimezone(BEIJING)
    midnight = datetime.combine(starts_at.date(), time(0), BEIJING).astimezone(UTC)
    week = Week(station, trips, seed=seed, agreements=count, starts_at=midnight, faults_per_gun=faults_per_gun)
    return week.run(on_progress=on_progress)
