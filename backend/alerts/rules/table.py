"""The safety table as data: one row per rule (domain.md, "Safety")."""

from backend.alerts.rules.model import Action, Level, Measure, Rule, Source, Threshold, Word

DC = frozenset({"dc"})
FIRE: tuple[Action, ...] = (
    "open_incident",
    "hold_station",
    "stop_area",
    "lower_locks",
    "page_staff",
    "make_task",
    "tell_residents",
)
BATTERY: dict[Level, tuple[Action, ...]] = {
    "warning": ("tell_resident",),
    "critical": ("stop_session", "open_incident", "page_staff", "tell_resident"),
}
CHARGER: dict[Level, tuple[Action, ...]] = {
    "warning": ("make_task",),
    "critical": ("stop_session", "tell_resident", "make_task"),
}
TASK: dict[Level, tuple[Action, ...]] = {"warning": ("make_task",)}


def _said(
    code: str,
    source: Source,
    level: Level,
    words: tuple[str, ...],
    clears: tuple[str, ...] = (),
    actions: tuple[Action, ...] = (),
) -> Rule:
    return Rule(code, source, Word(frozenset(words), level, frozenset(clears)), {level: actions})


def _flag(name: str) -> Rule:
    return Rule(f"bms_{name}", "battery", Measure(f"flag:{name}", critical=Threshold(1), kinds=DC), actions=BATTERY)


SMOKE_RULES: tuple[Rule, ...] = (
    _said("smoke_alarm", "smoke", "critical", ("alarm",), ("alarm_cleared", "normal"), FIRE),
    _said("smoke_tampered", "smoke", "warning", ("tampered",), ("normal",), ("make_task",)),
    _said("smoke_removed", "smoke", "warning", ("removed",), ("normal",), ("make_task",)),
    _said("smoke_fault", "smoke", "warning", ("fault",), ("normal",), ("make_task",)),
    _said("smoke_low_battery", "smoke", "warning", ("low_battery",), (), ("make_task",)),
    _said("smoke_test", "smoke", "info", ("test",), ("normal",), ()),
)

CAMERA_RULES: tuple[Rule, ...] = (
    _said("camera_fire", "camera", "critical", ("smoke", "flame"), (), FIRE),
    _said("person_in_danger", "camera", "info", ("person",), (), ()),
)

LOCK_RULES: tuple[Rule, ...] = (
    _said("lock_forced", "lock", "warning", ("forced",), (), ("make_task",)),
    _said("lock_raise_error", "lock", "warning", ("raise_error",), (), ("make_task",)),
    _said("lock_lower_error", "lock", "warning", ("lower_error",), (), ("make_task",)),
    _said("lock_low_battery", "lock", "warning", ("low_battery",), (), ("make_task",)),
    _said("lock_error", "lock", "warning", ("error",), (), ("make_task",)),
    _said("lock_no_answer", "lock", "warning", ("no_answer",), (), ("make_task",)),
)

CHARGER_WORDS: tuple[Rule, ...] = (
    _said("emergency_stop", "charger", "critical", ("emergency_stop",), ("fault_cleared",), CHARGER["critical"]),
    _said("leakage", "charger", "critical", ("leakage",), ("fault_cleared",), CHARGER["critical"]),
    _said(
        "charger_over_temperature",
        "charger",
        "critical",
        ("over_temperature",),
        ("fault_cleared",),
        CHARGER["critical"],
    ),
    _said("bms_alarm", "battery", "critical", ("bms_alarm",), ("fault_cleared",), BATTERY["critical"]),
    _said("charger_fault", "charger", "warning", ("fault",), ("fault_cleared",), ("make_task",)),
    _said("charger_power_lost", "charger", "warning", ("power_lost",), ("power_back",), ("make_task",)),
)

DEVICE_RULES: tuple[Rule, ...] = (
    _said("device_silent", "device", "warning", ("silent",), ("back",), ("make_task",)),
    _said("blocked_bay", "bay", "warning", ("fuel", "foreign", "unreadable"), ("free",), ("make_task",)),
)

