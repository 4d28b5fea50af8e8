"""What alerts do when devices, bays and time report."""

from datetime import timedelta

from backend.alerts import store
from backend.alerts.events import AlertCleared, AlertRaised, IncidentChanged, TaskChanged
from backend.alerts.rules.model import CarLimits
from backend.alerts.rules.table import (
    BY_CODE,
    CAMERA_RULES,
    CHARGER_WORDS,
    DEVICE_RULES,
    LOCK_RULES,
    SMOKE_RULES,
)
from backend.alerts.rules.words import reason_of
from backend.alerts.service import (
    actions,
    bay_reports,
    blocked_bays,
    devices,
    incidents,
    power,
    put_car_limits,
    residents,
    sessions_over,
)
from backend.alerts.service.actions import ActionDue
from backend.alerts.service.bay_reports import BayReportDue
from backend.alerts.service.blocked_bays import BlockedBayDue
from backend.alerts.service.critical import judge_critical
from backend.alerts.service.incidents import EscalationDue, LocksDue
from backend.alerts.service.raising import Report, clear_alert, raise_alert
from backend.alerts.service.residents import NeighboursDue, ResidentsDue
from backend.bays.events import BayFreed, BayOccupied, LockFailed
from backend.charging.events import SessionEnded
from backend.core.jobs import JobContext, Jobs
from backend.core.live import Live
from backend.reservations.events import BayReportClosed, BayReported
from backend.stations import service as stations
from backend.telemetry.events import (
    CameraDangerSeen,
    ChargerEventReported,
    CommandAcknowledged,
    ConnectorStatusChanged,
    CriticalSample,
    DeviceCameBack,
    DeviceWentSilent,
    LockEventReported,
    LockReported,
    SmokeReported,
)

JOBS = Jobs("alerts")

PLATES_KEPT = timedelta(days=30)


@JOBS.on(SmokeReported, first=True)
async def smoke_reported(event: SmokeReported, job: JobContext) -> None:
    """A smoke detector spoke: its event, or a change of its state; both may tell of one alarm."""
    word = event.code or event.status
    if word is not None:
        await devices.hear(rules=SMOKE_RULES, word=word, event=event, now=job.now)
    battery = event.battery_pct
    if battery is not None and battery <= devices.LOW_BATTERY_PCT:
        await devices.hear(rules=SMOKE_RULES, word="low_battery", event=event, now=job.now)
    elif battery is not None:
        await devices.clear(
            device_id=event.device_id, code="smoke_low_battery", occurred_at=event.occurred_at, now=job.now
        )


@JOBS.on(CameraDangerSeen, first=True)
async def camera_danger(event: CameraDangerSeen, job: JobContext) -> None:
    """A camera sees smoke, flame, or a person where there is a fire."""
    if event.code == "person":
        await incidents.note_person_seen(station_id=event.station_id, device_id=event.device_id, now=job.now)
    await devices.hear(rules=CAMERA_RULES, word=event.code, event=event, now=job.now)


@JOBS.on(CriticalSample, first=True)
async def critical_sample(event: CriticalSample, job: JobContext) -> None:
    """A sample beyond a critical limit came over the safety lane."""
    await judge_critical(event=event, now=job.now)


@JOBS.on(ChargerEventReported, urgent=True, first="if told")
async def charger_reported(event: ChargerEventReported, job: JobContext) -> None:
    """A charger complains, or hands over the limits of the car that was connected."""
    if event.connector_id is not None and event.code in ("bms_limits", "plugged", "unplugged"):
        limits = event.bms if event.code == "bms_limits" else None
        car = None
        if limits is not None:
            car = CarLimits(
                chemistry=limits.chemistry,
                temp_limit_c=limits.temp_limit_c,
                cell_v_limit=limits.cell_v_limit,
                capacity_wh=limits.capacity_wh,
                current_limit_a=limits.current_limit_a,
            )
        await put_car_limits(connector_id=event.connector_id, car=car, at=event.occurred_at, now=job.now)
        return
    await devices.hear(rules=CHARGER_WORDS, word=event.code, event=event, now=job.now, connector_id=event.connector_id)


@JOBS.on(CommandAcknowledged)
async def limit_taken(event: CommandAcknowledged, job: JobContext) -> None:
    """A charger took a limit of its power: it is the offer from now on."""
    if event.name == "set_limit" and event.ok:
        await power.note_limit(device_id=event.device_id, args=event.args, at=event.received_at, now=job.now)


