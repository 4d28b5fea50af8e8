"""From stored messages of the safety lane to state and events."""

from datetime import datetime, timedelta
from typing import Any

import msgspec
import pytest

from backend.accounts.rules import plates
from backend.core import crypto, db, jobs
from backend.core.ids import new_id
from backend.core.services import Services
from backend.telemetry import service as telemetry
from mqtt_bridge import messages
from mqtt_bridge.seal import Sealer
from tests.factories import stations as make
from tests.factories import telemetry as devices
from tests.factories.stations import DemoStation
from tests.fakes import FixedClock
from tests.jobs import run_due_jobs, run_ticks

pytestmark = pytest.mark.usefixtures("database")


@pytest.fixture
async def demo(database: object) -> DemoStation:
    return await make.add_demo_station()


async def handle(now: datetime, services: Services) -> None:
    await run_due_jobs(now=now, services=services, only="telemetry.device_message")


async def told(name: str) -> list[dict[str, Any]]:
    rows = await db.fetch("SELECT payload FROM domain_event WHERE name = $1 ORDER BY id", name)
    return [msgspec.json.decode(row["payload"]) for row in rows]


class TestState:
    async def test_makes_a_chargers_statuses_known(self, demo: DemoStation, now: datetime, services: Services) -> None:
        await devices.say(demo.ac.charger, "state", now=now, connectors={"1": "available", "7": "faulted"})
        await handle(now, services)
        connector_id = demo.ac.connector.id
        state = (await telemetry.connector_states(connector_ids=[connector_id]))[connector_id]
        assert (state.status, state.online, state.meter_wh) == ("available", True, None)
        assert [e["previous"] for e in await told("ConnectorStatusChanged")] == ["unknown"]

    async def test_follows_boot_and_seq_not_time(self, demo: DemoStation, now: datetime, services: Services) -> None:
        await devices.say(demo.ac.charger, "state", now=now, boot=2, seq=0, connectors={"1": "charging"})
        tomorrow = now + timedelta(days=1)
        await devices.say(demo.ac.charger, "state", now=tomorrow, boot=1, seq=99, connectors={"1": "faulted"})
        await handle(tomorrow, services)
        connector_id = demo.ac.connector.id
        assert (await telemetry.connector_states(connector_ids=[connector_id]))[connector_id].status == "charging"
        assert len(await told("ConnectorStatusChanged")) == 1

    async def test_handles_a_message_once_however_often_its_job_runs(
        self, demo: DemoStation, now: datetime, services: Services
    ) -> None:
        await devices.say(demo.smoke, "event", now=now, code="alarm")
        await db.execute(
            "INSERT INTO pgqueuer (priority, status, entrypoint, payload, created, updated, execute_after)"
            " SELECT priority, status, entrypoint, payload, created, updated, execute_after FROM pgqueuer"
        )
        await handle(now, services)
        assert [event["code"] for event in await told("SmokeReported")] == ["alarm"]

    async def test_tells_of_the_bays_that_changed_only(
        self, demo: DemoStation, now: datetime, services: Services
    ) -> None:
        first, second = demo.ac.bay, demo.dc.bay
        await devices.say(demo.bay_camera, "state", now=now, bays={first.code: "free", second.code: "free"})
        await handle(now, services)
        await devices.say(demo.bay_camera, "state", now=now, bays={first.code: "occupied", second.code: "free"})
        await handle(now, services)
        seen = [(event["bay_id"], event["code"]) for event in await told("BayCameraReported")]
        assert seen == [
            (str(first.id), "bay_free"),
            (str(second.id), "bay_free"),
            (str(first.id), "bay_occupied"),
        ]

    async def test_tells_of_a_late_smoke_alarm_too(self, demo: DemoStation, now: datetime, services: Services) -> None:
        await devices.say(demo.smoke, "state", now=now, boot=1, seq=9, status="normal")
        await devices.say(demo.smoke, "state", now=now, boot=1, seq=8, status="alarm")
        await handle(now, services)
        assert [event["status"] for event in await told("SmokeReported")] == ["normal", "alarm"]


