"""WeChat Pay APIv3 through `wechatpayv3` (async client, public-key mode).

The library leaves three things to us: the age of a callback, the serial (an unknown one makes it call out) and replays
(architecture.md, traps). Its base address can only be set through `client._core._gate_way`.
Source: pay.weixin.qq.com, JSAPI/APP 下单, 查单, 关单, 退款, 回调通知.
"""

from collections.abc import Mapping
from datetime import date, datetime
from typing import Annotated, Any, Literal, TypeVar
from uuid import UUID, uuid4

import httpx
import msgspec
import structlog
from wechatpayv3.async_ import AsyncWeChatPay
from wechatpayv3.async_.type import WeChatPayType

from backend.core.clock import BEIJING
from backend.core.errors import GatewayError
from backend.payments.gateways import (
    CallbackPayment,
    CallbackRefund,
    CallbackRefused,
    Merchant,
    PaidPayment,
    PaymentOrder,
    ProviderBill,
    ProviderPayment,
    ProviderRefund,
)
from backend.payments.gateways.wechat_bill import read_bill, unpack
from backend.payments.rules.callbacks import is_fresh
from backend.payments.rules.moves import ProviderState

log = structlog.get_logger()

SIGNATURE_TYPE = "WECHATPAY2-SHA256-RSA2048"
PAY_TYPES = {"wechat_jsapi": WeChatPayType.JSAPI, "wechat_app": WeChatPayType.APP}
CHANNELS = {"wechat_jsapi": True, "wechat_app": False}
STATES: dict[str, ProviderState] = {
    "SUCCESS": "succeeded",
    "REFUND": "succeeded",
    "NOTPAY": "waiting",
    "USERPAYING": "waiting",
    "PAYERROR": "waiting",
    "ACCEPT": "waiting",
    "CLOSED": "closed",
    "REVOKED": "closed",
}
REFUND_STATES: dict[str, Literal["processing", "succeeded", "failed"]] = {
    "PROCESSING": "processing",
    "SUCCESS": "succeeded",
    "CLOSED": "failed",
    "ABNORMAL": "failed",
}
PAID_CODES = frozenset({"ORDERPAID", "ORDER_PAID"})
ABSENT_CODES = frozenset({"ORDER_NOT_EXIST", "RESOURCE_NOT_EXISTS"})
NO_BILL_CODES = frozenset({"NO_STATEMENT_EXIST"})
PASSING_CODES = frozenset(
    {"STATEMENT_CREATING", "SYSTEM_ERROR", "FREQUENCY_LIMITED", "RATELIMIT_EXCEEDED", "BANK_ERROR", "NOT_ENOUGH"}
)
MAX_DESCRIPTION = 127

T = TypeVar("T")


class _Error(msgspec.Struct, frozen=True):
    code: str = ""
    message: str = ""


class _Prepaid(msgspec.Struct, frozen=True):
    prepay_id: str


class _Amount(msgspec.Struct, frozen=True):
    total: int
    currency: str = "CNY"


class _Trade(msgspec.Struct, frozen=True):
    """A payment as WeChat Pay shows it, in an answer or inside a callback."""

    appid: str
    mchid: str
    out_trade_no: str
    trade_state: str
    amount: _Amount | None = None
    transaction_id: str | None = None
    success_time: datetime | None = None


class _RefundAmount(msgspec.Struct, frozen=True):
    refund: int
    total: int


class _RefundAnswer(msgspec.Struct, frozen=True):
    refund_id: str
    out_refund_no: str
    status: str
    amount: _RefundAmount


class _RefundNotice(msgspec.Struct, frozen=True):
    """A refund inside a callback; its field names differ from the answer's."""

    mchid: str
    out_trade_no: str
    out_refund_no: str
    refund_id: str
    refund_status: str
    amount: _RefundAmount


class _BillLink(msgspec.Struct, frozen=True):
    hash_type: str
    hash_value: str
    download_url: str


class _Resource(msgspec.Struct, frozen=True):
    algorithm: Literal["AEAD_AES_256_GCM"]
    ciphertext: str
    nonce: Annotated[str, msgspec.Meta(min_length=8, max_length=64)]
    associated_data: str = ""


class _Notice(msgspec.Struct, frozen=True):
    event_type: str
    resource_type: Literal["encrypt-resource"]
    resource: _Resource


