"""Hold a provider's bill of a day against our books, to the fen: what is missing, extra or different.

Payments are compared by the provider's own instant of payment. A refund appears in the bill of the day on which the
provider accepted it, which may be moments after we asked: what we asked for in the last minutes of a day is expected
a day later at the latest.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, TypeAlias

Kind: TypeAlias = Literal["payment", "refund"]
What: TypeAlias = Literal["missing_in_bill", "unknown_to_us", "amount_differs", "state_differs", "ledger_differs"]

REFUND_LAG = timedelta(minutes=30)
"""How long a refund may be on its way to the provider across midnight."""


@dataclass(frozen=True, slots=True)
class BillEntry:
    """A row of a bill: a payment made, or a refund accepted (`processing`, `succeeded` or `failed`)."""

    kind: Kind
    number: str
    provider_no: str
    amount_fen: int
    state: str
    at: datetime


@dataclass(frozen=True, slots=True)
class BookEntry:
    """The same movement in our books; `ledger_fen` is what the ledger has on the provider's account, 0 for nothing."""

    kind: Kind
    number: str
    amount_fen: int
    state: str
    ledger_fen: int
    provider_no: str | None = None
    expected: bool = True


@dataclass(frozen=True, slots=True)
class Difference:
    """One movement on which bill and books do not agree."""

    what: What
    kind: Kind
    number: str
    provider_no: str | None
    ours_fen: int | None
    bill_fen: int | None
    our_state: str | None
    bill_state: str | None


def compare(bill: Sequence[BillEntry], books: Iterable[BookEntry]) -> list[Difference]:
    """Return every difference, in the order of the bill and then of our books.

    `books` holds what the bill names and what it should name (`expected`). A refund that is under way on one side and
    done on the other is no difference: only a failed one against another state is.
    """
    ours = {(entry.kind, entry.number): entry for entry in books}
    found: list[Difference] = []
    for row in bill:
        book = ours.get((row.kind, row.number))
        what = "unknown_to_us" if book is None else _differs(row, book)
        if what is not None:
            found.append(_difference(what, row, book))
    named = {(row.kind, row.number) for row in bill}
    found.extend(
        _difference("missing_in_bill", None, book) for key, book in ours.items() if book.expected and key not in named
    )
    return found


def _differs(row: BillEntry, book: BookEntry) -> What | None:
    if row.amount_fen != book.amount_fen:
        return "amount_differs"
    if row.kind == "payment":
        if book.state != "succeeded" or (book.provider_no is not None and book.provider_no != row.provider_no):
            return "state_differs"
    elif (row.state == "failed") != (book.state == "failed") or book.state == "created":
        return "state_differs"
    booked = book.amount_fen if book.state == "succeeded" else 0
    signed = booked if row.kind == "payment" else -booked
    return "ledger_differs" if book.ledger_fen != signed else None


def _difference(what: What, row: BillEntry | None, book: BookEntry | None) -> Difference:
    subject = row if row is not None else book
    if subject is None:
        raise ValueError("a difference is about something")
    return Difference(
        what=what,
        kind=subject.kind,
        number=subject.number,
        provider_no=subject.provider_no,
        ours_fen=None if book is None else book.amount_fen,
        bill_fen=None if row is None else row.amount_fen,
        our_state=None if book is None else book.state,
        bill_state=None if row is None else row.state,
    )
