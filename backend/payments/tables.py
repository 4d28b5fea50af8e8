"""Tables of this feature. Checks, unique keys, the ledger's trigger and its append-only grant are in the migrations."""

from piccolo.columns import UUID, BigInt, Boolean, Bytea, Integer, Text, Timestamptz, Varchar
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
    prepay_token = Varchar(length=120, null=True, default=None)
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
