"""The report of an incident: one time line of every reading, action, message and person; JSON and PDF.

Staff are named, residents never are: they appear as "居民" (the report goes to fire brigade and regulator).
"""

import hashlib
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec

from backend.accounts import service as accounts
from backend.alerts import store, store_actions, store_incidents
from backend.alerts.gateways.pdf import ReportPaper, render_in_thread
from backend.alerts.rules import timeline as words
from backend.alerts.rules.words import REASONS, reason_of
from backend.alerts.service import incidents
from backend.alerts.store import AlertView
from backend.alerts.store_actions import ActionView
from backend.alerts.store_incidents import IncidentView
from backend.charging.service import sessions
from backend.core.auth import Staff
from backend.notifications.service import proof
from backend.stations import service as stations
from backend.telemetry import service as telemetry

BEFORE, AFTER, LONGEST = timedelta(minutes=10), timedelta(minutes=10), timedelta(hours=24)
"""Readings from ten minutes before the alarm to the incident's end, ten minutes at least and a day at most."""
POINTS = 40
"""Readings of one connector on paper: evenly thinned, the hottest and the last always among them. JSON has all."""
NEIGHBOURS = frozenset({"danger_neighbours", "danger_neighbours_confirmed", "all_clear_nearby"})
BEIJING = ZoneInfo("Asia/Shanghai")


class ReadingEntry(msgspec.Struct, frozen=True, kw_only=True):
    """A reading around the incident."""

    at: datetime
    connector: str
    status: str
    power_w: int
    meter_wh: int
    soc_pct: float | None
    temp_max_c: float | None
    gun_temp_c: float
    clock_flagged: bool


class MessageEntry(msgspec.Struct, frozen=True, kw_only=True):
    """A message on one channel; `to` names staff, never residents."""

    at: datetime
    template: str
    to: str
    channel: str
    state: str
    accepted_at: datetime | None


class TimelineEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One entry: kind alarm, action, message, person, escalation or reading."""

    at: datetime
    kind: str
    what: str
    text: str
    who: str | None
    detail: dict[str, Any]


class IncidentReport(msgspec.Struct, frozen=True, kw_only=True):
    """Everything about one incident."""

    incident_id: UUID
    kind: str
    code: str
    text: str
    drill: bool
    confirmed: bool
    status: str
    company: str
    station_code: str
    station_name: str
    address: str
    area: str | None
    opened_at: datetime
    acknowledged_at: datetime | None
    on_site_at: datetime | None
    resolved_at: datetime | None
    reported_at: datetime | None
    seconds_to_acknowledge: float | None
    seconds_to_arrive: float | None
    seconds_to_resolve: float | None
    alerts: list[AlertView]
    actions: list[ActionView]
    messages: list[MessageEntry]
    readings: list[ReadingEntry]
    timeline: list[TimelineEntry]


async def make_report(*, incident_id: UUID, staff: Staff, now: datetime) -> IncidentReport:
    """Return the report as it stands; raises NotFound."""
    incident = await incidents.get_incident(incident_id=incident_id, staff=staff)
    station = await stations.get_station(station_id=incident.station_id)
    company = await accounts.get_operator_company(company_id=incident.operator_company_id)
    people = await accounts.list_staff(
        operator_company_id=incident.operator_company_id, roles=("guard", "lead", "operator", "inspector")
    )
    names = {p.account_id: f"{p.name}（{p.role}）" for p in people}
    steps = await store_incidents.list_steps(incident_id)
    actions = await store_actions.list_actions(incident_id)
    alerts = await store.list_alerts_of(incident_id)
    readings = await _readings(incident, actions, now)
    messages = [
        MessageEntry(
            at=row.created_at,
            template=row.template,
            to=names.get(row.recipient_id, "居民"),
            channel=row.channel,
            state=row.state,
            accepted_at=row.settled_at if row.state == "accepted" else None,
        )
        for row in await proof.list_deliveries_of(event_key_prefix=f"incident:{incident_id}:")
    ]
    entries = [
        TimelineEntry(
            at=step.at,
            kind=step.kind,
            what=step.what,
            text=words.word_of(step.what, REASONS),
            who=_who(step.actor_id, step.detail, names),
            detail={k: v for k, v in step.detail.items() if k not in ("account_id", "account_ids")},
        )
        for step in steps
    ]
    entries += [
        TimelineEntry(
            at=r.at,
            kind="reading",
            what=r.status,
            text=f"{r.connector}：{r.power_w} W" + ("" if r.temp_max_c is None else f"，电池 {r.temp_max_c:g} ℃"),
            who=None,
            detail={},
        )
        for r in readings
    ]
    opened = incident.opened_at

    def after(at: datetime | None) -> float | None:
        return None if at is None else (at - opened).total_seconds()

    return IncidentReport(
        incident_id=incident.id,
        kind=incident.kind,
        code=incident.code,
        text=reason_of(incident.code),
        drill=incident.drill,
        confirmed=incident.confirmed,
        status=incident.status,
        company=company.name,
        station_code=station.code,
        station_name=station.name,
        address=station.address,
        area=incident.area,
        opened_at=opened,
        acknowledged_at=incident.acknowledged_at,
        on_site_at=incident.on_site_at,
        resolved_at=incident.resolved_at,
        reported_at=incident.reported_at,
        seconds_to_acknowledge=after(incident.acknowledged_at),
        seconds_to_arrive=after(incident.on_site_at),
        seconds_to_resolve=after(incident.resolved_at),
        alerts=alerts,
        actions=actions,
        messages=messages,
        readings=readings,
        timeline=sorted(entries, key=lambda entry: entry.at),
    )


def _who(actor_id: UUID | None, detail: dict[str, Any], names: dict[UUID, str]) -> str | None:
    if "account_ids" in detail:
        return f"居民 {detail['count']} 人"
    told = detail.get("account_id")
    person = actor_id if actor_id is not None else (UUID(str(told)) if told is not None else None)
    return None if person is None else names.get(person, "居民")


async def _readings(incident: IncidentView, actions: list[ActionView], now: datetime) -> list[ReadingEntry]:
    """Every reading of the connectors concerned: the incident's own, those stopped and those whose power was cut."""
    concerned = [] if incident.connector_id is None else [incident.connector_id]
    for action in actions:
        if action.kind == "cut_power":
            concerned.append(action.target_id)
        elif action.kind == "stop_session":
            session = await sessions.find_session(session_id=action.target_id)
            if session is not None:
                concerned.append(session.connector_id)
    opened = incident.opened_at
    ended = min(max(incident.resolved_at or now, opened + AFTER), opened + LONGEST)
    since, until = opened - BEFORE, min(ended, now)
    entries: list[ReadingEntry] = []
    for connector_id in dict.fromkeys(concerned):
        connector = await stations.get_connector(connector_id=connector_id)
        found = await telemetry.readings(connector_id=connector_id, since=since, until=until)
        entries += [
            ReadingEntry(
                at=r.occurred_at,
                connector=f"{connector.charger_code}-{connector.number}",
                status=r.status,
                power_w=r.power_w,
                meter_wh=r.meter_wh,
                soc_pct=r.soc_pct,
                temp_max_c=r.temp_max_c,
                gun_temp_c=r.gun_temp_c,
                clock_flagged=r.clock_flagged,
            )
            for r in found
        ]
    return entries


