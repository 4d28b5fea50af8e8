"""Inspection and maintenance (plan clause 9, 定期巡检维修): who may see and do what."""

from typing import Literal
from uuid import UUID

from backend.core.auth import Staff, StaffOnly
from backend.core.errors import NotFound
from backend.stations import service as stations
from backend.stations.rules.topology import StationView

READERS: tuple[Literal["guard", "lead", "operator", "inspector"], ...] = ("guard", "lead", "operator", "inspector")
WORKERS: tuple[Literal["guard", "lead", "operator"], ...] = ("guard", "lead", "operator")
PLANNERS: tuple[Literal["lead", "operator"], ...] = ("lead", "operator")


async def readable_station_ids(*, staff: Staff, station_id: UUID | None) -> list[UUID]:
    """Return the stations the caller may read, or the one named; raises StaffOnly, NotFound."""
    if station_id is not None:
        return [(await readable(staff=staff, station_id=station_id)).id]
    found = []
    for company_id in sorted(staff.company_ids(*READERS)):
        found += [
            station.id
            for station in await stations.list_stations(operator_company_id=company_id)
            if staff.may(*READERS, operator_company_id=company_id, station_id=station.id)
        ]
    return found


async def readable(*, staff: Staff, station_id: UUID) -> StationView:
    """Return a station of the caller's; raises NotFound, also for another company's."""
    station = await stations.get_station(station_id=station_id)
    if not staff.may(*READERS, operator_company_id=station.operator_company_id, station_id=station.id):
        raise NotFound(kind="station")
    return station


async def workable(
    *, staff: Staff, station_id: UUID, roles: tuple[Literal["guard", "lead", "operator"], ...] = WORKERS
) -> StationView:
    """Return a station at which the caller may do this; raises NotFound, StaffOnly (may read, and no more)."""
    station = await readable(staff=staff, station_id=station_id)
    if not staff.may(*roles, operator_company_id=station.operator_company_id, station_id=station.id):
        raise StaffOnly(roles=", ".join(roles))
    return station
