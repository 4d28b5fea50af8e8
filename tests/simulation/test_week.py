"""A simulated week as a whole: the same seed the same week, everybody one outcome, nobody two places, and extremes."""

from collections import Counter, defaultdict
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import pairwise
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from backend.simulation.demand import MONDAY, PRESETS, Preset, Trip, numbered
from backend.simulation.figures import figures_of
from backend.simulation.playing import simulate_week
from backend.simulation.records import WeekRun
from backend.simulation.station import SimulatedStation, made_up
from backend.stations.rules.settings import StationSettings

COMPOUND = PRESETS["compound"]
SMALL = made_up(resident_dc=1, resident_ac=2, public_dc=1)


class Given(Preset):
    """A demand of trips that are given."""

    def __init__(self, *trips: Trip) -> None:
        super().__init__(name="given", what="", agreements=0, hours=(1,) * 24, others_per_day=0)
        object.__setattr__(self, "given", trips)

    def trips(self, *, agreements: int, seed: int) -> list[Trip]:
        """Return them."""
        found: tuple[Trip, ...] = self.given  # type: ignore[attr-defined]
        return numbered(found)


def trip(name: str, *, at_min: int, **changes: object) -> Trip:
    """A resident who wants 30 kWh on DC half an hour's worth, and leaves at once."""
    plain = Trip(
        number=0,
        vehicle=name.encode(),
        resident=True,
        arrives_at=MONDAY + timedelta(hours=10, minutes=at_min),
        energy_wh=30_000,
        power="dc",
        car_w=60_000,
        plugs_in_after=timedelta(0),
        patience=timedelta(hours=3),
    )
    return replace(plain, **changes)  # type: ignore[arg-type]


def overlapping(run: WeekRun) -> list[tuple[object, datetime]]:
    """Return every place and instant at which a second car stood while the first was there."""
    by_place: dict[object, list[tuple[datetime, datetime]]] = defaultdict(list)
    for stay in run.stays:
        by_place["connector", stay.connector_id].append((stay.from_at, stay.until))
        by_place["bay", stay.bay_id].append((stay.from_at, stay.until))
        by_place["car", stay.vehicle].append((stay.from_at, stay.until))
    return [
        (place, later[0])
        for place, stays in by_place.items()
        for earlier, later in pairwise(sorted(stays))
        if later[0] < earlier[1]
    ]


class TestAWeek:
    def test_is_the_same_for_the_same_seed(self) -> None:
        weeks = [simulate_week(SMALL, COMPOUND, agreements=40, seed=3) for _ in range(2)]
        assert weeks[0] == weeks[1]

    def test_is_another_for_another_seed(self) -> None:
        first, second = (simulate_week(SMALL, COMPOUND, agreements=40, seed=seed) for seed in (3, 4))
        assert [a.arrived_at for a in first.arrivals] != [a.arrived_at for a in second.arrivals]

    @settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(
        seed=st.integers(0, 10_000),
        agreements=st.integers(0, 90),
        guns=st.tuples(st.integers(0, 2), st.integers(0, 3), st.integers(0, 1), st.integers(0, 1)),
        preset=st.sampled_from(sorted(PRESETS)),
        faults=st.sampled_from([0.0, 0.1, 5.0]),
    )
    def test_gives_everybody_one_outcome_and_nobody_two_places(
        self, seed: int, agreements: int, guns: tuple[int, int, int, int], preset: str, faults: float
    ) -> None:
        station = made_up(resident_dc=guns[0], resident_ac=guns[1], public_dc=guns[2], public_ac=guns[3])
        demand = PRESETS[preset]
        run = simulate_week(station, demand, agreements=agreements, seed=seed, faults_per_gun=faults)
        trips = demand.trips(agreements=agreements, seed=seed)
        assert [arrival.trip for arrival in run.arrivals] == trips
        outcomes = Counter(arrival.outcome for arrival in run.arrivals)
        assert None not in outcomes
        assert len(run.stays) == outcomes["served"]
        assert overlapping(run) == []
        for arrival in run.arrivals:
            if arrival.outcome == "served":
                assert arrival.wait_s is not None
                assert arrival.arrived_at is not None
                assert arrival.started_at is not None
                assert arrival.left_at is not None
                assert arrival.arrived_at <= arrival.started_at <= arrival.left_at

    def test_of_a_busy_station_is_full_of_moves_and_faults(self) -> None:
        figures = figures_of(simulate_week(SMALL, COMPOUND, agreements=80, seed=1, faults_per_gun=5))
        assert figures.moved > 0
        assert figures.interrupted > 0
        assert figures.no_shows > 0
        assert figures.overnight_overstays > 0
        assert figures.outcomes["left"] > 0


