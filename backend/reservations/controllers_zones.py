"""HTTP paths of painted zones: planning a change as an operator company, reading what is announced as anybody."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

import msgspec
from litestar import Controller, get, post
from litestar.params import Parameter
from litestar.types import ControllerRouterHandler
from msgspec import Meta

from backend.core.auth import Staff, StaffOnly
from backend.core.errors import NotFound, Unauthenticated
from backend.core.paging import CursorInvalid, Page, decode_cursor, encode_cursor
from backend.core.problem_docs import answers
from backend.reservations.service import zones
from backend.reservations.service.moving import BookingsInTheWay
from backend.reservations.service.zones import (
    ChangeTooFar,
    NoticeTooShort,
    ZoneChangeNeedsSecondPerson,
    ZoneChangeOpen,
    ZoneChangeOver,
    ZoneUnchanged,
)
from backend.stations.rules.topology import Zone
from backend.stations.service.zones import ZoneChangeView

PAGE_SIZE = 50
Reason = Annotated[str, Meta(min_length=3, max_length=200, description="Why; kept on record")]


class ZoneChangeBody(msgspec.Struct, kw_only=True):
    """Which bay goes to which painted zone, and when."""

    station_id: Annotated[UUID, Meta(description="The station")]
    bay_id: Annotated[UUID, Meta(description="The bay that is painted anew")]
    zone: Annotated[Zone, Meta(description="`resident` (居民预约专区) or `public` (社会充电专区)")]
    effective_at: Annotated[
        datetime,
        Meta(tz=True, description="From when on; the station's notice (`zone_notice_days`) comes before"),
    ]
    reason: Reason


class CancelBody(msgspec.Struct, kw_only=True):
    """Why the change is called off."""

    reason: Reason


class ZoneChangeAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A dated change of a bay's zone."""

    id: UUID
    station_id: UUID
    bay_id: UUID
    bay_code: Annotated[str, Meta(description="What is painted on the bay")]
    zone_from: Zone
    zone_to: Zone
    wanted_at: Annotated[datetime, Meta(tz=True, description="The date asked for")]
    effective_at: Annotated[
        datetime, Meta(tz=True, description="From when it holds: later than asked for where bookings keep the bay")
    ]
    reason: str
    status: Annotated[str, Meta(description="proposed → approved → in_force, or cancelled")]
    proposed_at: Annotated[datetime, Meta(tz=True, description="When it was proposed")]
    proposed_by: Annotated[UUID, Meta(description="Who proposed it")]
    approved_at: Annotated[datetime | None, Meta(description="When the second person approved it")]
    approved_by: Annotated[UUID | None, Meta(description="The second person")]
    moved: Annotated[int, Meta(description="Bookings that moved to another connector")]
    kept: Annotated[int, Meta(description="Bookings that keep the bay in its old zone until they are done")]

    @classmethod
    def of(cls, view: ZoneChangeView) -> "ZoneChangeAnswer":
        """Make the answer from the view."""
        return cls(**{name: getattr(view, name) for name in cls.__struct_fields__})


class AnnouncedChange(msgspec.Struct, frozen=True, kw_only=True):
    """A change that is announced: what anybody may know of it."""

    bay_id: UUID
    bay_code: Annotated[str, Meta(description="What is painted on the bay")]
    zone_from: Zone
    zone_to: Zone
    effective_at: Annotated[datetime, Meta(tz=True, description="From when on")]
    announced_at: Annotated[datetime | None, Meta(description="Since when it is announced")]


