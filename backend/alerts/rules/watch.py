"""Watch one connector: run its samples through the rules with persistence and hysteresis.

A sample that comes late (an older boot or seq) can raise an alert and never clear one; a wrong date can do no harm,
because order is by (boot, seq) and clearing takes newer samples only (domain.md, "Safety").
"""

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from backend.alerts.rules.model import RANK, CarLimits, Level, Measure, Rule, adjust
from backend.alerts.rules.quantities import FROM_TRAIL, OF_SESSION, QUANTITIES, Quantity, Sample, Trail
from backend.alerts.rules.quiet import Bounds, Reading, stays_quiet
from backend.alerts.rules.table import SAMPLE_RULES

LEVELS: dict[str, Level] = {"info": "info", "warning": "warning", "critical": "critical"}

Change: TypeAlias = Literal["raised", "cleared"]

REMEMBERED = 64
"""Samples whose repeats are known as such; older ones were dropped as repeats before they came here."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A rule's level rose (`raised`, also from warning to critical) or it is over (`cleared`)."""

    code: str
    change: Change
    level: Level
    value: float
    limit: float
    late: bool = False


@dataclass(slots=True)
class Compiled:
    """A rule with its numbers resolved for one car."""

    code: str
    measures: str
    quantity: Quantity
    warning: float | None
    critical: float | None
    clear_at: float
    sign: int
    strict: bool
    persistence: int
    from_trail: bool
    only_if: tuple[Quantity, float] | None
    first: float
    of_car: bool
    mild: Level = "warning"

    def level_of(self, value: float, sample: Sample, trail: Trail, car: CarLimits | None) -> Level | None:
        """The level of a value; `value` and limits are already turned so that more is worse."""
        if self.critical is not None and (value > self.critical if self.strict else value >= self.critical):
            if self.only_if is None:
                return "critical"
            other = self.only_if[0](sample, trail, car)
            if other is not None and other >= self.only_if[1]:
                return "critical"
        if self.warning is not None and (value > self.warning if self.strict else value >= self.warning):
            return self.mild
        return None


@dataclass(slots=True)
class Counter:
    """How a rule stands on one connector: its level and the run of samples behind it."""

    level: Level | None = None
    bad: int = 0
    critical: int = 0
    good: int = 0
    late_bad: int = 0
    late_critical: int = 0

    def is_idle(self) -> bool:
        return self.level is None and not (self.bad or self.late_bad)


def compile_rules(
    *,
    kind: str,
    car: CarLimits | None,
    overrides: Mapping[str, Mapping[str, float]],
    rules: Iterable[Rule] = SAMPLE_RULES,
) -> tuple[Compiled, ...]:
    """Resolve the sample rules for a connector kind, a car's limits and a station's own numbers."""
    compiled = []
    for row in rules:
        rule = adjust(row, overrides.get(row.code, {}))
        if rule is None or not isinstance(rule.when, Measure) or kind not in rule.when.kinds:
            continue
        when = rule.when
        sign = -1 if when.bad == "at_or_below" else 1
        warning = None if when.warning is None else sign * when.warning.resolve(car)
        critical = None if when.critical is None else sign * when.critical.resolve(car)
        first = min(limit for limit in (warning, critical) if limit is not None)
        compiled.append(
            Compiled(
                code=rule.code,
                measures=when.quantity,
                quantity=QUANTITIES[when.quantity],
                warning=warning,
                critical=critical,
                clear_at=first - when.clear_by,
                sign=sign,
                strict=when.bad == "above",
                persistence=when.persistence,
                from_trail=when.quantity in FROM_TRAIL,
                only_if=None
                if when.critical_only_if is None
                else (QUANTITIES[when.critical_only_if[0]], when.critical_only_if[1]),
                first=first,
                of_car=is_of_car(rule),
                mild=when.mild,
            )
        )
    return tuple(compiled)


def is_of_car(rule: Rule) -> bool:
    """Whether what the rule raises is over with the session: nothing measures that car any more."""
    return rule.source == "battery" or (isinstance(rule.when, Measure) and rule.when.quantity in OF_SESSION)


