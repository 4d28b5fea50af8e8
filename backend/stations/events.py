"""What happens to stations, told to the features above."""

from datetime import datetime
from uuid import UUID

from backend.core.jobs import Event


class ConnectorServiceChanged(Event, frozen=True, kw_only=True):
    """An operator took a connector out of service, or put it back."""

    connector_id: UUID
    station_id: UUID
    in_service: bool
    at: datetime
