"""All SQL of payments and refunds; the ledger's is in `store_ledger`."""

from datetime import datetime
from typing import cast
from uuid import UUID

import asyncpg
import msgspec

from backend.core import crypto, db
from backend.core.ids import new_id
from backend.payments.rules.moves import PaymentState, RefundState


class PaymentRow(msgspec.Struct, frozen=True, kw_only=True):
    """A row of payment."""

    id: UUID
    order_id: UUID
    operator_company_id: UUID
    account_id: UUID
    merchant_account_id: UUID
    channel: str
    amount_fen: int
    description: str
    state: PaymentState
    prepay_token: str | None
    transaction_no: str | None
    checks: int
    check_at: datetime
    created_at: datetime
    expires_at: datetime
    paid_at: datetime | None
    closed_at: datetime | None

    @property
    def number(self) -> str:
        """Return what the provider knows the payment by."""
        return self.id.hex


class RefundRow(msgspec.Struct, frozen=True, kw_only=True):
    """A row of refund."""

    id: UUID
    payment_id: UUID
    operator_company_id: UUID
    request_key: str
    amount_fen: int
    reason: str
    state: RefundState
    provider_no: str | None
    provider_answer: str | None
    checks: int
    check_at: datetime
    created_at: datetime
    settled_at: datetime | None

    @property
    def number(self) -> str:
        """Return what the provider knows the refund by."""
        return self.id.hex


class MerchantRow(msgspec.Struct, frozen=True, kw_only=True):
    """A row of merchant_account with its secrets in clear."""

    id: UUID
    operator_company_id: UUID
    provider: str
    merchant_no: str
    app_id: str
    cert_serial_no: str
    private_key: str
    api_key: str
    platform_key_id: str
    platform_public_key: str
    former_key_id: str | None
    former_public_key: str | None
    former_until: datetime | None


def _merchant(row: asyncpg.Record) -> MerchantRow:
    return MerchantRow(
        id=row["id"],
        operator_company_id=row["operator_company_id"],
        provider=row["provider"],
        merchant_no=row["merchant_no"],
        app_id=row["app_id"],
        cert_serial_no=row["cert_serial_no"],
        private_key=crypto.decrypt(row["private_key_cipher"]),
        api_key=crypto.decrypt(row["api_key_cipher"]),
        platform_key_id=row["platform_key_id"],
        platform_public_key=row["platform_public_key"],
        former_key_id=row["former_key_id"],
        former_public_key=row["former_public_key"],
        former_until=row["former_until"],
    )


def _payment(row: asyncpg.Record) -> PaymentRow:
    return PaymentRow(**dict(row))


def _refund(row: asyncpg.Record) -> RefundRow:
    return RefundRow(**dict(row))


async def put_merchant(
    *,
    operator_company_id: UUID,
    provider: str,
    merchant_no: str,
    app_id: str,
    cert_serial_no: str,
    private_key: str,
    api_key: str,
    platform_key_id: str,
    platform_public_key: str,
    former_until: datetime,
    now: datetime,
) -> UUID | None:
    """Write a company's merchant account (again) as its only active one; None when another company has the number.

    A platform key of another id becomes the former one, believed until `former_until`.
    """
    await db.execute(
        "UPDATE merchant_account SET active = false "
        "WHERE operator_company_id = $1 AND provider = $2 AND merchant_no <> $3",
        operator_company_id,
        provider,
        merchant_no,
    )
    return cast(
        "UUID | None",
        await db.fetchval(
            """
            INSERT INTO merchant_account (id, operator_company_id, provider, merchant_no, app_id, cert_serial_no,
                private_key_cipher, api_key_cipher, platform_key_id, platform_public_key, active, created_at)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, true, $11)
            ON CONFLICT (provider, merchant_no) DO UPDATE SET app_id = excluded.app_id,
                former_key_id = CASE WHEN merchant_account.platform_key_id = excluded.platform_key_id
                    THEN merchant_account.former_key_id ELSE merchant_account.platform_key_id END,
                former_public_key = CASE WHEN merchant_account.platform_key_id = excluded.platform_key_id
                    THEN merchant_account.former_public_key ELSE merchant_account.platform_public_key END,
                former_until = CASE WHEN merchant_account.platform_key_id = excluded.platform_key_id
                    THEN merchant_account.former_until ELSE $12 END,
                cert_serial_no = excluded.cert_serial_no, private_key_cipher = excluded.private_key_cipher,
                api_key_cipher = excluded.api_key_cipher, platform_key_id = excluded.platform_key_id,
                platform_public_key = excluded.platform_public_key, active = true
            WHERE merchant_account.operator_company_id = excluded.operator_company_id
            RETURNING id
            """,
            new_id(),
            operator_company_id,
            provider,
            merchant_no,
            app_id,
            cert_serial_no,
            crypto.encrypt(private_key),
            crypto.encrypt(api_key),
            platform_key_id,
            platform_public_key,
            now,
            former_until,
        ),
    )