class TestLastWill:
    async def test_makes_a_charger_unknown_and_opens_outages(
        self, demo: DemoStation, now: datetime, services: Services
    ) -> None:
        charger, connector_id = demo.ac.charger, demo.ac.connector.id
        await devices.say(charger, "state", now=now)
        await handle(now, services)
        later = now + timedelta(seconds=20)
        await devices.store_message(charger, "state", b'{"online": false}', received_at=later)
        await handle(later, services)
        state = (await telemetry.connector_states(connector_ids=[connector_id]))[connector_id]
        assert (state.status, state.online) == ("unknown", False)
        assert not await telemetry.device_online(device_id=charger.id)
        open_ = await db.fetch("SELECT subject, reason FROM outage WHERE ended_at IS NULL ORDER BY subject")
        assert [tuple(row) for row in open_] == [("connector", "unknown"), ("device", "offline")]

    async def test_is_over_with_the_next_word(self, demo: DemoStation, now: datetime, services: Services) -> None:
        charger, connector_id = demo.ac.charger, demo.ac.connector.id
        await devices.say(charger, "state", now=now, boot=1, seq=0)
        await devices.store_message(charger, "state", b'{"online":false}', received_at=now + timedelta(seconds=1))
        await handle(now, services)
        back = now + timedelta(minutes=5)
        await devices.measure(charger, now=back, boot=1, seq=1, status="available")
        state = (await telemetry.connector_states(connector_ids=[connector_id]))[connector_id]
        assert (state.status, state.online) == ("available", True)
        assert await db.fetchval("SELECT count(*) FROM outage WHERE ended_at IS NULL") == 0
        assert len(await told("DeviceCameBack")) == 1

    async def test_says_nothing_about_a_device_that_spoke_since(
        self, demo: DemoStation, now: datetime, services: Services
    ) -> None:
        await devices.say(demo.ac.charger, "state", now=now)
        await handle(now, services)
        await devices.store_message(
            demo.ac.charger, "state", b'{"online": false}', received_at=now - timedelta(seconds=1)
        )
        await handle(now, services)
        assert await telemetry.device_online(device_id=demo.ac.charger.id)

    async def test_is_not_undone_by_what_was_said_before_it_and_handled_after(
        self, demo: DemoStation, now: datetime, services: Services
    ) -> None:
        charger, connector_id = demo.ac.charger, demo.ac.connector.id
        await devices.measure(charger, now=now, seq=1)
        gone = now + timedelta(seconds=2)
        await devices.store_message(charger, "state", b'{"online":false}', received_at=gone)
        await handle(gone, services)
        await devices.measure(charger, now=now + timedelta(seconds=1), seq=2, meter_wh=2000)
        await devices.say(charger, "state", now=now + timedelta(seconds=1), seq=3)
        await handle(gone, services)
        state = (await telemetry.connector_states(connector_ids=[connector_id]))[connector_id]
        assert (state.status, state.online) == ("unknown", False)
        last = await telemetry.last_reading(connector_id=connector_id, before=gone)
        assert last is not None
        assert last.meter_wh == 2000
        assert await told("DeviceCameBack") == []
        await devices.measure(charger, now=gone + timedelta(seconds=1), seq=4)
        state = (await telemetry.connector_states(connector_ids=[connector_id]))[connector_id]
        assert (state.status, state.online) == ("charging", True)

    async def test_retained_from_long_ago_says_nothing_about_a_device_that_reports(
        self, demo: DemoStation, now: datetime, services: Services
    ) -> None:
        await devices.measure(demo.ac.charger, now=now)
        at = now + timedelta(seconds=10)
        await devices.store_message(demo.ac.charger, "state", b'{"online":false}', received_at=at, retained=True)
        await handle(at, services)
        assert await telemetry.device_online(device_id=demo.ac.charger.id)

    async def test_tells_that_a_lock_is_not_known_any_more(
        self, demo: DemoStation, now: datetime, services: Services
    ) -> None:
        lock = demo.ac.lock
        assert lock is not None
        await devices.say(lock, "state", now=now, position="up", car_present=True)
        await handle(now, services)
        await devices.store_message(lock, "state", b'{"online":false}', received_at=now + timedelta(seconds=1))
        await handle(now, services)
        reported = [(e["position"], e["car_present"], e["online"]) for e in await told("LockReported")]
        assert reported == [("up", True, True), ("up", None, False)]


