"""HTTP paths of inspections, findings and works: planning for operators and leads, the doing for staff on site."""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from litestar import Controller, Response, delete, get, post
from litestar.datastructures import UploadFile
from litestar.enums import RequestEncodingType
from litestar.params import Body, Parameter
from litestar.status_codes import HTTP_200_OK
from litestar.types import ControllerRouterHandler

from backend.core.auth import Staff, StaffOnly
from backend.core.errors import NotFound, Unauthenticated
from backend.core.paging import Page
from backend.core.problem_docs import answers
from backend.core.services import Services
from backend.maintenance.gateways.photos import PhotoStore
from backend.maintenance.schemas import (
    AnswerBody,
    ChecklistBody,
    FindingBody,
    InspectionDetail,
    PlanBody,
    RectifyBody,
    VerifyBody,
    WorkAnswer,
    WorkBody,
)
from backend.maintenance.service import findings, inspections, works
from backend.maintenance.service import photos as photo_service
from backend.maintenance.service.findings import FindingClosed, SamePerson
from backend.maintenance.service.inspections import ChecklistInvalid, InspectionClosed, InspectionIncomplete
from backend.maintenance.service.photos import PhotoGone, PhotoRefused, TooManyPhotos
from backend.maintenance.service.works import WorkClosed, WorkPeriodInvalid
from backend.maintenance.views import ChecklistView, FindingView, InspectionView, PhotoView, PlanView, WorkView
from backend.reservations.service.claims import ConnectorTaken
from backend.reservations.service.moving import BookingsInTheWay

PHOTO_MAX_BYTES = 11 * 1024 * 1024
AtStation = Annotated[UUID | None, Parameter(description="Only of this station")]
Overdue = Annotated[bool, Parameter(description="Only what is past its date")]


@dataclass
class PhotoForm:
    """multipart/form-data: `file`, and for an inspection the key of the item it shows."""

    file: UploadFile
    item: str | None = None


class Checklists(Controller):
    """Checklists and plans."""

    path = "/v1/operator/checklists"
    tags = ("maintenance",)

    @get(
        operation_id="listChecklists",
        summary="List the own checklists",
        description="Those in use first; all on one page.",
        responses=answers(Unauthenticated, StaffOnly),
    )
    async def list_own(self, staff: Staff) -> Page[ChecklistView]:
        """List."""
        return Page(await inspections.list_checklists(staff=staff))

    @post(
        operation_id="createChecklist",
        summary="Add a checklist",
        description="Without items: the standard list of a pilot station. It never changes: retire it, add another.",
        responses=answers(Unauthenticated, StaffOnly, ChecklistInvalid),
    )
    async def create(self, staff: Staff, data: ChecklistBody, now: datetime) -> ChecklistView:
        """Add."""
        return await inspections.create_checklist(
            staff=staff, operator_company_id=data.operator_company_id, name=data.name, items=data.items, now=now
        )

    @delete(
        "/{checklist_id:uuid}",
        operation_id="retireChecklist",
        summary="Stop using a checklist",
        description="Its plans end; inspections that came up stay.",
        responses=answers(Unauthenticated, StaffOnly, NotFound),
    )
    async def retire(self, staff: Staff, checklist_id: UUID, now: datetime) -> None:
        """Retire."""
        await inspections.retire_checklist(staff=staff, checklist_id=checklist_id, now=now)

    @post(
        "/{checklist_id:uuid}/plans",
        status_code=HTTP_200_OK,
        operation_id="planInspections",
        summary="Have a station inspected regularly",
        description="Replaces the plan of this checklist there. Inspections come up a week before their date.",
        responses=answers(Unauthenticated, StaffOnly, NotFound),
    )
    async def plan(self, staff: Staff, checklist_id: UUID, data: PlanBody, now: datetime) -> PlanView:
        """Plan."""
        return await inspections.plan(
            staff=staff,
            checklist_id=checklist_id,
            station_id=data.station_id,
            period_days=data.period_days,
            first_due_at=data.first_due_at,
            now=now,
        )

    @get(
        "/plans",
        operation_id="listInspectionPlans",
        summary="List the plans",
        description="Soonest due first.",
        responses=answers(Unauthenticated, StaffOnly, NotFound),
    )
    async def list_plans(self, staff: Staff, station_id: AtStation = None) -> Page[PlanView]:
        """List plans."""
        return Page(await inspections.list_plans(staff=staff, station_id=station_id))