class ZoneChanges(Controller):
    """Planned changes of the caller's companies."""

    path = "/v1/operator/zone-changes"
    tags = ("operator",)

    @post(
        operation_id="proposeZoneChange",
        summary="Propose that a bay changes its painted zone",
        description=(
            "Operators and leads. Nothing changes before a second person approves; the date must leave the station's"
            " notice (7 days unless set otherwise). A bay has one planned change at a time."
        ),
        responses=answers(
            Unauthenticated, StaffOnly, NotFound, ZoneUnchanged, NoticeTooShort, ChangeTooFar, ZoneChangeOpen
        ),
    )
    async def propose(self, staff: Staff, data: ZoneChangeBody, now: datetime) -> ZoneChangeAnswer:
        """Propose."""
        view = await zones.propose(
            staff=staff,
            station_id=data.station_id,
            bay_id=data.bay_id,
            zone=data.zone,
            effective_at=data.effective_at,
            reason=data.reason,
            now=now,
        )
        return ZoneChangeAnswer.of(view)

    @get(
        operation_id="listZoneChanges",
        summary="List changes of zones",
        description="Of the own companies, the newest first; those in force and cancelled too unless `open=true`.",
        responses=answers(Unauthenticated, StaffOnly, CursorInvalid),
    )
    async def list(
        self,
        staff: Staff,
        station_id: Annotated[UUID | None, Parameter(description="Only this station")] = None,
        open: Annotated[bool, Parameter(description="Only those still to come")] = False,
        cursor: Annotated[str | None, Parameter(description="`next` of the previous page")] = None,
    ) -> Page[ZoneChangeAnswer]:
        """List changes."""
        found = await zones.list_own(
            staff=staff,
            station_id=station_id,
            open_only=open,
            before=decode_cursor(cursor, UUID)[0] if cursor else None,
            limit=PAGE_SIZE + 1,
        )
        following = encode_cursor(found[PAGE_SIZE - 1].id) if len(found) > PAGE_SIZE else None
        return Page([ZoneChangeAnswer.of(view) for view in found[:PAGE_SIZE]], following)

    @post(
        "/{change_id:uuid}/approve",
        status_code=200,
        operation_id="approveZoneChange",
        summary="Approve a change of zone",
        description=(
            "By somebody else than who proposed it; the notice counts from now. New bookings reach past the date no"
            " more. Confirmed ones that do move to equivalent connectors; where one cannot, the change waits until it"
            " is done (`effective_at`, `kept`). Residents of the station are told."
        ),
        responses=answers(
            Unauthenticated, StaffOnly, NotFound, ZoneChangeOver, ZoneChangeNeedsSecondPerson, NoticeTooShort
        ),
    )
    async def approve(self, staff: Staff, change_id: UUID, now: datetime) -> ZoneChangeAnswer:
        """Approve."""
        return ZoneChangeAnswer.of(await zones.approve(staff=staff, change_id=change_id, now=now))

    @post(
        "/{change_id:uuid}/cancel",
        status_code=200,
        operation_id="cancelZoneChange",
        summary="Call a change of zone off",
        description="Before it holds. Bookings for the zone that was to come move first; refused where one cannot.",
        responses=answers(Unauthenticated, StaffOnly, NotFound, ZoneChangeOver, BookingsInTheWay),
    )
    async def cancel(self, staff: Staff, change_id: UUID, data: CancelBody, now: datetime) -> ZoneChangeAnswer:
        """Call off."""
        return ZoneChangeAnswer.of(await zones.cancel(staff=staff, change_id=change_id, reason=data.reason, now=now))


@get(
    "/v1/stations/{station_id:uuid}/zone-changes",
    operation_id="listAnnouncedZoneChanges",
    summary="List the changes of zones announced at a station",
    description="Those approved and still to come, the first first.",
    tags=["discovery"],
    responses=answers(NotFound),
)
async def list_announced(station_id: UUID) -> Page[AnnouncedChange]:
    """List what is announced."""
    return Page(
        [
            AnnouncedChange(
                bay_id=change.bay_id,
                bay_code=change.bay_code,
                zone_from=change.zone_from,
                zone_to=change.zone_to,
                effective_at=change.effective_at,
                announced_at=change.approved_at,
            )
            for change in await zones.announced(station_id=station_id)
        ],
        None,
    )


ROUTES: list[ControllerRouterHandler] = [ZoneChanges, list_announced]
