"""`python -m sandbox` as a process: it says when it listens, starts the fleet when its plan comes, and ends cleanly."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import msgspec
import pytest

from sandbox.fleet.plan import FleetPlan, read_plan, write_plan
from tests.sandbox.fleet.rig import small_station

ROOT = Path(__file__).parents[3]


@pytest.fixture
def process(tmp_path: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """A sandbox in a folder of its own."""
    started = subprocess.Popen(
        [sys.executable, "-m", "sandbox", "--state-dir", str(tmp_path)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    yield started
    if started.poll() is None:
        started.kill()
    started.wait()


def until(look: object, timeout_s: float = 20.0) -> None:
    """Wait until `look()` holds."""
    deadline = time.monotonic() + timeout_s
    while not look():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.05)


class TestProcess:
    def test_serves_from_first_to_last(self, process: "subprocess.Popen[bytes]", tmp_path: Path) -> None:
        ready = tmp_path / "sandbox.json"
        until(ready.exists)
        assert ready.stat().st_mode & 0o077 == 0
        told = msgspec.json.decode(ready.read_bytes())
        url = told["control_url"]
        assert {"LINLI_SMS_URL", "LINLI_WECHAT_PAY_URL", "LINLI_APNS_URL"} <= told["settings"].keys()

        def fleet_runs() -> bool:
            try:
                return bool(httpx.get(f"{url}/livez").json()["fleet"])
            except httpx.HTTPError:
                return False

        assert not fleet_runs()
        write_plan(
            path=tmp_path / "fleet.json", plan=FleetPlan(mqtt_url="mqtt://127.0.0.1:9", stations=[small_station()])
        )
        until(fleet_runs)
        assert httpx.get(f"{url}/stations").json()["items"][0]["code"] == "S1"
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=10) == 0
        assert not ready.exists()
        assert b"Traceback" not in (process.stdout.read() if process.stdout else b"")


class TestPlan:
    def test_is_read_as_it_was_written_and_kept_from_others(self, tmp_path: Path) -> None:
        plan = FleetPlan(mqtt_url="mqtt://127.0.0.1:1883", speed=20, stations=[small_station()])
        path = tmp_path / "deep" / "fleet.json"
        write_plan(path=path, plan=plan)
        assert read_plan(path=path) == plan
        assert path.stat().st_mode & 0o077 == 0

    def test_that_names_a_field_wrongly_is_refused_with_the_field(self, tmp_path: Path) -> None:
        path = tmp_path / "fleet.json"
        path.write_text('{"mqtt_url": 3, "stations": []}')
        with pytest.raises(msgspec.ValidationError, match="mqtt_url"):
            read_plan(path=path)
