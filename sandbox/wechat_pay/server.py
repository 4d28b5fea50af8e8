"""The server half of WeChat Pay APIv3 for merchants: prepay, query, close, refund, and the payer's side of it.

Source: pay.weixin.qq.com, 普通商户 JSAPI/小程序 下单, 查单, 关单, 退款 and 签名认证.
Every request's signature is verified, every answer is signed;
errors are `{code, message}` (and `detail`) with the documented status. In public-key mode only.
"""

import asyncio
import gzip
import secrets
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import parse_qs

import msgspec

from sandbox.faults import Faults
from sandbox.http1 import HttpServer, Request, Response
from sandbox.wechat_pay import bills, checks
from sandbox.wechat_pay.books import Books, RefundBook, Trade
from sandbox.wechat_pay.callbacks import RETRY_GAPS_S, CallbackSender, beijing_time
from sandbox.wechat_pay.checks import PayError
from sandbox.wechat_pay.keys import Keys, Merchant
from sandbox.wechat_pay.signing import (
    SCHEME,
    BadAuthorization,
    answer_message,
    parse_authorization,
    request_message,
    sign,
    verifies,
)

TIMESTAMP_WINDOW_S = 300
FAULTS = frozenset({"drop", "drop_after", "500", "429", "bad_signature", "bad_hash", "lose_callback"})
"""`drop` loses the request, `drop_after` carries it out and loses the answer; `lose_callback` is asked at pay time."""


class CannotPay(Exception):
    """The payer's phone refuses: no such order, or it is closed, paid or expired."""


