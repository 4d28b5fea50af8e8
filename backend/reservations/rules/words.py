"""What other features see of claims and bookings: frozen views and the words of their states."""

from datetime import datetime
from typing import Literal
from uuid import UUID

import msgspec

ClaimKind = Literal["booking", "walk_up", "offer", "vacate_gap", "maintenance"]
BookingStatus = Literal["confirmed", "checked_in", "fulfilled", "cancelled", "no_show", "relocated", "failed"]
Power = Literal["ac", "dc"]
PowerClass = Literal["fast", "slow"]
CheckInMeans = Literal["plate", "app", "qr", "staff"]

CLASS_OF: dict[Power, PowerClass] = {"dc": "fast", "ac": "slow"}
POWER_OF: dict[PowerClass, Power] = {"fast": "dc", "slow": "ac"}
"""How clients name the power classes (api.md)."""

OPEN: frozenset[BookingStatus] = frozenset({"confirmed", "checked_in"})
"""States in which a booking still waits for its car or its session."""


class ClaimView(msgspec.Struct, frozen=True, kw_only=True):
    """Who holds a connector when: the car in `[starts_at, ends_at)`, the connector in `[starts_at, held_until)`."""

    id: UUID
    connector_id: UUID
    station_id: UUID
    bay_id: UUID | None
    plate_hash: bytes | None
    kind: ClaimKind
    reference_id: UUID | None
    starts_at: datetime
    ends_at: datetime
    held_until: datetime


class ReservationView(msgspec.Struct, frozen=True, kw_only=True):
    """A booked slot. `hold_until` is when it lapses unless the car is there."""

    id: UUID
    account_id: UUID
    agreement_id: UUID
    vehicle_id: UUID
    operator_company_id: UUID
    station_id: UUID
    connector_id: UUID
    bay_id: UUID | None
    claim_id: UUID
    plate_hash: bytes
    power: Power
    status: BookingStatus
    starts_at: datetime
    ends_at: datetime
    hold_until: datetime
    checked_in_at: datetime | None
    checked_in_by: CheckInMeans | None
    fulfilled_at: datetime | None
    closed_at: datetime | None
    closed_reason: str | None
    sequence: int
    created_at: datetime
    updated_at: datetime
    stranded_at: datetime | None = None
    changes: int = 0
    relocated_to: UUID | None = None
