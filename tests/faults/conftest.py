"""A running service with a crowd of devices, and the table that the fault runs print at the end.

`LINLI_FAULTS=full` runs with the numbers of issue 3 (10 kills under 2,000 msg/s, a minute without a server, ten minutes
without a broker); otherwise smaller ones, so that the whole table takes some minutes.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from bench.ground import Ground, ground
from bench.load import Crowd
from sandbox import providers as sandbox_providers
from sandbox.providers import Providers

FULL = os.environ.get("LINLI_FAULTS") == "full"
KILLS = 10 if FULL else 3
RATE = 2000.0 if FULL else 250.0
DOWN_S = 60.0 if FULL else 6.0
BROKER_DOWN_S = 600.0 if FULL else 20.0
ROW = "fault_row"
Row = Callable[[str, str, str], None]


@pytest.fixture
def row(record_property: Callable[[str, object], None]) -> Row:
    """Write a line of the table: the fault, what was done, what was measured. Whether it passed, pytest knows."""

    def write(fault: str, done: str, measured: str) -> None:
        record_property(ROW, (fault, done, measured))

    return write


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print the table."""
    lines: list[tuple[str, str, str, str]] = []
    for outcome in ("passed", "failed"):
        for report in terminalreporter.stats.get(outcome, []):
            rows = [value for name, value in getattr(report, "user_properties", []) if name == ROW]
            lines += [(*value, "pass" if outcome == "passed" else "FAIL") for value in rows]
            if outcome == "failed" and "tests/faults" in report.nodeid and not rows:
                lines.append((report.nodeid.rpartition("::")[2], "", "ended before it was measured", "FAIL"))
    if not lines:
        return
    terminalreporter.section("faults")
    head = ("fault", "what was done", "measured", "")
    widths = [max(len(line[n]) for line in [head, *lines]) for n in range(4)]
    for line in [head, *lines]:
        terminalreporter.write_line(" | ".join(part.ljust(width) for part, width in zip(line, widths, strict=True)))


class Running:
    """The service with its crowd."""

    def __init__(self, made: Ground, crowd: Crowd, providers: Providers, providers_dir: Path) -> None:
        self.ground = made
        self.crowd = crowd
        self.providers = providers
        self.providers_dir = providers_dir
        self.dsn = made.postgres.app_url

    def restart(self, role: str) -> None:
        """kill -9, and start again as a supervisor would."""
        self.ground.kill(role)
        self.ground.launch(role)

    def ended(self) -> list[str]:
        """The processes that ended by themselves: a server that was away is no reason to."""
        return [name for name, child in self.ground.children.items() if child.poll() is not None]

    async def settle(self) -> None:
        """Wait until the API is ready."""
        await asyncio.to_thread(self.ground.wait_for_api)


@pytest.fixture(scope="package")
async def running(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Running]:
    """Servers, api, bridge, ingest, worker, the outside providers and a crowd, for all faults of this package."""
    with ground(broker=True) as made:
        folder = tmp_path_factory.mktemp("providers")
        providers = await sandbox_providers.start(state_dir=folder)
        made.extra = {**providers.settings, "LINLI_WECHAT_TEMPLATES": "refund_done=TMPL-9"}
        crowd = Crowd(made.broker_port)
        async with made.opened():
            await crowd.register(stations=16, chargers=4)
        made.launch("api", "bridge", "ingest", "worker")
        await asyncio.to_thread(made.wait_for_api)
        crowd.connect()
        try:
            yield Running(made, crowd, providers, folder)
        finally:
            crowd.close()
            made.stop_service()
            await providers.close()
