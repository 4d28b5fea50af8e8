"""The life of a charging session: what each message, silence or wish does to it.

`requested → starting → charging → ending → ended`, or `failed`. Devices answer late, twice, out of order or never, so
every signal has an answer in every state. What physically happened wins: a `session_started` is believed whatever we
expected, and a session that was given up and starts after all is stopped and billed by its meter.
"""

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Literal, TypeAlias

Status: TypeAlias = Literal["requested", "starting", "charging", "ending", "ended", "failed"]
OPEN: tuple[Status, ...] = ("requested", "starting", "charging", "ending")
"""States in which a session holds its connector and its vehicle."""

Intent: TypeAlias = Literal["send_start", "send_stop", "announce_start", "announce_end", "announce_failure"]

START_WITHIN = timedelta(minutes=3)
"""How long a resident may take to plug in, and a charger to answer, before the start is given up."""
END_WITHIN = timedelta(seconds=20)
"""How long the device's own `session_ended` is awaited after a stop before the connector's state decides."""
END_UNHEARD = timedelta(hours=24)
"""How long an unreachable charger may keep a session open; then a person reviews it."""
MAX_STARTS = 2
MAX_QUICK_STOPS = 5

NOT_CHARGING = ("available", "preparing", "finishing")
BROKEN = ("faulted", "unavailable")


@dataclass(frozen=True, slots=True)
class SessionState:
    """What the rule needs to know of a session."""

    status: Status
    started: bool = False
    starts_sent: int = 0
    stops_sent: int = 0


@dataclass(frozen=True, slots=True)
class StartAccepted:
    """The charger acknowledged `start`."""


@dataclass(frozen=True, slots=True)
class StartRefused:
    """The charger answered that it will not start."""

    error: str


@dataclass(frozen=True, slots=True)
class StartUnanswered:
    """No acknowledgement of `start` in time; it may still have been carried out."""


@dataclass(frozen=True, slots=True)
class StopUnanswered:
    """No acknowledgement of `stop` in time, or a refusal."""


@dataclass(frozen=True, slots=True)
class DeviceStarted:
    """The charger reported `session_started` for this session."""


@dataclass(frozen=True, slots=True)
class DeviceEnded:
    """The charger reported `session_ended` for this session."""

    reason: str


@dataclass(frozen=True, slots=True)
class ConnectorBecame:
    """The connector's own state changed."""

    status: str


@dataclass(frozen=True, slots=True)
class StopAsked:
    """A person or a rule wants the session to end."""

    reason: str


@dataclass(frozen=True, slots=True)
class StartOverdue:
    """The time for starting is over."""


@dataclass(frozen=True, slots=True)
class EndOverdue:
    """The device's own end report is overdue; `connector` is the connector's state now, `waited` since the stop."""

    connector: str
    waited: timedelta


Signal: TypeAlias = (
    StartAccepted
    | StartRefused
    | StartUnanswered
    | StopUnanswered
    | DeviceStarted
    | DeviceEnded
    | ConnectorBecame
    | StopAsked
    | StartOverdue
    | EndOverdue
)


@dataclass(frozen=True, slots=True)
class Decision:
    """The state after a signal, what to do, and why it ends where it does.

    `unclear` says that the end was never reported, so that a person looks at the bill.
    """

    state: SessionState
    intents: tuple[Intent, ...] = ()
    reason: str | None = None
    unclear: bool = False


def decide(state: SessionState, signal: Signal) -> Decision:
    """Answer one signal; a signal that changes nothing gives the same state and no intents."""
    if isinstance(signal, DeviceStarted):
        return _on_started(state)
    if isinstance(signal, DeviceEnded):
        return _on_ended(state, signal)
    match state.status:
        case "requested" | "starting":
            return _while_starting(state, signal)
        case "charging":
            return _while_charging(state, signal)
        case "ending":
            return _while_ending(state, signal)
    return Decision(state)


def _on_started(state: SessionState) -> Decision:
    if state.started:
        return Decision(state)
    match state.status:
        case "requested" | "starting":
            return Decision(replace(state, status="charging", started=True), ("announce_start",))
        case "ending":
            return Decision(_stop_again(replace(state, started=True)), ("announce_start", "send_stop"))
        case "failed":
            revived = _stop_again(replace(state, status="ending", started=True))
            return Decision(revived, ("announce_start", "send_stop"), reason="late_start")
    return Decision(state)


def _on_ended(state: SessionState, signal: DeviceEnded) -> Decision:
    if state.status not in OPEN:
        return Decision(state)
    intents: tuple[Intent, ...] = ("announce_end",) if state.started else ("announce_start", "announce_end")
    return Decision(replace(state, status="ended", started=True), intents, reason=signal.reason)


def _while_starting(state: SessionState, signal: Signal) -> Decision:
    match signal:
        case StartAccepted():
            return Decision(replace(state, status="starting"))
        case StartRefused(error=error):
            return Decision(replace(state, status="failed"), ("announce_failure",), reason=error)
        case StartUnanswered() if state.status == "requested" and state.starts_sent < MAX_STARTS:
            return Decision(replace(state, starts_sent=state.starts_sent + 1), ("send_start",))
        case ConnectorBecame(status="charging"):
            return Decision(replace(state, status="charging", started=True), ("announce_start",))
        case ConnectorBecame(status=status) if status in BROKEN:
            return Decision(
                _stop_again(replace(state, status="failed")), ("send_stop", "announce_failure"), reason="fault"
            )
        case StopAsked(reason=reason):
            return Decision(_stop_again(replace(state, status="ending")), ("send_stop",), reason=reason)
        case StartOverdue():
            return Decision(
                _stop_again(replace(state, status="failed")), ("send_stop", "announce_failure"), reason="no_answer"
            )
    return Decision(state)


def _while_charging(state: SessionState, signal: Signal) -> Decision:
    match signal:
        case ConnectorBecame(status=status) if status in NOT_CHARGING:
            return Decision(replace(state, status="ending"), reason="interrupted")
        case ConnectorBecame(status=status) if status in BROKEN:
            return Decision(_stop_again(replace(state, status="ending")), ("send_stop",), reason="fault")
        case StopAsked(reason=reason):
            return Decision(_stop_again(replace(state, status="ending")), ("send_stop",), reason=reason)
    return Decision(state)


def _while_ending(state: SessionState, signal: Signal) -> Decision:
    match signal:
        case StopUnanswered() if state.stops_sent < MAX_QUICK_STOPS:
            return Decision(_stop_again(state), ("send_stop",))
        case EndOverdue(connector=connector, waited=waited):
            if waited >= END_UNHEARD:
                return _give_up(state, unclear=True)
            if connector in NOT_CHARGING or connector in BROKEN:
                return _give_up(state, unclear=False)
            return Decision(_stop_again(state), ("send_stop",))
    return Decision(state)


def _give_up(state: SessionState, *, unclear: bool) -> Decision:
    if state.started:
        return Decision(replace(state, status="ended"), ("announce_end",), unclear=unclear)
    return Decision(replace(state, status="failed"), ("announce_failure",))


def _stop_again(state: SessionState) -> SessionState:
    return replace(state, stops_sent=state.stops_sent + 1)
