"""The telemetry lane's last leg: a batch of samples into history and state, in one transaction; twice is as once.

What went wrong in a batch (unknown devices, payloads that no longer parse) is counted by cause, never raised: the
bridge has refused it before, so it means that the registry changed meanwhile.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg

from backend.core import db
from backend.telemetry import contacts, store_samples, store_states
from backend.telemetry.contacts import Contact, DeviceInfo, Placement
from backend.telemetry.handling import Told, apply_state, status_rows
from backend.telemetry.service import Sample
from backend.telemetry.store_samples import SampleRow
from mqtt_bridge import messages
from mqtt_bridge.messages import CameraState, ChargerState, ChargerTelemetry, LockState, Refused, SmokeState

LETTERS_PER_BATCH = 20

State = ChargerState | LockState | CameraState | SmokeState


@dataclass(frozen=True)
class Item:
    """One message out of a stream. `channel` is `telemetry`, or `state` for a state that repeats the one before."""

    device_id: UUID
    channel: str
    received_at: datetime
    payload: bytes


@dataclass
class Outcome:
    """What a batch did: samples for the rules, connector states to show, and what was passed over, by cause."""

    samples: list[Sample] = field(default_factory=list)
    changed: list[asyncpg.Record] = field(default_factory=list)
    status_changes: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    letters: list[tuple[Item, str]] = field(default_factory=list)
    """The first of what was passed over, with the cause."""

    def refuse(self, item: Item, cause: str) -> None:
        """Pass a message over, counted, and remembered unless there are many."""
        self.refused[cause] += 1
        if len(self.letters) < LETTERS_PER_BATCH:
            self.letters.append((item, cause))


@dataclass
class _Heard:
    info: DeviceInfo
    received_at: datetime
    message: ChargerTelemetry | State
    connector_id: UUID | None


async def store_batch(*, items: Iterable[Item], directory: Mapping[UUID, DeviceInfo], now: datetime) -> Outcome:
    """Write a batch: history, connector states by (boot, seq), contact of devices; tells what changed."""
    outcome = Outcome()
    heard = _read(items, directory, outcome)
    if not heard:
        return outcome
    # Each device in its own order, so that its clock is learned as it ran.
    heard.sort(key=_order)
    async with db.transaction():
        locked = await contacts.lock((h.info, h.received_at) for h in heard)
        known = await store_samples.find_stored(_late(heard, locked), now)
        rows: list[SampleRow] = []
        newest: dict[UUID, tuple[_Heard, SampleRow]] = {}
        states: list[tuple[_Heard, Placement]] = []
        for h in heard:
            message, contact = h.message, locked[h.info.id]
            sample = isinstance(message, ChargerTelemetry)
            key = (h.connector_id or h.info.id, message.boot, message.seq)
            fresh = key not in known if sample else contact.is_newer(boot=message.boot, seq=message.seq)
            placed = contact.hear(
                boot=message.boot, seq=message.seq, ts=message.ts, received_at=h.received_at, fresh=fresh
            )
            if not isinstance(message, ChargerTelemetry):
                states.append((h, placed))
                continue
            outcome.samples.append(_sample(h, message, placed))
            if fresh:
                known.add(key)
                row = store_samples.row(key[0], message, placed.occurred_at, placed.flagged, h.received_at)
                rows.append(row)
                if contact.online:
                    newest[key[0]] = (h, row)
        await contacts.save(locked.values(), now=now)
        await store_samples.add_samples(rows)
        changed = await store_samples.upsert_newest(
            (*row[:-1], h.info.id, h.info.station_id, _number(h)) for h, row in newest.values()
        )
        told = [
            (row, newest[row["connector_id"]][0].received_at, _is_flagged(newest[row["connector_id"]][1]))
            for row in changed
        ]
        outcome.status_changes += await contacts.tell_statuses(told, devices=directory, now=now)
        outcome.changed += changed
        await _touch(states, locked, directory, outcome, now)
    return outcome


def _read(items: Iterable[Item], directory: Mapping[UUID, DeviceInfo], outcome: Outcome) -> list[_Heard]:
    heard = []
    for item in items:
        info = directory.get(item.device_id)
        if info is None:
            outcome.refuse(item, "unknown_device")
            continue
        try:
            message = messages.parse(info.kind, item.channel, item.payload)
        except Refused as refusal:
            outcome.refuse(item, refusal.cause)
            continue
        if isinstance(message, ChargerTelemetry):
            connector_id = info.connectors.get(message.connector)
            if connector_id is None:
                outcome.refuse(item, "unknown_connector")
                continue
            heard.append(_Heard(info, item.received_at, message, connector_id))
        elif isinstance(message, ChargerState | LockState | CameraState | SmokeState):
            heard.append(_Heard(info, item.received_at, message, None))
    return heard


def _order(heard: _Heard) -> tuple[int, int]:
    return heard.message.boot, heard.message.seq


def _late(heard: Iterable[_Heard], locked: Mapping[UUID, Contact]) -> list[tuple[UUID, int, int]]:
    """Samples that may be repeats: those that do not follow the newest message of their device."""
    return [
        (h.connector_id, h.message.boot, h.message.seq)
        for h in heard
        if h.connector_id is not None and not locked[h.info.id].is_newer(boot=h.message.boot, seq=h.message.seq)
    ]


def _sample(heard: _Heard, message: ChargerTelemetry, placed: Placement) -> Sample:
    assert heard.connector_id is not None
    return Sample(
        connector_id=heard.connector_id,
        device_id=heard.info.id,
        device_code=heard.info.code,
        station_id=heard.info.station_id,
        occurred_at=placed.occurred_at,
        received_at=heard.received_at,
        clock_flagged=placed.flagged,
        reading=message,
    )


def _number(heard: _Heard) -> int:
    assert isinstance(heard.message, ChargerTelemetry)
    return heard.message.connector


def _is_flagged(row: SampleRow) -> bool:
    flagged: bool = row[6]
    return flagged


async def _touch(
    states: list[tuple[_Heard, Placement]],
    locked: Mapping[UUID, Contact],
    directory: Mapping[UUID, DeviceInfo],
    outcome: Outcome,
    now: datetime,
) -> None:
    """Take in states that repeat the one before: of a device that came back as news, else only a charger's statuses."""
    rows: dict[UUID, tuple[Any, ...]] = {}
    by_connector: dict[UUID, tuple[datetime, bool]] = {}
    for h, placed in states:
        contact = locked[h.info.id]
        assert not isinstance(h.message, ChargerTelemetry)
        if contact.back_since is not None:
            outcome.changed += await apply_state(contact, h.message, Told(h.info, placed, h.received_at, now))
        elif isinstance(h.message, ChargerState) and contact.online:
            for row in status_rows(h.info, h.message, placed.occurred_at):
                rows[row[0]] = row
                by_connector[row[0]] = (h.received_at, placed.flagged)
    changed = await store_states.upsert_statuses(list(rows.values()))
    told = [(row, *by_connector[row["connector_id"]]) for row in changed]
    outcome.status_changes += await contacts.tell_statuses(told, devices=directory, now=now)
    outcome.changed += [row for row in changed if row["status"] != row["previous"]]
