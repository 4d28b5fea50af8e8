"""The open inboxes: a new message is made known to every live connection of its recipient."""

from uuid import UUID

from backend.core.live import Live


def channel_of(account_id: UUID) -> str:
    """Return the live channel of a person's inbox."""
    return f"inbox:{account_id}"


async def announce(*, recipient_id: UUID, message_id: UUID, live: Live) -> None:
    """Tell the recipient's open inboxes that a message has come; each reads and renders it in its own language."""
    await live.publish(channel_of(recipient_id), {"message_id": str(message_id)})
