"""`linli simulate week`: what it takes, the progress bar, what it prints, and where the signing limit is stored."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import click
import msgspec
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from backend.cli.data import opened
from backend.core import audit, db
from backend.core.errors import NotFound
from backend.core.settings import Settings
from backend.simulation.capacity import Capacity, Trial, find_capacity
from backend.simulation.demand import PRESETS, Demand
from backend.simulation.demand_file import BadDemandFile, read_demand
from backend.simulation.figures import WeekFigures, figures_of
from backend.simulation.playing import simulate_week
from backend.simulation.records import WeekRun
from backend.simulation.station import SimulatedStation, from_registry, made_up
from backend.simulation.words import minutes, percent, share
from backend.stations import service as stations
from backend.stations.service import build


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What the command line asks for."""

    demand: str
    agreements: int | None
    seed: int
    weeks: int
    faults_per_gun: float
    picture: Path | None
    search: bool
    guns: tuple[int, int, int, int]


def read_wanted_demand(name: str) -> Demand:
    """Return the preset or the file of that name; raises click.ClickException with every fault of the file."""
    if name in PRESETS:
        return PRESETS[name]
    path = Path(name)
    if not path.is_file():
        raise click.ClickException(f"there is no preset and no file {name}. Presets: {', '.join(PRESETS)}.")
    try:
        return read_demand(path)
    except BadDemandFile as bad:
        told = "\n".join(f"  line {row.line}: {row.reason}" for row in bad.rows)
        raise click.ClickException(f"{path} cannot be used:\n{told}") from bad


def simulate_made_up(wanted: Wanted) -> None:
    """Simulate at a station of so many guns, without any server."""
    resident_dc, resident_ac, public_dc, public_ac = wanted.guns
    station = made_up(resident_dc=resident_dc, resident_ac=resident_ac, public_dc=public_dc, public_ac=public_ac)
    simulate(station, wanted)


async def simulate_registered(settings: Settings, *, code: str, wanted: Wanted, set_limit: bool, refuse: bool) -> int:
    """Simulate at a registered station, and store the number as its signing limit if so asked (on the audit log)."""
    async with opened(settings):
        try:
            found = await stations.get_station_by_code(code=code)
        except NotFound as error:
            raise click.ClickException(f"there is no station {code}.") from error
        connectors = await stations.list_connectors(station_id=found.id)
    capacity = simulate(from_registry(station=found, connectors=connectors), wanted)
    if not set_limit or capacity is None:
        return 0
    async with opened(settings) as now:
        await store_limit(
            code=code, limit=capacity.agreements, refuse=refuse, demand=wanted.demand, seed=wanted.seed, now=now
        )
    click.echo(
        f"Stored: {code} signs at most {capacity.agreements}; beyond it signing {'stops' if refuse else 'warns'}."
    )
    return 0


async def store_limit(*, code: str, limit: int, refuse: bool, demand: str, seed: int, now: datetime) -> None:
    """Make the number the station's signing limit; its other numbers stay. How it was found is on the audit log."""
    async with db.transaction():
        station = await stations.get_station_by_code(code=code)
        chosen = msgspec.structs.replace(station.settings, signing_limit=limit, signing_limit_refuses=refuse)
        await build.put_settings(station_id=station.id, settings=chosen, now=now)
        await audit.record(
            actor_id=None,
            actor_role="service",
            action="station.signing_limit",
            object_kind="station",
            object_id=station.id,
            detail={"limit": limit, "refuses": refuse, "demand": Path(demand).name, "seed": seed},
            now=now,
            operator_company_id=station.operator_company_id,
        )


def simulate(station: SimulatedStation, wanted: Wanted) -> Capacity | None:
    """Play the week, search the signing limit, print both and write the picture."""
    if not station.guns:
        raise click.ClickException(f"{station.name} has no connector in service: there is nothing to simulate.")
    demand = read_wanted_demand(wanted.demand)
    with _progress() as progress:
        run = _play(station, demand, wanted, wanted.agreements, progress, "One week")
        capacity = _search(station, demand, wanted, progress) if wanted.search else None
        at_limit = None
        if capacity is not None and capacity.agreements:
            at_limit = _play(station, demand, wanted, capacity.agreements, progress, "A week at the limit")
    runs = [run] if at_limit is None else [run, at_limit]
    out = Console()
    out.print(_table(station, demand, runs))
    if capacity is not None:
        out.print(_trials(capacity))
        out.print(verdict(capacity, station.settings.max_wait_s), soft_wrap=True)
    if wanted.picture is not None:
        from backend.simulation.picture import draw_week

        drawn = runs[-1]
        made = draw_week(drawn, figures_of(drawn), capacity=capacity, demand=demand.name)
        wanted.picture.write_bytes(made)
        out.print(f"Picture: {wanted.picture}", soft_wrap=True)
    return capacity