class TestExtremes:
    def test_without_demand_nothing_happens_and_nothing_is_promised(self) -> None:
        figures = figures_of(simulate_week(made_up(), PRESETS["nobody"], seed=1, faults_per_gun=0))
        assert (figures.arrivals, figures.came, figures.share_within, figures.worst_s) == (0, 0, None, None)
        assert figures.utilisation_all == 0

    def test_one_connector_serves_one_after_the_other(self) -> None:
        one = made_up(resident_dc=1, resident_ac=0, public_dc=0)
        demand = Given(trip("a", at_min=0), trip("b", at_min=10))
        run = simulate_week(one, demand, faults_per_gun=0)
        first, second = run.arrivals
        assert (first.wait_s, first.outcome) == (0, "served")
        assert second.outcome == "served"
        # a charges half an hour from 10:00; b came at 10:10, is offered the gun at 10:30 and takes 20 s to answer
        assert second.wait_s == 20 * 60 + 20

    def test_a_station_without_public_guns_has_nothing_for_others(self) -> None:
        one = made_up(resident_dc=1, resident_ac=0, public_dc=0)
        run = simulate_week(one, Given(trip("a", at_min=0, resident=False, power=None)), faults_per_gun=0)
        assert [arrival.outcome for arrival in run.arrivals] == ["refused"]

    def test_who_booked_and_does_not_come_is_a_no_show_and_the_gun_is_given_back(self) -> None:
        one = made_up(resident_dc=1, resident_ac=0, public_dc=0)
        early = MONDAY + timedelta(hours=1)
        demand = Given(
            trip("a", at_min=0, books_at=early, shows_up=False), trip("b", at_min=5, patience=timedelta(hours=1))
        )
        run = simulate_week(one, demand, faults_per_gun=0)
        absent, patient = run.arrivals
        assert absent.outcome == "no_show"
        # the hold ends at 10:15; b came at 10:05
        assert (patient.outcome, patient.wait_s) == ("served", 10 * 60 + 20)

    def test_a_booked_car_finds_its_gun_however_many_walk_up(self) -> None:
        one = made_up(resident_dc=1, resident_ac=0, public_dc=0)
        booked = trip("a", at_min=60, books_at=MONDAY)
        walkers = [trip(f"w{n}", at_min=5 * n, patience=timedelta(minutes=30)) for n in range(12)]
        run = simulate_week(one, Given(booked, *walkers), faults_per_gun=0)
        arrival = next(a for a in run.arrivals if a.trip.vehicle == b"a")
        assert (arrival.user_class, arrival.wait_s) == ("booking", 0)

    def test_a_booking_whose_gun_is_still_taken_is_moved(self) -> None:
        two = made_up(resident_dc=2, resident_ac=0, public_dc=0)
        stays = trip("late", at_min=0, books_at=MONDAY, stays=timedelta(hours=2))
        comes = trip("next", at_min=60, books_at=MONDAY + timedelta(minutes=1))
        run = simulate_week(two, Given(stays, comes), faults_per_gun=0)
        late, following = run.arrivals
        assert late.overstay_s > 0
        assert (following.outcome, following.wait_s) == ("served", 0)

    @pytest.mark.parametrize("grace_s", [600, 7200])
    def test_overstay_begins_after_the_stations_own_grace(self, grace_s: int) -> None:
        station = made_up(resident_dc=1, settings=StationSettings(overstay_grace_s=grace_s))
        stays = trip("late", at_min=0, books_at=MONDAY, stays=timedelta(hours=1))
        late = simulate_week(station, Given(stays), faults_per_gun=0).arrivals[0]
        # booked 10:00-10:45, charged by 10:30, gone at 11:30
        assert late.overstay_s == max(0, 45 * 60 - grace_s)


