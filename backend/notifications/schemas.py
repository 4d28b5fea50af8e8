"""Structs of the inbox API."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

import msgspec

from backend.notifications.service import InboxItem


class MessageOut(msgspec.Struct, frozen=True, kw_only=True):
    """A message in a person's inbox, in the language of the request."""

    id: UUID
    template: Annotated[
        str, msgspec.Meta(description="Stable name of the kind of message", examples=["danger_stay_away"])
    ]
    title: Annotated[str, msgspec.Meta(description="Title, at most 40 columns wide")]
    body: Annotated[str, msgspec.Meta(description="Text, at most 178 columns wide; no personal data")]
    params: Annotated[
        dict[str, str | int], msgspec.Meta(description="What the texts were filled with, for an app's own texts")
    ]
    safety: Annotated[bool, msgspec.Meta(description="A warning of danger: show it at once and loudly")]
    created_at: datetime
    read_at: Annotated[datetime | None, msgspec.Meta(description="When it was read; null while unread")]


class LiveMessage(msgspec.Struct, frozen=True, kw_only=True):
    """What a live inbox sends: first the unread messages as `snapshot`, then each new one, `ping` when it is quiet."""

    type: Literal["snapshot", "message", "ping"]
    items: list[MessageOut]


def message_out(item: InboxItem) -> MessageOut:
    """Return the API's form of a message."""
    return MessageOut(
        id=item.id,
        template=item.template,
        title=item.title,
        body=item.body,
        params=item.params,
        safety=item.safety,
        created_at=item.created_at,
        read_at=item.read_at,
    )
