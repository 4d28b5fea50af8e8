"""`linli rules`: the safety rules on stored history."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import click
import msgspec
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from backend.alerts.rules.words import reason_of
from backend.alerts.service import trying
from backend.cli.data import opened
from backend.core.errors import DomainError
from backend.core.settings import Settings

UNITS = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1)}


def read_since(text: str, *, now: datetime) -> datetime:
    """Return the instant of `30m`, `6h`, `2d` before now, or of an ISO date or date and time (UTC where unsaid)."""
    if match := re.fullmatch(r"(\d{1,4})([mhd])", text):
        return now - int(match[1]) * UNITS[match[2]]
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise click.BadParameter(f"{text!r}: 30m, 6h, 2d, or 2026-11-20T08:00") from None
    return at if at.tzinfo is not None else at.replace(tzinfo=UTC)


def read_numbers(file: Path) -> dict[str, dict[str, float]]:
    """Return the numbers of a JSON file; a broken one is a bad parameter."""
    try:
        return msgspec.json.decode(file.read_bytes(), type=dict[str, dict[str, float]])
    except msgspec.MsgspecError as error:
        raise click.BadParameter(f"{file}: {error}") from None


async def try_rules(
    settings: Settings,
    *,
    since: str,
    station: str | None,
    numbers: dict[str, dict[str, float]] | None,
    version: UUID | None,
) -> int:
    """Print what the rules would have raised since then; nothing is written."""
    async with opened(settings) as now:
        begin = read_since(since, now=now)
        with Progress(console=Console(stderr=True), transient=True) as progress:
            task = progress.add_task("Reading history", total=None)
            try:
                tried = await trying.try_rules(
                    since=begin,
                    until=now,
                    station_code=station,
                    rules=numbers,
                    version_id=version,
                    on_progress=lambda done, total: progress.update(task, completed=done, total=total),
                )
            except DomainError as error:
                click.echo(error.detail("en") or str(error), err=True)
                return 1
    table = Table("from (UTC)", "until", "station", "charger", "level", "rule", "value", "limit", "meaning")
    for f in tried.fired:
        until = "-" if f.until is None else f"{f.until.astimezone(UTC):%H:%M:%S}"
        table.add_row(
            f"{f.at.astimezone(UTC):%m-%d %H:%M:%S}",
            until,
            f.station_code,
            f"{f.charger_code}/{f.connector}",
            f.level,
            f.code,
            f"{f.value:.4g}",
            f"{f.limit:.4g}",
            reason_of(f.code),
        )
    Console(width=None if Console().is_terminal else 180).print(table)
    click.echo(
        f"{len(tried.fired)} raised in {tried.samples} samples of {tried.connectors} connectors since {begin:%F %T}."
    )
    return 0
