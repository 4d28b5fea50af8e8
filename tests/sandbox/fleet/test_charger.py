"""A charger on the wire: header, commands, reports, reboot, power."""

from datetime import timedelta

import pytest

from sandbox.fleet.memory import Memory
from tests.fakes import FixedClock
from tests.sandbox.fleet.rig import Rig, acks, conform, events


class TestHeader:
    def test_counts_from_zero_within_a_boot_and_names_each_message_once(self, rig: Rig) -> None:
        rig.charge()
        rig.let_pass(60)
        mine = [body for device, _, body in rig.news() if device == "S1-D1"]
        assert [body["seq"] for body in mine] == list(range(len(mine)))
        assert len({body["msg_id"] for body in mine}) == len(mine)
        assert len({body["boot"] for body in mine}) == 1

    def test_carries_wall_time_whatever_the_speed_of_physics(self, clock: FixedClock) -> None:
        rig = Rig(clock, speed=60)
        start = clock.now()
        rig.charge()
        rig.let_pass(30)
        stamps = [body["ts"] for _, _, body in rig.news()]
        assert stamps[-1] <= (start + timedelta(seconds=30)).isoformat().replace("+00:00", "Z")
        assert rig.fleet.charger("S1-D1").connectors[1].meter > 60_000 * 25 * 60 / 3600 * 0.5

    def test_starts_again_with_a_higher_boot_after_a_reboot(self, rig: Rig) -> None:
        rig.charge()
        rig.news()
        before = rig.fleet.charger("S1-D1").boot
        rig.fleet.charger("S1-D1").reboot()
        news = rig.news()
        assert [body["seq"] for _, _, body in news] == list(range(len(news)))
        assert {body["boot"] for _, _, body in news} == {before + 1}
        assert events(news) == ["power_back", "session_ended"]


