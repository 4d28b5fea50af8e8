"""HTTP paths of bookings: slots, booking, cancelling, checking in, the calendar."""

from datetime import date, datetime, timedelta
from typing import Annotated, Any
from uuid import UUID

import msgspec
from litestar import Controller, Request, Response, get, post
from litestar.params import Parameter
from litestar.types import ControllerRouterHandler

from backend.core.auth import Principal, provide_caller
from backend.core.clock import Clock
from backend.core.errors import NotFound, Unauthenticated
from backend.core.http import etag_bytes_response, etag_response, find_header
from backend.core.paging import CursorInvalid, Page, decode_cursor, encode_cursor
from backend.core.problem_docs import answers
from backend.core.services import Services
from backend.core.units import CoordMissing, PositionInvalid, read_position
from backend.reservations import controllers_reports, controllers_staff, controllers_zones
from backend.reservations.rules.periods import BEIJING, ceil_to
from backend.reservations.rules.words import POWER_OF, PowerClass, ReservationView
from backend.reservations.schemas import (
    BookedConnector,
    CalendarAnswer,
    ChangeBody,
    CheckInBody,
    ReservationAnswer,
    ReservationBody,
    SlotAnswer,
    SlotPrice,
    SlotsAnswer,
)
from backend.reservations.service import bookings, calendar, changing, on_site, reserve, slots
from backend.reservations.service.bookings import BookingNotOpen, CheckInNotOpen, TooFarToCheckIn, WrongConnector
from backend.reservations.service.changing import ChangeTooLate, TooManyChanges
from backend.reservations.service.claims import AgreementNeeded, ConnectorTaken, VehicleElsewhere
from backend.reservations.service.kept_slots import Asked, KeptSlots, Made
from backend.reservations.service.reserve import (
    BookingIsSuspended,
    NothingToBook,
    SlotInvalid,
    SlotTaken,
    TooManyNewBookings,
    TooManyOpenBookings,
)
from backend.stations import service as stations

PAGE_SIZE = 50
AnyRequest = Request[Any, Any, Any]


async def _answer(view: ReservationView) -> ReservationAnswer:
    station = await stations.get_station(station_id=view.station_id)
    connector = await stations.get_connector(connector_id=view.connector_id)
    bay = None if view.bay_id is None else await stations.get_bay(bay_id=view.bay_id)
    return ReservationAnswer.of(
        view,
        station_name=station.name,
        connector=BookedConnector(
            id=connector.id,
            charger_code=connector.charger_code,
            number=connector.number,
            bay_code=None if bay is None else bay.code,
        ),
        check_in_opens_at=view.starts_at - timedelta(seconds=station.settings.check_in_before_s),
        free_cancellation_until=view.starts_at - timedelta(seconds=station.settings.free_cancel_before_s),
    )


@get(
    "/v1/stations/{station_id:uuid}/slots",
    operation_id="listSlots",
    summary="List the slots that can be booked",
    description=(
        "Every bookable start of a Beijing day with the longest possible end, per power class, in the resident zone."
        " Vacate gaps, opening hours and cars that may stay overnight are taken into account: what is listed can be"
        " booked. With the price for the caller at each start."
    ),
    tags=["bookings"],
    responses=answers(NotFound),
)
async def list_slots(
    request: AnyRequest,
    station_id: UUID,
    date: Annotated[date | None, Parameter(description="Day in Beijing, YYYY-MM-DD; today if left out")] = None,
    power: Annotated[PowerClass | None, Parameter(description="`fast` is DC, `slow` is AC; both if left out")] = None,
) -> Response[SlotsAnswer]:
    """List slots. A polled path takes no injected dependencies: resolving them costs as much as the answer."""
    services: Services = request.app.state["services"]
    now = services.get(Clock).now()  # type: ignore[type-abstract]
    caller = await provide_caller(request, services) if find_header(request, b"authorization") else None
    on = date or now.astimezone(BEIJING).date()
    kind = POWER_OF[power] if power else None
    account_id = None if caller is None else caller.account_id
    user_class = await slots.user_class_of(account_id=account_id, station_id=station_id, on=on, now=now)
    asked = Asked(station_id, on, kind, user_class)
    body = await services.get(KeptSlots).answer(asked, now=now, make=lambda: _make_slots(asked, now))
    return etag_bytes_response(request, body, private=caller is not None)


