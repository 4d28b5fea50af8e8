"""Checklists, plans and inspections: they come up by themselves, each item is answered, faults become findings."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from backend.core import audit, db
from backend.core.auth import Staff, StaffOnly
from backend.core.errors import Conflict, Invalid, NotFound
from backend.core.ids import new_id
from backend.maintenance import store
from backend.maintenance.rules.checks import COMES_UP_BEFORE, STANDARD, Item, Result, missing, next_due, problems_of
from backend.maintenance.service import PLANNERS, READERS, findings, readable, readable_station_ids, workable
from backend.maintenance.views import (
    AnswerView,
    ChecklistView,
    FindingView,
    InspectionView,
    PhotoView,
    PlanView,
)


class ChecklistInvalid(Invalid):
    """A checklist has no items, or two of one key."""

    code = "checklist_invalid"
    title_en = "The checklist is not valid"
    title_zh = "巡检表无效"
    detail_en = "{problem}"
    detail_zh = "检查项不能为空，编码须唯一（小写字母、数字、下划线）。"


class InspectionClosed(Conflict):
    """The inspection was completed, or not yet begun."""

    code = "inspection_state"
    title_en = "The inspection is {status}"
    title_zh = "巡检状态不允许该操作"
    detail_en = "It is {status}. Start it before answering; what is completed stays as it is."
    detail_zh = "请先开始巡检；已完成的巡检不可更改。"


class InspectionIncomplete(Conflict):
    """Items without an answer, or without the picture they need; `missing` names each."""

    code = "inspection_incomplete"
    title_en = "The inspection is not complete"
    title_zh = "巡检尚未完成"
    detail_en = "See 'missing' for the answers and photos that are needed."
    detail_zh = "缺少的检查结果或照片见 missing。"


async def create_checklist(
    *, staff: Staff, operator_company_id: UUID, name: str, items: Sequence[Item] | None, now: datetime
) -> ChecklistView:
    """Add a checklist; without items the standard one. Raises StaffOnly, ChecklistInvalid."""
    if not staff.may(*PLANNERS, operator_company_id=operator_company_id):
        raise StaffOnly(roles=", ".join(PLANNERS))
    used = STANDARD if items is None else tuple(items)
    if problems := problems_of(used):
        raise ChecklistInvalid(problem="; ".join(problems))
    made = ChecklistView(
        id=new_id(), operator_company_id=operator_company_id, name=name, items=used, active=True, created_at=now
    )
    async with db.transaction():
        await store.insert(
            "checklist",
            {
                "id": made.id,
                "operator_company_id": operator_company_id,
                "name": name,
                "items": store.encode_items(used),
                "active": True,
                "created_by": staff.account_id,
                "created_at": now,
            },
        )
        await _record(staff, "checklist.created", "checklist", made.id, operator_company_id, now)
    return made


async def list_checklists(*, staff: Staff) -> list[ChecklistView]:
    """Return the checklists of the caller's companies, those in use first."""
    return await store.list_checklists(sorted(staff.company_ids(*READERS)))


async def _own_checklist(staff: Staff, checklist_id: UUID) -> ChecklistView:
    found = await store.find_checklist(checklist_id)
    if found is None or not staff.may(*PLANNERS, operator_company_id=found.operator_company_id):
        raise NotFound(kind="checklist")
    return found


async def retire_checklist(*, staff: Staff, checklist_id: UUID, now: datetime) -> None:
    """Stop using a checklist and its plans; inspections that came up stay. Raises NotFound."""
    async with db.transaction():
        checklist = await _own_checklist(staff, checklist_id)
        await store.retire_checklist(checklist_id)
        await _record(staff, "checklist.retired", "checklist", checklist_id, checklist.operator_company_id, now)


async def plan(
    *, staff: Staff, checklist_id: UUID, station_id: UUID, period_days: int, first_due_at: datetime, now: datetime
) -> PlanView:
    """Have a station inspected by a checklist every so many days; replaces the plan there is. Raises NotFound."""
    async with db.transaction():
        checklist = await _own_checklist(staff, checklist_id)
        station = await workable(staff=staff, station_id=station_id, roles=PLANNERS)
        if station.operator_company_id != checklist.operator_company_id or not checklist.active:
            raise NotFound(kind="checklist")
        made = await store.put_plan(new_id(), checklist_id, station_id, period_days, first_due_at, now)
        await _record(staff, "inspection.planned", "inspection_plan", made.id, station.operator_company_id, now)
    return made


async def list_plans(*, staff: Staff, station_id: UUID | None) -> list[PlanView]:
    """Return the plans of the caller's stations, soonest first."""
    return await store.list_plans(await readable_station_ids(staff=staff, station_id=station_id))


