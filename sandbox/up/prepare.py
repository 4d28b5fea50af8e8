"""What is done once between the servers and the service: migrate, load the demo, write the broker's access files.

A process of its own, so that the supervisor stays small. `python -m sandbox.up.prepare`, settings in the environment.
"""

import asyncio
import os
import sys
from pathlib import Path

from backend.cli import migrations
from backend.cli.data import load_demo, opened
from backend.core.settings import Settings
from sandbox.up.access import bridge_name, known_bridge_hash, read_access, write_access
from sandbox.up.console_logins import add_logins


async def prepare() -> None:
    """Bring the database and the broker's files to the state of the code and the registry; safe to repeat."""
    settings = Settings.from_environ()
    state_dir = Path(os.environ["LINLI_STATE_DIR"])
    try:
        applied = await migrations.migrate(owner_url=settings.owner_database_url)
    except migrations.MigrationFailed as error:
        sys.exit(f"{error}\nThe database cannot be brought to this version. If its data may go: ./dev up --fresh")
    if applied:
        print(f"Database: {len(applied)} migrations applied.", flush=True)
    await load_demo(settings, state_dir=state_dir)
    await add_logins(settings, state_dir=state_dir)
    folder = state_dir / "broker"
    async with opened(settings):
        known = known_bridge_hash(folder, bridge_name(settings.mqtt_url))
        write_access(folder, await read_access(settings.mqtt_url, known_hash=known))


def main() -> None:
    """Entry point."""
    asyncio.run(prepare())
    sys.stdout.flush()


if __name__ == "__main__":
    main()
