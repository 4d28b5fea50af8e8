"""The `linli` command: one entry for every process of the service, and what an operator types.

Commands import what they run only when they run it, so that `linli --help` answers at once.
"""

import asyncio
import os
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Any
from uuid import UUID

import click

from backend.cli.commands_money import COMMANDS as MONEY_COMMANDS
from backend.core.settings import BadSetting, Settings

HELP = """Linli 邻里充电: the charging service of Beijing's housing compounds.

`linli up` runs everything on this machine. The other commands take their settings from LINLI_* variables; where none
are set, in a checkout whose `linli up` has run, those of that stack are taken.
"""


def _adopt_stack() -> None:
    """Take the settings of this checkout's own stack when the environment brings none."""
    if any(name in os.environ for name in ("LINLI_DATABASE_URL", "LINLI_REDIS_URL", "LINLI_MQTT_URL")):
        return
    from sandbox.up.state import read_env

    for name, value in read_env().items():
        os.environ.setdefault(name, value)


def _settings() -> Settings:
    return Settings.from_environ()


def _run(work: Coroutine[Any, Any, int | None]) -> None:
    code = asyncio.run(work)
    if code:
        raise click.exceptions.Exit(code)


@click.group(help=HELP, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.pass_context
def linli(context: click.Context) -> None:
    """Take the stack's settings for every command but `up`, which makes them."""
    if context.invoked_subcommand != "up":
        _adopt_stack()


@linli.command()
@click.option("--fresh", is_flag=True, help="Forget all data of this checkout's stack first.")
def up(fresh: bool) -> None:
    """Run everything on this machine.

    Servers, service, simulated devices, demo; Ctrl-C stops it and leaves no process.
    """
    from sandbox.up.supervisor import run_up

    raise click.exceptions.Exit(run_up(fresh=fresh))


@linli.command()
def api() -> None:
    """Serve the HTTP API and its live paths."""
    from backend.app import main as run_api
    from backend.core.lifeline import follow_parent_if_supervised

    follow_parent_if_supervised()
    run_api()


@linli.command()
def bridge() -> None:
    """Carry device messages in and commands out.

    Between the MQTT broker and Valkey (telemetry) or PostgreSQL (safety, commands).
    """
    from importlib import import_module

    from backend.core.lifeline import follow_parent_if_supervised

    follow_parent_if_supervised()
    raise click.exceptions.Exit(import_module("mqtt_bridge.__main__").main())


@linli.command()
def ingest() -> None:
    """Write telemetry to state and history.

    From Valkey's streams to PostgreSQL, and to live listeners.
    """
    from importlib import import_module

    from backend.core.lifeline import follow_parent_if_supervised

    follow_parent_if_supervised()
    import_module("backend.ingest").main()


@linli.command()
def worker() -> None:
    """Run timers and reactions to events."""
    from backend.core.lifeline import follow_parent_if_supervised
    from backend.worker import main as run_worker

    follow_parent_if_supervised()
    run_worker()


@linli.command()
@click.option("--check", is_flag=True, help="Apply nothing; exit 1 when something is missing.")
def migrate(check: bool) -> None:
    """Bring the database to this version.

    Needs LINLI_OWNER_DATABASE_URL; safe to repeat, two at once take turns.
    """
    from backend.cli import migrations

    url = os.environ.get("LINLI_OWNER_DATABASE_URL", "")
    if not url:
        raise BadSetting("LINLI_OWNER_DATABASE_URL is not set: PostgreSQL as the owner of the tables")
    if check:
        missing = asyncio.run(migrations.pending(url=url))
        for name in missing:
            click.echo(f"missing: {name}")
        raise click.exceptions.Exit(1 if missing else 0)
    try:
        applied = asyncio.run(migrations.migrate(owner_url=url))
    except migrations.MigrationFailed as error:
        click.echo(f"{error}\nNothing after that was applied.", err=True)
        raise click.exceptions.Exit(1) from error
    click.echo(f"{len(applied)} migrations applied." if applied else "The database is up to date.")


@linli.command()
def seed() -> None:
    """Load the demo (safe to repeat).

    Companies, people, compounds, stations, prices, and the plan of the simulated fleet.
    """
    from backend.cli.data import load_demo

    _run(load_demo(_settings(), state_dir=Path(os.environ.get("LINLI_STATE_DIR", "."))))


@linli.command(name="import")
@click.argument("kind", type=click.Choice(["stations", "communities"]))
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
def import_(kind: str, file: Path) -> None:
    """Load stations or communities from CSV.

    Refused rows are listed with their reasons, and make the exit code 1; safe to repeat.
    """
    from backend.cli.data import import_file

    _run(import_file(_settings(), kind=kind, file=file))


@linli.command()
def doctor() -> None:
    """Say what answers and what is wrong.

    For each server: which address, which version; then migrations, clock, jobs. Exit code 1 when something is wrong.
    """
    from backend.cli.doctor import examine

    _run(examine())


@linli.command()
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="Write to this file instead.")
def openapi(out: Path | None) -> None:
    """Print the OpenAPI 3.1 text of the API.

    Needs no server and no settings.
    """
    from backend.cli.openapi import openapi_text

    text = openapi_text()
    if out is None:
        click.echo(text)
    else:
        out.write_text(text + "\n", encoding="utf-8")


