"""Orders and refunds as WeChat Pay keeps them, in one SQLite file, so that a restarted sandbox still knows them."""

import sqlite3
from pathlib import Path

import msgspec


class Trade(msgspec.Struct, kw_only=True):
    """An order a merchant placed; `state` is WeChat's trade_state."""

    mchid: str
    appid: str
    out_trade_no: str
    description: str
    notify_url: str
    total: int
    openid: str
    prepay_id: str
    trade_type: str = "JSAPI"
    attach: str | None = None
    time_expire: str | None = None
    state: str = "NOTPAY"
    transaction_id: str | None = None
    success_time: str | None = None
    refunded: int = 0


class RefundBook(msgspec.Struct, kw_only=True):
    """A refund a merchant asked for; `status` is WeChat's refund status."""

    mchid: str
    refund_id: str
    out_refund_no: str
    out_trade_no: str
    transaction_id: str
    refund: int
    total: int
    created_at: str
    notify_url: str | None = None
    status: str = "PROCESSING"
    success_time: str | None = None
    reason: str | None = None


class Books:
    """The store; `path` None keeps it in memory."""

    def __init__(self, path: Path | None) -> None:
        self._db = sqlite3.connect(path or ":memory:", isolation_level=None)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=NORMAL")
        self._db.execute("CREATE TABLE IF NOT EXISTS trade (mchid TEXT, no TEXT, body BLOB, PRIMARY KEY (mchid, no))")
        self._db.execute("CREATE TABLE IF NOT EXISTS refund (mchid TEXT, no TEXT, body BLOB, PRIMARY KEY (mchid, no))")

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def find_trade(self, *, mchid: str, out_trade_no: str) -> Trade | None:
        """Return the order, if the merchant placed it."""
        row = self._db.execute("SELECT body FROM trade WHERE mchid=? AND no=?", (mchid, out_trade_no)).fetchone()
        return msgspec.json.decode(row[0], type=Trade) if row else None

    def find_trade_of_anybody(self, *, out_trade_no: str) -> Trade | None:
        """Return the newest order of that number, whoever placed it: what a payer's phone sees."""
        row = self._db.execute("SELECT body FROM trade WHERE no=? ORDER BY rowid DESC", (out_trade_no,)).fetchone()
        return msgspec.json.decode(row[0], type=Trade) if row else None

    def find_trade_by_transaction(self, *, mchid: str, transaction_id: str) -> Trade | None:
        """Return the merchant's paid order with WeChat's own number."""
        for (body,) in self._db.execute("SELECT body FROM trade WHERE mchid=?", (mchid,)):
            trade = msgspec.json.decode(body, type=Trade)
            if trade.transaction_id == transaction_id:
                return trade
        return None

    def list_trades(self, *, limit: int = 50) -> list[Trade]:
        """Return the newest orders."""
        rows = self._db.execute("SELECT body FROM trade ORDER BY rowid DESC LIMIT ?", (limit,))
        return [msgspec.json.decode(body, type=Trade) for (body,) in rows]

    def trades_paid_on(self, *, mchid: str, day: str) -> list[Trade]:
        """Return the merchant's payments of a day (yyyy-mm-dd, Beijing) in the order in which they were made."""
        rows = self._db.execute("SELECT body FROM trade WHERE mchid=?", (mchid,))
        found = [msgspec.json.decode(body, type=Trade) for (body,) in rows]
        paid = [trade for trade in found if (trade.success_time or "").startswith(day)]
        return sorted(paid, key=lambda trade: trade.success_time or "")

    def refunds_of(self, *, mchid: str, day: str) -> list[RefundBook]:
        """Return the refunds accepted on a day (yyyy-mm-dd, Beijing) in their order."""
        rows = self._db.execute("SELECT body FROM refund WHERE mchid=?", (mchid,))
        found = [msgspec.json.decode(body, type=RefundBook) for (body,) in rows]
        return sorted((r for r in found if r.created_at.startswith(day)), key=lambda refund: refund.created_at)

    def keep_trade(self, trade: Trade) -> None:
        """Write the order."""
        self._db.execute(
            "INSERT INTO trade VALUES (?,?,?) ON CONFLICT (mchid, no) DO UPDATE SET body=excluded.body",
            (trade.mchid, trade.out_trade_no, msgspec.json.encode(trade)),
        )

    def find_refund(self, *, mchid: str, out_refund_no: str) -> RefundBook | None:
        """Return the refund, if the merchant asked for it."""
        row = self._db.execute("SELECT body FROM refund WHERE mchid=? AND no=?", (mchid, out_refund_no)).fetchone()
        return msgspec.json.decode(row[0], type=RefundBook) if row else None

    def keep_refund(self, refund: RefundBook) -> None:
        """Write the refund."""
        self._db.execute(
            "INSERT INTO refund VALUES (?,?,?) ON CONFLICT (mchid, no) DO UPDATE SET body=excluded.body",
            (refund.mchid, refund.out_refund_no, msgspec.json.encode(refund)),
        )