class Inspections(Controller):
    """Inspections on site."""

    path = "/v1/staff/inspections"
    tags = ("maintenance",)

    @get(
        operation_id="listInspections",
        summary="List inspections",
        description="Of the caller's stations, latest due first, at most 500.",
        responses=answers(Unauthenticated, StaffOnly, NotFound),
    )
    async def list_inspections(
        self,
        staff: Staff,
        now: datetime,
        station_id: AtStation = None,
        open_only: Annotated[bool, Parameter(description="Leave completed ones out")] = False,
        overdue: Overdue = False,
    ) -> Page[InspectionView]:
        """List."""
        return Page(
            await inspections.list_inspections(
                staff=staff, station_id=station_id, open_only=open_only, overdue=overdue, now=now
            )
        )

    async def _whole(self, staff: Staff, inspection_id: UUID) -> InspectionDetail:
        inspection, answered, pictures, made = await inspections.get_inspection(
            staff=staff, inspection_id=inspection_id
        )
        return InspectionDetail(inspection=inspection, answers=answered, photos=pictures, findings=made)

    @get(
        "/{inspection_id:uuid}",
        operation_id="getInspection",
        summary="Read an inspection",
        description="With answers, photos and findings.",
        responses=answers(Unauthenticated, StaffOnly, NotFound),
    )
    async def read(self, staff: Staff, inspection_id: UUID) -> InspectionDetail:
        """Read."""
        return await self._whole(staff, inspection_id)

    @post(
        "/{inspection_id:uuid}/start",
        status_code=HTTP_200_OK,
        operation_id="startInspection",
        summary="Begin an inspection",
        description="From then on items can be answered and photos added.",
        responses=answers(Unauthenticated, StaffOnly, NotFound, InspectionClosed),
    )
    async def start(self, staff: Staff, inspection_id: UUID, now: datetime) -> InspectionDetail:
        """Begin."""
        await inspections.start(staff=staff, inspection_id=inspection_id, now=now)
        return await self._whole(staff, inspection_id)

    @post(
        "/{inspection_id:uuid}/answers",
        status_code=HTTP_200_OK,
        operation_id="answerInspection",
        summary="Answer an item",
        description="Again to correct it. A fault makes one finding with a rectification deadline by its severity.",
        responses=answers(Unauthenticated, StaffOnly, NotFound, InspectionClosed),
    )
    async def answer(self, staff: Staff, inspection_id: UUID, data: AnswerBody, now: datetime) -> InspectionDetail:
        """Answer."""
        await inspections.answer(
            staff=staff,
            inspection_id=inspection_id,
            item=data.item,
            result=data.result,
            note=data.note,
            connector_id=data.connector_id,
            now=now,
        )
        return await self._whole(staff, inspection_id)

    @post(
        "/{inspection_id:uuid}/photos",
        operation_id="addInspectionPhoto",
        summary="Add a photo of an item",
        description="multipart/form-data: file (JPEG, PNG, WebP, HEIC, at most 10 MB) and item. Kept encrypted.",
        request_max_body_size=PHOTO_MAX_BYTES,
        responses=answers(Unauthenticated, StaffOnly, NotFound, InspectionClosed, PhotoRefused, TooManyPhotos),
    )
    async def add_photo(
        self,
        staff: Staff,
        inspection_id: UUID,
        data: Annotated[PhotoForm, Body(media_type=RequestEncodingType.MULTI_PART)],
        services: Services,
        now: datetime,
    ) -> PhotoView:
        """Add a photo."""
        return await photo_service.add_photo(
            staff=staff,
            inspection_id=inspection_id,
            finding_id=None,
            item=data.item,
            content=await data.file.read(),
            photos=services.get(PhotoStore),  # type: ignore[type-abstract]
            now=now,
        )

    @post(
        "/{inspection_id:uuid}/complete",
        status_code=HTTP_200_OK,
        operation_id="completeInspection",
        summary="Complete an inspection",
        description="Refused with `missing` while answers or needed photos lack. Nothing of it changes afterwards.",
        responses=answers(Unauthenticated, StaffOnly, NotFound, InspectionClosed, InspectionIncomplete),
    )
    async def complete(self, staff: Staff, inspection_id: UUID, now: datetime) -> InspectionDetail:
        """Complete."""
        await inspections.complete(staff=staff, inspection_id=inspection_id, now=now)
        return await self._whole(staff, inspection_id)


