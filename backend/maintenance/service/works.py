"""Works: a connector goes out of service by a claim of its own; bookings ahead move first, or it is refused."""

from datetime import datetime, timedelta
from uuid import UUID

import msgspec

from backend.core import audit, db
from backend.core.auth import Staff
from backend.core.errors import Conflict, Invalid, NotFound
from backend.core.ids import new_id
from backend.maintenance import store
from backend.maintenance.service import findings, readable_station_ids, workable
from backend.maintenance.views import WorkView
from backend.reservations.service import claims, outages
from backend.stations import service as stations

LONGEST = timedelta(days=90)


class WorkPeriodInvalid(Invalid):
    """The period is over, turned round, or longer than 90 days."""

    code = "work_period_invalid"
    title_en = "The period is not valid"
    title_zh = "时段无效"
    detail_en = "Works end after they start, in the future, and last at most 90 days."
    detail_zh = "结束时间须晚于开始时间且在将来，最长90天。"


class WorkClosed(Conflict):
    """The works are over."""

    code = "work_closed"
    title_en = "The works are over"
    title_zh = "检修已结束"


class WorkPlanned(msgspec.Struct, frozen=True, kw_only=True):
    """Works with the bookings that were moved for them."""

    work: WorkView
    bookings_moved: int


async def plan_work(
    *,
    staff: Staff,
    connector_id: UUID,
    starts_at: datetime,
    ends_at: datetime,
    reason: str,
    finding_id: UUID | None,
    now: datetime,
) -> WorkPlanned:
    """Take a connector out of service for works: nobody can book it, walk up to it or be offered it in the period.

    A start in the past means now. Bookings in the period move to equivalent places in the same transaction. Raises
    NotFound, StaffOnly, WorkPeriodInvalid, BookingsInTheWay (one of them has no other place), ConnectorTaken (somebody
    charges there, or other works hold it).
    """
    starts_at = max(starts_at, now)
    if not starts_at < ends_at <= starts_at + LONGEST:
        raise WorkPeriodInvalid
    connector = await stations.get_connector(connector_id=connector_id)
    async with db.transaction():
        station = await workable(staff=staff, station_id=connector.station_id)
        if finding_id is not None:
            found = await findings.get_finding(staff=staff, finding_id=finding_id)
            if found.station_id != station.id:
                raise NotFound(kind="finding")
        claim_id, became = await outages.plan_maintenance(
            connector_id=connector_id, starts_at=starts_at, ends_at=ends_at, actor=str(staff.account_id), now=now
        )
        work_id = new_id()
        await store.insert(
            "maintenance_work",
            {
                "id": work_id,
                "station_id": station.id,
                "connector_id": connector_id,
                "operator_company_id": station.operator_company_id,
                "claim_id": claim_id,
                "finding_id": finding_id,
                "reason": reason,
                "starts_at": starts_at,
                "ends_at": ends_at,
                "status": "planned",
                "created_at": now,
                "created_by": staff.account_id,
            },
        )
        await _record(staff, "maintenance.planned", work_id, station.operator_company_id, now)
    return WorkPlanned(work=await _get(work_id), bookings_moved=len(became.moved))


async def _get(work_id: UUID, *, lock: bool = False) -> WorkView:
    found = await store.find_work(work_id, lock=lock)
    if found is None:
        raise NotFound(kind="maintenance_work")
    return found


async def end_work(*, staff: Staff, work_id: UUID, now: datetime) -> WorkView:
    """Give a connector back before the period is over (or before it began); raises NotFound, StaffOnly, WorkClosed."""
    async with db.transaction():
        found = await _get(work_id, lock=True)
        await workable(staff=staff, station_id=found.station_id)
        if found.status != "planned" or found.ends_at <= now:
            raise WorkClosed
        await claims.release_claim(claim_id=found.claim_id, now=now)
        status = "cancelled" if now <= found.starts_at else "ended"
        await store.close_work(work_id, status, staff.account_id, now)
        await _record(staff, f"maintenance.{status}", work_id, found.operator_company_id, now)
    return await _get(work_id)


async def list_works(*, staff: Staff, station_id: UUID | None, after: datetime) -> list[WorkView]:
    """Return the works of the caller's stations that end after an instant, soonest first, at most 500."""
    return await store.list_works(await readable_station_ids(staff=staff, station_id=station_id), after=after)


async def _record(staff: Staff, action: str, work_id: UUID, company_id: UUID, now: datetime) -> None:
    await audit.record(
        actor_id=staff.account_id,
        actor_role=staff.role_at(company_id),
        action=action,
        object_kind="maintenance_work",
        object_id=work_id,
        detail={},
        now=now,
        operator_company_id=company_id,
    )
