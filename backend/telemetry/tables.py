"""Messages, state, commands, outages and hours of devices.

History (`telemetry_sample`, `telemetry_minute`: partitioned by arrival day; `telemetry_rolled`, `telemetry_hold`) and
everything a constraint says is raw SQL in the migrations.
"""

from piccolo.columns import (
    JSONB,
    UUID,
    BigInt,
    BigSerial,
    Boolean,
    Bytea,
    DoublePrecision,
    Integer,
    Real,
    SmallInt,
    Text,
    Timestamptz,
    Varchar,
)
from piccolo.table import Table

from backend.core.ids import new_id


class DeviceMessage(Table, tablename="device_message"):
    """The safety log: every `state`, `event`, `ack` and critical sample, once, as it was sent.

    `payload` is the device's JSON; `sealed` says it is encrypted (`core.crypto`), which the bridge does to messages
    with a plate or a VIN. Sealed payloads are emptied after 30 days.
    """

    id = BigSerial(primary_key=True)
    device_id = UUID(default=None)
    station_id = UUID(default=None)
    kind = Varchar(length=10)
    channel = Varchar(length=10)
    msg_id = Varchar(length=140)
    boot = BigInt(null=True, default=None)
    seq = BigInt(null=True, default=None)
    received_at = Timestamptz(index=True)
    retained = Boolean(default=False)
    payload = Bytea()
    sealed = Boolean(default=False)
    handled_at = Timestamptz(null=True, default=None)


class DeadLetter(Table, tablename="dead_letter"):
    """A message that was refused, with the cause. Bounded: the newest are kept.

    `payload_cipher` is the whole of it, or the start of one that is longer than the contract allows.
    """

    id = BigSerial(primary_key=True)
    received_at = Timestamptz(index=True)
    cause = Varchar(length=32)
    detail = Varchar(length=300)
    topic = Varchar(length=300)
    device_id = UUID(null=True, default=None, index=True)
    size = Integer()
    payload_cipher = Bytea()
    replayed_at = Timestamptz(null=True, default=None)
    replay_outcome = Varchar(length=60, null=True, default=None)


class DeadLetterCount(Table, tablename="dead_letter_count"):
    """How many messages were refused by cause, also those no longer kept."""

    cause = Varchar(length=32, primary_key=True)
    total = BigInt(default=0)
    last_at = Timestamptz()


class Command(Table, tablename="command"):
    """What the service asked a device to do. `expires_at` is true time; the bridge writes the device's own."""

    id = UUID(primary_key=True, default=new_id)
    device_id = UUID(default=None, index=True)
    device_code = Varchar(length=64)
    station_id = UUID(default=None)
    station_code = Varchar(length=64)
    kind = Varchar(length=10)
    name = Varchar(length=20)
    args = JSONB()
    actor = Varchar(length=120)
    created_at = Timestamptz()
    expires_at = Timestamptz()
    status = Varchar(length=12, default="queued")
    claimed_at = Timestamptz(null=True, default=None)
    sent_at = Timestamptz(null=True, default=None)
    timed_out_at = Timestamptz(null=True, default=None)
    acked_at = Timestamptz(null=True, default=None)
    ok = Boolean(null=True, default=None)
    error = Text(null=True, default=None)


class DeviceState(Table, tablename="device_state"):
    """What is known of a device now. `boot`, `seq`: the newest message of any channel; `state_*`: the newest `state`.

    `last_seen_at` moves with every message and is not indexed, so that the update stays in its page;
    `silence_check_at` is indexed and moves once per silence window.
    """

    device_id = UUID(primary_key=True, default=None)
    station_id = UUID(default=None, index=True)
    kind = Varchar(length=10)
    code = Varchar(length=64)
    online = Boolean(default=True)
    boot = BigInt(default=-1)
    seq = BigInt(default=-1)
    boot_first_seq = BigInt(default=0)
    boot_received = BigInt(default=0)
    lost_before = BigInt(default=0)
    state_boot = BigInt(default=-1)
    state_seq = BigInt(default=-1)
    state = JSONB(null=True, default=None)
    last_seen_at = Timestamptz()
    last_occurred_at = Timestamptz(null=True, default=None)
    silence_check_at = Timestamptz()
    window_s = Integer(default=45)
    silent_since = Timestamptz(null=True, default=None)
    offline_since = Timestamptz(null=True, default=None)
    clock_offset_ms = BigInt(null=True, default=None)
    clock_candidate_ms = BigInt(null=True, default=None)
    clock_candidate_count = SmallInt(default=0)
    clock_candidate_at = Timestamptz(null=True, default=None)
    firmware = Varchar(length=120, null=True, default=None)
    battery_pct = Real(null=True, default=None)


