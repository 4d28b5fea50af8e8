"""What WeChat Pay demands of a merchant's request bodies, field by field, and how it says no."""

import re
from datetime import datetime
from typing import Annotated, TypeVar
from urllib.parse import parse_qs, urlsplit

import msgspec

from sandbox.wechat_pay.keys import Merchant

_TRADE_NO = re.compile(r"^[0-9A-Za-z_\-|*]{6,32}$")
_REFUND_NO = re.compile(r"^[0-9A-Za-z_\-|*@]{1,64}$")
_LOOPBACK = {"127.0.0.1", "localhost", "::1"}

T = TypeVar("T")


class PayError(Exception):
    """A refusal: status, code and message as documented, with the field in `detail`."""

    def __init__(self, status: int, code: str, message: str, *, field: str | None = None) -> None:
        super().__init__(f"{status} {code}: {message}")
        self.status = status
        self.code = code
        self.message = message
        self.field = field

    def body(self) -> bytes:
        """Return the error's JSON."""
        content: dict[str, object] = {"code": self.code, "message": self.message}
        if self.field is not None:
            location = "authorization" if self.field == "signature" else "body"
            content["detail"] = {"field": self.field, "issue": self.message, "location": location}
        return msgspec.json.encode(content)


class Amount(msgspec.Struct, kw_only=True):
    """Amount of an order, in fen."""

    total: int
    currency: str = "CNY"


class Payer(msgspec.Struct, kw_only=True):
    """Who will pay."""

    openid: Annotated[str, msgspec.Meta(min_length=1, max_length=128)]


class Prepay(msgspec.Struct, kw_only=True):
    """Body of JSAPI/小程序 下单 (with a payer) and APP 下单 (without)."""

    appid: Annotated[str, msgspec.Meta(min_length=1, max_length=32)]
    mchid: Annotated[str, msgspec.Meta(min_length=1, max_length=32)]
    description: Annotated[str, msgspec.Meta(min_length=1, max_length=127)]
    out_trade_no: str
    notify_url: Annotated[str, msgspec.Meta(min_length=1, max_length=255)]
    amount: Amount
    payer: Payer | None = None
    time_expire: str | None = None
    attach: Annotated[str, msgspec.Meta(max_length=128)] | None = None
    goods_tag: str | None = None
    support_fapiao: bool | None = None


class Close(msgspec.Struct, kw_only=True):
    """Body of 关闭订单."""

    mchid: str


class RefundAmount(msgspec.Struct, kw_only=True):
    """Amounts of a refund, in fen."""

    refund: int
    total: int
    currency: str


class Refund(msgspec.Struct, kw_only=True):
    """Body of 退款申请."""

    out_refund_no: str
    amount: RefundAmount
    transaction_id: str | None = None
    out_trade_no: str | None = None
    reason: Annotated[str, msgspec.Meta(max_length=80)] | None = None
    notify_url: Annotated[str, msgspec.Meta(min_length=8, max_length=256)] | None = None


def read(body: bytes, kind: type[T]) -> T:
    """Decode a body; a missing or ill-typed field is PARAM_ERROR with its path."""
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.ValidationError as error:
        found = re.search(r"`\$\.?([\w.]*)`$", str(error))
        missing = re.search(r"missing required field `(\w+)`", str(error))
        parts = [*(found[1].split(".") if found else []), missing[1] if missing else ""]
        path = "/".join(part for part in parts if part)
        raise PayError(400, "PARAM_ERROR", "参数错误", field=f"/body/{path}") from error
    except msgspec.DecodeError as error:
        raise PayError(400, "PARAM_ERROR", "请求体不是合法的JSON") from error


def same_mchid(query: str, merchant: Merchant) -> None:
    """Refuse a query whose mchid is absent or not the signer's."""
    if parse_qs(query).get("mchid") != [merchant.mchid]:
        raise PayError(400, "PARAM_ERROR", "商户号与签名商户号不一致", field="/query/mchid")


def has_passed(moment: str, now: float) -> bool:
    """Say whether an RFC 3339 time lies before `now` (seconds since the epoch)."""
    return datetime.fromisoformat(moment).timestamp() <= now


def _notify_url(url: str) -> None:
    """Demand a full https address without parameters; a loopback host may use http, as only a sandbox can reach it."""
    parts = urlsplit(url)
    is_local = parts.scheme == "http" and parts.hostname in _LOOPBACK
    if not parts.hostname or parts.query or not (parts.scheme == "https" or is_local):
        raise PayError(400, "PARAM_ERROR", "notify_url 必须为https地址且不能携带参数", field="/body/notify_url")


def prepay(wanted: Prepay, merchant: Merchant, now: float, *, needs_payer: bool) -> None:
    """Refuse an order WeChat Pay would refuse."""
    if needs_payer and wanted.payer is None:
        raise PayError(400, "PARAM_ERROR", "参数错误", field="/body/payer")
    if wanted.mchid != merchant.mchid:
        raise PayError(400, "PARAM_ERROR", "商户号与签名商户号不一致", field="/body/mchid")
    if wanted.appid != merchant.appid:
        raise PayError(400, "APPID_MCHID_NOT_MATCH", "appid和mch_id不匹配", field="/body/appid")
    if not _TRADE_NO.match(wanted.out_trade_no):
        raise PayError(400, "PARAM_ERROR", "商户订单号只能是6-32个数字、大小写字母_-|*", field="/body/out_trade_no")
    if wanted.amount.total < 1:
        raise PayError(400, "PARAM_ERROR", "订单金额必须大于0", field="/body/amount/total")
    if wanted.amount.currency != "CNY":
        raise PayError(400, "PARAM_ERROR", "境内商户号仅支持人民币", field="/body/amount/currency")
    _notify_url(wanted.notify_url)
    if wanted.time_expire is not None:
        try:
            expired = has_passed(wanted.time_expire, now)
        except ValueError as error:
            raise PayError(400, "PARAM_ERROR", "time_expire 格式错误", field="/body/time_expire") from error
        if expired:
            raise PayError(400, "PARAM_ERROR", "订单失效时间早于当前时间", field="/body/time_expire")


def refund(wanted: Refund) -> None:
    """Refuse a refund whose own fields are wrong."""
    if (wanted.out_trade_no is None) == (wanted.transaction_id is None):
        raise PayError(400, "PARAM_ERROR", "微信订单号与商户订单号二选一", field="/body/out_trade_no")
    if not _REFUND_NO.match(wanted.out_refund_no):
        raise PayError(400, "PARAM_ERROR", "商户退款单号格式错误", field="/body/out_refund_no")
    if wanted.amount.currency != "CNY":
        raise PayError(400, "PARAM_ERROR", "退款币种仅支持CNY", field="/body/amount/currency")
    if wanted.amount.refund < 1 or wanted.amount.refund > wanted.amount.total:
        raise PayError(400, "PARAM_ERROR", "退款金额须大于0且不超过订单金额", field="/body/amount/refund")
    if wanted.notify_url is not None:
        _notify_url(wanted.notify_url)
