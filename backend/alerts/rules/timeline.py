"""What the entries of a time line are called, for people: Chinese, as printed in the report."""

KINDS: dict[str, str] = {
    "alarm": "告警",
    "action": "措施",
    "message": "通知",
    "person": "人员",
    "escalation": "升级",
    "reading": "读数",
}
STATUS: dict[str, str] = {
    "open": "待确认",
    "acknowledged": "已确认",
    "on_site": "已到场",
    "resolved": "已解除",
    "reported": "已上报",
}
STATES: dict[str, str] = {
    "asked": "等待生效",
    "seen": "已生效",
    "failed": "未生效",
    "pending": "发送中",
    "accepted": "已送达服务商",
    "unreachable": "无可用地址",
}
CHANNELS: dict[str, str] = {"push": "推送", "sms": "短信", "voice": "语音电话", "wechat": "微信", "inbox": "站内信"}
ACTIONS: dict[str, str] = {
    "stop_session": "停止充电",
    "lower_lock": "降下地锁",
    "cut_power": "切断输出",
    "restore_power": "恢复输出",
}
WORDS: dict[str, str] = {
    "acknowledged": "确认事件",
    "action_failed": "通知人工处置",
    "all_clear": "通知险情解除",
    "all_clear_nearby": "通知周边小区险情解除",
    "battery_critical": "告知车主充电已停止",
    "battery_warning": "告知车主电池异常",
    "charge_stopped_for_safety": "告知车主充电已停止",
    "danger_nearby": "告知有预约的居民勿前往",
    "danger_neighbours": "告知周边小区居民",
    "danger_neighbours_confirmed": "告知周边小区居民火情已确认",
    "danger_stay_away": "告知有车在场的居民勿靠近",
    "devices_out_of_contact": "失联设备清点",
    "drill_page": "演练呼叫",
    "drill_started": "开始演练",
    "fire_confirmed": "第二探测器确认火情",
    "incident_escalated": "升级呼叫",
    "incident_page": "语音呼叫值守人员",
    "locks_lowered": "降下全部地锁",
    "on_site": "人员到场",
    "person_seen": "摄像头发现险区有人",
    "power_cut": "切断刷卡充电输出",
    "power_cut_failed": "切断输出失败",
    "power_restored": "恢复输出",
    "reported": "事件上报",
    "resolved": "解除事件",
    "safety_hold_lifted": "解除车站安全锁定",
    "safety_hold_set": "设置车站安全锁定",
    "session_stop_failed": "停止充电失败",
    "session_stopped": "停止充电",
    "task_made": "生成现场任务",
    "would_lower_lock": "演练：应降下地锁",
    "would_set_safety_hold": "演练：应设置安全锁定",
    "would_stop_session": "演练：应停止充电",
    "would_tell_residents": "演练：应告知居民",
}


def word_of(what: str, reasons: dict[str, str]) -> str:
    """What an entry is called; rules by their own names, actions with what became of them."""
    if what in WORDS:
        return WORDS[what]
    if what in reasons:
        return reasons[what]
    for ending, said in (
        ("_cleared", "恢复"),
        ("_seen", "已生效"),
        ("_repeated", "再次下达"),
        ("_failed", "未生效"),
    ):
        base = what.removesuffix(ending)
        if base != what:
            return f"{ACTIONS.get(base) or reasons.get(base) or base} {said}"
    return what


def how_long(seconds: float | None) -> str:
    """Return `3 分 12 秒`; a dash for what has not happened."""
    if seconds is None:
        return "—"
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    parts = [f"{hours} 小时"] if hours else []
    if hours or minutes:
        parts.append(f"{minutes} 分")
    return " ".join([*parts, f"{rest} 秒"])
