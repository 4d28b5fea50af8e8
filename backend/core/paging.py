"""Lists: `{"items": [...], "next": cursor|null}` with opaque cursors."""

import base64
import binascii
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Generic, Protocol, TypeVar
from uuid import UUID

import msgspec

from backend.core.errors import Invalid

T = TypeVar("T")


class Page(msgspec.Struct, Generic[T], frozen=True):
    """One page of a list; `next` is the cursor of the following page, null on the last."""

    items: list[T]
    next: str | None = None


class CursorInvalid(Invalid):
    """The cursor was not made by this service for this list."""

    code = "cursor_invalid"
    title_en = "The cursor is not valid"
    title_zh = "分页游标无效"
    detail_en = "Pass the value of 'next' from the previous page unchanged, or leave it out for the first page."
    detail_zh = "请原样传入上一页返回的 next，或省略以获取第一页。"


class Numbered(Protocol):
    """A row that pages are cut by."""

    @property
    def id(self) -> UUID:
        """Its id, which the next page begins below."""


N = TypeVar("N", bound=Numbered)


async def read_visible(
    read: Callable[[UUID | None], Awaitable[list[N]]],
    *,
    visible: Callable[[N], bool],
    before: UUID | None,
    limit: int,
) -> list[N]:
    """Return the first `limit` rows that are visible to the caller, newest first.

    `read` gives up to `limit` rows below an id. It is asked until the page is full: filtering one page of all rows
    would end the list of a guard of one station wherever the other stations fill a page.
    """
    found: list[N] = []
    while True:
        rows = await read(before)
        found += [row for row in rows if visible(row)]
        if len(found) >= limit or len(rows) < limit:
            return found[:limit]
        before = rows[-1].id


def encode_cursor(*values: Any) -> str:
    """Pack the sort key of a page's last row into an opaque cursor."""
    return base64.urlsafe_b64encode(msgspec.json.encode(values)).decode().rstrip("=")


def decode_cursor(cursor: str, *types: type) -> tuple[Any, ...]:
    """Unpack a cursor into values of `types`; raises CursorInvalid."""
    try:
        raw = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
        values = msgspec.json.decode(raw, type=list[Any])
        if len(values) != len(types):
            raise CursorInvalid
        return tuple(msgspec.convert(value, kind, strict=False) for value, kind in zip(values, types, strict=True))
    except (binascii.Error, ValueError, msgspec.MsgspecError) as error:
        raise CursorInvalid from error


async def read_all(
    read: Callable[..., Awaitable[list[T]]], *, key: Callable[[T], UUID], limit: int, **where: object
) -> AsyncIterator[list[T]]:
    """Yield page after page of what a store lists by id (`after`, `limit`), for whoever has to go through all of it."""
    after = UUID(int=0)
    while page := await read(**where, after=after, limit=limit):
        yield page
        after = key(page[-1])
