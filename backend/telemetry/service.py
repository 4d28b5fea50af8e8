"""What other features ask of devices: state, readings, commands, hours. Nothing here waits for a device."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec

from backend.core import db, jobs
from backend.core.errors import Invalid, NotFound
from backend.core.ids import new_id
from backend.stations import service as stations
from backend.telemetry import fleet, rollups, store
from backend.telemetry.events import ConnectorStatus
from backend.telemetry.fleet import SilentDevice
from backend.telemetry.rollups import Minute
from mqtt_bridge import messages
from mqtt_bridge.messages import BmsFlag, ChargerTelemetry

SENDING_S = 1
"""Seconds granted to the bridge for handing a command to the broker, on top of the device's 10 s to answer."""


class UnknownDevice(NotFound):
    """No active device has this code."""

    code = "device_not_found"
    title_en = "There is no such device"
    title_zh = "设备不存在"


class CommandNotPossible(Invalid):
    """The device's kind does not know the command, or its arguments are not those of the contract."""

    code = "command_not_possible"
    title_en = "The device cannot do this"
    title_zh = "设备不支持该指令"
    detail_en = "{reason}"
    detail_zh = "{reason}"


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """One telemetry message of a charger as ingest hands it on: whose it is, when it was, and what it says."""

    connector_id: UUID
    device_id: UUID
    device_code: str
    station_id: UUID
    occurred_at: datetime
    received_at: datetime
    clock_flagged: bool
    reading: ChargerTelemetry


class ConnectorState(msgspec.Struct, frozen=True, kw_only=True):
    """A connector now. `status` is `unknown`, and `online` false, while its charger is silent, offline or never spoke.

    The measured values stay the last heard; `observed_at` (corrected device time) says how old they are. `soc_pct` and
    the other battery values are None on AC, which gives no battery data.
    """

    connector_id: UUID
    station_id: UUID
    status: ConnectorStatus
    online: bool
    observed_at: datetime | None
    received_at: datetime | None
    status_since: datetime
    boot: int
    seq: int
    meter_wh: int | None
    power_w: int | None
    voltage_v: float | None
    current_a: float | None
    gun_temp_c: float | None
    cabinet_temp_c: float | None
    insulation_ohm_per_v: float | None
    soc_pct: float | None
    pack_v: float | None
    pack_a: float | None
    cell_v_max: float | None
    temp_max_c: float | None
    temp_min_c: float | None
    remaining_min: float | None


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """One stored sample. `occurred_at` is what billing uses: arrival time where `clock_flagged`."""

    boot: int
    seq: int
    occurred_at: datetime
    received_at: datetime
    clock_flagged: bool
    status: str
    meter_wh: int
    power_w: int
    voltage_v: float
    current_a: float
    gun_temp_c: float
    cabinet_temp_c: float | None
    insulation_ohm_per_v: float | None
    soc_pct: float | None
    cell_v_max: float | None
    temp_max_c: float | None
    temp_min_c: float | None
    remaining_min: float | None
    flags: tuple[BmsFlag, ...] | None


class CommandView(msgspec.Struct, frozen=True, kw_only=True):
    """A command and what became of it: `queued | claimed | sent | acknowledged | expired`; `timed_out_at` beside it."""

    id: UUID
    device_id: UUID
    device_code: str
    station_id: UUID
    name: str
    args: dict[str, Any]
    actor: str
    created_at: datetime
    expires_at: datetime
    status: str
    sent_at: datetime | None
    timed_out_at: datetime | None
    acked_at: datetime | None
    ok: bool | None
    error: str | None