class ConnectorState(Table, tablename="connector_state"):
    """The newest sample of a connector by (`boot`, `seq`), and its status by (`status_boot`, `status_seq`).

    `status` is `unknown` while the charger is silent or offline; `reported_status` stays its last word.
    """

    connector_id = UUID(primary_key=True, default=None)
    device_id = UUID(default=None, index=True)
    station_id = UUID(default=None, index=True)
    number = SmallInt(default=1)
    status = Varchar(length=12, default="unknown")
    reported_status = Varchar(length=12, default="unknown")
    status_boot = BigInt(default=-1)
    status_seq = BigInt(default=-1)
    status_since = Timestamptz()
    boot = BigInt(default=-1)
    seq = BigInt(default=-1)
    occurred_at = Timestamptz(null=True, default=None)
    received_at = Timestamptz(null=True, default=None)
    meter_wh = BigInt(null=True, default=None)
    power_w = Integer(null=True, default=None)
    voltage_v = DoublePrecision(null=True, default=None)
    current_a = DoublePrecision(null=True, default=None)
    gun_temp_c = DoublePrecision(null=True, default=None)
    cabinet_temp_c = DoublePrecision(null=True, default=None)
    insulation_ohm_per_v = DoublePrecision(null=True, default=None)
    soc_pct = DoublePrecision(null=True, default=None)
    pack_v = DoublePrecision(null=True, default=None)
    pack_a = DoublePrecision(null=True, default=None)
    cell_v_max = DoublePrecision(null=True, default=None)
    temp_max_c = DoublePrecision(null=True, default=None)
    temp_min_c = DoublePrecision(null=True, default=None)
    remaining_min = DoublePrecision(null=True, default=None)


class Outage(Table, tablename="outage"):
    """When a device was out of contact or a connector out of service; cannot be backfilled, so kept from the start."""

    id = UUID(primary_key=True, default=new_id)
    subject = Varchar(length=10)
    device_id = UUID(default=None)
    connector_id = UUID(null=True, default=None)
    station_id = UUID(default=None, index=True)
    reason = Varchar(length=12)
    started_at = Timestamptz()
    ended_at = Timestamptz(null=True, default=None)


class ConnectorStatusPeriod(Table, tablename="connector_status_period"):
    """One status of a connector from change to change: hours in service and delivering are sums over these."""

    id = UUID(primary_key=True, default=new_id)
    connector_id = UUID(default=None)
    station_id = UUID(default=None)
    status = Varchar(length=12)
    started_at = Timestamptz()
    ended_at = Timestamptz(null=True, default=None)


class PlatformSight(Table, tablename="platform_sight"):
    """Since when each bridge and ingest process has been seeing devices without a break; silence is judged by it.

    `caught_up_to`, of ingest: whatever was appended to the streams before it is in the history.
    """

    name = Varchar(length=80, primary_key=True)
    role = Varchar(length=10)
    sighted_since = Timestamptz()
    seen_at = Timestamptz()
    caught_up_to = Timestamptz(null=True, default=None)


class BridgeLane(Table, tablename="bridge_lane"):
    """The client ids that bridges hold by advisory lock; a row outlives its bridge so that a twin finds its queue."""

    number = Integer(primary_key=True, default=0)
    registered_at = Timestamptz()
