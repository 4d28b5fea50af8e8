"""Prove of a sample, cheaply, that no rule can say or begin to count anything about it.

Nearly every sample of a fleet is of that kind. The proof compares each value with the tightest number in force for the
car, the station and the chemistry, and with nothing of its own, so that a number that is tightened tightens it too. It
speaks only where no rule is counting, the status is that of the sample before, and every value is one that its sensor
can mean; everything else is judged by the rules one by one (`watch.ConnectorWatch.observe`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf
from typing import Protocol

from backend.alerts.rules.model import CarLimits
from backend.alerts.rules.quantities import (
    CELL_RANGE_V,
    JUMP_MIN_SPAN_S,
    POWER_FLOWS_W,
    TEMP_RANGE_C,
    Trail,
)

COLDEST_C, HOTTEST_C = TEMP_RANGE_C
ZERO_WHILE_QUIET = frozenset({"forbidden_current_a", "impossible_values", "bms_missing", "below_offer_s"})
"""Quantities that are 0 for every sample that passes, as those of the flags are; a number of 0 or less forbids it."""
COMPARED = frozenset(
    {"temp_max_c", "temp_slope_c_per_min", "temp_jump_c_per_s", "temp_spread_c", "cell_v_max", "soc_jump_pct"}
    | {"insulation_ohm_per_v", "gun_temp_c", "cabinet_temp_c", "meter_frozen_s", "energy_per_battery", "stuck_s"}
)


class BatteryReading(Protocol):
    """The battery part of a charger's telemetry message."""

    @property
    def soc_pct(self) -> float: ...
    @property
    def pack_v(self) -> float: ...
    @property
    def pack_a(self) -> float: ...
    @property
    def cell_v_max(self) -> float: ...
    @property
    def temp_max_c(self) -> float: ...
    @property
    def temp_min_c(self) -> float: ...
    @property
    def flags(self) -> Sequence[str]: ...


class Reading(Protocol):
    """A charger's telemetry message, as it was decoded."""

    @property
    def boot(self) -> int: ...
    @property
    def seq(self) -> int: ...
    @property
    def status(self) -> str: ...
    @property
    def meter_wh(self) -> int: ...
    @property
    def power_w(self) -> int: ...
    @property
    def gun_temp_c(self) -> float: ...
    @property
    def cabinet_temp_c(self) -> float | None: ...
    @property
    def insulation_ohm_per_v(self) -> float | None: ...
    @property
    def bms(self) -> BatteryReading | None: ...


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a sample has to stay below (insulation: above) to pass; `open` false lets none pass."""

    open: bool = False
    dc: bool = False
    gun_c: float = HOTTEST_C
    cabinet_c: float = HOTTEST_C
    temp_c: float = HOTTEST_C
    spread_c: float = inf
    cell_v: float = CELL_RANGE_V[1]
    insulation: float = -inf
    soc_step: float = inf
    rise_c: float = inf
    slope_per_min: float = inf
    meter_s: float = inf
    energy: float = inf
    stuck_s: float = inf

    @classmethod
    def of(cls, tightest: Mapping[str, float], *, kind: str) -> "Bounds":
        """Make the bounds from the tightest number of each quantity, turned so that more is worse.

        A quantity that is not known here, or a number that a harmless value reaches, lets nothing pass.
        """

        def limit(quantity: str) -> float:
            return tightest.get(quantity, inf)

        zeros = [value for name, value in tightest.items() if name in ZERO_WHILE_QUIET or name.startswith("flag:")]
        known = all(name in COMPARED or name in ZERO_WHILE_QUIET or name.startswith("flag:") for name in tightest)
        zeros += [limit(name) for name in ("meter_frozen_s", "stuck_s", "temp_jump_c_per_s")]
        return cls(
            open=known and all(value > 0 for value in zeros),
            dc=kind == "dc",
            gun_c=min(limit("gun_temp_c"), HOTTEST_C),
            cabinet_c=min(limit("cabinet_temp_c"), HOTTEST_C),
            temp_c=min(limit("temp_max_c"), HOTTEST_C),
            spread_c=limit("temp_spread_c"),
            cell_v=min(limit("cell_v_max"), CELL_RANGE_V[1]),
            insulation=-limit("insulation_ohm_per_v"),
            soc_step=limit("soc_jump_pct"),
            rise_c=limit("temp_jump_c_per_s") * JUMP_MIN_SPAN_S * (1 - 1e-9),
            slope_per_min=limit("temp_slope_c_per_min"),
            meter_s=limit("meter_frozen_s"),
            energy=limit("energy_per_battery"),
            stuck_s=limit("stuck_s"),
        )


def stays_quiet(bounds: Bounds, trail: Trail, car: CarLimits | None, at: float, reading: Reading) -> bool:
    """Whether no rule can say or count anything about a sample newer than all before; remembers it in the trail if so.

    `at` is the corrected device time in seconds since 1970. Where the answer is False the trail may hold the sample's
    temperature already; taking the sample again replaces it.
    """
    status, power, bms = reading.status, reading.power_w, reading.bms
    if not bounds.open or status != trail.status or trail.slow_since is not None:
        return False
    flows = power >= POWER_FLOWS_W
    meter = reading.meter_wh
    still = flows and meter == trail.meter
    if still and at - trail.meter_since >= bounds.meter_s:
        return False
    if not COLDEST_C <= reading.gun_temp_c < bounds.gun_c:
        return False
    cabinet = reading.cabinet_temp_c
    if cabinet is not None and not COLDEST_C <= cabinet < bounds.cabinet_c:
        return False
    charging = status == "charging"
    if charging and trail.is_slow(
        status, power, None if bms is None else bms.soc_pct, 0.0 if bms is None else bms.pack_v
    ):
        return False
    if (
        car is not None
        and car.capacity_wh
        and trail.start_meter is not None
        and (meter - trail.start_meter) / car.capacity_wh >= bounds.energy
    ):
        return False
    if not bounds.dc or bms is None or not (charging or status == "suspended"):
        # A battery is judged while it is charged; what it says of itself outside of that is for the rules.
        if bms is not None or trail.last_soc is not None or trail.fingerprint or trail.window.ats:
            return False
        if bounds.dc and (flows or (reading.insulation_ohm_per_v is not None and (charging or status == "suspended"))):
            return False
    else:
        insulation = reading.insulation_ohm_per_v
        if insulation is not None and not insulation > bounds.insulation:
            return False
        hottest, coldest, cell, soc = bms.temp_max_c, bms.temp_min_c, bms.cell_v_max, bms.soc_pct
        if bms.flags or not COLDEST_C <= coldest <= hottest < bounds.temp_c or hottest - coldest >= bounds.spread_c:
            return False
        if not 0 <= cell < bounds.cell_v or not 0 <= soc <= 100:
            return False
        step = 0.0 if trail.last_soc is None else abs(soc - trail.last_soc)
        if step >= bounds.soc_step:
            return False
        print_ = (hottest, coldest, cell, bms.pack_v, bms.pack_a)
        same = flows and print_ == trail.fingerprint
        if same and at - trail.fingerprint_since >= bounds.stuck_s:
            return False
        window = trail.window
        if window.temps and hottest - min(window.temps) >= bounds.rise_c:
            return False
        window.add(at, hottest)
        if not window.is_below_limit():
            return False
        trail.last_soc, trail.soc_step = soc, step
        if not same:
            trail.fingerprint, trail.fingerprint_since = print_, at
    if not still:
        trail.meter, trail.meter_since = meter, at
    return True
