"""Tables of this feature. Checks, unique keys, the ledger's trigger and its append-only grant are in the migrations."""

from piccolo.columns import UUID, BigInt, Boolean, Bytea, Date, Integer, Text, Timestamptz, Varchar
from piccolo.table import Table

from backend.core.ids import new_id


class MerchantAccount(Table, tablename="merchant_account"):
    """Where an operator company is paid: one active account per company and provider; secrets are encrypted."""

    id = UUID(primary_key=True, default=new_id)
    operator_company_id = UUID(default=None)
    provider = Varchar(length=20)
    merchant_no = Varchar(length=40)
    app_id = Varchar(length=40)
    cert_serial_no = Varchar(length=80)
    private_key_cipher = Bytea(default=b"")
    api_key_cipher = Bytea(default=b"")
    platform_key_id = Varchar(length=80)
    platform_public_key = Text()
    former_key_id = Varchar(length=80, null=True, default=None)
    former_public_key = Text(null=True, default=None)
    former_until = Timestamptz(
        null=True, default=None, help_text="until when callbacks with the former key are believed"
    )
    active = Boolean(default=True)
    created_at = Timestamptz()


class Payment(Table, tablename="payment"):
    """One attempt to pay an order; `state` is the recovery point, the id (hex) the provider's out_trade_no."""

    id = UUID(primary_key=True, default=new_id)
    order_id = UUID(default=None, index=True)
    operator_company_id = UUID(default=None)
    account_id = UUID(default=None, index=True)
    merchant_account_id = UUID(default=None)
    channel = Varchar(length=20)
    amount_fen = Integer()
    description = Varchar(length=120)
    state = Varchar(length=12, default="created")
    prepay_token = Text(null=True, default=None)
    transaction_no = Varchar(length=80, null=True, default=None)
    checks = Integer(default=0)
    check_at = Timestamptz()
    created_at = Timestamptz()
    expires_at = Timestamptz()
    paid_at = Timestamptz(null=True, default=None)
    closed_at = Timestamptz(null=True, default=None)


class Refund(Table, tablename="refund"):
    """Money on its way back; the id (hex) is the provider's out_refund_no, `request_key` makes asking idempotent."""

    id = UUID(primary_key=True, default=new_id)
    payment_id = UUID(default=None, index=True)
    operator_company_id = UUID(default=None)
    request_key = Varchar(length=120, unique=True)
    amount_fen = Integer()
    reason = Varchar(length=80)
    state = Varchar(length=12, default="created")
    provider_no = Varchar(length=80, null=True, default=None)
    provider_answer = Text(null=True, default=None)
    checks = Integer(default=0)
    check_at = Timestamptz()
    created_at = Timestamptz()
    settled_at = Timestamptz(null=True, default=None)


class CallbackNonce(Table, tablename="callback_nonce"):
    """Nonces of callbacks that had their effect, so that a replayed one has none."""

    id = UUID(primary_key=True, default=new_id)
    merchant_account_id = UUID(default=None)
    nonce = Varchar(length=64)
    seen_at = Timestamptz(index=True)


class LedgerEntry(Table, tablename="ledger_entry"):
    """One movement of money; its legs add up to zero. Append-only."""

    id = UUID(primary_key=True, default=new_id)
    operator_company_id = UUID(default=None, index=True)
    kind = Varchar(length=40)
    reference_id = UUID(default=None)
    posted_at = Timestamptz(index=True)


class LedgerLeg(Table, tablename="ledger_leg"):
    """One side of an entry: positive is a debit, negative a credit. Append-only."""

    id = UUID(primary_key=True, default=new_id)
    entry_id = UUID(default=None, index=True)
    account_code = Varchar(length=81, index=True)
    amount_fen = BigInt()


class Reconciliation(Table, tablename="reconciliation"):
    """One day of one merchant account, our payments and refunds held against the provider's bill to the fen."""

    id = UUID(primary_key=True, default=new_id)
    operator_company_id = UUID(default=None)
    merchant_account_id = UUID(default=None)
    day = Date(help_text="day of the bill, Asia/Shanghai", default=None)
    state = Varchar(length=10)
    bill_sha1 = Varchar(length=40, help_text="of the bill as the provider wrote it; empty where there was none")
    bill_payments_fen = BigInt()
    bill_refunds_fen = BigInt()
    bill_fees_fen = BigInt()
    our_payments_fen = BigInt(help_text="as the ledger has them")
    our_refunds_fen = BigInt(help_text="as the ledger has them")
    checked_at = Timestamptz()


class BillRow(Table, tablename="bill_row"):
    """One row of a provider's bill: a payment that was made, or a refund that was accepted."""

    id = UUID(primary_key=True, default=new_id)
    reconciliation_id = UUID(default=None)
    kind = Varchar(length=8)
    number = Varchar(length=64, index=True)
    provider_no = Varchar(length=80)
    amount_fen = BigInt()
    state = Varchar(length=12)
    at = Timestamptz(default=None)


class BillDifference(Table, tablename="bill_difference"):
    """What does not agree between a bill and our books."""

    id = UUID(primary_key=True, default=new_id)
    reconciliation_id = UUID(default=None, index=True)
    what = Varchar(length=20)
    kind = Varchar(length=8)
    number = Varchar(length=64)
    provider_no = Varchar(length=80, null=True, default=None)
    ours_fen = BigInt(null=True, default=None)
    bill_fen = BigInt(null=True, default=None)
    our_state = Varchar(length=12, null=True, default=None)
    bill_state = Varchar(length=12, null=True, default=None)


class RefundRule(Table, tablename="refund_rule"):
    """Above which amount a company's refunds and corrections need a second person."""

    id = UUID(primary_key=True, default=new_id)
    operator_company_id = UUID(default=None, unique=True)
    second_person_above_fen = Integer()


class RefundRequest(Table, tablename="refund_request"):
    """A refund as staff asked for it: carried out at once, or after a second person said yes."""

    id = UUID(primary_key=True, default=new_id)
    operator_company_id = UUID(default=None, index=True)
    payment_id = UUID(default=None, index=True)
    order_id = UUID(default=None)
    amount_fen = Integer()
    reason = Varchar(length=80)
    state = Varchar(length=10)
    requested_by = UUID(default=None)
    requested_at = Timestamptz()
    decided_by = UUID(null=True, default=None)
    decided_at = Timestamptz(null=True, default=None)
    decision_note = Varchar(length=200, null=True, default=None)
    refund_id = UUID(null=True, default=None)


class RefundLimitChange(Table, tablename="refund_limit_change"):
    """A company's wish for another limit: lower at once, higher when a second person has said yes."""

    id = UUID(primary_key=True, default=new_id)
    operator_company_id = UUID(default=None, index=True)
    second_person_above_fen = Integer()
    reason = Varchar(length=200)
    state = Varchar(length=10)
    proposed_by = UUID(default=None)
    proposed_at = Timestamptz()
    decided_by = UUID(null=True, default=None)
    decided_at = Timestamptz(null=True, default=None)
