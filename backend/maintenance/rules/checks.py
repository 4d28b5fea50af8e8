"""What an inspection looks at, and by when a finding must be put right (plan clause 9, 定期巡检维修)."""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Literal

import msgspec

Result = Literal["ok", "fault", "not_applicable"]
Severity = Literal["critical", "major", "minor"]

RECTIFY_WITHIN: dict[Severity, timedelta] = {
    "critical": timedelta(days=1),
    "major": timedelta(days=7),
    "minor": timedelta(days=30),
}
"""Defaults of ours; neither the plan nor the draft opinion names a number."""

COMES_UP_BEFORE = timedelta(days=7)
"""An inspection is shown to staff so long before it is due."""


class Item(msgspec.Struct, frozen=True, kw_only=True):
    """One thing to look at. `photo`: an answer needs a picture. `severity`: of the finding a fault makes."""

    key: str
    text_zh: str
    text_en: str
    photo: bool = False
    severity: Severity = "major"


STANDARD: tuple[Item, ...] = (
    Item(key="housing", text_zh="充电桩外壳完好、接地可靠", text_en="Housings whole, earthing firm"),
    Item(
        key="gun_cable",
        text_zh="充电枪头、线缆无破损、无过热变色",
        text_en="Guns and cables undamaged, no discolouring by heat",
        photo=True,
        severity="critical",
    ),
    Item(
        key="emergency_stop",
        text_zh="急停按钮动作有效并已复位",
        text_en="Emergency stops work and are reset",
        severity="critical",
    ),
    Item(
        key="leakage",
        text_zh="漏电保护试验合格",
        text_en="Leakage protection trips at test",
        severity="critical",
    ),
    Item(
        key="smoke",
        text_zh="烟感按键自检正常，无遮挡",
        text_en="Smoke detectors pass their test press, unobstructed",
        severity="critical",
    ),
    Item(
        key="extinguishers",
        text_zh="灭火器在位、压力正常、未过期",
        text_en="Extinguishers in place, pressure good, not expired",
        photo=True,
        severity="critical",
    ),
    Item(key="escape_route", text_zh="消防通道畅通、无杂物堆放", text_en="Escape and fire lanes clear", photo=True),
    Item(key="locks", text_zh="地锁升降正常、断电可落下", text_en="Ground locks move, and lower without power"),
    Item(key="cameras", text_zh="车位摄像头清晰、无遮挡", text_en="Bay cameras see clearly", severity="minor"),
    Item(key="signs", text_zh="专区标线、标识牌清晰完好", text_en="Zone paint and signs legible", severity="minor"),
    Item(
        key="price_notice",
        text_zh="价格公示（电费、服务费、停车费分列）准确",
        text_en="Price notice right: energy, service and parking apart",
        severity="minor",
    ),
)


def problems_of(items: Sequence[Item]) -> list[str]:
    """Return what is wrong with a checklist."""
    keys = [item.key for item in items]
    found = [f"{key} stands twice" for key in sorted({key for key in keys if keys.count(key) > 1})]
    found += [f"{key!r} is no key: a-z, digits and _" for key in keys if not _is_key(key)]
    if not items:
        found.append("there is nothing to look at")
    return found


def _is_key(key: str) -> bool:
    return 1 <= len(key) <= 40 and key.isascii() and key.replace("_", "a").isalnum() and key == key.lower()


def missing(items: Iterable[Item], *, answered: Collection[str], pictured: Collection[str]) -> list[str]:
    """Return what an inspection still lacks before it is complete: answers, and pictures where an item needs one."""
    found = []
    for item in items:
        if item.key not in answered:
            found.append(f"{item.key}: answer")
        if item.photo and item.key not in pictured:
            found.append(f"{item.key}: photo")
    return found


def rectify_by(severity: Severity, *, found_at: datetime) -> datetime:
    """Return by when a finding must be put right."""
    return found_at + RECTIFY_WITHIN[severity]


def next_due(due_at: datetime, *, period_days: int, now: datetime) -> datetime:
    """Return when the inspection after this one is due: periods go on from the plan, none is made up for."""
    period = timedelta(days=period_days)
    following = due_at + period
    if following <= now:
        following += -(-(now - following) // period) * period
    return following if following > now else following + period
