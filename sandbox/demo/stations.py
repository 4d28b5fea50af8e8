"""The demo's pilot stations, each within 500 m of a real Beijing compound, and what stands in them.

Names, owners and everything but the compounds' points are made up. A story and a tester have stations of their own, two
beside one compound each, in which the simulated cars do not move by themselves.
"""

import math
from datetime import date
from typing import Literal

import msgspec

from backend.core.units import EARTH_RADIUS_M
from backend.stations.rules.settings import StationSettings
from sandbox.demo.people import LINLI, YUANLIN


class GunGroup(msgspec.Struct, frozen=True, kw_only=True):
    """Chargers of one sort: `chargers` of them with `guns` each, every gun with a bay of its own in `zone`."""

    kind: Literal["ac", "dc"]
    zone: Literal["resident", "public"]
    chargers: int
    guns: int
    power_w: int
    model: str


class DemoStation(msgspec.Struct, frozen=True, kw_only=True):
    """One station: its compound, where it lies from there in metres, and what stands in it."""

    code: str
    compound: str
    district: str
    north_m: int
    east_m: int
    groups: tuple[GunGroup, ...]
    company: str = LINLI.code
    suffix: str = ""
    supply_class: str = "1_10kv_two_part"
    life: bool = True
    ambient_c: float = 8.0

    @property
    def name(self) -> str:
        """The name residents see."""
        return f"{self.compound}充电站{self.suffix}"


def _group(kind: str, zone: str, chargers: int, guns: int, power_kw: int) -> GunGroup:
    model = f"LL-{'DC' if kind == 'dc' else 'AC'}{power_kw:03d}{'D' if guns > 1 else 'S'}"
    return GunGroup(
        kind="dc" if kind == "dc" else "ac",
        zone="resident" if zone == "resident" else "public",
        chargers=chargers,
        guns=guns,
        power_w=power_kw * 1000,
        model=model,
    )


LARGE = (
    _group("ac", "resident", 2, 1, 7),
    _group("ac", "resident", 1, 2, 7),
    _group("dc", "resident", 1, 1, 60),
    _group("dc", "resident", 1, 2, 120),
    _group("ac", "public", 1, 2, 7),
    _group("dc", "public", 1, 2, 120),
)
MEDIUM = (
    _group("ac", "resident", 2, 1, 7),
    _group("dc", "resident", 1, 1, 60),
    _group("ac", "public", 1, 2, 7),
    _group("dc", "public", 1, 1, 60),
)
SLOW = (
    _group("ac", "resident", 2, 2, 7),
    _group("ac", "public", 1, 2, 7),
)

SETTINGS = StationSettings(
    vacate_gap_s=600,
    lock_raise_delay_s=5,
    blocked_bay_after_s=5,
    overstay_grace_s=60,
    overstay_warnings_s=(0, 20, 40),
    escalate_after_s=(15, 45, 75),
    offer_on_site_s=30,
    offer_remote_s=60,
)
"""Shorter waits, so that a tester sees what follows; the rules are the same."""

STORY_STATIONS = ("BJ-STORY-1", "BJ-STORY-2")
TESTER_STATIONS = ("BJ-TEST-1", "BJ-TEST-2")
OPENED_ON = date(2023, 8, 15)


def _station(number: int, compound: str, district: str, groups: tuple[GunGroup, ...], company: str) -> DemoStation:
    angle = math.radians(number * 67)
    away_m = 120 + number * 37 % 300
    return DemoStation(
        code=f"BJ-{number:02d}",
        compound=compound,
        district=district,
        north_m=round(math.cos(angle) * away_m),
        east_m=round(math.sin(angle) * away_m),
        groups=groups,
        company=company,
        supply_class="below_1kv" if groups is SLOW else "1_10kv_two_part",
        ambient_c=4.0 + number % 9,
    )


def _pair(codes: tuple[str, str], compound: str, district: str) -> tuple[DemoStation, DemoStation]:
    first, second = codes
    return (
        DemoStation(
            code=first,
            compound=compound,
            district=district,
            north_m=160,
            east_m=90,
            groups=LARGE,
            suffix="（一）",
            life=False,
        ),
        DemoStation(
            code=second,
            compound=compound,
            district=district,
            north_m=-240,
            east_m=-60,
            groups=MEDIUM,
            suffix="（二）",
            supply_class="below_1kv",
            life=False,
        ),
    )


STATIONS: tuple[DemoStation, ...] = (
    *_pair(STORY_STATIONS, "东直门内北小街", "东城区"),
    *_pair(TESTER_STATIONS, "新奥洋房", "东城区"),
    _station(3, "天下儒寓", "丰台区", MEDIUM, LINLI.code),
    _station(4, "明日嘉园", "丰台区", SLOW, LINLI.code),
    _station(5, "程庄路6号院", "丰台区", MEDIUM, LINLI.code),
    _station(6, "博客雅居", "亦庄开发区", LARGE, LINLI.code),
    _station(7, "佳运园二期", "昌平区", SLOW, LINLI.code),
    _station(8, "龙锦苑东五区", "昌平区", MEDIUM, LINLI.code),
    _station(9, "冠城大通澜石", "朝阳区", LARGE, LINLI.code),
    _station(10, "垡头西里二区", "朝阳区", SLOW, LINLI.code),
    _station(11, "山水文园二期", "朝阳区", MEDIUM, LINLI.code),
    _station(12, "瞰都国际", "朝阳区", MEDIUM, LINLI.code),
    _station(13, "蓝筹名座", "朝阳区", SLOW, LINLI.code),
    _station(14, "中关村科技会展中心", "海淀区", LARGE, LINLI.code),
    _station(15, "四道口5号院", "海淀区", MEDIUM, LINLI.code),
    _station(16, "建设部大院", "海淀区", SLOW, LINLI.code),
    _station(17, "田村37号院", "海淀区", MEDIUM, LINLI.code),
    _station(18, "阜光里小区", "海淀区", SLOW, LINLI.code),
    _station(19, "苹果园小区一区", "石景山区", MEDIUM, LINLI.code),
    _station(20, "地藏庵", "西城区", SLOW, LINLI.code),
    _station(21, "西四北大街156号", "西城区", MEDIUM, YUANLIN.code),
    _station(22, "芳洲花园", "通州区", MEDIUM, YUANLIN.code),
)


def moved(lat: float, lng: float, *, north_m: int, east_m: int) -> tuple[float, float]:
    """Return the point that lies so many metres north and east of (lat, lng)."""
    north = math.degrees(north_m / EARTH_RADIUS_M)
    east = math.degrees(east_m / (EARTH_RADIUS_M * math.cos(math.radians(lat))))
    return round(lat + north, 6), round(lng + east, 6)
