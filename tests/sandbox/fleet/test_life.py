"""The undisturbed demo: cars come and go, and nothing in it is an alarm."""

from collections import defaultdict
from typing import Any

import pytest

from backend.alerts.rules.watch import ConnectorWatch
from tests.fakes import FixedClock
from tests.sandbox.fleet.judge import limits_of, sample_of, watch_of
from tests.sandbox.fleet.rig import Rig, conform, small_station

SPEED = 20.0


@pytest.fixture
def demo(clock: FixedClock) -> Rig:
    """Six living stations for ten minutes of wall time, at the speed of the demo."""
    rig = Rig(clock, speed=SPEED, stations=[small_station(f"S{number}", life=True) for number in range(6)])
    rig.let_pass(600, step_s=0.5)
    return rig


class TestLife:
    def test_is_full_of_plausible_cars_and_raises_no_alarm(self, demo: Rig) -> None:
        conform(demo.sent)
        samples: dict[tuple[str, int], list[dict[str, Any]]] = defaultdict(list)
        codes: dict[str, int] = defaultdict(int)
        for device, channel, body in demo.news():
            if channel == "telemetry":
                samples[device, body["connector"]].append(body)
            elif channel == "event":
                codes[body["code"]] += 1
        assert codes.keys() <= {
            "plugged", "unplugged", "session_started", "session_ended", "bms_limits",
            "plate_read", "bay_occupied", "bay_free",
        }  # fmt: skip
        assert codes["session_started"] > 6
        assert codes["session_ended"] > 2
        for series in samples.values():
            self._check(series)

    def _check(self, series: list[dict[str, Any]]) -> None:
        meter = series[0]["meter_wh"]
        for body in series:
            assert body["status"] != "faulted"
            assert body["meter_wh"] >= meter
            meter = body["meter_wh"]
            if "bms" in body:
                assert body["bms"]["flags"] == []
                assert body["bms"]["temp_max_c"] - body["bms"]["temp_min_c"] < 10

    def test_gives_the_rules_of_the_service_nothing_to_find(self, demo: Rig) -> None:
        watches: dict[tuple[str, int], ConnectorWatch] = {}
        for device, channel, body in demo.news():
            kind = "dc" if "-D" in device else "ac"
            if body.get("code") == "bms_limits":
                watch_of(watches, device, body, kind).set_car(limits_of(body["bms"]))
            if channel == "telemetry":
                assert watch_of(watches, device, body, kind).observe(sample_of(body)) == []
        assert len(watches) == 6 * 3

    def test_comes_out_the_same_from_the_same_seed(self, clock: FixedClock) -> None:
        first, second = (
            Rig(FixedClock(clock.now()), speed=SPEED, stations=[small_station(life=True)]) for _ in range(2)
        )
        for rig in (first, second):
            rig.let_pass(120, step_s=0.5)
        assert [message.body for message in first.sent] == [message.body for message in second.sent]

    def test_leaves_bays_with_a_lock_and_stations_of_testers_alone(self, clock: FixedClock) -> None:
        rig = Rig(clock, speed=SPEED, stations=[small_station("S1"), small_station("S2", life=True)])
        rig.let_pass(300, step_s=0.5)
        assert {car.station for car in rig.fleet.traffic.cars.values()} <= {"S2", None}
        assert rig.fleet.traffic.find_bay(station="S2", bay="R1").car is None
        seen_by = {device for device, _, body in rig.news() if body.get("code") == "plate_read"}
        assert seen_by == {"S2-CA"}