class WeChatPayServer:
    """One WeChat Pay with its merchants; `pay` is the payer's thumb.

    `clock` says which day it is for payments, refunds and bills; `signing_clock` (the same where not given) is what the
    age of requests is measured with, so that a test may live through a month while its client signs today.
    """

    def __init__(
        self,
        *,
        keys: Keys,
        books_path: Path | None = None,
        clock: Callable[[], float] = time.time,
        signing_clock: Callable[[], float] | None = None,
        retry_gaps_s: tuple[float, ...] = RETRY_GAPS_S,
        refund_delay_s: float = 0.3,
    ) -> None:
        self.keys = keys
        self.faults = Faults(FAULTS - {"lose_callback"})
        self.lost_callbacks = Faults({"lose_callback"})
        self.books = Books(books_path)
        self.callbacks = CallbackSender(keys=keys, clock=clock, gaps_s=retry_gaps_s)
        self.http = HttpServer(self.handle)
        self._clock = clock
        self._signing_clock = signing_clock or clock
        self._platform_key = keys.platform_key()
        self._merchants = {merchant.mchid: merchant for merchant in keys.merchants}
        self._public_keys = {merchant.mchid: merchant.public_key() for merchant in keys.merchants}
        self._refund_delay_s = refund_delay_s
        self._settling: set[asyncio.Task[None]] = set()
        self._bills: dict[str, tuple[str, bytes]] = {}

    async def close(self) -> None:
        """Stop the server and its callbacks."""
        await self.http.close()
        for task in list(self._settling):
            task.cancel()
        await asyncio.gather(*self._settling, return_exceptions=True)
        await self.callbacks.close()
        self.books.close()

    # the payer

    async def pay(self, out_trade_no: str) -> Trade:
        """Pay the order as the WeChat user would and send the callback until it is taken; raises CannotPay."""
        trade = self.books.find_trade_of_anybody(out_trade_no=out_trade_no)
        if trade is None:
            raise CannotPay("no such order")
        if trade.state != "NOTPAY":
            raise CannotPay(f"the order is {trade.state}")
        if trade.time_expire is not None and checks.has_passed(trade.time_expire, self._clock()):
            raise CannotPay("the order has expired")
        trade.state = "SUCCESS"
        trade.transaction_id = f"42000{secrets.randbelow(10**23):023d}"
        trade.success_time = beijing_time(self._clock())
        trade.openid = trade.openid or f"o{secrets.token_urlsafe(20)}"
        self.books.keep_trade(trade)
        if self.lost_callbacks.take() is None:
            self.send_payment_callback(trade)
        return trade

    def send_payment_callback(self, trade: Trade) -> "asyncio.Task[int | None]":
        """Send the callback of a paid order (again); the task's result is the last status."""
        body = self.callbacks.build(
            merchant=self._merchants[trade.mchid],
            event_type="TRANSACTION.SUCCESS",
            original_type="transaction",
            summary="支付成功",
            resource=self._trade_view(trade),
        )
        return self.callbacks.send_until_taken(url=trade.notify_url, body=body)

    # the merchant

    async def handle(self, request: Request) -> Response:
        """Verify, carry out and sign one request."""
        fault = self.faults.take()
        if fault == "drop":
            return Response(200, drop=True)
        try:
            if fault == "500":
                raise PayError(500, "SYSTEM_ERROR", "系统异常，请稍后重试")
            if fault == "429":
                raise PayError(429, "FREQUENCY_LIMITED", "频率超限")
            merchant = self._authenticate(request)
            if request.method == "GET" and request.path == "/v3/billdownload/file":
                return Response(200, self._bill_file(merchant, request), {"Content-Type": "application/octet-stream"})
            status, body = self._dispatch(merchant, request)
            if fault == "bad_hash":
                body = body.replace(b'"hash_value":"', b'"hash_value":"0')
        except PayError as error:
            status, body = error.status, error.body()
        if fault == "drop_after":
            return Response(200, drop=True)
        return self._signed(status, body, spoil=fault == "bad_signature")

    def _signed(self, status: int, body: bytes, *, spoil: bool) -> Response:
        timestamp, nonce = str(int(self._clock())), secrets.token_hex(16)
        signed_body = body + b" " if spoil else body
        message = answer_message(timestamp=timestamp, nonce=nonce, body=signed_body)
        headers = {
            "Request-ID": secrets.token_hex(16).upper(),
            "Wechatpay-Timestamp": timestamp,
            "Wechatpay-Nonce": nonce,
            "Wechatpay-Serial": self.keys.platform_public_key_id,
            "Wechatpay-Signature-Type": SCHEME,
            "Wechatpay-Signature": sign(self._platform_key, message),
        }
        if body:
            headers["Content-Type"] = "application/json; charset=utf-8"
        return Response(status, body, headers)

    def _authenticate(self, request: Request) -> Merchant:
        for header in ("user-agent", "accept"):
            if not request.headers.get(header):
                raise PayError(400, "PARAM_ERROR", "Http头缺少Accept或User-Agent")
        if "application/json" not in request.headers["accept"] and "*/*" not in request.headers["accept"]:
            raise PayError(406, "PARAM_ERROR", "Accept 请设置为 application/json")
        if request.method == "POST" and not request.headers.get("content-type", "").startswith("application/json"):
            raise PayError(415, "PARAM_ERROR", "Content-Type 请设置为 application/json")
        try:
            found = parse_authorization(request.headers.get("authorization", ""))
        except BadAuthorization as error:
            raise PayError(401, "SIGN_ERROR", "Http头Authorization值格式错误，请参考API签名规则") from error
        merchant = self._merchants.get(found.mchid)
        if merchant is None or found.serial_no.upper() != merchant.cert_serial_no:
            raise PayError(401, "SIGN_ERROR", "商户证书序列号有误，请使用签名私钥匹配的证书序列号")
        if not found.timestamp.isdigit() or abs(self._signing_clock() - int(found.timestamp)) > TIMESTAMP_WINDOW_S:
            raise PayError(401, "SIGN_ERROR", "签名已过期，请检查系统时间")
        message = request_message(
            method=request.method,
            target=request.target,
            timestamp=found.timestamp,
            nonce=found.nonce_str,
            body=request.body,
        )
        if not verifies(self._public_keys[found.mchid], message, found.signature):
            raise PayError(401, "SIGN_ERROR", "错误的签名，验签失败", field="signature")
        serial = request.headers.get("wechatpay-serial")
        if serial is not None and serial != self.keys.platform_public_key_id:
            raise PayError(400, "PARAM_ERROR", "Wechatpay-Serial 不是有效的微信支付公钥ID")
        return merchant

    def _dispatch(self, merchant: Merchant, request: Request) -> tuple[int, bytes]:
        parts = request.path.strip("/").split("/")
        match request.method, parts:
            case "POST", ["v3", "pay", "transactions", "jsapi" | "app" as trade_type]:
                return 200, self._prepay(merchant, request, trade_type.upper())
            case "GET", ["v3", "pay", "transactions", "out-trade-no", number]:
                checks.same_mchid(request.query, merchant)
                return 200, self._view_of(self.books.find_trade(mchid=merchant.mchid, out_trade_no=number))
            case "GET", ["v3", "pay", "transactions", "id", number]:
                checks.same_mchid(request.query, merchant)
                found = self.books.find_trade_by_transaction(mchid=merchant.mchid, transaction_id=number)
                return 200, self._view_of(found)
            case "POST", ["v3", "pay", "transactions", "out-trade-no", number, "close"]:
                self._close(merchant, number, request)
                return 204, b""
            case "POST", ["v3", "refund", "domestic", "refunds"]:
                return 200, self._refund(merchant, request)
            case "GET", ["v3", "refund", "domestic", "refunds", number]:
                refund = self.books.find_refund(mchid=merchant.mchid, out_refund_no=number)
                if refund is None:
                    raise PayError(404, "RESOURCE_NOT_EXISTS", "退款单不存在")
                return 200, msgspec.json.encode(self._refund_view(refund))
            case "GET", ["v3", "bill", "tradebill"]:
                return 200, self._trade_bill(merchant, request)
        raise PayError(404, "NOT_FOUND", "请求的资源不存在")

    def _trade_bill(self, merchant: Merchant, request: Request) -> bytes:
        day, kind, gzipped = bills.wanted(request.query, now=self._clock())
        rows = bills.of_kind(bills.rows_of(self.books, merchant, day), kind)
        if not rows:
            raise PayError(400, "NO_STATEMENT_EXIST", "账单文件不存在")
        content = bills.render(rows)
        token = secrets.token_urlsafe(48)
        self._bills[token] = (merchant.mchid, gzip.compress(content) if gzipped else content)
        url = f"http://{request.headers['host']}/v3/billdownload/file?token={token}"
        return msgspec.json.encode({"hash_type": "SHA1", "hash_value": bills.sha1(content), "download_url": url})

    def _bill_file(self, merchant: Merchant, request: Request) -> bytes:
        """Return a file once announced; the answer is not signed, its hash was."""
        owner, content = self._bills.get(parse_qs(request.query).get("token", [""])[0], ("", b""))
        if owner != merchant.mchid:
            raise PayError(404, "RESOURCE_NOT_EXISTS", "账单文件不存在或链接已失效")
        return content

    def _prepay(self, merchant: Merchant, request: Request, trade_type: str) -> bytes:
        wanted = checks.read(request.body, checks.Prepay)
        checks.prepay(wanted, merchant, self._clock(), needs_payer=trade_type == "JSAPI")
        openid = wanted.payer.openid if wanted.payer is not None else ""
        known = self.books.find_trade(mchid=merchant.mchid, out_trade_no=wanted.out_trade_no)
        if known is not None:
            if known.state == "SUCCESS":
                raise PayError(400, "ORDERPAID", "该订单已支付")
            if known.state == "CLOSED":
                raise PayError(400, "ORDER_CLOSED", "该订单已关闭，请重新下单")
            if (known.total, known.openid, known.description, known.trade_type) != (
                wanted.amount.total,
                openid,
                wanted.description,
                trade_type,
            ):
                raise PayError(403, "OUT_TRADE_NO_USED", "商户订单号重复")
            return msgspec.json.encode({"prepay_id": known.prepay_id})
        trade = Trade(
            mchid=merchant.mchid,
            appid=wanted.appid,
            out_trade_no=wanted.out_trade_no,
            description=wanted.description,
            notify_url=wanted.notify_url,
            total=wanted.amount.total,
            openid=openid,
            trade_type=trade_type,
            prepay_id=f"wx{secrets.token_hex(17)}",
            attach=wanted.attach,
            time_expire=wanted.time_expire,
        )
        self.books.keep_trade(trade)
        return msgspec.json.encode({"prepay_id": trade.prepay_id})

    def _view_of(self, trade: Trade | None) -> bytes:
        if trade is None:
            raise PayError(404, "ORDER_NOT_EXIST", "订单不存在")
        return msgspec.json.encode(self._trade_view(trade))

    def _trade_view(self, trade: Trade) -> dict[str, object]:
        texts = {"NOTPAY": "订单未支付", "SUCCESS": "支付成功", "CLOSED": "订单已关闭", "REFUND": "订单发生过退款"}
        view: dict[str, object] = {
            "appid": trade.appid,
            "mchid": trade.mchid,
            "out_trade_no": trade.out_trade_no,
            "trade_state": trade.state,
            "trade_state_desc": texts[trade.state],
            "payer": {"openid": trade.openid},
            "amount": {"total": trade.total, "currency": "CNY"},
        }
        if trade.transaction_id is not None:
            view |= {
                "transaction_id": trade.transaction_id,
                "trade_type": trade.trade_type,
                "bank_type": "OTHERS",
                "success_time": trade.success_time,
                "attach": trade.attach or "",
                "amount": {
                    "total": trade.total,
                    "payer_total": trade.total,
                    "currency": "CNY",
                    "payer_currency": "CNY",
                },
            }
        return view

    def _close(self, merchant: Merchant, number: str, request: Request) -> None:
        wanted = checks.read(request.body, checks.Close)
        if wanted.mchid != merchant.mchid:
            raise PayError(400, "PARAM_ERROR", "商户号与签名商户号不一致", field="/body/mchid")
        trade = self.books.find_trade(mchid=merchant.mchid, out_trade_no=number)
        if trade is None:
            raise PayError(404, "ORDER_NOT_EXIST", "订单不存在")
        if trade.state in ("SUCCESS", "REFUND"):
            raise PayError(400, "ORDERPAID", "该订单已支付")
        trade.state = "CLOSED"
        self.books.keep_trade(trade)

    def _refund(self, merchant: Merchant, request: Request) -> bytes:
        wanted = checks.read(request.body, checks.Refund)
        checks.refund(wanted)
        if wanted.out_trade_no is not None:
            trade = self.books.find_trade(mchid=merchant.mchid, out_trade_no=wanted.out_trade_no)
        else:
            trade = self.books.find_trade_by_transaction(
                mchid=merchant.mchid, transaction_id=wanted.transaction_id or ""
            )
        if trade is None or trade.transaction_id is None:
            raise PayError(404, "RESOURCE_NOT_EXISTS", "订单号不存在")
        known = self.books.find_refund(mchid=merchant.mchid, out_refund_no=wanted.out_refund_no)
        if known is not None:
            if (known.refund, known.out_trade_no) != (wanted.amount.refund, trade.out_trade_no):
                raise PayError(400, "INVALID_REQUEST", "订单金额或退款金额与之前请求不一致，请核实后再试")
            return msgspec.json.encode(self._refund_view(known))
        if wanted.amount.total != trade.total:
            raise PayError(400, "INVALID_REQUEST", "订单金额不一致", field="/body/amount/total")
        if trade.refunded + wanted.amount.refund > trade.total:
            raise PayError(400, "INVALID_REQUEST", "申请退款金额超过订单可退金额", field="/body/amount/refund")
        trade.refunded += wanted.amount.refund
        trade.state = "REFUND"
        self.books.keep_trade(trade)
        refund = RefundBook(
            mchid=merchant.mchid,
            refund_id=f"50000{secrets.randbelow(10**24):024d}",
            out_refund_no=wanted.out_refund_no,
            out_trade_no=trade.out_trade_no,
            transaction_id=trade.transaction_id,
            refund=wanted.amount.refund,
            total=trade.total,
            created_at=beijing_time(self._clock()),
            notify_url=wanted.notify_url,
            reason=wanted.reason,
        )
        self.books.keep_refund(refund)
        task = asyncio.get_running_loop().create_task(self._settle(merchant, refund))
        self._settling.add(task)
        task.add_done_callback(self._settling.discard)
        return msgspec.json.encode(self._refund_view(refund))

    async def _settle(self, merchant: Merchant, refund: RefundBook) -> None:
        await asyncio.sleep(self._refund_delay_s)
        refund.status = "SUCCESS"
        refund.success_time = beijing_time(self._clock())
        self.books.keep_refund(refund)
        if refund.notify_url is None:
            return
        view = self._refund_view(refund)
        resource = {
            "mchid": refund.mchid,
            "out_trade_no": refund.out_trade_no,
            "transaction_id": refund.transaction_id,
            "out_refund_no": refund.out_refund_no,
            "refund_id": refund.refund_id,
            "refund_status": refund.status,
            "success_time": refund.success_time,
            "user_received_account": "支付用户零钱",
            "amount": {"total": refund.total, "refund": refund.refund, "payer_total": refund.total}
            | {"payer_refund": refund.refund},
        }
        body = self.callbacks.build(
            merchant=merchant,
            event_type=f"REFUND.{view['status']}",
            original_type="refund",
            summary="退款成功",
            resource=resource,
        )
        self.callbacks.send_until_taken(url=refund.notify_url, body=body)

    def _refund_view(self, refund: RefundBook) -> dict[str, object]:
        view: dict[str, object] = {
            "refund_id": refund.refund_id,
            "out_refund_no": refund.out_refund_no,
            "transaction_id": refund.transaction_id,
            "out_trade_no": refund.out_trade_no,
            "channel": "ORIGINAL",
            "user_received_account": "支付用户零钱",
            "create_time": refund.created_at,
            "status": refund.status,
            "funds_account": "AVAILABLE",
            "amount": {
                "total": refund.total,
                "refund": refund.refund,
                "payer_total": refund.total,
                "payer_refund": refund.refund,
                "settlement_refund": refund.refund,
                "settlement_total": refund.total,
                "discount_refund": 0,
                "currency": "CNY",
            },
        }
        if refund.success_time is not None:
            view["success_time"] = refund.success_time
        return view
