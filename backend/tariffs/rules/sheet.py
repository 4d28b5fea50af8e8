"""Price tables as people keep them in spreadsheets: rows of text to tariff versions, every wrong cell told.

A row is a span of a band with its prices; rows of one class of supply, place and begin are one version. Nothing is
repaired: a full-width digit or a fifth decimal is a slip that a person has to look at.
"""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any

import msgspec

from backend.tariffs.rules.bands import ALL_MONTHS, BEIJING, ParkingTerms
from backend.tariffs.rules.faults import find_faults
from backend.tariffs.rules.versions import Price, Span

COLUMNS: dict[str, tuple[str, ...]] = {
    "name": ("名称",),
    "supply_class": ("供电类别",),
    "station": ("站点编码", "station_code"),
    "group": ("站点组", "station_group"),
    "effective_from": ("生效时间",),
    "effective_to": ("失效时间",),
    "months": ("月份",),
    "from": ("开始", "开始时间"),
    "to": ("结束", "结束时间"),
    "band": ("时段",),
    "energy": ("电价", "电价(元/度)", "电价（元/度）"),
    "agreement_service": ("协议服务费", "协议服务费(元/度)", "协议服务费（元/度）"),
    "market_service": ("市场服务费", "市场服务费(元/度)", "市场服务费（元/度）"),
    "parking_free_min": ("免费停车分钟",),
    "parking_yuan_per_hour": ("停车费(元/小时)", "停车费（元/小时）"),
    "parking_day_cap_yuan": ("停车费每日封顶(元)", "停车费每日封顶（元）"),
}
NEEDED = ("supply_class", "effective_from", "from", "to", "band", "energy", "agreement_service", "market_service")
BANDS = {
    "尖": "sharp",
    "尖峰": "sharp",
    "峰": "peak",
    "高峰": "peak",
    "平": "flat",
    "平段": "flat",
    "谷": "valley",
    "低谷": "valley",
}
SUPPLY_CLASSES = {
    "居民合表": "residential",
    "不满1千伏": "below_1kv",
    "1-10千伏单一制": "1_10kv_single",
    "1-10千伏两部制": "1_10kv_two_part",
    "转供电": "resold",
}
PLAIN = re.compile(r"-?\d+(\.\d+)?")
CLOCK = re.compile(r"(\d{1,2}):(\d{2})(:00)?")
MOMENT = re.compile(r"(\d{4})-(\d{1,2})-(\d{1,2})(?:[ T](\d{1,2}):(\d{2})(?::00)?)?")


class RowFault(msgspec.Struct, frozen=True, kw_only=True):
    """A cell that is wrong: the row as the sheet numbers it (the header is row 1), its column, and what is right."""

    row: int
    column: str
    code: str
    value: str
    right: str


class SheetVersion(msgspec.Struct, frozen=True, kw_only=True):
    """A version as the sheet gives it; `row` is its first one."""

    row: int
    name: str
    supply_class: str
    station: str
    group: str
    effective_from: datetime
    effective_to: datetime | None
    spans: tuple[Span, ...]
    prices: tuple[Price, ...]
    parking: ParkingTerms


class SheetRead(msgspec.Struct, frozen=True, kw_only=True):
    """What a sheet holds; the versions count only where there is no fault."""

    rows: int
    versions: list[SheetVersion]
    faults: list[RowFault]


def read_header(cells: Sequence[str]) -> tuple[dict[str, int], list[RowFault]]:
    """Return the position of each known column, and what is wrong with the header."""
    names = {alias: name for name, aliases in COLUMNS.items() for alias in (name, *aliases)}
    found: dict[str, int] = {}
    faults = []
    for position, cell in enumerate(cells):
        text = cell.strip().lstrip("\ufeff")
        if not text:
            continue
        name = names.get(text) or names.get(text.lower())
        if name is None or name in found:
            right = f"one of {', '.join(COLUMNS)}" if name is None else "each column once"
            faults.append(RowFault(row=1, column=text, code="unknown_column", value=text, right=right))
        else:
            found[name] = position
    faults.extend(
        RowFault(row=1, column=name, code="missing_column", value="", right=f"a column {name} ({COLUMNS[name][0]})")
        for name in NEEDED
        if name not in found
    )
    return found, faults


