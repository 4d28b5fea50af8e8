"""Check proposed numbers of the rules: known rules, possible numbers, a warning before the critical, nothing laxer
than a fifth beyond our default, and no critical rule switched off.
"""

import math
from collections.abc import Mapping

from backend.alerts.rules.model import CHEMISTRIES, Chemistry, Measure, Rule, Threshold, adjust
from backend.alerts.rules.table import BY_CODE

Numbers = Mapping[str, Mapping[str, float]]

LAXEST = 0.2
"""How far beyond our default a company may move a limit towards danger, as a part of it."""
MOST_SAMPLES = 10
PLAIN = ("clear_by", "persistence", "off")
THRESHOLDS = ("warning", "critical")
KEYS = (*PLAIN, *THRESHOLDS, *(f"{name}.{kind}" for name in THRESHOLDS for kind in CHEMISTRIES))


def problems(rules: Numbers) -> list[tuple[str, str]]:
    """Return (where, what would be right) for each number that cannot be taken; empty where all can."""
    found: list[tuple[str, str]] = []
    for code, numbers in rules.items():
        rule = BY_CODE.get(code)
        if rule is None:
            found.append((code, "a rule of the safety table"))
        elif not isinstance(rule.when, Measure):
            found.append((code, "a rule that measures: what devices say in words has no numbers"))
        else:
            found.extend((f"{code}.{key}", right) for key, right in _numbers(rule, rule.when, numbers))
    return found


def _numbers(rule: Rule, when: Measure, numbers: Mapping[str, float]) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for key, value in numbers.items():
        name, _, kind = key.partition(".")
        if key not in KEYS:
            found.append((key, f"one of {', '.join(KEYS)}"))
        elif not math.isfinite(value):
            found.append((key, "a finite number"))
        elif key == "off" and (value not in (0, 1) or (value and when.critical is not None)):
            found.append((key, "0 or 1, and 1 only for a rule that never is critical"))
        elif key == "persistence" and not (value == int(value) and 1 <= value <= MOST_SAMPLES):
            found.append((key, f"a whole number from 1 to {MOST_SAMPLES}"))
        elif key == "clear_by" and value < 0:
            found.append((key, "zero or more"))
        elif name in THRESHOLDS:
            threshold = when.warning if name == "warning" else when.critical
            limit = None if threshold is None else _laxest(when, threshold, kind)
            if threshold is None or limit is None:
                found.append((key, f"nothing: the rule has no {name}"))
            elif _is_yes_or_no(when) and value != 1:
                found.append((key, "1: the rule asks whether something is so"))
            elif value > limit if when.bad != "at_or_below" else value < limit:
                found.append((key, f"not laxer than {limit:g}"))
    if found:
        return found
    changed = adjust(rule, numbers)
    if changed is None or not isinstance(changed.when, Measure):
        return []
    warning, critical = changed.when.warning, changed.when.critical
    if warning is None or critical is None:
        return []
    return [
        ("warning" if kind == "unknown" else f"warning.{kind}", "before the critical number")
        for kind in CHEMISTRIES
        if _wrong_way(changed.when, _of(warning, kind), _of(critical, kind))
    ]


def _is_yes_or_no(when: Measure) -> bool:
    """Whether the quantity is 0 or 1, so that any other number would find every sample bad, or none."""
    return when.quantity.startswith("flag:") or when.quantity == "bms_missing"


def _of(threshold: Threshold, kind: str) -> float:
    return next((v for name, v in threshold.by_chemistry.items() if name == kind), threshold.value)


def _laxest(when: Measure, threshold: Threshold, kind: str) -> float:
    """The number furthest towards danger that may be set: a fifth beyond our default for that chemistry.

    Voltages of cells lie so close together that a fifth would be nonsense; they may move by 2 %.
    """
    part = 0.02 if when.quantity == "cell_v_max" else LAXEST
    chemistries: tuple[Chemistry, ...] = tuple(c for c in CHEMISTRIES if c == kind) or CHEMISTRIES
    defaults = [_of(threshold, chemistry) for chemistry in chemistries]
    if when.bad == "at_or_below":
        return max(defaults) * (1 - part)
    return min(defaults) * (1 + part)


def _wrong_way(when: Measure, warning: float, critical: float) -> bool:
    return warning < critical if when.bad == "at_or_below" else warning > critical


def merge(*layers: Numbers) -> dict[str, dict[str, float]]:
    """Lay numbers over each other, the last on top: the demo's own, the company's, the station's."""
    merged: dict[str, dict[str, float]] = {}
    for layer in layers:
        for code, numbers in layer.items():
            merged.setdefault(code, {}).update(numbers)
    return merged