@JOBS.on(ConnectorStatusChanged)
async def connector_changed(event: ConnectorStatusChanged, job: JobContext) -> None:
    """A connector is free again: what was raised about the car that left is over."""
    if event.status == "available":
        await sessions_over.clear_after_session(connector_id=event.connector_id, now=job.now)
    station = await stations.get_station(station_id=event.station_id)
    news = {"type": "connector", "station_id": event.station_id, "connector_id": event.connector_id}
    await job.services.get(Live).publish(
        f"staff:{station.operator_company_id}", {**news, "status": event.status, "previous": event.previous}
    )


@JOBS.on(DeviceWentSilent)
async def show_silence(event: DeviceWentSilent, job: JobContext) -> None:
    """Show on the board that a device is out of contact."""
    await _show_contact(event, job, silent=True)


@JOBS.on(DeviceCameBack)
async def show_return(event: DeviceCameBack, job: JobContext) -> None:
    """Show on the board that a device is heard again."""
    await _show_contact(event, job, silent=False)


async def _show_contact(event: DeviceWentSilent | DeviceCameBack, job: JobContext, *, silent: bool) -> None:
    station = await stations.get_station(station_id=event.station_id)
    news = {"type": "device", "station_id": event.station_id, "device_id": event.device_id, "code": event.device_code}
    await job.services.get(Live).publish(
        f"staff:{station.operator_company_id}", {**news, "kind": event.kind, "silent": silent}
    )


@JOBS.on(SessionEnded)
async def session_ended(event: SessionEnded, job: JobContext) -> None:
    """The same, where the connector was free before the session was known to have ended."""
    await sessions_over.clear_after_session(connector_id=event.connector_id, now=job.now)


@JOBS.on(LockEventReported)
async def lock_event(event: LockEventReported, job: JobContext) -> None:
    """A ground lock complains."""
    await devices.hear(rules=LOCK_RULES, word=event.code, event=event, now=job.now)


@JOBS.on(LockReported)
async def lock_reported(event: LockReported, job: JobContext) -> None:
    """A ground lock says it is in error; one that stands up or lies down again works."""
    if event.online and event.position == "error":
        await devices.hear(rules=LOCK_RULES, word="error", event=event, now=job.now)
    if event.online and event.position in ("up", "down") and event.error is None:
        for code in ("lock_error", "lock_raise_error", "lock_lower_error", "lock_no_answer"):
            await devices.clear(device_id=event.device_id, code=code, occurred_at=event.occurred_at, now=job.now)


@JOBS.on(LockFailed)
async def lock_failed(event: LockFailed, job: JobContext) -> None:
    """A ground lock did not do what it was told after all tries."""
    bay = await stations.get_bay(bay_id=event.bay_id)
    if bay.lock_device_id is None:
        return
    report = Report(
        device_id=bay.lock_device_id,
        station_id=event.station_id,
        occurred_at=event.at,
        received_at=job.now,
        word=event.error,
    )
    await raise_alert(rule=BY_CODE["lock_no_answer"], level="warning", report=report, now=job.now)


@JOBS.on(DeviceWentSilent)
async def device_silent(event: DeviceWentSilent, job: JobContext) -> None:
    """A device has not been heard for too long: its state is unknown."""
    await devices.hear(rules=DEVICE_RULES, word="silent", event=event, now=job.now)


@JOBS.on(DeviceCameBack)
async def device_back(event: DeviceCameBack, job: JobContext) -> None:
    """A device is heard again; by arrival, because what it sends first may be old."""
    await clear_alert(
        device_id=event.device_id, connector_id=None, code="device_silent", occurred_at=job.now, now=job.now
    )


@JOBS.on(BayOccupied)
async def bay_occupied(event: BayOccupied, job: JobContext) -> None:
    """A car stands in a bay."""
    await blocked_bays.car_seen(
        bay_id=event.bay_id, plate_hash=event.plate_hash, energy_type=event.energy_type, at=event.at, now=job.now
    )


@JOBS.on(BayFreed)
async def bay_freed(event: BayFreed, job: JobContext) -> None:
    """A bay is empty."""
    await blocked_bays.car_gone(bay_id=event.bay_id, at=event.at, now=job.now)


@JOBS.timer("lower_locks", LocksDue, first=True)
async def lower_locks(due: LocksDue, job: JobContext) -> None:
    """Open the bays of a station on fire."""
    await incidents.lower_locks(due=due, now=job.now)


