"""500 residents ask for one slot over HTTP at the same moment: one gets it, nobody an error."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults.conftest import Row

pytestmark = pytest.mark.slow


class TestOneSlot:
    def test_goes_to_one_of_five_hundred(self, row: Row) -> None:
        """The benchmark is the race; it fails by itself on any other answer, or a refusal without alternatives."""
        done = subprocess.run(
            [sys.executable, "-m", "bench.slot_race"],
            cwd=Path(__file__).parents[2],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr[-3000:]
        found = dict(re.findall(r"(\w+)=(\S+)", done.stdout.splitlines()[-1]))
        row(
            "500 callers for one slot",
            f"{found['rounds']} rounds over HTTP, {found['connections']} connections",
            f"201: {found['created']}, 409 with alternatives: {found['refused']}, 5xx: {found['errors']},"
            f" deadlocks: {found['deadlocks']},"
            f" p50 {found['p50']} ms, p99 {found['p99']} ms",
        )
        assert int(found["created"]) == int(found["rounds"])
        assert int(found["refused"]) == 499 * int(found["rounds"])
