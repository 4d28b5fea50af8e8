"""What waiting tells."""

from datetime import datetime
from uuid import UUID

from backend.core.jobs import Event


class QueueChanged(Event, frozen=True, kw_only=True):
    """Somebody joined, left or was served, or an offer was made, taken or ran out: positions may differ now."""

    station_id: UUID
    at: datetime


class WaitRecorded(Event, frozen=True, kw_only=True):
    """An arrival got its connector after `wait_s` seconds."""

    arrival_id: UUID
    station_id: UUID
    connector_id: UUID
    user_class: str
    wait_s: int
    at: datetime
