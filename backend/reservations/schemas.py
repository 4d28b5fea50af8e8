"""What bookings read and answer over HTTP."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated
from uuid import UUID

import msgspec
from msgspec import Meta

from backend.reservations.rules.words import CLASS_OF, BookingStatus, CheckInMeans, PowerClass, ReservationView
from backend.reservations.service.slots import SlotView

Instant = Annotated[datetime, Meta(tz=True, description="RFC 3339 with offset", examples=["2026-06-10T10:15:00+08:00"])]
PowerText = Annotated[PowerClass, Meta(description="`fast` is DC, `slow` is AC")]


class ReservationBody(msgspec.Struct, kw_only=True):
    """The slot that is wanted."""

    station_id: Annotated[UUID, Meta(description="The station")]
    vehicle_id: Annotated[UUID, Meta(description="One of the caller's vehicles, under an agreement")]
    starts_at: Annotated[datetime, Meta(tz=True, description="Start, on the quarter hour")]
    ends_at: Annotated[datetime, Meta(tz=True, description="End, on the quarter hour")]
    power: Annotated[PowerClass | None, Meta(description="`fast` (DC) or `slow` (AC); left out: either, AC first")] = (
        None
    )
    connector_id: Annotated[UUID | None, Meta(description="Only this connector will do")] = None


class ChangeBody(msgspec.Struct, kw_only=True):
    """The slot that is wanted instead, at the same station."""

    starts_at: Annotated[datetime, Meta(tz=True, description="Start, on the quarter hour")]
    ends_at: Annotated[datetime, Meta(tz=True, description="End, on the quarter hour")]
    power: Annotated[PowerClass | None, Meta(description="`fast` (DC) or `slow` (AC); left out: either, AC first")] = (
        None
    )
    connector_id: Annotated[UUID | None, Meta(description="Only this connector will do")] = None


class CheckInBody(msgspec.Struct, kw_only=True):
    """Where the caller is, or what they scanned: `lat`, `lng`, `coord`, or `qr`."""

    lat: Annotated[float | None, Meta(description="Latitude, degrees")] = None
    lng: Annotated[float | None, Meta(description="Longitude, degrees")] = None
    coord: Annotated[str | None, Meta(description="Datum of the position: `gcj02` or `wgs84`")] = None
    qr: Annotated[str, Meta(max_length=64, description="The code on the booked connector")] | None = None


class BookedConnector(msgspec.Struct, frozen=True, kw_only=True):
    """The connector and bay the service assigned."""

    id: Annotated[UUID, Meta(description="The connector")]
    charger_code: Annotated[str, Meta(description="What is written on the charger")]
    number: Annotated[int, Meta(description="Number of the gun on the charger, from 1")]
    bay_code: Annotated[str | None, Meta(description="What is painted on the bay; null where bays are not numbered")]


class ReservationAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A booking."""

    id: UUID
    station_id: UUID
    station_name: str
    vehicle_id: UUID
    connector_id: UUID
    bay_id: UUID | None
    connector: BookedConnector
    power: PowerText
    status: Annotated[BookingStatus, Meta(description="confirmed → checked_in → fulfilled, or how it ended otherwise")]
    starts_at: Instant
    ends_at: Instant
    check_in_opens_at: Annotated[datetime, Meta(tz=True, description="From when check-in is possible")]
    hold_until: Annotated[datetime, Meta(tz=True, description="Until when the slot is held for a car that is late")]
    free_cancellation_until: Annotated[datetime, Meta(tz=True, description="Later, cancelling counts as not shown up")]
    checked_in_at: Annotated[datetime | None, Meta(description="When the car arrived")]
    checked_in_by: Annotated[CheckInMeans | None, Meta(description="How its arrival was noticed")]
    closed_at: Annotated[datetime | None, Meta(description="When the booking ended")]
    closed_reason: Annotated[str | None, Meta(description="Why it ended")]
    created_at: Instant

    @classmethod
    def of(
        cls,
        view: ReservationView,
        *,
        station_name: str,
        connector: BookedConnector,
        check_in_opens_at: datetime,
        free_cancellation_until: datetime,
    ) -> "ReservationAnswer":
        """Make the answer from the view."""
        return cls(
            id=view.id,
            station_id=view.station_id,
            station_name=station_name,
            vehicle_id=view.vehicle_id,
            connector_id=view.connector_id,
            bay_id=view.bay_id,
            connector=connector,
            power=CLASS_OF[view.power],
            status=view.status,
            starts_at=view.starts_at,
            ends_at=view.ends_at,
            check_in_opens_at=check_in_opens_at,
            hold_until=view.hold_until,
            free_cancellation_until=free_cancellation_until,
            checked_in_at=view.checked_in_at,
            checked_in_by=view.checked_in_by,
            closed_at=view.closed_at,
            closed_reason=view.closed_reason,
            created_at=view.created_at,
        )


class SlotPrice(msgspec.Struct, frozen=True, kw_only=True):
    """What a kWh costs the caller when a charge starts then, 1/10000 yuan."""

    band: Annotated[str, Meta(description="sharp, peak, flat or valley")]
    energy_e4: Annotated[int, Meta(description="Energy, 1/10000 yuan per kWh")]
    service_e4: Annotated[int, Meta(description="Service, 1/10000 yuan per kWh")]


class SlotAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A start that can be booked now; every end on the grid from the shortest slot to `longest_until` can be booked
    too.
    """

    starts_at: Instant
    longest_until: Annotated[datetime, Meta(tz=True, description="The last possible end")]
    power: PowerText
    price: Annotated[SlotPrice | None, Meta(description="At the start; null where the station has no prices")]

    @classmethod
    def of(cls, view: SlotView, prices: Mapping[datetime, SlotPrice]) -> "SlotAnswer":
        """Make the answer from the view."""
        return cls(
            starts_at=view.starts_at,
            longest_until=view.longest_until,
            power=CLASS_OF[view.power],
            price=prices.get(view.starts_at),
        )


class SlotsAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The bookable starts of a Beijing day."""

    items: list[SlotAnswer]
    next: None = None
    date: Annotated[str, Meta(description="The day in Beijing", examples=["2026-06-10"])]
    user_class: Annotated[str, Meta(description="Whose prices: `agreement` or `market`")]
    grid_s: Annotated[int, Meta(description="Seconds between possible starts and ends")]
    shortest_s: Annotated[int, Meta(description="Seconds of the shortest slot")]


class CalendarAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The secret address of the booking calendar; it is shown once."""

    url: Annotated[str, Meta(description="Subscribe to it in a calendar; whoever knows it reads the bookings")]
