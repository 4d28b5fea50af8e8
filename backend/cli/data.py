"""Commands that touch data: the demo, imports from CSV, the broker's access files, held jobs."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path

import click
from rich.console import Console
from rich.progress import Progress, TaskID

from backend import wiring
from backend.core import crypto, db, jobs
from backend.core.clock import SystemClock
from backend.core.errors import DomainError
from backend.core.settings import Settings
from backend.seed import seed_demo
from backend.stations.service import imports

console = Console(stderr=True)


@asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[datetime]:
    """Install keys, handlers and database for one command; gives the present instant."""
    crypto.install_keyring(crypto.Keyring(settings.keyring_keys(), settings.lookup_key_bytes()))
    jobs.wire(wiring.collect_jobs())
    await db.open_database(settings.database_url, min_size=1, max_size=4)
    try:
        yield SystemClock().now()
    finally:
        await db.close_database()


async def load_demo(settings: Settings, *, state_dir: Path) -> int:
    """Load the demo data, and write the fleet's plan and the providers' accounts into `state_dir`."""
    mqtt_host = settings.mqtt_url.rpartition("@")[2].removeprefix("mqtt://")
    with Progress(console=console, transient=True) as progress:
        tasks: dict[str, TaskID] = {}

        def tell(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = progress.add_task(f"Loading {what}")
            progress.update(tasks[what], completed=done, total=total)

        async with opened(settings) as now:
            await seed_demo(state_dir=state_dir, mqtt_url=f"mqtt://{mqtt_host}", now=now, on_progress=tell)
    return 0


async def import_file(settings: Settings, *, kind: str, file: Path) -> int:
    """Import a CSV file with a progress bar; prints what became of the rows, and returns 1 when some were refused."""
    run = imports.import_stations if kind == "stations" else imports.import_communities
    with Progress(console=console) as progress:
        task = progress.add_task(f"Importing {kind}", total=None)

        def tell(done: int, total: int) -> None:
            progress.update(task, completed=done, total=total)

        async with opened(settings) as now:
            try:
                report = await run(file=file, now=now, on_progress=tell)
            except DomainError as error:
                progress.stop()
                click.echo(f"{file}: {error.detail('en') or error}", err=True)
                return 1
    click.echo(
        f"{report.rows} rows: {report.added} added, {report.updated} updated, {report.unchanged} unchanged, "
        f"{report.refused_rows} refused"
    )
    for refusal in report.refused:
        click.echo(f"  line {refusal.line}: {refusal.reason}")
    return 1 if report.refused else 0


async def write_broker_access(settings: Settings, *, folder: Path) -> int:
    """Write `passwords` and `acl` for Mosquitto; the bridge's user is the one in LINLI_MQTT_URL."""
    from sandbox.up.access import read_access, write_access

    async with opened(settings):
        access = await read_access(settings.mqtt_url)
    write_access(folder, access)
    click.echo(f"Written: {folder / 'passwords'}, {folder / 'acl'}. Now send Mosquitto a SIGHUP.")
    return 0


async def follow_broker_access(settings: Settings, *, folder: Path, pid_file: Path) -> int:
    """Keep both files in step with the registry, and Mosquitto with the files, until told to end."""
    from sandbox.up.watch_access import follow

    click.echo(f"Keeping {folder} in step with the registry; {pid_file} names the broker. Ctrl-C ends.")
    await follow(settings, folder=folder, pid_file=pid_file)
    return 0


async def requeue_jobs(settings: Settings, *, name: str | None) -> int:
    """Put held jobs back into the queue."""
    async with opened(settings):
        count = await jobs.requeue_held(name=name)
    click.echo(f"{count} jobs are queued again.")
    return 0