class TestCommands:
    def test_start_is_acknowledged_and_followed_by_event_state_and_telemetry(self, rig: Rig) -> None:
        car = rig.park()
        rig.fleet.traffic.plug(car=car, charger=rig.fleet.charger("S1-D1"), number=1)
        rig.news()
        rig.command("S1-D1", "start", connector=1, session_id="s1")
        told = [(channel, body.get("code")) for _, channel, body in rig.news()]
        assert told == [
            ("ack", None),
            ("event", "session_started"),
            ("event", "bms_limits"),
            ("state", None),
            ("telemetry", None),
        ]

    @pytest.mark.parametrize(
        ("name", "args", "error"),
        [
            ("start", {"connector": 1, "session_id": "s", "target_soc_pct": 80}, "no_battery_data"),
            ("start", {"connector": 9, "session_id": "s"}, "no_connector"),
            ("start", {"connector": "one", "session_id": "s"}, "bad_args"),
            ("stop", {"connector": 1, "session_id": "s", "reason": "user"}, "no_session"),
            ("set_limit", {"connector": 1, "power_w": 5000, "until": "soon"}, "bad_args"),
            ("raise", {}, "unknown_command"),
        ],
    )
    def test_are_refused_with_their_reason(self, rig: Rig, name: str, args: dict[str, object], error: str) -> None:
        cmd_id = rig.command("S1-A1", name, **args)  # type: ignore[arg-type]
        assert acks(rig.news()) == [(cmd_id, False, error)]

    def test_start_before_the_plug_waits_three_minutes_for_it(self, rig: Rig) -> None:
        charger = rig.fleet.charger("S1-D1")
        cmd_id = rig.command("S1-D1", "start", connector=1, session_id="early")
        assert acks(rig.news()) == [(cmd_id, True, None)]
        assert charger.state()["connectors"]["1"] == "preparing"
        car = rig.park()
        rig.let_pass(60)
        rig.fleet.traffic.plug(car=car, charger=charger, number=1)
        assert events(rig.news())[-3:] == ["plugged", "session_started", "bms_limits"]
        other = rig.command("S1-D1", "start", connector=2, session_id="never")
        rig.let_pass(181)
        assert acks(rig.news()) == [(other, True, None)]
        assert charger.state()["connectors"]["2"] == "available"

    def test_stop_takes_back_a_start_that_waits_for_its_car(self, rig: Rig) -> None:
        rig.command("S1-D1", "start", connector=1, session_id="early")
        cmd_id = rig.command("S1-D1", "stop", connector=1, session_id="early", reason="user")
        news = rig.news()
        assert acks(news)[-1] == (cmd_id, True, None)
        assert events(news) == []
        assert rig.fleet.charger("S1-D1").state()["connectors"]["1"] == "available"

    def test_are_refused_when_expired(self, rig: Rig) -> None:
        cmd_id = rig.command("S1-D1", "start", expires_in_s=-1, connector=1, session_id="s")
        assert acks(rig.news()) == [(cmd_id, False, "expired")]

    def test_expire_by_the_devices_own_clock(self, rig: Rig) -> None:
        rig.charge()
        rig.fleet.charger("S1-D1").clock_offset_s = -7200
        rig.news()
        cmd_id = rig.command("S1-D1", "stop", connector=1, session_id="s1", reason="user")
        assert acks(rig.news()) == [(cmd_id, True, None)]

    def test_are_done_once_and_answered_again_when_repeated(self, rig: Rig) -> None:
        rig.charge()
        rig.command("S1-D1", "stop", cmd_id="x", connector=1, session_id="s1", reason="user")
        rig.news()
        rig.command("S1-D1", "stop", cmd_id="x", connector=1, session_id="s1", reason="user")
        assert [(channel, body.get("ok")) for _, channel, body in rig.news()] == [("ack", True)]

    def test_stop_of_a_session_that_has_just_ended_is_no_error(self, rig: Rig) -> None:
        rig.charge(soc_pct=79.9, target_soc_pct=80)
        rig.let_pass(30)
        assert "session_ended" in events(rig.news())
        cmd_id = rig.command("S1-D1", "stop", connector=1, session_id="s1", reason="user")
        assert acks(rig.news()) == [(cmd_id, True, None)]

    def test_stop_ends_the_session_and_says_why(self, rig: Rig) -> None:
        rig.charge()
        rig.let_pass(20)
        rig.news()
        rig.command("S1-D1", "stop", connector=1, session_id="s1", reason="smoke")
        ended = next(body for _, _, body in rig.news() if body.get("code") == "session_ended")
        assert (ended["reason"], ended["detail"], ended["session_id"]) == ("command", "smoke", "s1")
        assert ended["meter_wh"] == rig.fleet.charger("S1-D1").connectors[1].meter_wh

    def test_set_limit_holds_until_its_time(self, rig: Rig) -> None:
        rig.charge()
        until = (rig.clock.now() + timedelta(seconds=60)).isoformat()
        rig.command("S1-D1", "set_limit", connector=1, power_w=10_000, until=until)
        rig.let_pass(30)
        assert rig.fleet.charger("S1-D1").connectors[1].power_w <= 10_000
        rig.let_pass(60)
        assert rig.fleet.charger("S1-D1").connectors[1].power_w > 40_000

    def test_are_not_answered_by_a_deaf_device(self, rig: Rig) -> None:
        rig.fleet.charger("S1-D1").deaf = True
        rig.command("S1-D1", "start", connector=1, session_id="s")
        assert rig.news() == []

    def test_that_are_no_commands_are_ignored(self, rig: Rig) -> None:
        for body in (b"", b"nonsense", b"[]", b'{"cmd_id": 3}'):
            rig.fleet.charger("S1-D1").receive(body)
        assert rig.news() == []


