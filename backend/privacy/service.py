"""Export and erasure of everything the service knows of a person (PIPL art. 45 and 47).

Each feature that holds personal data offers `export_personal_data` and `erase_personal_data` in its service; a test
finds features that store account ids and do not.
"""

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from importlib import import_module
from typing import Any, Literal
from uuid import UUID

from backend.alerts.service import incidents
from backend.charging.rules.states import OPEN
from backend.charging.service import orders, sessions
from backend.core import audit, db
from backend.core.errors import Conflict
from backend.features import FEATURES

Matter = Literal["open_session", "unpaid_order", "active_incident"]
Export = Callable[..., Awaitable[dict[str, Any]]]
Erase = Callable[..., Awaitable[None]]

RECENT = timedelta(hours=24)
"""A session this recent may have left its car at the station, and its person in an incident there."""

_PAGE = 100


class MattersOpen(Conflict):
    """Something must be finished first; `matters` names each: open_session, unpaid_order, active_incident."""

    code = "matters_open"
    title_en = "Something must be finished first"
    title_zh = "尚有未完结的事项"
    detail_en = "Finish first: {matters}. End the session, pay the orders; an incident is closed by our staff."
    detail_zh = "请先完结以下事项：{matters}。请结束充电、支付订单；安全事件由工作人员处理完毕后即可注销。"


def _offered(name: str) -> list[tuple[str, Callable[..., Any]]]:
    """Return (feature, function) of the features that offer `name`, lowest first."""
    found = []
    for feature in FEATURES:
        if feature == "core":
            continue
        function = getattr(import_module(f"backend.{feature}.service"), name, None)
        if function is not None:
            found.append((feature, function))
    return found


def exporters() -> list[tuple[str, Export]]:
    """Return the features that export, lowest first."""
    return _offered("export_personal_data")


def erasers() -> list[tuple[str, Erase]]:
    """Return the features that erase, highest first: a booking is cancelled while its person is known."""
    return _offered("erase_personal_data")[::-1]


async def export(*, account_id: UUID, now: datetime) -> dict[str, Any]:
    """Return everything of this person across the features, by feature; that it was read is audited."""
    data = {feature: await read(account_id=account_id) for feature, read in exporters()}
    async with db.transaction():
        await _record("privacy.exported", account_id, now)
    return {"account_id": account_id, "exported_at": now, "data": data}


async def open_matters(*, account_id: UUID, now: datetime) -> list[Matter]:
    """Return what forbids erasing the person now: an open session, an unpaid order, an incident around their car."""
    matters: list[Matter] = []
    recent = [
        session
        for session in await sessions.list_sessions(account_id=account_id, before=None, limit=_PAGE)
        if session.status in OPEN or (session.ended_at is not None and now - session.ended_at < RECENT)
    ]
    if any(session.status in OPEN for session in recent):
        matters.append("open_session")
    for status in ("open", "review", "unpaid"):
        if await orders.list_orders(account_id=account_id, status=status, limit=1):
            matters.append("unpaid_order")
            break
    for session in recent:
        if await incidents.is_handled_at(station_id=session.station_id, connector_id=session.connector_id):
            matters.append("active_incident")
            break
    return matters


async def erase(*, account_id: UUID, now: datetime) -> None:
    """Forget a person in one transaction; every login ends at once. Raises MattersOpen.

    Kept, under an id that no longer leads to anybody: transactions and signed contracts, three years (domain.md,
    Personal data). What is open is looked at again at the end, because a session may have begun meanwhile.
    """
    async with db.transaction():
        await _refuse_open(account_id, now)
        for _, forget in erasers():
            await forget(account_id=account_id, now=now)
        await _record("privacy.erased", account_id, now)
        await _refuse_open(account_id, now)


async def _refuse_open(account_id: UUID, now: datetime) -> None:
    if matters := await open_matters(account_id=account_id, now=now):
        raise MattersOpen(matters=matters)


async def _record(action: str, account_id: UUID, now: datetime) -> None:
    await audit.record(
        actor_id=account_id,
        actor_role="resident",
        action=action,
        object_kind="account",
        object_id=account_id,
        detail={},
        now=now,
    )