def read_sheet(rows: Sequence[Sequence[str]]) -> SheetRead:
    """Read a sheet, its header first; rows without any text are left out."""
    header, faults = read_header(rows[0] if rows else [])
    if faults:
        return SheetRead(rows=0, versions=[], faults=faults)
    groups: dict[tuple[Any, ...], list[_Row]] = {}
    count = 0
    for number, cells in enumerate(rows[1:], 2):
        values = {name: cells[i].strip() if i < len(cells) else "" for name, i in header.items()}
        if not any(values.values()):
            continue
        count += 1
        row = _Row(number, values)
        row.read()
        faults.extend(row.faults)
        groups.setdefault(row.key, []).append(row)
    versions = []
    if not faults:
        for members in groups.values():
            version, wrong = _version(members)
            versions.append(version)
            faults.extend(wrong)
    if not count and not faults:
        faults.append(RowFault(row=2, column="", code="no_rows", value="", right="a row for each span of a band"))
    return SheetRead(rows=count, versions=versions, faults=sorted(faults, key=lambda fault: fault.row))


class _Row:
    """A row with what could be read of it."""

    def __init__(self, number: int, values: Mapping[str, str]) -> None:
        self.number, self.values = number, values
        self.faults: list[RowFault] = []
        self.read_values: dict[str, Any] = {}
        self.key: tuple[Any, ...] = ()

    def wrong(self, column: str, code: str, right: str) -> None:
        self.faults.append(
            RowFault(row=self.number, column=column, code=code, value=self.values.get(column, "")[:80], right=right)
        )

    def text(self, column: str, *, needed: bool = False) -> str:
        """A cell without full-width characters, which `code` full_width tells of with the plain form."""
        value = self.values.get(column, "")
        plain = unicodedata.normalize("NFKC", value)
        if value != plain and column not in ("name", "group"):
            self.wrong(column, "full_width", plain)
            return ""
        if needed and not value:
            self.wrong(column, "missing", "a value")
        return value

    def read(self) -> None:
        """Read every cell, remembering what is wrong."""
        got = self.read_values
        supply = self.text("supply_class", needed=True)
        got["supply_class"] = SUPPLY_CLASSES.get(supply, supply)
        if supply and got["supply_class"] not in SUPPLY_CLASSES.values():
            self.wrong("supply_class", "unknown_supply_class", ", ".join(SUPPLY_CLASSES.values()))
        band = self.text("band", needed=True)
        got["band"] = BANDS.get(band, band.lower())
        if band and got["band"] not in BANDS.values():
            self.wrong("band", "unknown_band", "sharp, peak, flat or valley (尖、峰、平、谷)")
        got["name"], got["station"], got["group"] = self.text("name"), self.text("station"), self.text("group")
        if got["station"] and got["group"]:
            self.wrong("group", "two_scopes", "a station or a group, not both")
        got["effective_from"] = self.moment("effective_from", needed=True)
        got["effective_to"] = self.moment("effective_to")
        got["from"], got["to"] = self.minute("from"), self.minute("to")
        got["months"] = self.months()
        for column in ("energy", "agreement_service", "market_service"):
            got[column] = self.number_of(column, needed=True, decimals=4)
        cap = got["agreement_service"]
        if cap is not None and cap > 5_000:
            self.wrong("agreement_service", "agreement_price_above_cap", "at most 0.5000 yuan/kWh")
        for column, decimals in (("parking_free_min", 0), ("parking_yuan_per_hour", 2), ("parking_day_cap_yuan", 2)):
            got[column] = self.number_of(column, decimals=decimals) or 0
        scope = ("supply_class", "station", "group", "effective_from", "effective_to", "name")
        self.key = tuple(got[name] for name in scope)

    def number_of(self, column: str, *, decimals: int, needed: bool = False) -> int | None:
        """A number in units of its last allowed decimal."""
        text = self.text(column, needed=needed)
        if not text:
            return None
        try:
            if not PLAIN.fullmatch(text):
                raise InvalidOperation
            value = Decimal(text)
        except InvalidOperation:
            self.wrong(column, "not_a_number", "digits with a point, as 0.4500; no unit, no comma")
            return None
        scaled = value * 10**decimals
        if scaled != scaled.to_integral_value():
            self.wrong(column, "too_many_decimals", f"at most {decimals} decimals")
            return None
        if value < 0:
            self.wrong(column, "negative", "0 or more")
            return None
        if scaled > 1_000_000:
            self.wrong(column, "too_large", "yuan, not fen: at most 100")
            return None
        return int(scaled)

    def minute(self, column: str) -> int | None:
        """A time of the day as its minute; 24:00 is the day's end."""
        text = self.text(column, needed=True)
        found = CLOCK.fullmatch(text)
        minute = int(found[1]) * 60 + int(found[2]) if found and int(found[2]) < 60 else -1
        if text and not 0 <= minute <= 1440:
            self.wrong(column, "time_invalid", "HH:MM from 00:00 to 24:00")
            return None
        return minute

    def moment(self, column: str, *, needed: bool = False) -> datetime | None:
        """A Beijing date, with a time where it is not midnight."""
        text = self.text(column, needed=needed)
        if not text:
            return None
        found = MOMENT.fullmatch(text)
        try:
            if found is None:
                raise ValueError
            year, month, day, hour, minute = (int(part or 0) for part in found.groups())
            return datetime(year, month, day, hour, minute, tzinfo=BEIJING)
        except ValueError:
            self.wrong(column, "date_invalid", "YYYY-MM-DD or YYYY-MM-DD HH:MM, Beijing time")
            return None

    def months(self) -> tuple[int, ...]:
        """Months as 1-12 or 1,7-8; all where left out."""
        text = self.text("months")
        months: list[int] = []
        for part in filter(None, re.split(r"[,、 ]+", text)):
            found = re.fullmatch(r"(\d{1,2})(?:-(\d{1,2}))?", part)
            if found is None or not 1 <= int(found[1]) <= int(found[2] or found[1]) <= 12:
                self.wrong("months", "months_invalid", "1 to 12, as 1-6 or 1,7-8; empty for all")
                return ALL_MONTHS
            months.extend(range(int(found[1]), int(found[2] or found[1]) + 1))
        return tuple(sorted(set(months))) or ALL_MONTHS


