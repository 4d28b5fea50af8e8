"""Jobs of notifications: show, deliver, move on to the next channel."""

from datetime import timedelta

from backend.core.jobs import JobContext, Jobs
from backend.notifications import store
from backend.notifications.service import Announce, Deliver, MoveOn, deliveries

JOBS = Jobs("notifications")

KEEP = timedelta(days=365)
"""Deliveries prove that somebody was told; the inbox keeps its messages until the person goes."""


@JOBS.timer("announce", Announce, first="if told")
async def announce(payload: Announce, job: JobContext) -> None:
    """Show a new message on the person's open inboxes."""
    await deliveries.announce(message_id=payload.message_id, services=job.services)


@JOBS.timer("deliver", Deliver, first="if told")
async def deliver(payload: Deliver, job: JobContext) -> None:
    """Hand a delivery to its provider."""
    await deliveries.deliver(delivery_id=payload.delivery_id, services=job.services)


@JOBS.timer("move_on", MoveOn, first="if told")
async def move_on(payload: MoveOn, job: JobContext) -> None:
    """Start the next channel when none has accepted the message."""
    await deliveries.move_on(event_key=payload.event_key, recipient=payload.recipient_id, services=job.services)


@JOBS.every("sweep", seconds=60)
async def sweep(job: JobContext) -> None:
    """Find deliveries that have lost their job."""
    await deliveries.sweep(now=job.now)


@JOBS.every("trim", seconds=24 * 3600)
async def trim(job: JobContext) -> None:
    """Drop deliveries settled a year ago."""
    await store.trim(before=job.now - KEEP)
