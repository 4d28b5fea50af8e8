"""Acting in the name of a person of the platform: one transaction, the services' own rules, an audit entry."""

import hashlib
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from datetime import datetime, timedelta
from uuid import UUID

from backend.accounts import service as accounts
from backend.core import audit, db
from backend.core.auth import Grant, Staff
from backend.core.errors import Conflict, Forbidden
from backend.core.ids import new_id
from backend.core.services import Services

serving: ContextVar[Services] = ContextVar("console_serving")
"""The clients of the process that serves the request."""
SAME_WITHIN = timedelta(seconds=60)
"""The same form filled in alike by the same person within a minute is a double click."""


class ReadsOnly(Forbidden):
    """The login may look, not act."""

    code = "console_reads_only"
    title_en = "Your login may only read"
    title_zh = "您的账号仅可查看"
    detail_en = "Ask whoever runs the service for a login that may act."
    detail_zh = "如需操作权限，请联系系统管理员。"


class DoneJustNow(Conflict):
    """The same form came twice."""

    code = "console_done_just_now"
    title_en = "This was done just now"
    title_zh = "刚刚已执行过相同操作"
    detail_en = "The same form with the same values was carried out within the last minute; nothing was done again."
    detail_zh = "一分钟内已执行过内容相同的操作，本次未重复执行。"


async def acting_staff(account_id: UUID) -> Staff:
    """Return the person as staff of every operator company: as an operator, called "platform" in the audit log."""
    companies = await accounts.list_operator_companies()
    return Staff(account_id, tuple(Grant("operator", company.id) for company in companies), acts_as="platform")


async def act(
    *,
    account_id: UUID,
    may_act: bool,
    form: str,
    filled: str,
    now: datetime,
    work: Callable[[Staff], Awaitable[str]],
) -> str:
    """Carry out `work` for the person, all or nothing, and write down that it came through the console.

    Raises ReadsOnly, DoneJustNow, and whatever the services refuse with; then nothing has changed.
    """
    if not may_act:
        raise ReadsOnly
    fingerprint = hashlib.sha256(filled.encode()).digest()
    async with db.transaction():
        await db.execute("SELECT pg_advisory_xact_lock(hashtext('console:' || $1))", str(account_id))
        if await db.fetchval(
            "SELECT EXISTS (SELECT 1 FROM console_action"
            " WHERE account_id = $1 AND form = $2 AND filled_sha256 = $3 AND at > $4)",
            account_id,
            form,
            fingerprint,
            now - SAME_WITHIN,
        ):
            raise DoneJustNow
        said = await work(await acting_staff(account_id))
        action_id = new_id()
        await db.execute(
            "INSERT INTO console_action (id, account_id, form, filled_sha256, at) VALUES ($1, $2, $3, $4, $5)",
            action_id,
            account_id,
            form,
            fingerprint,
            now,
        )
        await audit.record(
            actor_id=account_id,
            actor_role="platform",
            action=f"console.{form}",
            object_kind="console_action",
            object_id=action_id,
            detail={},
            now=now,
        )
    return said
