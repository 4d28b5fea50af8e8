"""What happens to bookings, told to the features above."""

from datetime import datetime
from uuid import UUID

from backend.core.jobs import Event
from backend.reservations.rules.words import CheckInMeans


class SlotReserved(Event, frozen=True, kw_only=True):
    """A slot was booked."""

    reservation_id: UUID
    account_id: UUID
    station_id: UUID
    connector_id: UUID
    starts_at: datetime
    ends_at: datetime


class ReservationCheckedIn(Event, frozen=True, kw_only=True):
    """The car of a booking is here (`means`: plate, app, qr, staff) and its bay is being opened."""

    reservation_id: UUID
    account_id: UUID
    station_id: UUID
    connector_id: UUID
    bay_id: UUID | None
    plate_hash: bytes
    means: CheckInMeans
    starts_at: datetime
    at: datetime


class ReservationCancelled(Event, frozen=True, kw_only=True):
    """A booking was given back; `late` means after the free time."""

    reservation_id: UUID
    account_id: UUID
    station_id: UUID
    connector_id: UUID
    late: bool
    at: datetime


class ReservationNotUsed(Event, frozen=True, kw_only=True):
    """A booking lapsed: nobody came (`counted`), or a car that checked in left without charging."""

    reservation_id: UUID
    account_id: UUID
    station_id: UUID
    connector_id: UUID
    counted: bool
    at: datetime


class ReservationMoved(Event, frozen=True, kw_only=True):
    """A booking has another place at its station, or none changed but its owner changed the slot (`reason` change)."""

    reservation_id: UUID
    account_id: UUID
    station_id: UUID
    from_connector_id: UUID
    connector_id: UUID
    reason: str
    at: datetime


class BookingStranded(Event, frozen=True, kw_only=True):
    """A booking's place cannot serve it and no equivalent one is free: the fallback plan takes over."""

    reservation_id: UUID
    account_id: UUID
    station_id: UUID
    connector_id: UUID
    reason: str
    starts_at: datetime
    at: datetime


class BookingRestored(Event, frozen=True, kw_only=True):
    """The place of a stranded booking can serve it again."""

    reservation_id: UUID
    account_id: UUID
    station_id: UUID
    at: datetime


class BookingSuspended(Event, frozen=True, kw_only=True):
    """An account may not book until `until` after too many no-shows."""

    account_id: UUID
    until: datetime
    at: datetime


class ZoneChangePlanned(Event, frozen=True, kw_only=True):
    """A dated change of a bay's painted zone was approved."""

    change_id: UUID
    station_id: UUID
    at: datetime


class BayReported(Event, frozen=True, kw_only=True):
    """A resident says that a car blocks a bay, and nothing speaks against it."""

    report_id: UUID
    station_id: UUID
    bay_id: UUID
    at: datetime


class BayReportClosed(Event, frozen=True, kw_only=True):
    """What became of a report: `confirmed`, `false` or `gone` (the bay was seen empty)."""

    report_id: UUID
    station_id: UUID
    bay_id: UUID
    account_id: UUID | None
    verdict: str
    at: datetime
