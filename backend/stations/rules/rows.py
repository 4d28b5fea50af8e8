"""Rows of imported files: what each field must be, told field by field when it is not."""

import math
from collections.abc import Iterator, Mapping, Sequence

import msgspec

from backend.stations.rules.topology import is_code

CHINA_LAT, CHINA_LNG = (3.0, 54.0), (73.0, 136.0)
MAX_CHARGERS = 2000


class RefusedRow(msgspec.Struct, frozen=True, kw_only=True):
    """A row that was not taken: its line in the file (the header is line 1), the field, what it held, what would be
    right.
    """

    line: int
    field: str
    value: str
    right: str

    @property
    def reason(self) -> str:
        """What was wrong, in one line."""
        return f"{self.field or 'the row'} is {self.value!r}; right would be {self.right}"


class CommunityRow(msgspec.Struct, frozen=True, kw_only=True):
    """A compound as a file gives it."""

    row: int
    name: str
    district: str
    lat: float
    lng: float


class StationRow(msgspec.Struct, frozen=True, kw_only=True):
    """A station as a file gives it: a point and how many fast and slow chargers."""

    row: int
    station_id: str
    name: str
    address: str
    lat: float
    lng: float
    fast: int
    slow: int


class _Reader:
    """Reads the fields of one row and remembers what was wrong."""

    def __init__(self, row: int, fields: Mapping[str, str]) -> None:
        self.row = row
        self.fields = fields
        self.refusals: list[RefusedRow] = []

    def refuse(self, field: str, right: str) -> None:
        value = self.fields.get(field, "")
        self.refusals.append(RefusedRow(line=self.row, field=field, value=value[:80], right=right))

    def text(self, field: str, longest: int) -> str:
        value = self.fields.get(field, "").strip()
        if not value:
            self.refuse(field, "a text, not empty")
        elif len(value) > longest or not value.isprintable():
            self.refuse(field, f"printable text of at most {longest} characters")
        return value

    def count(self, field: str) -> int:
        value = self.fields.get(field, "").strip()
        if not (value.isascii() and value.isdigit()) or len(value) > 6 or int(value) > MAX_CHARGERS:
            self.refuse(field, f"a whole number from 0 to {MAX_CHARGERS}")
            return 0
        return int(value)

    def degrees(self, field: str, low: float, high: float) -> float:
        value = self.fields.get(field, "").strip()
        try:
            number = float(value)
        except ValueError:
            number = math.nan
        if not low <= number <= high:
            hint = ""
            other = CHINA_LNG if field == "lat" else CHINA_LAT
            if other[0] <= number <= other[1]:
                hint = "; lat and lng look swapped"
            self.refuse(field, f"degrees from {low:g} to {high:g} (GCJ-02, mainland China){hint}")
        return number


def read_community(row: int, fields: Mapping[str, str]) -> CommunityRow | list[RefusedRow]:
    """Return the compound of a row, or everything that is wrong with it."""
    reader = _Reader(row, fields)
    found = CommunityRow(
        row=row,
        name=reader.text("name", 120),
        district=reader.text("district", 60),
        lat=reader.degrees("lat", *CHINA_LAT),
        lng=reader.degrees("lng", *CHINA_LNG),
    )
    return reader.refusals or found


def read_station(row: int, fields: Mapping[str, str]) -> StationRow | list[RefusedRow]:
    """Return the station of a row, or everything that is wrong with it.

    A station without chargers is taken: real data has them, and it has a place all the same.
    """
    reader = _Reader(row, fields)
    station_id = reader.text("station_id", 40)
    if station_id and (not is_code(station_id)):
        reader.refuse("station_id", "letters A-Z a-z, digits, '_' or '-'")
    found = StationRow(
        row=row,
        station_id=station_id,
        name=fields.get("name", "").strip()[:120],
        address=fields.get("address", "").strip()[:240],
        lat=reader.degrees("lat", *CHINA_LAT),
        lng=reader.degrees("lng", *CHINA_LNG),
        fast=reader.count("fast_chargers"),
        slow=reader.count("slow_chargers"),
    )
    return reader.refusals or found


def read_table(
    lines: Iterator[Sequence[str]], needed: Sequence[str]
) -> Iterator[tuple[int, dict[str, str] | RefusedRow]]:
    """Yield (row number, fields by column) of a CSV's rows, or what is wrong with a row's shape.

    Raises KeyError naming the columns that are missing from the header. Blank lines are passed over.
    """
    header = [name.strip().removeprefix("\ufeff") for name in next(lines, [])]
    missing = [name for name in needed if name not in header]
    if missing:
        raise KeyError(", ".join(missing))
    for number, cells in enumerate(lines, start=2):
        if not any(cell.strip() for cell in cells):
            continue
        if len(cells) != len(header):
            yield (
                number,
                RefusedRow(
                    line=number,
                    field="",
                    value=",".join(cells)[:80],
                    right=f"{len(header)} cells as in the header; here are {len(cells)}",
                ),
            )
            continue
        yield number, dict(zip(header, cells, strict=True))
