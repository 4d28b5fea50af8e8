"""The open inboxes: a message is shown on every live connection of its recipient."""

from uuid import UUID

from backend.core.live import Live
from backend.notifications import store


def channel_of(account_id: UUID) -> str:
    """Return the live channel of a person's inbox."""
    return f"inbox:{account_id}"


async def announce(*, message_id: UUID, live: Live) -> None:
    """Tell the recipient's open inboxes that a message has come; each reads and renders it in its own language."""
    row = await store.find_message(message_id=message_id)
    if row is not None:
        await live.publish(channel_of(row.recipient_id), {"message_id": str(message_id)})