class TestCamera:
    async def test_gives_plates_as_hash_and_cipher_only(
        self, demo: DemoStation, now: datetime, services: Services
    ) -> None:
        await devices.say(demo.approach_camera, "event", now=now, plate="京A·D12345", lane="L1")
        await handle(now, services)
        rows = await db.fetch("SELECT payload FROM domain_event WHERE name = 'PlateRead'")
        assert "D12345" not in rows[0]["payload"]
        event = (await told("PlateRead"))[0]
        plate = plates.normalise("京AD12345")
        assert msgspec.convert(event["plate_hash"], bytes) == crypto.lookup_hash(plate)
        assert crypto.decrypt(msgspec.convert(event["plate_cipher"], bytes)) == plate

    async def test_reads_what_the_bridge_sealed(self, demo: DemoStation, now: datetime, services: Services) -> None:
        body = devices.payload("camera", "event", at=now)
        message_id = await devices.store_message(demo.approach_camera, "event", body, received_at=now)
        sealed = Sealer({1: bytes(range(32))}).seal(body)
        await db.execute("UPDATE device_message SET payload = $1, sealed = true WHERE id = $2", sealed, message_id)
        await handle(now, services)
        assert len(await told("PlateRead")) == 1

    @pytest.mark.parametrize("code", ["smoke", "flame", "person"])
    async def test_tells_of_danger(self, demo: DemoStation, now: datetime, services: Services, code: str) -> None:
        await devices.say(demo.bay_camera, "event", now=now, code=code, bay=demo.ac.bay.code)
        await handle(now, services)
        assert [(e["code"], e["bay_id"]) for e in await told("CameraDangerSeen")] == [(code, str(demo.ac.bay.id))]

    async def test_unreadable_at_a_bay_is_the_bays_and_in_a_lane_a_plate_not_read(
        self, demo: DemoStation, now: datetime, services: Services
    ) -> None:
        await devices.say(demo.bay_camera, "event", now=now, code="unreadable", bay=demo.ac.bay.code, plate=None)
        await devices.say(demo.approach_camera, "event", now=now, code="unreadable", lane="in", plate=None)
        await handle(now, services)
        assert [e["code"] for e in await told("BayCameraReported")] == ["unreadable"]
        assert [(e["plate_hash"], e["confidence"]) for e in await told("PlateRead")] == [(None, 0.0)]


class TestChargerEvent:
    async def test_never_carries_a_vin(self, demo: DemoStation, now: datetime, services: Services) -> None:
        limits = {
            "chemistry": "ncm",
            "cell_v_limit": 4.25,
            "pack_v_limit": 420.0,
            "temp_limit_c": 60,
            "current_limit_a": 200,
            "capacity_wh": 60000,
            "vin": "LSVAA2222E2000001",
        }
        await devices.say(demo.dc.charger, "event", now=now, code="bms_limits", bms=limits)
        await handle(now, services)
        event = (await told("ChargerEventReported"))[0]
        assert event["connector_id"] == str(demo.dc.connector.id)
        assert event["bms"].get("vin") is None
        assert event["bms"]["capacity_wh"] == 60000

    @pytest.mark.parametrize(("code", "ending"), [("emergency_stop", jobs.TOLD_FIRST), ("plugged", "")])
    async def test_of_danger_has_all_its_reactions_go_first(
        self, code: str, ending: str, demo: DemoStation, now: datetime, services: Services
    ) -> None:
        await devices.say(demo.ac.charger, "event", now=now, code=code)
        await run_due_jobs(now=now, services=services, only="telemetry.")
        rows = await db.fetch("SELECT entrypoint, priority FROM pgqueuer WHERE entrypoint LIKE '%charger_reported%'")
        found = {row["entrypoint"]: row["priority"] for row in rows}
        first = int(ending == jobs.TOLD_FIRST)
        assert found == {f"alerts.charger_reported{ending}": first, "charging.charger_reported": first}

    async def test_without_a_known_connector_is_told_all_the_same(
        self, demo: DemoStation, now: datetime, services: Services
    ) -> None:
        await devices.say(demo.ac.charger, "event", now=now, code="emergency_stop", connector=9)
        await handle(now, services)
        assert [e["connector_id"] for e in await told("ChargerEventReported")] == [None]

    async def test_with_an_absurd_clock_is_told_at_its_arrival(
        self, demo: DemoStation, now: datetime, services: Services
    ) -> None:
        for ts in ("1970-01-01T00:00:00Z", "2099-12-31T00:00:00Z", "yesterday", None, 12):
            await devices.say(demo.smoke, "event", now=now, code="alarm", ts=ts)
        await handle(now, services)
        events = await told("SmokeReported")
        assert [e["clock_flagged"] for e in events] == [True] * 5
        assert {msgspec.convert(e["occurred_at"], datetime) for e in events} == {now}


