"""What a rule is: where it looks, from which value it warns or stops, how it clears and what is then done."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, TypeAlias

Level: TypeAlias = Literal["info", "warning", "critical"]
Source: TypeAlias = Literal["smoke", "camera", "battery", "charger", "lock", "bay", "device", "sensor"]
Chemistry: TypeAlias = Literal["ncm", "lfp", "unknown"]
Action: TypeAlias = Literal[
    "hold_station",
    "stop_area",
    "stop_session",
    "lower_locks",
    "open_incident",
    "page_staff",
    "tell_resident",
    "tell_residents",
    "make_task",
]

RANK: dict[Level | None, int] = {None: 0, "info": 1, "warning": 2, "critical": 3}


@dataclass(frozen=True, slots=True)
class CarLimits:
    """What the car itself said at the start (BCP). They come before every default of ours."""

    chemistry: Chemistry = "unknown"
    temp_limit_c: float | None = None
    cell_v_limit: float | None = None
    capacity_wh: int | None = None
    current_limit_a: float | None = None


CREDIBLE: dict[str, tuple[float, float]] = {"temp_limit_c": (35.0, 90.0), "cell_v_limit": (2.0, 4.6)}
"""A limit outside these is a mistake of the car's message, and the default holds."""


@dataclass(frozen=True, slots=True)
class Threshold:
    """A number; or the car's own limit plus `offset`, where it gave a credible one; or a number per chemistry."""

    value: float
    car_limit: Literal["temp_limit_c", "cell_v_limit"] | None = None
    offset: float = 0.0
    by_chemistry: Mapping[Chemistry, float] = field(default_factory=dict)

    def resolve(self, car: CarLimits | None) -> float:
        """The number that holds for this car."""
        if car is None:
            return self.value
        if self.car_limit is not None:
            limit = car.temp_limit_c if self.car_limit == "temp_limit_c" else car.cell_v_limit
            low, high = CREDIBLE[self.car_limit]
            if limit is not None and low <= limit <= high:
                return limit + self.offset
        return self.by_chemistry.get(car.chemistry, self.value)


@dataclass(frozen=True, slots=True)
class Measure:
    """A rule's value is a quantity of the samples (`quantities.QUANTITIES`), bad above or below its thresholds.

    `mild` is the level of the first threshold: `info` for what only the resident has to know.
    """

    quantity: str
    warning: Threshold | None = None
    critical: Threshold | None = None
    bad: Literal["above", "at_or_above", "at_or_below"] = "at_or_above"
    clear_by: float = 0.0
    persistence: int = 2
    mild: Level = "warning"
    kinds: frozenset[str] = frozenset({"ac", "dc"})
    critical_only_if: tuple[str, float] | None = None


@dataclass(frozen=True, slots=True)
class Word:
    """A rule's value is what a device says; `clears` are the words that end it."""

    words: frozenset[str]
    level: Level
    clears: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Rule:
    """One row of the safety table (domain.md, "Safety")."""

    code: str
    source: Source
    when: Measure | Word
    actions: Mapping[Level, tuple[Action, ...]] = field(default_factory=dict)


def adjust(rule: Rule, override: Mapping[str, float]) -> Rule | None:
    """Apply numbers of a company or station (`warning`, `critical`, `clear_by`, `persistence`; `off` drops the rule).

    `critical.lfp` holds for one chemistry only, and comes before `critical`. Such a number replaces our default only:
    the car's own limit still comes first.
    """
    if override.get("off"):
        return None
    when = rule.when
    if isinstance(when, Word):
        return rule
    if when.warning is not None:
        when = replace(when, warning=_with_numbers(when.warning, "warning", override))
    if when.critical is not None:
        when = replace(when, critical=_with_numbers(when.critical, "critical", override))
    return replace(
        rule,
        when=replace(
            when,
            clear_by=override.get("clear_by", when.clear_by),
            persistence=max(1, int(override.get("persistence", when.persistence))),
        ),
    )


CHEMISTRIES: tuple[Chemistry, ...] = ("ncm", "lfp", "unknown")


def _with_numbers(threshold: Threshold, name: str, override: Mapping[str, float]) -> Threshold:
    if name in override:
        threshold = replace(threshold, value=override[name], by_chemistry={})
    own = {kind: override[f"{name}.{kind}"] for kind in CHEMISTRIES if f"{name}.{kind}" in override}
    return replace(threshold, by_chemistry={**threshold.by_chemistry, **own}) if own else threshold
