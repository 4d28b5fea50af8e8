"""Timers and reactions: stored messages become events, commands time out, silence is found, history rolls on."""

from collections.abc import Iterable
from datetime import timedelta

import asyncpg
import msgspec

from backend.core import db, jobs
from backend.core.jobs import JobContext, Jobs
from backend.core.live import Live
from backend.telemetry import handling, rollups, silence, store, store_states
from backend.telemetry.events import CommandTimedOut
from backend.telemetry.letters import MessageStored
from backend.telemetry.live import show
from backend.telemetry.service import CommandDue
from mqtt_bridge.messages import ACK_WITHIN_S

JOBS = Jobs("telemetry")

SAMPLES_KEPT_DAYS = 400
MESSAGES_KEPT_DAYS = 1096
"""The safety log, three years like the transactions it explains; plates and VINs in it only 30 days."""
PLATES_KEPT_DAYS = 30


@JOBS.timer("device_message", MessageStored, urgent=True, first="if told")
async def device_message(payload: MessageStored, job: JobContext) -> None:
    """Carry out a message of the safety lane; a second run of the job finds it handled."""
    await _show(await handling.handle_message(message_id=payload.message_id, now=job.now), job)


@JOBS.timer("command_timeout", CommandDue, urgent=True)
async def command_timeout(payload: CommandDue, job: JobContext) -> None:
    """Tell once that a command has no answer 10 s after it was sent; or never could be sent before it expired."""
    async with db.transaction():
        command = await store.find_command(payload.command_id, lock=True)
        if command is None or command["acked_at"] is not None or command["timed_out_at"] is not None:
            return
        if command["sent_at"] is not None:
            due_at = command["sent_at"] + timedelta(seconds=ACK_WITHIN_S)
            if due_at > job.now:
                await jobs.schedule("telemetry.command_timeout", payload, due_at=due_at, now=job.now)
                return
        await store.mark_command_timed_out(payload.command_id, job.now)
        event = CommandTimedOut(
            device_id=command["device_id"],
            device_code=command["device_code"],
            station_id=command["station_id"],
            occurred_at=job.now,
            received_at=job.now,
            command_id=command["id"],
            name=command["name"],
            args=msgspec.json.decode(command["args"]),
            error="expired" if command["status"] == "expired" else "timeout",
        )
        await jobs.emit(event, now=job.now)


@JOBS.every("find_silent", seconds=2)
async def find_silent(job: JobContext) -> None:
    """Find devices that went silent."""
    await _show(await silence.find_silent(now=job.now), job)


@JOBS.every("roll_history", seconds=3600)
async def roll_history(job: JobContext) -> None:
    """Make the partitions of the days ahead, drop what is past its time, forget plates and VINs, bound dead letters."""
    await rollups.keep_around_incidents(now=job.now)
    await store.roll_partitions(days_ahead=3, days_kept=SAMPLES_KEPT_DAYS)
    await store.empty_sealed_messages(job.now - timedelta(days=PLATES_KEPT_DAYS))
    await store.delete_messages(job.now - timedelta(days=MESSAGES_KEPT_DAYS))
    await store.trim_dead_letters()
    await store_states.forget_sights(job.now - timedelta(days=1))


@JOBS.every("roll_minutes", seconds=60)
async def roll_minutes(job: JobContext) -> None:
    """Merge what arrived into one-minute roll-ups."""
    await rollups.roll(now=job.now)


async def _show(changed: Iterable[asyncpg.Record], job: JobContext) -> None:
    rows = list(changed)
    if rows:
        await show(rows, live=job.services.get(Live))
