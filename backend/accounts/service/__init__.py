"""People, their vehicles and contacts, operator companies and staff: what other features ask of accounts.

Logging in is in `.logins`, one-time codes in `.codes`, the staff list of a company in `.staff`.
"""

from datetime import datetime
from typing import Any, Literal, cast, get_args
from uuid import UUID

import msgspec
from asyncpg import Record

from backend.accounts.rules import plates
from backend.accounts.service import phones
from backend.accounts.store import codes as code_rows
from backend.accounts.store import logins as login_rows
from backend.accounts.store import people as people_rows
from backend.accounts.store import staff as staff_rows
from backend.core import crypto, db
from backend.core.auth import Grant, Role
from backend.core.errors import Conflict, NotFound

Chemistry = Literal["ncm", "lfp", "unknown"]
Platform = Literal["ios", "android", "harmony"]

MAX_VEHICLES = 20
"""More than a family has; enough that a list cannot be used to fill the table."""

PUSH_TOKENS_KEPT = 5
"""A person has a handful of devices; older tokens are almost always dead."""


class VehicleView(msgspec.Struct, frozen=True, kw_only=True):
    """A vehicle in the list of one account."""

    id: UUID
    account_id: UUID
    plate: str
    plate_hash: bytes
    energy_hint: str
    battery_wh: int | None
    chemistry: str | None


class PushToken(msgspec.Struct, frozen=True, kw_only=True):
    """Where one app of a person can be reached."""

    id: UUID
    platform: str
    token: str


class Contact(msgspec.Struct, frozen=True, kw_only=True):
    """How a person can be reached; `phone` is None for those who came by WeChat only and for erased accounts."""

    account_id: UUID
    phone: str | None
    locale: str
    push_tokens: tuple[PushToken, ...]
    wechat_openid: str | None


class ProfileView(msgspec.Struct, frozen=True, kw_only=True):
    """What a person sees of their own account."""

    id: UUID
    name: str | None
    phone: str | None
    wechat_bound: bool
    locale: str
    created_at: datetime


class StaffView(msgspec.Struct, frozen=True, kw_only=True):
    """A member of staff with one role; a person with two roles appears twice."""

    grant_id: UUID
    account_id: UUID
    role: Role
    operator_company_id: UUID
    station_id: UUID | None
    name: str
    phone: str | None


class OperatorCompanyView(msgspec.Struct, frozen=True, kw_only=True):
    """A company that runs stations."""

    id: UUID
    code: str
    name: str
    hotline: str


class VehicleListed(Conflict):
    """The account lists this plate already."""

    code = "vehicle_listed"
    title_en = "The vehicle is in your list already"
    title_zh = "该车辆已在您的列表中"
    detail_en = "Remove it first if you want to register it anew."
    detail_zh = "如需重新登记，请先删除该车辆。"


class TooManyVehicles(Conflict):
    """The list is full."""

    code = "too_many_vehicles"
    title_en = "Your list of vehicles is full"
    title_zh = "车辆数量已达上限"
    detail_en = "A list takes {max_vehicles} vehicles; remove one you no longer use."
    detail_zh = "最多登记 {max_vehicles} 辆车，请先删除不再使用的车辆。"


def hidden(text: str) -> tuple[bytes, bytes]:
    """Return (lookup hash, cipher) of a piece of personal data."""
    return crypto.lookup_hash(text), crypto.encrypt(text)


def _reveal(cipher: bytes | None) -> str | None:
    return None if cipher is None else crypto.decrypt(cipher)


def _vehicle(row: Record) -> VehicleView:
    return VehicleView(
        id=row["id"],
        account_id=row["account_id"],
        plate=crypto.decrypt(row["plate_cipher"]),
        plate_hash=row["plate_hash"],
        energy_hint=row["energy_hint"],
        battery_wh=row["battery_wh"],
        chemistry=row["chemistry"],
    )


# People


async def ensure_account(*, phone: str, name: str | None = None, now: datetime, locale: str = "zh-CN") -> UUID:
    """Return the account of this phone, adding it when there is none; raises PhoneInvalid.

    Two concurrent calls for one new phone give one account. A name is set only on a new account.
    """
    plain = phones.normalise(phone)
    phone_hash, cipher = hidden(plain)
    found = await people_rows.find_account_id_by_phone(phone_hash=phone_hash)
    if found is None:
        found = await people_rows.add_account(
            now=now, locale=locale, phone=(phone_hash, cipher), name_cipher=crypto.encrypt(name) if name else None
        )
    if found is None:
        found = await people_rows.find_account_id_by_phone(phone_hash=phone_hash)
    if found is None:
        raise RuntimeError("the account was neither added nor found")
    return found


async def _account(account_id: UUID) -> Record:
    row = await people_rows.find_account(account_id=account_id)
    if row is None or row["erased_at"] is not None:
        raise NotFound(kind="account")
    return row


