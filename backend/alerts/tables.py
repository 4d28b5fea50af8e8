"""Alerts, incidents with their steps, tasks, the safety log, and what the rules must remember over a restart.

One open alert per (device, connector or bay, code) and one open fire incident per station: partial unique indexes in
the migration.
"""

from piccolo.columns import (
    JSONB,
    UUID,
    BigInt,
    Boolean,
    Bytea,
    DoublePrecision,
    Integer,
    SmallInt,
    Text,
    Timestamptz,
    Varchar,
)
from piccolo.table import Table

from backend.core.ids import new_id


class Alert(Table, tablename="alert"):
    """What a rule raised. It collects repeats and clears explicitly; a cleared alert stays as history."""

    id = UUID(primary_key=True, default=new_id)
    device_id = UUID(default=None)
    connector_id = UUID(null=True, default=None)
    bay_id = UUID(null=True, default=None)
    station_id = UUID(default=None)
    operator_company_id = UUID(default=None)
    code = Varchar(length=40)
    source = Varchar(length=10)
    level = Varchar(length=10)
    value = DoublePrecision(null=True, default=None)
    limit_value = DoublePrecision(null=True, default=None)
    session_id = UUID(null=True, default=None)
    incident_id = UUID(null=True, default=None)
    first_at = Timestamptz(help_text="corrected device time of the first report")
    last_at = Timestamptz(help_text="corrected device time of the newest report")
    raised_at = Timestamptz()
    repeats = Integer(default=0)
    cleared_at = Timestamptz(null=True, default=None)
    cleared_by = UUID(null=True, default=None, help_text="the person who closed it; null when the device did")


class Incident(Table, tablename="incident"):
    """Something dangerous that people handle: `open → acknowledged → on_site → resolved → reported`."""

    id = UUID(primary_key=True, default=new_id)
    station_id = UUID(default=None)
    operator_company_id = UUID(default=None)
    kind = Varchar(length=10, help_text="fire | battery")
    level = Varchar(length=10)
    code = Varchar(length=40, help_text="the rule that opened it")
    area = Varchar(length=64, null=True, default=None)
    connector_id = UUID(null=True, default=None)
    device_id = UUID(null=True, default=None)
    status = Varchar(length=14, default="open")
    confirmed = Boolean(default=False, help_text="a second detector agreed within 60 s")
    escalated = SmallInt(default=0)
    opened_at = Timestamptz()
    acknowledged_at = Timestamptz(null=True, default=None)
    on_site_at = Timestamptz(null=True, default=None)
    resolved_at = Timestamptz(null=True, default=None)
    reported_at = Timestamptz(null=True, default=None)
    drill = Boolean(default=False, help_text="an exercise: no resident is told and nothing is switched")


class IncidentStep(Table, tablename="incident_step"):
    """One entry of an incident's time line: every reading, action, message and person, with who and when."""

    id = UUID(primary_key=True, default=new_id)
    incident_id = UUID(default=None)
    at = Timestamptz()
    kind = Varchar(length=20, help_text="alarm | action | message | person | escalation")
    what = Varchar(length=60)
    actor_id = UUID(null=True, default=None)
    detail = JSONB(default="{}")


class Task(Table, tablename="task"):
    """What a person on site must do: `open → accepted → on_site → resolved`."""

    id = UUID(primary_key=True, default=new_id)
    operator_company_id = UUID(default=None)
    station_id = UUID(default=None)
    kind = Varchar(length=40)
    level = Varchar(length=10)
    status = Varchar(length=10, default="open")
    incident_id = UUID(null=True, default=None)
    alert_id = UUID(null=True, default=None)
    device_id = UUID(null=True, default=None)
    bay_id = UUID(null=True, default=None)
    detail = JSONB(default="{}")
    assignee_id = UUID(null=True, default=None)
    created_at = Timestamptz()
    accepted_at = Timestamptz(null=True, default=None)
    arrived_at = Timestamptz(null=True, default=None)
    resolved_at = Timestamptz(null=True, default=None)
    resolution = Text(null=True, default=None)
    drill = Boolean(default=False)


class SafetyLog(Table, tablename="safety_log"):
    """Every safety fact from the first day, append-only: alerts raised, repeated and cleared, tests, actions taken."""

    id = UUID(primary_key=True, default=new_id)
    at = Timestamptz()
    station_id = UUID(default=None)
    operator_company_id = UUID(default=None)
    device_id = UUID(null=True, default=None)
    connector_id = UUID(null=True, default=None)
    incident_id = UUID(null=True, default=None)
    what = Varchar(length=40)
    code = Varchar(length=40)
    level = Varchar(length=10)
    occurred_at = Timestamptz(null=True, default=None)
    clock_flagged = Boolean(default=False)
    detail = JSONB(default="{}")