class TestReports:
    def test_come_at_the_interval_of_the_device(self, rig: Rig) -> None:
        rig.let_pass(120)
        reports = [device for device, channel, _ in rig.news() if channel == "telemetry"]
        assert reports.count("S1-D1") == pytest.approx(2 * 120 / 5, abs=2)
        assert reports.count("S1-A1") == pytest.approx(120 / 15, abs=1)

    def test_carry_battery_data_on_dc_only_while_a_session_runs(self, rig: Rig) -> None:
        rig.charge()
        other = rig.park("京AD00002", bay="P2")
        rig.fleet.traffic.plug(car=other, charger=rig.fleet.charger("S1-D1"), number=2)
        rig.news()
        rig.let_pass(10)
        with_bms = {
            body["connector"]
            for device, channel, body in rig.news()
            if device == "S1-D1" and channel == "telemetry" and "bms" in body
        }
        assert with_bms == {1}

    def test_never_carry_battery_data_on_ac(self, rig: Rig) -> None:
        rig.fleet.traffic.find_bay(station="S1", bay="R1").lock.position = "down"  # type: ignore[union-attr]
        car = rig.park(bay="R1")
        rig.fleet.traffic.plug(car=car, charger=rig.fleet.charger("S1-A1"), number=1)
        rig.command("S1-A1", "start", connector=1, session_id="s")
        rig.let_pass(60)
        ours = [body for device, channel, body in rig.news() if device == "S1-A1" and channel == "telemetry"]
        assert ours[-1]["power_w"] == pytest.approx(7_000, abs=2)
        assert not any("bms" in body for body in ours)
        conform(rig.sent)

    def test_conform_to_the_contract_through_a_whole_session(self, clock: FixedClock) -> None:
        rig = Rig(clock, speed=30)
        rig.charge(soc_pct=60)
        rig.let_pass(180)
        rig.fleet.traffic.unplug(car=rig.fleet.traffic.find_car("京AD00001"))
        rig.fleet.traffic.leave(car=rig.fleet.traffic.find_car("京AD00001"))
        conform(rig.sent)
        assert events([news for news in rig.news() if news[0] == "S1-D1"]) == [
            "plugged",
            "session_started",
            "bms_limits",
            "session_ended",
            "unplugged",
        ]


class TestPower:
    def test_lost_ends_sessions_with_the_meter_and_comes_back_without_them(self, rig: Rig) -> None:
        rig.charge()
        rig.let_pass(10)
        rig.news()
        charger = rig.fleet.charger("S1-D1")
        charger.lose_power()
        news = rig.news()
        assert events(news) == ["power_lost", "session_ended"]
        assert news[-1][2]["connectors"] == {"1": "unavailable", "2": "unavailable"}
        charger.regain_power()
        assert charger.connectors[1].status == "finishing"


class TestMemory:
    def test_a_meter_never_runs_backwards_over_a_kill_and_the_session_is_told_ended(
        self, clock: FixedClock, tmp_path: object
    ) -> None:
        memory = Memory(path=tmp_path / "meters.json")  # type: ignore[operator]
        first = Rig(clock, speed=20)
        first.charge(session_id="lost")
        first.let_pass(30)
        memory.save(first.fleet.chargers)
        first.let_pass(2)
        shown = first.fleet.charger("S1-D1").connectors[1].meter_wh
        clock.advance(seconds=5)
        second = Rig(clock, speed=20)
        memory.restore(second.fleet.chargers)
        second.let_pass(1)
        ended = next(body for _, _, body in second.news() if body.get("code") == "session_ended")
        assert (ended["session_id"], ended["reason"]) == ("lost", "power_lost")
        assert ended["meter_wh"] >= shown
        assert ended["boot"] > first.fleet.charger("S1-D1").boot

    def test_is_exact_after_a_clean_stop(self, clock: FixedClock, tmp_path: object) -> None:
        memory = Memory(path=tmp_path / "meters.json")  # type: ignore[operator]
        first = Rig(clock)
        first.charge()
        first.let_pass(30)
        memory.save(first.fleet.chargers, clean=True)
        second = Rig(clock)
        memory.restore(second.fleet.chargers)
        assert second.fleet.charger("S1-D1").connectors[1].meter == first.fleet.charger("S1-D1").connectors[1].meter

    def test_that_cannot_be_read_is_set_aside(self, clock: FixedClock, tmp_path: object) -> None:
        path = tmp_path / "meters.json"  # type: ignore[operator]
        path.write_text("{half")
        Memory(path=path).restore(Rig(clock).fleet.chargers)
        assert not path.exists()
        assert path.with_suffix(".unreadable").read_text() == "{half"
