"""Drills, reports of incidents, shifts and shared phones."""

from datetime import datetime, timedelta
from typing import Annotated
from uuid import UUID

from litestar import Controller, Response, delete, get, post, put
from litestar.params import Parameter
from litestar.status_codes import HTTP_200_OK, HTTP_204_NO_CONTENT

from backend.accounts.service.staff import CompanyUnclear
from backend.alerts.schemas import IncidentOut, incident_out
from backend.alerts.schemas_duty import (
    DrillBody,
    HandOverBody,
    PinBody,
    SharedPhoneBody,
    ShiftBody,
    SignOffBody,
    SignOnBody,
)
from backend.alerts.service import drills, duty, reports
from backend.alerts.service.drills import DrillImpossible
from backend.alerts.service.duty import (
    NotASharedPhone,
    NotOnDuty,
    PhoneRegistered,
    PhoneView,
    PinLocked,
    PinWrong,
    SharedPhoneHasNoPin,
    ShiftInvalid,
    ShiftOverlaps,
    ShiftView,
)
from backend.alerts.service.reports import IncidentReport
from backend.core.auth import Staff, StaffOnly
from backend.core.errors import NotFound, Unauthenticated
from backend.core.paging import Page
from backend.core.problem_docs import answers
from backend.stations.service.operate import own_company

WEEK = timedelta(days=7)


class ReportController(Controller):
    """Reports and drills."""

    path = "/v1/staff"
    tags = ("staff",)

    @get(
        "/incidents/{incident_id:uuid}/report.json",
        operation_id="readIncidentReport",
        summary="The report of an incident",
        description="One time line of every reading, action, message and person. Residents are not named.",
        responses=answers(Unauthenticated, StaffOnly, NotFound),
    )
    async def report(self, incident_id: UUID, staff: Staff, now: datetime) -> IncidentReport:
        """Return the report."""
        return await reports.make_report(incident_id=incident_id, staff=staff, now=now)

    @get(
        "/incidents/{incident_id:uuid}/report.pdf",
        operation_id="readIncidentReportPdf",
        summary="The report of an incident as PDF",
        description="In Chinese, for fire brigade and regulator; carries the SHA-256 of the record.",
        media_type="application/pdf",
        responses=answers(Unauthenticated, StaffOnly, NotFound),
    )
    async def report_pdf(self, incident_id: UUID, staff: Staff, now: datetime) -> Response[bytes]:
        """Return the PDF."""
        made = await reports.make_pdf(incident_id=incident_id, staff=staff, now=now)
        name = f'attachment; filename="incident-{incident_id}.pdf"'
        return Response(made, media_type="application/pdf", headers={"content-disposition": name})

    @post(
        "/drills",
        operation_id="startDrill",
        summary="Begin a drill",
        description=(
            "Real pages, tasks and escalation to staff; no resident is told and nothing is switched. What an alarm "
            "would do is written into the time line. It is handled and ended like an incident."
        ),
        responses=answers(Unauthenticated, StaffOnly, NotFound, DrillImpossible),
    )
    async def drill(self, data: DrillBody, staff: Staff, now: datetime) -> IncidentOut:
        """Begin a drill."""
        return incident_out(await drills.start_drill(staff=staff, station_id=data.station_id, note=data.note, now=now))


