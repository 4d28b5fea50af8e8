"""Why a charge ended or never began, as people read it: Chinese and English in one short text."""

REASONS: dict[str, str] = {
    "car_full": "已充满 battery full",
    "emergency_stop": "急停按下 emergency stop",
    "expired": "指令超时 command expired",
    "fault": "设备故障 charger fault",
    "interrupted": "充电连接中断 connection lost",
    "late_start": "启动过晚 started too late",
    "leakage": "漏电保护 leakage protection",
    "no_answer": "充电桩无应答 charger did not answer",
    "over_temperature": "温度过高 over-temperature",
    "power_lost": "停电 power cut",
    "resident": "您已停止 stopped by you",
    "staff": "工作人员停止 stopped by staff",
    "target": "已达目标 target reached",
    "time_over": "预约时间结束 time is over",
    "unplugged": "已拔枪 unplugged",
}

INTERRUPTIONS = frozenset(
    {"emergency_stop", "fault", "interrupted", "late_start", "leakage", "over_temperature", "power_lost"}
)
"""Ends that the resident did not ask for."""


def reason_of(reason: str) -> str:
    """What people read for the reason of an end; an unknown one as the charger wrote it."""
    return REASONS.get(reason, reason)


def end_template(reason: str) -> str:
    """Which message tells the resident of an end."""
    if reason in INTERRUPTIONS:
        return "charge_interrupted"
    return "charge_target_reached" if reason == "target" else "session_ended"


def kwh(energy_wh: int) -> str:
    """Energy as people read it, kWh with two decimals."""
    return f"{energy_wh // 1000}.{energy_wh % 1000 // 10:02d}"


def yuan(amount_fen: int) -> str:
    """Money as people read it."""
    return f"{amount_fen // 100}.{amount_fen % 100:02d}"
