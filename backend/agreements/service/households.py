"""Who is one household, and who are a station's residents, as far as agreements tell (decision 130)."""

from datetime import datetime
from uuid import UUID

from backend.agreements import store_households as store


async def household_of(*, account_id: UUID, at: datetime) -> frozenset[UUID]:
    """Return the accounts of the person's household, the person's own among them.

    One household are those whom agreements in force bind together: the holder and the named drivers of one car, and
    whoever handed in the same proof of residence for the same compound. The service keeps no flat numbers, so two
    people of one flat who share neither are two households here.
    """
    known = frozenset({account_id})
    while True:
        found = known | await store.list_bound_to(account_ids=sorted(known), at=at)
        if found == known:
            return known
        known = found


async def residents_of_station(*, station_id: UUID, operator_company_id: UUID, at: datetime) -> list[UUID]:
    """Return the holders and drivers of the company's agreements in force that were signed for this station."""
    return await store.list_residents_of(station_id=station_id, operator_company_id=operator_company_id, at=at)
