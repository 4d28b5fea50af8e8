"""Which telemetry samples must not wait in the telemetry lane: beyond critical limits, or what the car itself flags.

A superset of the critical rules that need no history (domain.md, "Safety"): the rules decide, this only chooses the
faster lane. Per quantity it takes the strictest of our default, the numbers in force at the station and a credible
limit of the car's own (`bms_limits`), so that tightening any of them tightens this too; tests/alerts/test_screen.py
holds it to the rules themselves.
"""

from collections.abc import Iterable
from typing import NamedTuple, Protocol

from mqtt_bridge.messages import ChargerTelemetry

CREDIBLE_TEMP_C = (35.0, 90.0)
CREDIBLE_CELL_V = (2.0, 4.6)
"""A limit outside of these is a mistake of the car's message, and counts for nothing."""
CRITICAL_FLAGS = frozenset({"over_current", "over_temp", "insulation"})


class CarLimits(Protocol):
    """The part of what a car said at the start that is screened."""

    @property
    def chemistry(self) -> str: ...
    @property
    def temp_limit_c(self) -> float | None: ...
    @property
    def cell_v_limit(self) -> float | None: ...


class Numbers(NamedTuple):
    """From where on a value is critical at a station; the defaults are those of the safety table."""

    temp_c: float = 70.0
    spread_c: float = 20.0
    cell_v: float = 4.30
    cell_v_ncm: float = 4.30
    cell_v_lfp: float = 3.75
    insulation_ohm_per_v: float = 100.0
    gun_c: float = 100.0
    cabinet_c: float = 85.0
    flowing_a: float = 1.0


DEFAULTS = Numbers()
FIELD_OF_RULE = {
    "battery_temp_high": "temp_c",
    "battery_temp_spread": "spread_c",
    "cell_voltage_high": "cell_v",
    "insulation_low": "insulation_ohm_per_v",
    "gun_temp_high": "gun_c",
    "cabinet_temp_high": "cabinet_c",
    "charge_forbidden": "flowing_a",
}


def strictest(numbers: Iterable[tuple[str, str, float]]) -> Numbers:
    """The strictest critical number per quantity: of the defaults, and of (rule, key, number) in force anywhere.

    A key is `critical`, or `critical.lfp` for one chemistry, which matters for the voltage of a cell only.
    """
    held = DEFAULTS._asdict()
    for rule, key, value in numbers:
        field = FIELD_OF_RULE.get(rule)
        if field is None:
            continue
        kind = key.partition(".")[2]
        names = [field]
        if field == "cell_v":
            names = {"": ["cell_v", "cell_v_ncm", "cell_v_lfp"], "unknown": ["cell_v"]}.get(kind, [f"cell_v_{kind}"])
        for name in names:
            held[name] = (max if name == "insulation_ohm_per_v" else min)(held[name], value)
    return Numbers(**held)


def is_critical(sample: ChargerTelemetry, numbers: Numbers = DEFAULTS, *said: CarLimits | None) -> bool:
    """Whether a sample goes down the safety lane too; `said` is whatever is known of the car's own limits."""
    if sample.gun_temp_c >= numbers.gun_c:
        return True
    if sample.cabinet_temp_c is not None and sample.cabinet_temp_c >= numbers.cabinet_c:
        return True
    if sample.insulation_ohm_per_v is not None and sample.insulation_ohm_per_v <= numbers.insulation_ohm_per_v:
        return True
    bms = sample.bms
    if bms is None:
        return False
    by_chemistry = {"ncm": numbers.cell_v_ncm, "lfp": numbers.cell_v_lfp}
    temp_limit, cell_limit, known = numbers.temp_c, numbers.cell_v, False
    for car in said:
        if car is None:
            continue
        own = by_chemistry.get(car.chemistry, numbers.cell_v)
        cell_limit, known = min(cell_limit, own) if known else own, True
        if car.temp_limit_c is not None and CREDIBLE_TEMP_C[0] <= car.temp_limit_c <= CREDIBLE_TEMP_C[1]:
            temp_limit = min(temp_limit, car.temp_limit_c)
        if car.cell_v_limit is not None and CREDIBLE_CELL_V[0] <= car.cell_v_limit <= CREDIBLE_CELL_V[1]:
            cell_limit = min(cell_limit, car.cell_v_limit)
    if bms.temp_max_c >= temp_limit or bms.temp_max_c - bms.temp_min_c >= numbers.spread_c:
        return True
    if bms.cell_v_max > cell_limit:
        return True
    if not bms.flags:
        return False
    flags = set(bms.flags)
    flowing = max(abs(bms.pack_a), abs(sample.current_a))
    return bool(flags & CRITICAL_FLAGS) or ("charge_forbidden" in flags and flowing >= numbers.flowing_a)
