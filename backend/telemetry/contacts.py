"""Hearing of devices: who spoke, whether it is newer than all before, when it was made, and who came back.

Used by both lanes inside their transactions. The row of the device is locked from `lock` to the commit, so the worker
and ingest take turns for one device and each sees what the other wrote.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import asyncpg
import msgspec

from backend.core import jobs
from backend.stations import service as stations
from backend.telemetry import store, store_states
from backend.telemetry.events import ConnectorStatusChanged, DeviceCameBack
from backend.telemetry.rules import clocks, order
from backend.telemetry.rules.clocks import ClockState
from backend.telemetry.rules.order import SeqCount
from mqtt_bridge import messages

OUT_OF_SERVICE = frozenset({"unknown", "faulted", "unavailable"})


class DeviceInfo(msgspec.Struct, frozen=True, kw_only=True):
    """What the registry says of a device: a lock's bay, a camera's role and lane, a charger's connectors by number."""

    id: UUID
    code: str
    kind: str
    station_id: UUID
    bay_id: UUID | None
    role: str | None
    lane: str | None
    active: bool
    window_s: int
    connectors: Mapping[int, UUID]
    station_code: str | None = None


@dataclass(frozen=True)
class Placement:
    """When a message was made (true time), whether that is only its arrival, and whether it is the newest so far."""

    occurred_at: datetime
    flagged: bool
    newest: bool


@dataclass
class Contact:
    """A locked device_state row being brought up to date."""

    info: DeviceInfo
    count: SeqCount
    clock: ClockState
    online: bool
    last_seen_at: datetime
    silent_since: datetime | None
    offline_since: datetime | None
    state_boot: int
    state_seq: int
    state: bytes | None
    back_since: datetime | None = None

    def is_newer(self, *, boot: int, seq: int) -> bool:
        """Whether a message follows everything heard of this device."""
        return order.is_newer(boot=boot, seq=seq, than_boot=self.count.boot, than_seq=self.count.seq)

    def hear(self, *, boot: int, seq: int, ts: object, received_at: datetime, fresh: bool) -> Placement:
        """Take in one message; `fresh` says that it is not a repeat. Only a newest message proves contact.

        A repeat that the broker delivers again after a restart of ours proves nothing about the device, and neither
        does what arrived before its last will and is only handled after it: `online` then stays false.
        """
        newest = self.is_newer(boot=boot, seq=seq)
        placed = clocks.place(clock=self.clock, ts=messages.read_ts(ts), received_at=received_at, newest=newest)
        self.clock = placed.clock
        if newest and (self.offline_since is None or received_at > self.offline_since):
            if not self.online or self.silent_since is not None:
                self.back_since = self.offline_since or self.silent_since or self.last_seen_at
            self.online, self.silent_since, self.offline_since = True, None, None
            self.last_seen_at = max(self.last_seen_at, received_at)
        if fresh:
            self.count = order.count(self.count, boot=boot, seq=seq)
        return Placement(placed.occurred_at, placed.flagged, newest)


def window(report_interval_s: int, silence_intervals: int) -> int:
    """Seconds without a word after which a device counts as silent."""
    return max(1, report_interval_s * silence_intervals)


async def load_device(*, device_id: UUID) -> DeviceInfo:
    """Read one device from the registry, also a retired one; raises NotFound."""
    device = await stations.get_device(device_id=device_id)
    station = await stations.get_station(station_id=device.station_id)
    connectors: dict[int, UUID] = {}
    if device.charger_id is not None:
        listed = await stations.list_connectors(station_id=device.station_id)
        connectors = {c.number: c.id for c in listed if c.charger_id == device.charger_id}
    return DeviceInfo(
        id=device.id,
        code=device.code,
        kind=device.kind,
        station_id=device.station_id,
        bay_id=device.bay_id,
        role=device.role,
        lane=device.lane,
        active=device.active,
        window_s=window(device.report_interval_s, station.settings.silence_intervals),
        connectors=connectors,
        station_code=device.station_code,
    )


async def load_directory() -> dict[UUID, DeviceInfo]:
    """Read all active devices of the registry (ingest keeps them and reads again when it meets an unknown one)."""
    intervals = {s.id: s.settings.silence_intervals for s in await stations.list_stations()}
    by_charger: dict[UUID, dict[int, UUID]] = {}
    for connector in await stations.list_all_connectors():
        by_charger.setdefault(connector.charger_id, {})[connector.number] = connector.id
    return {
        device.id: DeviceInfo(
            id=device.id,
            code=device.code,
            kind=device.kind,
            station_id=device.station_id,
            bay_id=device.bay_id,
            role=device.role,
            lane=device.lane,
            active=device.active,
            window_s=window(device.report_interval_s, intervals[device.station_id]),
            connectors=by_charger.get(device.charger_id, {}) if device.charger_id else {},
            station_code=device.station_code,
        )
        for device in await stations.list_devices()
    }


