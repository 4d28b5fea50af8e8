"""What samples of a connector raise and clear, with persistence, hysteresis and the car's own limits."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.alerts.rules.model import CarLimits
from backend.alerts.rules.quantities import Battery, Sample
from backend.alerts.rules.slope import robust_slope_per_min
from backend.alerts.rules.table import SAMPLE_RULES
from backend.alerts.rules.watch import ConnectorWatch, Finding

T0 = datetime(2026, 7, 1, 4, 0, tzinfo=UTC)
BATTERY = Battery(soc_pct=40, pack_v=400, pack_a=100, cell_v_max=3.4, temp_max_c=30, temp_min_c=27)


def dc(number: int, *, every_s: float = 5, boot: int = 1, at: datetime | None = None, **changes: Any) -> Sample:
    """The `number`-th sample of a quiet DC session; `changes` name fields of the sample or of its battery."""
    of_battery = {k: v for k, v in changes.items() if hasattr(BATTERY, k)}
    of_battery.setdefault("temp_min_c", of_battery.get("temp_max_c", BATTERY.temp_max_c) - 3)
    moving = {"soc_pct": 40 + number * 0.01, "pack_v": 400 + number * 0.1}
    battery = replace(BATTERY, **{**moving, **of_battery})
    rest = {k: v for k, v in changes.items() if not hasattr(BATTERY, k)}
    base = Sample(
        at=at or T0 + timedelta(seconds=number * every_s),
        boot=boot,
        seq=number,
        status="charging",
        meter_wh=1000 + number * 50,
        power_w=40_000,
        gun_temp_c=40,
        cabinet_temp_c=35,
        insulation_ohm_per_v=2000,
        battery=battery,
    )
    return replace(base, **rest)


def ac(number: int, **changes: Any) -> Sample:
    return replace(dc(number), battery=None, power_w=7000, insulation_ohm_per_v=None, **changes)


def run(watch: ConnectorWatch, *samples: Sample) -> list[tuple[str, str, str]]:
    """Observe samples in turn; returns (code, change, level) of each finding."""
    findings: list[Finding] = [finding for sample in samples for finding in watch.observe(sample)]
    return [(f.code, f.change, f.level) for f in findings]


class TestBatteryTemperature:
    @pytest.mark.parametrize(
        ("car", "temp", "level"),
        [
            (None, 59, None),
            (None, 60, "warning"),
            (None, 70, "critical"),
            (CarLimits("lfp", temp_limit_c=55), 49, None),
            (CarLimits("lfp", temp_limit_c=55), 50, "warning"),
            (CarLimits("lfp", temp_limit_c=55), 55, "critical"),
            (CarLimits("lfp", temp_limit_c=0), 60, "warning"),
            (CarLimits("lfp", temp_limit_c=250), 70, "critical"),
        ],
    )
    def test_is_judged_by_the_cars_own_limit_before_ours(
        self, car: CarLimits | None, temp: float, level: str | None
    ) -> None:
        watch = ConnectorWatch("dc", car=car)
        found = run(watch, *(dc(n, temp_max_c=temp, temp_min_c=temp - 3) for n in range(3)))
        assert found == ([] if level is None else [("battery_temp_high", "raised", level)])

    def test_of_one_bad_sample_raises_nothing(self) -> None:
        temps = [30, 90, 30, 90, 30]
        assert (
            run(ConnectorWatch("dc"), *(dc(n, every_s=61, temp_max_c=t, temp_min_c=t) for n, t in enumerate(temps)))
            == []
        )

    def test_goes_from_warning_to_critical_and_clears_below_its_clearing_value(self) -> None:
        temps = [62, 62, 62, 72, 72, 59, 59, 59, 57, 57]
        found = run(
            ConnectorWatch("dc"), *(dc(n, every_s=120, temp_max_c=t, temp_min_c=t - 2) for n, t in enumerate(temps))
        )
        assert found == [
            ("battery_temp_high", "raised", "warning"),
            ("battery_temp_high", "raised", "critical"),
            ("battery_temp_high", "cleared", "critical"),
        ]

    def test_that_rises_fast_is_seen_over_true_intervals(self) -> None:
        slow = [dc(n, every_s=15, temp_max_c=40 + n // 2) for n in range(8)]  # 2 °C/min
        assert run(ConnectorWatch("dc"), *slow) == []
        fast = [dc(n, every_s=15, temp_max_c=40 + n, temp_min_c=38 + n) for n in range(6)]  # 4 °C/min
        assert run(ConnectorWatch("dc"), *fast) == [("battery_temp_slope", "raised", "warning")]

    def test_that_rises_very_fast_is_critical_only_when_warm(self) -> None:
        cold = [dc(n, every_s=15, temp_max_c=10 + 2 * n, temp_min_c=9 + 2 * n) for n in range(8)]
        warm = [dc(n, every_s=15, temp_max_c=44 + 2 * n, temp_min_c=43 + 2 * n) for n in range(6)]
        assert run(ConnectorWatch("dc"), *cold) == [("battery_temp_slope", "raised", "warning")]
        assert ("battery_temp_slope", "raised", "critical") in run(ConnectorWatch("dc"), *warm)

    def test_that_leaps_a_degree_a_second_is_critical_at_once(self) -> None:
        leap = [dc(n, temp_max_c=t, temp_min_c=t - 2) for n, t in enumerate([30, 30, 36, 42])]
        assert run(ConnectorWatch("dc"), *leap) == [("battery_temp_jump", "raised", "critical")]

    def test_slope_is_not_moved_by_one_wild_value(self) -> None:
        steady = [(float(t), 30.0) for t in range(0, 61, 5)]
        steady[6] = (30.0, 80.0)
        assert robust_slope_per_min(steady) == 0

    def test_spread_and_cell_voltage_are_rules_of_their_own(self) -> None:
        spread = run(ConnectorWatch("dc"), *(dc(n, temp_max_c=45, temp_min_c=24) for n in range(2)))
        assert spread == [("battery_temp_spread", "raised", "critical")]
        lfp = ConnectorWatch("dc", car=CarLimits("lfp"))
        assert run(lfp, *(dc(n, cell_v_max=3.7) for n in range(2))) == [("cell_voltage_high", "raised", "warning")]
        limited = ConnectorWatch("dc", car=CarLimits("ncm", cell_v_limit=4.2))
        assert run(limited, *(dc(n, cell_v_max=4.26) for n in range(2))) == [
            ("cell_voltage_high", "raised", "critical")
        ]

    def test_is_judged_afresh_in_the_next_session(self) -> None:
        watch = ConnectorWatch("dc")
        first = [dc(n, temp_max_c=75, temp_min_c=73) for n in range(2)]
        between = [replace(dc(2), status="available", battery=None, power_w=0)]
        second = [dc(n, temp_max_c=75, temp_min_c=73) for n in range(3, 5)]
        assert run(watch, *first, *between, *second) == [("battery_temp_high", "raised", "critical")] * 2


class TestOtherRules:
    @pytest.mark.parametrize(
        ("changes", "found"),
        [
            ({"flags": ("over_current",)}, ("bms_over_current", "raised", "critical")),
            ({"flags": ("over_temp",)}, ("bms_over_temp", "raised", "critical")),
            ({"flags": ("insulation",)}, ("bms_insulation", "raised", "critical")),
            ({"flags": ("charge_forbidden",)}, ("charge_forbidden", "raised", "critical")),
            ({"insulation_ohm_per_v": 400}, ("insulation_low", "raised", "warning")),
            ({"insulation_ohm_per_v": 90}, ("insulation_low", "raised", "critical")),
            ({"gun_temp_c": 86}, ("gun_temp_high", "raised", "warning")),
            ({"cabinet_temp_c": 86}, ("cabinet_temp_high", "raised", "critical")),
        ],
    )
    def test_raise_after_two_bad_samples(self, changes: dict[str, Any], found: tuple[str, str, str]) -> None:
        assert run(ConnectorWatch("dc"), dc(0, **changes)) == []
        assert run(ConnectorWatch("dc"), dc(0, **changes), dc(1, **changes)) == [found]

    def test_see_a_frozen_meter_while_power_flows(self) -> None:
        frozen = [replace(ac(n), at=T0 + timedelta(seconds=15 * n), meter_wh=5000) for n in range(12)]
        assert run(ConnectorWatch("ac"), *frozen) == [
            ("meter_frozen", "raised", "warning"),
            ("meter_frozen", "raised", "critical"),
        ]
        idle = [replace(sample, power_w=0) for sample in frozen]
        assert run(ConnectorWatch("ac"), *idle) == []

    def test_see_more_energy_than_the_battery_holds(self) -> None:
        watch = ConnectorWatch("dc", car=CarLimits("lfp", capacity_wh=1000))
        samples = [dc(n, every_s=60, meter_wh=1000 + 400 * n) for n in range(5)]
        assert run(watch, *samples) == [("energy_above_battery", "raised", "critical")]

    def test_see_a_leap_of_the_state_of_charge(self) -> None:
        assert run(ConnectorWatch("dc"), dc(0), dc(1, soc_pct=60)) == [("soc_jump", "raised", "warning")]

    def test_ask_nothing_of_a_battery_on_ac(self) -> None:
        watch = ConnectorWatch("ac")
        battery = {rule.code for rule in SAMPLE_RULES if rule.source == "battery"}
        assert not any(rule.code in battery for rule in watch.rules)
        assert run(watch, *(ac(n) for n in range(10))) == []

    def test_take_a_stations_own_numbers(self) -> None:
        watch = ConnectorWatch("ac", overrides={"gun_temp_high": {"warning": 50, "critical": 60, "persistence": 1}})
        assert run(watch, ac(0, gun_temp_c=55)) == [("gun_temp_high", "raised", "warning")]
        off = ConnectorWatch("ac", overrides={"gun_temp_high": {"off": 1}})
        assert run(off, *(ac(n, gun_temp_c=120) for n in range(4))) == []


class TestSensorFaults:
    def test_of_an_impossible_value_are_a_warning_and_not_a_fire(self) -> None:
        assert run(ConnectorWatch("dc"), *(dc(n, temp_max_c=250) for n in range(4))) == [
            ("sensor_impossible", "raised", "warning")
        ]

    def test_of_missing_battery_data_on_dc_are_a_warning(self) -> None:
        assert run(ConnectorWatch("dc"), *(dc(n, battery=None) for n in range(4))) == [
            ("battery_data_missing", "raised", "warning")
        ]

    def test_of_a_stuck_sensor_are_a_warning(self) -> None:
        stuck = [replace(dc(n, every_s=60), battery=replace(BATTERY, soc_pct=40 + n / 10)) for n in range(14)]
        assert run(ConnectorWatch("dc"), *stuck) == [("sensor_stuck", "raised", "warning")]


class TestLateAndWrongMessages:
    def test_raise_alerts_all_the_same(self) -> None:
        watch = ConnectorWatch("dc")
        run(watch, *(dc(n) for n in range(100, 104)))
        assert run(watch, dc(10, temp_max_c=75), dc(11, temp_max_c=75)) == [("battery_temp_high", "raised", "critical")]

    def test_never_clear_an_alert(self) -> None:
        watch = ConnectorWatch("dc")
        run(watch, *(dc(n, temp_max_c=75, temp_min_c=73) for n in range(100, 102)))
        assert run(watch, *(dc(n) for n in range(10, 20))) == []
        assert watch.counters["battery_temp_high"].level == "critical"

    def test_with_a_wrong_date_raise_alerts_all_the_same(self) -> None:
        watch = ConnectorWatch("dc")
        old = datetime(1970, 1, 1, tzinfo=UTC)
        assert run(watch, *(dc(n, temp_max_c=75, temp_min_c=73, at=old) for n in range(2))) == [
            ("battery_temp_high", "raised", "critical")
        ]

    def test_repeated_count_once(self) -> None:
        watch = ConnectorWatch("dc")
        assert run(watch, *[dc(7, temp_max_c=75, temp_min_c=73)] * 5) == []

    @given(st.lists(st.integers(20, 80), min_size=1, max_size=40), st.randoms())
    def test_repeated_in_any_order_change_nothing(self, temps: list[int], random: Any) -> None:
        samples = [dc(n, every_s=120, temp_max_c=t, temp_min_c=t - 1) for n, t in enumerate(temps)]
        noisy = ConnectorWatch("dc")
        found: list[tuple[str, str, str]] = []
        for index, sample in enumerate(samples):
            found += run(noisy, sample)
            found += run(noisy, *random.choices(samples[: index + 1], k=random.randint(0, 3)))
        assert found == run(ConnectorWatch("dc"), *samples)

    @given(st.lists(st.integers(20, 80), min_size=2, max_size=30), st.integers(0, 20))
    def test_sent_late_in_their_order_lose_no_alarm(self, temps: list[int], ahead: int) -> None:
        """A charger that was offline sends its oldest samples first, after its newest ones were heard."""
        samples = [dc(n, every_s=120, temp_max_c=t, temp_min_c=t - 1) for n, t in enumerate(temps)]
        clean = {finding for finding in run(ConnectorWatch("dc"), *samples) if finding[1] == "raised"}
        watch = ConnectorWatch("dc")
        first = run(watch, *(dc(100 + n, every_s=120) for n in range(ahead + 1)))
        late = {finding for finding in run(watch, *samples) if finding[1] == "raised"}
        assert first == []
        for found in (clean, late):
            assert bool(found) == bool(clean)
            assert ("critical" in {level for _, _, level in found}) == ("critical" in {level for _, _, level in clean})


class TestARestart:
    def test_keeps_half_a_run_and_a_raised_level(self) -> None:
        before = ConnectorWatch("dc")
        run(before, dc(0, temp_max_c=75, temp_min_c=73))
        after = ConnectorWatch("dc")
        after.load(before.dump(), newest=before.newest, start_meter=before.trail.start_meter)
        assert run(after, dc(1, temp_max_c=75, temp_min_c=73)) == [("battery_temp_high", "raised", "critical")]
        again = ConnectorWatch("dc")
        again.load(after.dump(), newest=after.newest, start_meter=after.trail.start_meter)
        assert run(again, dc(2, temp_max_c=75, temp_min_c=73)) == []
        assert run(again, *(dc(n, every_s=300) for n in range(3, 6))) == [("battery_temp_high", "cleared", "critical")]


class TestPowerBelowHalfOfTheOffer:
    def watch(self, kind: str = "dc") -> ConnectorWatch:
        return ConnectorWatch(kind, offer_w=60_000 if kind == "dc" else 7000)

    def slow(self, *, power_w: int, soc_pct: float = 40, minutes: int = 13) -> list[Sample]:
        return [dc(n, every_s=60, power_w=power_w, soc_pct=soc_pct + n * 0.01) for n in range(minutes)]

    def test_for_ten_minutes_is_told_as_news_not_as_a_warning(self) -> None:
        assert run(self.watch(), *self.slow(power_w=29_000)) == [("charge_slow", "raised", "info")]

    @pytest.mark.parametrize(("power_w", "soc_pct", "minutes"), [(30_000, 40, 13), (29_000, 80, 13), (29_000, 40, 11)])
    def test_is_nothing_at_half_while_the_battery_tapers_or_before_the_time(
        self, power_w: int, soc_pct: float, minutes: int
    ) -> None:
        assert run(self.watch(), *self.slow(power_w=power_w, soc_pct=soc_pct, minutes=minutes)) == []

    def test_is_over_when_the_power_is_back(self) -> None:
        back = [dc(20 + n, every_s=60, power_w=50_000) for n in range(2)]
        said = run(self.watch(), *self.slow(power_w=29_000), *back)
        assert said == [("charge_slow", "raised", "info"), ("charge_slow", "cleared", "info")]

    def test_is_measured_by_what_the_car_asks_for_at_most_and_by_a_limit_of_ours(self) -> None:
        small = ConnectorWatch("dc", car=CarLimits("lfp", current_limit_a=100), offer_w=60_000)  # 40 kW at 400 V
        assert run(small, *self.slow(power_w=21_000)) == []
        small = ConnectorWatch("dc", car=CarLimits("lfp", current_limit_a=100), offer_w=60_000)
        assert run(small, *self.slow(power_w=19_000)) == [("charge_slow", "raised", "info")]
        limited = self.watch()
        limited.set_offer(30_000)
        assert run(limited, *self.slow(power_w=16_000)) == []

    def test_is_told_on_ac_too(self) -> None:
        samples = [replace(s, battery=None) for s in self.slow(power_w=3000)]
        assert run(self.watch("ac"), *samples) == [("charge_slow", "raised", "info")]


class TestNumbersOfAStation:
    @pytest.mark.parametrize(
        ("chemistry", "volts", "level"),
        [("lfp", 3.56, "warning"), ("lfp", 3.54, None), ("ncm", 4.2, None), ("ncm", 4.26, "warning")],
    )
    def test_of_one_chemistry_leave_the_others_alone(self, chemistry: Any, volts: float, level: str | None) -> None:
        watch = ConnectorWatch("dc", car=CarLimits(chemistry), overrides={"cell_voltage_high": {"warning.lfp": 3.55}})
        said = run(watch, dc(1, cell_v_max=volts), dc(2, cell_v_max=volts))
        assert said == ([] if level is None else [("cell_voltage_high", "raised", level)])

    def test_come_after_the_cars_own_limit(self) -> None:
        watch = ConnectorWatch(
            "dc", car=CarLimits("lfp", cell_v_limit=3.7), overrides={"cell_voltage_high": {"warning.lfp": 3.55}}
        )
        assert run(watch, dc(1, cell_v_max=3.6), dc(2, cell_v_max=3.6)) == []

    def test_that_change_hold_for_the_next_sample_and_keep_what_is_raised(self) -> None:
        watch = ConnectorWatch("dc")
        assert run(watch, dc(1, temp_max_c=61), dc(2, temp_max_c=61)) == [("battery_temp_high", "raised", "warning")]
        watch.set_overrides({"battery_temp_high": {"warning": 55}})
        assert run(watch, dc(3, temp_max_c=57), dc(4, temp_max_c=57)) == []
        assert run(watch, dc(5, temp_max_c=50), dc(6, temp_max_c=50)) == [("battery_temp_high", "cleared", "warning")]
