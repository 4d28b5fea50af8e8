"""Findings: what must be put right by when, who did it, and a second person who looked."""

from datetime import datetime
from uuid import UUID

from backend.core import audit, db
from backend.core.auth import Staff
from backend.core.errors import Conflict, Forbidden, NotFound
from backend.core.ids import new_id
from backend.maintenance import store
from backend.maintenance.rules.checks import Severity, rectify_by
from backend.maintenance.service import PLANNERS, readable, readable_station_ids, workable
from backend.maintenance.views import FindingView
from backend.stations import service as stations


class FindingClosed(Conflict):
    """The finding is in another state."""

    code = "finding_state"
    title_en = "The finding is in another state"
    title_zh = "整改项状态不允许该操作"
    detail_en = "It is {status}. Open ones are rectified, rectified ones are verified or sent back."
    detail_zh = "当前状态为 {status}：待整改项可整改，已整改项可复核或退回。"


class SamePerson(Forbidden):
    """Who rectified a finding may not verify it."""

    code = "second_person_needed"
    title_en = "A second person has to look"
    title_zh = "须由另一人复核"
    detail_en = "You put this right yourself; somebody else has to verify it."
    detail_zh = "整改人不能复核自己的整改。"


async def add(
    *,
    staff: Staff,
    station_id: UUID,
    connector_id: UUID | None,
    severity: Severity,
    text: str,
    now: datetime,
    inspection_id: UUID | None = None,
    item: str | None = None,
) -> FindingView:
    """Write a finding down; its rectification deadline follows from its severity. Raises NotFound, StaffOnly."""
    station = await workable(staff=staff, station_id=station_id)
    if connector_id is not None:
        connector = await stations.get_connector(connector_id=connector_id)
        if connector.station_id != station_id:
            raise NotFound(kind="connector")
    finding_id = new_id()
    async with db.transaction():
        await store.insert(
            "finding",
            {
                "id": finding_id,
                "inspection_id": inspection_id,
                "item": item,
                "station_id": station_id,
                "connector_id": connector_id,
                "operator_company_id": station.operator_company_id,
                "severity": severity,
                "text": text,
                "due_at": rectify_by(severity, found_at=now),
                "status": "open",
                "found_at": now,
                "found_by": staff.account_id,
                "rectified_note": "",
            },
        )
        await _record(staff, "finding.added", finding_id, station.operator_company_id, now)
    return await _get(finding_id)


async def _get(finding_id: UUID, *, lock: bool = False) -> FindingView:
    found = await store.find_finding(finding_id, lock=lock)
    if found is None:
        raise NotFound(kind="finding")
    return found


async def get_finding(*, staff: Staff, finding_id: UUID) -> FindingView:
    """Return a finding of the caller's stations; raises NotFound."""
    found = await _get(finding_id)
    await readable(staff=staff, station_id=found.station_id)
    return found


async def list_findings(
    *, staff: Staff, station_id: UUID | None, status: str | None, overdue: bool, now: datetime
) -> list[FindingView]:
    """Return the findings of the caller's stations, open ones first by deadline, at most 500."""
    ids = await readable_station_ids(staff=staff, station_id=station_id)
    return await store.list_findings(ids, status=status, overdue_at=now if overdue else None)


async def rectify(*, staff: Staff, finding_id: UUID, note: str, now: datetime) -> FindingView:
    """Say that a finding is put right; raises NotFound, StaffOnly, FindingClosed."""
    async with db.transaction():
        found = await _get(finding_id, lock=True)
        await workable(staff=staff, station_id=found.station_id)
        if found.status != "open":
            raise FindingClosed(status=found.status)
        await store.mark_rectified(finding_id, staff.account_id, note, now)
        await _record(staff, "finding.rectified", finding_id, found.operator_company_id, now)
    return await _get(finding_id)


async def verify(*, staff: Staff, finding_id: UUID, accepted: bool, now: datetime) -> FindingView:
    """Accept what was put right, or send it back; the deadline stays. Leads and operators, and never who did the work.

    Raises NotFound, StaffOnly, FindingClosed, SamePerson.
    """
    async with db.transaction():
        found = await _get(finding_id, lock=True)
        await workable(staff=staff, station_id=found.station_id, roles=PLANNERS)
        if found.status != "rectified":
            raise FindingClosed(status=found.status)
        if found.rectified_by == staff.account_id:
            raise SamePerson
        if accepted:
            await store.mark_verified(finding_id, staff.account_id, now)
        else:
            await store.reopen(finding_id)
        action = "finding.verified" if accepted else "finding.sent_back"
        await _record(staff, action, finding_id, found.operator_company_id, now)
    return await _get(finding_id)


async def _record(staff: Staff, action: str, finding_id: UUID, company_id: UUID, now: datetime) -> None:
    await audit.record(
        actor_id=staff.account_id,
        actor_role=staff.role_at(company_id),
        action=action,
        object_kind="finding",
        object_id=finding_id,
        detail={},
        now=now,
        operator_company_id=company_id,
    )
