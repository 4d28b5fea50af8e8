"""What differs between two tariff versions, in words a person reads: periods, bands by time of day, prices, parking."""

from collections.abc import Sequence
from datetime import datetime
from itertools import pairwise

import msgspec

from backend.tariffs.rules.bands import ALL_MONTHS, BEIJING, DAY_MIN
from backend.tariffs.rules.faults import BAND_ZH, CLASS_ZH, clock, months_text, yuan_text
from backend.tariffs.rules.versions import Span, TariffVersionView


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """One difference: the field, what it was and is (None: not there), and the sentence in both languages."""

    field: str
    before: str | None
    after: str | None
    text_zh: str
    text_en: str


def compare(before: TariffVersionView, after: TariffVersionView) -> list[Change]:
    """Return every difference that users or bills could notice, in a fixed order; empty when there is none."""
    return [
        *_periods(before, after),
        *_bands(before.spans, after.spans),
        *_prices(before, after),
        *_parking(before, after),
    ]


def _wall(at: datetime | None) -> str | None:
    return None if at is None else f"{at.astimezone(BEIJING):%Y-%m-%d %H:%M}"


def _change(field: str, zh: str, en: str, before: str | None, after: str | None) -> Change:
    was, now = before or "—", after or "—"
    return Change(
        field=field, before=before, after=after, text_zh=f"{zh}：{was} → {now}", text_en=f"{en}: {was} → {now}"
    )


def _periods(before: TariffVersionView, after: TariffVersionView) -> list[Change]:
    pairs = [
        ("effective_from", "生效时间", "effective from", _wall(before.effective_from), _wall(after.effective_from)),
        ("effective_to", "失效时间", "effective to", _wall(before.effective_to), _wall(after.effective_to)),
        ("supply_class", "供电类别", "supply class", before.supply_class, after.supply_class),
    ]
    return [_change(*pair) for pair in pairs if pair[3] != pair[4]]


def _bands(before: Sequence[Span], after: Sequence[Span]) -> list[Change]:
    """Stretches of the day whose band differs, the same stretch of several months told once."""
    found: dict[tuple[int, int, str, str], list[int]] = {}
    for month in ALL_MONTHS:
        edges = {0, DAY_MIN}
        for span in (*before, *after):
            edges |= {span.from_min, span.to_min}
        stretch: list[tuple[int, int, str, str]] = []
        ordered = sorted(edges)
        for start, end in pairwise(ordered):
            was, now = _band_at(before, month, start), _band_at(after, month, start)
            if was == now:
                continue
            if stretch and stretch[-1][1:] == (start, was, now):
                stretch[-1] = (stretch[-1][0], end, was, now)
            else:
                stretch.append((start, end, was, now))
        for piece in stretch:
            found.setdefault(piece, []).append(month)
    return [
        _change(
            "spans",
            f"{months_text(months)}月 {clock(start)}-{clock(end)}",
            f"months {months_text(months)}, {clock(start)}-{clock(end)}",
            was,
            now,
        )
        for (start, end, was, now), months in sorted(found.items())
    ]


def same_bands(before: Sequence[Span], after: Sequence[Span]) -> bool:
    """Say whether the same band holds at every minute of every month."""
    return not _bands(before, after)


def _band_at(spans: Sequence[Span], month: int, minute: int) -> str:
    return next((s.band for s in spans if month in s.months and s.from_min <= minute < s.to_min), "")


def _prices(before: TariffVersionView, after: TariffVersionView) -> list[Change]:
    was = {(p.user_class, p.band): p for p in before.prices}
    now = {(p.user_class, p.band): p for p in after.prices}
    changes = []
    for key in sorted(was.keys() | now.keys()):
        user_class, band = key
        for field, zh, en in (("energy_e4", "电价", "energy price"), ("service_e4", "服务费", "service price")):
            old, new = (getattr(prices.get(key), field, None) for prices in (was, now))
            if old == new:
                continue
            change = _change(
                f"prices.{user_class}.{band}.{field}",
                f"{CLASS_ZH[user_class]}用户 {BAND_ZH[band]} {zh}（元/度）",
                f"{user_class} {band} {en}, yuan/kWh",
                None if old is None else yuan_text(old),
                None if new is None else yuan_text(new),
            )
            if old is not None and new is not None:
                by = f" ({'+' if new > old else '-'}{yuan_text(abs(new - old))})"
                change = msgspec.structs.replace(change, text_zh=change.text_zh + by, text_en=change.text_en + by)
            changes.append(change)
    return changes


def _parking(before: TariffVersionView, after: TariffVersionView) -> list[Change]:
    words = {
        "free_min": ("免费停车（分钟）", "free parking, minutes"),
        "fen_per_hour": ("停车费（分/小时）", "parking, fen an hour"),
        "day_cap_fen": ("停车费每日封顶（分）", "parking, fen a day at most"),
        "text_zh": ("停车说明", "parking text in Chinese"),
        "text_en": ("停车说明（英文）", "parking text in English"),
    }
    pairs = [(n, *words[n], str(getattr(before.parking, n)), str(getattr(after.parking, n))) for n in words]
    return [_change(f"parking.{name}", zh, en, old, new) for name, zh, en, old, new in pairs if old != new]