def thinned(readings: list[ReadingEntry]) -> list[ReadingEntry]:
    """At most about `POINTS` readings of each connector, with its hottest and its last, for the paper's table."""
    kept: list[ReadingEntry] = []
    for connector in dict.fromkeys(r.connector for r in readings):
        found = [r for r in readings if r.connector == connector]
        stride = -(-len(found) // POINTS)
        hottest = max(range(len(found)), key=lambda n: found[n].temp_max_c or found[n].gun_temp_c)
        kept += [r for n, r in enumerate(found) if n % stride == 0 or n in (hottest, len(found) - 1)]
    return kept


def gathered(messages: list[MessageEntry]) -> list[tuple[str, str, str, str]]:
    """Messages as lines of the paper: each to a person, those to whole compounds counted by channel and state."""
    lines: list[tuple[str, str, str, str]] = []
    many: dict[tuple[str, str, str], tuple[datetime, int]] = {}
    for m in messages:
        if m.template in NEIGHBOURS:
            key = (m.template, m.channel, m.state)
            at, count = many.get(key, (m.at, 0))
            many[key] = (min(at, m.at), count + 1)
            continue
        said = f"{words.word_of(m.template, REASONS)}：{m.to}"
        lines.append((_clock(m.at), said, words.CHANNELS.get(m.channel, m.channel), words.STATES[m.state]))
    for (template, channel, state), (at, count) in many.items():
        said = f"{words.word_of(template, REASONS)}：{count} 人"
        lines.append((_clock(at), said, words.CHANNELS.get(channel, channel), words.STATES[state]))
    return sorted(lines)


async def make_pdf(*, incident_id: UUID, staff: Staff, now: datetime) -> bytes:
    """Return the report as a PDF; raises NotFound."""
    report = await make_report(incident_id=incident_id, staff=staff, now=now)
    return await render_in_thread(paper_of(report, now=now))


def paper_of(report: IncidentReport, *, now: datetime) -> ReportPaper:
    """Make the text of the PDF: Beijing time, Chinese."""
    kind = "火情" if report.kind == "fire" else "电池异常"
    return ReportPaper(
        title=f"{report.station_name} {'消防演练' if report.drill else kind + '安全事件'}报告",
        number=str(report.incident_id),
        drill=report.drill,
        company=report.company,
        made=_clock(now),
        facts=[
            ("充电站", f"{report.station_name}（{report.station_code}）"),
            ("地址", report.address),
            ("事件", f"{kind}：{report.text}" + ("（演练）" if report.drill else "")),
            ("区域", report.area or "全站"),
            ("火情确认", "第二探测器已确认" if report.confirmed else "未由第二探测器确认"),
            ("状态", words.STATUS[report.status]),
            ("发生时间", _clock(report.opened_at)),
        ],
        durations=[
            ("告警至确认", words.how_long(report.seconds_to_acknowledge)),
            ("告警至到场", words.how_long(report.seconds_to_arrive)),
            ("告警至解除", words.how_long(report.seconds_to_resolve)),
        ],
        alerts=[
            (_clock(a.raised_at), reason_of(a.code), a.level, f"{_number(a.value)} / {_number(a.limit_value)}")
            for a in report.alerts
        ],
        actions=[
            (_clock(a.asked_at), words.ACTIONS[a.kind], words.STATES[a.status], str(a.attempts)) for a in report.actions
        ],
        messages=gathered(report.messages),
        readings=[
            (_clock(r.at), r.connector, str(r.power_w), _number(r.temp_max_c), _number(r.gun_temp_c))
            for r in thinned(report.readings)
        ],
        timeline=[
            (
                _clock(e.at),
                words.KINDS.get(e.kind, e.kind),
                e.text,
                " ".join(filter(None, (e.who, str(e.detail.get("note") or "")))),
            )
            for e in report.timeline
            if e.kind != "reading"
        ],
        sha256=hashlib.sha256(msgspec.json.encode(report)).hexdigest(),
    )


def _clock(at: datetime) -> str:
    return f"{at.astimezone(BEIJING):%Y-%m-%d %H:%M:%S}"


def _number(value: float | None) -> str:
    return "—" if value is None else f"{value:g}"