@dataclass(slots=True)
class ConnectorWatch:
    """The rules of one connector at work."""

    kind: str
    car: CarLimits | None = None
    overrides: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    rules: tuple[Compiled, ...] = ()
    counters: dict[str, Counter] = field(default_factory=dict)
    trail: Trail = field(default_factory=Trail)
    newest: tuple[int, int] = (-1, -1)
    recent: deque[tuple[int, int]] = field(default_factory=lambda: deque(maxlen=REMEMBERED))
    touched: bool = False
    offer_w: int | None = None
    bounds: Bounds = field(default_factory=Bounds)

    def __post_init__(self) -> None:
        self.trail.offer_w = self.offer_w
        self._take_current_limit()
        self._compile()

    def _take_current_limit(self) -> None:
        self.trail.car_limit_a = None if self.car is None else self.car.current_limit_a

    def _compile(self) -> None:
        self.rules = compile_rules(kind=self.kind, car=self.car, overrides=self.overrides)
        tightest: dict[str, float] = {}
        for rule in self.rules:
            tightest[rule.measures] = min(rule.first, tightest.get(rule.measures, rule.first))
        self.bounds = Bounds.of(tightest, kind=self.kind)
        self.trail.window.watch_for(self.bounds.slope_per_min)

    def set_car(self, car: CarLimits | None) -> None:
        """Take the limits of the car that has just been connected, or none."""
        if car != self.car:
            self.car = car
            self._take_current_limit()
            self._compile()

    def set_offer(self, offer_w: int) -> None:
        """Take the power that is offered from now on."""
        self.offer_w = self.trail.offer_w = offer_w

    def set_overrides(self, overrides: Mapping[str, Mapping[str, float]]) -> None:
        """Take other numbers of the company or station; what is raised stays raised and clears by the new ones."""
        if overrides != self.overrides:
            self.overrides = overrides
            self._compile()
            known = {rule.code for rule in self.rules}
            self.counters = {code: c for code, c in self.counters.items() if code in known or c.level is not None}

    def passes(self, at: float, reading: Reading) -> bool:
        """Take a sample (`at` in seconds since 1970) of which it is certain that no rule says or counts anything.

        False where that is not certain: nothing is taken then, and the sample has to be observed. What follows is the
        same either way, which tests/alerts/test_quiet_samples.py holds for any samples, cars and numbers.
        """
        order = (reading.boot, reading.seq)
        if self.counters or order <= self.newest or not stays_quiet(self.bounds, self.trail, self.car, at, reading):
            return False
        self.newest = order
        self.recent.append(order)
        return True

    def observe(self, sample: Sample) -> list[Finding]:
        """Run one sample through the rules; a repeat of one of the last changes nothing."""
        order = (sample.boot, sample.seq)
        late = order <= self.newest
        if late and (order == self.newest or order in self.recent):
            return []
        self.recent.append(order)
        if not late:
            self.newest = order
            if self.trail.take(sample):
                self._forget_last_car()
        findings: list[Finding] = []
        trail, car, counters = self.trail, self.car, self.counters
        for rule in self.rules:
            if late and rule.from_trail:
                continue
            value = rule.quantity(sample, trail, car)
            if value is None:
                continue
            turned = value * rule.sign
            counter = counters.get(rule.code)
            if counter is None:
                if turned < rule.first:
                    continue
                counter = counters[rule.code] = Counter()
            self.touched = True
            level = rule.level_of(turned, sample, trail, car)
            finding = _count_late(rule, counter, level, value) if late else _count(rule, counter, level, value, turned)
            if finding is not None:
                findings.append(finding)
            if counter.is_idle():
                del counters[rule.code]
        return findings

    def _forget_last_car(self) -> None:
        """A new session is judged afresh: what the last car left raised must not hide the same danger in this one."""
        self.touched = True
        for rule in self.rules:
            if rule.of_car:
                self.counters.pop(rule.code, None)

    def dump(self) -> dict[str, dict[str, int | str | None]]:
        """What must outlive a restart: the counters that are not idle."""
        return {
            code: {"level": c.level, "bad": c.bad, "critical": c.critical, "good": c.good}
            for code, c in self.counters.items()
        }

    def load(
        self,
        dumped: Mapping[str, Mapping[str, int | str | None]],
        *,
        newest: tuple[int, int],
        start_meter: int | None,
    ) -> None:
        """Take up where another process stopped; `start_meter` is the meter at the start of a running session."""
        self.newest = newest
        self.trail.start_meter = start_meter
        for code, values in dumped.items():
            level = values.get("level")
            self.counters[code] = Counter(
                level=LEVELS.get(level) if isinstance(level, str) else None,
                bad=int(values.get("bad") or 0),
                critical=int(values.get("critical") or 0),
                good=int(values.get("good") or 0),
            )


def _count(rule: Compiled, counter: Counter, level: Level | None, value: float, turned: float) -> Finding | None:
    if level is None:
        counter.bad = counter.critical = 0
        if counter.level is None:
            return None
        counter.good = counter.good + 1 if turned < rule.clear_at else 0
        if counter.good < rule.persistence:
            return None
        was, counter.level, counter.good = counter.level, None, 0
        return Finding(rule.code, "cleared", was, value, rule.first * rule.sign)
    counter.good = 0
    counter.bad += 1
    counter.critical = counter.critical + 1 if level == "critical" else 0
    return _rise(rule, counter, counter.bad, counter.critical, value, late=False)


def _count_late(rule: Compiled, counter: Counter, level: Level | None, value: float) -> Finding | None:
    if level is None:
        counter.late_bad = counter.late_critical = 0
        return None
    counter.late_bad += 1
    counter.late_critical = counter.late_critical + 1 if level == "critical" else 0
    return _rise(rule, counter, counter.late_bad, counter.late_critical, value, late=True)


def _rise(rule: Compiled, counter: Counter, bad: int, critical: int, value: float, *, late: bool) -> Finding | None:
    reached: Level | None = None
    if critical >= rule.persistence:
        reached = "critical"
    elif bad >= rule.persistence and rule.warning is not None:
        reached = rule.mild
    if RANK[reached] <= RANK[counter.level] or reached is None:
        return None
    counter.level = reached
    limit = rule.critical if reached == "critical" else rule.warning
    return Finding(rule.code, "raised", reached, value, (limit or 0.0) * rule.sign, late)