class DutyController(Controller):
    """Who is on duty."""

    path = "/v1/staff/duty"
    tags = ("staff",)

    @get(
        operation_id="listShifts",
        summary="The roster",
        description="Shifts of the caller's companies that touch the time asked for; else from now on for a week.",
        responses=answers(Unauthenticated, StaffOnly),
    )
    async def roster(
        self,
        staff: Staff,
        now: datetime,
        since: Annotated[datetime | None, Parameter(description="From; left out: now")] = None,
        until: Annotated[datetime | None, Parameter(description="To; left out: a week later")] = None,
    ) -> Page[ShiftView]:
        """Return the shifts."""
        begin = since or now
        return Page(items=await duty.roster(staff=staff, since=begin, until=until or begin + WEEK), next=None)

    @post(
        operation_id="planShift",
        summary="Plan a shift",
        description="Who is on duty is paged; where nobody is, everybody with the role.",
        responses=answers(Unauthenticated, StaffOnly, NotFound, CompanyUnclear, ShiftInvalid, ShiftOverlaps),
    )
    async def plan(self, data: ShiftBody, staff: Staff, now: datetime) -> ShiftView:
        """Plan a shift."""
        companies = staff.company_ids("operator", "lead")
        company_id = data.operator_company_id or next(iter(companies))
        if data.operator_company_id is None and len(companies) > 1:
            raise CompanyUnclear(field="operator_company_id")
        return await duty.plan_shift(
            staff=staff,
            operator_company_id=company_id,
            station_id=data.station_id,
            account_id=data.account_id,
            role=data.role,
            starts_at=data.starts_at,
            ends_at=data.ends_at,
            now=now,
        )

    @delete(
        "/{shift_id:uuid}",
        status_code=HTTP_204_NO_CONTENT,
        operation_id="dropShift",
        summary="Take a shift out of the roster",
        description="Only before it begins; one under way is handed over.",
        responses=answers(Unauthenticated, StaffOnly, NotFound, ShiftInvalid),
    )
    async def drop(self, shift_id: UUID, staff: Staff, now: datetime) -> None:
        """Drop a shift."""
        await duty.drop_shift(staff=staff, shift_id=shift_id, now=now)

    @post(
        "/hand-over",
        status_code=HTTP_200_OK,
        operation_id="handOver",
        summary="Hand the shift over",
        description="The next person is on duty at once and is paged from now on.",
        responses=answers(Unauthenticated, StaffOnly, NotFound, NotOnDuty, ShiftOverlaps),
    )
    async def hand_over(self, data: HandOverBody, staff: Staff, now: datetime) -> ShiftView:
        """Return the next person's shift."""
        return await duty.hand_over(staff=staff, to_account_id=data.to_account_id, note=data.note, now=now)

    @post(
        "/sign-on",
        status_code=HTTP_200_OK,
        operation_id="signOn",
        summary="Sign on at a shared phone",
        description="Called with the phone's own login. Whoever was signed on there is signed off.",
        responses=answers(Unauthenticated, StaffOnly, NotASharedPhone, PinWrong, PinLocked, ShiftOverlaps),
    )
    async def sign_on(self, data: SignOnBody, staff: Staff, now: datetime) -> ShiftView:
        """Return the shift."""
        return await duty.sign_on(phone_account_id=staff.account_id, phone=data.phone, pin=data.pin, now=now)

    @post(
        "/sign-off",
        status_code=HTTP_200_OK,
        operation_id="signOff",
        summary="End the shift",
        description="Of the caller, or of whoever is signed on at this shared phone.",
        responses=answers(Unauthenticated, StaffOnly, NotOnDuty),
    )
    async def sign_off(self, staff: Staff, now: datetime, data: SignOffBody | None = None) -> ShiftView:
        """Return the ended shift."""
        return await duty.sign_off(staff=staff, note=data.note if data is not None else "", now=now)

    @put(
        "/pin",
        status_code=HTTP_204_NO_CONTENT,
        operation_id="setPin",
        summary="Set the PIN for shared phones",
        description="On the person's own phone; kept as a keyed hash. Five wrong ones lock it for 15 minutes.",
        responses=answers(Unauthenticated, StaffOnly, SharedPhoneHasNoPin),
    )
    async def set_pin(self, data: PinBody, staff: Staff) -> None:
        """Set the PIN."""
        await duty.set_pin(staff=staff, pin=data.pin)


class SharedPhoneController(Controller):
    """Phones of guard posts."""

    path = "/v1/operator/shared-phones"
    tags = ("operator",)

    @get(
        operation_id="listSharedPhones",
        summary="Shared phones",
        description="Of the caller's companies.",
        responses=answers(Unauthenticated, StaffOnly),
    )
    async def phones(self, staff: Staff) -> Page[PhoneView]:
        """Return the phones."""
        return Page(items=await duty.list_phones(staff=staff), next=None)

    @post(
        operation_id="registerSharedPhone",
        summary="Register a guard post's phone",
        description="It gets an account of its own with the role of a guard, and logs in by SMS.",
        responses=answers(Unauthenticated, StaffOnly, NotFound, CompanyUnclear, PhoneRegistered),
    )
    async def register(self, data: SharedPhoneBody, staff: Staff, now: datetime) -> PhoneView:
        """Register a phone."""
        return await duty.register_phone(
            staff=staff,
            operator_company_id=own_company(staff, data.operator_company_id),
            station_id=data.station_id,
            phone=data.phone,
            label=data.label,
            now=now,
        )
