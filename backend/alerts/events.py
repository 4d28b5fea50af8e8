"""What alerts tell: to the live paths, and to whoever builds on incidents."""

from datetime import datetime
from uuid import UUID

from backend.core.jobs import Event


class AlertRaised(Event, frozen=True, kw_only=True):
    """A rule was broken, or rose from warning to critical, or is broken in a new session."""

    alert_id: UUID
    operator_company_id: UUID
    station_id: UUID
    device_id: UUID
    connector_id: UUID | None
    session_id: UUID | None
    incident_id: UUID | None
    code: str
    level: str
    value: float | None
    at: datetime


class AlertCleared(Event, frozen=True, kw_only=True):
    """The reason of an alert is over, by the device's own word or a person's."""

    alert_id: UUID
    operator_company_id: UUID
    station_id: UUID
    code: str
    at: datetime


class IncidentChanged(Event, frozen=True, kw_only=True):
    """An incident was opened, confirmed, escalated or moved on."""

    incident_id: UUID
    operator_company_id: UUID
    station_id: UUID
    status: str
    what: str
    at: datetime


class TaskChanged(Event, frozen=True, kw_only=True):
    """A task was made or moved on."""

    task_id: UUID
    operator_company_id: UUID
    station_id: UUID
    status: str
    at: datetime
