"""When a ground lock goes down and when it may come up: a state machine without I/O.

The one thing that must never happen is a lock that rises under a car. So only `RaiseDue` can lead to `SendRaise`,
and only while every condition of `reasons_against_raising` holds at that very moment: the lock online, its own
sensor sure that there is no car, no camera that sees one, all of that without a break for the station's delay,
nobody expected, and no safety hold (domain.md "Booking"). A car that appears while a raise is under way turns it
round. Lowering is always safe: it is sent at once and repeated. The lock itself refuses a raise under a car too;
that refusal is believed over our own view.

Instants are when we learnt of something, never a device's own time: a late message can only delay a raise.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID

Position = Literal["up", "down", "moving", "error", "unknown"]
Target = Literal["up", "down"]
MAX_ATTEMPTS = 3
"""How often a command without an answer is sent before it is reported as failed."""


@dataclass(frozen=True, kw_only=True)
class Lock:
    """What is known of a lock and its bay, and what we are doing to it.

    `car` is the lock's own sensor, `camera` the bay camera: True a car, False none, None unknown. `empty_since` is when
    the bay was first known to be empty without a break since. `target` is what a command under way is to reach.
    """

    position: Position = "unknown"
    car: bool | None = None
    camera: bool | None = None
    online: bool = False
    empty_since: datetime | None = None
    target: Target | None = None
    command_id: UUID | None = None
    attempts: int = 0
    raise_due_at: datetime | None = None
    keep_down_until: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class Reported:
    """The lock said how it is. Offline: only its absence is news."""

    at: datetime
    position: Position
    car: bool | None
    online: bool


@dataclass(frozen=True, kw_only=True)
class WentSilent:
    """Nothing is heard of the lock any more: what stands above it is unknown from now."""

    at: datetime


@dataclass(frozen=True, kw_only=True)
class CameraSaw:
    """The bay camera saw a car, saw none, or cannot tell (None)."""

    at: datetime
    car: bool | None


@dataclass(frozen=True, kw_only=True)
class LowerWanted:
    """Somebody may drive in; the lock stays down at least until `keep_down_until`."""

    at: datetime
    keep_down_until: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class RaiseWanted:
    """Nobody is expected any more (or a hold was lifted): the lock may rise as soon as the rules allow."""

    at: datetime


@dataclass(frozen=True, kw_only=True)
class RaiseDue:
    """The timer of a raise rang; `held` is the station's safety hold, read under its lock in the same transaction."""

    at: datetime
    held: bool


@dataclass(frozen=True, kw_only=True)
class Acknowledged:
    """The lock answered a command."""

    at: datetime
    command_id: UUID
    ok: bool
    error: str | None = None


@dataclass(frozen=True, kw_only=True)
class TimedOut:
    """The lock did not answer a command in time, or the command could not be sent."""

    at: datetime
    command_id: UUID


@dataclass(frozen=True, kw_only=True)
class Complained:
    """The lock's own word: `refused_car` (it felt a car while rising), `raise_error`, `lower_error`, `forced`."""

    at: datetime
    code: Literal["refused_car", "raise_error", "lower_error", "forced"]


LockInput = (
    Reported | WentSilent | CameraSaw | LowerWanted | RaiseWanted | RaiseDue | Acknowledged | TimedOut | Complained
)


@dataclass(frozen=True, kw_only=True)
class SendLower:
    """Send `lower`; `attempt` counts from 1."""

    attempt: int


@dataclass(frozen=True, kw_only=True)
class SendRaise:
    """Send `raise`."""

    attempt: int


@dataclass(frozen=True, kw_only=True)
class CheckRaiseAt:
    """Ring `RaiseDue` at `due_at`."""

    due_at: datetime


@dataclass(frozen=True, kw_only=True)
class ReportFailure:
    """The lock does not do what it should; a person must look."""

    error: str


