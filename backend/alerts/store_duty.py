"""All SQL of shifts, shared phones and their PINs."""

from collections.abc import Collection
from datetime import datetime
from typing import Literal, TypeAlias
from uuid import UUID

import msgspec
from asyncpg import Record

from backend.core import db

DutyRole: TypeAlias = Literal["guard", "lead", "operator"]


class ShiftView(msgspec.Struct, frozen=True, kw_only=True):
    """A shift; `station_id` null: every station of the company. `signed_off_at` ends it before its time."""

    id: UUID
    operator_company_id: UUID
    station_id: UUID | None
    account_id: UUID
    role: DutyRole
    starts_at: datetime
    ends_at: datetime
    signed_on_at: datetime | None = None
    signed_off_at: datetime | None = None
    phone_id: UUID | None = None
    handed_to: UUID | None = None
    note: str = ""


class PhoneView(msgspec.Struct, frozen=True, kw_only=True):
    """A shared phone of a guard post."""

    id: UUID
    operator_company_id: UUID
    station_id: UUID | None
    account_id: UUID
    label: str
    created_at: datetime


SHIFT_COLUMNS = tuple(ShiftView.__struct_fields__)


def _shift(row: Record) -> ShiftView:
    return ShiftView(**{name: row[name] for name in SHIFT_COLUMNS})


def _phone(row: Record) -> PhoneView:
    return PhoneView(**{name: row[name] for name in PhoneView.__struct_fields__})


async def add_shift(shift: ShiftView) -> bool:
    """Add a shift; False where the person has another at that time."""
    marks = ", ".join(f"${n}" for n in range(1, len(SHIFT_COLUMNS) + 1))
    added = await db.fetchval(
        f"INSERT INTO duty_shift ({', '.join(SHIFT_COLUMNS)}) VALUES ({marks}) "  # noqa: S608  constant columns
        "ON CONFLICT DO NOTHING RETURNING true",
        *(getattr(shift, name) for name in SHIFT_COLUMNS),
    )
    return bool(added)


async def find_shift(shift_id: UUID, *, lock: bool = False) -> ShiftView | None:
    suffix = " FOR UPDATE" if lock else ""
    row = await db.fetchrow(f"SELECT * FROM duty_shift WHERE id = $1{suffix}", shift_id)  # noqa: S608
    return None if row is None else _shift(row)


async def save_shift(shift: ShiftView) -> None:
    await db.execute(
        "UPDATE duty_shift SET signed_on_at = $2, signed_off_at = $3, phone_id = $4, handed_to = $5, note = $6"
        " WHERE id = $1",
        shift.id,
        shift.signed_on_at,
        shift.signed_off_at,
        shift.phone_id,
        shift.handed_to,
        shift.note,
    )


async def delete_shift(shift_id: UUID) -> None:
    await db.execute("DELETE FROM duty_shift WHERE id = $1", shift_id)


async def list_on_duty(*, operator_company_id: UUID, at: datetime, station_id: UUID | None = None) -> list[ShiftView]:
    """The shifts of the moment, of the whole company or of those that look after one station."""
    rows = await db.fetch(
        "SELECT * FROM duty_shift WHERE operator_company_id = $1 AND starts_at <= $2 AND ends_at > $2"
        " AND signed_off_at IS NULL AND ($3::uuid IS NULL OR station_id IS NULL OR station_id = $3) ORDER BY starts_at",
        operator_company_id,
        at,
        station_id,
    )
    return [_shift(row) for row in rows]


async def list_shifts(*, company_ids: Collection[UUID], since: datetime, until: datetime) -> list[ShiftView]:
    rows = await db.fetch(
        "SELECT * FROM duty_shift WHERE operator_company_id = ANY($1) AND starts_at < $3 AND ends_at > $2"
        " ORDER BY starts_at, id LIMIT 1000",
        list(company_ids),
        since,
        until,
    )
    return [_shift(row) for row in rows]


async def find_current(*, account_id: UUID, at: datetime, lock: bool = False) -> ShiftView | None:
    """The shift a person has now."""
    suffix = " FOR UPDATE" if lock else ""
    row = await db.fetchrow(
        "SELECT * FROM duty_shift WHERE account_id = $1 AND starts_at <= $2 AND ends_at > $2"  # noqa: S608
        f" AND signed_off_at IS NULL ORDER BY starts_at DESC LIMIT 1{suffix}",
        account_id,
        at,
    )
    return None if row is None else _shift(row)


async def next_start(*, account_id: UUID, after: datetime) -> datetime | None:
    """When the next planned shift of a person begins."""
    found: datetime | None = await db.fetchval(
        "SELECT min(starts_at) FROM duty_shift WHERE account_id = $1 AND starts_at > $2 AND signed_off_at IS NULL",
        account_id,
        after,
    )
    return found


async def find_on_phone(*, phone_id: UUID, lock: bool = False) -> ShiftView | None:
    """The shift that is signed on at a shared phone, also past its end."""
    suffix = " FOR UPDATE" if lock else ""
    row = await db.fetchrow(
        f"SELECT * FROM duty_shift WHERE phone_id = $1 AND signed_off_at IS NULL{suffix}",  # noqa: S608
        phone_id,
    )
    return None if row is None else _shift(row)


async def add_phone(phone: PhoneView) -> bool:
    added = await db.fetchval(
        "INSERT INTO shared_phone (id, operator_company_id, station_id, account_id, label, created_at)"
        " VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING RETURNING true",
        phone.id,
        phone.operator_company_id,
        phone.station_id,
        phone.account_id,
        phone.label,
        phone.created_at,
    )
    return bool(added)


async def find_phone(*, account_id: UUID | None = None, phone_id: UUID | None = None) -> PhoneView | None:
    row = await db.fetchrow("SELECT * FROM shared_phone WHERE account_id = $1 OR id = $2", account_id, phone_id)
    return None if row is None else _phone(row)


async def list_phones(*, company_ids: Collection[UUID]) -> list[PhoneView]:
    rows = await db.fetch(
        "SELECT * FROM shared_phone WHERE operator_company_id = ANY($1) ORDER BY created_at, id", list(company_ids)
    )
    return [_phone(row) for row in rows]


async def save_pin(account_id: UUID, pin_hash: bytes) -> None:
    await db.execute(
        "INSERT INTO staff_pin (account_id, pin_hash, tries) VALUES ($1, $2, 0)"
        " ON CONFLICT (account_id) DO UPDATE SET pin_hash = excluded.pin_hash, tries = 0, locked_until = NULL",
        account_id,
        pin_hash,
    )


async def find_pin(account_id: UUID) -> tuple[bytes, int, datetime | None] | None:
    """Return (hash, wrong tries in a row, locked until), locked."""
    row = await db.fetchrow("SELECT * FROM staff_pin WHERE account_id = $1 FOR UPDATE", account_id)
    return None if row is None else (row["pin_hash"], row["tries"], row["locked_until"])


async def count_try(account_id: UUID, tries: int, locked_until: datetime | None) -> None:
    await db.execute(
        "UPDATE staff_pin SET tries = $2, locked_until = $3 WHERE account_id = $1", account_id, tries, locked_until
    )
