"""Sessions, orders with their lines, overstay looks and disputes.

CHECK constraints (the cap, the sums), partial unique indexes (one open session per connector and per car) and the
trigger that makes lines add up to their order are raw SQL in the migration.
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
    SmallInt,
    Text,
    Timestamptz,
    Varchar,
)
from piccolo.table import Table

from backend.core.ids import new_id


class ChargingSession(Table, tablename="charging_session"):
    """One charge of one car on one connector. User class and tariff are those of the start, for the whole session."""

    id = UUID(primary_key=True, default=new_id)
    account_id = UUID(default=None)
    vehicle_id = UUID(default=None)
    plate_hash = Bytea(default=None)
    operator_company_id = UUID(default=None)
    station_id = UUID(default=None)
    connector_id = UUID(default=None)
    charger_code = Varchar(length=64)
    connector_number = SmallInt()
    kind = Varchar(length=2)
    claim_id = UUID(null=True, default=None)
    reservation_id = UUID(null=True, default=None)
    agreement_id = UUID(null=True, default=None)
    user_class = Varchar(length=10)
    tariff = JSONB()
    status = Varchar(length=10)
    target_soc_pct = DoublePrecision(null=True, default=None)
    target_energy_wh = BigInt(null=True, default=None)
    departs_at = Timestamptz(null=True, default=None)
    limit_at = Timestamptz(help_text="when the claim ends; shown before the start")
    start_due_at = Timestamptz()
    requested_at = Timestamptz()
    accepted_at = Timestamptz(null=True, default=None)
    started_at = Timestamptz(null=True, default=None)
    start_meter_wh = BigInt(null=True, default=None)
    ending_since = Timestamptz(null=True, default=None)
    ended_at = Timestamptz(null=True, default=None)
    end_meter_wh = BigInt(null=True, default=None, help_text="as the charger's session_ended said")
    end_reason = Varchar(length=64, null=True, default=None)
    end_unclear = Boolean(default=False)
    starts_sent = SmallInt(default=0)
    stops_sent = SmallInt(default=0)
    left_at = Timestamptz(null=True, default=None, help_text="when the bay was seen empty after the end")


class ChargeOrder(Table, tablename="charge_order"):
    """The bill of a session: `open` until the car has left, `review` where a person has to look, then to be paid."""

    id = UUID(primary_key=True, default=new_id)
    session_id = UUID(default=None, unique=True)
    account_id = UUID(default=None)
    operator_company_id = UUID(default=None)
    station_id = UUID(default=None)
    user_class = Varchar(length=10)
    tariff = JSONB()
    status = Varchar(length=10)
    energy_wh = BigInt(default=0)
    energy_fee_fen = BigInt(default=0)
    service_fee_fen = BigInt(default=0)
    overstay_fee_fen = BigInt(default=0)
    parking_fee_fen = BigInt(default=0)
    discount_fen = BigInt(default=0)
    total_fen = BigInt(default=0)
    review_reasons = JSONB(default="[]")
    starts_at = Timestamptz(null=True, default=None)
    ends_at = Timestamptz(null=True, default=None)
    overstay_from_at = Timestamptz(null=True, default=None)
    opened_at = Timestamptz()
    closed_at = Timestamptz(null=True, default=None)
    parked_until_at = Timestamptz(null=True, default=None, help_text="until when the parking fee counts")
    paid_at = Timestamptz(null=True, default=None)
    payment_id = UUID(null=True, default=None)


class ChargeOrderLine(Table, tablename="charge_order_line"):
    """One printed line: a band's energy and its two fees, each rounded once."""

    id = UUID(primary_key=True, default=new_id)
    order_id = UUID(default=None)
    position = SmallInt()
    band = Varchar(length=10)
    energy_wh = BigInt()
    energy_e4 = Integer()
    service_e4 = Integer()
    energy_fee_fen = BigInt()
    service_fee_fen = BigInt()
    included_wh = BigInt(default=0, help_text="free of service fee by a package")


class OverstayLook(Table, tablename="overstay_look"):
    """What was seen while a car stayed after charging: whether another connector of the zone was free."""

    id = BigSerial(primary_key=True)
    session_id = UUID(default=None)
    at = Timestamptz()
    other_free = Boolean()


class OrderDispute(Table, tablename="order_dispute"):
    """A resident's objection to a bill and the operator's answer; both stay visible to both."""

    id = UUID(primary_key=True, default=new_id)
    order_id = UUID(default=None)
    account_id = UUID(default=None)
    status = Varchar(length=10, default="open")
    reason = Text()
    opened_at = Timestamptz()
    answer = Text(null=True, default=None)
    answered_by = UUID(null=True, default=None)
    answered_at = Timestamptz(null=True, default=None)


class DiscountCredit(Table, tablename="discount_credit"):
    """A promised discount on the account's next bills of one company, until it expires; never cash.

    `reference` names what it makes good, once.
    """

    id = UUID(primary_key=True, default=new_id)
    account_id = UUID(default=None)
    operator_company_id = UUID(default=None)
    reference = Varchar(length=80, unique=True)
    amount_fen = BigInt()
    remaining_fen = BigInt()
    granted_at = Timestamptz(default=None)
    expires_at = Timestamptz(default=None)
    last_order_id = UUID(null=True, default=None)
