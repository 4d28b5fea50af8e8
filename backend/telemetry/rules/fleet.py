"""How a device does: one word for the fleet view, and what is to be put right."""

from typing import Literal

Health = Literal["ok", "troubled", "silent", "offline", "never_heard", "revoked", "retired"]
Problem = Literal["clock_off", "losing_messages", "low_battery"]

CLOCK_OFF_MS = 60_000
"""Beyond it the device's own times are flagged (mqtt.md); a corrected clock is a fault to repair all the same."""
LOSS_PER_MILLE = 10
LOSS_SURE = 100
"""Messages of which loss is judged: one gap among ten says nothing."""
LOW_BATTERY_PCT = 15.0


def find_problems(
    *, clock_offset_ms: int | None, lost: int, received: int, battery_pct: float | None
) -> tuple[Problem, ...]:
    """Say what is wrong with a device that speaks: its clock, its line (loss by gaps in `seq`), its battery."""
    found: list[Problem] = []
    if clock_offset_ms is not None and abs(clock_offset_ms) > CLOCK_OFF_MS:
        found.append("clock_off")
    sent = received + lost
    if sent >= LOSS_SURE and lost * 1000 > sent * LOSS_PER_MILLE:
        found.append("losing_messages")
    if battery_pct is not None and battery_pct < LOW_BATTERY_PCT:
        found.append("low_battery")
    return tuple(found)


def judge(
    *,
    access: Literal["granted", "revoked", "retired"],
    heard: bool,
    online: bool,
    silent: bool,
    problems: tuple[Problem, ...],
) -> Health:
    """Return the one word: access first, then contact (offline: its last will came), then what is wrong with it."""
    if access != "granted":
        return access
    if not heard:
        return "never_heard"
    if silent:
        return "silent"
    if not online:
        return "offline"
    return "troubled" if problems else "ok"
