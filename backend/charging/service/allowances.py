"""How much of the energy a package frees of service fee is left for a session."""

from collections.abc import Sequence

from backend.agreements.service import packages
from backend.agreements.service.packages import PackagePeriod
from backend.charging import store_statements
from backend.charging.rules.billing import BillLine
from backend.charging.rules.packages import Allowance
from backend.charging.store import SessionView


async def allowance_of(session: SessionView, *, lock: bool) -> Allowance | None:
    """Return what is left for a session in the package period it was asked for in; None without a package.

    Who bills takes the agreement's row with `lock`, in its transaction: two cars' bills never use the same energy. Who
    only shows a running cost does not.
    """
    return await left_of(await period_of(session, lock=lock))


async def period_of(session: SessionView, *, lock: bool) -> PackagePeriod | None:
    """Return the package period a session was asked for in, with `lock` as above; None without a package."""
    if session.agreement_id is None:
        return None
    return await packages.period_at(agreement_id=session.agreement_id, at=session.requested_at, lock=lock)


async def left_of(period: PackagePeriod | None) -> Allowance | None:
    """Return what is left of a period's included energy; None where it includes none."""
    if period is None or period.included_wh == 0:
        return None
    used = await store_statements.used_wh(
        agreement_id=period.agreement_id, from_at=period.starts_at, to_at=period.ends_at
    )
    return Allowance(left_wh=max(0, period.included_wh - used), bands=period.package.bands)


async def allowance_again(session: SessionView, lines: Sequence[BillLine]) -> Allowance | None:
    """Return what a session's bill may free when it is computed again: what is left and what `lines` freed already."""
    left = await allowance_of(session, lock=True)
    if left is None:
        return None
    return Allowance(left_wh=left.left_wh + sum(line.included_wh for line in lines), bands=left.bands)
