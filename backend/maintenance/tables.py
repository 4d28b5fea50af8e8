"""Checklists, plans, inspections with answers and photos, findings, and works that take connectors out of service.

CHECK, UNIQUE and foreign keys are raw SQL in the second migration.
"""

from piccolo.columns import JSONB, UUID, Boolean, Bytea, Integer, Text, Timestamptz, Varchar
from piccolo.table import Table

from backend.core.ids import new_id


class Checklist(Table, tablename="checklist"):
    """What is looked at in an inspection (P 9). Items are never changed: a new list replaces an old one."""

    id = UUID(primary_key=True, default=new_id)
    operator_company_id = UUID(default=None, index=True)
    name = Varchar(length=120)
    items = JSONB()
    active = Boolean(default=True)
    created_by = UUID(default=None)
    created_at = Timestamptz()


class InspectionPlan(Table, tablename="inspection_plan"):
    """How often a station is inspected by a checklist, and when next."""

    id = UUID(primary_key=True, default=new_id)
    checklist_id = UUID(default=None)
    station_id = UUID(default=None)
    period_days = Integer()
    next_due_at = Timestamptz(index=True)
    active = Boolean(default=True)
    created_at = Timestamptz()


class Inspection(Table, tablename="inspection"):
    """One inspection of a station; `items` is the checklist as it was when the inspection came up."""

    id = UUID(primary_key=True, default=new_id)
    plan_id = UUID(default=None)
    station_id = UUID(default=None, index=True)
    operator_company_id = UUID(default=None, index=True)
    name = Varchar(length=120)
    items = JSONB()
    due_at = Timestamptz()
    status = Varchar(length=12, default="open")
    started_at = Timestamptz(null=True, default=None)
    started_by = UUID(null=True, default=None)
    completed_at = Timestamptz(null=True, default=None)
    completed_by = UUID(null=True, default=None)
    overdue_told_at = Timestamptz(null=True, default=None)
    created_at = Timestamptz()


class InspectionAnswer(Table, tablename="inspection_answer"):
    """What was found at one item."""

    id = UUID(primary_key=True, default=new_id)
    inspection_id = UUID(default=None)
    item = Varchar(length=40)
    result = Varchar(length=16)
    note = Text(default="")
    answered_at = Timestamptz()
    answered_by = UUID(default=None)


class Finding(Table, tablename="finding"):
    """Something to put right, by when, who did, and who looked whether it is so."""

    id = UUID(primary_key=True, default=new_id)
    inspection_id = UUID(null=True, default=None, index=True)
    item = Varchar(length=40, null=True, default=None)
    station_id = UUID(default=None, index=True)
    connector_id = UUID(null=True, default=None)
    operator_company_id = UUID(default=None, index=True)
    severity = Varchar(length=10)
    text = Text()
    due_at = Timestamptz()
    status = Varchar(length=12, default="open")
    found_at = Timestamptz()
    found_by = UUID(default=None)
    rectified_at = Timestamptz(null=True, default=None)
    rectified_by = UUID(null=True, default=None)
    rectified_note = Text(default="")
    verified_at = Timestamptz(null=True, default=None)
    verified_by = UUID(null=True, default=None)
    overdue_told_at = Timestamptz(null=True, default=None)


class MaintenancePhoto(Table, tablename="maintenance_photo"):
    """A picture of an inspection's item or of a finding; its content is encrypted in the photo store."""

    id = UUID(primary_key=True, default=new_id)
    inspection_id = UUID(null=True, default=None, index=True)
    finding_id = UUID(null=True, default=None, index=True)
    item = Varchar(length=40, null=True, default=None)
    sha256 = Bytea()
    store_key = Varchar(length=64)
    media_type = Varchar(length=40)
    size_bytes = Integer()
    added_at = Timestamptz()
    added_by = UUID(default=None)
    deleted_at = Timestamptz(null=True, default=None)


class MaintenanceWork(Table, tablename="maintenance_work"):
    """A connector out of service for works from when to when, by a claim of kind maintenance."""

    id = UUID(primary_key=True, default=new_id)
    station_id = UUID(default=None, index=True)
    connector_id = UUID(default=None)
    operator_company_id = UUID(default=None, index=True)
    claim_id = UUID(default=None)
    finding_id = UUID(null=True, default=None)
    reason = Text()
    starts_at = Timestamptz()
    ends_at = Timestamptz()
    status = Varchar(length=12, default="planned")
    created_at = Timestamptz()
    created_by = UUID(default=None)
    ended_at = Timestamptz(null=True, default=None)
    ended_by = UUID(null=True, default=None)
