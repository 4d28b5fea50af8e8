"""The battery of a simulated car: constant current, constant voltage with taper, heat, and what its BMS says.

Pure and without a clock: `charge` advances by seconds of simulated time. A pack is `cells` in series with one lumped
resistance (ohmic and polarisation together, which is what makes the voltage limit bite near 75 % and the current
taper after it). Heat is I²R of the ohmic share plus, for a broken cell connection, a hot spot of one module's mass.
The liquid cooling of a healthy pack takes most of the losses, as in cars built since 2020; this also keeps the slope
below the alarm of 3 °C/min on the wall clock when a demo runs physics faster than time.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from math import sqrt
from typing import Final, Literal

Chemistry = Literal["ncm", "lfp"]


@dataclass(frozen=True, kw_only=True)
class CellKind:
    """What the chemistry decides: open-circuit voltage over state of charge, limits, heat limit."""

    ocv: tuple[tuple[float, float], ...]
    cv_limit_v: float
    """What the BMS asks the charger to hold, per cell."""
    cell_limit_v: float
    """What the BMS calls its limit (BCP); above it lies an alarm."""
    temp_limit_c: float
    cells: int
    polarisation_v: float
    """Voltage rise of one cell at 1 C, with polarisation: where the taper begins."""


CELLS: Final[dict[Chemistry, CellKind]] = {
    "ncm": CellKind(
        ocv=((0.0, 3.00), (0.05, 3.40), (0.2, 3.55), (0.5, 3.68), (0.7, 3.87), (0.9, 4.07), (1.0, 4.15)),
        cv_limit_v=4.18,
        cell_limit_v=4.25,
        temp_limit_c=60.0,
        cells=96,
        polarisation_v=0.18,
    ),
    "lfp": CellKind(
        ocv=((0.0, 2.80), (0.05, 3.15), (0.2, 3.25), (0.6, 3.29), (0.9, 3.33), (0.97, 3.38), (1.0, 3.52)),
        cv_limit_v=3.55,
        cell_limit_v=3.65,
        temp_limit_c=65.0,
        cells=112,
        polarisation_v=0.16,
    ),
}

OHMIC_SHARE: Final = 0.3
"""Share of the lumped resistance that turns into heat at once."""
COOLING_SHARE: Final = 0.9
"""Share of the losses that a healthy liquid cooling carries away."""
HEAT_CAPACITY_J_PER_K_PER_WH: Final = 7.0
"""A 60 kWh pack weighs about 420 kg at 1 kJ/(kg K)."""
TO_AMBIENT_S: Final = 6 * 3600.0
"""Time constant of the pack towards the air around it."""
HOT_SPOT_TO_PACK_S: Final = 600.0
"""Time constant of one overheated module towards the rest of the pack."""
CELL_SCATTER_V: Final = 0.008


@dataclass(kw_only=True)
class Battery:
    """One pack. `soc` 0..1; `max_c_rate` is what the BMS asks for in its constant-current phase."""

    chemistry: Chemistry
    battery_wh: int
    soc: float
    temp_c: float
    max_c_rate: float = 1.3
    hot_spot_k: float = 0.0
    """How much the hottest module is above the pack."""
    spot_heat_k_per_s: float = 0.0
    """A broken cell connection: warming of that module under current, kelvin per simulated second."""
    pack_heat_k_per_s: float = 0.0
    """A failed cooling: warming of the whole pack under current, kelvin per simulated second."""
    cell_offset_v: float = 0.0
    charge_forbidden: bool = False
    flags: set[str] = field(default_factory=set)
    """Flags forced by a fault, beside those that follow from the state."""
    capacity_ah: float = field(init=False)
    """From the mean open-circuit voltage, which turns watt-hours into ampere-hours exactly."""
    resistance_ohm: float = field(init=False)

    @property
    def kind(self) -> CellKind:
        return CELLS[self.chemistry]

    def __post_init__(self) -> None:
        points = self.kind.ocv
        mean_ocv = sum((b[0] - a[0]) * (a[1] + b[1]) / 2 for a, b in pairwise(points))
        self.capacity_ah = self.battery_wh / (mean_ocv * self.kind.cells)
        self.resistance_ohm = self.kind.cells * self.kind.polarisation_v / self.capacity_ah

    def open_circuit_v(self) -> float:
        """Of the pack, at rest, at this state of charge."""
        points = self.kind.ocv
        for (soc_a, volt_a), (soc_b, volt_b) in pairwise(points):
            if self.soc <= soc_b:
                share = (self.soc - soc_a) / (soc_b - soc_a)
                return self.kind.cells * (volt_a + share * (volt_b - volt_a))
        return self.kind.cells * points[-1][1]

    def wanted_current_a(self) -> float:
        """What the BMS asks for now: C rate, less when cold or hot, and never above the constant-voltage limit."""
        if self.is_full:
            return 0.0
        warm = min(1.0, max(0.15, 0.15 + (self.temp_c + 10.0) * 0.85 / 20.0))
        hot = min(1.0, max(0.0, (self.kind.temp_limit_c - self.temp_c) / 10.0))
        by_rate = self.max_c_rate * self.capacity_ah * min(warm, hot)
        by_voltage = (self.kind.cv_limit_v * self.kind.cells - self.open_circuit_v()) / self.resistance_ohm
        return max(0.0, min(by_rate, by_voltage))

    @property
    def is_full(self) -> bool:
        return self.soc >= 1.0

    def current_for(self, *, power_w: float) -> float:
        """The current that draws `power_w` at the terminals, at most what the BMS wants. P = (OCV + I R) I."""
        ocv, resistance = self.open_circuit_v(), self.resistance_ohm
        by_power = (sqrt(ocv * ocv + 4 * resistance * max(0.0, power_w)) - ocv) / (2 * resistance)
        return min(by_power, self.wanted_current_a())

    def pack_v(self, *, current_a: float) -> float:
        return self.open_circuit_v() + current_a * self.resistance_ohm

    def charge(self, *, current_a: float, dt_s: float, ambient_c: float) -> None:
        """Let `current_a` flow for `dt_s` of simulated time. Charge, heat, cooling; nothing else happens to a pack."""
        self.soc = min(1.0, self.soc + current_a * dt_s / (3600.0 * self.capacity_ah))
        loss_w = current_a * current_a * self.resistance_ohm * OHMIC_SHARE * (1.0 - COOLING_SHARE)
        self.temp_c += loss_w * dt_s / (self.battery_wh * HEAT_CAPACITY_J_PER_K_PER_WH)
        self.temp_c += (ambient_c - self.temp_c) * min(1.0, dt_s / TO_AMBIENT_S)
        if current_a > 0:
            self.hot_spot_k += self.spot_heat_k_per_s * dt_s
            self.temp_c += self.pack_heat_k_per_s * dt_s
        self.hot_spot_k -= self.hot_spot_k * min(1.0, dt_s / HOT_SPOT_TO_PACK_S)

    @property
    def temp_max_c(self) -> float:
        return self.temp_c + 1.0 + self.hot_spot_k

    @property
    def temp_min_c(self) -> float:
        return self.temp_c - 1.0

    def cell_v_max(self, *, current_a: float) -> float:
        return self.pack_v(current_a=current_a) / self.kind.cells + CELL_SCATTER_V + self.cell_offset_v

    def cell_v_min(self, *, current_a: float) -> float:
        return self.pack_v(current_a=current_a) / self.kind.cells - CELL_SCATTER_V

    def remaining_min(self, *, current_a: float) -> float:
        """Minutes to full at the present current, as a BMS guesses; 0 when none flows."""
        if current_a <= 0:
            return 0.0
        return min(600.0, (1.0 - self.soc) * self.capacity_ah / current_a * 60.0)

    def status_flags(self, *, current_a: float) -> list[str]:
        """The BSM flags: those that follow from the state and those a fault forces, in a fixed order."""
        flags = set(self.flags)
        if self.cell_v_max(current_a=current_a) > self.kind.cell_limit_v:
            flags.add("cell_high")
        if self.temp_max_c >= self.kind.temp_limit_c:
            flags.add("over_temp")
        if self.charge_forbidden:
            flags.add("charge_forbidden")
        return sorted(flags)
