"""A correction of an order that stands in a statement: its sums and the package line of the order's period, again.

The fee of a package period is `min(price, cap - service fees)` of what its orders say *now* (domain.md, Money): whoever
corrected an order and left the line could pass the cap of the period. Difference and history as for an order.
"""

from datetime import datetime
from uuid import UUID

import msgspec

from backend.charging import store, store_statements
from backend.charging.rules.packages import OrderFigures, bill_period
from backend.charging.rules.words import yuan
from backend.charging.service import supplements
from backend.charging.store_orders import OrderView
from backend.charging.store_statements import StatementCorrectionView, StatementPackageView, StatementView
from backend.core.errors import NotFound
from backend.core.ids import new_id
from backend.notifications import service as notifications
from backend.payments.service import ledger


async def restate(*, order: OrderView, correction_id: UUID, actor_id: UUID, role: str, now: datetime) -> None:
    """Write anew what statements say of a corrected order, in the transaction that corrected it.

    Nothing to do before the month's statement is made: it then reads the corrected orders. The agreement's row is
    locked by the caller, so that no two corrections of one period count each other's old figures.
    """
    session = await store.find_session(order.session_id)
    if session is None:
        raise NotFound(kind="session")
    stated_in = await store_statements.find_of_order(order.id)
    if stated_in is not None:
        await store_statements.sum_orders_again(stated_in)
    if session.agreement_id is None:
        return
    found = await store_statements.find_of_period(session.agreement_id, session.requested_at)
    if found is None:
        return
    statement_id, before = found
    after = await _line_now(before)
    if after == before:
        return
    statement = await store_statements.find_statement(statement_id, lock=True)
    if statement is None:
        raise NotFound(kind="statement")
    await store_statements.save_line(statement_id, after)
    view = StatementCorrectionView(
        id=new_id(),
        statement_id=statement_id,
        order_id=order.id,
        reason="",
        before=before,
        after=after,
        difference_fen=after.package_fee_fen - before.package_fee_fen,
        corrected_at=now,
    )
    await store_statements.add_correction(view, correction_id)
    if view.difference_fen:
        await _settle(statement, view, actor_id, role, now)


async def _line_now(line: StatementPackageView) -> StatementPackageView:
    rows = await store_statements.list_of_period(
        agreement_id=line.agreement_id, from_at=line.starts_at, to_at=line.ends_at
    )
    bill = bill_period((OrderFigures(**row) for row in rows), price_fen=line.price_fen)
    return msgspec.structs.replace(
        line,
        orders_count=bill.orders_count,
        energy_wh=bill.energy_wh,
        used_wh=bill.used_wh,
        service_fee_fen=bill.service_fee_fen,
        cap_fen=bill.cap_fen,
        package_fee_fen=bill.package_fee_fen,
    )


async def _settle(
    statement: StatementView, view: StatementCorrectionView, actor_id: UUID, role: str, now: datetime
) -> None:
    fee = statement.package_fee_fen + view.difference_fen
    status = statement.status
    if status != "paid":
        status = "unpaid" if fee else "free"
    await store_statements.save_fee(statement.id, package_fee_fen=fee, status=status)
    await ledger.post_entry(
        kind="statement_corrected",
        reference_id=view.id,
        legs=[("receivable", view.difference_fen), ("package_fee", -view.difference_fen)],
        operator_company_id=statement.operator_company_id,
        now=now,
    )
    if statement.status == "paid":
        await supplements.settle_difference(
            of="statement",
            subject_id=statement.id,
            payment_id=statement.payment_id,
            difference_fen=view.difference_fen,
            key=view.id,
            actor_id=actor_id,
            role=role,
            now=now,
        )
    await notifications.notify(
        recipient=statement.account_id,
        event_key=f"statement-correction:{view.id}",
        template="statement_corrected",
        params={"before_yuan": yuan(statement.package_fee_fen), "total_yuan": yuan(fee)},
        safety=False,
        now=now,
    )
