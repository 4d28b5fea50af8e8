"""HTTP paths of reports of blocked bays: a resident's own, and those of the people on site."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

import msgspec
from litestar import Controller, Response, get, post
from litestar.datastructures import UploadFile
from litestar.enums import RequestEncodingType
from litestar.params import Body, Parameter
from litestar.types import ControllerRouterHandler
from msgspec import Meta

from backend.agreements.rules import files
from backend.core.auth import Principal, Staff, StaffOnly
from backend.core.errors import NotFound, Unauthenticated
from backend.core.paging import CursorInvalid, Page, decode_cursor, encode_cursor
from backend.core.problem_docs import answers
from backend.reservations.service import bay_reports
from backend.reservations.service.bay_reports import (
    CarMayStand,
    PhotoRefused,
    ReportingSuspended,
    ReportOver,
    TooManyReports,
)
from backend.reservations.store.bay_reports import BayReportView
from backend.stations import service as stations

PAGE_SIZE = 50


class BayReportBody(msgspec.Struct, kw_only=True):
    """Which bay is blocked."""

    station_id: Annotated[UUID, Meta(description="The station")]
    bay_code: Annotated[str, Meta(max_length=64, description="What is painted on the bay", examples=["R01"])]
    note: Annotated[str, Meta(max_length=300, description="In the resident's own words")] | None = None


class DecisionBody(msgspec.Struct, kw_only=True):
    """What was found on site."""

    verdict: Annotated[Literal["confirmed", "false"], Meta(description="Whether a car was there that should not be")]
    reason: Annotated[str, Meta(min_length=3, max_length=200, description="What was found and done; kept on record")]


class BayReportAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A report as its resident sees it."""

    id: UUID
    station_id: UUID
    bay_id: UUID
    reported_at: Annotated[datetime, Meta(tz=True, description="When it was reported")]
    needs_photo: Annotated[bool, Meta(description="The bay's devices see no car: it is followed once a photo is sent")]
    has_photo: bool
    verdict: Annotated[str | None, Meta(description="confirmed, false, or gone (the bay was seen empty)")]
    closed_at: Annotated[datetime | None, Meta(description="When it was closed")]

    @classmethod
    def of(cls, view: BayReportView) -> "BayReportAnswer":
        """Make the answer from the view."""
        names = [name for name in cls.__struct_fields__ if name != "needs_photo"]
        return cls(needs_photo=view.doubted, **{name: getattr(view, name) for name in names})


class StaffBayReport(BayReportAnswer, frozen=True, kw_only=True):
    """A report as the people on site see it: no name, no plate."""

    note: Annotated[str | None, Meta(description="The resident's own words")] = None
    decided_by: Annotated[UUID | None, Meta(description="Who decided")] = None
    decided_reason: Annotated[str | None, Meta(description="What was found and done")] = None

    @classmethod
    def for_staff(cls, view: BayReportView) -> "StaffBayReport":
        """Make the answer from the view."""
        return cls(
            **msgspec.structs.asdict(BayReportAnswer.of(view)),
            note=bay_reports.note_of(view),
            decided_by=view.decided_by,
            decided_reason=view.decided_reason,
        )


