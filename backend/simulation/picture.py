"""The picture of a simulated week as PNG, set by Typst with the fonts of the contract (no plotting library needed)."""

from collections.abc import Sequence
from pathlib import Path

import msgspec
import pylopdf_fonts_zh_cn
import typst

from backend.simulation.capacity import Capacity
from backend.simulation.demand import BEIJING
from backend.simulation.figures import WeekFigures
from backend.simulation.records import WeekRun
from backend.simulation.words import minutes, percent, share

TEMPLATE = Path(__file__).with_name("week.typ")
FONTS = Path(pylopdf_fonts_zh_cn.serif_path()).parent
PIXELS_PER_INCH = 110
BINS_MIN = (1, 2, 5, 10, 20, 30, 60)
DAYS = ("周一 Mon", "周二 Tue", "周三 Wed", "周四 Thu", "周五 Fri", "周六 Sat", "周日 Sun")
MOST_GUNS = 24


def draw_week(run: WeekRun, figures: WeekFigures, *, capacity: Capacity | None, demand: str) -> bytes:
    """Return the PNG: utilisation by hour and by connector, waits, and the search for the signing limit."""
    data = {
        "title": f"{run.station.name} · linli simulate week",
        "subtitle": f"{demand} · {run.agreements} agreements · seed {run.seed} · {figures.arrivals} arrivals",
        "cards": _cards(figures, capacity),
        "hours": figures.utilisation_by_hour,
        "hours_top": _ceiling(max(figures.utilisation_by_hour, default=0.0)),
        "days": _days(run),
        "promise": f"{run.station.settings.max_wait_s / 60:g} min",
        "waits": _bins(figures.waits_s, run.station.settings.max_wait_s),
        "guns": _guns(run, figures),
        "gun_size": 8 if len(run.station.guns) <= 14 else 5,
        **_curve(capacity),
    }
    made = typst.compile(
        str(TEMPLATE),
        font_paths=[str(FONTS)],
        ignore_system_fonts=True,
        sys_inputs={"data": msgspec.json.encode(data).decode()},
        format="png",
        ppi=PIXELS_PER_INCH,
    )
    if not isinstance(made, bytes):
        raise TypeError("Typst gives one picture as bytes")
    return made


def _cards(figures: WeekFigures, capacity: Capacity | None) -> list[tuple[str, str]]:
    cards = [
        ("5 分钟内 within 5 min", share(figures.share_within)),
        ("等待 p50 / p95", f"{minutes(figures.p50_s)} / {minutes(figures.p95_s)}"),
        ("最长 worst", minutes(figures.worst_s)),
        ("时长利用率 utilisation", percent(figures.utilisation_all)),
        ("爽约 no-shows", str(figures.no_shows)),
        ("过夜占位 overnight", str(figures.overnight_overstays)),
    ]
    if capacity is not None:
        cards.append(("签约上限 signing limit", f"{capacity.agreements}{'+' if capacity.unbounded else ''}"))
    return cards


def _days(run: WeekRun) -> list[str]:
    first = run.starts_at.astimezone(BEIJING).weekday()
    return [DAYS[(first + n) % 7] for n in range(7)]


def _ceiling(top: float) -> float:
    """Return the upper edge of the axis: the next tenth, at least one."""
    return max(0.1, min(1.0, -(-top * 10 // 1) / 10))


def _bins(waits_s: Sequence[int], promise_s: int) -> list[tuple[str, float, bool]]:
    """Return (label, share, within the promise) for each range of waits; none at all has a bar of its own."""
    edges = [0, *(60 * edge for edge in BINS_MIN)]
    labels = ["none", *(f"≤{edge}" for edge in BINS_MIN), f">{BINS_MIN[-1]}"]
    counts = [0] * len(labels)
    for wait in waits_s:
        counts[next((n for n, edge in enumerate(edges) if wait <= edge), len(edges))] += 1
    total = max(1, len(waits_s))
    return [
        (label, count / total, n < len(edges) and edges[n] <= promise_s)
        for n, (label, count) in enumerate(zip(labels, counts, strict=True))
    ]


def _guns(run: WeekRun, figures: WeekFigures) -> list[tuple[str, float]]:
    """Return each connector's label and utilisation; of a large station, the busiest."""
    found = [(gun.label, figures.utilisation[gun.id]) for gun in run.station.guns if gun.id in figures.utilisation]
    if len(found) > MOST_GUNS:
        found = sorted(found, key=lambda gun: -gun[1])[:MOST_GUNS]
    return found


def _curve(capacity: Capacity | None) -> dict[str, object]:
    if capacity is None or not capacity.trials:
        return {"curve": [], "curve_from": 0.0, "curve_ticks": [], "curve_marks": [], "goal": 0.0, "limit": 0}
    lowest = min(trial.lower for trial in capacity.trials)
    low = next((edge for edge in (0.95, 0.9) if lowest >= edge), max(0.0, int(lowest * 10) / 10))
    most = capacity.trials[-1].agreements
    return {
        "curve": [(t.agreements, t.mean, max(t.lower, low)) for t in capacity.trials],
        "curve_from": low,
        "curve_ticks": [(low, percent(low)), (capacity.goal, percent(capacity.goal)), (1.0, "")],
        "curve_marks": [0, most // 2, most],
        "goal": capacity.goal,
        "limit": capacity.agreements,
    }
