"""What a payment provider must be able to do, whoever it is, put where the composition root looks for it.

WeChat Pay today; how Alipay, PayScore and invoices fit the same words is in docs/decisions/120. Methods raise
`GatewayError`; `permanent` says that the provider refuses for good. Every call may be repeated: the provider knows it
by our number.
"""

from collections.abc import Mapping
from datetime import date, datetime
from typing import Literal, Protocol
from uuid import UUID

import msgspec

from backend.core.services import Services
from backend.core.settings import Settings
from backend.payments.rules.moves import ProviderState
from backend.payments.rules.reconciling import BillEntry


class Merchant(msgspec.Struct, frozen=True, kw_only=True):
    """A merchant account with its secrets in clear; lives in memory only. What a provider has no use for is empty.

    The former platform key is believed beside the present one until `former_until`: callbacks that were signed with it
    are still being repeated.
    """

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
    former_key_id: str | None = None
    former_public_key: str | None = None
    former_until: datetime | None = None

    def __repr__(self) -> str:
        return f"Merchant({self.provider} {self.merchant_no})"


class PaymentOrder(msgspec.Struct, frozen=True, kw_only=True):
    """What the provider is asked to prepare; `payer` is its name for the person, where the channel needs one."""

    number: str
    channel: str
    amount_fen: int
    description: str
    payer: str | None
    expires_at: datetime


class PaidPayment(msgspec.Struct, frozen=True, kw_only=True):
    """The payment a refund is of, by our number and by the provider's; some know it by the one, some by the other."""

    number: str
    transaction_no: str | None
    amount_fen: int


class ProviderPayment(msgspec.Struct, frozen=True, kw_only=True):
    """What the provider says of a payment."""

    state: ProviderState
    transaction_no: str | None = None
    amount_fen: int | None = None
    paid_at: datetime | None = None


class ProviderRefund(msgspec.Struct, frozen=True, kw_only=True):
    """What the provider says of a refund; `unknown`: it has never heard of it."""

    state: Literal["unknown", "processing", "succeeded", "failed"]
    provider_no: str | None = None
    amount_fen: int | None = None
    answer: str = ""


class ProviderBill(msgspec.Struct, frozen=True, kw_only=True):
    """A provider's bill of one merchant and day; `sha1` is empty where the provider has none because nothing moved."""

    sha1: str
    rows: tuple[BillEntry, ...]
    fees_fen: int = 0


class CallbackPayment(msgspec.Struct, frozen=True, kw_only=True):
    """A verified callback about a payment, whatever state it tells of; `nonce` is what no second one may have."""

    nonce: str
    number: str
    payment: ProviderPayment


class CallbackRefund(msgspec.Struct, frozen=True, kw_only=True):
    """A verified callback about a refund."""

    nonce: str
    number: str
    payment_number: str
    refund: ProviderRefund


class CallbackRefused(Exception):
    """A callback that is not believed: HTTP status (4xx) and a reason without personal data."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


class PaymentGateway(Protocol):
    """A payment provider."""

    @property
    def channels(self) -> Mapping[str, bool]:
        """Return its ways to pay, and whether each needs the payer's name at the provider (an openid)."""
        ...

    async def prepare(self, *, merchant: Merchant, order: PaymentOrder) -> str:
        """Announce a payment; returns the token that opens the payment sheet (at most 8,000 characters)."""
        ...

    def sheet(self, *, merchant: Merchant, channel: str, token: str, now: datetime) -> dict[str, str]:
        """Return the parameters with which the app opens the provider's payment sheet."""
        ...

    async def query(self, *, merchant: Merchant, number: str) -> ProviderPayment:
        """Ask what became of a payment."""
        ...

    async def close(self, *, merchant: Merchant, number: str) -> bool:
        """Close a payment so that it cannot be paid any more; False when it has been paid or is being collected."""
        ...

    async def refund(
        self, *, merchant: Merchant, number: str, paid: PaidPayment, amount_fen: int, reason: str
    ) -> ProviderRefund:
        """Ask for a refund (or for the one asked before by the same number)."""
        ...

    async def query_refund(self, *, merchant: Merchant, number: str, paid: PaidPayment) -> ProviderRefund:
        """Ask what became of a refund."""
        ...

    async def download_bill(self, *, merchant: Merchant, day: date) -> ProviderBill:
        """Fetch and check the bill of a day (Asia/Shanghai); an empty one where nothing moved."""
        ...

    def read_payment_callback(
        self, *, merchant: Merchant, headers: Mapping[str, str], body: bytes, now: datetime
    ) -> CallbackPayment:
        """Verify and read a callback about a payment; raises CallbackRefused."""
        ...

    def read_refund_callback(
        self, *, merchant: Merchant, headers: Mapping[str, str], body: bytes, now: datetime
    ) -> CallbackRefund:
        """Verify and read a callback about a refund; raises CallbackRefused."""
        ...

    async def close_clients(self) -> None:
        """Close the connections; a later call opens them again."""
        ...


class PaymentGateways:
    """The payment gateways by provider name."""

    def __init__(self, by_provider: Mapping[str, PaymentGateway]) -> None:
        self._by_provider = dict(by_provider)

    def provider_of(self, channel: str) -> str | None:
        """Return who takes payments of `channel`."""
        return next((name for name, gateway in self._by_provider.items() if channel in gateway.channels), None)

    def list_channels(self) -> list[str]:
        """Return every way to pay."""
        return [channel for gateway in self._by_provider.values() for channel in gateway.channels]

    def get(self, provider: str) -> PaymentGateway:
        """Return the gateway of `provider`; KeyError when it is not wired."""
        return self._by_provider[provider]

    async def close_clients(self) -> None:
        """Close the connections of all of them."""
        for gateway in self._by_provider.values():
            await gateway.close_clients()


def put_gateways(services: Services, settings: Settings) -> None:
    """Make the clients of payments from the settings."""
    from backend.payments.gateways.wechat_pay import WeChatPay  # the transport imports this module

    services.put(
        PaymentGateways,
        PaymentGateways({"wechat_pay": WeChatPay(url=settings.wechat_pay_url, public_url=settings.public_url)}),
    )


async def close_gateways(services: Services) -> None:
    """Close what `put_gateways` opened (the composition root calls it when the process ends)."""
    await services.get(PaymentGateways).close_clients()
