"""A station as it is now: which guns are free, which are unknown, and until when that holds."""

import math
from collections.abc import Sequence
from datetime import datetime
from typing import Literal
from uuid import UUID

import msgspec

Zone = Literal["resident", "public"]
Speed = Literal["fast", "slow"]


class GunPicture(msgspec.Struct, frozen=True, kw_only=True):
    """One gun. `claims` are the periods, by start, in which somebody holds it."""

    id: UUID
    charger_code: str
    number: int
    qr: str
    kind: Literal["ac", "dc"]
    max_power_w: int
    zone: Zone
    bay_ids: tuple[UUID, ...]
    status: str
    status_since: datetime | None
    claims: tuple[tuple[datetime, datetime], ...]


class Counts(msgspec.Struct, frozen=True):
    """Guns of a zone in service: all, free now, and those of which nothing is known."""

    total: int
    free: int
    unknown: int


class ZoneCounts(msgspec.Struct, frozen=True):
    """Guns by painted zone."""

    resident: Counts
    public: Counts


def speed_of(kind: str) -> Speed:
    """DC is fast, AC is slow."""
    return "fast" if kind == "dc" else "slow"


def is_claimed(gun: GunPicture, now: datetime) -> bool:
    """Say whether somebody holds the gun now."""
    return any(starts <= now < ends for starts, ends in gun.claims)


def is_free(gun: GunPicture, *, held: bool, now: datetime) -> bool:
    """Say whether the gun can be used now: available by its own word, held by nobody, the station not closed for
    safety.
    """
    return gun.status == "available" and not held and not is_claimed(gun, now)


def count_guns(guns: Sequence[GunPicture], *, held: bool, now: datetime, speed: Speed | None = None) -> ZoneCounts:
    """Count the guns of each zone, of one speed where given. An unknown gun is never free."""
    total = {"resident": 0, "public": 0}
    free = {"resident": 0, "public": 0}
    unknown = {"resident": 0, "public": 0}
    for gun in guns:
        if speed is not None and speed_of(gun.kind) != speed:
            continue
        total[gun.zone] += 1
        if gun.status == "unknown":
            unknown[gun.zone] += 1
        elif is_free(gun, held=held, now=now):
            free[gun.zone] += 1
    return ZoneCounts(
        resident=Counts(total["resident"], free["resident"], unknown["resident"]),
        public=Counts(total["public"], free["public"], unknown["public"]),
    )


def next_change(guns: Sequence[GunPicture], *, now: datetime) -> datetime | None:
    """Return when the next claim begins or ends, which changes what is free without anything being reported."""
    edges = [edge for gun in guns for claim in gun.claims for edge in claim if edge > now]
    return min(edges, default=None)


def wait_s(
    guns: Sequence[GunPicture], *, usable_at: datetime | None, held: bool, now: datetime, speed: Speed | None = None
) -> int | None:
    """Return the predicted wait in seconds: 0 while a gun (of `speed`) is free, else until `usable_at`.

    None where nothing is known, and while the station is closed for safety: nobody knows when it opens again.
    """
    if held:
        return None
    if any(is_free(gun, held=held, now=now) for gun in guns if speed is None or speed_of(gun.kind) == speed):
        return 0
    return None if usable_at is None else max(0, math.ceil((usable_at - now).total_seconds()))


def next_claim_at(gun: GunPicture, now: datetime) -> datetime | None:
    """Return when the gun is next held by somebody, or None where no claim is known."""
    return min((starts for starts, _ in gun.claims if starts > now), default=None)
