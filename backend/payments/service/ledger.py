"""The double-entry ledger: post an entry once, read the trial balance."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from backend.core import db
from backend.payments import store_ledger
from backend.payments.rules import ledger as rules
from backend.payments.rules.ledger import Leg


class Unbalanced(ValueError):
    """An entry whose legs do not make an entry; a fault of the caller, never of a client."""


class EntryDiffers(ValueError):
    """The same kind and reference was posted before with other legs."""


async def post_entry(
    *, kind: str, reference_id: UUID, legs: Sequence[Leg], operator_company_id: UUID, now: datetime
) -> UUID:
    """Post an entry in the caller's transaction; legs are (account, fen), a debit positive, a credit negative.

    Once for (kind, reference_id): posting the same again returns the first entry's id. Raises Unbalanced unless there
    are two or more legs that add up to zero (the database checks it again at commit), EntryDiffers.
    """
    if (wrong := rules.problem_of(legs)) is not None:
        raise Unbalanced(f"{kind} {reference_id}: {wrong}")
    async with db.joined():
        entry_id = await store_ledger.add_entry(
            kind=kind, reference_id=reference_id, operator_company_id=operator_company_id, legs=legs, now=now
        )
        if entry_id is not None:
            return entry_id
        known = await store_ledger.find_entry(kind=kind, reference_id=reference_id)
        if known is None or sorted(known[1]) != sorted(legs):
            raise EntryDiffers(f"{kind} {reference_id} was posted before with other legs")
        return known[0]


async def trial_balance(*, operator_company_id: UUID | None = None) -> dict[str, int]:
    """Return the balance of every account in fen (debits positive); the values add up to zero at every moment."""
    return await store_ledger.sum_by_account(operator_company_id=operator_company_id)
