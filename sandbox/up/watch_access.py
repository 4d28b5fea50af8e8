"""Keeps the broker's access files in step with the device registry, and has the broker read them: SIGHUP.

It listens for NOTIFY `device_access`, so a revoked device is out within a fraction of a second: Mosquitto, reading its
files again, cuts the connections of users that are gone or have another password, and refuses their next login. The
`linli up` stack runs it; in production it is `linli broker-access FOLDER --follow` (docs/operating.md).
"""

import asyncio
import contextlib
import os
import signal
from pathlib import Path

import asyncpg

from backend.cli.data import opened
from backend.core.settings import Settings
from sandbox.servers import processes
from sandbox.up.access import bridge_name, known_bridge_hash, read_access, write_access

CHANNEL = "device_access"
PERIOD_S = 4.0
"""A NOTIFY can be lost with its connection: the files are compared all the same so often."""
SETTLE_S = 0.05
"""Changes that come together (an import) are written together."""
AWAY = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, TimeoutError)


SAVE_EVERY_S = 10.0
"""Mosquitto saves by count of changes alone; a small fleet would wait long for its 5,000th (mosquitto.conf)."""


def tell_broker(pid_file: Path, signal_number: signal.Signals) -> None:
    """SIGHUP: read the access files again. SIGUSR1: save sessions and queues. Only ever to a Mosquitto."""
    with contextlib.suppress(OSError, ValueError):
        pid = int(pid_file.read_text())
        if processes.running_program(pid, name="mosquitto") is not None:
            os.kill(pid, signal_number)


async def follow(settings: Settings, *, folder: Path, pid_file: Path) -> None:
    """Open the database and keep in step, until the process is told to end."""
    async with opened(settings):
        await keep_in_step(
            database_url=settings.database_url, bridge_url=settings.mqtt_url, folder=folder, pid_file=pid_file
        )


async def keep_in_step(
    *, database_url: str, bridge_url: str, folder: Path, pid_file: Path, save_every_s: float = SAVE_EVERY_S
) -> None:
    """Write the access files of `folder` whenever the registry changes, until cancelled; the database is open."""
    saving = asyncio.create_task(_save(pid_file, save_every_s))
    changed = asyncio.Event()
    listening = asyncio.create_task(_listen(database_url, changed))
    try:
        while True:
            with contextlib.suppress(*AWAY):
                known = known_bridge_hash(folder, bridge_name(bridge_url))
                if write_access(folder, await read_access(bridge_url, known_hash=known)):
                    tell_broker(pid_file, signal.SIGHUP)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(PERIOD_S):
                    await changed.wait()
                await asyncio.sleep(SETTLE_S)
            changed.clear()
    finally:
        listening.cancel()
        saving.cancel()


async def _save(pid_file: Path, every_s: float) -> None:
    while True:
        await asyncio.sleep(every_s)
        tell_broker(pid_file, signal.SIGUSR1)


async def _listen(dsn: str, changed: asyncio.Event) -> None:
    while True:
        with contextlib.suppress(*AWAY):
            connection = await asyncpg.connect(
                dsn, timeout=5, server_settings={"application_name": "linli-broker-access"}
            )
            gone = asyncio.Event()
            connection.add_termination_listener(lambda _connection, gone=gone: gone.set())
            await connection.add_listener(CHANNEL, lambda *_: changed.set())
            changed.set()
            await gone.wait()
        await asyncio.sleep(1)


if __name__ == "__main__":
    broker = Path(os.environ["LINLI_STATE_DIR"]) / "broker"
    asyncio.run(follow(Settings.from_environ(), folder=broker, pid_file=broker / "broker.pid"))
