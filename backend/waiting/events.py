"""What waiting tells."""

from datetime import datetime
from uuid import UUID

from backend.core.jobs import Event


class WaitRecorded(Event, frozen=True, kw_only=True):
    """An arrival got its connector after `wait_s` seconds."""

    arrival_id: UUID
    station_id: UUID
    connector_id: UUID
    user_class: str
    wait_s: int
    at: datetime
