"""When a message was made, by a device's clock that may be off, stuck or absurd.

Contract (mqtt.md): `ts` more than 60 s off the known clock offset of the device is flagged and replaced by arrival time
for billing. A message that waited in the device's buffer is late, not wrong: its `ts` lies between the device's last
message and its arrival. A new offset is believed when messages over at least 20 s agree on it to 2 s; what drains from
a buffer in one burst cannot do that.
"""

from datetime import datetime, timedelta
from typing import NamedTuple

PLAUSIBLE_MS = 60_000
TRUSTED_MS = 1_000
"""A clock this near to ours is believed as it is: what differs is the message's way here, not the clock, and a bill
interpolated at a band edge must not move with the network.
"""
LONGEST_BUFFERED_MS = 7 * 86_400_000
AGREE_MS = 2_000
AGREE_COUNT = 3
AGREE_OVER_MS = 20_000
BURST_MS = 5_000
SMOOTHING = 16


class ClockState(NamedTuple):
    """`offset_ms`: device clock minus true time, None until known. `candidate_*`: one that has to prove itself.

    `last_*`: of the newest message, when it was made and when it arrived.
    """

    offset_ms: int | None = None
    candidate_ms: int | None = None
    candidate_count: int = 0
    candidate_at: datetime | None = None
    last_occurred_at: datetime | None = None
    last_received_at: datetime | None = None


class Placed(NamedTuple):
    """When a message was made in true time, and whether that is only its arrival because the clock was implausible."""

    occurred_at: datetime
    flagged: bool
    clock: ClockState


def place(*, clock: ClockState, ts: datetime | None, received_at: datetime, newest: bool) -> Placed:
    """Decide when a message was made. Only a message newer than all before it (`newest`) teaches about the clock."""
    if ts is None:
        return Placed(received_at, True, _remember(clock, received_at, received_at) if newest else clock)
    difference_ms = _ms(ts - received_at)
    offset_ms = clock.offset_ms or 0
    delay_ms = (0 if abs(offset_ms) <= TRUSTED_MS else offset_ms) - difference_ms
    if abs(delay_ms) <= PLAUSIBLE_MS:
        # The device's own instant, to the microsecond: a bill must not move with the network's delay.
        occurred_at = ts - timedelta(milliseconds=0 if abs(offset_ms) <= TRUSTED_MS else offset_ms)
        if occurred_at > received_at + timedelta(milliseconds=TRUSTED_MS):
            occurred_at = received_at
        flagged = False
        if clock.offset_ms is None or abs(difference_ms - clock.offset_ms) <= TRUSTED_MS:
            learned = ClockState(offset_ms=_smooth(clock.offset_ms, difference_ms))
        else:
            # Seconds late: it waited in a queue (bridge or broker away), or the clock was set. Only time tells.
            learned = _weigh(clock, difference_ms, received_at)
    else:
        overtaken = not newest and _is_wrong_alike(clock, difference_ms)
        flagged = overtaken or not _was_buffered(clock, delay_ms, received_at, newest)
        occurred_at = received_at if flagged else received_at - timedelta(milliseconds=delay_ms)
        learned = _weigh(clock, difference_ms, received_at)
    return Placed(occurred_at, flagged, _remember(learned, occurred_at, received_at) if newest else clock)


def _remember(clock: ClockState, occurred_at: datetime, received_at: datetime) -> ClockState:
    return clock._replace(last_occurred_at=occurred_at, last_received_at=received_at)


def _smooth(offset_ms: int | None, difference_ms: int) -> int:
    return difference_ms if offset_ms is None else offset_ms + round((difference_ms - offset_ms) / SMOOTHING)


def _was_buffered(clock: ClockState, delay_ms: int, received_at: datetime, newest: bool) -> bool:
    """Whether a late message may have waited in the device: made after its last one, by a clock that moves.

    A stuck clock repeats itself while time goes on; messages of one moment come together, in one burst.
    """
    if not 0 < delay_ms <= LONGEST_BUFFERED_MS or clock.last_occurred_at is None or clock.last_received_at is None:
        return False
    made_at = received_at - timedelta(milliseconds=delay_ms)
    if not newest:
        return made_at <= clock.last_occurred_at + timedelta(milliseconds=PLAUSIBLE_MS)
    in_burst = received_at - clock.last_received_at <= timedelta(milliseconds=BURST_MS)
    return made_at > clock.last_occurred_at - timedelta(milliseconds=1000 if in_burst else 0)


def _is_wrong_alike(clock: ClockState, difference_ms: int) -> bool:
    """Whether a message is as far off as the newest one, which was only placed by its arrival.

    The newest has overtaken it in the other lane: it was made just now as well, by the same wrong clock.
    """
    placed_by_arrival = clock.last_occurred_at is not None and clock.last_occurred_at == clock.last_received_at
    return placed_by_arrival and clock.candidate_ms is not None and abs(difference_ms - clock.candidate_ms) <= AGREE_MS


def _weigh(clock: ClockState, difference_ms: int, received_at: datetime) -> ClockState:
    """Count a message for the candidate offset, or make it the new candidate; enough of them over time are believed."""
    if clock.candidate_ms is None or clock.candidate_at is None or abs(difference_ms - clock.candidate_ms) > AGREE_MS:
        return clock._replace(candidate_ms=difference_ms, candidate_count=1, candidate_at=received_at)
    count = min(clock.candidate_count + 1, 1000)
    if count >= AGREE_COUNT and _ms(received_at - clock.candidate_at) >= AGREE_OVER_MS:
        return ClockState(offset_ms=difference_ms)
    return clock._replace(candidate_count=count)


def _ms(duration: timedelta) -> int:
    return duration // timedelta(milliseconds=1)
