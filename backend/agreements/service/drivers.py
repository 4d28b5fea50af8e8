"""Named drivers: who may charge the agreement's car under it beside its holder. Person and plate both count.

A session of theirs is at the agreement price, is billed to them, and uses the agreement's package.
"""

from datetime import datetime
from uuid import UUID

import msgspec
from asyncpg import Record

from backend.accounts import service as accounts
from backend.accounts.service import VehicleListed, phones
from backend.agreements import service as agreements
from backend.agreements import store, store_drivers
from backend.agreements.events import DriverRemoved
from backend.agreements.service import AgreementOver
from backend.core import audit, crypto, db, jobs
from backend.core.errors import Conflict, NotFound
from backend.notifications import service as notifications

MAX_DRIVERS = 5


class DriverView(msgspec.Struct, frozen=True, kw_only=True):
    """A named driver."""

    id: UUID
    name: str
    phone: str
    added_at: datetime


class DriverNamed(Conflict):
    """This person is the holder or a named driver already."""

    code = "driver_named"
    title_en = "This person may charge already"
    title_zh = "该人员已在名单中"
    detail_en = "The phone belongs to the agreement's holder or to a driver who is named already."
    detail_zh = "该手机号属于协议持有人或已登记的驾驶人。"


class TooManyDrivers(Conflict):
    """The agreement names as many drivers as it may."""

    code = "too_many_drivers"
    title_en = "There are enough drivers"
    title_zh = "驾驶人数量已达上限"
    detail_en = "An agreement names at most {max_drivers} drivers; take one off first."
    detail_zh = "每份协议最多登记 {max_drivers} 名驾驶人，请先移除。"


def _view(row: Record) -> DriverView:
    return DriverView(
        id=row["id"],
        name=crypto.decrypt(row["name_cipher"]),
        phone=crypto.decrypt(row["phone_cipher"]),
        added_at=row["added_at"],
    )


async def _locked(account_id: UUID, agreement_id: UUID, now: datetime) -> Record:
    row = await store.lock_agreement(agreement_id=agreement_id)
    if row is None or row["account_id"] != account_id:
        raise NotFound(kind="agreement")
    if row["status"] != "signed" or row["ends_at"] <= now:
        raise AgreementOver(status="expired" if row["status"] == "signed" else row["status"])
    return row


async def list_drivers(*, account_id: UUID, agreement_id: UUID) -> list[DriverView]:
    """Return the named drivers of the own agreement, oldest first; raises NotFound."""
    await agreements.get_agreement(account_id=account_id, agreement_id=agreement_id)
    return [_view(row) for row in await store_drivers.list_drivers(agreement_id=agreement_id)]


async def add_driver(*, account_id: UUID, agreement_id: UUID, phone: str, name: str, now: datetime) -> DriverView:
    """Name a driver by phone; they log in with it and find the car in their list.

    Raises NotFound, AgreementOver, PhoneInvalid, DriverNamed, TooManyDrivers. The driver is told.
    """
    plain = phones.normalise(phone)
    async with db.transaction():
        row = await _locked(account_id, agreement_id, now)
        driver_id = await accounts.ensure_account(phone=plain, name=name, now=now)
        if driver_id == account_id:
            raise DriverNamed(field="phone")
        if len(await store_drivers.list_drivers(agreement_id=agreement_id)) >= MAX_DRIVERS:
            raise TooManyDrivers(max_drivers=MAX_DRIVERS)
        added = await store_drivers.add_driver(
            agreement_id=agreement_id,
            account_id=driver_id,
            name_cipher=crypto.encrypt(name),
            phone_cipher=crypto.encrypt(plain),
            added_by=account_id,
            now=now,
        )
        if added is None:
            raise DriverNamed(field="phone")
        await _list_car(row, driver_id, now)
        await _record(row, "agreement.driver_named", added["id"], now)
        await notifications.notify(
            recipient=driver_id,
            event_key=f"agreement:{agreement_id}:driver:{added['id']}",
            template="agreement_driver_named",
            params={},
            safety=False,
            now=now,
        )
    return _view(added)


async def _list_car(row: Record, driver_id: UUID, now: datetime) -> None:
    """Put the agreement's car into the driver's list, unless it stands there."""
    if row["plate_cipher"] is None:
        return
    try:
        async with db.transaction():
            await accounts.add_vehicle(account_id=driver_id, plate=crypto.decrypt(row["plate_cipher"]), now=now)
    except VehicleListed:
        return


async def remove_driver(*, account_id: UUID, agreement_id: UUID, driver_id: UUID, now: datetime) -> None:
    """Take a driver off at once; a session that runs keeps its price, bookings ahead are given back.

    The driver is told. Raises NotFound, AgreementOver.
    """
    async with db.transaction():
        row = await _locked(account_id, agreement_id, now)
        removed = await store_drivers.remove_driver(agreement_id=agreement_id, driver_id=driver_id, now=now)
        if removed is None:
            raise NotFound(kind="driver")
        await jobs.emit(DriverRemoved(agreement_id=agreement_id, account_id=removed), now=now)
        await _record(row, "agreement.driver_removed", driver_id, now)
        await notifications.notify(
            recipient=removed,
            event_key=f"agreement:{agreement_id}:driver:{driver_id}:removed",
            template="agreement_driver_removed",
            params={},
            safety=False,
            now=now,
        )


async def _record(row: Record, action: str, driver_id: UUID, now: datetime) -> None:
    await audit.record(
        actor_id=row["account_id"],
        actor_role="resident",
        action=action,
        object_kind="agreement",
        object_id=row["id"],
        detail={"driver_id": str(driver_id)},
        now=now,
        operator_company_id=row["operator_company_id"],
    )
