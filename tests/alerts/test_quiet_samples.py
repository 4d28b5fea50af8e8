"""The quick proof that a sample says nothing: whatever comes, it changes no finding, count or memory of the rules."""

from copy import deepcopy
from datetime import UTC, datetime, timedelta
from statistics import median
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.alerts.rules.changes import problems
from backend.alerts.rules.model import CarLimits
from backend.alerts.rules.quantities import QUANTITIES
from backend.alerts.rules.quiet import Bounds
from backend.alerts.rules.slope import Window, robust_slope_per_min
from backend.alerts.rules.watch import ConnectorWatch, Finding
from backend.alerts.service import rule_sample
from backend.telemetry.service import Sample
from mqtt_bridge.messages import Bms, ChargerTelemetry

T0 = datetime(2026, 6, 10, 4, tzinfo=UTC)
FLAGS = ("over_current", "over_temp", "insulation", "charge_forbidden", "soc_high")

temps = st.one_of(st.integers(20, 75), st.sampled_from([-60, 44, 45, 54, 55, 59, 60, 61, 69, 70, 200, 250]))


@st.composite
def steps(draw: st.DrawFn) -> dict[str, Any]:
    """How one sample differs from the quiet one before it; most differ in one thing, if in any."""
    kinds: dict[str, st.SearchStrategy[Any]] = {
        "rise": st.integers(-2, 8),
        "temp_max_c": temps,
        "spread": st.integers(-2, 22),
        "cell_v_max": st.sampled_from([-1.0, 3.5, 3.6, 3.65, 3.66, 3.75, 3.8, 4.2, 4.25, 4.26, 4.31, 7.0]),
        "flags": st.lists(st.sampled_from(FLAGS), max_size=2, unique=True),
        "soc": st.sampled_from([-1.0, 1.0, 14.0, 15.0, 16.0, 90.0]),
        "same": st.just(True),
        "bms": st.none(),
        "status": st.sampled_from(["charging", "suspended", "finishing", "available", "faulted"]),
        "power_w": st.sampled_from([-5, 0, 999, 1000, 29_999, 30_000, 48_000]),
        "meter": st.sampled_from([-100, 0, 0, 5000]),
        "gun_temp_c": st.sampled_from([-51.0, 49.9, 50.0, 84.0, 85.0, 100.0, 200.0]),
        "cabinet_temp_c": st.sampled_from([None, 69.0, 70.0, 85.0, 300.0]),
        "insulation_ohm_per_v": st.sampled_from([None, 501.0, 500.0, 100.0, 0.0]),
        "gap_s": st.sampled_from([0.0, 0.5, 1.0, 4.99, 15.0, 60.0, 90.0, 700.0, -30.0, -86_400.0, 86_400.0]),
        "back": st.integers(0, 5),
        "boot": st.just(True),
    }
    chosen = draw(st.lists(st.sampled_from(sorted(kinds)), max_size=2, unique=True))
    step = {name: draw(kinds[name]) for name in chosen}
    step["times"] = draw(st.sampled_from([1, 1, 1, 2, 3, 13]))
    return step


def readings(steps_: list[dict[str, Any]]) -> list[tuple[datetime, ChargerTelemetry]]:
    """Samples of one connector: a charge that goes on quietly but for the steps."""
    made: list[tuple[datetime, ChargerTelemetry]] = []
    at, boot, seq, meter, temp, soc, moving = T0, 1, 0, 100_000, 40, 30.0, 0
    status, power, has_bms = "charging", 48_000, True
    for step in steps_:
        if "boot" in step:
            boot, seq = boot + 1, 0
        status, power = step.get("status", status), step.get("power_w", power)
        has_bms = "bms" not in step and has_bms
        temp = step.get("temp_max_c", temp)
        for _ in range(step["times"]):
            at += timedelta(seconds=step.get("gap_s", 5.0))
            seq += 1
            temp += step.get("rise", 0)
            meter = max(0, meter + step.get("meter", 66))
            soc = soc + 0.05 if "soc" not in step else soc + step["soc"] if step["soc"] >= 0 else -1.0
            moving += "same" not in step
            bms = Bms(
                soc_pct=soc,
                pack_v=380 + moving / 10,
                pack_a=119.7,
                cell_v_max=step.get("cell_v_max", 3.5),
                temp_max_c=temp,
                temp_min_c=temp - step.get("spread", 3),
                remaining_min=20,
                flags=step.get("flags", []),
            )
            reading = ChargerTelemetry(
                msg_id=f"{boot}-{seq}",
                boot=boot,
                seq=max(0, seq - step.get("back", 0)),
                connector=1,
                status=status,  # type: ignore[arg-type]
                meter_wh=meter,
                power_w=power,
                voltage_v=400,
                current_a=120,
                gun_temp_c=step.get("gun_temp_c", 41.5),
                cabinet_temp_c=step.get("cabinet_temp_c", 38.0),
                insulation_ohm_per_v=step.get("insulation_ohm_per_v", 1000.0),
                bms=bms if has_bms else None,
            )
            made.append((at, reading))
        has_bms = True if "status" in step else has_bms
    return made


