"""What a rule's code means to people: Chinese and English in one short text, for messages, tasks and the board."""

REASONS: dict[str, str] = {
    "battery_data_missing": "电池数据缺失 battery data missing",
    "battery_temp_high": "电池过温 battery over-temperature",
    "battery_temp_jump": "电池温度骤升 battery temperature leap",
    "battery_temp_slope": "电池升温过快 battery heating fast",
    "battery_temp_spread": "电池温差过大 battery temperature spread",
    "blocked_bay": "车位被占 bay blocked",
    "bms_alarm": "BMS报警 BMS alarm",
    "bms_insulation": "电池绝缘异常 battery insulation",
    "bms_over_current": "电池过流 battery over-current",
    "bms_over_temp": "BMS过温 BMS over-temperature",
    "cabinet_temp_high": "桩体过温 cabinet over-temperature",
    "camera_fire": "摄像头发现烟火 camera sees smoke or flame",
    "cell_voltage_high": "单体电压过高 cell over-voltage",
    "charge_forbidden": "禁止充电时仍有电流 current while charging is forbidden",
    "charge_slow": "功率低于可用功率的一半 below half of the offered power",
    "charger_fault": "充电桩故障 charger fault",
    "charger_over_temperature": "充电桩过温 charger over-temperature",
    "charger_power_lost": "充电桩断电 charger without power",
    "device_silent": "设备失联 device silent",
    "emergency_stop": "急停按下 emergency stop",
    "energy_above_battery": "充电量超过电池容量 more energy than the battery holds",
    "gun_temp_high": "枪头过温 connector over-temperature",
    "insulation_low": "绝缘电阻低 low insulation",
    "leakage": "漏电 leakage",
    "lock_error": "地锁故障 lock in error",
    "lock_forced": "地锁被强行破坏 lock forced",
    "lock_low_battery": "地锁电量低 lock battery low",
    "lock_lower_error": "地锁降落故障 lock does not lower",
    "lock_no_answer": "地锁无应答 lock does not answer",
    "lock_raise_error": "地锁升起故障 lock does not rise",
    "meter_frozen": "电表停走 meter frozen",
    "person_in_danger": "险区有人 person in the danger area",
    "sensor_impossible": "传感器数值异常 impossible sensor value",
    "sensor_stuck": "传感器卡滞 sensor stuck",
    "smoke_alarm": "烟感报警 smoke alarm",
    "smoke_fault": "烟感故障 smoke detector fault",
    "smoke_low_battery": "烟感电量低 smoke detector battery low",
    "smoke_removed": "烟感被移除 smoke detector removed",
    "smoke_tampered": "烟感被拆动 smoke detector tampered",
    "soc_jump": "SOC跳变 state of charge leaps",
}


def reason_of(code: str) -> str:
    """What people read for a rule's code."""
    return REASONS.get(code, code)
