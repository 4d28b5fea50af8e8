"""The catalogue of faults: each does what it says, within the contract, and `clear` repairs it."""

from typing import Any

import pytest

from backend.alerts.rules.watch import ConnectorWatch
from sandbox.fleet.errors import CannotDo, NotThere, NotUnderstood
from sandbox.fleet.faults.catalogue import CATALOGUE, FaultArgs
from tests.fakes import FixedClock
from tests.sandbox.fleet.judge import limits_of, sample_of
from tests.sandbox.fleet.rig import Rig, conform, events

DEVICES = {"charger": "S1-D1", "lock": "S1-L1", "camera": "S1-CB", "smoke": "S1-M1"}


def last_telemetry(rig: Rig, device: str = "S1-D1") -> dict[str, Any]:
    """The newest telemetry of the first gun."""
    return [body for _, channel, body in rig.news_of(device) if channel == "telemetry" and body["connector"] == 1][-1]


class TestEveryFault:
    @pytest.mark.parametrize(
        ("name", "kind"), [(fault.name, kind) for fault in CATALOGUE.values() for kind in fault.kinds]
    )
    def test_keeps_to_the_contract_and_is_cleared(self, clock: FixedClock, name: str, kind: str) -> None:
        rig = Rig(clock, speed=10)
        rig.charge()
        rig.fleet.cause(name=name, device=DEVICES[kind], args=FaultArgs())
        rig.let_pass(20)
        if name != "garbage":
            conform(rig.sent)
        rig.fleet.cause(name="clear", device=DEVICES[kind], args=FaultArgs())
        rig.let_pass(5)
        device = rig.fleet.entry(DEVICES[kind]).device
        assert not device.muted
        assert not device.deaf
        assert "faulted" not in str(device.state())
        assert "error" not in str(device.state().get("position"))


class TestBatteryOverTemperature:
    @pytest.mark.parametrize("name", ["battery_over_temperature", "battery_hot_spot"])
    @pytest.mark.parametrize("speed", [1.0, 20.0, 60.0])
    def test_reaches_its_goal_in_the_seconds_asked_for_at_any_speed(
        self, clock: FixedClock, speed: float, name: str
    ) -> None:
        rig = Rig(clock, speed=speed)
        rig.charge(soc_pct=15)
        rig.fleet.cause(name=name, device="S1-D1", args=FaultArgs(connector=1, within_s=40, to_c=62))
        reached = None
        for second in range(1, 80):
            rig.let_pass(1)
            gun = rig.fleet.charger("S1-D1").connectors[1]
            if reached is None and gun.car is not None and gun.car.battery.temp_max_c >= 60:
                reached = second
        assert reached is not None
        assert 25 <= reached <= 55

    def test_is_reported_at_once_when_it_crosses_the_cars_limit_with_its_flag(self, clock: FixedClock) -> None:
        rig = Rig(clock, speed=20)
        rig.charge(soc_pct=15)
        rig.fleet.cause(name="battery_over_temperature", device="S1-D1", args=FaultArgs(within_s=30))
        rig.let_pass(32)
        first = next(
            body["bms"]
            for _, channel, body in rig.news_of("S1-D1")
            if channel == "telemetry" and "over_temp" in body.get("bms", {}).get("flags", [])
        )
        assert first["temp_max_c"] == 60

    def test_cools_down_after_the_session(self, clock: FixedClock) -> None:
        rig = Rig(clock, speed=20)
        car = rig.charge(soc_pct=15)
        rig.fleet.cause(name="battery_hot_spot", device="S1-D1", args=FaultArgs(within_s=30))
        rig.let_pass(25)
        rig.command("S1-D1", "stop", connector=1, session_id="s1", reason="over_temperature")
        hot = car.battery.temp_max_c
        rig.let_pass(60)
        assert car.battery.temp_max_c < hot - 20

    def test_is_critical_for_the_rules_of_the_service_before_the_charger_trips_by_itself(
        self, clock: FixedClock
    ) -> None:
        rig = Rig(clock, speed=20)
        rig.charge(soc_pct=15)
        rig.fleet.cause(name="battery_over_temperature", device="S1-D1", args=FaultArgs(connector=1))
        rig.let_pass(65)
        watch, levels = ConnectorWatch(kind="dc"), []
        for _, channel, body in rig.news_of("S1-D1"):
            if body.get("code") == "bms_limits":
                watch.set_car(limits_of(body["bms"]))
            if channel == "telemetry" and body["connector"] == 1:
                levels += [(finding.level, finding.code) for finding in watch.observe(sample_of(body))]
        assert levels[0][1] == "battery_temp_slope"
        assert {"battery_temp_high", "battery_temp_slope"} <= {code for level, code in levels if level == "critical"}
        assert "battery_temp_spread" not in {code for _, code in levels}
        assert rig.fleet.charger("S1-D1").connectors[1].session is not None

    def test_needs_a_running_dc_session(self, rig: Rig) -> None:
        with pytest.raises(CannotDo) as refusal:
            rig.fleet.cause(name="battery_over_temperature", device="S1-D1", args=FaultArgs())
        assert refusal.value.code == "no_dc_session"


