"""A payment provider's books in memory, and how a call to it can go wrong; the database's own faults beside it."""

import json
from collections.abc import Callable, Mapping
from datetime import date, datetime
from typing import Any, TypeVar

from backend.core import db
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
from backend.payments.rules.reconciling import BillEntry
from sandbox.servers.postgres import run_as_superuser

T = TypeVar("T")

WRITTEN = (
    "payment",
    "refund",
    "callback_nonce",
    "ledger_entry",
    "ledger_leg",
    "domain_event",
    "audit_entry",
    "pgqueuer",
)
"""The tables in which money leaves its traces."""


class Killed(BaseException):
    """kill -9, as far as one coroutine can tell."""


class MemoryProvider:
    """A provider as the gateways' protocol has it, without signatures: what it knows is the truth of a test.

    `fault` is (which call from now, what): the process is killed `before` the provider hears of it or `after`, the
    answer is an error that passes (`lost_before`, `lost_after`), or the payer `pays` everything in that very moment.
    """

    def __init__(self, now: datetime) -> None:
        self.orders: dict[str, dict[str, Any]] = {}
        self.refunds: dict[str, dict[str, Any]] = {}
        self.fault: tuple[int, str] | None = None
        self.now = now

    def _call(self, effect: Callable[[], T]) -> T:
        kind = ""
        if self.fault is not None:
            left, named = self.fault
            self.fault = (left - 1, named) if left else None
            kind = "" if left else named
        if kind == "before":
            raise Killed
        if kind == "lost_before":
            raise GatewayError("no answer", permanent=False)
        if kind == "pays":
            for number in self.orders:
                self.pay(number)
        outcome = effect()
        if kind == "after":
            raise Killed
        if kind == "lost_after":
            raise GatewayError("no answer", permanent=False)
        return outcome

    # the payer's and the provider's own doings

    def pay(self, number: str) -> None:
        """The payer's thumb: what is not closed can be paid, also late (begun in time, confirmed by the bank after)."""
        order = self.orders.get(number)
        if order is not None and order["state"] == "waiting":
            order |= {"state": "succeeded", "paid_at": self.now}

    def end_refunds(self, state: str) -> None:
        """Bring the refunds under way to their end; what failed is again the merchant's."""
        for refund in self.refunds.values():
            if refund["state"] == "processing":
                refund["state"] = state
                if state == "failed":
                    self.orders[refund["order"]]["refunded"] -= refund["amount"]

    def held_fen(self) -> int:
        """Return what the provider holds of the merchant's money once no refund is under way."""
        return sum(o["amount"] - o["refunded"] for o in self.orders.values() if o["state"] == "succeeded")

    # the protocol

    @property
    def channels(self) -> Mapping[str, bool]:
        """Return one way to pay."""
        return {"wechat_app": False}

    async def prepare(self, *, merchant: Merchant, order: PaymentOrder) -> str:
        """Place an order once."""

        def effect() -> str:
            known = self.orders.setdefault(
                order.number,
                {"amount": order.amount_fen, "state": "waiting", "refunded": 0},
            )
            if known["state"] != "waiting":
                raise GatewayError("the order is closed or paid", permanent=True, code="ORDER_CLOSED")
            return "token"

        return self._call(effect)

    def sheet(self, *, merchant: Merchant, channel: str, token: str, now: datetime) -> dict[str, str]:
        """Return the token."""
        return {"token": token}

    def view(self, number: str) -> ProviderPayment:
        """Return what the provider knows of a payment."""
        order = self.orders.get(number)
        if order is None:
            return ProviderPayment(state="unknown")
        paid = order["state"] == "succeeded"
        return ProviderPayment(
            state=order["state"],
            transaction_no=f"t{number}" if paid else None,
            amount_fen=order["amount"],
            paid_at=order.get("paid_at"),
        )

    async def query(self, *, merchant: Merchant, number: str) -> ProviderPayment:
        """Say what became of a payment."""
        return self._call(lambda: self.view(number))

    async def close(self, *, merchant: Merchant, number: str) -> bool:
        """Close an order that is not paid."""

        def effect() -> bool:
            order = self.orders.get(number)
            if order is not None and order["state"] == "succeeded":
                return False
            if order is not None:
                order["state"] = "closed"
            return True

        return self._call(effect)

    async def refund(
        self, *, merchant: Merchant, number: str, paid: PaidPayment, amount_fen: int, reason: str
    ) -> ProviderRefund:
        """Give money back once for a number; never more than was paid."""

        def effect() -> ProviderRefund:
            if number not in self.refunds:
                order = self.orders[paid.number]
                assert order["state"] == "succeeded" and paid.amount_fen == order["amount"]
                assert order["refunded"] + amount_fen <= order["amount"], "given back more than was paid"
                order["refunded"] += amount_fen
                self.refunds[number] = {"amount": amount_fen, "state": "processing", "order": paid.number}
            return self.refund_view(number)

        return self._call(effect)

    def refund_view(self, number: str) -> ProviderRefund:
        """Return what the provider knows of a refund."""
        refund = self.refunds.get(number)
        if refund is None:
            return ProviderRefund(state="unknown")
        return ProviderRefund(
            state=refund["state"], provider_no=f"r{number}", amount_fen=refund["amount"], answer=refund["state"]
        )

    async def query_refund(self, *, merchant: Merchant, number: str, paid: PaidPayment) -> ProviderRefund:
        """Say what became of a refund."""
        return self._call(lambda: self.refund_view(number))

    async def download_bill(self, *, merchant: Merchant, day: date) -> ProviderBill:
        """Return everything that ever moved as one day's bill."""
        rows = [
            BillEntry("payment", number, f"t{number}", order["amount"], "succeeded", order["paid_at"])
            for number, order in self.orders.items()
            if order["state"] == "succeeded"
        ]
        rows += [
            BillEntry("refund", number, f"r{number}", refund["amount"], refund["state"], self.now)
            for number, refund in self.refunds.items()
        ]
        return ProviderBill(sha1="0" * 40, rows=tuple(rows))

    def read_payment_callback(
        self, *, merchant: Merchant, headers: Mapping[str, str], body: bytes, now: datetime
    ) -> CallbackPayment:
        """Believe the body's number and read the rest from the books."""
        told = json.loads(body)
        payment = self.view(told["number"])
        if payment.state != "succeeded":
            raise CallbackRefused(422, "not a successful payment")
        return CallbackPayment(nonce=told["nonce"], number=told["number"], payment=payment)

    def read_refund_callback(
        self, *, merchant: Merchant, headers: Mapping[str, str], body: bytes, now: datetime
    ) -> CallbackRefund:
        """Believe the body's number and read the rest from the books."""
        told = json.loads(body)
        refund = self.refund_view(told["number"])
        if refund.state not in ("succeeded", "failed"):
            raise CallbackRefused(422, "not the end of a refund")
        payment_number = self.refunds[told["number"]]["order"]
        return CallbackRefund(nonce=told["nonce"], number=told["number"], payment_number=payment_number, refund=refund)

    async def close_clients(self) -> None:
        """Nothing is open."""


