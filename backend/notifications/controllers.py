"""The inbox: list, read, live (WebSocket for the mini-program, SSE for browsers)."""

import asyncio
from collections.abc import AsyncGenerator
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

import msgspec
from litestar import Controller, Request, Response, WebSocket, get, post, websocket
from litestar.handlers import send_websocket_stream
from litestar.params import Parameter
from litestar.response import ServerSentEvent
from litestar.response.sse import ServerSentEventMessage
from litestar.status_codes import HTTP_200_OK
from litestar.types import ControllerRouterHandler

from backend.core.auth import Principal, TicketInvalid
from backend.core.errors import Unauthenticated
from backend.core.http import etag_response
from backend.core.live import Live
from backend.core.paging import CursorInvalid, Page, decode_cursor, encode_cursor
from backend.core.problem_docs import answers
from backend.core.problems import choose_locale
from backend.core.services import Services
from backend.notifications import service
from backend.notifications.controllers_preferences import PreferencesController
from backend.notifications.gateways.live import channel_of
from backend.notifications.schemas import LiveMessage, MessageOut, message_out

SNAPSHOT_LIMIT = 50
QUIET_S = 20.0
"""A ping after this long without a message, so that proxies and phones keep the connection."""


class InboxController(Controller):
    """What a person was told."""

    path = "/v1/inbox"
    tags = ["inbox"]  # noqa: RUF012  Litestar reads it from the class

    @get(
        operation_id="listInbox",
        summary="Messages of the caller, newest first",
        description="Warnings and news; poll it with If-None-Match, or open /v1/inbox/live.",
        responses=answers(Unauthenticated, CursorInvalid),
    )
    async def list_inbox(
        self,
        request: Request[Any, Any, Any],
        principal: Principal,
        locale: str,
        unread: Annotated[bool, Parameter(description="Only messages that were not read yet")] = False,
        cursor: Annotated[str | None, Parameter(description="`next` of the page before")] = None,
        limit: Annotated[int, Parameter(ge=1, le=100, description="Messages a page")] = 50,
    ) -> Response[Page[MessageOut]]:
        """Return one page."""
        before: UUID | None = decode_cursor(cursor, UUID)[0] if cursor is not None else None
        items = await service.list_inbox(
            account_id=principal.account_id, locale=locale, before=before, limit=limit + 1, unread_only=unread
        )
        more = len(items) > limit
        shown = [message_out(item) for item in items[:limit]]
        return etag_response(request, Page(items=shown, next=encode_cursor(shown[-1].id) if more else None))

    @post(
        "/{message_id:uuid}/read",
        operation_id="readInboxMessage",
        summary="Mark a message as read",
        description="The first time counts; repeats answer the same. Another person's message is a 404.",
        status_code=HTTP_200_OK,
        responses=answers(Unauthenticated, service.MessageNotFound),
    )
    async def read(self, message_id: UUID, principal: Principal, locale: str, now: datetime) -> MessageOut:
        """Return the message with read_at set."""
        return message_out(
            await service.mark_read(account_id=principal.account_id, message_id=message_id, locale=locale, now=now)
        )

    @get(
        "/live",
        operation_id="streamInbox",
        summary="The inbox as it grows (SSE)",
        description="Server-sent events named snapshot, message and ping. Takes ?ticket= from POST /v1/auth/tickets.",
        responses=answers(TicketInvalid),
    )
    async def live_sse(self, ticket_principal: Principal, services: Services, locale: str) -> ServerSentEvent:
        """Stream the inbox to a browser."""
        stream = watch_inbox(account_id=ticket_principal.account_id, live=services.get(Live), locale=locale)

        async def events() -> AsyncGenerator[ServerSentEventMessage, None]:
            async for message in stream:
                yield ServerSentEventMessage(
                    event=message.type, data=msgspec.json.encode(message).decode(), id=None, retry=3000
                )

        return ServerSentEvent(events())


@websocket("/v1/inbox/live")
async def live_websocket(socket: WebSocket[Any, Any, Any], ticket_principal: Principal, services: Services) -> None:
    """Stream the inbox over WebSocket, as the mini-program has no EventSource."""
    locale = choose_locale(socket.headers.get("accept-language"))
    stream = watch_inbox(account_id=ticket_principal.account_id, live=services.get(Live), locale=locale)

    async def texts() -> AsyncGenerator[str, None]:
        async for message in stream:
            yield msgspec.json.encode(message).decode()

    await socket.accept()
    await send_websocket_stream(socket, texts(), listen_for_disconnect=True, warn_on_data_discard=False)


async def watch_inbox(*, account_id: UUID, live: Live, locale: str) -> AsyncGenerator[LiveMessage, None]:
    """Yield the unread messages, then each new one; subscribed before the snapshot is read, so that none is missed."""
    subscription = await live.subscribed(channel_of(account_id))
    try:
        unread = await service.list_inbox(account_id=account_id, locale=locale, limit=SNAPSHOT_LIMIT, unread_only=True)
        yield LiveMessage(type="snapshot", items=[message_out(item) for item in unread])
        shown = {item.id for item in unread}
        while True:
            try:
                async with asyncio.timeout(QUIET_S):
                    _, data = await anext(subscription)
            except TimeoutError:
                yield LiveMessage(type="ping", items=[])
                continue
            message_id = UUID(msgspec.json.decode(data)["message_id"])
            if message_id in shown:
                shown.discard(message_id)  # announced after the snapshot was read, in which it was
                continue
            item = await service.find_item(message_id=message_id, account_id=account_id, locale=locale)
            if item is not None:
                yield LiveMessage(type="message", items=[message_out(item)])
    finally:
        subscription.close()


ROUTES: list[ControllerRouterHandler] = [InboxController, PreferencesController, live_websocket]
