"""When an ordinary message may make a phone sound: not in a person's quiet hours. Safety ignores all of this."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

BEIJING = ZoneInfo("Asia/Shanghai")
DAY_MIN = 24 * 60
QUIET_FROM_MIN = 23 * 60
QUIET_TO_MIN = 7 * 60

AT_ONCE = frozenset(
    {
        "bay_blocked",
        "charge_interrupted",
        "device_fault_task",
        "move_your_car",
        "overstay_started",
        "overstay_warning",
        "queue_offer",
        "task_assigned",
        "wait_fallback",
    }
)
"""What somebody waits for, stands in the way of, pays for by the minute, or works on: it cannot wait until morning."""

SUBSCRIBABLE = frozenset(
    {
        "charge_interrupted",
        "charge_target_reached",
        "order_ready",
        "overstay_warning",
        "queue_offer",
        "refund_done",
        "reservation_cancelled",
        "reservation_confirmed",
        "reservation_relocated",
        "session_ended",
    }
)
"""What the mini-program may ask consent for; never a safety message, because one consent is good for one message."""


@dataclass(frozen=True)
class Preferences:
    """What a person wants beside the inbox; `quiet_from_min` equal to `quiet_to_min` means no quiet hours."""

    push: bool = True
    wechat: bool = True
    quiet_from_min: int = QUIET_FROM_MIN
    quiet_to_min: int = QUIET_TO_MIN


def sound_at(*, template: str, preferences: Preferences, now: datetime) -> datetime:
    """Return when a message may sound: now, or the end of the quiet hours it falls into (Beijing wall clock)."""
    start, end = preferences.quiet_from_min, preferences.quiet_to_min
    local = now.astimezone(BEIJING)
    minute = local.hour * 60 + local.minute
    quiet = start <= minute < end if start <= end else minute >= start or minute < end
    if template in AT_ONCE or start == end or not quiet:
        return now
    ahead = (end - minute) % DAY_MIN or DAY_MIN
    return local.replace(second=0, microsecond=0).astimezone(now.tzinfo) + timedelta(minutes=ahead)