async def find_merchant(*, operator_company_id: UUID, provider: str) -> MerchantRow | None:
    """Return a company's active merchant account at a provider."""
    row = await db.fetchrow(
        "SELECT * FROM merchant_account WHERE operator_company_id = $1 AND provider = $2 AND active",
        operator_company_id,
        provider,
    )
    return None if row is None else _merchant(row)


async def find_merchant_by_number(*, provider: str, merchant_no: str) -> MerchantRow | None:
    """Return a merchant account, active or not: callbacks of old payments still come."""
    row = await db.fetchrow(
        "SELECT * FROM merchant_account WHERE provider = $1 AND merchant_no = $2", provider, merchant_no
    )
    return None if row is None else _merchant(row)


async def get_merchant(*, merchant_account_id: UUID) -> MerchantRow:
    """Return a merchant account by id."""
    row = await db.fetchrow("SELECT * FROM merchant_account WHERE id = $1", merchant_account_id)
    if row is None:
        raise LookupError(f"merchant account {merchant_account_id}")
    return _merchant(row)


async def add_payment(
    *,
    order_id: UUID,
    operator_company_id: UUID,
    account_id: UUID,
    merchant_account_id: UUID,
    channel: str,
    amount_fen: int,
    description: str,
    check_at: datetime,
    expires_at: datetime,
    now: datetime,
) -> PaymentRow | None:
    """Write a payment in state `created`; None when the order has an open one."""
    row = await db.fetchrow(
        """
        INSERT INTO payment (id, order_id, operator_company_id, account_id, merchant_account_id, channel, amount_fen,
            description, state, checks, check_at, created_at, expires_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 'created', 0, $9, $10, $11)
        ON CONFLICT (order_id) WHERE state IN ('created', 'prepared') DO NOTHING
        RETURNING *
        """,
        new_id(),
        order_id,
        operator_company_id,
        account_id,
        merchant_account_id,
        channel,
        amount_fen,
        description,
        check_at,
        now,
        expires_at,
    )
    return None if row is None else _payment(row)


async def find_open_payment(*, order_id: UUID) -> PaymentRow | None:
    """Return the order's payment that is neither paid nor closed."""
    row = await db.fetchrow("SELECT * FROM payment WHERE order_id = $1 AND state IN ('created', 'prepared')", order_id)
    return None if row is None else _payment(row)


async def find_paid_payment(*, order_id: UUID, other_than: UUID | None = None) -> PaymentRow | None:
    """Return the payment that paid the order."""
    row = await db.fetchrow(
        "SELECT * FROM payment WHERE order_id = $1 AND state = 'succeeded' AND ($2::uuid IS NULL OR id <> $2) "
        "ORDER BY paid_at LIMIT 1",
        order_id,
        other_than,
    )
    return None if row is None else _payment(row)


async def find_payment(*, payment_id: UUID) -> PaymentRow | None:
    """Return a payment."""
    row = await db.fetchrow("SELECT * FROM payment WHERE id = $1", payment_id)
    return None if row is None else _payment(row)


async def lock_payment(*, payment_id: UUID) -> PaymentRow | None:
    """Return a payment, locked until the transaction ends."""
    row = await db.fetchrow("SELECT * FROM payment WHERE id = $1 FOR UPDATE", payment_id)
    return None if row is None else _payment(row)


async def list_payments(*, order_id: UUID | None = None, account_id: UUID | None = None) -> list[PaymentRow]:
    """Return the payments of an order or of a person, oldest first."""
    rows = await db.fetch(
        "SELECT * FROM payment WHERE ($1::uuid IS NULL OR order_id = $1) AND ($2::uuid IS NULL OR account_id = $2) "
        "ORDER BY id",
        order_id,
        account_id,
    )
    return [_payment(row) for row in rows]


async def set_prepared(*, payment_id: UUID, prepay_token: str) -> bool:
    """Move a payment from created to prepared (or renew its token); False when it is no longer open."""
    status = await db.execute(
        "UPDATE payment SET state = 'prepared', prepay_token = $2 WHERE id = $1 AND state IN ('created', 'prepared')",
        payment_id,
        prepay_token,
    )
    return status == "UPDATE 1"


async def set_succeeded(*, payment_id: UUID, transaction_no: str, paid_at: datetime) -> None:
    """Move a payment to succeeded, from whatever it was."""
    await db.execute(
        "UPDATE payment SET state = 'succeeded', transaction_no = $2, paid_at = $3, closed_at = NULL WHERE id = $1",
        payment_id,
        transaction_no,
        paid_at,
    )


