"""Cars among bays, locks and guns."""

import pytest

from sandbox.fleet.errors import CannotDo, NotThere
from sandbox.fleet.traffic import Car
from tests.sandbox.fleet.rig import Rig, acks


@pytest.fixture
def car(rig: Rig) -> Car:
    """A car that is away."""
    return rig.fleet.traffic.add_car(plate="京AD00001", kind="bev-lfp", battery_wh=50_000, soc_pct=30)


class TestPark:
    def test_waits_before_a_raised_lock_and_enters_when_it_is_down(self, rig: Rig, car: Car) -> None:
        rig.fleet.traffic.park(car=car, station="S1", bay="R1")
        rig.let_pass(10)
        assert car.state == "waiting_for_lock"
        assert not any(device == "S1-CB" for device, channel, _ in rig.news() if channel == "event")
        rig.command("S1-L1", "lower")
        rig.let_pass(4)
        assert car.state == "parked"
        news = rig.news()
        assert any(body.get("code") == "bay_occupied" for device, _, body in news if device == "S1-CB")
        assert [body["car_present"] for device, channel, body in news if device == "S1-L1" and channel == "state"][-1]

    def test_enters_before_a_raise_that_follows_at_once(self, rig: Rig, car: Car) -> None:
        rig.fleet.traffic.park(car=car, station="S1", bay="R1")
        rig.command("S1-L1", "lower")
        for _ in range(100):
            rig.let_pass(0.25)
            if rig.fleet.entry("S1-L1").device.state()["position"] == "down":
                break
        cmd_id = rig.command("S1-L1", "raise")
        assert acks(rig.news())[-1] == (cmd_id, False, "car")
        assert car.state == "parked"

    def test_gives_the_bay_up_when_the_waiting_car_leaves(self, rig: Rig, car: Car) -> None:
        rig.fleet.traffic.park(car=car, station="S1", bay="R1")
        rig.fleet.traffic.leave(car=car)
        rig.command("S1-L1", "lower")
        rig.let_pass(4)
        assert car.state == "away"
        assert rig.fleet.traffic.find_bay(station="S1", bay="R1").car is None

    def test_refuses_a_bay_that_holds_another_car(self, rig: Rig, car: Car) -> None:
        rig.park("京AD00002", bay="P1")
        with pytest.raises(CannotDo) as refusal:
            rig.fleet.traffic.park(car=car, station="S1", bay="P1")
        assert refusal.value.code == "bay_is_taken"

    @pytest.mark.parametrize(("station", "bay", "code"), [("S9", "P1", "no_station"), ("S1", "Z9", "no_bay")])
    def test_refuses_what_is_not_there(self, rig: Rig, car: Car, station: str, bay: str, code: str) -> None:
        with pytest.raises(NotThere) as refusal:
            rig.fleet.traffic.park(car=car, station=station, bay=bay)
        assert refusal.value.code == code


class TestPlug:
    def test_reaches_only_the_bays_of_its_cable(self, rig: Rig, car: Car) -> None:
        rig.fleet.traffic.park(car=car, station="S1", bay="P1")
        with pytest.raises(CannotDo) as refusal:
            rig.fleet.traffic.plug(car=car, charger=rig.fleet.charger("S1-D1"), number=2)
        assert refusal.value.code == "out_of_reach"
        assert "S1-D1/1" in refusal.value.hint

    def test_refuses_a_fuel_car(self, rig: Rig) -> None:
        fuel = rig.park("京A12345", kind="fuel")
        with pytest.raises(CannotDo) as refusal:
            rig.fleet.traffic.plug(car=fuel, charger=rig.fleet.charger("S1-D1"), number=1)
        assert refusal.value.code == "fuel_car"

    def test_refuses_a_car_that_is_not_parked(self, rig: Rig, car: Car) -> None:
        with pytest.raises(CannotDo) as refusal:
            rig.fleet.traffic.plug(car=car, charger=rig.fleet.charger("S1-D1"), number=1)
        assert refusal.value.code == "car_is_not_parked"

    def test_must_be_undone_before_the_car_leaves(self, rig: Rig, car: Car) -> None:
        rig.fleet.traffic.park(car=car, station="S1", bay="P1")
        rig.fleet.traffic.plug(car=car, charger=rig.fleet.charger("S1-D1"), number=1)
        with pytest.raises(CannotDo) as refusal:
            rig.fleet.traffic.leave(car=car)
        assert refusal.value.code == "car_is_plugged"
        rig.fleet.traffic.unplug(car=car)
        rig.fleet.traffic.leave(car=car)
        assert car.state == "away"


class TestAddCar:
    def test_refits_a_car_that_is_away_and_refuses_one_that_is_here(self, rig: Rig, car: Car) -> None:
        again = rig.fleet.traffic.add_car(plate=car.plate, kind="bev-ncm", battery_wh=80_000, soc_pct=10)
        rig.fleet.traffic.park(car=again, station="S1", bay="P1")
        with pytest.raises(CannotDo) as refusal:
            rig.fleet.traffic.add_car(plate=car.plate, kind="bev-ncm", battery_wh=80_000, soc_pct=10)
        assert refusal.value.code == "car_is_here"