async def get_profile(*, account_id: UUID) -> ProfileView:
    """Return a person's own profile; raises NotFound."""
    row = await _account(account_id)
    return ProfileView(
        id=row["id"],
        name=_reveal(row["name_cipher"]),
        phone=_reveal(row["phone_cipher"]),
        wechat_bound=row["openid_hash"] is not None,
        locale=row["locale"],
        created_at=row["created_at"],
    )


async def replace_profile(*, account_id: UUID, name: str | None, locale: str) -> ProfileView:
    """Replace name and language; raises NotFound."""
    await _account(account_id)
    await people_rows.set_profile(
        account_id=account_id, name_cipher=crypto.encrypt(name) if name else None, locale=locale
    )
    return await get_profile(account_id=account_id)


async def get_contact(*, account_id: UUID) -> Contact:
    """Return how to reach a person: nothing, and no error, for an erased account; raises NotFound for an unknown id."""
    row = await people_rows.find_account(account_id=account_id)
    if row is None:
        raise NotFound(kind="account")
    tokens = await people_rows.list_push_tokens(account_id=account_id)
    return Contact(
        account_id=account_id,
        phone=_reveal(row["phone_cipher"]),
        locale=row["locale"],
        push_tokens=tuple(
            PushToken(id=token["id"], platform=token["platform"], token=crypto.decrypt(token["token_cipher"]))
            for token in tokens
        ),
        wechat_openid=_reveal(row["openid_cipher"]),
    )


# Vehicles


async def get_vehicle(*, account_id: UUID, vehicle_id: UUID) -> VehicleView:
    """Return a vehicle of this account; another person's is NotFound too."""
    row = await people_rows.find_vehicle(account_id=account_id, vehicle_id=vehicle_id)
    if row is None:
        raise NotFound(kind="vehicle")
    return _vehicle(row)


async def list_vehicles(*, account_id: UUID) -> list[VehicleView]:
    """Return the vehicles a person lists, oldest first."""
    return [_vehicle(row) for row in await people_rows.list_vehicles(account_id=account_id)]


async def list_vehicles_by_plate_hash(*, plate_hash: bytes) -> list[VehicleView]:
    """Return every listed vehicle with this plate: a family car stands in several lists."""
    return [_vehicle(row) for row in await people_rows.list_vehicles_by_plate(plate_hash=plate_hash)]


async def find_vehicle_by_plate_hash(*, plate_hash: bytes) -> VehicleView | None:
    """Return the vehicle with this plate that was listed first, or None."""
    found = await list_vehicles_by_plate_hash(plate_hash=plate_hash)
    return found[0] if found else None


async def add_vehicle(
    *, account_id: UUID, plate: str, battery_wh: int | None = None, chemistry: Chemistry | None = None, now: datetime
) -> VehicleView:
    """List a vehicle; raises PlateUnreadable, VehicleListed, TooManyVehicles.

    Several accounts may list one plate (docs/decisions/010): a listing gives no right, only an agreement does,
    and of those there is one per plate.
    """
    plain = plates.normalise(plate)
    if len(await people_rows.list_vehicles(account_id=account_id)) >= MAX_VEHICLES:
        raise TooManyVehicles(max_vehicles=MAX_VEHICLES)
    row = await people_rows.add_vehicle(
        account_id=account_id,
        plate=hidden(plain),
        energy_hint=plates.energy_hint(plain),
        battery_wh=battery_wh,
        chemistry=chemistry,
        now=now,
    )
    if row is None:
        raise VehicleListed(field="plate")
    return _vehicle(row)


async def remove_vehicle(*, account_id: UUID, vehicle_id: UUID, now: datetime) -> None:
    """Take a vehicle off the list; agreements, bookings and orders that name it stay as they are. Raises NotFound."""
    if not await people_rows.remove_vehicle(account_id=account_id, vehicle_id=vehicle_id, now=now):
        raise NotFound(kind="vehicle")


# Push tokens


async def register_push_token(*, account_id: UUID, platform: Platform, token: str, now: datetime) -> UUID:
    """Let a person be reached on this device; a token that another account had moves over (a device changed hands)."""
    async with db.transaction():
        return await people_rows.put_push_token(
            account_id=account_id, platform=platform, token=hidden(token), now=now, keep=PUSH_TOKENS_KEPT
        )


async def drop_push_token(*, token_id: UUID, account_id: UUID | None = None) -> bool:
    """Forget a push token that the provider calls dead, or that its owner takes back; says whether it was there."""
    return await people_rows.delete_push_token(token_id=token_id, account_id=account_id)


# Operator companies and staff


def _company(row: Record) -> OperatorCompanyView:
    return OperatorCompanyView(id=row["id"], code=row["code"], name=row["name"], hotline=row["hotline"])


async def add_operator_company(*, code: str, name: str, hotline: str = "", now: datetime) -> UUID:
    """Add a company, or rename the one that has this code; returns its id (safe to repeat)."""
    return await staff_rows.add_company(code=code, name=name, hotline=hotline, now=now)