class TestChargerFaults:
    def test_emergency_stop_ends_every_session_until_cleared(self, rig: Rig) -> None:
        rig.charge()
        rig.news()
        rig.fleet.cause(name="emergency_stop", device="S1-D1", args=FaultArgs())
        news = rig.news()
        assert events(news) == ["emergency_stop", "session_ended", "emergency_stop"]
        assert rig.fleet.charger("S1-D1").state()["connectors"] == {"1": "faulted", "2": "faulted"}
        rig.command("S1-D1", "start", connector=1, session_id="s2")
        assert rig.news()[0][2]["error"] == "faulted"
        rig.fleet.cause(name="clear", device="S1-D1", args=FaultArgs())
        assert events(rig.news()) == ["fault_cleared", "fault_cleared"]

    def test_frozen_meter_stands_while_power_flows(self, rig: Rig) -> None:
        rig.charge()
        rig.let_pass(30)
        rig.fleet.cause(name="frozen_meter", device="S1-D1", args=FaultArgs(connector=1))
        before = rig.fleet.charger("S1-D1").connectors[1].meter_wh
        rig.let_pass(60)
        shown = last_telemetry(rig)
        assert shown["meter_wh"] == before
        assert shown["power_w"] > 10_000

    def test_broken_sensor_shows_an_impossible_value_but_no_flag(self, rig: Rig) -> None:
        rig.charge()
        rig.fleet.cause(name="broken_sensor", device="S1-D1", args=FaultArgs())
        shown = last_telemetry(rig)
        assert shown["bms"]["temp_max_c"] == -40
        assert shown["bms"]["flags"] == []

    def test_low_insulation_is_reported_at_once(self, rig: Rig) -> None:
        rig.news()
        rig.fleet.cause(name="insulation_low", device="S1-D1", args=FaultArgs(value=80))
        assert [body["insulation_ohm_per_v"] for _, channel, body in rig.news() if channel == "telemetry"] == [80]

    def test_meter_rollback_lowers_the_reading(self, rig: Rig) -> None:
        before = rig.fleet.charger("S1-D1").connectors[1].meter_wh
        rig.fleet.cause(name="meter_rollback", device="S1-D1", args=FaultArgs(value=700))
        assert last_telemetry(rig)["meter_wh"] == before - 700


class TestRefusals:
    def test_name_what_fits(self, rig: Rig) -> None:
        with pytest.raises(NotUnderstood) as refusal:
            rig.fleet.cause(name="smoke_alarm", device="S1-L1", args=FaultArgs())
        assert "lock_error" in refusal.value.hint
        with pytest.raises(NotThere):
            rig.fleet.cause(name="earthquake", device="S1-L1", args=FaultArgs())
        with pytest.raises(NotThere):
            rig.fleet.cause(name="offline", device="S1-XX", args=FaultArgs())