class Findings(Controller):
    """What must be put right."""

    path = "/v1/staff/findings"
    tags = ("maintenance",)

    @get(
        operation_id="listFindings",
        summary="List findings",
        description="Of the caller's stations; open ones first, by deadline; at most 500.",
        responses=answers(Unauthenticated, StaffOnly, NotFound),
    )
    async def list_findings(
        self,
        staff: Staff,
        now: datetime,
        station_id: AtStation = None,
        status: Annotated[
            Literal["open", "rectified", "verified"] | None, Parameter(description="Only in this state")
        ] = None,
        overdue: Overdue = False,
    ) -> Page[FindingView]:
        """List."""
        return Page(
            await findings.list_findings(staff=staff, station_id=station_id, status=status, overdue=overdue, now=now)
        )

    @post(
        operation_id="addFinding",
        summary="Write a finding down",
        description="Its deadline follows from its severity.",
        responses=answers(Unauthenticated, StaffOnly, NotFound),
    )
    async def add(self, staff: Staff, data: FindingBody, now: datetime) -> FindingView:
        """Add."""
        return await findings.add(
            staff=staff,
            station_id=data.station_id,
            connector_id=data.connector_id,
            severity=data.severity,
            text=data.text,
            now=now,
        )

    @post(
        "/{finding_id:uuid}/photos",
        operation_id="addFindingPhoto",
        summary="Add a photo to a finding",
        description="multipart/form-data: file. Before or after it was put right.",
        request_max_body_size=PHOTO_MAX_BYTES,
        responses=answers(Unauthenticated, StaffOnly, NotFound, PhotoRefused, TooManyPhotos),
    )
    async def add_photo(
        self,
        staff: Staff,
        finding_id: UUID,
        data: Annotated[PhotoForm, Body(media_type=RequestEncodingType.MULTI_PART)],
        services: Services,
        now: datetime,
    ) -> PhotoView:
        """Add a photo."""
        return await photo_service.add_photo(
            staff=staff,
            inspection_id=None,
            finding_id=finding_id,
            item=None,
            content=await data.file.read(),
            photos=services.get(PhotoStore),  # type: ignore[type-abstract]
            now=now,
        )

    @post(
        "/{finding_id:uuid}/rectify",
        status_code=HTTP_200_OK,
        operation_id="rectifyFinding",
        summary="Say that a finding is put right",
        description="A second person has to verify it.",
        responses=answers(Unauthenticated, StaffOnly, NotFound, FindingClosed),
    )
    async def rectify(self, staff: Staff, finding_id: UUID, data: RectifyBody, now: datetime) -> FindingView:
        """Rectify."""
        return await findings.rectify(staff=staff, finding_id=finding_id, note=data.note, now=now)

    @post(
        "/{finding_id:uuid}/verify",
        status_code=HTTP_200_OK,
        operation_id="verifyFinding",
        summary="Accept what was put right, or send it back",
        description="For leads and operators, and never for who put it right.",
        responses=answers(Unauthenticated, StaffOnly, NotFound, FindingClosed, SamePerson),
    )
    async def verify(self, staff: Staff, finding_id: UUID, data: VerifyBody, now: datetime) -> FindingView:
        """Verify."""
        return await findings.verify(staff=staff, finding_id=finding_id, accepted=data.accepted, now=now)


class Works(Controller):
    """Works that take connectors out of service."""

    path = "/v1/staff/maintenance"
    tags = ("maintenance",)

    @get(
        operation_id="listWorks",
        summary="List works under way and ahead",
        description="Of the caller's stations, soonest first, at most 500.",
        responses=answers(Unauthenticated, StaffOnly, NotFound),
    )
    async def list_works(self, staff: Staff, now: datetime, station_id: AtStation = None) -> Page[WorkView]:
        """List."""
        return Page(await works.list_works(staff=staff, station_id=station_id, after=now))

    @post(
        operation_id="planWork",
        summary="Take a connector out of service for works",
        description=(
            "By a claim: nobody can book it, walk up to it or be offered it meanwhile. Bookings in the period move to"
            " equivalent places and their residents are told; where one has none, nothing is changed and it is refused."
        ),
        responses=answers(Unauthenticated, StaffOnly, NotFound, WorkPeriodInvalid, BookingsInTheWay, ConnectorTaken),
    )
    async def plan(self, staff: Staff, data: WorkBody, now: datetime) -> WorkAnswer:
        """Plan."""
        made = await works.plan_work(
            staff=staff,
            connector_id=data.connector_id,
            starts_at=data.starts_at,
            ends_at=data.ends_at,
            reason=data.reason,
            finding_id=data.finding_id,
            now=now,
        )
        return WorkAnswer(work=made.work, bookings_moved=made.bookings_moved)

    @post(
        "/{work_id:uuid}/end",
        status_code=HTTP_200_OK,
        operation_id="endWork",
        summary="Give a connector back",
        description="Before the period is over, or before it began (then the works are cancelled).",
        responses=answers(Unauthenticated, StaffOnly, NotFound, WorkClosed),
    )
    async def end(self, staff: Staff, work_id: UUID, now: datetime) -> WorkView:
        """End."""
        return await works.end_work(staff=staff, work_id=work_id, now=now)


@get(
    "/v1/staff/photos/{photo_id:uuid}",
    operation_id="readMaintenancePhoto",
    summary="Read a photo of an inspection or finding",
    description=(
        "The content as it was uploaded; for the staff of its station. It is deleted 30 days after the inspection with"
        " all its findings, or the finding, was closed."
    ),
    tags=["maintenance"],
    responses=answers(Unauthenticated, StaffOnly, NotFound, PhotoGone),
)
async def read_photo(staff: Staff, photo_id: UUID, services: Services) -> Response[bytes]:
    """Read a photo."""
    view, content = await photo_service.read_photo(
        staff=staff,
        photo_id=photo_id,
        photos=services.get(PhotoStore),  # type: ignore[type-abstract]
    )
    headers = {"Cache-Control": "private, no-store", "X-Content-Type-Options": "nosniff"}
    return Response(content, media_type=view.media_type, headers=headers)


ROUTES: list[ControllerRouterHandler] = [Checklists, Inspections, Findings, Works, read_photo]