async def bring_up(*, now: datetime) -> int:
    """Make the inspections that are due within a week, and move their plans on; returns how many. Idempotent."""
    made = 0
    async with db.transaction():
        for row in await store.claim_due_plans(now + COMES_UP_BEFORE):
            made += await store.add_inspection(
                {
                    "id": new_id(),
                    "plan_id": row["id"],
                    "station_id": row["station_id"],
                    "operator_company_id": row["operator_company_id"],
                    "name": row["name"],
                    "items": row["items"],
                    "due_at": row["next_due_at"],
                    "created_at": now,
                }
            )
            following = next_due(row["next_due_at"], period_days=row["period_days"], now=now)
            await store.move_plan(row["id"], following)
    return made


async def list_inspections(
    *, staff: Staff, station_id: UUID | None, open_only: bool, overdue: bool, now: datetime
) -> list[InspectionView]:
    """Return the inspections of the caller's stations, latest due first, at most 500."""
    ids = await readable_station_ids(staff=staff, station_id=station_id)
    return await store.list_inspections(ids, open_only=open_only, overdue_at=now if overdue else None)


async def get_inspection(
    *, staff: Staff, inspection_id: UUID
) -> tuple[InspectionView, list[AnswerView], list[PhotoView], list[FindingView]]:
    """Return an inspection with answers, photos and findings; raises NotFound."""
    found = await store.find_inspection(inspection_id)
    if found is None:
        raise NotFound(kind="inspection")
    await readable(staff=staff, station_id=found.station_id)
    made = await store.list_findings([found.station_id], status=None, overdue_at=None, inspection_id=inspection_id)
    photos = await store.list_photos(inspection_id=inspection_id)
    return found, await store.list_answers(inspection_id), photos, made


async def _locked(staff: Staff, inspection_id: UUID, *, status: str) -> InspectionView:
    found = await store.find_inspection(inspection_id, lock=True)
    if found is None:
        raise NotFound(kind="inspection")
    await workable(staff=staff, station_id=found.station_id)
    if found.status != status:
        raise InspectionClosed(status=found.status)
    return found


async def start(*, staff: Staff, inspection_id: UUID, now: datetime) -> None:
    """Begin an inspection; raises NotFound, StaffOnly, InspectionClosed."""
    async with db.transaction():
        found = await _locked(staff, inspection_id, status="open")
        await store.mark_started(inspection_id, staff.account_id, now)
        await _record(staff, "inspection.started", "inspection", inspection_id, found.operator_company_id, now)


async def answer(
    *,
    staff: Staff,
    inspection_id: UUID,
    item: str,
    result: Result,
    note: str,
    connector_id: UUID | None,
    now: datetime,
) -> FindingView | None:
    """Answer an item; a fault becomes a finding with its deadline (once, however often it is answered so).

    Raises NotFound, StaffOnly, InspectionClosed.
    """
    async with db.transaction():
        found = await _locked(staff, inspection_id, status="started")
        wanted = next((each for each in found.items if each.key == item), None)
        if wanted is None:
            raise NotFound(kind="item")
        await store.put_answer(new_id(), inspection_id, item, result, note, staff.account_id, now)
        if result != "fault":
            return None
        present = await store.find_finding_of_item(inspection_id, item)
        if present is not None:
            return present
        return await findings.add(
            staff=staff,
            station_id=found.station_id,
            connector_id=connector_id,
            severity=wanted.severity,
            text=note or wanted.text_zh,
            inspection_id=inspection_id,
            item=item,
            now=now,
        )


async def complete(*, staff: Staff, inspection_id: UUID, now: datetime) -> None:
    """Close an inspection; raises InspectionIncomplete while an answer or a needed photo lacks."""
    async with db.transaction():
        found = await _locked(staff, inspection_id, status="started")
        answered = {each.item for each in await store.list_answers(inspection_id)}
        pictured = {each.item for each in await store.list_photos(inspection_id=inspection_id) if each.item}
        if lacking := missing(found.items, answered=answered, pictured=pictured):
            raise InspectionIncomplete(missing=lacking)
        await store.mark_completed(inspection_id, staff.account_id, now)
        await _record(staff, "inspection.completed", "inspection", inspection_id, found.operator_company_id, now)


async def _record(staff: Staff, action: str, kind: str, object_id: UUID, company_id: UUID, now: datetime) -> None:
    await audit.record(
        actor_id=staff.account_id,
        actor_role=staff.role_at(company_id),
        action=action,
        object_kind=kind,
        object_id=object_id,
        detail={},
        now=now,
        operator_company_id=company_id,
    )
