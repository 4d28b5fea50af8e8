"""All SQL of automatic actions that wait for their effect."""

from datetime import datetime
from typing import Literal, TypeAlias
from uuid import UUID

import msgspec
from asyncpg import Record

from backend.core import db
from backend.core.ids import new_id

ActionKind: TypeAlias = Literal["stop_session", "lower_lock", "cut_power", "restore_power"]
ActionStatus: TypeAlias = Literal["asked", "seen", "failed"]


class ActionView(msgspec.Struct, frozen=True, kw_only=True):
    """An automatic action: what was asked of whom, how often, and whether its effect was seen."""

    id: UUID
    incident_id: UUID
    kind: ActionKind
    target_id: UUID
    status: ActionStatus
    attempts: int
    asked_at: datetime
    settled_at: datetime | None


def _action(row: Record) -> ActionView:
    return ActionView(**{name: row[name] for name in ActionView.__struct_fields__})


async def add_action(incident_id: UUID, kind: ActionKind, target_id: UUID, now: datetime) -> UUID | None:
    """Add an action; None where the incident asked the same before."""
    added: UUID | None = await db.fetchval(
        "INSERT INTO incident_action (id, incident_id, kind, target_id, status, attempts, asked_at)"
        " VALUES ($1, $2, $3, $4, 'asked', 1, $5) ON CONFLICT DO NOTHING RETURNING id",
        new_id(),
        incident_id,
        kind,
        target_id,
        now,
    )
    return added


async def find_action(action_id: UUID) -> ActionView | None:
    """Return the action, locked."""
    row = await db.fetchrow("SELECT * FROM incident_action WHERE id = $1 FOR UPDATE", action_id)
    return None if row is None else _action(row)


async def count_attempt(action_id: UUID) -> None:
    await db.execute("UPDATE incident_action SET attempts = attempts + 1 WHERE id = $1", action_id)


async def settle_action(action_id: UUID, status: ActionStatus, now: datetime) -> None:
    await db.execute("UPDATE incident_action SET status = $2, settled_at = $3 WHERE id = $1", action_id, status, now)


async def list_actions(incident_id: UUID) -> list[ActionView]:
    rows = await db.fetch("SELECT * FROM incident_action WHERE incident_id = $1 ORDER BY id", incident_id)
    return [_action(row) for row in rows]