async def _make_slots(asked: Asked, now: datetime) -> Made:
    station = await stations.get_station(station_id=asked.station_id)
    found = await slots.day(station_id=station.id, on=asked.on, power=asked.power, now=now)
    bands = await slots.prices_of(
        station=station, starts=[slot.starts_at for slot in found], user_class=asked.user_class
    )
    prices = {
        at: SlotPrice(band=band.name, energy_e4=band.energy_e4, service_e4=band.service_e4)
        for at, band in bands.items()
    }
    body = SlotsAnswer(
        items=[SlotAnswer.of(slot, prices) for slot in found],
        date=asked.on.isoformat(),
        user_class=asked.user_class,
        grid_s=station.settings.slot_grid_s,
        shortest_s=station.settings.min_booking_s,
    )
    until = ceil_to(now, timedelta(seconds=station.settings.slot_grid_s))
    change_at = await stations.next_change_by_clock(station_id=station.id, after=now)
    if change_at is not None:
        until = min(until, change_at - timedelta.resolution)
    return Made(body=msgspec.json.encode(body), good_until=until)


class Reservations(Controller):
    """The caller's bookings."""

    path = "/v1/reservations"
    tags = ("bookings",)

    @post(
        operation_id="createReservation",
        summary="Book a slot",
        description=(
            "In the resident zone, under an agreement with the station's operator. The service assigns connector and"
            " bay. When the slot is taken, `alternatives` names the three nearest: another time here, or the same"
            " company's pilot stations within 500 m."
        ),
        responses=answers(
            Unauthenticated,
            AgreementNeeded,
            BookingIsSuspended,
            NotFound,
            SlotTaken,
            VehicleElsewhere,
            TooManyOpenBookings,
            TooManyNewBookings,
            NothingToBook,
            SlotInvalid,
        ),
    )
    async def create(self, principal: Principal, data: ReservationBody, now: datetime) -> ReservationAnswer:
        """Book."""
        view = await reserve.reserve_slot(
            account_id=principal.account_id,
            station_id=data.station_id,
            vehicle_id=data.vehicle_id,
            starts_at=data.starts_at,
            ends_at=data.ends_at,
            power=POWER_OF[data.power] if data.power else None,
            connector_id=data.connector_id,
            now=now,
        )
        return await _answer(view)

    @get(
        operation_id="listReservations",
        summary="List the own bookings",
        description="The newest first. `open=true` leaves out those that are over.",
        responses=answers(Unauthenticated, CursorInvalid),
    )
    async def list(
        self,
        principal: Principal,
        cursor: Annotated[str | None, Parameter(description="`next` of the previous page")] = None,
        open: Annotated[bool, Parameter(description="Only bookings that are not over")] = False,
    ) -> Page[ReservationAnswer]:
        """List bookings."""
        before = decode_cursor(cursor, UUID)[0] if cursor else None
        found = await bookings.list_reservations(
            account_id=principal.account_id, before=before, limit=PAGE_SIZE + 1, open_only=open
        )
        shown = found[:PAGE_SIZE]
        following = encode_cursor(shown[-1].id) if len(found) > PAGE_SIZE else None
        return Page([await _answer(view) for view in shown], following)

    @get(
        "/{reservation_id:uuid}",
        operation_id="getReservation",
        summary="Read a booking",
        description="Another resident's booking is 404, as one that does not exist.",
        responses=answers(Unauthenticated, NotFound),
    )
    async def read(
        self, request: AnyRequest, principal: Principal, reservation_id: UUID
    ) -> Response[ReservationAnswer]:
        """Read one booking."""
        view = await bookings.get_reservation(account_id=principal.account_id, reservation_id=reservation_id)
        return etag_response(request, await _answer(view))

    @post(
        "/{reservation_id:uuid}/cancel",
        status_code=200,
        operation_id="cancelReservation",
        summary="Cancel a booking",
        description=(
            "Free until `free_cancellation_until`; later it counts as not shown up (three in 30 days suspend booking"
            " for 7 days). Repeating it is harmless."
        ),
        responses=answers(Unauthenticated, NotFound, BookingNotOpen),
    )
    async def cancel(self, principal: Principal, reservation_id: UUID, now: datetime) -> ReservationAnswer:
        """Cancel."""
        view = await bookings.cancel_reservation(
            account_id=principal.account_id, reservation_id=reservation_id, now=now
        )
        return await _answer(view)

    @post(
        "/{reservation_id:uuid}/change",
        status_code=200,
        operation_id="changeReservation",
        summary="Change the slot of a booking",
        description=(
            "Keeps the place until the new one is held: refused, the booking stays as it was. Until the end of the free"
            " time, three times at most."
        ),
        responses=answers(
            Unauthenticated,
            AgreementNeeded,
            NotFound,
            BookingNotOpen,
            ChangeTooLate,
            TooManyChanges,
            SlotTaken,
            VehicleElsewhere,
            NothingToBook,
            SlotInvalid,
        ),
    )
    async def change(
        self, principal: Principal, reservation_id: UUID, data: ChangeBody, now: datetime
    ) -> ReservationAnswer:
        """Change."""
        view = await changing.change_slot(
            account_id=principal.account_id,
            reservation_id=reservation_id,
            starts_at=data.starts_at,
            ends_at=data.ends_at,
            power=POWER_OF[data.power] if data.power else None,
            connector_id=data.connector_id,
            now=now,
        )
        return await _answer(view)

    @post(
        "/{reservation_id:uuid}/report-blocked",
        status_code=200,
        operation_id="reportBlockedBay",
        summary="Report another car in the booked bay",
        description=(
            "The booking moves at once where it can, else the fallback plan begins. The owner of the other car is"
            " warned where known, then a guard is sent (as by POST /v1/bay-reports)."
        ),
        responses=answers(Unauthenticated, NotFound, BookingNotOpen, CheckInNotOpen),
    )
    async def report_blocked(self, principal: Principal, reservation_id: UUID, now: datetime) -> ReservationAnswer:
        """Report."""
        view = await on_site.report_blocked(account_id=principal.account_id, reservation_id=reservation_id, now=now)
        return await _answer(view)

    @post(
        "/{reservation_id:uuid}/check-in",
        status_code=200,
        operation_id="checkIn",
        summary="Check in at the station",
        description=(
            "With a position within 100 m of the station (`lat`, `lng`, `coord`), or with the code of the booked"
            " connector (`qr`). It lowers the ground lock; repeating it lowers the lock again. The position is"
            " compared and not stored. Approach cameras check in by plate without this call."
        ),
        responses=answers(
            Unauthenticated,
            NotFound,
            BookingNotOpen,
            CheckInNotOpen,
            TooFarToCheckIn,
            WrongConnector,
            ConnectorTaken,
            CoordMissing,
            PositionInvalid,
        ),
    )
    async def check_in(
        self, principal: Principal, reservation_id: UUID, data: CheckInBody, now: datetime
    ) -> ReservationAnswer:
        """Check in."""
        position = None if data.qr is not None else read_position(lat=data.lat, lng=data.lng, coord=data.coord)
        view = await bookings.check_in_by_app(
            account_id=principal.account_id, reservation_id=reservation_id, position=position, qr=data.qr, now=now
        )
        return await _answer(view)

    @post(
        "/calendar-address",
        operation_id="createCalendarAddress",
        summary="Make a calendar address",
        description="A secret address to subscribe to; making a new one ends the one before.",
        responses=answers(Unauthenticated),
    )
    async def make_calendar_address(self, request: AnyRequest, principal: Principal, now: datetime) -> CalendarAnswer:
        """Make the address."""
        token = await calendar.new_address(account_id=principal.account_id, now=now)
        base = str(request.base_url).rstrip("/")
        return CalendarAnswer(url=f"{base}/v1/reservations.ics?token={token}")


@get(
    "/v1/reservations.ics",
    operation_id="getCalendar",
    summary="Read the booking calendar",
    description="For calendar programs, which cannot log in: the address from POST /v1/reservations/calendar-address.",
    tags=["bookings"],
    media_type="text/calendar",
    responses=answers(NotFound),
)
async def read_calendar(
    now: datetime, token: Annotated[str, Parameter(max_length=100, description="The secret of the address")]
) -> Response[bytes]:
    """Read the calendar."""
    body = await calendar.calendar(token=token, now=now)
    headers = {"cache-control": "private, no-cache", "content-disposition": 'inline; filename="bookings.ics"'}
    return Response(content=body, media_type="text/calendar; charset=utf-8", headers=headers)


ROUTES: list[ControllerRouterHandler] = [
    list_slots,
    Reservations,
    read_calendar,
    *controllers_staff.ROUTES,
    *controllers_zones.ROUTES,
    *controllers_reports.ROUTES,
]