@dataclass(frozen=True, kw_only=True)
class NoteBlocked:
    """A raise was due and did not happen, for these reasons (safety log)."""

    reasons: tuple[str, ...]


LockIntent = SendLower | SendRaise | CheckRaiseAt | ReportFailure | NoteBlocked


def known_empty(lock: Lock) -> bool:
    """Say whether the bay is known to be empty: the lock is online and sure of it, and no camera sees a car."""
    return lock.online and lock.car is False and lock.camera is not True


def reasons_against_raising(lock: Lock, *, at: datetime, held: bool, delay: timedelta) -> tuple[str, ...]:
    """Return every reason why the lock may not rise at `at`; only an empty answer allows it."""
    found = {
        "safety_hold": held,
        "offline": not lock.online,
        "car": lock.car is True or lock.camera is True,
        "sensor_unknown": lock.car is None,
        "not_down": lock.position != "down",
        "command_under_way": lock.target is not None,
        "not_empty_long_enough": lock.empty_since is None or at < lock.empty_since + delay,
        "somebody_expected": lock.keep_down_until is not None and at < lock.keep_down_until,
    }
    return tuple(reason for reason, holds in found.items() if holds)


def step(lock: Lock, event: LockInput, *, delay: timedelta) -> tuple[Lock, tuple[LockIntent, ...]]:
    """Return the lock after `event` and what is to be done; `delay` is how long a bay must be empty before a raise."""
    match event:
        case Reported() | WentSilent() | CameraSaw():
            return _observe(lock, event, delay)
        case LowerWanted():
            return _lower(lock, event.keep_down_until)
        case RaiseWanted():
            return _plan_raise(replace(lock, keep_down_until=None), event.at, delay)
        case RaiseDue():
            return _raise_if_allowed(lock, event, delay)
        case Acknowledged():
            return _acknowledged(lock, event, delay)
        case TimedOut():
            if event.command_id != lock.command_id:
                return lock, ()
            return _not_done(lock, event.at, "no_answer", delay)
        case Complained():
            return _complained(lock, event, delay)


def _observe(
    lock: Lock, event: Reported | WentSilent | CameraSaw, delay: timedelta
) -> tuple[Lock, tuple[LockIntent, ...]]:
    match event:
        case Reported(online=True):
            seen = replace(lock, position=event.position, car=event.car, online=True)
            if not lock.online:
                seen = replace(seen, empty_since=None)  # what passed while it was offline is unknown
        case CameraSaw():
            seen = replace(lock, camera=event.car)
        case _:
            seen = replace(lock, car=None, online=False)
    if not known_empty(seen):
        seen = replace(seen, empty_since=None, raise_due_at=None)
    elif seen.empty_since is None:
        seen = replace(seen, empty_since=event.at)
    car_is_here = seen.car is True or seen.camera is True
    if car_is_here:
        seen = replace(seen, keep_down_until=None)  # the one who was expected
    unanswered_raise = seen.target is None and seen.attempts > 0  # it may still be carried out until it expires
    if (seen.target == "up" and not known_empty(seen)) or (car_is_here and unanswered_raise):
        return _send_lower(seen, attempt=1)
    if isinstance(event, Reported) and event.online and seen.target is not None and seen.position == seen.target:
        seen = replace(seen, target=None, command_id=None, attempts=0)  # done, even if the answer was lost
    return _plan_raise(seen, event.at, delay)


def _plan_raise(lock: Lock, at: datetime, delay: timedelta) -> tuple[Lock, tuple[LockIntent, ...]]:
    """Set the timer for the first moment the rules may allow a raise, once."""
    if lock.empty_since is None or lock.position != "down" or lock.target == "up":
        return lock, ()
    due_at = max(lock.empty_since + delay, lock.keep_down_until or at, at)
    if lock.raise_due_at is not None and lock.raise_due_at <= due_at:
        return lock, ()
    return replace(lock, raise_due_at=due_at), (CheckRaiseAt(due_at=due_at),)


