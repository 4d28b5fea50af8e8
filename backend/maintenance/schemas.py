"""Bodies and answers of inspection and maintenance."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

import msgspec
from msgspec import Meta

from backend.maintenance.rules.checks import Item, Result, Severity
from backend.maintenance.views import AnswerView, FindingView, InspectionView, PhotoView, WorkView

Instant = Annotated[datetime, Meta(tz=True, description="RFC 3339 with offset")]
Note = Annotated[str, Meta(max_length=1000, description="In words; no personal data")]


class ChecklistBody(msgspec.Struct, kw_only=True):
    """A checklist to add."""

    operator_company_id: UUID
    name: Annotated[str, Meta(min_length=1, max_length=120)]
    items: Annotated[list[Item] | None, Meta(description="Left out: the standard list of a pilot station")] = None


class PlanBody(msgspec.Struct, kw_only=True):
    """How often a station is inspected."""

    station_id: UUID
    period_days: Annotated[int, Meta(ge=1, le=730, description="Days between inspections")]
    first_due_at: Instant


class AnswerBody(msgspec.Struct, kw_only=True):
    """What was found at an item."""

    item: Annotated[str, Meta(max_length=40, description="Key of the item")]
    result: Annotated[Result, Meta(description="A fault becomes a finding with a rectification deadline")]
    note: Note = ""
    connector_id: Annotated[UUID | None, Meta(description="Where the fault is, if at one connector")] = None


class FindingBody(msgspec.Struct, kw_only=True):
    """Something to put right that was found outside an inspection."""

    station_id: UUID
    severity: Annotated[Severity, Meta(description="Deadline: critical 1 day, major 7, minor 30")]
    text: Annotated[str, Meta(min_length=1, max_length=1000)]
    connector_id: UUID | None = None


class RectifyBody(msgspec.Struct, kw_only=True):
    """What was done."""

    note: Annotated[str, Meta(min_length=1, max_length=1000)]


class VerifyBody(msgspec.Struct, kw_only=True):
    """Whether it is right now."""

    accepted: Annotated[bool, Meta(description="False sends it back; the deadline stays")]


class WorkBody(msgspec.Struct, kw_only=True):
    """Works that take a connector out of service."""

    connector_id: UUID
    starts_at: Annotated[datetime, Meta(tz=True, description="In the past means now")]
    ends_at: Instant
    reason: Annotated[str, Meta(min_length=1, max_length=500)]
    finding_id: Annotated[UUID | None, Meta(description="The finding that is put right")] = None


class WorkAnswer(msgspec.Struct, kw_only=True):
    """Works, and the bookings that moved for them."""

    work: WorkView
    bookings_moved: Annotated[int, Meta(description="Bookings that were given an equivalent place and told so")]


class InspectionDetail(msgspec.Struct, kw_only=True):
    """An inspection with everything found."""

    inspection: InspectionView
    answers: list[AnswerView]
    photos: list[PhotoView]
    findings: list[FindingView]
