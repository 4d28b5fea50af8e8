"""Corrections: of bills, of the statements they stand in, and of mispublished tariff versions over their orders.

What may be corrected once, by whom, and that differences add up, are constraints.
"""

from piccolo.columns import JSONB, UUID, BigInt, Integer, Text, Timestamptz, Varchar
from piccolo.table import Table

from backend.core.ids import new_id


class OrderCorrection(Table, tablename="order_correction"):
    """A bill before and after a correction; `tariff_correction_id` where a whole version was corrected."""

    id = UUID(primary_key=True, default=new_id)
    order_id = UUID(default=None)
    operator_company_id = UUID(default=None)
    tariff_correction_id = UUID(null=True, default=None)
    state = Varchar(length=10, help_text="pending | applied | rejected")
    reason = Text()
    readings = JSONB(null=True, default=None)
    before = JSONB()
    after = JSONB()
    difference_fen = BigInt()
    requested_by = UUID(default=None)
    requested_at = Timestamptz()
    decided_by = UUID(null=True, default=None)
    decided_at = Timestamptz(null=True, default=None)
    decision_note = Text(null=True, default=None)


class OrderSupplement(Table, tablename="order_supplement"):
    """What is to be paid beside a paid order or a paid statement."""

    id = UUID(primary_key=True, default=new_id)
    order_id = UUID(null=True, default=None)
    statement_id = UUID(null=True, default=None)
    amount_fen = BigInt()
    status = Varchar(length=10, help_text="unpaid | paid | cancelled")
    created_at = Timestamptz()
    paid_at = Timestamptz(null=True, default=None)
    payment_id = UUID(null=True, default=None)


class StatementCorrection(Table, tablename="statement_correction"):
    """A package line of a statement before and after one of its orders was corrected."""

    id = UUID(primary_key=True, default=new_id)
    statement_id = UUID(default=None)
    order_correction_id = UUID(default=None)
    agreement_id = UUID(default=None)
    before = JSONB()
    after = JSONB()
    difference_fen = BigInt()
    corrected_at = Timestamptz()


class TariffCorrection(Table, tablename="tariff_correction"):
    """A mispublished version, the version that says what was right, and who corrected its orders."""

    id = UUID(primary_key=True, default=new_id)
    operator_company_id = UUID(default=None)
    version_id = UUID(default=None)
    replacement_id = UUID(default=None)
    reason = Text()
    state = Varchar(length=10, help_text="pending | approved | rejected")
    requested_by = UUID(default=None)
    requested_at = Timestamptz()
    decided_by = UUID(null=True, default=None)
    decided_at = Timestamptz(null=True, default=None)
    decision_note = Text(null=True, default=None)


class TariffCorrectionOrder(Table, tablename="tariff_correction_order"):
    """An order of the mispublished version and what became of it."""

    id = UUID(primary_key=True, default=new_id)
    tariff_correction_id = UUID(default=None)
    order_id = UUID(default=None)
    state = Varchar(length=10, help_text="waiting | applied | unchanged | held")
    order_correction_id = UUID(null=True, default=None)
    difference_fen = BigInt(default=0)
    problem = Varchar(length=64, null=True, default=None)
    tries = Integer(default=0)
    settled_at = Timestamptz(null=True, default=None)
