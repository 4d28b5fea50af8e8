"""What staff send and read of incidents, tasks, alerts and devices."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
from msgspec import Meta

from backend.alerts.rules.words import reason_of
from backend.alerts.store import AlertView
from backend.alerts.store_incidents import IncidentView, StepView, TaskView


class NoteBody(msgspec.Struct, frozen=True):
    """A few words for the record."""

    note: Annotated[str, Meta(description="What was found or done", max_length=2000)] = ""


class CommandBody(msgspec.Struct, frozen=True):
    """A command to a device."""

    name: Annotated[str, Meta(description="lock: lower, raise; charger: stop; smoke: silence", max_length=40)]
    reason: Annotated[str, Meta(description="Why; kept in the audit log", min_length=1, max_length=500)]
    connector: Annotated[int, Meta(description="Number of the connector, for stop", ge=1, le=255)] | None = None


class CommandOut(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a command."""

    device_id: UUID
    name: str
    asked: Annotated[bool, Meta(description="Whether the command was taken; a raise waits for the lock's own rules")]
    command_id: UUID | None
    sessions: Annotated[list[UUID], Meta(description="Sessions told to stop")]


class AlertOut(msgspec.Struct, frozen=True, kw_only=True):
    """An open alert."""

    id: UUID
    code: str
    text: Annotated[str, Meta(description="The rule in Chinese and English")]
    level: Annotated[str, Meta(description="warning or critical")]
    station_id: UUID
    device_id: UUID
    connector_id: UUID | None
    bay_id: UUID | None
    incident_id: UUID | None
    value: Annotated[float | None, Meta(description="What was measured, in the rule's unit")]
    limit: Annotated[float | None, Meta(description="The limit that was passed")]
    raised_at: datetime
    last_at: datetime
    repeats: Annotated[int, Meta(description="Further reports while open")]


class TaskOut(msgspec.Struct, frozen=True, kw_only=True):
    """A task on site."""

    id: UUID
    kind: Annotated[str, Meta(description="The rule's code")]
    text: Annotated[str, Meta(description="What is the matter, in Chinese and English")]
    level: str
    status: Annotated[str, Meta(description="open, accepted, on_site or resolved")]
    station_id: UUID
    incident_id: UUID | None
    alert_id: UUID | None
    device_id: UUID | None
    bay_id: UUID | None
    assignee_id: UUID | None
    created_at: datetime
    accepted_at: datetime | None
    arrived_at: datetime | None
    resolved_at: datetime | None
    resolution: str | None
    image_ref: Annotated[str | None, Meta(description="The bay camera's picture, as the camera names it")] = None
    reports: Annotated[list[str], Meta(description="Residents' reports it is about: /v1/staff/bay-reports")] = []
    drill: Annotated[bool, Meta(description="Belongs to a drill")] = False


class StepOut(msgspec.Struct, frozen=True, kw_only=True):
    """One entry of the time line."""

    at: datetime
    kind: Annotated[str, Meta(description="alarm, action, message, person or escalation")]
    what: str
    actor_id: Annotated[UUID | None, Meta(description="The person, where it was one")]
    detail: dict[str, Any]


class IncidentOut(msgspec.Struct, frozen=True, kw_only=True):
    """An incident, in a list."""

    id: UUID
    kind: Annotated[str, Meta(description="fire or battery")]
    code: str
    text: Annotated[str, Meta(description="What happened, in Chinese and English")]
    level: str
    status: Annotated[str, Meta(description="open, acknowledged, on_site, resolved or reported")]
    confirmed: Annotated[bool, Meta(description="A second detector agreed within 60 s")]
    escalated: Annotated[int, Meta(description="How often it was escalated")]
    station_id: UUID
    area: str | None
    connector_id: UUID | None
    opened_at: datetime
    acknowledged_at: datetime | None
    on_site_at: datetime | None
    resolved_at: datetime | None
    reported_at: datetime | None
    drill: Annotated[bool, Meta(description="An exercise: no resident was told, nothing was switched")] = False