class ConnectorWatchState(Table, tablename="connector_watch_state"):
    """What the sample rules of a connector must remember when their process restarts, and the car's own limits."""

    connector_id = UUID(primary_key=True, default=None)
    boot = BigInt(default=-1)
    seq = BigInt(default=-1)
    counters = JSONB(default="{}")
    start_meter_wh = BigInt(null=True, default=None)
    car_limits = JSONB(null=True, default=None)
    car_limits_at = Timestamptz(null=True, default=None)
    limit_w = BigInt(null=True, default=None, help_text="the newest set_limit that the charger acknowledged")
    limit_until = Timestamptz(null=True, default=None)
    limit_at = Timestamptz(null=True, default=None)
    updated_at = Timestamptz()


class CriticalStreak(Table, tablename="critical_streak"):
    """The last critical sample of the safety lane per connector and rule: two in a row raise the alert."""

    id = UUID(primary_key=True, default=new_id)
    connector_id = UUID(default=None)
    code = Varchar(length=40)
    boot = BigInt()
    seq = BigInt()
    at = Timestamptz()


class BlockedBay(Table, tablename="blocked_bay"):
    """A car in a resident bay that nobody expects: seen, judged after the station's wait, told, made a task, gone."""

    id = UUID(primary_key=True, default=new_id)
    bay_id = UUID(default=None)
    station_id = UUID(default=None)
    plate_hash = Bytea(null=True, default=None)
    seen_at = Timestamptz()
    due_at = Timestamptz()
    reason = Varchar(length=12)
    owner_told_at = Timestamptz(null=True, default=None)
    alert_id = UUID(null=True, default=None)
    gone_at = Timestamptz(null=True, default=None)


class AlertRuleVersion(Table, tablename="alert_rule_version"):
    """Numbers of the rules for a company or one station; approved by a second person, never edited afterwards."""

    id = UUID(primary_key=True, default=new_id)
    operator_company_id = UUID(default=None)
    station_id = UUID(null=True, default=None, help_text="null: every station of the company")
    number = Integer(help_text="1, 2, 3, … per company and station")
    rules = JSONB(help_text="{rule code: {warning, critical, critical.lfp, clear_by, persistence, off}}")
    reason = Text()
    status = Varchar(length=10, default="proposed")
    proposed_by = UUID(default=None)
    proposed_at = Timestamptz()
    decided_by = UUID(null=True, default=None)
    decided_at = Timestamptz(null=True, default=None)


class CarLimitsSaid(Table, tablename="car_limits_said"):
    """What cars said at the start of DC sessions, kept so that rules can be tried on stored history."""

    id = UUID(primary_key=True, default=new_id)
    connector_id = UUID(default=None)
    at = Timestamptz()
    car_limits = JSONB(null=True, default=None, help_text="null: the gun was plugged or unplugged")


class IncidentAction(Table, tablename="incident_action"):
    """An automatic action of an incident until its effect is seen: a stop, a lock, a power cut."""

    id = UUID(primary_key=True, default=new_id)
    incident_id = UUID(default=None)
    kind = Varchar(length=16, help_text="stop_session | lower_lock | cut_power | restore_power")
    target_id = UUID(default=None, help_text="the session, the bay or the connector")
    status = Varchar(length=10, default="asked")
    attempts = Integer(default=1)
    asked_at = Timestamptz()
    settled_at = Timestamptz(null=True, default=None)


class DutyShift(Table, tablename="duty_shift"):
    """Who is on duty when, and on which shared phone; the shifts of the moment decide who is paged."""

    id = UUID(primary_key=True, default=new_id)
    operator_company_id = UUID(default=None)
    station_id = UUID(null=True, default=None, help_text="null: every station of the company")
    account_id = UUID(default=None)
    role = Varchar(length=10)
    starts_at = Timestamptz()
    ends_at = Timestamptz()
    signed_on_at = Timestamptz(null=True, default=None)
    signed_off_at = Timestamptz(null=True, default=None)
    phone_id = UUID(null=True, default=None, help_text="the shared phone the person signed on at")
    handed_to = UUID(null=True, default=None)
    note = Text(default="", help_text="what the next person must know")


class SharedPhone(Table, tablename="shared_phone"):
    """A phone of a guard post with a login of its own; a guard signs on at it with a PIN for the time of a shift."""

    id = UUID(primary_key=True, default=new_id)
    operator_company_id = UUID(default=None)
    station_id = UUID(null=True, default=None)
    account_id = UUID(default=None, help_text="the phone's own account, whose number rings")
    label = Varchar(length=60)
    created_at = Timestamptz()


class StaffPin(Table, tablename="staff_pin"):
    """The PIN with which a person signs on at a shared phone, as a keyed hash."""

    account_id = UUID(primary_key=True, default=None)
    pin_hash = Bytea()
    tries = SmallInt(default=0, help_text="wrong ones in a row")
    locked_until = Timestamptz(null=True, default=None)