async def set_closed(*, payment_id: UUID, now: datetime) -> None:
    """Move an open payment to closed."""
    await db.execute(
        "UPDATE payment SET state = 'closed', closed_at = $2 WHERE id = $1 AND state IN ('created', 'prepared')",
        payment_id,
        now,
    )


async def set_payment_check(*, payment_id: UUID, check_at: datetime) -> None:
    """Count a check and set the next."""
    await db.execute("UPDATE payment SET checks = checks + 1, check_at = $2 WHERE id = $1", payment_id, check_at)


async def list_overdue(*, before: datetime) -> list[tuple[str, UUID]]:
    """Return ("payment" | "refund", id) of open ones whose check was due before an instant."""
    rows = await db.fetch(
        """
        (SELECT 'payment' AS kind, id FROM payment WHERE state IN ('created', 'prepared') AND check_at < $1 LIMIT 500)
        UNION ALL
        (SELECT 'refund' AS kind, id FROM refund WHERE state IN ('created', 'processing') AND check_at < $1 LIMIT 500)
        """,
        before,
    )
    return [(row["kind"], row["id"]) for row in rows]


async def add_refund(
    *,
    payment_id: UUID,
    operator_company_id: UUID,
    request_key: str,
    amount_fen: int,
    reason: str,
    check_at: datetime,
    now: datetime,
) -> RefundRow:
    """Write a refund in state `created`."""
    row = await db.fetchrow(
        """
        INSERT INTO refund (id, payment_id, operator_company_id, request_key, amount_fen, reason, state, checks,
            check_at, created_at)
        VALUES ($1, $2, $3, $4, $5, $6, 'created', 0, $7, $8) RETURNING *
        """,
        new_id(),
        payment_id,
        operator_company_id,
        request_key,
        amount_fen,
        reason,
        check_at,
        now,
    )
    if row is None:
        raise RuntimeError("INSERT … RETURNING gave no row")
    return _refund(row)


async def find_refund(*, refund_id: UUID) -> RefundRow | None:
    """Return a refund."""
    row = await db.fetchrow("SELECT * FROM refund WHERE id = $1", refund_id)
    return None if row is None else _refund(row)


async def lock_refund(*, refund_id: UUID) -> RefundRow | None:
    """Return a refund, locked until the transaction ends."""
    row = await db.fetchrow("SELECT * FROM refund WHERE id = $1 FOR UPDATE", refund_id)
    return None if row is None else _refund(row)


async def find_refund_by_key(*, request_key: str) -> RefundRow | None:
    """Return the refund that was asked for with a key."""
    row = await db.fetchrow("SELECT * FROM refund WHERE request_key = $1", request_key)
    return None if row is None else _refund(row)


async def list_refunds(*, payment_id: UUID) -> list[RefundRow]:
    """Return the refunds of a payment, oldest first."""
    rows = await db.fetch("SELECT * FROM refund WHERE payment_id = $1 ORDER BY id", payment_id)
    return [_refund(row) for row in rows]


async def set_refund_processing(*, refund_id: UUID, provider_no: str | None) -> None:
    """Move a refund from created to processing."""
    await db.execute(
        "UPDATE refund SET state = 'processing', provider_no = $2 WHERE id = $1 AND state = 'created'",
        refund_id,
        provider_no,
    )


async def settle_refund(
    *, refund_id: UUID, state: RefundState, provider_no: str | None, provider_answer: str, now: datetime
) -> None:
    """Set the end of a refund."""
    await db.execute(
        """
        UPDATE refund SET state = $2, provider_no = coalesce($3, provider_no), provider_answer = $4, settled_at = $5
        WHERE id = $1
        """,
        refund_id,
        state,
        provider_no,
        provider_answer,
        now,
    )


async def set_refund_check(*, refund_id: UUID, check_at: datetime, provider_answer: str | None = None) -> None:
    """Count a check and set the next."""
    await db.execute(
        """
        UPDATE refund SET checks = checks + 1, check_at = $2, provider_answer = coalesce($3, provider_answer)
        WHERE id = $1
        """,
        refund_id,
        check_at,
        provider_answer,
    )


async def use_nonce(*, merchant_account_id: UUID, nonce: str, now: datetime) -> bool:
    """Note a callback's nonce; False when it was used before."""
    return (
        await db.fetchval(
            """
            INSERT INTO callback_nonce (id, merchant_account_id, nonce, seen_at) VALUES ($1, $2, $3, $4)
            ON CONFLICT (merchant_account_id, nonce) DO NOTHING RETURNING id
            """,
            new_id(),
            merchant_account_id,
            nonce,
            now,
        )
        is not None
    )


async def forget_nonces(*, before: datetime) -> None:
    """Delete nonces whose callbacks are too old to be believed anyway."""
    await db.execute("DELETE FROM callback_nonce WHERE seen_at < $1", before)
