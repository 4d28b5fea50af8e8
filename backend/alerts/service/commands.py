"""Commands that staff give to devices, with a reason, through the same safety rules as everything else."""

from datetime import datetime
from uuid import UUID

import msgspec

from backend.bays import service as bays
from backend.charging.service import sessions
from backend.core import audit, db
from backend.core.auth import Staff
from backend.core.errors import Invalid, NotFound
from backend.stations import service as stations
from backend.telemetry import service as telemetry


class CommandUnknown(Invalid):
    """Staff cannot give this command to this kind of device."""

    code = "command_unknown"
    title_en = "This device has no such command"
    title_zh = "该设备不支持此指令"
    detail_en = "A {kind} takes: {allowed}."
    detail_zh = "{kind} 支持的指令：{allowed}。"


class NothingRunning(Invalid):
    """There is no session to stop on the charger."""

    code = "nothing_running"
    title_en = "Nothing is charging there"
    title_zh = "该充电桩没有正在进行的充电"
    detail_en = "No session runs on this charger (and connector)."
    detail_zh = "该充电桩（充电枪）没有正在进行的充电。"


ALLOWED: dict[str, tuple[str, ...]] = {
    "lock": ("lower", "raise"),
    "charger": ("stop",),
    "smoke": ("silence",),
    "camera": (),
}


class Commanded(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a command: `asked` is what the rules were asked for; they decide whether and when."""

    device_id: UUID
    name: str
    asked: bool
    command_id: UUID | None
    sessions: tuple[UUID, ...] = ()


async def command(
    *, device_id: UUID, name: str, connector: int | None, reason: str, staff: Staff, now: datetime
) -> Commanded:
    """Lower or raise a lock, stop a charger's sessions, silence a detector; audited with the reason.

    A raise is only a wish: it is carried out when every rule allows it, never under a car. Raises NotFound for another
    company's device, CommandUnknown, NothingRunning.
    """
    device = await stations.get_device(device_id=device_id)
    station = await stations.get_station(station_id=device.station_id)
    if not staff.may(
        "guard", "lead", "operator", operator_company_id=station.operator_company_id, station_id=station.id
    ):
        raise NotFound(kind="device")
    if name not in ALLOWED[device.kind]:
        raise CommandUnknown(kind=device.kind, allowed=", ".join(ALLOWED[device.kind]) or "-")
    actor = str(staff.account_id)
    async with db.transaction():
        await audit.record(
            actor_id=staff.account_id,
            actor_role=staff.role_at(station.operator_company_id),
            action=f"device.{name}",
            object_kind="device",
            object_id=device_id,
            detail={"reason": reason, "connector": connector},
            now=now,
            operator_company_id=station.operator_company_id,
        )
        if device.kind == "lock" and device.bay_id is not None:
            if name == "lower":
                asked = await bays.lower_lock(bay_id=device.bay_id, reason=reason, actor=actor, now=now)
            else:
                asked = await bays.request_raise(bay_id=device.bay_id, reason=reason, actor=actor, now=now)
            return Commanded(device_id=device_id, name=name, asked=asked, command_id=None)
        if device.kind == "charger":
            stopped = await _stop(device.charger_id, station.id, connector, actor, now)
            return Commanded(device_id=device_id, name=name, asked=True, command_id=None, sessions=stopped)
        command_id = await telemetry.send_command(device_code=device.code, name=name, args={}, now=now, actor=actor)
    return Commanded(device_id=device_id, name=name, asked=True, command_id=command_id)


async def _stop(
    charger_id: UUID | None, station_id: UUID, number: int | None, actor: str, now: datetime
) -> tuple[UUID, ...]:
    connectors = [
        c.id
        for c in await stations.list_connectors(station_id=station_id)
        if c.charger_id == charger_id and number in (None, c.number)
    ]
    running = await sessions.active_sessions(connector_ids=connectors)
    if not running:
        raise NothingRunning
    for session in running:
        await sessions.stop_session(session_id=session.id, reason="staff", actor=actor, now=now)
    return tuple(session.id for session in running)