class WeChatPay:
    """The `PaymentGateway` of WeChat Pay."""

    def __init__(self, *, url: str, public_url: str) -> None:
        self._url = url.rstrip("/")
        self._public_url = public_url.rstrip("/")
        self._clients: dict[UUID, tuple[Merchant, AsyncWeChatPay]] = {}

    @property
    def channels(self) -> Mapping[str, bool]:
        """Return mini-program (needs the openid) and app."""
        return CHANNELS

    async def prepare(self, *, merchant: Merchant, order: PaymentOrder) -> str:
        """Place the order; returns the prepay_id."""
        client = await self._client(merchant)
        wanted: dict[str, Any] = {
            "description": order.description[:MAX_DESCRIPTION],
            "out_trade_no": order.number,
            "amount": {"total": order.amount_fen, "currency": "CNY"},
            "time_expire": order.expires_at.astimezone(BEIJING).isoformat(timespec="seconds"),
            "notify_url": self._notify_url(merchant, "notify"),
            "pay_type": PAY_TYPES[order.channel],
        }
        if order.payer is not None:
            wanted["payer"] = {"openid": order.payer}
        status, text = await self._call("prepay", client.pay(**wanted))
        if status != 200:
            raise _refusal("prepay", status, text)
        return _decode("prepay", text, _Prepaid).prepay_id

    def sheet(self, *, merchant: Merchant, channel: str, token: str, now: datetime) -> dict[str, str]:
        """Return what `wx.requestPayment` (mini-program) or the app's SDK takes, signed with the merchant's key."""
        client = self._signer(merchant)
        timestamp, nonce = str(int(now.timestamp())), uuid4().hex
        if channel == "wechat_app":
            return {
                "appid": merchant.app_id,
                "partnerid": merchant.merchant_no,
                "prepayid": token,
                "package": "Sign=WXPay",
                "noncestr": nonce,
                "timestamp": timestamp,
                "sign": str(client.sign([merchant.app_id, timestamp, nonce, token])),
            }
        package = f"prepay_id={token}"
        return {
            "appId": merchant.app_id,
            "timeStamp": timestamp,
            "nonceStr": nonce,
            "package": package,
            "signType": "RSA",
            "paySign": str(client.sign([merchant.app_id, timestamp, nonce, package])),
        }

    async def query(self, *, merchant: Merchant, number: str) -> ProviderPayment:
        """Ask for the order by our number."""
        client = await self._client(merchant)
        status, text = await self._call("query", client.query(out_trade_no=number))
        if status == 404 and _error(text).code in ABSENT_CODES:
            return ProviderPayment(state="unknown")
        if status != 200:
            raise _refusal("query", status, text)
        return _payment(_decode("query", text, _Trade))

    async def close(self, *, merchant: Merchant, number: str) -> bool:
        """Close the order; an order WeChat Pay does not know is as good as closed."""
        client = await self._client(merchant)
        status, text = await self._call("close", client.close(out_trade_no=number))
        if status == 204 or _error(text).code in ABSENT_CODES | {"ORDER_CLOSED"}:
            return True
        if _error(text).code in PAID_CODES:
            return False
        raise _refusal("close", status, text)

    async def refund(
        self, *, merchant: Merchant, number: str, paid: PaidPayment, amount_fen: int, reason: str
    ) -> ProviderRefund:
        """Ask for a refund; the same number again answers with the first one's state."""
        client = await self._client(merchant)
        call = client.refund(
            out_refund_no=number,
            out_trade_no=paid.number,
            amount={"refund": amount_fen, "total": paid.amount_fen, "currency": "CNY"},
            reason=reason[:80],
            notify_url=self._notify_url(merchant, "refund-notify"),
        )
        status, text = await self._call("refund", call)
        if status != 200:
            raise _refusal("refund", status, text)
        return _refund(_decode("refund", text, _RefundAnswer))

    async def query_refund(self, *, merchant: Merchant, number: str, paid: PaidPayment) -> ProviderRefund:
        """Ask for the refund by our number."""
        client = await self._client(merchant)
        status, text = await self._call("query_refund", client.query_refund(out_refund_no=number))
        if status == 404 and _error(text).code in ABSENT_CODES:
            return ProviderRefund(state="unknown")
        if status != 200:
            raise _refusal("query_refund", status, text)
        return _refund(_decode("query_refund", text, _RefundAnswer))

    async def download_bill(self, *, merchant: Merchant, day: date) -> ProviderBill:
        """Ask for the day's bill, fetch it, check its SHA-1 and totals. The file itself is not signed."""
        client = await self._client(merchant)
        call = client.trade_bill(bill_date=day.isoformat(), bill_type="ALL", tar_type="GZIP")
        status, text = await self._call("trade_bill", call)
        if status == 400 and _error(text).code in NO_BILL_CODES:
            return ProviderBill(sha1="", rows=())
        if status != 200:
            raise _refusal("trade_bill", status, text)
        link = _decode("trade_bill", text, _BillLink)
        if link.hash_type != "SHA1" or not link.download_url.startswith(f"{self._url}/"):
            raise GatewayError("WeChat Pay trade_bill: another hash or host than documented", permanent=False)
        try:
            status, content = await client.download_bill(link.download_url)
        except httpx.HTTPError as error:
            raise GatewayError(f"WeChat Pay download_bill: {type(error).__name__}", permanent=False) from error
        raw = content.encode() if isinstance(content, str) else bytes(content)
        if status != 200:
            raise _refusal("download_bill", status, raw.decode("utf-8", "replace"))
        return read_bill(unpack(raw, sha1=link.hash_value), merchant_no=merchant.merchant_no)

    def read_payment_callback(
        self, *, merchant: Merchant, headers: Mapping[str, str], body: bytes, now: datetime
    ) -> CallbackPayment:
        """Verify and decrypt a TRANSACTION.SUCCESS callback; raises CallbackRefused."""
        nonce, event_type, resource = self._read(merchant, headers, body, now)
        trade = _convert(resource, _Trade)
        if event_type != "TRANSACTION.SUCCESS" or trade.trade_state != "SUCCESS":
            raise CallbackRefused(422, "not a successful payment")
        if (trade.mchid, trade.appid) != (merchant.merchant_no, merchant.app_id):
            raise CallbackRefused(422, "another merchant's payment")
        if trade.amount is None or trade.amount.currency != "CNY":
            raise CallbackRefused(422, "no amount in CNY")
        return CallbackPayment(nonce=nonce, number=trade.out_trade_no, payment=_payment(trade))

    def read_refund_callback(
        self, *, merchant: Merchant, headers: Mapping[str, str], body: bytes, now: datetime
    ) -> CallbackRefund:
        """Verify and decrypt a REFUND.* callback; raises CallbackRefused."""
        nonce, event_type, resource = self._read(merchant, headers, body, now)
        notice = _convert(resource, _RefundNotice)
        if event_type != f"REFUND.{notice.refund_status}" or notice.refund_status not in REFUND_STATES:
            raise CallbackRefused(422, "not the end of a refund")
        if notice.mchid != merchant.merchant_no:
            raise CallbackRefused(422, "another merchant's refund")
        found = ProviderRefund(
            state=REFUND_STATES[notice.refund_status],
            provider_no=notice.refund_id,
            amount_fen=notice.amount.refund,
            answer=notice.refund_status,
        )
        return CallbackRefund(
            nonce=nonce, number=notice.out_refund_no, payment_number=notice.out_trade_no, refund=found
        )

    async def close_clients(self) -> None:
        """Close the connections."""
        for _, client in self._clients.values():
            await client.__aexit__(None, None, None)
        self._clients.clear()

    def _notify_url(self, merchant: Merchant, leaf: str) -> str:
        return f"{self._public_url}/v1/payments/wechat/{merchant.merchant_no}/{leaf}"

    def _new_client(self, merchant: Merchant) -> AsyncWeChatPay:
        client = AsyncWeChatPay(
            wechatpay_type=WeChatPayType.JSAPI,
            mchid=merchant.merchant_no,
            private_key=merchant.private_key,
            cert_serial_no=merchant.cert_serial_no,
            appid=merchant.app_id,
            apiv3_key=merchant.api_key,
            public_key=merchant.platform_public_key,
            public_key_id=merchant.platform_key_id,
            timeout=(3, 8),
        )
        client._core._gate_way = self._url
        return client

    def _signer(self, merchant: Merchant) -> AsyncWeChatPay:
        """Return a client that signs and verifies with this merchant's present keys; it need not be connected."""
        known = self._clients.get(merchant.id)
        return known[1] if known is not None and known[0] == merchant else self._new_client(merchant)

    async def _client(self, merchant: Merchant) -> AsyncWeChatPay:
        """Return the connected client; one with keys that were changed since is replaced."""
        known = self._clients.get(merchant.id)
        if known is not None and known[0] == merchant:
            return known[1]
        client = self._new_client(merchant)
        await client.__aenter__()
        self._clients[merchant.id] = (merchant, client)
        if known is not None:
            await known[1].__aexit__(None, None, None)
        return client

    async def _call(self, what: str, call: Any) -> tuple[int, str]:
        try:
            status, text = await call
        except httpx.HTTPError as error:
            raise GatewayError(f"WeChat Pay {what}: {type(error).__name__}", permanent=False) from error
        except Exception as error:  # the library raises a bare Exception for an answer whose signature is not good
            if type(error) is not Exception:
                raise
            raise GatewayError(f"WeChat Pay {what}: the answer's signature is not good", permanent=False) from error
        return status, text if isinstance(text, str) else bytes(text).decode("utf-8", "replace")

    def _read(
        self, merchant: Merchant, headers: Mapping[str, str], body: bytes, now: datetime
    ) -> tuple[str, str, dict[str, Any]]:
        """Verify a callback; returns (nonce, event type, decrypted resource)."""
        given = {name.lower(): value for name, value in headers.items()}
        signed_with = _with_key(merchant, given.get("wechatpay-serial", ""), now)
        if signed_with is None:
            raise CallbackRefused(401, "unknown Wechatpay-Serial")
        if given.get("wechatpay-signature-type", SIGNATURE_TYPE) != SIGNATURE_TYPE:
            raise CallbackRefused(401, "unknown Wechatpay-Signature-Type")
        if not is_fresh(timestamp=given.get("wechatpay-timestamp", ""), now_s=now.timestamp()):
            raise CallbackRefused(401, "Wechatpay-Timestamp is more than 5 minutes off")
        nonce = given.get("wechatpay-nonce", "")
        if not 8 <= len(nonce) <= 64:
            raise CallbackRefused(401, "no Wechatpay-Nonce")
        if not given.get("wechatpay-signature"):
            raise CallbackRefused(401, "no Wechatpay-Signature")
        try:
            notice = msgspec.json.decode(body, type=_Notice)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise CallbackRefused(400, "not a notification") from error
        signed = {name: given.get(name, "") for name in given if name.startswith("wechatpay-")}
        signed["wechatpay-signature-type"] = SIGNATURE_TYPE
        client = self._signer(signed_with)
        try:
            plain = client.decrypt_callback(headers=signed, body=body)
        except (ValueError, UnicodeDecodeError) as error:  # Base64, the AEAD nonce or the text inside is malformed
            raise CallbackRefused(400, "the resource cannot be read") from error
        if plain is None:
            raise CallbackRefused(401, "the signature or the resource does not verify")
        try:
            resource = msgspec.json.decode(plain, type=dict[str, Any])
        except msgspec.MsgspecError as error:
            raise CallbackRefused(400, "the resource is not JSON") from error
        return nonce, notice.event_type, resource


