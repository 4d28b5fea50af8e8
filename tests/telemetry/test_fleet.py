"""The fleet: enrolment by label and file, health, revocation on record, silent devices, the detector map."""

from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest

from backend.core import db
from backend.core.services import Services
from backend.stations.rules.broker import matches_password
from backend.stations.rules.labels import DeviceLabel, read_label
from backend.stations.rules.registry import map_detectors
from backend.stations.service import broker_access
from backend.telemetry import fleet
from backend.telemetry.rules.fleet import find_problems, judge
from tests.cast import LI, SUN, ZHOU
from tests.factories.accounts import log_in
from tests.factories.stations import DemoStation, add_demo_station, add_smoke_detector
from tests.factories.telemetry import say, see_everything
from tests.jobs import run_due_jobs, run_ticks


class TestRules:
    @pytest.mark.parametrize(
        ("access", "heard", "online", "silent", "word"),
        [
            ("granted", True, True, False, "ok"),
            ("granted", True, True, True, "silent"),
            ("granted", True, False, False, "offline"),
            ("granted", False, False, False, "never_heard"),
            ("revoked", True, True, False, "revoked"),
            ("retired", True, True, True, "retired"),
        ],
    )
    def test_access_comes_before_contact(self, access: Any, heard: bool, online: bool, silent: bool, word: str) -> None:
        assert judge(access=access, heard=heard, online=online, silent=silent, problems=()) == word

    def test_problems_are_clock_line_and_battery(self) -> None:
        assert find_problems(clock_offset_ms=-61_000, lost=2, received=98, battery_pct=14) == (
            "clock_off",
            "losing_messages",
            "low_battery",
        )
        assert find_problems(clock_offset_ms=60_000, lost=1, received=9, battery_pct=None) == ()
        assert judge(access="granted", heard=True, online=True, silent=False, problems=("low_battery",)) == "troubled"

    @pytest.mark.parametrize(
        ("text", "fault"),
        [
            ("https://example.com", "starts with"),
            ("linli:device?v=2&kind=smoke&code=A", "version"),
            ("linli:device?v=1&kind=toaster&code=A", "kind"),
            ("linli:device?v=1&kind=smoke&code=A/b", "code"),
        ],
    )
    def test_a_label_that_is_none_is_told(self, text: str, fault: str) -> None:
        found = read_label(text)
        assert isinstance(found, str)
        assert fault in found

    def test_a_label_is_read(self) -> None:
        found = read_label("linli:device?v=1&kind=smoke&code=SM-1&model=HX%20200&batch=7")
        assert found == DeviceLabel(code="SM-1", kind="smoke", model="HX 200")

    def test_the_map_names_areas_without_a_detector_and_detectors_without_an_area_to_guard(self) -> None:
        parts: Any = [("east", "charger", 1, "C1"), ("west", "detector", 2, "F2"), ("mid", "detector", 3, "F3")]
        parts += [("mid", "bay", 4, "B4")]
        found = map_detectors(parts)
        assert [area.area for area in found.areas] == ["east", "mid", "west"]
        assert len(found.faults) == 2
        assert "east has no detector" in found.faults[0]
        whole = map_detectors([*parts, (None, "detector", 5, "F5")])
        assert [part.code for part in whole.whole_station_detectors] == ["F5"]
        assert len(whole.faults) == 1


@pytest.fixture
async def demo(database: object) -> DemoStation:
    return await add_demo_station()


@pytest.fixture
async def heads(services: Services, now: datetime) -> dict[str, dict[str, str]]:
    return {p.key: (await log_in(p, services=services, now=now)).headers for p in (LI, SUN, ZHOU)}


class TestFleet:
    async def test_shows_health_by_what_devices_said(
        self, api: httpx.AsyncClient, demo: DemoStation, heads: dict[str, dict[str, str]], now: datetime
    ) -> None:
        await say(demo.smoke, "state", now=now, battery_pct=9)
        await run_due_jobs(now=now, only="telemetry.device_message")
        ask = {"kind": "smoke"}
        shown = (await api.get("/v1/operator/devices", params=ask, headers=heads["sun"])).json()["items"]
        health = shown[0]["health"]
        assert (health["state"], health["problems"], health["battery_pct"]) == ("troubled", ["low_battery"], 9)
        assert datetime.fromisoformat(health["last_seen_at"]) == now
        ask = {"health": "never_heard"}
        rest = (await api.get("/v1/operator/devices", params=ask, headers=heads["li"])).json()["items"]
        assert len(rest) == 8
        counts = (await api.get("/v1/operator/devices/summary", headers=heads["li"])).json()["kinds"]
        assert counts["smoke"] == {"troubled": 1}
        assert (await api.get("/v1/operator/devices/summary", headers=heads["zhou"])).json()["kinds"] == {}

    async def test_lists_silent_devices_for_boards(self, demo: DemoStation, now: datetime) -> None:
        await say(demo.smoke, "state", now=now)
        await run_due_jobs(now=now, only="telemetry.device_message")
        later = now + timedelta(minutes=10)
        await see_everything(now=later)
        assert await fleet.list_silent(station_ids=[demo.station.id]) == []
        from backend.telemetry import silence

        await silence.find_silent(now=later)
        found = await fleet.list_silent(station_ids=[demo.station.id])
        assert [(device.code, device.how, device.since) for device in found] == [(demo.smoke.code, "silent", now)]
        await run_ticks("telemetry.roll_history", now=later)