async def lock(devices: Iterable[tuple[DeviceInfo, datetime]]) -> dict[UUID, Contact]:
    """Lock the states of these devices (in the order of their ids), making those that are missing.

    Each comes with the arrival of its message, which starts the silence window of a device heard for the first time.
    """
    wanted = {info.id: (info, received_at) for info, received_at in devices}
    rows = await store_states.lock_devices(wanted)
    if missing := wanted.keys() - {row["device_id"] for row in rows}:
        fresh = [wanted[device_id] for device_id in sorted(missing)]
        await store_states.add_devices(
            [(info.id, info.station_id, info.kind, info.code, at, info.window_s) for info, at in fresh]
        )
        rows = await store_states.lock_devices(wanted)
    return {row["device_id"]: _contact(wanted[row["device_id"]][0], row) for row in rows}


def _contact(info: DeviceInfo, row: asyncpg.Record) -> Contact:
    return Contact(
        info=info,
        count=SeqCount(row["boot"], row["seq"], row["boot_first_seq"], row["boot_received"], row["lost_before"]),
        clock=ClockState(
            row["clock_offset_ms"],
            row["clock_candidate_ms"],
            row["clock_candidate_count"],
            row["clock_candidate_at"],
            row["last_occurred_at"],
            row["last_seen_at"],
        ),
        online=row["online"],
        last_seen_at=row["last_seen_at"],
        silent_since=row["silent_since"],
        offline_since=row["offline_since"],
        state_boot=row["state_boot"],
        state_seq=row["state_seq"],
        state=None if row["state"] is None else row["state"].encode(),
    )


async def save(contacts: Iterable[Contact], *, now: datetime) -> None:
    """Write the contacts back, and tell of the devices that came back."""
    listed = list(contacts)
    rows = [
        (
            c.info.id,
            c.online,
            c.count.boot,
            c.count.seq,
            c.count.boot_first_seq,
            c.count.boot_received,
            c.count.lost_before,
            c.last_seen_at,
            c.silent_since,
            c.offline_since,
            c.clock.offset_ms,
            c.clock.candidate_ms,
            c.clock.candidate_count,
            c.clock.candidate_at,
            c.clock.last_occurred_at,
            c.info.window_s,
        )
        for c in listed
    ]
    if rows:
        await store_states.save_contacts(rows)
    for c in listed:
        if c.back_since is not None:
            await store.close_device_outage(c.info.id, c.last_seen_at)
            event = DeviceCameBack(
                device_id=c.info.id,
                device_code=c.info.code,
                station_id=c.info.station_id,
                occurred_at=c.last_seen_at,
                received_at=c.last_seen_at,
                kind=c.info.kind,
                since=c.back_since,
            )
            await jobs.emit(event, now=now)


async def tell_statuses(
    rows: Iterable[tuple[asyncpg.Record, datetime, bool]], *, devices: Mapping[UUID, DeviceInfo], now: datetime
) -> int:
    """Keep the hours and outages of connectors whose status changed, and tell of the changes; returns how many.

    Each row is a connector_state row with its `previous` status, the arrival of the message, and whether its clock was
    flagged. Rows with the same status as before are passed over.
    """
    told = 0
    for row, received_at, flagged in rows:
        status, previous, at = row["status"], row["previous"], row["status_since"]
        if status == previous:
            continue
        connector_id, station_id, device_id = row["connector_id"], row["station_id"], row["device_id"]
        await store.switch_status_period(connector_id, station_id, status, at)
        if status in OUT_OF_SERVICE:
            await store.close_connector_outage(connector_id, at)
            await store.open_outage(
                subject="connector",
                device_id=device_id,
                connector_id=connector_id,
                station_id=station_id,
                reason=status,
                at=at,
            )
        elif previous in OUT_OF_SERVICE:
            await store.close_connector_outage(connector_id, at)
        event = ConnectorStatusChanged(
            device_id=device_id,
            device_code=devices[device_id].code,
            station_id=station_id,
            occurred_at=at,
            received_at=received_at,
            clock_flagged=flagged,
            connector_id=connector_id,
            status=status,
            previous=previous,
            meter_wh=row["meter_wh"],
        )
        await jobs.emit(event, now=now)
        told += 1
    return told