@JOBS.timer("tell_residents", ResidentsDue, first=True)
async def tell_residents(due: ResidentsDue, job: JobContext) -> None:
    """Tell whoever has a car at a station in danger, or is expected there, to stay away."""
    await residents.tell_residents(due=due, now=job.now)


@JOBS.timer("tell_neighbours", NeighboursDue, urgent=True)
async def tell_neighbours(due: NeighboursDue, job: JobContext) -> None:
    """Tell the compounds around a station of its fire, or that it is over, a few hundred people at a time."""
    await residents.tell_neighbours(due=due, now=job.now)


@JOBS.timer("blocked_bay", BlockedBayDue)
async def blocked_bay(timer: BlockedBayDue, job: JobContext) -> None:
    """A car has stood in a bay for the station's wait."""
    await blocked_bays.judge(bay_id=timer.bay_id, blocked_id=timer.blocked_id, now=job.now)


@JOBS.on(BayReported)
async def bay_reported(event: BayReported, job: JobContext) -> None:
    """A resident says that a bay is blocked."""
    await bay_reports.follow(report_id=event.report_id, now=job.now)


@JOBS.timer("bay_report", BayReportDue)
async def bay_report(timer: BayReportDue, job: JobContext) -> None:
    """The owner of a reported car had time to move it."""
    await bay_reports.send_guard(report_id=timer.report_id, now=job.now)


@JOBS.on(BayReportClosed)
async def bay_report_closed(event: BayReportClosed, job: JobContext) -> None:
    """A report of a bay was decided, or the bay is empty."""
    await bay_reports.closed(bay_id=event.bay_id, verdict=event.verdict, now=job.now)


@JOBS.timer("escalate", EscalationDue, first=True)
async def escalate(timer: EscalationDue, job: JobContext) -> None:
    """An incident may still be unacknowledged."""
    await incidents.escalate(incident_id=timer.incident_id, step=timer.step, now=job.now)


@JOBS.timer("action", ActionDue, first=True)
async def look_at_action(timer: ActionDue, job: JobContext) -> None:
    """An automatic action of an incident should have had its effect."""
    await actions.look(action_id=timer.action_id, now=job.now)


@JOBS.every("forget_plates", seconds=3600)
async def forget_plates(job: JobContext) -> None:
    """Plates of blocked bays live 30 days."""
    await store.forget_plates(job.now - PLATES_KEPT)


@JOBS.on(AlertRaised, first=True)
async def show_alert(event: AlertRaised, job: JobContext) -> None:
    """Show an alert to the board, and to the resident whose session it concerns."""
    live = job.services.get(Live)
    news = {"type": "alert", "alert_id": event.alert_id, "station_id": event.station_id, "code": event.code}
    await live.publish(f"staff:{event.operator_company_id}", {**news, "level": event.level, "change": "raised"})
    if event.session_id is not None:
        warning = {"code": event.code, "level": event.level, "value": event.value, "text": reason_of(event.code)}
        await live.publish(f"session:{event.session_id}", {"type": "warning", "warning": warning})


@JOBS.on(AlertCleared)
async def show_cleared(event: AlertCleared, job: JobContext) -> None:
    """Show on the board that an alert is over."""
    news = {"type": "alert", "alert_id": event.alert_id, "station_id": event.station_id, "code": event.code}
    await job.services.get(Live).publish(f"staff:{event.operator_company_id}", {**news, "change": "cleared"})


@JOBS.on(IncidentChanged, first=True)
async def show_incident(event: IncidentChanged, job: JobContext) -> None:
    """Show an incident on the board."""
    held = await stations.has_safety_hold(station_id=event.station_id)
    news = {
        "type": "incident",
        "incident_id": event.incident_id,
        "station_id": event.station_id,
        "safety_hold": held,
    }
    await job.services.get(Live).publish(
        f"staff:{event.operator_company_id}", {**news, "status": event.status, "change": event.what}
    )


@JOBS.on(TaskChanged)
async def close_reports(event: TaskChanged, job: JobContext) -> None:
    """A guard has seen to a reported bay."""
    if event.status == "resolved":
        await bay_reports.task_resolved(task_id=event.task_id, now=job.now)


@JOBS.on(TaskChanged)
async def show_task(event: TaskChanged, job: JobContext) -> None:
    """Show a task on the board."""
    news = {"type": "task", "task_id": event.task_id, "station_id": event.station_id, "status": event.status}
    await job.services.get(Live).publish(f"staff:{event.operator_company_id}", news)
