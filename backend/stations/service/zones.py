"""Painted zones ahead: what a gun's zone will be, and the record of planned changes.

Planning a change with the bookings it concerns is a use case of `reservations`; here is what stations know of it.
"""

from collections.abc import Collection, Sequence
from datetime import datetime
from uuid import UUID

from backend.core import db
from backend.core.errors import NotFound
from backend.stations import store_zones
from backend.stations.rules.topology import ConnectorView, Zone
from backend.stations.rules.zones import Period, outside, periods_of_zone
from backend.stations.store_zones import ChangeStatus, ZoneChangeView

__all__ = ["ZoneChangeView"]


async def closed_to(*, connectors: Sequence[ConnectorView], zones: Collection[Zone]) -> dict[UUID, list[Period]]:
    """Return when each gun is of none of these zones, from now on, for the guns that are ever of one; the others are
    missing. A gun without a planned change is open or missing for good.
    """
    ahead = await store_zones.list_spans_ahead([connector.id for connector in connectors])
    found: dict[UUID, list[Period]] = {}
    for connector in connectors:
        if len(zones) > 1 or connector.id not in ahead:
            if connector.zone in zones:
                found[connector.id] = []
            continue
        (zone,) = zones
        periods = periods_of_zone(ahead[connector.id], zone)
        if periods:
            found[connector.id] = outside(periods)
    return found


async def resident_from(*, connector: ConnectorView) -> datetime | None:
    """Return when a public gun becomes one of the resident zone, or None where no such change is planned."""
    ahead = await store_zones.list_spans_ahead([connector.id])
    if connector.id not in ahead or connector.zone == "resident":
        return None
    periods = periods_of_zone(ahead[connector.id], "resident")
    return periods[0][0] if periods else None


async def add_change(
    *,
    station_id: UUID,
    operator_company_id: UUID,
    bay_id: UUID,
    zone_from: Zone,
    zone_to: Zone,
    wanted_at: datetime,
    reason: str,
    proposed_by: UUID,
    now: datetime,
) -> ZoneChangeView | None:
    """Record a proposed change; None where the bay has an open one."""
    change_id = await store_zones.add_change(
        {
            "station_id": station_id,
            "operator_company_id": operator_company_id,
            "bay_id": bay_id,
            "zone_from": zone_from,
            "zone_to": zone_to,
            "wanted_at": wanted_at,
            "reason": reason,
            "proposed_by": proposed_by,
            "proposed_at": now,
        }
    )
    return None if change_id is None else await get_change(change_id=change_id)


async def get_change(*, change_id: UUID, lock: bool = False) -> ZoneChangeView:
    """Return a change, its row locked if asked; raises NotFound."""
    found = await store_zones.find_change(change_id, lock=lock)
    if found is None:
        raise NotFound(kind="zone_change")
    return found


async def list_changes(
    *,
    company_ids: Collection[UUID] | None = None,
    station_id: UUID | None = None,
    statuses: Sequence[ChangeStatus] = (),
    before: UUID | None = None,
    limit: int = 200,
) -> list[ZoneChangeView]:
    """Return changes of these companies (None: of all) or of one station, the newest first."""
    return await store_zones.list_changes(
        company_ids=None if company_ids is None else sorted(company_ids),
        station_id=station_id,
        statuses=statuses,
        before=before,
        limit=limit,
    )


async def plan(*, change: ZoneChangeView, effective_at: datetime) -> None:
    """Paint the bay anew from `effective_at` on; what is planned already is replaced."""
    async with db.transaction():
        await store_zones.plan_zone(change.bay_id, change.zone_to, effective_at)


async def approve(
    *, change: ZoneChangeView, effective_at: datetime, moved: int, kept: int, approved_by: UUID, now: datetime
) -> None:
    """Record the second person's word and from when the change holds."""
    await store_zones.save_change(
        change.id,
        {
            "status": "approved",
            "effective_at": effective_at,
            "moved": moved,
            "kept": kept,
            "approved_by": approved_by,
            "approved_at": now,
        },
    )


async def cancel(*, change: ZoneChangeView, cancelled_by: UUID, now: datetime) -> None:
    """Record that a change will not be, and let the present zone go on."""
    async with db.transaction():
        if change.status == "approved":
            await store_zones.forget_plan(change.bay_id)
        await store_zones.save_change(change.id, {"status": "cancelled", "closed_by": cancelled_by, "closed_at": now})


async def begin(*, change: ZoneChangeView, now: datetime) -> None:
    """Record that a change is in force, and let it be seen: the zone itself began by the clock."""
    async with db.transaction():
        await store_zones.save_change(change.id, {"status": "in_force", "closed_at": now})
        await store_zones.tell(change.station_id)
