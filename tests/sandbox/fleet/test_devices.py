"""Locks, cameras and smoke detectors on the wire."""

import pytest

from sandbox.fleet.camera import Camera
from sandbox.fleet.lock import Lock
from sandbox.fleet.smoke import Smoke
from tests.sandbox.fleet.rig import Rig, acks, conform, events


@pytest.fixture
def lock(rig: Rig) -> Lock:
    """The raised lock of bay R1."""
    found = rig.fleet.entry("S1-L1").device
    assert isinstance(found, Lock)
    return found


@pytest.fixture
def camera(rig: Rig) -> Camera:
    """The bay camera."""
    found = rig.fleet.entry("S1-CB").device
    assert isinstance(found, Camera)
    return found


@pytest.fixture
def detector(rig: Rig) -> Smoke:
    """The smoke detector."""
    found = rig.fleet.entry("S1-M1").device
    assert isinstance(found, Smoke)
    return found


class TestLock:
    def test_moves_and_answers_when_it_has_arrived(self, rig: Rig, lock: Lock) -> None:
        cmd_id = rig.command("S1-L1", "lower")
        assert lock.position == "moving"
        assert acks(rig.news()) == []
        rig.let_pass(3)
        news = rig.news()
        assert lock.position == "down"
        assert acks(news) == [(cmd_id, True, None)]
        assert [body["position"] for _, channel, body in news if channel == "state"][-1] == "down"

    def test_refuses_by_itself_to_rise_under_a_car(self, rig: Rig, lock: Lock) -> None:
        lock.position = "down"
        rig.park(bay="R1")
        rig.news()
        cmd_id = rig.command("S1-L1", "raise")
        rig.let_pass(5)
        news = [each for each in rig.news() if each[0] == "S1-L1"]
        assert acks(news) == [(cmd_id, False, "car")]
        assert events(news) == ["refused_car"]
        assert lock.position == "down"

    def test_refuses_to_rise_when_its_sensor_knows_nothing(self, rig: Rig, lock: Lock) -> None:
        lock.position, lock.sensor_ok = "down", False
        cmd_id = rig.command("S1-L1", "raise")
        assert acks(rig.news()) == [(cmd_id, False, "car")]
        assert lock.state()["car_present"] is None

    def test_goes_down_again_when_a_car_comes_while_it_rises(self, rig: Rig, lock: Lock) -> None:
        lock.position = "down"
        cmd_id = rig.command("S1-L1", "raise")
        rig.let_pass(1)
        lock.car_enters()
        rig.let_pass(5)
        news = rig.news()
        assert acks(news) == [(cmd_id, False, "car")]
        assert lock.position == "down"

    def test_that_is_jammed_ends_in_error(self, rig: Rig, lock: Lock) -> None:
        lock.jammed = True
        cmd_id = rig.command("S1-L1", "lower")
        rig.let_pass(3)
        news = rig.news()
        assert acks(news) == [(cmd_id, False, "jammed")]
        assert events(news) == ["lower_error"]
        assert lock.state()["position"] == "error"

    def test_answers_both_commands_when_the_second_overtakes_the_first(self, rig: Rig, lock: Lock) -> None:
        first = rig.command("S1-L1", "lower")
        second = rig.command("S1-L1", "raise")
        rig.let_pass(3)
        assert acks(rig.news()) == [(first, False, "superseded"), (second, True, None)]
        assert lock.position == "up"

    def test_lowers_by_itself_when_power_fails_or_it_reboots_in_a_move(self, rig: Rig, lock: Lock) -> None:
        lock.lower_by_itself()
        rig.let_pass(3)
        assert lock.position == "down"
        rig.command("S1-L1", "raise")
        lock.reboot()
        rig.let_pass(3)
        assert lock.position == "down"
        conform(rig.sent)


class TestBayCamera:
    def test_tells_state_and_event_of_a_car(self, rig: Rig, camera: Camera) -> None:
        car = rig.park("京AD00007", bay="P1")
        rig.fleet.traffic.leave(car=car)
        mine = [(channel, body) for device, channel, body in rig.news() if device == "S1-CB"]
        assert [channel for channel, _ in mine] == ["state", "event", "state", "event"]
        assert mine[0][1]["bays"] == {"P1": "occupied", "P2": "free", "R1": "free"}
        seen = mine[1][1]
        assert (seen["code"], seen["bay"], seen["plate"], seen["energy_type"]) == (
            "bay_occupied",
            "P1",
            "京AD00007",
            "nev",
        )
        assert seen["confidence"] >= 0.9
        assert mine[3][1]["code"] == "bay_free"
        conform(rig.sent)

    def test_that_is_dirty_sees_a_car_but_no_plate(self, rig: Rig, camera: Camera) -> None:
        camera.dirty = True
        rig.park(bay="P1")
        mine = [body for device, channel, body in rig.news() if device == "S1-CB" and channel == "event"]
        assert [body["code"] for body in mine] == ["bay_occupied", "unreadable"]
        assert not any("plate" in body for body in mine)

    def test_that_is_blind_knows_nothing_and_sees_anew_when_cleaned(self, rig: Rig, camera: Camera) -> None:
        camera.set_blind(True)
        rig.park(bay="P1")
        assert set(camera.state()["bays"].values()) == {"unknown"}
        camera.set_blind(False)
        assert camera.state()["bays"]["P1"] == "occupied"


class TestApproachCamera:
    def test_reads_plate_lane_and_energy_type(self, rig: Rig) -> None:
        car = rig.fleet.traffic.add_car(plate="京A12345", kind="fuel", battery_wh=60_000, soc_pct=50)
        rig.fleet.traffic.approach(car=car, station="S1")
        device, channel, body = rig.news()[0]
        assert (device, channel, body["code"], body["lane"], body["plate"], body["energy_type"]) == (
            "S1-CA",
            "event",
            "plate_read",
            "in",
            "京A12345",
            "fuel",
        )


class TestSmokeDetector:
    def test_alarms_clears_and_tells_both(self, rig: Rig, detector: Smoke) -> None:
        detector.turn("alarm")
        detector.turn("normal")
        news = rig.news()
        assert events(news) == ["alarm", "alarm_cleared"]
        assert [body["status"] for _, channel, body in news if channel == "state"] == ["alarm", "normal"]
        conform(rig.sent)

    def test_ends_a_test_without_an_alarm_cleared(self, rig: Rig, detector: Smoke) -> None:
        detector.turn("test")
        detector.turn("normal")
        assert events(rig.news()) == ["test"]

    def test_keeps_its_alarm_when_silenced(self, rig: Rig, detector: Smoke) -> None:
        detector.turn("alarm")
        rig.news()
        cmd_id = rig.command("S1-M1", "silence")
        assert acks(rig.news()) == [(cmd_id, True, None)]
        assert (detector.status, detector.buzzing) == ("alarm", False)


class TestReports:
    def test_come_every_minute_as_a_retained_state(self, rig: Rig) -> None:
        rig.let_pass(180)
        for code in ("S1-L1", "S1-CB", "S1-CA", "S1-M1"):
            channels = [channel for device, channel, _ in rig.news_of(code)]
            assert channels == ["state"] * 3
