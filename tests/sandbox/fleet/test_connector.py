"""A gun: energy balance, targets, status, and the same physics at any speed."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox.fleet.battery import Battery
from sandbox.fleet.connector import Connector, PluggedCar


def gun(
    kind: Any = "dc", *, power_w: int = 60_000, soc: float = 0.4, chemistry: Any = "ncm"
) -> tuple[Connector, list[tuple[str, dict[str, Any]]]]:
    """A gun in a car, and the list of what it tells."""
    told: list[tuple[str, dict[str, Any]]] = []
    made = Connector(
        number=1,
        kind=kind,
        max_power_w=power_w,
        ambient_c=15.0,
        emit=lambda code, **fields: told.append((code, fields)),
        meter=1000.0,
    )
    battery = Battery(chemistry=chemistry, battery_wh=60_000, soc=soc, temp_c=20.0)
    made.plug(car=PluggedCar(plate="京AD00001", battery=battery))
    return made, told


class TestMeter:
    @settings(max_examples=25)
    @given(
        kind=st.sampled_from(["ac", "dc"]),
        soc=st.floats(0.05, 0.98),
        chemistry=st.sampled_from(["ncm", "lfp"]),
        limits=st.lists(st.integers(0, 70_000), min_size=1, max_size=4),
    )
    def test_is_the_integral_of_the_power_it_shows(self, kind: str, soc: float, chemistry: str, limits: Any) -> None:
        tested, _ = gun(kind, soc=soc, chemistry=chemistry, power_w=7_000 if kind == "ac" else 60_000)
        tested.begin(session_id="s")
        joules, before = 0.0, tested.meter_wh
        for limit in limits:
            tested.limit_w = limit
            for _ in range(400):
                reading = tested.meter_wh
                ran = tested.session is not None
                tested.advance(dt_s=1.0)
                assert tested.meter_wh >= reading
                joules += tested.power_w if ran else 0
        assert tested.meter_wh - before == pytest.approx(joules / 3600, abs=1.0 + 0.5 * 1600 / 3600)

    @given(chunks=st.lists(st.floats(0.05, 30.0), min_size=5, max_size=60))
    def test_does_not_depend_on_how_time_is_cut(self, chunks: list[float]) -> None:
        cut, _ = gun(soc=0.7)
        whole, _ = gun(soc=0.7)
        for each in (cut, whole):
            each.begin(session_id="s")
        for chunk in chunks:
            cut.advance(dt_s=chunk)
        whole.advance(dt_s=sum(chunks))
        assert cut.car is not None
        assert whole.car is not None
        assert abs(cut.meter - whole.meter) <= 60_000 / 3600  # at most one step apart, by rounding of the sum
        assert abs(cut.car.battery.soc - whole.car.battery.soc) < 1e-3
        assert abs(cut.gun_c - whole.gun_c) < 0.2

    def test_stands_still_without_a_session(self) -> None:
        tested, _ = gun()
        tested.advance(dt_s=3600)
        assert tested.meter_wh == 1000
        assert tested.power_w == 0


class TestSession:
    def test_walks_from_available_to_finishing(self) -> None:
        tested, told = gun()
        tested.unplug()
        assert tested.status == "available"
        tested.plug(car=PluggedCar(plate="x", battery=Battery(chemistry="lfp", battery_wh=60_000, soc=0.5, temp_c=20)))
        assert tested.status == "preparing"
        tested.begin(session_id="s")
        assert tested.status == "charging"
        tested.end(reason="command")
        assert tested.status == "finishing"
        tested.unplug()
        assert tested.status == "available"
        assert [code for code, _ in told if code.startswith("session")] == ["session_started", "session_ended"]

    def test_tells_the_cars_limits_at_the_start_of_a_dc_session(self) -> None:
        tested, told = gun(chemistry="lfp")
        tested.begin(session_id="s")
        codes = [code for code, _ in told]
        assert codes.index("bms_limits") == codes.index("session_started") + 1
        assert told[-1][1]["bms"]["chemistry"] == "lfp"
        assert told[-1][1]["bms"]["capacity_wh"] == 60_000

    @pytest.mark.parametrize(
        ("args", "reason"),
        [
            ({"target_energy_wh": 2_000}, "target"),
            ({"target_soc_pct": 43.0}, "target"),
        ],
    )
    def test_ends_at_its_target(self, args: dict[str, Any], reason: str) -> None:
        tested, told = gun(soc=0.4)
        tested.begin(session_id="s", **args)
        tested.advance(dt_s=1800)
        code, fields = told[-1]
        assert (code, fields["reason"], fields["session_id"]) == ("session_ended", reason, "s")
        taken = fields["meter_wh"] - 1000
        assert taken in range(1_700, 2_100)

    def test_is_suspended_and_then_ends_when_the_car_is_full(self) -> None:
        tested, told = gun(soc=0.999)
        tested.begin(session_id="s")
        seen = []
        for _ in range(300):
            tested.advance(dt_s=1.0)
            if not seen or seen[-1] != tested.status:
                seen.append(tested.status)
        assert seen == ["charging", "suspended", "finishing"]
        assert told[-1][1]["reason"] == "car_full"

    def test_is_suspended_by_a_limit_below_six_amperes_and_goes_on_after_it(self) -> None:
        tested, _ = gun("ac", power_w=7_000)
        tested.begin(session_id="s")
        tested.limit_w = 1_000
        tested.advance(dt_s=60)
        assert (tested.status, tested.power_w) == ("suspended", 0)
        tested.limit_w = 3_300
        tested.advance(dt_s=60)
        assert tested.status == "charging"
        assert tested.power_w == pytest.approx(3_300, abs=2)

    def test_refuses_a_soc_target_on_ac_because_no_battery_speaks(self) -> None:
        tested, _ = gun("ac")
        assert tested.begin(session_id="s", target_soc_pct=80.0) == "no_battery_data"

    def test_ends_when_the_gun_is_pulled(self) -> None:
        tested, told = gun()
        tested.begin(session_id="s")
        tested.advance(dt_s=100)
        tested.unplug()
        assert [(code, fields.get("reason")) for code, fields in told[-2:]] == [
            ("session_ended", "unplugged"),
            ("unplugged", None),
        ]

    def test_ends_by_the_chargers_own_interlock_far_above_the_cars_limit(self) -> None:
        tested, told = gun(soc=0.2)
        tested.begin(session_id="s")
        assert tested.car is not None
        tested.car.battery.spot_heat_k_per_s = 0.2
        tested.advance(dt_s=3000)
        assert told[-1][1]["reason"] == "over_temperature"
        assert told[-2][0] == "bms_alarm"
        assert tested.session is None