class IncidentDetail(IncidentOut, frozen=True, kw_only=True):
    """An incident with its time line and the alarms that have not cleared."""

    steps: Annotated[list[StepOut], Meta(description="Every alarm, action, message and person, oldest first")]
    open_alerts: Annotated[list[AlertOut], Meta(description="Alarms that have not cleared")]
    safety_hold: Annotated[bool, Meta(description="Whether the station is held now, by this or another incident")]


class BoardStation(msgspec.Struct, frozen=True, kw_only=True):
    """A station on the board; connectors by state, as they are now."""

    id: UUID
    code: str
    name: str
    safety_hold: Annotated[bool, Meta(description="Whether an incident holds it: nothing starts, locks stay down")]
    connectors: Annotated[
        dict[str, int],
        Meta(description="How many connectors are in which state", examples=[{"available": 3, "unknown": 1}]),
    ]
    silent: Annotated[int, Meta(description="Devices out of contact")]


class SilentDevice(msgspec.Struct, frozen=True, kw_only=True):
    """A device that has not been heard for too long: its state is unknown."""

    id: UUID
    code: str
    kind: str
    station_id: UUID
    last_seen_at: datetime | None
    silent_since: datetime


class BoardMessage(msgspec.Struct, frozen=True, kw_only=True):
    """A message of the staff board: a snapshot first, then news."""

    type: Literal["snapshot", "news", "ping"]
    incidents: list[IncidentOut] = []
    tasks: list[TaskOut] = []
    alerts: list[AlertOut] = []
    stations: list[BoardStation] = []
    silent_devices: list[SilentDevice] = []
    news: dict[str, Any] | None = None


def alert_out(alert: AlertView) -> AlertOut:
    """Show an alert."""
    return AlertOut(
        id=alert.id,
        code=alert.code,
        text=reason_of(alert.code),
        level=alert.level,
        station_id=alert.station_id,
        device_id=alert.device_id,
        connector_id=alert.connector_id,
        bay_id=alert.bay_id,
        incident_id=alert.incident_id,
        value=alert.value,
        limit=alert.limit_value,
        raised_at=alert.raised_at,
        last_at=alert.last_at,
        repeats=alert.repeats,
    )


def task_out(task: TaskView) -> TaskOut:
    """Show a task."""
    return TaskOut(
        id=task.id,
        kind=task.kind,
        text=reason_of(task.kind),
        level=task.level,
        status=task.status,
        station_id=task.station_id,
        incident_id=task.incident_id,
        alert_id=task.alert_id,
        device_id=task.device_id,
        bay_id=task.bay_id,
        assignee_id=task.assignee_id,
        created_at=task.created_at,
        accepted_at=task.accepted_at,
        arrived_at=task.arrived_at,
        resolved_at=task.resolved_at,
        resolution=task.resolution,
        image_ref=task.detail.get("image_ref"),
        reports=task.detail.get("reports", []),
        drill=task.drill,
    )


def step_out(step: StepView) -> StepOut:
    """Show an entry of the time line."""
    return StepOut(at=step.at, kind=step.kind, what=step.what, actor_id=step.actor_id, detail=step.detail)


def incident_out(incident: IncidentView) -> IncidentOut:
    """Show an incident."""
    return IncidentOut(
        id=incident.id,
        kind=incident.kind,
        code=incident.code,
        text=reason_of(incident.code),
        level=incident.level,
        status=incident.status,
        confirmed=incident.confirmed,
        escalated=incident.escalated,
        station_id=incident.station_id,
        area=incident.area,
        connector_id=incident.connector_id,
        opened_at=incident.opened_at,
        acknowledged_at=incident.acknowledged_at,
        on_site_at=incident.on_site_at,
        resolved_at=incident.resolved_at,
        reported_at=incident.reported_at,
        drill=incident.drill,
    )


def incident_detail(
    incident: IncidentView, *, steps: list[StepView], open_alerts: list[AlertView], safety_hold: bool
) -> IncidentDetail:
    """Show an incident whole."""
    return IncidentDetail(
        **msgspec.structs.asdict(incident_out(incident)),
        steps=[step_out(step) for step in steps],
        open_alerts=[alert_out(alert) for alert in open_alerts],
        safety_hold=safety_hold,
    )