class TestCommand:
    async def test_is_acknowledged_once_by_its_device(
        self, demo: DemoStation, now: datetime, services: Services
    ) -> None:
        lock = demo.ac.lock
        assert lock is not None
        command_id = await telemetry.send_command(device_code=lock.code, name="lower", args={}, now=now, actor="test")
        await devices.say(demo.smoke, "ack", now=now, cmd_id=str(command_id), ok=True)
        await handle(now, services)
        assert await told("CommandAcknowledged") == []
        for _ in range(2):
            await devices.say(lock, "ack", now=now, cmd_id=str(command_id), ok=False, error="car")
        await handle(now, services)
        assert [(e["name"], e["ok"], e["error"]) for e in await told("CommandAcknowledged")] == [
            ("lower", False, "car")
        ]
        command = await telemetry.find_command(command_id=command_id)
        assert command is not None
        assert (command.status, command.ok, command.error) == ("acknowledged", False, "car")

    async def test_times_out_ten_seconds_after_it_was_sent_and_may_still_be_answered(
        self, demo: DemoStation, now: datetime, services: Services, clock: FixedClock
    ) -> None:
        charger = demo.ac.charger
        args = {"connector": 1, "session_id": str(new_id()), "reason": "test"}
        command_id = await telemetry.send_command(
            device_code=charger.code, name="stop", args=args, now=now, actor="test"
        )
        await db.execute("UPDATE command SET status = 'sent', sent_at = $1", now + timedelta(seconds=8))
        for seconds, timed_out in ((11, 0), (17, 0), (18, 1), (60, 1)):
            at = now + timedelta(seconds=seconds)
            await run_due_jobs(now=at, services=services, only="telemetry.command_timeout")
            assert len(await told("CommandTimedOut")) == timed_out
        await devices.say(charger, "ack", now=now, cmd_id=str(command_id), ok=True)
        await handle(now + timedelta(minutes=2), services)
        assert [e["args"] for e in await told("CommandAcknowledged")] == [args]

    async def test_wakes_the_bridge_when_it_is_committed(self, demo: DemoStation, now: datetime) -> None:
        args = {"connector": 1, "session_id": "s", "max_power_w": 3500}
        await telemetry.send_command(device_code=demo.ac.charger.code, name="start", args=args, now=now, actor="test")
        row = await db.fetchrow("SELECT status, expires_at, station_code FROM command")
        assert row is not None
        assert (row["status"], row["expires_at"]) == ("queued", now + timedelta(seconds=30))

    @pytest.mark.parametrize(
        ("name", "args", "reason"),
        [
            ("raise", {}, "no command raise"),
            ("start", {"connector": 1}, "session_id"),
            ("stop", {"connector": 0, "session_id": "s", "reason": "r"}, "connector"),
            ("set_limit", {"connector": 1, "power_w": "much"}, "power_w"),
        ],
    )
    async def test_is_refused_when_the_device_cannot_do_it(
        self, demo: DemoStation, now: datetime, name: str, args: dict[str, Any], reason: str
    ) -> None:
        with pytest.raises(telemetry.CommandNotPossible, match=reason):
            await telemetry.send_command(device_code=demo.ac.charger.code, name=name, args=args, now=now, actor="t")

    async def test_to_nobody_is_refused(self, database: object, now: datetime) -> None:
        with pytest.raises(telemetry.UnknownDevice):
            await telemetry.send_command(device_code="nobody", name="lower", args={}, now=now, actor="t")