def verdict(capacity: Capacity, max_wait_s: int) -> str:
    """Return the signing limit in one sentence."""
    goal, wait = percent(capacity.goal), f"{max_wait_s / 60:g} min"
    if not capacity.agreements:
        return f"Signing limit: 0. With the fewest tried, fewer than {goal} of arrivals wait at most {wait} for sure."
    least = "at least " if capacity.unbounded else ""
    return (
        f"Signing limit: {least}{capacity.agreements} agreements. With more, it is not sure (95 %, {capacity.weeks} "
        f"weeks) that {goal} of arrivals wait at most {wait}."
    )


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        console=Console(stderr=True),
        transient=True,
    )


def _play(
    station: SimulatedStation,
    demand: Demand,
    wanted: Wanted,
    agreements: int | None,
    progress: Progress,
    what: str,
) -> WeekRun:
    count = demand.agreements if agreements is None else agreements
    task = progress.add_task(what, total=len(demand.trips(agreements=count, seed=wanted.seed)) or 1)
    run = simulate_week(
        station,
        demand,
        agreements=count,
        seed=wanted.seed,
        faults_per_gun=wanted.faults_per_gun,
        on_progress=lambda done: progress.update(task, completed=done),
    )
    progress.update(task, total=1, completed=1)
    return run


def _search(station: SimulatedStation, demand: Demand, wanted: Wanted, progress: Progress) -> Capacity:
    task = progress.add_task("Searching the signing limit", total=None)

    def tell(trial: Trial) -> None:
        progress.update(task, description=f"Searching: {trial.agreements} agreements, {share(trial.mean)} in time")

    capacity = find_capacity(
        station,
        demand,
        seed=wanted.seed,
        weeks=wanted.weeks,
        faults_per_gun=wanted.faults_per_gun,
        on_trial=tell,
    )
    progress.update(task, total=1, completed=1)
    return capacity


def _table(station: SimulatedStation, demand: Demand, runs: list[WeekRun]) -> Table:
    table = Table(title=f"{station.name}, {len(station.guns)} guns, demand {demand.name}, seed {runs[0].seed}")
    table.add_column("")
    for run in runs:
        table.add_column(f"{run.agreements} agreements", justify="right")
    columns = [_rows(figures_of(run)) for run in runs]
    for row in zip(*columns, strict=True):
        table.add_row(row[0][0], *(value for _, value in row))
    for gun in station.guns:
        values = [figures_of(run).utilisation.get(gun.id) for run in runs]
        table.add_row(f"  {gun.label}", *(percent(value, 1) for value in values))
    return table


def _rows(figures: WeekFigures) -> list[tuple[str, str]]:
    told = [f"{count} {outcome.replace('_', ' ')}" for outcome, count in figures.outcomes.items()]
    return [
        ("arrivals", str(figures.arrivals)),
        ("outcomes", ", ".join(told) or "–"),
        ("agreement residents who came", str(figures.came)),
        ("of them within 5 min", share(figures.share_within)),
        ("wait p50", minutes(figures.p50_s)),
        ("wait p95", minutes(figures.p95_s)),
        ("wait worst", minutes(figures.worst_s)),
        ("others within 5 min", share(figures.others_share_within)),
        ("predictions compared", str(figures.predictions)),
        ("prediction, mean absolute error", _seconds(figures.prediction_mae_s)),
        ("prediction, bias (+: promised too long)", _seconds(figures.prediction_bias_s, signed=True)),
        ("bookings made / impossible", f"{figures.bookings} / {figures.bookings_refused}"),
        ("bookings moved on arrival", str(figures.moved)),
        ("no-shows / suspensions", f"{figures.no_shows} / {figures.suspensions}"),
        ("compensations owed", str(figures.compensations)),
        ("overstays / into the night", f"{figures.overstays} / {figures.overnight_overstays}"),
        ("charges a fault ended", str(figures.interrupted)),
        ("时长利用率 utilisation", percent(figures.utilisation_all, 1)),
    ]


def _seconds(value: float | None, *, signed: bool = False) -> str:
    return "–" if value is None else f"{value:{'+' if signed else ''}.0f} s"


def _trials(capacity: Capacity) -> Table:
    table = Table(title=f"How many agreements: {capacity.weeks} weeks each, goal {percent(capacity.goal)}")
    for name in ("agreements", "arrivals", "mean share", "at least (95 %)", ""):
        table.add_column(name, justify="right")
    for trial in capacity.trials:
        holds = "holds" if trial.holds(capacity.goal) else "-"
        lower = share(max(0.0, trial.lower))
        table.add_row(str(trial.agreements), str(trial.arrivals), share(trial.mean), lower, holds)
    return table