def _lower(lock: Lock, keep_down_until: datetime | None) -> tuple[Lock, tuple[LockIntent, ...]]:
    if lock.car is True or lock.camera is True:
        latest = None  # whoever it is opened for is here; once the bay is empty nobody is expected
    else:
        latest = max((t for t in (lock.keep_down_until, keep_down_until) if t is not None), default=None)
    return _send_lower(replace(lock, keep_down_until=latest), attempt=1)


def _send_lower(lock: Lock, *, attempt: int) -> tuple[Lock, tuple[LockIntent, ...]]:
    lowering = replace(lock, target="down", command_id=None, attempts=attempt, raise_due_at=None)
    return lowering, (SendLower(attempt=attempt),)


def _raise_if_allowed(lock: Lock, event: RaiseDue, delay: timedelta) -> tuple[Lock, tuple[LockIntent, ...]]:
    if lock.raise_due_at is None or event.at < lock.raise_due_at:
        return lock, ()  # a timer of an earlier plan
    lock = replace(lock, raise_due_at=None)
    if lock.position == "up":
        return lock, ()
    if reasons := reasons_against_raising(lock, at=event.at, held=event.held, delay=delay):
        if set(reasons) <= {"not_empty_long_enough", "somebody_expected"}:
            return _plan_raise(lock, event.at, delay)
        return lock, (NoteBlocked(reasons=reasons),)
    attempt = lock.attempts + 1
    return replace(lock, target="up", command_id=None, attempts=attempt), (SendRaise(attempt=attempt),)


def _acknowledged(lock: Lock, event: Acknowledged, delay: timedelta) -> tuple[Lock, tuple[LockIntent, ...]]:
    if event.command_id != lock.command_id or lock.target is None:
        return lock, ()  # an answer to a command that was overtaken
    if event.ok:
        reached = replace(lock, position=lock.target, target=None, command_id=None, attempts=0)
        return _plan_raise(reached, event.at, delay)
    if lock.target == "up" and event.error == "car":
        return _believe_car(lock), (NoteBlocked(reasons=("refused_car",)),)
    return _not_done(lock, event.at, event.error or "refused", delay)


def _believe_car(lock: Lock) -> Lock:
    """The lock felt a car that we did not know of: nothing rises until it has reported an empty bay again."""
    return replace(
        lock,
        car=True,
        empty_since=None,
        raise_due_at=None,
        target=None,
        command_id=None,
        attempts=0,
        keep_down_until=None,
    )


def _not_done(lock: Lock, at: datetime, error: str, delay: timedelta) -> tuple[Lock, tuple[LockIntent, ...]]:
    """Lower again at once; plan a raise anew from the beginning, so that everything is checked again; then give up."""
    attempts = lock.attempts
    if lock.target == "down" and attempts < MAX_ATTEMPTS:
        return _send_lower(lock, attempt=attempts + 1)
    target, idle = lock.target, replace(lock, target=None, command_id=None)
    if attempts >= MAX_ATTEMPTS:
        return replace(idle, attempts=0, raise_due_at=None), (ReportFailure(error=f"{target}: {error}"),)
    if idle.empty_since is not None:
        idle = replace(idle, empty_since=at)
    return _plan_raise(idle, at, delay)


def _complained(lock: Lock, event: Complained, delay: timedelta) -> tuple[Lock, tuple[LockIntent, ...]]:
    if event.code == "refused_car":
        if lock.target == "down":
            return replace(lock, car=True, empty_since=None, raise_due_at=None), ()
        return _believe_car(lock), (NoteBlocked(reasons=("refused_car",)),)
    if event.code == "lower_error" and lock.target == "down":
        return _not_done(lock, event.at, "lower_error", delay)
    if event.code == "raise_error" and lock.target == "up":
        stuck = replace(lock, position="error", target=None, command_id=None, attempts=0, raise_due_at=None)
        return stuck, (ReportFailure(error="up: raise_error"),)
    return lock, ()
