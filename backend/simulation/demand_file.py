"""A week of arrivals from a CSV file; every fault is told with its line, its field and what would be right.

Columns: `vehicle`, `resident` (yes, no), `arrives_at` (2026-03-02T18:30, Beijing), `energy_kwh`, and optionally `power`
(ac, dc), `car_kw`, `books_hours_ahead`, `late_min`, `shows_up`, `stays_min`, `until_morning`, `patience_min`,
`takes_any`.
Vehicles are names of the file's own; they are never plates.
"""

import csv
import random
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, time, timedelta
from pathlib import Path

from backend.simulation.demand import BEIJING, WEEK, Trip, numbered
from backend.simulation.station import Power
from backend.stations.rules.rows import RefusedRow

NEEDED = ("vehicle", "resident", "arrives_at", "energy_kwh")
OPTIONAL = (
    "power",
    "car_kw",
    "books_hours_ahead",
    "late_min",
    "shows_up",
    "stays_min",
    "until_morning",
    "patience_min",
    "takes_any",
)
YES_NO = {"yes": True, "no": False, "true": True, "false": False, "1": True, "0": False}
JITTER = timedelta(minutes=30)


class BadDemandFile(Exception):
    """The file cannot be used; `rows` says why, row by row."""

    def __init__(self, rows: Sequence[RefusedRow]) -> None:
        super().__init__(f"{len(rows)} faults")
        self.rows = tuple(rows)


@dataclass(frozen=True)
class FileDemand:
    """The file's own week, or as many of its residents as are asked for, drawn with their whole weeks."""

    name: str
    week: tuple[Trip, ...]

    @property
    def agreements(self) -> int:
        """How many residents the file has."""
        return len({trip.vehicle for trip in self.week if trip.resident})

    def trips(self, *, agreements: int, seed: int) -> list[Trip]:
        """Return the file's week as it is, when asked for its own number of residents; else a draw from them.

        A drawn resident lives one resident's week of the file, each trip moved by up to half an hour; the n-th draw is
        the same whatever the number.
        """
        if agreements == self.agreements and seed == 0:
            return numbered(self.week)
        homes: dict[bytes, list[Trip]] = defaultdict(list)
        for trip in self.week:
            if trip.resident:
                homes[trip.vehicle].append(trip)
        found = [trip for trip in self.week if not trip.resident]
        names = sorted(homes)
        for n in range(agreements if names else 0):
            chance = random.Random(f"{seed}:home:{n}")
            for trip in homes[chance.choice(names)]:
                moved = timedelta(seconds=chance.uniform(-1, 1) * JITTER.total_seconds())
                books_at = None if trip.books_at is None else trip.books_at + moved
                found.append(
                    replace(trip, vehicle=b"home-%d" % n, arrives_at=trip.arrives_at + moved, books_at=books_at)
                )
        return numbered(found)