@linli.command(name="broker-access")
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--follow", is_flag=True, help="Go on: write at each change of the registry, and SIGHUP the broker.")
@click.option(
    "--broker-pid",
    type=click.Path(dir_okay=False, path_type=Path),
    help="With --follow: the broker's pid file (default: FOLDER/broker.pid).",
)
def broker_access(folder: Path, follow: bool, broker_pid: Path | None) -> None:
    """Write Mosquitto's passwords and acl.

    From the device registry into FOLDER, with the bridge's user of LINLI_MQTT_URL; then send the broker a SIGHUP, or
    run it with --follow beside the broker: a device revoked in the registry is then cut off within a second.
    """
    from backend.cli.data import follow_broker_access, write_broker_access

    if follow:
        _run(follow_broker_access(_settings(), folder=folder, pid_file=broker_pid or folder / "broker.pid"))
    else:
        _run(write_broker_access(_settings(), folder=folder))


@linli.command()
@click.argument("name", required=False)
def requeue(name: str | None) -> None:
    """Give failed jobs another try.

    All that failed for good, or those called NAME; `linli doctor` names them.
    """
    from backend.cli.data import requeue_jobs

    _run(requeue_jobs(_settings(), name=name))


@linli.group()
def rules() -> None:
    """Safety rules on stored history."""


@rules.command(name="try")
@click.option("--since", required=True, help="30m, 6h, 2d, or an ISO date and time (UTC where unsaid).")
@click.option("--station", help="Code of one station; else all that have devices.")
@click.option(
    "--numbers",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="JSON with other numbers: {rule: {warning: ..., critical: ...}}.",
)
@click.option("--version", type=click.UUID, help="Id of a proposed or approved version of the numbers.")
def try_rules(since: str, station: str | None, numbers: Path | None, version: UUID | None) -> None:
    """Print what the rules would have raised.

    On stored samples, with the numbers in force or with others; writes nothing.
    """
    from backend.cli.rules import read_numbers
    from backend.cli.rules import try_rules as run

    others = None if numbers is None else read_numbers(numbers)
    _run(run(_settings(), since=since, station=station, numbers=others, version=version))


@linli.group()
def waits() -> None:
    """Waits of arrivals."""


@waits.command(name="check")
@click.option("--station", required=True, help="Code of the station.")
@click.option("--day", help="Day in Beijing, such as 2026-11-20; today if left out.")
def check_waits(station: str, day: str | None) -> None:
    """Recount stored waits from what cameras and chargers said.

    For inspectors: the arithmetic is its own, and every wait that differs is named. Writes nothing; the exit code is 1
    when one differs. Plates are forgotten after 30 days, so older waits have no evidence.
    """
    from backend.cli.waits import check_waits as run

    _run(run(_settings(), station=station, day=day))


@linli.group()
def simulate() -> None:
    """Play the service's own rules on a virtual clock."""


