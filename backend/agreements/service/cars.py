"""Whose car is it? A typed plate proves nothing (decision 010); an agreement was looked at by a person."""

from datetime import datetime
from uuid import UUID

from backend.accounts import service as accounts
from backend.agreements import store, store_drivers


async def people_of_car(*, plate_hash: bytes, at: datetime) -> list[UUID]:
    """Return the accounts that are told about a car: its agreement's holder, then the named drivers.

    Only where no agreement is in force it is whoever listed the plate first: a stranger who typed it, or the owner
    before, must neither learn where the car stands nor get the warnings meant for its people. Empty when unknown.
    """
    row = await store.find_in_force(plate_hash=plate_hash, at=at)
    if row is None:
        vehicle = await accounts.find_vehicle_by_plate_hash(plate_hash=plate_hash)
        return [] if vehicle is None else [vehicle.account_id]
    drivers = await store_drivers.list_drivers(agreement_id=row["id"])
    found = [row["account_id"], *(driver["account_id"] for driver in drivers)]
    return list(dict.fromkeys(account_id for account_id in found if account_id is not None))