def read_demand(path: Path) -> FileDemand:
    """Read a file of arrivals; raises BadDemandFile with every fault of every row."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadDemandFile([RefusedRow(line=1, field="", value=path.name, right="text in UTF-8")]) from error
    reader = csv.DictReader(text.splitlines())
    header = tuple(reader.fieldnames or ())
    faults = [
        RefusedRow(line=1, field=name, value="", right="a column of this name") for name in NEEDED if name not in header
    ]
    faults += [
        RefusedRow(line=1, field=name, value=name, right=f"one of {', '.join(NEEDED + OPTIONAL)}")
        for name in header
        if name not in NEEDED + OPTIONAL
    ]
    if faults:
        raise BadDemandFile(faults)
    trips: list[Trip] = []
    lines: list[int] = []
    for row in reader:
        parsed = _Row(reader.line_num, row)
        trip = parsed.trip()
        faults += parsed.faults
        if trip is not None:
            trips.append(trip)
            lines.append(reader.line_num)
    faults += _outside_the_week(trips, lines)
    faults += _both_kinds(trips, lines)
    if not trips and not faults:
        faults = [RefusedRow(line=2, field="", value="", right="at least one arrival")]
    if faults:
        raise BadDemandFile(sorted(faults, key=lambda fault: fault.line))
    return FileDemand(path.stem, tuple(trips))


def _outside_the_week(trips: Sequence[Trip], lines: Sequence[int]) -> list[RefusedRow]:
    if not trips:
        return []
    first = min(trip.arrives_at for trip in trips).astimezone(BEIJING).date()
    end = datetime.combine(first, time(0), BEIJING) + WEEK
    return [
        RefusedRow(
            line=line,
            field="arrives_at",
            value=trip.arrives_at.astimezone(BEIJING).isoformat(timespec="minutes"),
            right=f"within 7 days from {first}, the first day of the file",
        )
        for trip, line in zip(trips, lines, strict=True)
        if trip.arrives_at >= end
    ]


def _both_kinds(trips: Sequence[Trip], lines: Sequence[int]) -> list[RefusedRow]:
    kinds: dict[bytes, bool] = {}
    return [
        RefusedRow(line=line, field="resident", value=str(trip.resident), right="the same in every row of this vehicle")
        for trip, line in zip(trips, lines, strict=True)
        if kinds.setdefault(trip.vehicle, trip.resident) is not trip.resident
    ]


class _Row:
    """One row being read; `faults` collects what is wrong with it."""

    def __init__(self, line: int, row: Mapping[str | None, str | list[str] | None]) -> None:
        self.line = line
        self.row = row
        self.faults: list[RefusedRow] = []

    def _text(self, field: str) -> str:
        value = self.row.get(field)
        return value.strip() if isinstance(value, str) else ""

    def _refuse(self, field: str, right: str) -> None:
        self.faults.append(RefusedRow(line=self.line, field=field, value=self._text(field), right=right))

    def _number(self, field: str, default: float | None, low: float, high: float) -> float:
        text = self._text(field)
        if not text and default is not None:
            return default
        try:
            value = float(text)
        except ValueError:
            value = float("nan")
        if not low <= value <= high:
            self._refuse(field, f"a number from {low:g} to {high:g}")
            return low
        return value

    def _yes(self, field: str, default: bool | None) -> bool:
        text = self._text(field).lower()
        if not text and default is not None:
            return default
        if text not in YES_NO:
            self._refuse(field, "yes or no")
        return YES_NO.get(text, False)

    def _instant(self) -> datetime | None:
        try:
            at = datetime.fromisoformat(self._text("arrives_at"))
        except ValueError:
            self._refuse("arrives_at", "a time like 2026-03-02T18:30 (Beijing, or with its offset)")
            return None
        return at if at.tzinfo is not None else at.replace(tzinfo=BEIJING)

    def trip(self) -> Trip | None:
        """Return the trip of the row, or None where it has faults."""
        if None in self.row:
            self.faults.append(RefusedRow(line=self.line, field="", value="too many fields", right="one per column"))
        if not self._text("vehicle"):
            self._refuse("vehicle", "a name for the vehicle")
        arrives_at = self._instant()
        power: Power | None = None
        match self._text("power").lower():
            case "ac":
                power = "ac"
            case "dc":
                power = "dc"
            case "":
                power = None
            case _:
                self._refuse("power", "ac, dc or nothing")
        resident = self._yes("resident", None)
        energy_kwh = self._number("energy_kwh", None, 0.1, 300)
        car_kw = self._number("car_kw", 60, 1, 600)
        ahead_h = self._number("books_hours_ahead", -1, -1, 168)
        if ahead_h >= 0 and not resident:
            self._refuse("books_hours_ahead", "nothing: only residents with an agreement book")
        late_min = self._number("late_min", 0, -60, 600)
        stays_min = self._number("stays_min", 5, 0, 1440)
        patience_min = self._number("patience_min", 30, 0, 240)
        shows_up = self._yes("shows_up", True)
        until_morning = self._yes("until_morning", False)
        takes_any = self._yes("takes_any", False)
        if arrives_at is None or self.faults:
            return None
        return Trip(
            number=0,
            vehicle=self._text("vehicle").encode(),
            resident=resident,
            arrives_at=arrives_at,
            energy_wh=round(1000 * energy_kwh),
            power=power,
            car_w=round(1000 * car_kw),
            books_at=arrives_at - timedelta(hours=ahead_h) if ahead_h >= 0 else None,
            late_by=timedelta(minutes=late_min),
            shows_up=shows_up,
            stays=timedelta(minutes=stays_min),
            stays_until_morning=until_morning,
            takes_any=takes_any,
            patience=timedelta(minutes=patience_min),
        )