@simulate.command(name="week")
@click.option("--demand", default="compound", help="A preset (compound, mixed, steady, nobody) or a CSV file.")
@click.option(
    "--agreements", type=click.IntRange(min=0), help="How many agreements; without it, the demand's own number."
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="The same seed, the same week.")
@click.option("--weeks", type=click.IntRange(2, 100), default=8, show_default=True, help="Weeks per number tried.")
@click.option("--faults", type=click.FloatRange(0, 100), default=0.1, show_default=True, help="Per gun and week.")
@click.option("--search/--no-search", default=True, show_default=True, help="Search the signing limit.")
@click.option("--png", type=click.Path(dir_okay=False, path_type=Path), help="Write the picture to this file.")
@click.option("--station", "code", help="A registered station, as it stands; without it, one of so many guns:")
@click.option("--resident-dc", type=click.IntRange(0, 200), default=4, show_default=True)
@click.option("--resident-ac", type=click.IntRange(0, 200), default=6, show_default=True)
@click.option("--public-dc", type=click.IntRange(0, 200), default=2, show_default=True)
@click.option("--public-ac", type=click.IntRange(0, 200), default=0, show_default=True)
@click.option("--set-limit", is_flag=True, help="Store the number as the station's signing limit; signing warns at it.")
@click.option("--refuse", is_flag=True, help="With --set-limit: signing is refused beyond it.")
def simulate_week_(
    demand: str,
    agreements: int | None,
    seed: int,
    weeks: int,
    faults: float,
    search: bool,
    png: Path | None,
    code: str | None,
    resident_dc: int,
    resident_ac: int,
    public_dc: int,
    public_ac: int,
    set_limit: bool,
    refuse: bool,
) -> None:
    """Simulate a week of arrivals at a station.

    Prints and plots utilisation, waits, no-shows and overstays, and how many agreements the station can carry while
    99 % of arrivals wait at most 5 minutes. See docs/simulation.md.
    """
    from backend.cli.simulate import Wanted, simulate_made_up, simulate_registered

    wanted = Wanted(
        demand=demand,
        agreements=agreements,
        seed=seed,
        weeks=weeks,
        faults_per_gun=faults,
        picture=png,
        search=search,
        guns=(resident_dc, resident_ac, public_dc, public_ac),
    )
    if set_limit and (code is None or not search):
        raise click.UsageError("--set-limit needs --station CODE and the search")
    if refuse and not set_limit:
        raise click.UsageError("--refuse needs --set-limit")
    if code is None:
        simulate_made_up(wanted)
    else:
        _run(simulate_registered(_settings(), code=code, wanted=wanted, set_limit=set_limit, refuse=refuse))


@linli.group()
def console() -> None:
    """Who may sign in to the operator console (/admin)."""


@console.command(name="add-user")
@click.argument("username")
@click.option("--phone", required=True, help="The person's phone: in the name of its account the services act.")
@click.option("--name", required=True, help="The person's name.")
@click.option("--read-only", is_flag=True, help="May look at everything, and use no form.")
def console_add_user(username: str, phone: str, name: str, read_only: bool) -> None:
    """Add a person; asks for a password, prints what the authenticator app needs.

    Without a terminal the password is one line of standard input.
    """
    from backend.cli.console import add_user

    _run(add_user(_settings(), username=username, phone=phone, name=name, may_act=not read_only))


@console.command(name="reset")
@click.argument("username")
@click.option("--password", "with_password", is_flag=True, help="Ask for a new password too.")
def console_reset(username: str, with_password: bool) -> None:
    """Give a person a new second factor.

    For a lost phone: the old one and every session end, a lock is taken off.
    """
    from backend.cli.console import reset

    _run(reset(_settings(), username=username, with_password=with_password))


@console.command(name="disable")
@click.argument("username")
def console_disable(username: str) -> None:
    """Shut a person out at once, with every session."""
    from backend.cli.console import set_active

    _run(set_active(_settings(), username=username, active=False))


@console.command(name="enable")
@click.argument("username")
def console_enable(username: str) -> None:
    """Let a person in again; takes a lock off too."""
    from backend.cli.console import set_active

    _run(set_active(_settings(), username=username, active=True))


@console.command(name="users")
def console_users() -> None:
    """List the logins."""
    from backend.cli.console import list_users

    _run(list_users(_settings()))


@console.command(name="demo")
def console_demo() -> None:
    """Print the demo's logins of this checkout's stack, with the codes of this moment."""
    from sandbox.up.console_logins import demo_logins
    from sandbox.up.state import state_folder

    for username, password, code in demo_logins(state_folder()):
        click.echo(f"{username}  {password}  {code}")


@linli.group()
def letters() -> None:
    """Show and replay refused device messages."""


@letters.command(name="list")
@click.option("--cause", help="Only of this cause.")
@click.option("--limit", default=50, show_default=True, help="How many, newest first.")
def letters_list(cause: str | None, limit: int) -> None:
    """List refused messages, newest first, and the counts by cause.

    Never what they said: it may be personal.
    """
    from backend.cli.letters import list_letters

    _run(list_letters(_settings(), cause=cause, limit=limit))


@letters.command(name="replay")
@click.argument("ids", nargs=-1, type=int)
@click.option("--cause", help="All that are kept of this cause and were not taken since.")
def letters_replay(ids: tuple[int, ...], cause: str | None) -> None:
    """Give refused messages another try.

    Those with these IDS, or all of one --cause; exit code 1 when some are refused again.
    """
    from backend.cli.letters import replay_letters

    if bool(ids) == bool(cause):
        raise click.UsageError("Name ids, or a --cause.")
    _run(replay_letters(_settings(), ids=ids, cause=cause))


for command in MONEY_COMMANDS:
    linli.add_command(command)


def main() -> None:
    """Entry point: a bad setting is told in one line, not in a traceback."""
    try:
        linli(prog_name="linli")
    except BadSetting as error:
        click.echo(f"{error}\nIn a checkout, `./dev up` sets all of them.", err=True)
        sys.exit(2)
