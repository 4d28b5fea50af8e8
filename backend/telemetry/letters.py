"""Dead letters: messages that were refused, with the cause; listed, counted, and replayed once the cause is mended.

A replay is the message as it arrived, at the time it arrived, by the lane it came on: repeats change nothing, order is
(boot, seq) as ever. A refused message is kept whole up to the contract's 16 KiB; of a longer one, which no replay could
make acceptable, only the start.
"""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from backend.core import audit, crypto, db, jobs
from backend.core.auth import Staff
from backend.core.errors import Conflict, NotFound
from backend.stations import service as stations
from backend.stations.service import devices as registry
from backend.telemetry import contacts, store_letters
from backend.telemetry.ingesting import Item, store_batch
from mqtt_bridge import messages, topics
from mqtt_bridge.messages import LastWill, Refused
from mqtt_bridge.topics import TopicRefused

STORED, REPEAT = "stored", "repeat"


class LetterNotReplayable(Conflict):
    """The message was too long to be kept whole, or was taken already."""

    code = "letter_not_replayable"
    title_en = "This message cannot be replayed"
    title_zh = "该消息无法重放"
    detail_en = "{reason}"
    detail_zh = "消息过长未完整保存，或此前已重放成功。"


class MessageStored(msgspec.Struct):
    """Payload of `telemetry.device_message` (jobs.py)."""

    message_id: int


class LetterView(msgspec.Struct, frozen=True, kw_only=True):
    """A refused message, without what it said (it may be personal). Outcomes: stored, repeat, `refused: cause`."""

    id: int
    received_at: datetime
    cause: str
    detail: str
    topic: str
    device_id: UUID | None
    size: int
    replayed_at: datetime | None
    replay_outcome: str | None


class CauseCount(msgspec.Struct, frozen=True, kw_only=True):
    """How many messages were refused for one cause, also those no longer kept."""

    cause: str
    total: int
    last_at: datetime


async def list_letters(
    *, cause: str | None = None, waiting: bool = False, before: int | None = None, limit: int = 50
) -> list[LetterView]:
    """Return the letters of all devices, known or not, newest first; `waiting`: not those that were taken since."""
    rows = await store_letters.list_letters(device_ids=None, cause=cause, waiting=waiting, before=before, limit=limit)
    return [LetterView(**dict(row)) for row in rows]


async def list_own_letters(
    *, staff: Staff, station_id: UUID | None, cause: str | None, waiting: bool, before: int | None, limit: int
) -> list[LetterView]:
    """Return the letters of the devices of the caller's companies, newest first."""
    ids: list[UUID] = []
    after: str | None = None
    while True:
        entries = await registry.list_registry(staff=staff, station_id=station_id, kind=None, after=after, limit=1000)
        ids += [entry.id for entry in entries]
        if len(entries) < 1000:
            break
        after = entries[-1].code
    rows = await store_letters.list_letters(device_ids=ids, cause=cause, waiting=waiting, before=before, limit=limit)
    return [LetterView(**dict(row)) for row in rows]


async def count_causes() -> list[CauseCount]:
    """Return the causes with their counts, most frequent first."""
    return [CauseCount(**dict(row)) for row in await store_letters.list_counts()]


async def replay_own(*, staff: Staff, letter_id: int, now: datetime) -> LetterView:
    """Replay a letter of one of the caller's devices, on record; raises NotFound, LetterNotReplayable."""
    async with db.transaction():
        row = await store_letters.find_letter(letter_id)
        if row is None or row["device_id"] is None:
            raise NotFound(kind="dead_letter")
        entry = await registry.get_registered(staff=staff, device_id=row["device_id"])
        if entry.operator_company_id not in staff.company_ids("operator"):
            raise NotFound(kind="dead_letter")
        view = await replay(letter_id=letter_id, now=now)
        await audit.record(
            actor_id=staff.account_id,
            actor_role=staff.role_at(entry.operator_company_id),
            action="dead_letter.replayed",
            object_kind="dead_letter",
            object_id=str(letter_id),
            detail={"outcome": view.replay_outcome or ""},
            now=now,
            operator_company_id=entry.operator_company_id,
        )
    return view


async def replay(*, letter_id: int, now: datetime) -> LetterView:
    """Give a refused message another try; the view says what became of it. Raises NotFound, LetterNotReplayable."""
    async with db.transaction():
        row = await store_letters.find_letter(letter_id)
        if row is None:
            raise NotFound(kind="dead_letter")
        if row["replay_outcome"] in (STORED, REPEAT):
            raise LetterNotReplayable(reason="It was taken before.")
        if row["size"] > messages.MAX_PAYLOAD_BYTES:
            raise LetterNotReplayable(
                reason=f"It has {row['size']} bytes; a message may have {messages.MAX_PAYLOAD_BYTES}."
            )
        payload = crypto.decrypt_bytes(row["payload_cipher"])
        if len(payload) < row["size"]:
            raise LetterNotReplayable(reason=f"Of its {row['size']} bytes the first {len(payload)} were kept.")
        outcome = await _take(row, payload, now)
        await store_letters.mark_replayed(letter_id, outcome, now)
        fields = {**dict(row), "replayed_at": now, "replay_outcome": outcome}
        del fields["payload_cipher"]
    return LetterView(**fields)


async def _take(row: Any, payload: bytes, now: datetime) -> str:
    try:
        topic = topics.parse(row["topic"])
        device = await stations.find_device(code=topic.device)
        if device is None or not device.active:
            raise TopicRefused("unknown_device", "")
        if device.station_code != topic.station:
            raise TopicRefused("wrong_station", "")
        if device.kind != topic.kind:
            raise TopicRefused("wrong_kind", "")
        if await registry.is_revoked(device_id=device.id):
            raise TopicRefused("revoked_device", "")
        parsed = messages.parse(topic.kind, topic.channel, payload)
    except (TopicRefused, Refused) as refusal:
        return f"refused: {refusal.cause}"
    if isinstance(parsed, LastWill):
        return "refused: last_will"  # it says that a device went away; by now it says nothing
    if topic.channel == "telemetry":
        item = Item(device.id, topic.channel, row["received_at"], payload)
        directory = {device.id: await contacts.load_device(device_id=device.id)}
        result = await store_batch(items=[item], directory=directory, now=now)
        return f"refused: {next(iter(result.refused))}" if result.refused else STORED
    message_id = await store_letters.add_message(
        device_id=device.id,
        station_id=device.station_id,
        kind=topic.kind,
        channel=topic.channel,
        msg_id=parsed.msg_id,
        boot=parsed.boot,
        seq=parsed.seq,
        received_at=row["received_at"],
        payload=crypto.encrypt(payload),
    )
    if message_id is None:
        return REPEAT
    await jobs.schedule("telemetry.device_message", MessageStored(message_id), due_at=now, now=now)
    return STORED


async def keep_refused(*, items: Sequence[tuple[Item, str, str]], counts: Counter[str], now: datetime) -> None:
    """Keep what ingest refused as (item, cause, topic), and count all of it; the bridge does so for what it refuses."""
    async with db.transaction():
        await store_letters.add_letters(
            [
                (
                    item.received_at,
                    cause,
                    "refused by ingest",
                    topic,
                    item.device_id,
                    len(item.payload),
                    crypto.encrypt(item.payload),
                )
                for item, cause, topic in items
            ]
        )
        if counts:
            await store_letters.count_refused(list(counts), list(counts.values()), now)
