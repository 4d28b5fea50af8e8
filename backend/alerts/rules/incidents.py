"""The life of an incident and of a task, and when two alarms are one fire."""

from datetime import datetime, timedelta
from typing import Literal, TypeAlias

IncidentStatus: TypeAlias = Literal["open", "acknowledged", "on_site", "resolved", "reported"]
TaskStatus: TypeAlias = Literal["open", "accepted", "on_site", "resolved"]
IncidentMove: TypeAlias = Literal["acknowledge", "arrive", "resolve", "report"]
TaskMove: TypeAlias = Literal["accept", "arrive", "resolve"]

CONFIRMED_WITHIN = timedelta(seconds=60)
"""A second detector within this makes one confirmed fire (domain.md "Safety")."""
HANDLED: frozenset[IncidentStatus] = frozenset({"open", "acknowledged", "on_site"})
"""States in which an incident still holds people and station."""

_INCIDENT: dict[IncidentMove, tuple[tuple[IncidentStatus, ...], IncidentStatus]] = {
    "acknowledge": (("open",), "acknowledged"),
    "arrive": (("open", "acknowledged"), "on_site"),
    "resolve": (("acknowledged", "on_site"), "resolved"),
    "report": (("resolved",), "reported"),
}
_TASK: dict[TaskMove, tuple[tuple[TaskStatus, ...], TaskStatus]] = {
    "accept": (("open",), "accepted"),
    "arrive": (("open", "accepted"), "on_site"),
    "resolve": (("open", "accepted", "on_site"), "resolved"),
}


def move_incident(status: IncidentStatus, move: IncidentMove) -> IncidentStatus | None:
    """The state after a person's move; the same state where it was made before; None where it is not allowed."""
    allowed, after = _INCIDENT[move]
    return after if status in (*allowed, after) else None


def move_task(status: TaskStatus, move: TaskMove) -> TaskStatus | None:
    """The state after a person's move; the same state where it was made before; None where it is not allowed."""
    allowed, after = _TASK[move]
    return after if status in (*allowed, after) else None


def confirms_fire(*, first_alarm_at: datetime, second_alarm_at: datetime, same_device: bool) -> bool:
    """Whether a further alarm makes the fire a confirmed one, by arrival and never by the devices' own clocks."""
    return not same_device and abs(second_alarm_at - first_alarm_at) <= CONFIRMED_WITHIN


def escalation_roles(step: int) -> tuple[Literal["guard", "lead", "operator"], ...]:
    """Who is called when nobody has acknowledged at the `step`-th time (0, 1, 2 for 1, 3, 5 min)."""
    return ("guard", "lead") if step == 0 else ("guard", "lead", "operator")
