"""`linli waits`: stored waits against the devices' own words."""

from collections import Counter
from datetime import date, datetime, time, timedelta

import click
from rich.console import Console
from rich.table import Table

from backend.cli.data import opened
from backend.core.clock import BEIJING
from backend.core.errors import NotFound
from backend.core.settings import Settings
from backend.stations import service as stations
from backend.waiting.rules.recount import TOLERANCE_S
from backend.waiting.service import recounting


async def check_waits(settings: Settings, *, station: str, day: str | None) -> int:
    """Recount a station's waits of one Beijing day and print where they differ; 1 when one does, 2 when it cannot."""
    async with opened(settings) as now:
        try:
            on = now.astimezone(BEIJING).date() if day is None else date.fromisoformat(day)
        except ValueError:
            raise click.BadParameter(f"{day!r}: a day such as 2026-11-20") from None
        try:
            place = await stations.get_station_by_code(code=station)
        except NotFound:
            click.echo(f"There is no station with the code {station}.", err=True)
            return 2
        since = datetime.combine(on, time(0), BEIJING)
        found = await recounting.recount_waits(station_id=place.id, since=since, until=since + timedelta(days=1))
    counts = Counter(one.verdict for one in found)
    table = Table("arrival", "class", "arrived", "stored s", "recounted s", "")
    for one in found:
        if one.verdict != "equal":
            at = one.arrived_at.astimezone(BEIJING).strftime("%H:%M:%S")
            again = "-" if one.recounted_s is None else str(one.recounted_s)
            table.add_row(str(one.arrival_id), one.user_class, at, str(one.stored_s), again, one.verdict)
    if table.row_count:
        Console().print(table)
    click.echo(
        f"{place.name}, {on}: {len(found)} waits, {counts['equal']} equal within {TOLERANCE_S} s,"
        f" {counts['differs']} differ, {counts['no evidence']} without a camera's word"
    )
    return 1 if counts["differs"] else 0
