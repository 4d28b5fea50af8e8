"""Texts of bookings, queues, bays and zones; `texts` puts them to the others. Keep them in alphabetical order."""

BOOKING_TEXTS: dict[str, tuple[str, str, str, str]] = {
    "bay_report_confirmed": (
        "感谢您的报告",
        "{station}：已处理{bay}号车位的占位情况，感谢您的报告。",
        "Thank you for the report",
        "{station}: our staff dealt with the car in bay {bay}. Thank you.",
    ),
    "bay_report_false": (
        "报告未能核实",
        "{station}：工作人员到场后未发现{bay}号车位被占用。多次不实报告将暂停报告功能。",
        "Nothing was found",
        "{station}: our staff found no wrong car in bay {bay}. Repeated false reports stop further ones.",
    ),
    "bay_reported": (
        "居民报告车位被占",
        "{station}：居民报告{bay}号车位被其他车辆占用，请前往处理。",
        "A bay is reported blocked",
        "{station}: a resident reports another car in bay {bay}. Please go there.",
    ),
    "booking_suspended": (
        "预约功能已暂停",
        "因多次未按预约到场，预约功能暂停至{until}。如有异议可向服务商申诉。",
        "Booking is suspended",
        "After repeated no-shows you may book again from {until}. You can appeal to the operator.",
    ),
    "fallback_compensation": (
        "我们未能守时",
        "{station}：等候超过5分钟，已为您减免{total_yuan}元，将在下次账单中抵扣。",
        "We broke our promise",
        "{station}: you wait more than 5 minutes. {total_yuan} yuan come off your next bill.",
    ),
    "fallback_other_station": (
        "附近有空位",
        "{station}已为您保留充电车位，请在{minutes}分钟内确认。",
        "A place nearby is free",
        "{station} keeps a place for you. Answer within {minutes} minutes.",
    ),
    "queue_offer": (
        "轮到您了",
        "{station} {connector}号枪已空出，请在{seconds}秒内确认。",
        "It is your turn",
        "{station}: connector {connector} is free. Accept within {seconds} seconds.",
    ),
    "reservation_agreement_ended": (
        "预约已取消：{station}",
        "惠民充电协议已终止，此后的预约已取消，不计爽约。",
        "Booking cancelled: {station}",
        "Your agreement ended, so this booking was given back. It does not count as a no-show.",
    ),
    "reservation_failed": (
        "预约无法履行",
        "很抱歉，{station} {starts}的预约因我方原因无法履行，将给予补偿。",
        "We cannot keep your booking",
        "Sorry: {station}, {starts} cannot be kept through our fault. You will be compensated.",
    ),
    "reservation_hold_ends": (
        "车位即将释放",
        "{station}：您的预约车位将在{minutes}分钟后释放，请尽快到场。",
        "Your place is given back soon",
        "{station}: your booking is held for {minutes} more minutes.",
    ),
    "reservation_keeps_bay": (
        "预约车位不变",
        "{station}：{bay}号车位将调整分区，您{starts}的预约不受影响，仍使用该车位。",
        "Your booking keeps its bay",
        "{station}: bay {bay} changes its zone; your booking of {starts} keeps the bay until it is done.",
    ),
    "reservation_no_show": (
        "预约已过期",
        "{station} {starts}的预约未按时到达，已释放。",
        "Booking released",
        "You did not arrive for {station}, {starts}; the slot was released.",
    ),
    "reservation_relocated": (
        "预约已调整",
        "您的预约已调整至{station}，车位{bay}，{starts}。",
        "Booking moved",
        "Your booking moved to {station}, bay {bay}, {starts}.",
    ),
    "reservation_reminder": (
        "预约提醒",
        "{station} {starts}，车位{bay}，请按时到达；如不需要请取消。",
        "Your booking begins soon",
        "{station}, {starts}, bay {bay}. Cancel it if you do not need it.",
    ),
    "reservation_unused": (
        "预约已结束",
        "{station} {starts}的预约未充电，车位已释放，不计爽约。",
        "Booking ended without a charge",
        "{station}, {starts}: you did not charge, so the place was given back. It is no no-show.",
    ),
    "suspension_lifted": (
        "预约功能已恢复",
        "您的申诉已处理，预约功能已恢复。",
        "You can book again",
        "The suspension of your bookings was lifted.",
    ),
    "suspension_upheld": (
        "申诉未通过",
        "您的申诉未通过，预约功能将按期恢复。",
        "The suspension stays",
        "Your appeal was looked at; the suspension ends as announced.",
    ),
    "zone_change_cancelled": (
        "车位分区调整已取消",
        "{station}：{bay}号车位原定{starts}的分区调整已取消。",
        "A zone change was cancelled",
        "{station}: bay {bay} stays in its zone; the change of {starts} was cancelled.",
    ),
    "zone_change_to_public": (
        "车位分区调整通知",
        "{station}：{bay}号车位自{starts}起由居民预约专区改为社会充电专区。",
        "A bay changes its zone",
        "{station}: from {starts} bay {bay} is in the public zone, no longer in the residents' one.",
    ),
    "zone_change_to_resident": (
        "车位分区调整通知",
        "{station}：{bay}号车位自{starts}起由社会充电专区改为居民预约专区，可预约。",
        "A bay changes its zone",
        "{station}: from {starts} bay {bay} is in the residents' zone and can be booked.",
    ),
}
"""Name: title and body in Chinese, title and body in English."""