class TestSilence:
    async def test_is_told_once_after_three_intervals_and_ends_with_the_next_word(
        self, demo: DemoStation, now: datetime, services: Services
    ) -> None:
        charger, connector_id = demo.ac.charger, demo.ac.connector.id
        window = timedelta(seconds=charger.report_interval_s * 3)
        await devices.measure(charger, now=now, boot=1, seq=1)
        for at, silent in ((now + window, True), (now + window * 2, True)):
            await devices.see_everything(now=at)
            await run_ticks("telemetry.find_silent", now=at, services=services)
            assert (len(await told("DeviceWentSilent")) == 1) is silent
        state = (await telemetry.connector_states(connector_ids=[connector_id]))[connector_id]
        assert (state.status, state.online, state.meter_wh) == ("unknown", False, 1000)
        await devices.measure(charger, now=now + window * 3, boot=1, seq=2)
        state = (await telemetry.connector_states(connector_ids=[connector_id]))[connector_id]
        assert (state.status, state.online) == ("charging", True)
        assert len(await told("DeviceCameBack")) == 1
        spells = await db.fetch("SELECT started_at, ended_at FROM outage WHERE subject = 'device'")
        assert [(row["started_at"], row["ended_at"]) for row in spells] == [(now, now + window * 3)]

    async def test_is_not_told_before(self, demo: DemoStation, now: datetime, services: Services) -> None:
        await devices.measure(demo.ac.charger, now=now)
        at = now + timedelta(seconds=demo.ac.charger.report_interval_s * 3 - 1)
        await devices.see_everything(now=at)
        await run_ticks("telemetry.find_silent", now=at, services=services)
        assert await told("DeviceWentSilent") == []

    async def test_is_not_told_while_the_platform_is_blind_nor_within_a_window_after(
        self, demo: DemoStation, now: datetime, services: Services
    ) -> None:
        await devices.measure(demo.ac.charger, now=now)
        later = now + timedelta(hours=1)
        await run_ticks("telemetry.find_silent", now=later, services=services)
        assert await told("DeviceWentSilent") == []
        await devices.see_everything(now=later)
        await db.execute("UPDATE platform_sight SET sighted_since = $1 WHERE role = 'bridge'", later)
        await run_ticks("telemetry.find_silent", now=later, services=services)
        assert await told("DeviceWentSilent") == []
        after = later + timedelta(seconds=demo.ac.charger.report_interval_s * 3)
        await db.execute("UPDATE platform_sight SET seen_at = $1", after)
        await run_ticks("telemetry.find_silent", now=after, services=services)
        assert len(await told("DeviceWentSilent")) == 1

    async def test_looks_at_a_device_that_reports_once_per_window(
        self, demo: DemoStation, now: datetime, services: Services
    ) -> None:
        window = timedelta(seconds=demo.ac.charger.report_interval_s * 3)
        await devices.measure(demo.ac.charger, now=now, seq=1)
        await devices.measure(demo.ac.charger, now=now + window / 2, seq=2)
        await devices.see_everything(now=now + window)
        await run_ticks("telemetry.find_silent", now=now + window, services=services)
        assert await told("DeviceWentSilent") == []
        check = await db.fetchval("SELECT silence_check_at FROM device_state")
        assert check == now + window / 2 + window

    async def test_follows_a_new_report_interval_with_the_next_word(
        self, demo: DemoStation, now: datetime, services: Services
    ) -> None:
        smoke = demo.smoke
        await devices.say(smoke, "state", now=now, seq=1)
        await handle(now, services)
        await db.execute("UPDATE device SET report_interval_s = 3600 WHERE id = $1", smoke.id)
        await devices.say(smoke, "state", now=now + timedelta(seconds=60), seq=2)
        await handle(now + timedelta(seconds=60), services)
        for hours, silent in ((1, 0), (3, 0), (4, 1)):
            at = now + timedelta(hours=hours)
            await devices.see_everything(now=at)
            await run_ticks("telemetry.find_silent", now=at, services=services)
            assert len(await told("DeviceWentSilent")) == silent


class TestEncoding:
    def test_of_events_keeps_everything(self) -> None:
        sample = messages.parse(
            "charger",
            "telemetry",
            devices.payload("charger", "telemetry", at=datetime.fromisoformat("2026-06-10T00:00Z")),
        )
        assert messages.parse("charger", "telemetry", messages.encode(sample)) == sample
