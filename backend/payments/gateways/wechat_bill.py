"""The daily trade bill of WeChat Pay: from the file as it is published to rows in fen.

UTF-8 with a byte order mark, CRLF, a header, one row a movement with ` before each value, a header and one row of
totals. Amounts are yuan with two decimals, fees with up to five. SHA-1 covers the file without its compression.
Source: pay.weixin.qq.com, 申请交易账单, 下载账单.
"""

import csv
import hashlib
import io
import zlib
from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation

from backend.core.clock import BEIJING
from backend.core.errors import GatewayError
from backend.payments.gateways import ProviderBill
from backend.payments.rules.reconciling import BillEntry

MAX_BILL_BYTES = 256 * 1024 * 1024
TOTALS = "总交易单数"
REFUND_STATES = {"SUCCESS": "succeeded", "PROCESSING": "processing", "FAIL": "failed", "CHANGE": "failed"}
FEN = Decimal(100)


class BillDamaged(GatewayError):
    """The bill cannot be believed: another hash, shape or sum than it says itself."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"WeChat Pay bill: {reason}", permanent=False, code="bill_damaged")


def unpack(content: bytes, *, sha1: str) -> bytes:
    """Return the bill out of its gzip, after its SHA-1 was checked; raises BillDamaged."""
    if content.startswith(b"\x1f\x8b"):
        try:
            reader = zlib.decompressobj(wbits=31)
            content = reader.decompress(content, MAX_BILL_BYTES)
        except zlib.error as error:
            raise BillDamaged("not gzip") from error
        if reader.unconsumed_tail or not reader.eof:
            raise BillDamaged("cut off, or larger than any bill")
    if hashlib.sha1(content, usedforsecurity=False).hexdigest() != sha1.lower():
        raise BillDamaged("another SHA-1 than announced")
    return content


def read_bill(content: bytes, *, merchant_no: str) -> ProviderBill:
    """Read a bill of one merchant; raises BillDamaged where rows, totals or merchant are not what they should be."""
    try:
        lines = list(csv.reader(io.StringIO(content.decode("utf-8-sig"), newline="")))
    except (UnicodeDecodeError, csv.Error) as error:
        raise BillDamaged("not the published text format") from error
    at = next((n for n, line in enumerate(lines) if line and line[0] == TOTALS), None)
    if at is None or len(lines) <= at + 1 or not lines[0] or lines[0][0] != "交易时间":
        raise BillDamaged("no header or no totals")
    rows = [dict(zip(lines[0], _values(line), strict=False)) for line in lines[1:at] if line]
    totals = dict(zip(lines[at], _values(lines[at + 1]), strict=False))
    try:
        entries = tuple(_entry(row, merchant_no) for row in rows)
        fees_fen = _fen(sum((Decimal(row["手续费"]) for row in rows), Decimal(0)), exact=False)
        paid = sum(entry.amount_fen for entry in entries if entry.kind == "payment")
        back = sum(entry.amount_fen for entry in entries if entry.kind == "refund")
        if (int(totals[TOTALS]), _fen(Decimal(totals["订单总金额"])), _fen(Decimal(totals["申请退款总金额"]))) != (
            len(rows),
            paid,
            back,
        ):
            raise BillDamaged("rows and totals do not add up")
    except (KeyError, ValueError, InvalidOperation) as error:
        raise BillDamaged(f"a field is missing or malformed: {error}") from error
    return ProviderBill(sha1=hashlib.sha1(content, usedforsecurity=False).hexdigest(), rows=entries, fees_fen=fees_fen)


def _values(line: list[str]) -> list[str]:
    return [value.removeprefix("`").strip() for value in line]


def _entry(row: dict[str, str], merchant_no: str) -> BillEntry:
    if row["商户号"] != merchant_no or row["货币种类"] != "CNY":
        raise BillDamaged("another merchant's row or another currency")
    at = datetime.strptime(row["交易时间"], "%Y-%m-%d %H:%M:%S").replace(tzinfo=BEIJING)
    if row["交易状态"] == "SUCCESS":
        return BillEntry(
            "payment", row["商户订单号"], row["微信订单号"], _fen(Decimal(row["订单金额"])), "succeeded", at
        )
    if row["交易状态"] in ("REFUND", "REVOKED"):
        state = REFUND_STATES[row["退款状态"]]
        return BillEntry(
            "refund", row["商户退款单号"], row["微信退款单号"], _fen(Decimal(row["申请退款金额"])), state, at
        )
    raise BillDamaged(f"unknown state {row['交易状态'][:20]}")


def _fen(yuan: Decimal, *, exact: bool = True) -> int:
    fen = (yuan * FEN).quantize(Decimal(1), ROUND_HALF_UP)
    if exact and fen != yuan * FEN:
        raise BillDamaged("an amount has more than two decimals")
    return int(fen)
