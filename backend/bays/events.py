"""What happens at bays, told to the features above."""

from datetime import datetime
from uuid import UUID

from backend.core.jobs import Event


class BayOccupied(Event, frozen=True, kw_only=True):
    """A car stands in the bay; told again when a camera makes out plate or kind of car, or others."""

    bay_id: UUID
    station_id: UUID
    plate_hash: bytes | None
    energy_type: str
    at: datetime


class BayFreed(Event, frozen=True, kw_only=True):
    """The bay is known to be empty."""

    bay_id: UUID
    station_id: UUID
    at: datetime


class LockFailed(Event, frozen=True, kw_only=True):
    """A lock did not do what it was told after all tries; `error` is "down: no_answer" or the like. A person must
    look.
    """

    bay_id: UUID
    station_id: UUID
    error: str
    at: datetime