class TestMonotony:
    def test_ten_times_the_agreements_wait_more_and_use_more(self) -> None:
        few, many = (figures_of(simulate_week(SMALL, COMPOUND, agreements=n, seed=5)) for n in (10, 100))
        assert few.share_within is not None
        assert many.share_within is not None
        assert many.share_within < few.share_within
        assert many.utilisation_all > few.utilisation_all

    def test_the_first_households_do_the_same_in_a_larger_compound(self) -> None:
        few = {t.vehicle: t.arrives_at for t in COMPOUND.trips(agreements=10, seed=5)}
        many = {t.vehicle: t.arrives_at for t in COMPOUND.trips(agreements=50, seed=5)}
        assert few.items() <= many.items()

    def test_more_guns_never_wait_much_more(self) -> None:
        small = figures_of(simulate_week(SMALL, COMPOUND, agreements=60, seed=5))
        large = figures_of(simulate_week(made_up(resident_dc=8, resident_ac=12), COMPOUND, agreements=60, seed=5))
        assert large.share_within == 1.0
        assert small.share_within is not None
        assert small.share_within < 1.0


class TestFigures:
    @pytest.mark.parametrize(("preset", "agreements"), [("compound", 160), ("mixed", 160), ("steady", 230)])
    def test_the_predictions_bias_is_under_a_minute_where_people_wait(self, preset: str, agreements: int) -> None:
        weeks = [
            figures_of(simulate_week(made_up(), PRESETS[preset], agreements=agreements, seed=seed))
            for seed in range(1, 9)
        ]
        told = sum(week.predictions for week in weeks)
        bias = sum((week.prediction_bias_s or 0) * week.predictions for week in weeks) / told
        error = sum((week.prediction_mae_s or 0) * week.predictions for week in weeks) / told
        assert error > 0, "nobody waited: nothing was predicted"
        assert abs(bias) < 60

    def test_utilisation_is_the_time_energy_flows_over_the_time_in_service(self) -> None:
        one = made_up(resident_dc=1, resident_ac=0, public_dc=0)
        run = simulate_week(one, Given(trip("a", at_min=30)), faults_per_gun=0)
        figures = figures_of(run)
        assert figures.utilisation == {one.guns[0].id: pytest.approx(0.5 / (7 * 24))}
        assert figures.utilisation_by_hour[10] == pytest.approx(0.5)
        assert sum(figures.utilisation_by_hour) == pytest.approx(0.5)

    def test_others_get_their_turn_by_the_fairness_rule(self) -> None:
        """One public gun, residents who keep coming, and one of the others who came before most of them."""
        one = made_up(resident_dc=0, resident_ac=0, public_dc=1)
        residents = [trip(f"r{n}", at_min=at) for n, at in enumerate((0, 2, 3, 4))]
        run = simulate_week(one, Given(*residents, trip("o", at_min=1, resident=False)), faults_per_gun=0)
        waits = {arrival.trip.vehicle: arrival.wait_s or 0 for arrival in run.arrivals}
        assert all(arrival.outcome == "served" for arrival in run.arrivals)
        assert waits[b"o"] < min(waits[b"r1"], waits[b"r2"], waits[b"r3"])

    def test_compensations_are_owed_to_residents_who_waited_too_long(self) -> None:
        one = made_up(resident_dc=1, resident_ac=0, public_dc=0)
        leaver = trip("c", at_min=2, patience=timedelta(minutes=2))
        figures = figures_of(simulate_week(one, Given(trip("a", at_min=0), trip("b", at_min=1), leaver)))
        assert figures.compensations == 1

    def test_who_gave_up_counts_as_not_served_in_time(self) -> None:
        one = made_up(resident_dc=1, resident_ac=0, public_dc=0)
        leaver = trip("b", at_min=1, patience=timedelta(minutes=2))
        figures = figures_of(simulate_week(one, Given(trip("a", at_min=0), leaver), faults_per_gun=0))
        assert (figures.came, figures.within, figures.worst_s) == (2, 1, 120)


def shared_bay() -> SimulatedStation:
    """Two guns that reach one bay."""
    plain = made_up(resident_dc=2, resident_ac=0, public_dc=0)
    bay = UUID(int=77)
    return replace(plain, guns=tuple(replace(gun, bay_ids=(bay,)) for gun in plain.guns))


class TestASharedBay:
    def test_holds_one_car_whichever_gun_it_uses(self) -> None:
        run = simulate_week(shared_bay(), COMPOUND, agreements=30, seed=2)
        assert overlapping(run) == []
        assert any(arrival.outcome == "served" for arrival in run.arrivals)
