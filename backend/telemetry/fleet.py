"""The fleet as operators see it: the registry's entry of each device with what it said of itself and how it does."""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from backend.core.auth import Staff
from backend.stations.rules.registry import RegistryEntry
from backend.stations.service import devices as registry
from backend.telemetry import store, store_fleet
from backend.telemetry.rules.fleet import Health, Problem, find_problems, judge

PAGE = 500


class FleetHealth(msgspec.Struct, frozen=True, kw_only=True):
    """How a device does. `clock_offset_ms`: its clock minus true time, None until known. Loss is counted by gaps in
    `seq` since the device was first heard.
    """

    state: Health
    problems: tuple[Problem, ...]
    last_seen_at: datetime | None
    silent_since: datetime | None
    firmware: str | None
    battery_pct: float | None
    clock_offset_ms: int | None
    messages_lost: int
    loss_per_mille: float | None
    boot: int | None
    messages_refused: int


class FleetDevice(msgspec.Struct, frozen=True, kw_only=True):
    """A device of the registry with its health."""

    entry: RegistryEntry
    health: FleetHealth


class SilentDevice(msgspec.Struct, frozen=True, kw_only=True):
    """A device that is out of contact now."""

    device_id: UUID
    code: str
    kind: str
    station_id: UUID
    since: datetime
    how: str


async def list_fleet(
    *, staff: Staff, station_id: UUID | None, kind: str | None, health: Health | None, after: str | None, limit: int
) -> list[FleetDevice]:
    """Return devices of the caller's companies by code with their health, those in one state of health if asked."""
    found: list[FleetDevice] = []
    size = limit if health is None else PAGE
    while True:
        entries = await registry.list_registry(staff=staff, station_id=station_id, kind=kind, after=after, limit=size)
        found += [device for device in await _with_health(entries) if health in (None, device.health.state)]
        if len(entries) < size or len(found) >= limit:
            return found[:limit]
        after = entries[-1].code


async def list_on_site(
    *, staff: Staff, station_id: UUID | None, attention: bool, after: str | None, limit: int
) -> list[FleetDevice]:
    """Return the devices at the stations where the caller works with their health, by code.

    With `attention` those alone that somebody has to look at: anything but well.
    """
    found: list[FleetDevice] = []
    size = PAGE if attention else limit
    while True:
        entries = await registry.list_on_site(staff=staff, station_id=station_id, after=after, limit=size)
        found += [device for device in await _with_health(entries) if not attention or device.health.state != "ok"]
        if len(entries) < size or len(found) >= limit:
            return found[:limit]
        after = entries[-1].code


async def get_fleet_device(*, staff: Staff, device_id: UUID) -> FleetDevice:
    """Return a device of the caller's companies with its health; raises NotFound."""
    entry = await registry.get_registered(staff=staff, device_id=device_id)
    return (await _with_health([entry]))[0]


async def count_fleet(*, staff: Staff) -> dict[str, dict[str, int]]:
    """Return how many devices of each kind are in each state of health, retired ones left out."""
    counts: dict[str, Counter[str]] = {}
    after: str | None = None
    while True:
        entries = await registry.list_registry(staff=staff, station_id=None, kind=None, after=after, limit=PAGE)
        for device in await _with_health(entries):
            if device.health.state != "retired":
                counts.setdefault(device.entry.kind, Counter())[device.health.state] += 1
        if len(entries) < PAGE:
            return {kind: dict(sorted(states.items())) for kind, states in sorted(counts.items())}
        after = entries[-1].code


async def list_silent(*, station_ids: Sequence[UUID]) -> list[SilentDevice]:
    """Return the devices of these stations that are silent, or whose last will came, longest first.

    For boards (`/v1/staff/live`); retired devices are left out, revoked ones are silent and shown.
    """
    rows = await store_fleet.list_out_of_contact(station_ids)
    active = {device.id for device in await registry.list_active(station_ids=station_ids)}
    return [SilentDevice(**dict(row)) for row in rows if row["device_id"] in active]


async def _with_health(entries: Sequence[RegistryEntry]) -> list[FleetDevice]:
    ids = [entry.id for entry in entries]
    rows = {row["device_id"]: row for row in await store.list_device_states(ids)}
    refused = await store_fleet.count_refused(ids)
    return [
        FleetDevice(entry=entry, health=_health(entry, rows.get(entry.id), refused.get(entry.id, 0)))
        for entry in entries
    ]


def _health(entry: RegistryEntry, row: Any, refused: int) -> FleetHealth:
    if row is None:
        state = judge(access=entry.access, heard=False, online=False, silent=False, problems=())
        return FleetHealth(
            state=state,
            problems=(),
            last_seen_at=None,
            silent_since=None,
            firmware=None,
            battery_pct=None,
            clock_offset_ms=None,
            messages_lost=0,
            loss_per_mille=None,
            boot=None,
            messages_refused=refused,
        )
    sent_of_boot = row["seq"] - row["boot_first_seq"] + 1
    lost = max(0, row["lost_before"] + sent_of_boot - row["boot_received"])
    received = max(0, row["boot_received"])
    problems = find_problems(
        clock_offset_ms=row["clock_offset_ms"],
        lost=max(0, sent_of_boot - row["boot_received"]),
        received=received,
        battery_pct=row["battery_pct"],
    )
    state = judge(
        access=entry.access,
        heard=True,
        online=row["online"],
        silent=row["silent_since"] is not None,
        problems=problems,
    )
    return FleetHealth(
        state=state,
        problems=problems,
        last_seen_at=row["last_seen_at"],
        silent_since=row["silent_since"],
        firmware=row["firmware"],
        battery_pct=row["battery_pct"],
        clock_offset_ms=row["clock_offset_ms"],
        messages_lost=lost,
        loss_per_mille=round(1000 * max(0, sent_of_boot - received) / sent_of_boot, 1) if sent_of_boot > 0 else None,
        boot=row["boot"] if row["boot"] >= 0 else None,
        messages_refused=refused,
    )
