"""The whole of `linli up`, as its user meets it: parts come back, Ctrl-C leaves nothing, kill -9 costs nothing."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from sandbox.servers import processes
from sandbox.up.state import read_env
from sandbox.up.supervisor import answers

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
PARTS = ("api", "bridge", "ingest", "worker", "sandbox", "broker", "valkey", "postgres")


def wait_until(true: Callable[[], bool], *, what: str, timeout_s: float = 60) -> None:
    """Return when `true()` is; fail with `what` when it does not become so."""
    deadline = time.monotonic() + timeout_s
    while not true():
        assert time.monotonic() < deadline, what
        time.sleep(0.1)


class Run:
    """One `linli up` in a state folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log = folder.with_suffix(".log")
        with self.log.open("w") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "backend.cli", "up"],
                cwd=ROOT,
                env={**os.environ, "LINLI_STATE_DIR": str(folder)},
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        started = time.monotonic()
        wait_until(lambda: "runs, ready" in self.log.read_text() or self.process.poll() is not None, what="no screen")
        assert self.process.poll() is None, self.log.read_text()
        self.took_s = time.monotonic() - started

    def pids(self) -> dict[str, int]:
        """Return who runs."""
        pids: dict[str, int] = json.loads((self.folder / "pids.json").read_text())
        return pids

    def is_ready(self) -> bool:
        """Say whether the API says so."""
        return answers(read_env()["LINLI_PUBLIC_URL"] + "/readyz")

    def everybody(self) -> list[psutil.Process]:
        """Return the supervisor and all below it."""
        top = psutil.Process(self.process.pid)
        return [top, *top.children(recursive=True)]

    def ends_with(self, number: signal.Signals) -> list[psutil.Process]:
        """Send the signal to the supervisor's group; returns who is still there twenty seconds later."""
        those = self.everybody()
        os.killpg(self.process.pid, number)
        self.process.wait(60)
        _, alive = psutil.wait_procs(those, timeout=20)
        return [process for process in alive if process.status() != psutil.STATUS_ZOMBIE]


@pytest.fixture(scope="module")
def state_dir(server_folder: Path) -> Iterator[Path]:
    """A state folder that outlives one run; LINLI_STATE_DIR names it to `read_env`."""
    folder = server_folder / "stack"
    old = os.environ.get("LINLI_STATE_DIR")
    os.environ["LINLI_STATE_DIR"] = str(folder)
    yield folder
    if old is None:
        del os.environ["LINLI_STATE_DIR"]
    else:
        os.environ["LINLI_STATE_DIR"] = old


class TestUp:
    def test_lives_through_kill_9_of_each_part_and_of_all_and_leaves_nothing(self, state_dir: Path) -> None:
        first = Run(state_dir)
        for name in PARTS:
            before = first.pids()[name]
            processes.with_kill(psutil.Process(before))
            wait_until(lambda name=name, before=before: first.pids().get(name, before) != before, what=name)  # type: ignore[misc]
            wait_until(first.is_ready, what=f"not ready after {name} was killed")
        assert first.ends_with(signal.SIGKILL) == []

        second = Run(state_dir)
        assert second.is_ready()
        assert second.took_s < 10
        doctor = subprocess.run(
            [sys.executable, "-m", "backend.cli", "doctor"],
            cwd=ROOT,
            env={name: value for name, value in os.environ.items() if name == "LINLI_STATE_DIR" or "LINLI" not in name},
            capture_output=True,
            text=True,
            check=False,
        )
        assert doctor.returncode == 0, doctor.stdout
        assert second.ends_with(signal.SIGINT) == []
        assert second.process.returncode == 0
