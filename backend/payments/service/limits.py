"""The amount above which a company's refunds and corrections need a second person, and how it is changed.

One operator may lower it at once; a higher one is in force when another operator of the company has said yes, because
whoever could lift the limit alone would not need a second person for anything.
"""

from datetime import datetime
from uuid import UUID

import msgspec

from backend.core import audit, db
from backend.core.errors import Conflict, NotFound
from backend.core.ids import new_id
from backend.payments import store_limits, store_refunds
from backend.payments.service.refunds import (
    SECOND_PERSON_ABOVE_FEN,
    AlreadyDecided,
    SecondPersonNeeded,
    check_limit,
    second_person_above,
    set_second_person_above,
)
from backend.payments.store_limits import LimitChangeView

_SHOWN = 20


class LimitView(msgspec.Struct, frozen=True, kw_only=True):
    """A company's limit and the changes to it, newest first."""

    operator_company_id: UUID
    second_person_above_fen: int
    is_default: bool
    changes: tuple[LimitChangeView, ...]


class RefundLimitPending(Conflict):
    """Another change waits for a second person."""

    code = "refund_limit_pending"
    title_en = "A change of the limit is waiting"
    title_zh = "已有待复核的限额变更"
    detail_en = "Approve or reject change {change_id} first."
    detail_zh = "请先处理变更 {change_id}。"


class LimitChangeNotFound(NotFound):
    """No such change at the caller's company."""

    code = "refund_limit_change_not_found"


async def get_limit(*, operator_company_id: UUID) -> LimitView:
    """Return a company's limit with its latest changes."""
    found = await store_refunds.find_limit(operator_company_id=operator_company_id)
    changes = await store_limits.list_changes(operator_company_id=operator_company_id, limit=_SHOWN)
    return LimitView(
        operator_company_id=operator_company_id,
        second_person_above_fen=SECOND_PERSON_ABOVE_FEN if found is None else found,
        is_default=found is None,
        changes=tuple(changes),
    )


async def propose_limit(
    *, operator_company_id: UUID, amount_fen: int, reason: str, actor_id: UUID, role: str, now: datetime
) -> LimitChangeView:
    """Lower a company's limit at once, or have a higher one wait for a second person.

    Raises RefundLimitInvalid, RefundLimitPending.
    """
    check_limit(amount_fen)
    async with db.transaction():
        await _lock(operator_company_id)
        lower = amount_fen <= await second_person_above(operator_company_id=operator_company_id)
        change = LimitChangeView(
            id=new_id(),
            operator_company_id=operator_company_id,
            second_person_above_fen=amount_fen,
            reason=reason,
            state="in_force" if lower else "pending",
            proposed_by=actor_id,
            proposed_at=now,
            decided_by=None,
            decided_at=now if lower else None,
        )
        if not await store_limits.add_change(change):
            waiting = await store_limits.list_changes(operator_company_id=operator_company_id, limit=_SHOWN)
            raise RefundLimitPending(change_id=str(next(each.id for each in waiting if each.state == "pending")))
        if lower:
            await set_second_person_above(
                operator_company_id=operator_company_id,
                amount_fen=amount_fen,
                actor_id=actor_id,
                actor_role=role,
                now=now,
            )
        else:
            await _note(change, "refund_rule.proposed", actor_id, role, now)
    return change


async def approve_limit(
    *, change_id: UUID, company_ids: frozenset[UUID], actor_id: UUID, role: str, now: datetime
) -> LimitChangeView:
    """Put a higher limit in force as the second person.

    Raises LimitChangeNotFound, AlreadyDecided, SecondPersonNeeded.
    """
    async with db.transaction():
        change = await _open(change_id, company_ids)
        if change.proposed_by == actor_id:
            raise SecondPersonNeeded
        await store_limits.decide_change(change_id=change_id, state="in_force", decided_by=actor_id, now=now)
        await set_second_person_above(
            operator_company_id=change.operator_company_id,
            amount_fen=change.second_person_above_fen,
            actor_id=actor_id,
            actor_role=role,
            now=now,
        )
        return await _get(change_id, company_ids)


async def reject_limit(
    *, change_id: UUID, company_ids: frozenset[UUID], actor_id: UUID, role: str, now: datetime
) -> LimitChangeView:
    """Turn a higher limit down (who proposed it may take it back so). Raises LimitChangeNotFound, AlreadyDecided."""
    async with db.transaction():
        change = await _open(change_id, company_ids)
        await store_limits.decide_change(change_id=change_id, state="rejected", decided_by=actor_id, now=now)
        await _note(change, "refund_rule.rejected", actor_id, role, now)
        return await _get(change_id, company_ids)


async def _lock(operator_company_id: UUID) -> None:
    """Let changes of one company wait for each other until the transaction ends."""
    await db.execute("SELECT pg_advisory_xact_lock(hashtextextended($1, 120))", str(operator_company_id))


async def _get(change_id: UUID, company_ids: frozenset[UUID], *, lock: bool = False) -> LimitChangeView:
    change = await store_limits.find_change(change_id=change_id, lock=lock)
    if change is None or change.operator_company_id not in company_ids:
        raise LimitChangeNotFound
    return change


async def _open(change_id: UUID, company_ids: frozenset[UUID]) -> LimitChangeView:
    change = await _get(change_id, company_ids, lock=True)
    if change.state != "pending":
        raise AlreadyDecided(state=change.state)
    return change


async def _note(change: LimitChangeView, action: str, actor_id: UUID, role: str, now: datetime) -> None:
    await audit.record(
        actor_id=actor_id,
        actor_role=role,
        action=action,
        object_kind="refund_limit_change",
        object_id=change.id,
        detail={"second_person_above_fen": change.second_person_above_fen},
        now=now,
        operator_company_id=change.operator_company_id,
    )