def _version(rows: Sequence[_Row]) -> tuple[SheetVersion, list[RowFault]]:
    first = rows[0].read_values
    spans: list[Span] = []
    prices: dict[tuple[str, str], Price] = {}
    faults: list[RowFault] = []
    parking = _parking(first)
    for row in rows:
        got = row.read_values
        spans.append(Span(band=got["band"], from_min=got["from"], to_min=got["to"], months=got["months"]))
        for user_class in ("agreement", "market"):
            column = f"{user_class}_service"
            price = Price(user_class=user_class, band=got["band"], energy_e4=got["energy"], service_e4=got[column])
            known = prices.setdefault((user_class, got["band"]), price)
            if known != price:
                where = "energy" if known.energy_e4 != price.energy_e4 else column
                row.wrong(where, "price_conflict", f"one price for the band {got['band']} in the version")
        if _parking(got) != parking:
            row.wrong("parking_free_min", "parking_conflict", "the same parking in each row of the version")
        faults.extend(row.faults)
    version = SheetVersion(
        row=rows[0].number,
        name=first["name"],
        supply_class=first["supply_class"],
        station=first["station"],
        group=first["group"],
        effective_from=first["effective_from"],
        effective_to=first["effective_to"],
        spans=tuple(spans),
        prices=tuple(prices.values()),
        parking=parking,
    )
    if version.effective_to is not None and version.effective_to <= version.effective_from:
        rows[0].wrong("effective_to", "end_before_start", "later than effective_from")
        faults.append(rows[0].faults[-1])
    faults.extend(
        RowFault(row=version.row, column=fault.field, code=fault.code, value="", right=fault.problem)
        for fault in find_faults(version.spans, version.prices, version.parking)
    )
    return version, list(dict.fromkeys(faults))


def _parking(got: Mapping[str, Any]) -> ParkingTerms:
    return ParkingTerms(
        free_min=got["parking_free_min"],
        fen_per_hour=got["parking_yuan_per_hour"],
        day_cap_fen=got["parking_day_cap_yuan"],
    )
