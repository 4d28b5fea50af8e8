"""The quantities that rules compare: read from a sample, or drawn from the last minutes of one connector.

A value that a sensor cannot mean never reaches a danger rule: it counts as `impossible_values` and is otherwise absent.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from backend.alerts.rules.model import CarLimits
from backend.alerts.rules.slope import Window

JUMP_MIN_SPAN_S = 5.0
JUMP_MAX_SPAN_S = 20.0
POWER_FLOWS_W = 1000
"""Above this a whole Wh passes within seconds, so that a meter that stands still is frozen."""
TAPER_FROM_SOC_PCT = 80
"""From here on a DC battery takes less by itself; below the offer is then no news."""
TEMP_RANGE_C = (-50.0, 200.0)
"""What GB/T 27930 can express, upper end excluded (its 0xFA and above mean "no value")."""
CELL_RANGE_V = (0.0, 6.0)


@dataclass(slots=True)
class Battery:
    """The battery part of a DC sample."""

    soc_pct: float
    pack_v: float
    pack_a: float
    cell_v_max: float
    temp_max_c: float
    temp_min_c: float
    flags: tuple[str, ...] = ()


@dataclass(slots=True)
class Sample:
    """One reading of a connector; `at` is the corrected device time. AC has no `battery` (GB/T 27930 is DC only)."""

    at: datetime
    boot: int
    seq: int
    status: str
    meter_wh: int
    power_w: int
    gun_temp_c: float
    cabinet_temp_c: float | None = None
    insulation_ohm_per_v: float | None = None
    battery: Battery | None = None


@dataclass(slots=True)
class Trail:
    """What is remembered of a connector between samples."""

    status: str = ""
    window: Window = field(default_factory=Window)
    last_soc: float | None = None
    meter: int | None = None
    meter_since: float = 0.0
    start_meter: int | None = None
    fingerprint: tuple[float, ...] = ()
    fingerprint_since: float = 0.0
    soc_step: float = 0.0
    offer_w: int | None = None
    car_limit_a: float | None = None
    slow_since: float | None = None

    def take(self, sample: Sample) -> bool:
        """Remember a sample that is newer than all before; says whether it begins a session."""
        at = sample.at.timestamp()
        self.status = sample.status
        if self.meter is None or sample.meter_wh != self.meter or sample.power_w < POWER_FLOWS_W:
            self.meter_since = at
        self.meter = sample.meter_wh
        self._follow_power(sample, at)
        begins = False
        if sample.status not in ("charging", "suspended", "finishing"):
            self.start_meter = None
        elif self.start_meter is None:
            self.start_meter, begins = sample.meter_wh, True
        battery = sample.battery
        if battery is None or sample.status not in ("charging", "suspended"):
            self.window.clear()
            self.last_soc, self.soc_step, self.fingerprint = None, 0.0, ()
            return begins
        if is_temp(battery.temp_max_c):
            self.window.add(at, battery.temp_max_c)
        if 0 <= battery.soc_pct <= 100:
            self.soc_step = 0.0 if self.last_soc is None else abs(battery.soc_pct - self.last_soc)
            self.last_soc = battery.soc_pct
        print_ = (battery.temp_max_c, battery.temp_min_c, battery.cell_v_max, battery.pack_v, battery.pack_a)
        if print_ != self.fingerprint or sample.power_w < POWER_FLOWS_W:
            self.fingerprint, self.fingerprint_since = print_, at
        return begins

    def _follow_power(self, sample: Sample, at: float) -> None:
        battery = sample.battery
        if battery is None:
            slow = self.is_slow(sample.status, sample.power_w, None, 0.0)
        else:
            slow = self.is_slow(sample.status, sample.power_w, battery.soc_pct, battery.pack_v)
        if not slow:
            self.slow_since = None
        elif self.slow_since is None:
            self.slow_since = at

    def is_slow(self, status: str, power_w: int, soc_pct: float | None, pack_v: float) -> bool:
        """Whether less than half of the offer flows, where a battery does not taper by itself.

        The offer is what the connector can, a limit that its charger took (`set_limit`), or what the car asked for at
        most (its current limit at the voltage of its pack), whichever is least.
        """
        if self.offer_w is None or status != "charging" or (soc_pct is not None and soc_pct >= TAPER_FROM_SOC_PCT):
            return False
        offer = float(self.offer_w)
        if soc_pct is not None and self.car_limit_a is not None and self.car_limit_a > 0:
            offer = min(offer, self.car_limit_a * pack_v)
        return power_w < offer / 2


def is_temp(value: float) -> bool:
    """Whether a temperature sensor can mean this."""
    return TEMP_RANGE_C[0] <= value < TEMP_RANGE_C[1]


def temp_slope(sample: Sample, trail: Trail, car: CarLimits | None) -> float | None:
    """Rise of the highest temperature over the last 60 s of true time, °C/min; None before 30 s are known."""
    return trail.window.slope_per_min()


def temp_jump(sample: Sample, trail: Trail, car: CarLimits | None) -> float | None:
    """Rise per second since the youngest sample that is at least 5 s older, °C/s."""
    ats, temps = trail.window.ats, trail.window.temps
    if len(ats) < 2:
        return None
    at, temp = ats[-1], temps[-1]
    for earlier_at, earlier in zip(reversed(ats), reversed(temps), strict=True):
        if at - earlier_at >= JUMP_MIN_SPAN_S:
            return (temp - earlier) / (at - earlier_at) if at - earlier_at <= JUMP_MAX_SPAN_S else None
    return None


def temp_max(sample: Sample, trail: Trail, car: CarLimits | None) -> float | None:
    """The highest battery temperature, °C."""
    battery = sample.battery
    return battery.temp_max_c if battery is not None and is_temp(battery.temp_max_c) else None


def temp_spread(sample: Sample, trail: Trail, car: CarLimits | None) -> float | None:
    """Highest less lowest battery temperature, °C."""
    battery = sample.battery
    if battery is None or not (is_temp(battery.temp_max_c) and is_temp(battery.temp_min_c)):
        return None
    return battery.temp_max_c - battery.temp_min_c


def cell_v_max(sample: Sample, trail: Trail, car: CarLimits | None) -> float | None:
    """The highest cell voltage, V."""
    battery = sample.battery
    if battery is None or not CELL_RANGE_V[0] <= battery.cell_v_max <= CELL_RANGE_V[1]:
        return None
    return battery.cell_v_max


def forbidden_current(sample: Sample, trail: Trail, car: CarLimits | None) -> float | None:
    """The pack current that flows although the car does not allow charging, A; 0 where it does."""
    battery = sample.battery
    if battery is None:
        return None
    return abs(battery.pack_a) if "charge_forbidden" in battery.flags else 0.0


def soc_jump(sample: Sample, trail: Trail, car: CarLimits | None) -> float | None:
    """By how much the state of charge leapt since the sample before, %."""
    return trail.soc_step if sample.battery is not None else None


def insulation(sample: Sample, trail: Trail, car: CarLimits | None) -> float | None:
    """Insulation resistance while a car is connected, Ω/V."""
    return sample.insulation_ohm_per_v if sample.status in ("charging", "suspended") else None


def gun_temp(sample: Sample, trail: Trail, car: CarLimits | None) -> float | None:
    """Temperature of the gun, °C."""
    return sample.gun_temp_c if is_temp(sample.gun_temp_c) else None


def cabinet_temp(sample: Sample, trail: Trail, car: CarLimits | None) -> float | None:
    """Temperature of the cabinet, °C, where it is measured."""
    value = sample.cabinet_temp_c
    return value if value is not None and is_temp(value) else None


def meter_frozen(sample: Sample, trail: Trail, car: CarLimits | None) -> float | None:
    """Seconds for which the meter has stood still while power flowed."""
    return sample.at.timestamp() - trail.meter_since if sample.power_w >= POWER_FLOWS_W else 0.0


def energy_per_battery(sample: Sample, trail: Trail, car: CarLimits | None) -> float | None:
    """Energy of the session in batteries of the size the car stated."""
    if car is None or not car.capacity_wh or trail.start_meter is None:
        return None
    return (sample.meter_wh - trail.start_meter) / car.capacity_wh


def impossible_values(sample: Sample, trail: Trail, car: CarLimits | None) -> float | None:
    """How many values of the sample no sensor can mean."""
    count = 0 if is_temp(sample.gun_temp_c) else 1
    if sample.cabinet_temp_c is not None and not is_temp(sample.cabinet_temp_c):
        count += 1
    battery = sample.battery
    if battery is not None:
        temps_possible = is_temp(battery.temp_max_c) and is_temp(battery.temp_min_c)
        if not temps_possible or battery.temp_min_c > battery.temp_max_c:
            count += 1
        if not CELL_RANGE_V[0] <= battery.cell_v_max <= CELL_RANGE_V[1]:
            count += 1
        if not 0 <= battery.soc_pct <= 100:
            count += 1
    return float(count)


def stuck(sample: Sample, trail: Trail, car: CarLimits | None) -> float | None:
    """Seconds for which every battery value has been the same to the last digit while power flowed."""
    if sample.battery is None or not trail.fingerprint:
        return None
    return sample.at.timestamp() - trail.fingerprint_since


def bms_missing(sample: Sample, trail: Trail, car: CarLimits | None) -> float | None:
    """1 while a DC charger delivers power and sends no battery data."""
    return 1.0 if sample.battery is None and sample.status == "charging" and sample.power_w >= POWER_FLOWS_W else 0.0


def below_offer(sample: Sample, trail: Trail, car: CarLimits | None) -> float | None:
    """Seconds for which less than half of the offered power has flowed, on DC below the taper."""
    return 0.0 if trail.slow_since is None else sample.at.timestamp() - trail.slow_since


Quantity = Callable[[Sample, Trail, CarLimits | None], float | None]


def flag(name: str) -> Quantity:
    """1 while the battery management raises this flag."""

    def read(sample: Sample, trail: Trail, car: CarLimits | None) -> float | None:
        battery = sample.battery
        return None if battery is None else float(name in battery.flags)

    return read


QUANTITIES: dict[str, Quantity] = {
    "temp_max_c": temp_max,
    "temp_slope_c_per_min": temp_slope,
    "temp_jump_c_per_s": temp_jump,
    "temp_spread_c": temp_spread,
    "cell_v_max": cell_v_max,
    "forbidden_current_a": forbidden_current,
    "soc_jump_pct": soc_jump,
    "insulation_ohm_per_v": insulation,
    "gun_temp_c": gun_temp,
    "cabinet_temp_c": cabinet_temp,
    "meter_frozen_s": meter_frozen,
    "energy_per_battery": energy_per_battery,
    "impossible_values": impossible_values,
    "stuck_s": stuck,
    "bms_missing": bms_missing,
    "below_offer_s": below_offer,
    "flag:over_current": flag("over_current"),
    "flag:over_temp": flag("over_temp"),
    "flag:insulation": flag("insulation"),
}

FROM_TRAIL = frozenset(
    {"temp_slope_c_per_min", "temp_jump_c_per_s", "soc_jump_pct", "meter_frozen_s", "energy_per_battery", "stuck_s"}
    | {"below_offer_s"}
)
"""Quantities of a stretch of time; a late sample does not have them."""

OF_SESSION = frozenset({"insulation_ohm_per_v", "energy_per_battery", "stuck_s", "bms_missing", "below_offer_s"})
"""Quantities that exist only while a car charges: with its session what they raised is over."""