class TestEnrolment:
    async def test_by_label_gives_a_password_the_broker_takes(
        self, api: httpx.AsyncClient, demo: DemoStation, heads: dict[str, dict[str, str]]
    ) -> None:
        body = {"station_id": str(demo.station.id), "qr": "linli:device?v=1&kind=smoke&code=SM-1&model=HX", "area": "e"}
        made = await api.post("/v1/operator/devices/scan", json=body, headers=heads["li"])
        assert made.status_code == 201, made.text
        hashed = await db.fetchval("SELECT password_hash FROM device WHERE code = 'SM-1' AND model = 'HX'")
        assert matches_password(made.json()["password"], hashed)
        wrong = await api.post("/v1/operator/devices/scan", json={**body, "qr": "x"}, headers=heads["li"])
        assert (wrong.status_code, wrong.json()["code"]) == (422, "label_invalid")
        assert (await api.post("/v1/operator/devices/scan", json=body, headers=heads["sun"])).status_code == 403

    async def test_by_file_takes_what_is_right_and_is_safe_to_repeat(
        self, api: httpx.AsyncClient, demo: DemoStation, heads: dict[str, dict[str, str]]
    ) -> None:
        rows = (
            "code,kind,bay,role,area,interval_s\nF-1,smoke,,,east,60\nL-1,lock,nowhere,,,\nK-1,camera,,,,\n"
            "F 2,smoke,,,,\nF-3,smoke,,,,soon\n"
        )
        path = f"/v1/operator/devices/import?station_id={demo.station.id}"
        send: Any = {"files": {"file": ("devices.csv", rows.encode())}, "headers": heads["li"]}
        first = (await api.post(path, **send)).json()
        assert (first["rows"], [made["device"]["code"] for made in first["enrolled"]]) == (5, ["F-1"])
        assert [(row["line"], row["field"]) for row in first["refused"]] == [
            (3, "bay"),
            (4, ""),
            (5, "code"),
            (6, "interval_s"),
        ]
        again = (await api.post(path, **send)).json()
        assert (again["enrolled"], again["unchanged"]) == ([], 1)
        send["headers"] = heads["zhou"]
        assert (await api.post(path, **send)).status_code == 404


class TestRevocation:
    async def test_takes_a_device_off_the_brokers_files_until_it_has_a_new_password(
        self, api: httpx.AsyncClient, demo: DemoStation, heads: dict[str, dict[str, str]]
    ) -> None:
        path = f"/v1/operator/devices/{demo.smoke.id}"
        assert (await api.post(f"{path}/revoke", json={"reason": "丢失"}, headers=heads["zhou"])).status_code == 404
        assert (await api.post(f"{path}/revoke", json={"reason": "丢失"}, headers=heads["sun"])).status_code in (
            403,
            404,
        )
        assert demo.smoke.code in (await broker_access()).passwords
        done = await api.post(f"{path}/revoke", json={"reason": "丢失"}, headers=heads["li"])
        assert (done.status_code, done.json()["revoked_reason"]) == (200, "丢失")
        access = await broker_access()
        assert demo.smoke.code not in access.passwords
        assert f"user {demo.smoke.code}\n" not in access.acl
        shown = (await api.get(path, headers=heads["li"])).json()
        assert (shown["health"]["state"], shown["active"]) == ("revoked", True)
        again = await api.post(f"{path}/revoke", json={"reason": "丢失"}, headers=heads["li"])
        assert (again.status_code, again.json()["code"]) == (409, "already_revoked")
        await api.post(f"{path}/password", headers=heads["li"])
        shown = (await api.get(path, headers=heads["li"])).json()
        assert (shown["health"]["state"], shown["credentials_count"]) == ("never_heard", 2)
        assert demo.smoke.code in (await broker_access()).passwords
        assert await db.fetchval("SELECT count(*) FROM audit_entry WHERE action = 'device.revoked'") == 1


class TestDetectorMap:
    async def test_is_shown_to_the_stations_staff(
        self, api: httpx.AsyncClient, demo: DemoStation, heads: dict[str, dict[str, str]]
    ) -> None:
        await add_smoke_detector(station_id=demo.station.id, area="attic")
        path = f"/v1/operator/stations/{demo.station.id}/detectors"
        found = (await api.get(path, headers=heads["sun"])).json()
        assert [part["code"] for part in found["whole_station_detectors"]] == [demo.smoke.code]
        assert ["attic" in fault for fault in found["faults"]] == [True]
        assert (await api.get(path, headers=heads["zhou"])).status_code == 404
