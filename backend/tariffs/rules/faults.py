"""What keeps a tariff version from being stored, each fault with its field, a code, and what would be right."""

from collections.abc import Iterable, Sequence

import msgspec

from backend.tariffs.rules.bands import AGREEMENT_SERVICE_CAP_E4, ALL_MONTHS, DAY_MIN, ParkingTerms
from backend.tariffs.rules.versions import Price, Span

BAND_ZH = {"sharp": "尖", "peak": "峰", "flat": "平", "valley": "谷"}
CLASS_ZH = {"agreement": "协议", "market": "市场"}


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """What is wrong with a field, in English and Chinese; `code` is stable."""

    field: str
    code: str
    problem: str
    problem_zh: str


def clock(minute: int) -> str:
    """Minute of the day as people write it; 1440 is 24:00."""
    return f"{minute // 60:02}:{minute % 60:02}"


def months_text(months: Iterable[int]) -> str:
    """Months as runs: 1-6, 9-12."""
    runs: list[list[int]] = []
    for month in sorted(months):
        if runs and runs[-1][-1] == month - 1:
            runs[-1].append(month)
        else:
            runs.append([month])
    return ", ".join(f"{run[0]}-{run[-1]}" if len(run) > 1 else str(run[0]) for run in runs)


def yuan_text(price_e4: int) -> str:
    """A price in yuan per kWh with its four decimals."""
    return f"{price_e4 // 10_000}.{price_e4 % 10_000:04}"


def find_faults(spans: Sequence[Span], prices: Sequence[Price], parking: ParkingTerms) -> list[Fault]:
    """Return every fault of a version: spans that do not tile each day, prices missing, doubled or above the cap."""
    return [*_span_faults(spans), *_price_faults(spans, prices), *_parking_faults(parking)]


def _span_faults(spans: Sequence[Span]) -> list[Fault]:
    faults = []
    for n, span in enumerate(spans):
        if not (0 <= span.from_min < span.to_min <= DAY_MIN):
            faults.append(
                Fault(
                    field=f"spans[{n}]",
                    code="span_outside",
                    problem=f"from {clock(span.from_min)} to {clock(span.to_min)} is outside 00:00 to 24:00, or empty",
                    problem_zh=f"{clock(span.from_min)} 至 {clock(span.to_min)} 超出 00:00 至 24:00 或为空",
                )
            )
        if not span.months or len(set(span.months)) != len(span.months) or not set(span.months) <= set(ALL_MONTHS):
            faults.append(
                Fault(
                    field=f"spans[{n}].months",
                    code="months_outside",
                    problem="months are 1 to 12, each once: one is outside, doubled, or there is none",
                    problem_zh="月份应为 1 至 12，不得重复或为空",
                )
            )
    if faults:
        return faults
    holes: dict[tuple[str, int, int], list[int]] = {}
    for month in ALL_MONTHS:
        for code, start, end in _holes([(s.from_min, s.to_min) for s in spans if month in s.months]):
            holes.setdefault((code, start, end), []).append(month)
    for (code, start, end), months in sorted(holes.items(), key=lambda item: item[0][1]):
        where = f"{clock(start)} to {clock(end)} in months {months_text(months)}"
        where_zh = f"{months_text(months)} 月 {clock(start)} 至 {clock(end)}"
        gap = code == "band_gap"
        faults.append(
            Fault(
                field="spans",
                code=code,
                problem=(
                    f"gap: no band holds from {where}; the bands must cover 00:00 to 24:00"
                    if gap
                    else f"overlap: two bands hold from {where}; exactly one must"
                ),
                problem_zh=f"{where_zh} 没有时段，须覆盖全天" if gap else f"{where_zh} 有重叠时段，只能有一个",
            )
        )
    return faults


def _holes(pieces: Iterable[tuple[int, int]]) -> list[tuple[str, int, int]]:
    found = []
    cursor = 0
    for start, end in sorted(pieces):
        if start > cursor:
            found.append(("band_gap", cursor, start))
        elif start < cursor:
            found.append(("band_overlap", start, min(cursor, end)))
        cursor = max(cursor, end)
    if cursor < DAY_MIN:
        found.append(("band_gap", cursor, DAY_MIN))
    return found


def _price_faults(spans: Sequence[Span], prices: Sequence[Price]) -> list[Fault]:
    wanted = {(user_class, span.band) for span in spans for user_class in ("agreement", "market")}
    given = [(price.user_class, price.band) for price in prices]
    faults = [
        Fault(
            field="prices",
            code="price_missing",
            problem=f"the {user_class} price of band {band} is missing",
            problem_zh=f"缺少{CLASS_ZH[user_class]}用户{BAND_ZH[band]}时段的价格",
        )
        for user_class, band in sorted(wanted - set(given))
    ]
    faults.extend(
        Fault(
            field="prices",
            code="price_twice",
            problem=f"the {user_class} price of band {band} is given twice",
            problem_zh=f"{CLASS_ZH[user_class]}用户{BAND_ZH[band]}时段的价格重复",
        )
        for user_class, band in sorted({pair for pair in given if given.count(pair) > 1})
    )
    for n, price in enumerate(prices):
        if price.user_class == "agreement" and price.service_e4 > AGREEMENT_SERVICE_CAP_E4:
            faults.append(
                Fault(
                    field=f"prices[{n}].service_e4",
                    code="agreement_price_above_cap",
                    problem=f"the agreement service price of band {price.band} is {price.service_e4},"
                    f" at most {AGREEMENT_SERVICE_CAP_E4} (0.5 yuan/kWh) is allowed",
                    problem_zh=f"{BAND_ZH[price.band]}时段协议服务费{yuan_text(price.service_e4)}元，不得超过0.5元/度",
                )
            )
        if price.energy_e4 < 0 or price.service_e4 < 0:
            faults.append(
                Fault(
                    field=f"prices[{n}]",
                    code="price_negative",
                    problem=f"a price of band {price.band} is below zero",
                    problem_zh=f"{BAND_ZH[price.band]}时段价格为负",
                )
            )
    return faults


def _parking_faults(parking: ParkingTerms) -> list[Fault]:
    if parking.free_min >= 0 and parking.fen_per_hour >= 0 and parking.day_cap_fen >= 0:
        return []
    return [
        Fault(
            field="parking",
            code="parking_negative",
            problem="no number may be below zero",
            problem_zh="停车费各项不得为负",
        )
    ]