class BayReports(Controller):
    """The caller's reports."""

    path = "/v1/bay-reports"
    tags = ("bookings",)

    @post(
        operation_id="reportBay",
        summary="Report a blocked bay",
        description=(
            "The owner of the car is warned first where known, then a guard is sent. Five a day; three found false"
            " within 30 days end reporting for 30 days. Where the bay's devices see no car, send a photo too"
            " (`needs_photo`). Repeating an open report is harmless."
        ),
        responses=answers(Unauthenticated, NotFound, CarMayStand, ReportingSuspended, TooManyReports),
    )
    async def report(self, principal: Principal, data: BayReportBody, now: datetime) -> BayReportAnswer:
        """Report."""
        bay = await stations.find_bay(station_id=data.station_id, code=data.bay_code.strip())
        if bay is None:
            raise NotFound(kind="bay")
        view = await bay_reports.report(account_id=principal.account_id, bay_id=bay.id, note=data.note, now=now)
        return BayReportAnswer.of(view)

    @get(
        operation_id="listBayReports",
        summary="List the own reports of bays",
        description="The newest first, with what was found.",
        responses=answers(Unauthenticated),
    )
    async def list(self, principal: Principal) -> Page[BayReportAnswer]:
        """List reports."""
        found = await bay_reports.list_own(account_id=principal.account_id)
        return Page([BayReportAnswer.of(view) for view in found], None)

    @post(
        "/{report_id:uuid}/photo",
        status_code=200,
        operation_id="addBayReportPhoto",
        summary="Add a photo to an own report",
        description=(
            "multipart/form-data with `file`: JPEG, PNG, WebP or HEIC of at most 10 MB. Kept encrypted for 30 days, for"
            " the station's staff only."
        ),
        request_max_body_size=files.MAX_BYTES + 1024 * 1024,
        responses=answers(Unauthenticated, NotFound, ReportOver, PhotoRefused),
    )
    async def add_photo(
        self,
        principal: Principal,
        report_id: UUID,
        data: Annotated[dict[str, UploadFile], Body(media_type=RequestEncodingType.MULTI_PART)],
        now: datetime,
    ) -> BayReportAnswer:
        """Add the photo."""
        file = data.get("file")
        if file is None:
            raise PhotoRefused(field="file")
        view = await bay_reports.add_photo(
            account_id=principal.account_id, report_id=report_id, content=await file.read(), now=now
        )
        return BayReportAnswer.of(view)


class StaffBayReports(Controller):
    """Reports at the caller's stations."""

    path = "/v1/staff/bay-reports"
    tags = ("work on site",)

    @get(
        operation_id="listStaffBayReports",
        summary="List reports of blocked bays",
        description="Of the own companies and stations, the newest first.",
        responses=answers(Unauthenticated, StaffOnly, CursorInvalid),
    )
    async def list(
        self,
        staff: Staff,
        open: Annotated[bool, Parameter(description="Only those not closed")] = False,
        cursor: Annotated[str | None, Parameter(description="`next` of the previous page")] = None,
    ) -> Page[StaffBayReport]:
        """List reports."""
        before = decode_cursor(cursor, UUID)[0] if cursor else None
        found = await bay_reports.list_for_staff(staff=staff, open_only=open, before=before, limit=PAGE_SIZE + 1)
        following = encode_cursor(found[PAGE_SIZE - 1].id) if len(found) > PAGE_SIZE else None
        return Page([StaffBayReport.for_staff(view) for view in found[:PAGE_SIZE]], following)

    @get(
        "/{report_id:uuid}/photo",
        operation_id="getBayReportPhoto",
        summary="Read the photo of a report",
        description="For the station's staff; that it was read is on record.",
        media_type="application/octet-stream",
        responses=answers(Unauthenticated, StaffOnly, NotFound),
    )
    async def photo(self, staff: Staff, report_id: UUID, now: datetime) -> Response[bytes]:
        """Read the photo."""
        media_type, content = await bay_reports.read_photo(staff=staff, report_id=report_id, now=now)
        return Response(
            content=content,
            media_type=media_type,
            headers={"cache-control": "private, no-store", "x-content-type-options": "nosniff"},
        )

    @post(
        "/{report_id:uuid}/decide",
        status_code=200,
        operation_id="decideBayReport",
        summary="Say what was found in a reported bay",
        description="Closes every open report of the bay and its task; who reported is told. The reason is on record.",
        responses=answers(Unauthenticated, StaffOnly, NotFound, ReportOver),
    )
    async def decide(self, staff: Staff, report_id: UUID, data: DecisionBody, now: datetime) -> StaffBayReport:
        """Decide."""
        view = await bay_reports.decide(
            staff=staff, report_id=report_id, verdict=data.verdict, reason=data.reason, now=now
        )
        return StaffBayReport.for_staff(view)


ROUTES: list[ControllerRouterHandler] = [BayReports, StaffBayReports]
