"""Monthly statements: the orders of a month, and the packages with how the cap was applied.

That a package's fee is exactly `min(price, cap - service fees)`, and that a statement adds up, are constraints.
"""

from piccolo.columns import UUID, BigInt, Integer, SmallInt, Text, Timestamptz, Varchar
from piccolo.table import Table

from backend.core.ids import new_id


class Statement(Table, tablename="statement"):
    """One resident's month with one operator company; what it asks for itself is the packages' fee alone."""

    id = UUID(primary_key=True, default=new_id)
    account_id = UUID(default=None)
    operator_company_id = UUID(default=None)
    starts_at = Timestamptz()
    ends_at = Timestamptz()
    status = Varchar(length=10)
    orders_count = Integer(default=0)
    energy_wh = BigInt(default=0)
    energy_fee_fen = BigInt(default=0)
    service_fee_fen = BigInt(default=0)
    overstay_fee_fen = BigInt(default=0)
    parking_fee_fen = BigInt(default=0)
    discount_fen = BigInt(default=0)
    orders_total_fen = BigInt(default=0)
    package_fee_fen = BigInt(default=0)
    made_at = Timestamptz()
    paid_at = Timestamptz(null=True, default=None)
    payment_id = UUID(null=True, default=None)


class StatementPackage(Table, tablename="statement_package"):
    """A package an agreement had in a part of the month, its orders' energy and fees, the cap, and its fee."""

    id = UUID(primary_key=True, default=new_id)
    statement_id = UUID(default=None)
    position = SmallInt()
    agreement_id = UUID(default=None)
    package_id = UUID(default=None)
    kind = Varchar(length=16)
    name_zh = Text()
    name_en = Text()
    starts_at = Timestamptz()
    ends_at = Timestamptz()
    orders_count = Integer()
    energy_wh = BigInt()
    included_wh = BigInt(help_text="free of service fee by the package, of which `used_wh` were used")
    used_wh = BigInt()
    service_fee_fen = BigInt()
    cap_fen = BigInt()
    price_fen = BigInt()
    package_fee_fen = BigInt()


class StatementOrder(Table, tablename="statement_order"):
    """Which statement an order stands in: one."""

    order_id = UUID(primary_key=True, default=None)
    statement_id = UUID(default=None, index=True)
