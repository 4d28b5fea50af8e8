"""HTTP paths of the people on site for bookings and bays, and of a resident's appeal."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

import msgspec
from litestar import Controller, get, post
from litestar.types import ControllerRouterHandler
from msgspec import Meta

from backend.core.auth import Principal, Staff, StaffOnly
from backend.core.errors import NotFound, Unauthenticated
from backend.core.paging import Page
from backend.core.problem_docs import answers
from backend.reservations.rules.words import BookingStatus, ReservationView
from backend.reservations.service import on_site
from backend.reservations.service.bookings import BookingNotOpen, CheckInNotOpen
from backend.reservations.service.claims import ConnectorTaken
from backend.reservations.service.on_site import NoPlaceToMove, NotSuspended
from backend.reservations.store.suspensions import SuspensionView

Reason = Annotated[str, Meta(min_length=3, max_length=200, description="Why; kept on record")]


class ReasonBody(msgspec.Struct, kw_only=True):
    """Why it is done."""

    reason: Reason


class MoveBody(msgspec.Struct, kw_only=True):
    """Where to and why."""

    reason: Reason
    connector_id: Annotated[UUID | None, Meta(description="To this connector; left out: any equivalent one")] = None


class AppealDecision(msgspec.Struct, kw_only=True):
    """What was decided and why."""

    reason: Reason
    lift: Annotated[bool, Meta(description="true lifts the suspension, false upholds it")] = True


class AppealBody(msgspec.Struct, kw_only=True):
    """Why the suspension is not right."""

    text: Annotated[str, Meta(min_length=3, max_length=1000, description="In the resident's own words")]


class StaffReservationAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A booking as people on site see it: no name, no plate."""

    id: UUID
    station_id: UUID
    connector_id: UUID
    bay_id: UUID | None
    status: BookingStatus
    starts_at: Annotated[datetime, Meta(tz=True, description="Start")]
    ends_at: Annotated[datetime, Meta(tz=True, description="End")]
    hold_until: Annotated[datetime, Meta(tz=True, description="Until when it is held")]

    @classmethod
    def of(cls, view: ReservationView) -> "StaffReservationAnswer":
        """Make the answer from the view."""
        return cls(**{name: getattr(view, name) for name in cls.__struct_fields__})


class SuspensionAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A suspension and the appeal against it."""

    id: UUID
    starts_at: Annotated[datetime, Meta(tz=True, description="Since when")]
    ends_at: Annotated[datetime, Meta(tz=True, description="Until when")]
    appealed_at: Annotated[datetime | None, Meta(description="When it was appealed")]
    appeal_decided_at: Annotated[datetime | None, Meta(description="When the appeal was decided")]

    @classmethod
    def of(cls, view: SuspensionView) -> "SuspensionAnswer":
        """Make the answer from the view."""
        return cls(**{name: getattr(view, name) for name in cls.__struct_fields__})


class StaffSuspension(SuspensionAnswer, frozen=True, kw_only=True):
    """A suspension as those who decide about it see it: with the resident's own words, without name and plate."""

    appeal_text: Annotated[str | None, Meta(description="What the resident wrote; null without an appeal")] = None
    no_shows: Annotated[int, Meta(description="Bookings in the 30 days before that counted as not shown up")] = 0

    @classmethod
    def for_staff(cls, view: SuspensionView, staff: Staff) -> "StaffSuspension":
        """Make the answer from the view; guards do not read appeals."""
        return cls(
            **msgspec.structs.asdict(SuspensionAnswer.of(view)),
            appeal_text=on_site.appeal_text(view, staff),
            no_shows=view.no_shows,
        )


