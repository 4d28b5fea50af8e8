"""What the maintenance feature shows of its rows."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

import msgspec
from msgspec import Meta

from backend.maintenance.rules.checks import Item, Result, Severity


class ChecklistView(msgspec.Struct, frozen=True, kw_only=True):
    """A checklist of an operator company."""

    id: UUID
    operator_company_id: UUID
    name: str
    items: tuple[Item, ...]
    active: bool
    created_at: datetime


class PlanView(msgspec.Struct, frozen=True, kw_only=True):
    """How often a station is inspected, and when next."""

    id: UUID
    checklist_id: UUID
    station_id: UUID
    period_days: Annotated[int, Meta(description="Days between inspections")]
    next_due_at: Annotated[datetime, Meta(description="When the next inspection not yet on the list is due")]
    active: bool


class AnswerView(msgspec.Struct, frozen=True, kw_only=True):
    """What was found at an item."""

    item: str
    result: Result
    note: str
    answered_at: datetime
    answered_by: UUID


class PhotoView(msgspec.Struct, frozen=True, kw_only=True):
    """A picture, without its content; `deleted_at` is when the content went, 30 days after the matter was closed."""

    id: UUID
    inspection_id: UUID | None
    finding_id: UUID | None
    item: str | None
    media_type: str
    size_bytes: int
    added_at: datetime
    deleted_at: datetime | None = None


class InspectionView(msgspec.Struct, frozen=True, kw_only=True):
    """An inspection."""

    id: UUID
    plan_id: UUID
    station_id: UUID
    operator_company_id: UUID
    name: str
    items: tuple[Item, ...]
    due_at: datetime
    status: Literal["open", "started", "completed"]
    started_at: datetime | None
    completed_at: datetime | None


class FindingView(msgspec.Struct, frozen=True, kw_only=True):
    """Something to put right."""

    id: UUID
    inspection_id: UUID | None
    item: str | None
    station_id: UUID
    connector_id: UUID | None
    operator_company_id: UUID
    severity: Severity
    text: str
    due_at: Annotated[datetime, Meta(description="The rectification deadline")]
    status: Literal["open", "rectified", "verified"]
    found_at: datetime
    found_by: UUID
    rectified_at: datetime | None
    rectified_by: UUID | None
    rectified_note: str
    verified_at: datetime | None
    verified_by: UUID | None


class WorkView(msgspec.Struct, frozen=True, kw_only=True):
    """A connector out of service for works."""

    id: UUID
    station_id: UUID
    connector_id: UUID
    operator_company_id: UUID
    claim_id: UUID
    finding_id: UUID | None
    reason: str
    starts_at: datetime
    ends_at: datetime
    status: Literal["planned", "ended", "cancelled"]
    created_at: datetime
    ended_at: datetime | None
