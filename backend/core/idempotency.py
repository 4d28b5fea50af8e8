"""`Idempotency-Key` on unsafe calls: the same key and body get the same answer; the record outlives the process.

Same key, other body: 422. Still running: 409. An answer of 5xx is not kept, so that the client may try again.
Answers are stored encrypted (they may hold tokens or personal data) and dropped after a day; those to callers without a
login, whom only their address tells apart, after a minute: a login's tokens must not lie there to be asked for.
"""

import hashlib
from datetime import datetime, timedelta

import msgspec

from backend.core import crypto, db
from backend.core.errors import Conflict, Invalid
from backend.core.ids import new_id

KEEP_FOR = timedelta(days=1)
KEEP_FOR_STRANGERS = timedelta(seconds=60)
TAKE_OVER_AFTER = timedelta(seconds=60)
"""A call that began this long ago and left no answer died with its process; the next one may run."""


class KeyInvalid(Invalid):
    """The key is empty, too long or not printable ASCII."""

    code = "idempotency_key_invalid"
    title_en = "The Idempotency-Key is not valid"
    title_zh = "Idempotency-Key 无效"
    detail_en = "Use 1 to 120 printable ASCII characters, a UUID for instance."
    detail_zh = "请使用 1 至 120 个可打印 ASCII 字符，例如 UUID。"


class KeyReused(Invalid):
    """The key came before, with another body."""

    code = "idempotency_key_reused"
    title_en = "The Idempotency-Key belongs to another request"
    title_zh = "Idempotency-Key 已用于其他请求"
    detail_en = "The same key came with a different body. Use a new key for a new request."
    detail_zh = "同一 Key 的请求体不同；新的请求请使用新的 Key。"


class StillRunning(Conflict):
    """The first call with this key has not answered yet."""

    code = "idempotency_still_running"
    title_en = "The first request with this key is still running"
    title_zh = "同一请求仍在处理中"
    detail_en = "Wait a moment and send it again with the same key."
    detail_zh = "请稍候并使用同一 Key 重试。"


class StoredAnswer(msgspec.Struct, frozen=True):
    """An answer as it was given."""

    status: int
    media_type: str
    body: bytes


def check_key(key: str) -> None:
    """Raise KeyInvalid unless the key has 1 to 120 printable ASCII characters."""
    if not (1 <= len(key) <= 120 and key.isascii() and key.isprintable()):
        raise KeyInvalid(field="Idempotency-Key")


async def begin(
    *, caller: str, key: str, operation: str, body: bytes, now: datetime, keep_for: timedelta = KEEP_FOR
) -> StoredAnswer | None:
    """Claim the key for a call, or return the answer given within `keep_for`; raises KeyReused, StillRunning."""
    digest = hashlib.sha256(body).digest()
    while True:
        claimed = await db.fetchval(
            "INSERT INTO idempotency_record (id, caller, key, operation, body_sha256, started_at)"
            " VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (caller, key, operation) DO NOTHING RETURNING true",
            new_id(),
            caller,
            key,
            operation,
            digest,
            now,
        )
        if claimed:
            return None
        row = await db.fetchrow(
            "SELECT * FROM idempotency_record WHERE caller = $1 AND key = $2 AND operation = $3", caller, key, operation
        )
        if row is None:
            continue
        if row["status"] is not None and row["started_at"] < now - keep_for:
            await db.execute("DELETE FROM idempotency_record WHERE id = $1", row["id"])
            continue
        if row["body_sha256"] != digest:
            raise KeyReused
        if row["status"] is not None:
            return StoredAnswer(row["status"], row["media_type"], crypto.decrypt_bytes(row["answer_cipher"]))
        taken_over = await db.fetchval(
            "UPDATE idempotency_record SET started_at = $2 WHERE id = $1 AND status IS NULL AND started_at < $3"
            " RETURNING true",
            row["id"],
            now,
            now - TAKE_OVER_AFTER,
        )
        if taken_over:
            return None
        raise StillRunning


async def finish(*, caller: str, key: str, operation: str, answer: StoredAnswer) -> None:
    """Keep the answer of the call that `begin` let through."""
    await db.execute(
        "UPDATE idempotency_record SET status = $4, media_type = $5, answer_cipher = $6"
        " WHERE caller = $1 AND key = $2 AND operation = $3",
        caller,
        key,
        operation,
        answer.status,
        answer.media_type,
        crypto.encrypt(answer.body),
    )


async def abandon(*, caller: str, key: str, operation: str) -> None:
    """Forget a call that failed by our fault, so that the same key may try again."""
    await db.execute(
        "DELETE FROM idempotency_record WHERE caller = $1 AND key = $2 AND operation = $3 AND status IS NULL",
        caller,
        key,
        operation,
    )


async def forget_old(*, now: datetime) -> None:
    """Drop records older than a day."""
    await db.execute("DELETE FROM idempotency_record WHERE started_at < $1", now - KEEP_FOR)