async def install_write_faults(superuser_url: str) -> None:
    """Give the database a countdown of writes to the tables of money: at zero the write fails and is never stored.

    A sequence, because it counts on through rollbacks.
    """
    await run_as_superuser(
        superuser_url,
        [
            "CREATE SEQUENCE fault_countdown INCREMENT -1 MINVALUE -1000000000000 MAXVALUE 1000 START -1",
            "GRANT ALL ON SEQUENCE fault_countdown TO PUBLIC",
            """
            CREATE FUNCTION fail_at_zero() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN
                IF nextval('fault_countdown') = 0 THEN
                    RAISE EXCEPTION 'the database went away' USING ERRCODE = 'admin_shutdown';
                END IF;
                RETURN NULL;
            END $$
            """,
            *(
                f"CREATE TRIGGER write_fault BEFORE INSERT OR UPDATE ON {table}"
                " FOR EACH STATEMENT EXECUTE FUNCTION fail_at_zero()"
                for table in WRITTEN
            ),
        ],
    )


async def fail_write(number: int | None) -> bool:
    """Let the write of this number from now (0: the next) fail; None: none. Says whether the one before has failed."""
    left: int = await db.fetchval("SELECT last_value FROM fault_countdown")
    await db.fetchval("SELECT setval('fault_countdown', $1, false)", -1 if number is None else number)
    return left <= 0 and number is None