def sample(at: datetime, reading: ChargerTelemetry) -> Sample:
    """A sample as ingest hands it on."""
    one = UUID(int=1)
    return Sample(
        connector_id=one,
        device_id=one,
        device_code="C1",
        station_id=one,
        occurred_at=at,
        received_at=at,
        clock_flagged=False,
        reading=reading,
    )


def observe(watch: ConnectorWatch, at: datetime, reading: ChargerTelemetry, *, quickly: bool) -> list[Finding]:
    """Run one sample through the rules as ingest does, or through all of them."""
    if quickly and watch.passes(at.timestamp(), reading):
        return []
    return watch.observe(rule_sample(sample(at, reading)))


def memory(watch: ConnectorWatch) -> dict[str, Any]:
    """Everything a watch remembers."""
    trail = watch.trail
    kept = {name: getattr(trail, name) for name in trail.__dataclass_fields__ if name != "window"}
    points = list(zip(trail.window.ats, trail.window.temps, strict=True))
    return {
        **kept,
        "points": points,
        "newest": watch.newest,
        "recent": list(watch.recent),
        "counters": deepcopy(watch.counters),
        "touched": watch.touched,
    }


NUMBERS: list[dict[str, dict[str, float]]] = [
    {},
    {"battery_temp_high": {"warning": 45, "critical": 48}},
    {"battery_temp_slope": {"warning": 0.5, "critical": 1}},
    {"battery_temp_slope": {"warning": 0, "critical": 0.1}},
    {"battery_temp_jump": {"critical": 0.2}},
    {"battery_temp_jump": {"critical": -1}},
    {"battery_temp_spread": {"warning": 3, "critical": 5}, "soc_jump": {"warning": 0.01}},
    {"cell_voltage_high": {"warning.lfp": 3.5, "warning.ncm": 3.55}},
    {"gun_temp_high": {"warning": 41, "critical": 50}, "cabinet_temp_high": {"warning": 38}},
    {"insulation_low": {"warning": 1000, "critical": 400}},
    {"meter_frozen": {"warning": 0, "critical": 5}, "sensor_stuck": {"off": 1}},
    {"meter_frozen": {"warning": 5, "critical": 6}, "charge_slow": {"warning": 0}},
    {"sensor_stuck": {"warning": 10}, "battery_data_missing": {"persistence": 1}},
    {"bms_over_current": {"critical": 0}},
    {"charge_slow": {"off": 1}, "soc_jump": {"off": 1}, "battery_temp_high": {"persistence": 1}},
]
CARS: list[CarLimits | None] = [
    None,
    CarLimits("lfp", temp_limit_c=50, cell_v_limit=3.7, capacity_wh=5000),
    CarLimits("ncm", temp_limit_c=300, cell_v_limit=0),
    CarLimits("lfp"),
    CarLimits("lfp", current_limit_a=100),
    CarLimits("lfp", current_limit_a=500),
]