SAMPLE_RULES: tuple[Rule, ...] = (
    Rule(
        "battery_temp_high",
        "battery",
        Measure(
            "temp_max_c",
            warning=Threshold(60, car_limit="temp_limit_c", offset=-5),
            critical=Threshold(70, car_limit="temp_limit_c"),
            clear_by=2,
            kinds=DC,
        ),
        BATTERY,
    ),
    Rule(
        "battery_temp_slope",
        "battery",
        Measure(
            "temp_slope_c_per_min",
            warning=Threshold(3),
            critical=Threshold(5),
            critical_only_if=("temp_max_c", 45),
            clear_by=1,
            kinds=DC,
        ),
        BATTERY,
    ),
    Rule(
        "battery_temp_jump",
        "battery",
        Measure("temp_jump_c_per_s", critical=Threshold(1), clear_by=0.5, kinds=DC),
        BATTERY,
    ),
    Rule(
        "battery_temp_spread",
        "battery",
        Measure("temp_spread_c", warning=Threshold(15), critical=Threshold(20), clear_by=2, kinds=DC),
        BATTERY,
    ),
    Rule(
        "cell_voltage_high",
        "battery",
        Measure(
            "cell_v_max",
            warning=Threshold(4.25, car_limit="cell_v_limit", by_chemistry={"ncm": 4.25, "lfp": 3.65}),
            critical=Threshold(4.30, car_limit="cell_v_limit", offset=0.05, by_chemistry={"ncm": 4.30, "lfp": 3.75}),
            bad="above",
            clear_by=0.02,
            kinds=DC,
        ),
        BATTERY,
    ),
    _flag("over_current"),
    _flag("over_temp"),
    _flag("insulation"),
    Rule(
        "charge_forbidden",
        "battery",
        Measure("forbidden_current_a", critical=Threshold(1), kinds=DC),
        BATTERY,
    ),
    Rule(
        "soc_jump",
        "battery",
        Measure("soc_jump_pct", warning=Threshold(15), bad="above", persistence=1, kinds=DC),
        BATTERY,
    ),
    Rule(
        "insulation_low",
        "charger",
        Measure(
            "insulation_ohm_per_v",
            warning=Threshold(500),
            critical=Threshold(100),
            bad="at_or_below",
            clear_by=50,
            kinds=DC,
        ),
        CHARGER,
    ),
    Rule(
        "gun_temp_high",
        "charger",
        Measure("gun_temp_c", warning=Threshold(85), critical=Threshold(100), clear_by=5),
        CHARGER,
    ),
    Rule(
        "cabinet_temp_high",
        "charger",
        Measure("cabinet_temp_c", warning=Threshold(70), critical=Threshold(85), clear_by=5),
        CHARGER,
    ),
    Rule("meter_frozen", "charger", Measure("meter_frozen_s", warning=Threshold(60), critical=Threshold(120)), CHARGER),
    Rule(
        "energy_above_battery",
        "charger",
        Measure("energy_per_battery", critical=Threshold(1.1), bad="above", kinds=DC),
        CHARGER,
    ),
    Rule(
        "charge_slow",
        "charger",
        Measure("below_offer_s", warning=Threshold(600), mild="info"),
        {"info": ("tell_resident",)},
    ),
    Rule("sensor_impossible", "sensor", Measure("impossible_values", warning=Threshold(1)), TASK),
    Rule("sensor_stuck", "sensor", Measure("stuck_s", warning=Threshold(600), kinds=DC), TASK),
    Rule("battery_data_missing", "sensor", Measure("bms_missing", warning=Threshold(1), persistence=3, kinds=DC), TASK),
)

ALL_RULES: tuple[Rule, ...] = (
    *SMOKE_RULES,
    *CAMERA_RULES,
    *LOCK_RULES,
    *CHARGER_WORDS,
    *DEVICE_RULES,
    *SAMPLE_RULES,
)
BY_CODE: dict[str, Rule] = {rule.code: rule for rule in ALL_RULES}


def rule_for_word(rules: tuple[Rule, ...], word: str) -> Rule | None:
    """The rule of a group that a device's word raises, or None."""
    for rule in rules:
        if isinstance(rule.when, Word) and word in rule.when.words:
            return rule
    return None


def rules_cleared_by(rules: tuple[Rule, ...], word: str) -> list[Rule]:
    """The rules of a group that a device's word ends."""
    return [rule for rule in rules if isinstance(rule.when, Word) and word in rule.when.clears]
