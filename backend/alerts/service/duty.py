"""Who is on duty: shifts, hand-over, shared phones, and whom a page rings.

The shifts of the moment decide who is paged. Where nobody is on duty everybody with the role is rung: an empty roster
must never make an alarm silent.
"""

import hmac
from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

import msgspec

from backend.accounts import service as accounts
from backend.alerts import store_duty
from backend.alerts.store_duty import DutyRole, PhoneView, ShiftView
from backend.core import audit, crypto, db
from backend.core.auth import Staff
from backend.core.errors import Conflict, Forbidden, Invalid, NotFound, TooMany
from backend.core.ids import new_id
from backend.stations import service as stations
from backend.stations.rules.topology import StationView

__all__ = ["PhoneView", "ShiftView"]

MAX_TRIES = 5
LOCKED_FOR = timedelta(minutes=15)
WALK_UP_SHIFT = timedelta(hours=12)
"""How long a guard who signs on without a planned shift is on duty, unless signed off before."""


class ShiftOverlaps(Conflict):
    """The person has another shift at that time."""

    code = "shift_overlaps"
    title_en = "The person is on duty then already"
    title_zh = "该人员此时段已排班"
    detail_en = "One person has one shift at a time."
    detail_zh = "同一人员同一时段只能有一个班次。"


class ShiftInvalid(Invalid):
    """A shift cannot have these times."""

    code = "shift_invalid"
    title_en = "The shift's times cannot be"
    title_zh = "班次时间无效"
    detail_en = "A shift ends after it starts, at most 24 hours later, and not in the past."
    detail_zh = "班次结束须晚于开始，最长24小时，且不得早于当前时间。"


class NotOnDuty(Conflict):
    """The caller has no shift to hand over or to end."""

    code = "not_on_duty"
    title_en = "You are not on duty"
    title_zh = "您当前不在班"
    detail_en = "Sign on first, or ask an operator to plan your shift."
    detail_zh = "请先签到上岗，或由运营人员排班。"


class PinWrong(Forbidden):
    """Number or PIN is wrong; which of them is not said."""

    code = "pin_wrong"
    title_en = "Number or PIN is wrong"
    title_zh = "手机号或PIN码错误"
    detail_en = "Set a PIN on your own phone first; five wrong ones lock it for 15 minutes."
    detail_zh = "请先在本人手机上设置PIN码；连续输错5次将锁定15分钟。"


class PinLocked(TooMany):
    """Too many wrong PINs."""

    code = "pin_locked"
    title_en = "The PIN is locked for a while"
    title_zh = "PIN码已暂时锁定"


class PhoneRegistered(Conflict):
    """The number is a shared phone already."""

    code = "phone_registered"
    title_en = "The phone is registered already"
    title_zh = "该手机已登记"


class NotASharedPhone(Forbidden):
    """Signing on works at a shared phone only."""

    code = "not_a_shared_phone"
    title_en = "This is not a shared phone"
    title_zh = "本机不是共用值班手机"
    detail_en = "An operator registers the guard post's phone first; on your own phone your login is enough."
    detail_zh = "请由运营人员先登记岗亭共用手机；本人手机登录即可。"


class SharedPhoneHasNoPin(Forbidden):
    """A PIN belongs to a person, and a shared phone is none."""

    code = "shared_phone_has_no_pin"
    title_en = "This is a shared phone"
    title_zh = "本机为共用值班手机"
    detail_en = "Set your PIN on your own phone, then sign on here with your number and the PIN."
    detail_zh = "请在本人手机上设置PIN码，再用手机号和PIN码在本机签到。"


async def whom_to_page(*, station: StationView, roles: Sequence[DutyRole], now: datetime) -> list[UUID]:
    """The accounts to ring: who is on duty with one of these roles, and the shared phone they signed on at.

    Where nobody with these roles is on duty, all of them. Only people who (still) have the role count.
    """
    staff = await accounts.list_staff(
        operator_company_id=station.operator_company_id, roles=tuple(roles), station_id=station.id
    )
    able = list(dict.fromkeys(person.account_id for person in staff))
    shifts = await store_duty.list_on_duty(
        operator_company_id=station.operator_company_id, at=now, station_id=station.id
    )
    called: list[UUID] = []
    for shift in shifts:
        if shift.role in roles and shift.account_id in able:
            called.append(shift.account_id)
            phone = None if shift.phone_id is None else await store_duty.find_phone(phone_id=shift.phone_id)
            if phone is not None:
                called.append(phone.account_id)
    return list(dict.fromkeys(called)) or able


async def whom_to_page_first(*, station: StationView, now: datetime) -> list[UUID]:
    """The accounts to ring at an alarm: guards and the lead, or the operators where there are none."""
    return await whom_to_page(station=station, roles=("guard", "lead"), now=now) or await whom_to_page(
        station=station, roles=("operator",), now=now
    )