class TestAQuietSample:
    @settings(max_examples=400, deadline=None)
    @given(
        st.lists(steps(), min_size=1, max_size=14),
        st.sampled_from(["dc", "dc", "ac"]),
        st.sampled_from(CARS),
        st.sampled_from(NUMBERS),
        st.sampled_from(NUMBERS),
        st.sampled_from([None, 60_000]),
    )
    def test_is_passed_over_only_where_all_rules_would_say_and_remember_the_same(
        self,
        steps_: list[dict[str, Any]],
        kind: str,
        car: CarLimits | None,
        numbers: dict[str, dict[str, float]],
        later: dict[str, dict[str, float]],
        offer_w: int | None,
    ) -> None:
        quick, whole = [ConnectorWatch(kind, car=car, overrides=numbers, offer_w=offer_w) for _ in range(2)]
        made = readings(steps_)
        for number, (at, reading) in enumerate(made):
            if number == len(made) // 2:
                for watch in (quick, whole):
                    watch.set_overrides(later)
            expected = observe(whole, at, reading, quickly=False)
            assert observe(quick, at, reading, quickly=True) == expected
            assert memory(quick) == memory(whole)

    @pytest.mark.parametrize(
        ("steps_", "code"),
        [
            ([{"soc": 16.0}], "soc_jump"),
            ([{"same": True, "times": 13}] * 12, "sensor_stuck"),
            ([{"power_w": 29_999, "gap_s": 60.0, "times": 13}, {"times": 2}], "charge_slow"),
            (
                [
                    {"power_w": 29_999, "gap_s": 60.0, "times": 8},
                    {"power_w": 48_000},
                    {"power_w": 29_999, "gap_s": 60.0, "times": 13},
                ],
                "charge_slow",
            ),
            ([{"meter": 0, "times": 13}, {"meter": 0, "times": 3}], "meter_frozen"),
            ([{"rise": 1, "gap_s": 15.0, "times": 9}], "battery_temp_slope"),
            ([{"rise": 6, "times": 3}], "battery_temp_jump"),
            ([{"spread": 15, "times": 2}], "battery_temp_spread"),
            ([{"insulation_ohm_per_v": 500.0, "times": 2}], "insulation_low"),
            ([{"meter": 5000, "times": 13}, {"meter": 5000, "times": 3}], "energy_above_battery"),
            ([{"bms": None, "insulation_ohm_per_v": None, "times": 3}], "battery_data_missing"),
            ([{"flags": ["charge_forbidden"], "times": 2}], "charge_forbidden"),
        ],
    )
    def test_is_not_the_one_that_a_rule_fires_at(self, steps_: list[dict[str, Any]], code: str) -> None:
        car = CarLimits("unknown", capacity_wh=60_000)
        quick, whole = ConnectorWatch("dc", car=car, offer_w=60_000), ConnectorWatch("dc", car=car, offer_w=60_000)
        said: list[str] = []
        for at, reading in readings([{"times": 13}, *({"times": 1, **step} for step in steps_)]):
            expected = observe(whole, at, reading, quickly=False)
            said += [finding.code for finding in expected]
            assert observe(quick, at, reading, quickly=True) == expected
        assert code in said

    def test_is_the_rule_in_a_charge_that_goes_well(self) -> None:
        watch = ConnectorWatch("dc", car=CarLimits("lfp", temp_limit_c=60, capacity_wh=60_000), offer_w=60_000)
        made = readings([{"times": 200}, {"rise": 1, "times": 1}, {"times": 100}])
        passed = [watch.passes(at.timestamp(), r) or bool(observe(watch, at, r, quickly=False)) for at, r in made]
        assert passed.count(False) <= 2
        idle = ConnectorWatch("ac", offer_w=7000)
        made = readings([{"status": "available", "bms": None, "power_w": 0, "meter": 0, "times": 50}])
        passed = [idle.passes(at.timestamp(), r) or bool(observe(idle, at, r, quickly=False)) for at, r in made]
        assert passed.count(False) == 1

    @pytest.mark.parametrize("changed", [n for n in NUMBERS if n and not problems(n)])
    def test_is_judged_by_the_numbers_of_its_station(self, changed: dict[str, dict[str, float]]) -> None:
        """Numbers that were tightened close the quick way too: no limit is kept a second time."""
        car = CarLimits("lfp")
        plain, own = ConnectorWatch("dc", car=car).bounds, ConnectorWatch("dc", car=car, overrides=changed).bounds
        assert own != plain or changed.keys() & {"battery_data_missing", "charge_slow"}

    def test_of_a_quantity_that_is_not_known_here_does_not_exist(self) -> None:
        assert Bounds.of({}, kind="dc").open
        assert not Bounds.of({"smell": 3.0}, kind="dc").open
        assert all(Bounds.of({name: 1.0}, kind="dc").open for name in QUANTITIES)


points = st.lists(st.tuples(st.floats(0.2, 20), st.integers(-3, 5)), min_size=3, max_size=40)


class TestTheSlopeOfAWindow:
    @settings(max_examples=300, deadline=None)
    @given(points, st.sampled_from([0.0, 0.5, 3.0, 5.0, 60.0]))
    def test_is_never_at_its_limit_while_the_count_says_below(
        self, moves: list[tuple[float, int]], limit: float
    ) -> None:
        window, at, temp = Window(), 1_780_000_000.0, 30
        window.watch_for(limit)
        for gap, rise in moves:
            at, temp = at + gap, temp + rise
            window.add(at, temp)
            slope = window.slope_per_min()
            if window.is_below_limit():
                assert slope is None or slope < limit

    def test_is_the_median_over_true_intervals(self) -> None:
        window = Window()
        for n in range(12):
            window.add(15.0 * n, 20.0 + n)
        assert window.slope_per_min() == pytest.approx(4.0)
        assert window.ats == [15.0 * n for n in range(7, 12)]
        pairs = [(0.0, 1.0), (6.0, 4.0), (40.0, 9.0)]
        assert robust_slope_per_min(pairs) == median([30, 12, 5 / 34 * 60])

    def test_takes_up_again_after_points_of_a_wrong_day(self) -> None:
        window = Window()
        for wrong in (4e9, 4e9 + 5, 4e9 + 10):
            window.add(wrong, 30.0)
        for n in range(8):
            window.add(5.0 * n, 30.0 + n)
        assert window.slope_per_min() == pytest.approx(12.0)

    def test_sees_a_rise_whose_last_value_is_wild(self) -> None:
        watch = ConnectorWatch("dc")
        made = readings([{"rise": 1, "times": 10}, {"rise": -12, "times": 1}])
        said = [f.code for at, reading in made for f in observe(watch, at, reading, quickly=False)]
        assert "battery_temp_slope" in said
        slope = watch.trail.window.slope_per_min()
        assert slope is not None and slope > 5
