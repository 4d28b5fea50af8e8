"""The daily trade bill as WeChat Pay writes it: UTF-8 with a byte order mark, CRLF, ` before every value, then totals.

Source: pay.weixin.qq.com, 申请交易账单 and 下载账单; held against a published bill whose SHA-1 is known
(tests/sandbox/providers/test_wechat_bill.py).
"""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from urllib.parse import parse_qs

from sandbox.wechat_pay.books import Books
from sandbox.wechat_pay.callbacks import BEIJING
from sandbox.wechat_pay.checks import PayError
from sandbox.wechat_pay.keys import Merchant

HEADER = (
    "交易时间,公众账号ID,商户号,特约商户号,设备号,微信订单号,商户订单号,用户标识,交易类型,交易状态,付款银行,货币种类,应结订单金额,"
    "代金券金额,微信退款单号,商户退款单号,退款金额,充值券退款金额,退款类型,退款状态,商品名称,商户数据包,手续费,费率,订单金额,"
    "申请退款金额,费率备注"
)
TOTALS_HEADER = "总交易单数,应结订单总金额,退款总金额,充值券退款总金额,手续费总金额,订单总金额,申请退款总金额"
REFUND_STATES = {"SUCCESS": "SUCCESS", "PROCESSING": "PROCESSING", "CLOSED": "FAIL", "ABNORMAL": "CHANGE"}
"""A refund's status as the bill writes it; CHANGE: the money could not go back the way it came."""
READY_HOUR = 10
"""Yesterday's bill is there from ten in the morning."""
KEPT = timedelta(days=92)


@dataclass(frozen=True, kw_only=True)
class Row:
    """A payment (`refund_id` empty) or a refund; amounts in fen, the fee in 1/100,000 yuan."""

    at: str
    appid: str
    mchid: str
    transaction_id: str
    out_trade_no: str
    openid: str
    trade_type: str
    total: int = 0
    refund_id: str = ""
    out_refund_no: str = ""
    refund: int = 0
    refund_status: str = ""
    description: str = ""
    attach: str = ""
    fee_e5: int = 0
    rate: str = "0.60%"


def fee_of(total: int) -> int:
    """Return the fee of an amount in fen at 0.6 %, in 1/100,000 yuan, rounded half up to the fen."""
    return (total * 6 + 500) // 1000 * 1000


def render(rows: Sequence[Row]) -> bytes:
    """Return the bill, uncompressed."""
    lines = [HEADER, *(",".join(f"`{value}" for value in _values(row)) for row in rows), TOTALS_HEADER]
    paid, back = sum(row.total for row in rows), sum(row.refund for row in rows)
    fees = sum(row.fee_e5 for row in rows)
    totals = (str(len(rows)), _yuan(paid), _yuan(back), "0.00", _fee(fees), _yuan(paid), _yuan(back))
    lines.append(",".join(f"`{value}" for value in totals))
    return ("\ufeff" + "\r\n".join(lines) + "\r\n").encode()


def _values(row: Row) -> tuple[str, ...]:
    is_refund = bool(row.refund_id)
    return (
        row.at,
        row.appid,
        row.mchid,
        "0",
        "",
        row.transaction_id,
        row.out_trade_no,
        row.openid,
        row.trade_type,
        "REFUND" if is_refund else "SUCCESS",
        "OTHERS",
        "CNY",
        _yuan(row.total),
        "0.00",
        row.refund_id or "0",
        row.out_refund_no or "0",
        _yuan(row.refund),
        "0.00",
        "ORIGINAL" if is_refund else "",
        row.refund_status,
        row.description.replace(",", " "),
        row.attach,
        _fee(row.fee_e5),
        row.rate,
        _yuan(row.total),
        _yuan(row.refund),
        "",
    )


def _yuan(fen: int) -> str:
    return f"{Decimal(fen) / 100:.2f}"


def _fee(fee_e5: int) -> str:
    return f"{Decimal(fee_e5) / 100_000:.5f}"


def rows_of(books: Books, merchant: Merchant, day: str) -> list[Row]:
    """Return the rows of a merchant's day: payments by their success, refunds by their acceptance."""
    paid = [
        Row(
            at=_written(trade.success_time or ""),
            appid=trade.appid,
            mchid=trade.mchid,
            transaction_id=trade.transaction_id or "",
            out_trade_no=trade.out_trade_no,
            openid=trade.openid,
            trade_type=trade.trade_type,
            total=trade.total,
            description=trade.description,
            attach=trade.attach or "",
            fee_e5=fee_of(trade.total),
        )
        for trade in books.trades_paid_on(mchid=merchant.mchid, day=day)
    ]
    back = []
    for refund in books.refunds_of(mchid=merchant.mchid, day=day):
        trade = books.find_trade(mchid=merchant.mchid, out_trade_no=refund.out_trade_no)
        back.append(
            Row(
                at=_written(refund.created_at),
                appid=merchant.appid,
                mchid=refund.mchid,
                transaction_id=refund.transaction_id,
                out_trade_no=refund.out_trade_no,
                openid="" if trade is None else trade.openid,
                trade_type="JSAPI" if trade is None else trade.trade_type,
                refund_id=refund.refund_id,
                out_refund_no=refund.out_refund_no,
                refund=refund.refund,
                refund_status=REFUND_STATES[refund.status],
                description="" if trade is None else trade.description,
                fee_e5=-fee_of(refund.refund),
            )
        )
    return sorted((*paid, *back), key=lambda row: row.at)


def _written(moment: str) -> str:
    return moment[:19].replace("T", " ")


def wanted(query: str, *, now: float) -> tuple[str, str, bool]:
    """Read the query of 申请交易账单: (day, bill type, gzip); raises PayError as documented."""
    fields = parse_qs(query)
    day, kind = fields.get("bill_date", [""])[0], fields.get("bill_type", ["ALL"])[0]
    packing = fields.get("tar_type", [""])[0]
    if not re.fullmatch(r"\d{4}-\d{2}-\d{2}", day):
        raise PayError(400, "PARAM_ERROR", "账单日期格式错误", field="/query/bill_date")
    try:
        asked = date.fromisoformat(day)
    except ValueError as error:
        raise PayError(400, "PARAM_ERROR", "账单日期格式错误", field="/query/bill_date") from error
    if kind not in ("ALL", "SUCCESS", "REFUND") or packing not in ("", "GZIP"):
        raise PayError(400, "PARAM_ERROR", "参数错误", field="/query/bill_type")
    moment = datetime.fromtimestamp(now, BEIJING)
    if asked >= moment.date() or asked < (moment - KEPT).date():
        raise PayError(400, "PARAM_ERROR", "账单日期超出可下载范围", field="/query/bill_date")
    if asked == (moment - timedelta(days=1)).date() and moment.hour < READY_HOUR:
        raise PayError(400, "STATEMENT_CREATING", "账单生成中，请稍后再试")
    return day, kind, packing == "GZIP"


def of_kind(rows: Sequence[Row], kind: str) -> list[Row]:
    """Return the rows that a bill type holds."""
    if kind == "ALL":
        return list(rows)
    return [row for row in rows if bool(row.refund_id) == (kind == "REFUND")]


def sha1(content: bytes) -> str:
    """Return the digest that is announced: over the bill without its compression."""
    return hashlib.sha1(content, usedforsecurity=False).hexdigest()