def _with_key(merchant: Merchant, serial: str, now: datetime) -> Merchant | None:
    """Return the merchant with the platform key of this serial: the present one, or the former one for its time."""
    if serial == merchant.platform_key_id:
        return merchant
    if merchant.former_until is None or now >= merchant.former_until or serial != merchant.former_key_id:
        return None
    return msgspec.structs.replace(
        merchant, platform_key_id=serial, platform_public_key=merchant.former_public_key or ""
    )


def _payment(trade: _Trade) -> ProviderPayment:
    state = STATES.get(trade.trade_state)
    if state is None:
        raise GatewayError(f"WeChat Pay: unknown trade_state {trade.trade_state[:20]}", permanent=False)
    return ProviderPayment(
        state=state,
        transaction_no=trade.transaction_id,
        amount_fen=trade.amount.total if trade.amount else None,
        paid_at=trade.success_time,
    )


def _refund(answer: _RefundAnswer) -> ProviderRefund:
    state = REFUND_STATES.get(answer.status)
    if state is None:
        raise GatewayError(f"WeChat Pay: unknown refund status {answer.status[:20]}", permanent=False)
    return ProviderRefund(
        state=state, provider_no=answer.refund_id, amount_fen=answer.amount.refund, answer=answer.status
    )


def _error(text: str) -> _Error:
    try:
        return msgspec.json.decode(text, type=_Error)
    except msgspec.MsgspecError:
        return _Error()


def _decode(what: str, text: str, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(text, type=kind)
    except msgspec.MsgspecError as error:
        raise GatewayError(f"WeChat Pay {what}: the answer has another shape", permanent=False) from error


def _convert(resource: dict[str, Any], kind: type[T]) -> T:
    try:
        return msgspec.convert(resource, kind, strict=False)
    except msgspec.ValidationError as error:
        raise CallbackRefused(400, "the resource has another shape") from error


def _refusal(what: str, status: int, text: str) -> GatewayError:
    error = _error(text)
    passing = status >= 500 or status in (401, 429) or error.code in PASSING_CODES
    log.warning("wechat_pay_refused", call=what, status=status, code=error.code)
    return GatewayError(
        f"WeChat Pay {what}: HTTP {status} {error.code} {error.message}"[:300], permanent=not passing, code=error.code
    )