async def person_behind(*, account_id: UUID, now: datetime) -> UUID:
    """The person who acts: whoever is signed on, where the account is a shared phone's, else the account itself."""
    phone = await store_duty.find_phone(account_id=account_id)
    if phone is None:
        return account_id
    shift = await store_duty.find_on_phone(phone_id=phone.id)
    return account_id if shift is None or shift.ends_at <= now else shift.account_id


async def plan_shift(
    *,
    staff: Staff,
    operator_company_id: UUID,
    station_id: UUID | None,
    account_id: UUID,
    role: DutyRole,
    starts_at: datetime,
    ends_at: datetime,
    now: datetime,
) -> ShiftView:
    """Plan a shift of somebody with that role; raises NotFound, ShiftInvalid, ShiftOverlaps."""
    if not staff.may("operator", "lead", operator_company_id=operator_company_id):
        raise NotFound(kind="operator company")
    if not starts_at < ends_at <= starts_at + timedelta(hours=24) or ends_at <= now:
        raise ShiftInvalid
    if station_id is not None:
        station = await stations.get_station(station_id=station_id)
        if station.operator_company_id != operator_company_id:
            raise NotFound(kind="station")
    able = await accounts.list_staff(operator_company_id=operator_company_id, roles=(role,), station_id=station_id)
    if account_id not in {person.account_id for person in able}:
        raise NotFound(kind="staff")
    shift = ShiftView(
        id=new_id(),
        operator_company_id=operator_company_id,
        station_id=station_id,
        account_id=account_id,
        role=role,
        starts_at=starts_at,
        ends_at=ends_at,
    )
    async with db.transaction():
        if not await store_duty.add_shift(shift):
            raise ShiftOverlaps
        await _audit(shift, "duty.planned", staff.account_id, staff.role_at(operator_company_id), now)
    return shift


async def drop_shift(*, staff: Staff, shift_id: UUID, now: datetime) -> None:
    """Take a shift that has not begun out of the roster; raises NotFound, ShiftInvalid."""
    async with db.transaction():
        shift = await store_duty.find_shift(shift_id, lock=True)
        if shift is None or not staff.may("operator", "lead", operator_company_id=shift.operator_company_id):
            raise NotFound(kind="shift")
        if shift.starts_at <= now:
            raise ShiftInvalid
        await store_duty.delete_shift(shift_id)
        await _audit(shift, "duty.dropped", staff.account_id, staff.role_at(shift.operator_company_id), now)


async def roster(*, staff: Staff, since: datetime, until: datetime) -> list[ShiftView]:
    """The shifts of the caller's companies that touch [since, until)."""
    companies = staff.company_ids("guard", "operator", "lead", "inspector")
    return await store_duty.list_shifts(company_ids=companies, since=since, until=until)


async def hand_over(*, staff: Staff, to_account_id: UUID, note: str, now: datetime) -> ShiftView:
    """End the caller's shift and begin the next person's, for the rest of a planned shift of theirs or 12 hours.

    From then on the other person is paged. Raises NotOnDuty, NotFound for whoever has not the role.
    """
    async with db.transaction():
        mine_id = await person_behind(account_id=staff.account_id, now=now)
        mine = await store_duty.find_current(account_id=mine_id, at=now, lock=True)
        if mine is None:
            raise NotOnDuty
        able = await accounts.list_staff(
            operator_company_id=mine.operator_company_id, roles=(mine.role,), station_id=mine.station_id
        )
        if to_account_id == mine_id or to_account_id not in {person.account_id for person in able}:
            raise NotFound(kind="staff")
        await store_duty.save_shift(
            msgspec.structs.replace(mine, signed_off_at=now, handed_to=to_account_id, note=note)
        )
        theirs = await _begin(mine, to_account_id, now)
        await _audit(mine, "duty.handed_over", mine_id, mine.role, now)
    return theirs


async def _begin(like: ShiftView, account_id: UUID, now: datetime) -> ShiftView:
    """The shift a person has now, signed on; a new one where none was planned."""
    theirs = await store_duty.find_current(account_id=account_id, at=now, lock=True)
    if theirs is not None:
        theirs = msgspec.structs.replace(theirs, signed_on_at=theirs.signed_on_at or now, phone_id=like.phone_id)
        await store_duty.save_shift(theirs)
        return theirs
    planned = await store_duty.next_start(account_id=account_id, after=now)
    theirs = ShiftView(
        id=new_id(),
        operator_company_id=like.operator_company_id,
        station_id=like.station_id,
        account_id=account_id,
        role=like.role,
        starts_at=now,
        ends_at=now + WALK_UP_SHIFT if planned is None else min(planned, now + WALK_UP_SHIFT),
        signed_on_at=now,
        phone_id=like.phone_id,
    )
    if not await store_duty.add_shift(theirs):
        raise ShiftOverlaps
    return theirs