class OnSite(Controller):
    """What people on site do for residents."""

    path = "/v1/staff"
    tags = ("work on site",)

    @post(
        "/bays/{bay_id:uuid}/lower",
        status_code=202,
        operation_id="lowerBay",
        summary="Lower the lock of a bay",
        description="It rises again by the usual rules. Guards, leads and operators; the reason is kept on record.",
        responses=answers(Unauthenticated, StaffOnly, NotFound),
    )
    async def lower(self, staff: Staff, bay_id: UUID, data: ReasonBody, now: datetime) -> None:
        """Lower."""
        await on_site.lower_bay(staff=staff, bay_id=bay_id, reason=data.reason, now=now)

    @post(
        "/reservations/{reservation_id:uuid}/move",
        status_code=200,
        operation_id="moveReservation",
        summary="Move a booking to another connector",
        description="Same station, same slot; the resident is told. The reason is kept on record.",
        responses=answers(Unauthenticated, StaffOnly, NotFound, BookingNotOpen, NoPlaceToMove),
    )
    async def move(self, staff: Staff, reservation_id: UUID, data: MoveBody, now: datetime) -> StaffReservationAnswer:
        """Move."""
        view = await on_site.move_booking(
            staff=staff, reservation_id=reservation_id, connector_id=data.connector_id, reason=data.reason, now=now
        )
        return StaffReservationAnswer.of(view)

    @post(
        "/reservations/{reservation_id:uuid}/check-in",
        status_code=200,
        operation_id="checkInByStaff",
        summary="Check a resident in",
        description="When plate, phone and code fail. The reason is kept on record.",
        responses=answers(Unauthenticated, StaffOnly, NotFound, BookingNotOpen, CheckInNotOpen, ConnectorTaken),
    )
    async def check_in(
        self, staff: Staff, reservation_id: UUID, data: ReasonBody, now: datetime
    ) -> StaffReservationAnswer:
        """Check in."""
        view = await on_site.check_in(staff=staff, reservation_id=reservation_id, reason=data.reason, now=now)
        return StaffReservationAnswer.of(view)

    @get(
        "/suspensions",
        operation_id="listSuspensions",
        summary="List suspensions in force",
        description=(
            "Of the own companies (guards: of the own station), those with an open appeal first; with what the resident"
            " wrote for leads, operators and inspectors."
        ),
        responses=answers(Unauthenticated, StaffOnly),
    )
    async def suspensions(self, staff: Staff, now: datetime) -> Page[StaffSuspension]:
        """List suspensions."""
        found = await on_site.list_suspensions(staff=staff, now=now, limit=200)
        return Page([StaffSuspension.for_staff(one, staff) for one in found], None)

    @post(
        "/suspensions/{suspension_id:uuid}/decide",
        status_code=200,
        operation_id="decideSuspension",
        summary="Lift or uphold a suspension",
        description=(
            "Decides an open appeal too; the resident is told. Guards lift those of their own station; leads and"
            " operators uphold too. The reason is kept on record."
        ),
        responses=answers(Unauthenticated, StaffOnly, NotFound),
    )
    async def decide(self, staff: Staff, suspension_id: UUID, data: AppealDecision, now: datetime) -> None:
        """Decide."""
        await on_site.lift_suspension(
            staff=staff, suspension_id=suspension_id, reason=data.reason, lift=data.lift, now=now
        )


@get(
    "/v1/me/suspension",
    operation_id="getSuspension",
    summary="Read the own suspension",
    description="404 when booking is not suspended.",
    tags=["bookings"],
    responses=answers(Unauthenticated, NotFound),
)
async def read_suspension(principal: Principal, now: datetime) -> SuspensionAnswer:
    """Read."""
    found = await on_site.my_suspension(account_id=principal.account_id, now=now)
    if found is None:
        raise NotFound(kind="suspension")
    return SuspensionAnswer.of(found)


@post(
    "/v1/me/suspension/appeal",
    operation_id="appealSuspension",
    summary="Appeal the own suspension",
    description="Once per suspension; the operator company decides and tells.",
    tags=["bookings"],
    responses=answers(Unauthenticated, NotSuspended),
)
async def appeal_suspension(principal: Principal, data: AppealBody, now: datetime) -> SuspensionAnswer:
    """Appeal."""
    return SuspensionAnswer.of(await on_site.appeal(account_id=principal.account_id, text=data.text, now=now))


ROUTES: list[ControllerRouterHandler] = [OnSite, read_suspension, appeal_suspension]
