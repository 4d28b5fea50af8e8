"""Which telemetry samples must not wait in the telemetry lane: beyond critical limits, or what the car itself flags.

A cheap superset of the critical battery and charger rules (domain.md, "Safety"): the rules decide, this only chooses
the faster lane. Limits that the car stated at the session's start (`bms_limits`) come first, the defaults second.
"""

from mqtt_bridge.messages import BmsLimits, ChargerTelemetry

TEMP_LIMIT_C = 70.0
SPREAD_C = 20.0
CELL_LIMIT_V = {"ncm": 4.30, "lfp": 3.75, "unknown": 4.30}
INSULATION_OHM_PER_V = 100.0
GUN_TEMP_C = 100.0
CABINET_TEMP_C = 85.0
CRITICAL_FLAGS = frozenset({"over_current", "over_temp", "insulation"})
FLOWING_A = 1.0


def is_critical(sample: ChargerTelemetry, limits: BmsLimits | None = None) -> bool:
    """Whether a sample goes down the safety lane too."""
    if sample.gun_temp_c >= GUN_TEMP_C:
        return True
    if sample.cabinet_temp_c is not None and sample.cabinet_temp_c >= CABINET_TEMP_C:
        return True
    if sample.insulation_ohm_per_v is not None and sample.insulation_ohm_per_v <= INSULATION_OHM_PER_V:
        return True
    bms = sample.bms
    if bms is None:
        return False
    temp_limit = limits.temp_limit_c if limits is not None else TEMP_LIMIT_C
    if bms.temp_max_c >= temp_limit or bms.temp_max_c - bms.temp_min_c >= SPREAD_C:
        return True
    cell_limit = limits.cell_v_limit if limits is not None else CELL_LIMIT_V["unknown"]
    if bms.cell_v_max > cell_limit:
        return True
    if not bms.flags:
        return False
    flags = set(bms.flags)
    return bool(flags & CRITICAL_FLAGS) or ("charge_forbidden" in flags and abs(sample.current_a) >= FLOWING_A)
