"""The audit log: who did what to which object, append-only by grant, sealed into a hash chain.

Entries are written in the transaction of the change, unchained, so that no transaction waits for another; the worker
seals committed entries in order (`seal_entries`). The chain stands in for a trusted time stamp (domain.md, Agreements).
"""

import hashlib
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec

from backend.core import db
from backend.core.ids import new_id

SETTLE_AFTER = timedelta(seconds=10)
"""Entries younger than this are not sealed yet: a transaction that began earlier may still commit an older id."""


async def record(
    *,
    actor_id: UUID | None,
    actor_role: str,
    action: str,
    object_kind: str,
    object_id: UUID | str,
    detail: dict[str, Any],
    now: datetime,
    operator_company_id: UUID | None = None,
) -> None:
    """Write one audit entry in the caller's transaction; `detail` must hold no personal data."""
    if not db.in_transaction():
        raise RuntimeError("an audit entry belongs inside the transaction of the change it records")
    await db.execute(
        "INSERT INTO audit_entry"
        " (id, at, actor_id, actor_role, operator_company_id, action, object_kind, object_id, detail)"
        " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9::jsonb)",
        new_id(),
        now,
        actor_id,
        actor_role,
        operator_company_id,
        action,
        object_kind,
        str(object_id),
        msgspec.json.encode(detail).decode(),
    )


def chain_hash(previous: bytes, entry: dict[str, Any]) -> bytes:
    """Return the seal of `entry` after the seal `previous`: SHA-256 over both, the entry as sorted JSON."""
    return hashlib.sha256(previous + msgspec.json.encode(entry, order="sorted")).digest()


_ENTRY_COLUMNS = "id, at, actor_id, actor_role, operator_company_id, action, object_kind, object_id, detail"


async def seal_entries(*, now: datetime, limit: int = 1000) -> int:
    """Chain committed entries that have no seal yet; returns how many. One caller at a time (advisory lock)."""
    async with db.transaction():
        await db.execute("SELECT pg_advisory_xact_lock(hashtext('audit_seal'))")
        last = await db.fetchrow("SELECT number, hash FROM audit_seal ORDER BY number DESC LIMIT 1")
        number, previous = (last["number"], last["hash"]) if last else (0, b"")
        rows = await db.fetch(
            f"SELECT {_ENTRY_COLUMNS} FROM audit_entry e WHERE at < $1"  # noqa: S608  a constant list of columns
            " AND NOT EXISTS (SELECT 1 FROM audit_seal s WHERE s.entry_id = e.id) ORDER BY id LIMIT $2",
            now - SETTLE_AFTER,
            limit,
        )
        seals = []
        for row in rows:
            number, previous = number + 1, chain_hash(previous, dict(row))
            seals.append((number, row["id"], now, previous))
        await db.executemany(
            "INSERT INTO audit_seal (number, entry_id, sealed_at, hash) VALUES ($1, $2, $3, $4)", seals
        )
    return len(seals)


async def find_broken_seal() -> int | None:
    """Recompute the whole chain; returns the number of the first seal that does not hold, or None."""
    previous = b""
    rows = await db.fetch(
        f"SELECT s.number, s.hash, {', '.join('e.' + c for c in _ENTRY_COLUMNS.split(', '))}"  # noqa: S608
        " FROM audit_seal s LEFT JOIN audit_entry e ON e.id = s.entry_id ORDER BY s.number"
    )
    for row in rows:
        entry = dict(row)
        number, sealed = entry.pop("number"), entry.pop("hash")
        previous = chain_hash(previous, entry)
        if previous != sealed:
            return int(number)
    return None
