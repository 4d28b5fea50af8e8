"""A process of the stack is started again when it dies: at once the first time, later with growing pauses."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from sandbox.servers.processes import ServerFailed
from sandbox.up.children import Child, end_leftovers

FOREVER = [sys.executable, "-c", "import time; time.sleep(1000)  # linli-test-mark"]


@pytest.fixture
def child(tmp_path: Path) -> Iterator[Child]:
    """A process that would run for a quarter of an hour."""
    made = Child(name="sleeper", argv=FOREVER, env=dict(os.environ), log=tmp_path / "logs" / "x.log", cwd=tmp_path)
    made.start()
    yield made
    made.stop()


def kill(child: Child) -> None:
    """Kill the process with -9 and wait for its end."""
    assert child.process is not None
    child.process.kill()
    child.process.wait(10)


class TestChild:
    def test_is_left_alone_while_it_runs(self, child: Child) -> None:
        said: list[str] = []
        assert child.tend(said.append) is False
        assert said == []

    def test_starts_again_at_once_after_its_first_death(self, child: Child) -> None:
        said: list[str] = []
        kill(child)
        before = child.pid
        assert child.tend(said.append) is True
        assert before is None
        assert child.pid is not None
        assert len(said) == 1
        assert "signal 9" in said[0]

    def test_waits_before_it_starts_again_when_it_dies_at_once_again(self, child: Child) -> None:
        said: list[str] = []
        kill(child)
        child.tend(said.append)
        kill(child)
        assert child.tend(said.append) is False
        assert child.pid is None
        # told once, however often one looks
        assert child.tend(said.append) is False
        assert len(said) == 2

    def test_shows_the_end_of_its_log_when_it_cannot_start(self, child: Child) -> None:
        child.stop()
        child.argv = [sys.executable, "-c", "raise SystemExit('the setting X is missing')"]
        child.start()
        with pytest.raises(ServerFailed, match="the setting X is missing"):
            child.is_ready = lambda: False
            child.wait_until_ready(timeout_s=20, interrupted=lambda: False)


class TestEndLeftovers:
    def test_ends_what_a_killed_run_left(self, child: Child) -> None:
        assert child.pid is not None
        end_leftovers({"sleeper": child.pid}, mark="linli-test-mark")
        assert child.pid is None

    def test_spares_a_stranger_that_has_the_number_now(self, child: Child) -> None:
        assert child.pid is not None
        end_leftovers({"sleeper": child.pid}, mark="another program")
        assert psutil.Process(child.pid).is_running()