async def get_operator_company(*, company_id: UUID) -> OperatorCompanyView:
    """Return a company; raises NotFound."""
    row = await staff_rows.find_company(company_id=company_id)
    if row is None:
        raise NotFound(kind="operator_company")
    return _company(row)


async def find_operator_company_by_code(*, code: str) -> OperatorCompanyView | None:
    """Return the company with this code, or None."""
    row = await staff_rows.find_company_by_code(code=code)
    return None if row is None else _company(row)


async def list_operator_companies() -> list[OperatorCompanyView]:
    """Return all companies, oldest first."""
    return [_company(row) for row in await staff_rows.list_companies()]


async def add_staff(
    *,
    account_id: UUID,
    role: Role,
    operator_company_id: UUID,
    station_id: UUID | None = None,
    granted_by: UUID | None = None,
    now: datetime,
) -> UUID | None:
    """Give a role to an account (seed and import; people use `.staff`); None when it has exactly this one already.

    The grant is named as its person is.
    """
    if role not in get_args(Role):
        raise ValueError(f"no such role: {role}")
    person = await people_rows.find_account(account_id=account_id)
    return await staff_rows.add_grant(
        account_id=account_id,
        role=role,
        operator_company_id=operator_company_id,
        station_id=station_id,
        granted_by=granted_by,
        name_cipher=None if person is None else person["name_cipher"],
        now=now,
    )


async def load_grants(account_id: UUID) -> tuple[Grant, ...]:
    """Return the roles an account has now (the loader of `core.auth.GrantSource`)."""
    rows = await staff_rows.list_grants(account_id=account_id)
    return tuple(Grant(cast(Role, row["role"]), row["operator_company_id"], row["station_id"]) for row in rows)


def staff_view(row: Record) -> StaffView:
    """Turn a row of `staff_rows.list_staff` into the view."""
    return StaffView(
        grant_id=row["grant_id"],
        account_id=row["account_id"],
        role=row["role"],
        operator_company_id=row["operator_company_id"],
        station_id=row["station_id"],
        name=_reveal(row["name_cipher"]) or "",
        phone=_reveal(row["phone_cipher"]),
    )


async def list_staff(
    *, operator_company_id: UUID, roles: tuple[Role, ...], station_id: UUID | None = None
) -> list[StaffView]:
    """Return the company's people with one of these roles; with `station_id`, those of all stations or that one."""
    rows = await staff_rows.list_staff(
        operator_company_ids=[operator_company_id], roles=list(roles), station_id=station_id
    )
    return [staff_view(row) for row in rows]


# Personal data (PIPL art. 45, 47)


async def export_personal_data(*, account_id: UUID) -> dict[str, Any]:
    """Return everything accounts knows of a person, in clear, without the secrets that would let others log in."""
    row = await people_rows.find_account(account_id=account_id)
    if row is None:
        raise NotFound(kind="account")
    vehicles = await people_rows.list_all_vehicles(account_id=account_id)
    tokens = await people_rows.list_push_tokens(account_id=account_id)
    return {
        "profile": {
            "id": row["id"],
            "name": _reveal(row["name_cipher"]),
            "phone": _reveal(row["phone_cipher"]),
            "wechat_openid": _reveal(row["openid_cipher"]),
            "locale": row["locale"],
            "created_at": row["created_at"],
        },
        "vehicles": [
            {
                "plate": crypto.decrypt(vehicle["plate_cipher"]),
                "battery_wh": vehicle["battery_wh"],
                "chemistry": vehicle["chemistry"],
                "listed_at": vehicle["created_at"],
                "removed_at": vehicle["removed_at"],
            }
            for vehicle in vehicles
        ],
        "push_tokens": [{"platform": token["platform"], "registered_at": token["created_at"]} for token in tokens],
        "consents": [
            {key: consent[key] for key in ("purpose", "given", "text_version", "recorded_at")}
            for consent in await people_rows.list_consents(account_id=account_id)
        ],
        "logins": [dict(login) for login in await login_rows.list_sessions(account_id=account_id)],
        "roles": [
            {"role": grant["role"], "operator_company_id": grant["operator_company_id"], "since": grant["granted_at"]}
            for grant in await staff_rows.list_grants(account_id=account_id)
        ],
    }


async def erase_personal_data(*, account_id: UUID, now: datetime) -> None:
    """Forget the person: the account keeps its id, rows kept by law point at nobody; every login ends at once."""
    async with db.transaction():
        row = await people_rows.lock_account(account_id=account_id)
        if row is None:
            raise NotFound(kind="account")
        await login_rows.end_sessions(account_id=account_id, reason="erased", now=now)
        if row["phone_hash"] is not None:
            await code_rows.delete_codes(phone_hash=row["phone_hash"])
        await people_rows.erase_account(account_id=account_id, now=now)