class DeviceStatus(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a device: contact, clock (`clock_offset_ms` None until known), loss by `seq` gaps, battery.

    `state` is its newest `state` as it was sent (without plates: a camera's holds bays only).
    """

    device_id: UUID
    station_id: UUID
    kind: str
    code: str
    online: bool
    silent_since: datetime | None
    last_seen_at: datetime
    clock_offset_ms: int | None
    messages_lost: int
    firmware: str | None
    battery_pct: float | None
    state: dict[str, Any] | None


class ConnectorHours(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds of a period a connector was in service (known, not faulted or unavailable) and delivering energy."""

    connector_id: UUID
    in_service_s: int
    delivering_s: int


class CommandDue(msgspec.Struct):
    """Payload of the timer `telemetry.command_timeout`."""

    command_id: UUID


async def send_command(*, device_code: str, name: str, args: dict[str, Any], now: datetime, actor: str) -> UUID:
    """Hand a command to the bridge and return its id; runs in the caller's transaction, or one of its own.

    The bridge publishes after the commit (NOTIFY). The answer comes as `CommandAcknowledged`; without one within 10 s
    `CommandTimedOut`, once. `stop` and `lower` live 10 minutes (a device coming back still obeys), the others 30 s
    (mqtt.md). `actor` is an account id or the name of the rule that decided. Raises UnknownDevice, CommandNotPossible.
    """
    device = await stations.find_device(code=device_code)
    if device is None or not device.active:
        raise UnknownDevice()
    _check_command(device.kind, name, args)
    command_id = new_id()
    expires_at = now + timedelta(seconds=messages.COMMAND_LIFE_S.get(name, 30))
    async with db.transaction():
        await store.add_command(
            command_id=command_id,
            device_id=device.id,
            device_code=device.code,
            station_id=device.station_id,
            station_code=device.station_code,
            kind=device.kind,
            name=name,
            args=args,
            actor=actor,
            created_at=now,
            expires_at=expires_at,
        )
        due_at = now + timedelta(seconds=messages.ACK_WITHIN_S + SENDING_S)
        await jobs.schedule("telemetry.command_timeout", CommandDue(command_id), due_at=due_at, now=now)
    return command_id


def _check_command(kind: str, name: str, args: dict[str, Any]) -> None:
    if name not in messages.COMMANDS[kind]:
        raise CommandNotPossible(reason=f"a {kind} has no command {name}")
    shape = messages.COMMAND_ARGS.get(name)
    if shape is None:
        return
    try:
        msgspec.convert(args, shape)
    except msgspec.ValidationError as error:
        raise CommandNotPossible(reason=str(error)) from error


async def find_command(*, command_id: UUID) -> CommandView | None:
    """Return the command, or None."""
    row = await store.find_command(command_id)
    if row is None:
        return None
    return msgspec.convert({**dict(row), "args": msgspec.json.decode(row["args"])}, CommandView)


async def connector_states(*, connector_ids: list[UUID] | frozenset[UUID]) -> dict[UUID, ConnectorState]:
    """Return the state of each connector that ever spoke; one that is absent has to be taken as unknown."""
    return {row["connector_id"]: as_connector_state(row) for row in await store.list_connector_states(connector_ids)}


def as_connector_state(row: Any) -> ConnectorState:
    """Make the view of a row of `store.list_connector_states`."""
    values = {name: row[name] for name in ConnectorState.__struct_fields__ if name not in ("observed_at", "online")}
    return ConnectorState(**values, observed_at=row["occurred_at"], online=row["status"] != "unknown")


async def readings(*, connector_id: UUID, since: datetime, until: datetime) -> list[Reading]:
    """Return the samples that occurred in [since, until), in the device's order (boot, seq); repeats taken once.

    They may have arrived at any time from a day before `since` on: a charger that was offline sends late.
    """
    return [_reading(row) for row in await store.list_readings(connector_id, since, until)]


async def meter_points(*, connector_id: UUID, since: datetime, until: datetime) -> list[tuple[datetime, int]]:
    """Return (occurred_at, meter_wh) of what `readings` returns, for a bill: it needs nothing else of a reading."""
    return [(row[0], row[1]) for row in await store.list_meter_points(connector_id, since, until)]


async def last_reading(*, connector_id: UUID, before: datetime) -> Reading | None:
    """Return the last sample that occurred before this instant, within a week, or None.

    Nearly always one of the last minutes, so these are looked through first: a week is 40,000 samples.
    """
    for within in (timedelta(minutes=10), timedelta(days=7)):
        row = await store.find_last_reading(connector_id, before - within, before)
        if row is not None:
            return _reading(row)
    return None


def _reading(row: Any) -> Reading:
    values = {name: row[name] for name in Reading.__struct_fields__ if name != "flags"}
    return Reading(**values, flags=None if row["flags"] is None else tuple(row["flags"]))


async def has_ingested_until(*, at: datetime) -> bool:
    """Say whether everything a bridge took before this instant is in the history.

    `session_ended` comes over the safety lane and may overtake the last samples, by milliseconds or, while ingest is
    down, by more: a bill waits for this. Known to the second; false while no ingest process has reported.
    """
    return await store.has_ingested_until(at)


async def device_online(*, device_id: UUID) -> bool:
    """Say whether the device is in contact: it spoke, has not gone silent, and its last will was not published."""
    return await store.is_device_online(device_id)


async def device_states(*, device_ids: list[UUID] | frozenset[UUID]) -> dict[UUID, DeviceStatus]:
    """Return what is known of each device that ever spoke."""
    rows = await store.list_device_states(device_ids)
    return {row["device_id"]: _device_status(row) for row in rows}


def _device_status(row: Any) -> DeviceStatus:
    lost = row["lost_before"] + row["seq"] - row["boot_first_seq"] + 1 - row["boot_received"]
    taken = ("messages_lost", "state", "online")
    values = {name: row[name] for name in DeviceStatus.__struct_fields__ if name not in taken}
    return DeviceStatus(
        **values,
        online=row["online"] and row["silent_since"] is None,
        messages_lost=max(0, lost),
        state=None if row["state"] is None else msgspec.json.decode(row["state"]),
    )


async def connector_hours(*, connector_ids: list[UUID], since: datetime, until: datetime) -> list[ConnectorHours]:
    """Return hours in service and delivering of each connector in [since, until) (时长利用率 is their quotient)."""
    rows = await store.sum_connector_hours(connector_ids, since, until)
    return [ConnectorHours(**dict(row)) for row in rows]


async def silent_devices(*, station_ids: list[UUID]) -> list[SilentDevice]:
    """Return the devices of these stations that are silent now, or whose last will came, longest first: for boards."""
    return await fleet.list_silent(station_ids=station_ids)


async def minutes(*, connector_id: UUID, since: datetime, until: datetime) -> list[Minute]:
    """Return the one-minute roll-ups of a connector in [since, until); up to about two minutes ago."""
    return await rollups.minutes(connector_id=connector_id, since=since, until=until)


async def keep_raw(
    *, station_id: UUID, reference_id: UUID, reason: str, since: datetime, until: datetime, now: datetime
) -> None:
    """Keep a station's raw samples of a time beyond their retention; safety holds do so by themselves."""
    await rollups.keep_raw(
        station_id=station_id, reference_id=reference_id, reason=reason, since=since, until=until, now=now
    )
