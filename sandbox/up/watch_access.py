"""Keeps the broker's access files in step with the device registry while the stack runs.

A device added or retired through the API may log in, or no longer, within some seconds. In production the same is a
`linli broker-access` and a SIGHUP after each change (docs/operating.md).
"""

import asyncio
import contextlib
import os
import signal
from pathlib import Path

import asyncpg

from backend.cli.data import opened
from backend.core.settings import Settings
from sandbox.up.access import bridge_name, known_bridge_hash, read_access, write_access

PERIOD_S = 4.0


def _reload_broker(folder: Path) -> None:
    with contextlib.suppress(OSError, ValueError):
        os.kill(int((folder / "broker.pid").read_text()), signal.SIGHUP)


async def watch() -> None:
    """Compare every few seconds, until the process is told to end."""
    settings = Settings.from_environ()
    folder = Path(os.environ["LINLI_STATE_DIR"]) / "broker"
    async with opened(settings):
        while True:
            with contextlib.suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
                known = known_bridge_hash(folder, bridge_name(settings.mqtt_url))
                if write_access(folder, await read_access(settings.mqtt_url, known_hash=known)):
                    _reload_broker(folder)
            await asyncio.sleep(PERIOD_S)


if __name__ == "__main__":
    asyncio.run(watch())
