"""Communities, homes, the topology of stations, the device registry and safety holds.

CHECK, UNIQUE and EXCLUDE constraints, foreign keys and the views `*_now` are raw SQL in the migrations.
"""

from piccolo.columns import (
    JSONB,
    UUID,
    BigInt,
    Boolean,
    Date,
    DoublePrecision,
    Integer,
    SmallInt,
    Text,
    Timestamptz,
    Varchar,
)
from piccolo.table import Table

from backend.core.ids import new_id


class Community(Table, tablename="community"):
    """A housing compound (居住区). Points are GCJ-02; gates and boundary where known."""

    id = UUID(primary_key=True, default=new_id)
    name = Varchar(length=120)
    district = Varchar(length=60)
    lat = DoublePrecision()
    lng = DoublePrecision()
    gates = JSONB(null=True, default=None)
    boundary = JSONB(null=True, default=None)
    source = Varchar(length=120)
    updated_at = Timestamptz()


class Home(Table, tablename="home"):
    """Which compound an account lives in; at most one."""

    id = UUID(primary_key=True, default=new_id)
    account_id = UUID(default=None, unique=True)
    community_id = UUID(default=None, index=True)
    set_at = Timestamptz()


class Station(Table, tablename="station"):
    """A charging station (充电站) with the data the regulator and the power company ask for (domain.md, last
    section).
    """

    id = UUID(primary_key=True, default=new_id)
    code = Varchar(length=64, unique=True)
    name = Varchar(length=120)
    operator_company_id = UUID(default=None, index=True)
    pilot = Boolean(default=False)
    lat = DoublePrecision()
    lng = DoublePrecision()
    address = Varchar(length=240, default="")
    property_owner = Varchar(length=120, default="", help_text="产权单位")
    commissioned_on = Date(null=True, default=None)
    construction = Varchar(length=10, null=True, default=None, help_text="new | extended")
    supply_class = Varchar(length=20, default="below_1kv")
    transformer_limit_w = Integer(null=True, default=None)
    parking = Varchar(length=240, default="", help_text="what parking costs, in words")
    opening_hours = Varchar(length=120, default="00:00-24:00")
    has_devices = Boolean(default=False)
    settings = JSONB(default="{}")
    source = Varchar(length=120, default="")
    created_at = Timestamptz()
    updated_at = Timestamptz()


class StationRevision(Table, tablename="station_revision"):
    """Counts the changes of a station's topology and settings, in their transactions (triggers); see `station_mark`."""

    id = UUID(primary_key=True, default=new_id, help_text="the station")
    revision = BigInt(default=1)


class Charger(Table, tablename="charger"):
    """A charging pile (充电桩) with 1..n connectors."""

    id = UUID(primary_key=True, default=new_id)
    station_id = UUID(default=None, index=True)
    code = Varchar(length=64, unique=True)
    kind = Varchar(length=2)
    model = Varchar(length=80, default="")
    maker = Varchar(length=80, default="")
    max_power_w = Integer()
    area = Varchar(length=64, null=True, default=None)
    commissioned_on = Date(null=True, default=None)
    active = Boolean(default=True)


class Connector(Table, tablename="connector"):
    """A gun (枪) of a charger."""

    id = UUID(primary_key=True, default=new_id)
    station_id = UUID(default=None, index=True)
    charger_id = UUID(default=None)
    number = SmallInt(default=1)
    qr = Varchar(length=64, unique=True)
    max_power_w = Integer()
    in_service = Boolean(default=True)


class Bay(Table, tablename="bay"):
    """A parking bay (车位)."""

    id = UUID(primary_key=True, default=new_id)
    station_id = UUID(default=None)
    code = Varchar(length=64)
    area = Varchar(length=64, null=True, default=None)
    active = Boolean(default=True)


class BayZone(Table, tablename="bay_zone"):
    """Which painted zone a bay belongs to, and from when to when; changes need signs and notice."""

    id = UUID(primary_key=True, default=new_id)
    bay_id = UUID(default=None)
    zone = Varchar(length=10)
    valid_from = Timestamptz(null=True, default=None)
    valid_to = Timestamptz(null=True, default=None)


class BayConnector(Table, tablename="bay_connector"):
    """Which gun reaches which bay, and from when to when."""

    id = UUID(primary_key=True, default=new_id)
    bay_id = UUID(default=None)
    connector_id = UUID(default=None, index=True)
    valid_from = Timestamptz(null=True, default=None)
    valid_to = Timestamptz(null=True, default=None)


class Device(Table, tablename="device"):
    """A device that speaks MQTT; its code is its user name at the broker, its password is kept only as Mosquitto's
    hash.
    """

    id = UUID(primary_key=True, default=new_id)
    code = Varchar(length=64, unique=True)
    kind = Varchar(length=10)
    station_id = UUID(default=None, index=True)
    charger_id = UUID(null=True, default=None)
    bay_id = UUID(null=True, default=None)
    role = Varchar(length=10, null=True, default=None)
    area = Varchar(length=64, null=True, default=None)
    lane = Varchar(length=64, null=True, default=None)
    report_interval_s = Integer(default=60)
    model = Varchar(length=80, default="")
    password_hash = Text()
    credentials_issued_at = Timestamptz(null=True, default=None)
    credentials_count = Integer(default=1, help_text="how many passwords this device has had")
    revoked_at = Timestamptz(null=True, default=None)
    revoked_reason = Varchar(length=200, null=True, default=None)
    active = Boolean(default=True)
    created_at = Timestamptz()
    updated_at = Timestamptz()


class DeviceBay(Table, tablename="device_bay"):
    """The bays a camera watches."""

    id = UUID(primary_key=True, default=new_id)
    device_id = UUID(default=None)
    bay_id = UUID(default=None, index=True)


class SafetyHold(Table, tablename="safety_hold"):
    """An incident that forbids raising locks and starting sessions at a station until it is lifted."""

    id = UUID(primary_key=True, default=new_id)
    station_id = UUID(default=None)
    incident_id = UUID(default=None)
    set_at = Timestamptz()
    lifted_at = Timestamptz(null=True, default=None)
    lifted_by = UUID(null=True, default=None)


class ZoneChange(Table, tablename="zone_change"):
    """A bay that goes to the other painted zone on a date: proposed, approved by a second person, in force, or
    cancelled. `wanted_at` is the date asked for; `effective_at` is later where bookings keep the bay until done.
    """

    id = UUID(primary_key=True, default=new_id)
    station_id = UUID(default=None, index=True)
    operator_company_id = UUID(default=None)
    bay_id = UUID(default=None)
    zone_from = Varchar(length=10)
    zone_to = Varchar(length=10)
    wanted_at = Timestamptz(default=None)
    effective_at = Timestamptz(default=None)
    reason = Varchar(length=200)
    status = Varchar(length=10, default="proposed")
    proposed_by = UUID(default=None)
    proposed_at = Timestamptz(default=None)
    approved_by = UUID(null=True, default=None)
    approved_at = Timestamptz(null=True, default=None)
    closed_by = UUID(null=True, default=None, help_text="who cancelled it")
    closed_at = Timestamptz(null=True, default=None)
    moved = Integer(default=0, help_text="bookings that moved away")
    kept = Integer(default=0, help_text="bookings that keep the bay in its old zone until done")