async def register_phone(
    *, staff: Staff, operator_company_id: UUID, station_id: UUID | None, phone: str, label: str, now: datetime
) -> PhoneView:
    """Register a guard post's phone by its number; it logs in by SMS as itself, with the role of a guard."""
    if not staff.may("operator", operator_company_id=operator_company_id):
        raise NotFound(kind="operator company")
    if station_id is not None:
        station = await stations.get_station(station_id=station_id)
        if station.operator_company_id != operator_company_id:
            raise NotFound(kind="station")
    async with db.transaction():
        account_id = await accounts.ensure_account(phone=phone, name=label, now=now)
        shared = PhoneView(
            id=new_id(),
            operator_company_id=operator_company_id,
            station_id=station_id,
            account_id=account_id,
            label=label,
            created_at=now,
        )
        if not await store_duty.add_phone(shared):
            raise PhoneRegistered
        await accounts.add_staff(
            account_id=account_id,
            role="guard",
            operator_company_id=operator_company_id,
            station_id=station_id,
            now=now,
        )
        await audit.record(
            actor_id=staff.account_id,
            actor_role="operator",
            action="duty.phone_registered",
            object_kind="shared_phone",
            object_id=shared.id,
            detail={},
            now=now,
            operator_company_id=operator_company_id,
        )
    return shared


async def list_phones(*, staff: Staff) -> list[PhoneView]:
    """The shared phones of the caller's companies."""
    return await store_duty.list_phones(company_ids=staff.company_ids("operator", "lead", "inspector"))


async def set_pin(*, staff: Staff, pin: str) -> None:
    """Set the caller's PIN for shared phones; raises SharedPhoneHasNoPin from one of those."""
    if await store_duty.find_phone(account_id=staff.account_id) is not None:
        raise SharedPhoneHasNoPin
    await store_duty.save_pin(staff.account_id, _hash(staff.account_id, pin))


def _hash(account_id: UUID, pin: str) -> bytes:
    return crypto.lookup_hash(f"pin:{account_id}:{pin}")


async def sign_on(*, phone_account_id: UUID, phone: str, pin: str, now: datetime) -> ShiftView:
    """Sign a person on at a shared phone; whoever was signed on there is signed off.

    Raises NotASharedPhone, PinWrong, PinLocked.
    """
    shared = await store_duty.find_phone(account_id=phone_account_id)
    if shared is None:
        raise NotASharedPhone
    able = await accounts.list_staff(
        operator_company_id=shared.operator_company_id, roles=("guard",), station_id=shared.station_id
    )
    person = next((p.account_id for p in able if p.phone is not None and p.phone[-11:] == phone[-11:]), None)
    if person is None or person == phone_account_id or not await _check_pin(person, pin, now):
        raise PinWrong
    async with db.transaction():
        before = await store_duty.find_on_phone(phone_id=shared.id, lock=True)
        if before is not None and before.account_id != person:
            await store_duty.save_shift(msgspec.structs.replace(before, signed_off_at=now, handed_to=person))
        if before is not None and before.account_id == person:
            if before.ends_at > now:
                return before
            await store_duty.save_shift(msgspec.structs.replace(before, signed_off_at=now))
        like = ShiftView(
            id=new_id(),
            operator_company_id=shared.operator_company_id,
            station_id=shared.station_id,
            account_id=person,
            role="guard",
            starts_at=now,
            ends_at=now + WALK_UP_SHIFT,
            phone_id=shared.id,
        )
        shift = await _begin(like, person, now)
        await _audit(shift, "duty.signed_on", person, "guard", now)
    return shift


async def sign_off(*, staff: Staff, note: str, now: datetime) -> ShiftView:
    """End the shift of the caller, or of whoever is signed on at this shared phone; raises NotOnDuty."""
    async with db.transaction():
        person = await person_behind(account_id=staff.account_id, now=now)
        shift = await store_duty.find_current(account_id=person, at=now, lock=True)
        if shift is None:
            raise NotOnDuty
        ended = msgspec.structs.replace(shift, signed_off_at=now, note=note)
        await store_duty.save_shift(ended)
        await _audit(shift, "duty.signed_off", person, shift.role, now)
    return ended


async def _check_pin(account_id: UUID, pin: str, now: datetime) -> bool:
    """Compare a PIN and count wrong ones in a transaction of its own, which an error afterwards does not undo."""
    async with db.transaction():
        kept = await store_duty.find_pin(account_id)
        if kept is None:
            return False
        pin_hash, tries, locked_until = kept
        if locked_until is not None and locked_until > now:
            raise PinLocked(retry_after_s=int((locked_until - now).total_seconds()) + 1)
        if hmac.compare_digest(pin_hash, _hash(account_id, pin)):
            await store_duty.count_try(account_id, 0, None)
            return True
        wrong = tries + 1
        full = wrong >= MAX_TRIES
        await store_duty.count_try(account_id, 0 if full else wrong, now + LOCKED_FOR if full else None)
        return False


async def _audit(shift: ShiftView, action: str, actor_id: UUID, role: str, now: datetime) -> None:
    await audit.record(
        actor_id=actor_id,
        actor_role=role,
        action=action,
        object_kind="duty_shift",
        object_id=shift.id,
        detail={"role": shift.role, "starts_at": shift.starts_at.isoformat(), "ends_at": shift.ends_at.isoformat()},
        now=now,
        operator_company_id=shift.operator_company_id,
    )
