"""The short way of the most asked call: a plain search by somebody who is not logged in.

Litestar's routing, parameter models and answer objects cost as much as the search itself. A call that is nothing but
a well-formed search over a live board is answered here, with the very bytes the controller would send; every other
call, and every call with anything to refuse, goes on to Litestar. Decision 141.
"""

import re
from typing import Any, Literal, cast

import msgspec
from litestar.types import ASGIApp, Receive, Send

from backend.core.clock import Clock
from backend.core.http import etag_answer
from backend.core.services import Services
from backend.core.units import Point, read_position
from backend.discovery.service.board import Board
from backend.discovery.service.nearby import encode_found, find_nearby

PATH = "/v1/stations"
WIDEST_M = 5000
PAGE = 50
_DEGREES = re.compile(rb"-?\d{1,3}(?:\.\d{1,17})?")
_RADIUS = re.compile(rb"[1-9]\d{0,3}")


class PlainQuery(msgspec.Struct, frozen=True):
    """A well-formed search without a page."""

    centre: Point
    radius_m: int
    zone: Literal["resident", "public"] | None
    power: Literal["fast", "slow"] | None


def read_plain(query: bytes) -> PlainQuery | None:
    """Return the search a query string asks for, or None for whatever is not as plain as that."""
    given: dict[bytes, bytes] = {}
    for pair in query.split(b"&"):
        name, _, value = pair.partition(b"=")
        if name in given:
            return None
        given[name] = value
    lat, lng, coord = given.pop(b"lat", b""), given.pop(b"lng", b""), given.pop(b"coord", b"")
    radius = given.pop(b"radius_m", b"500")
    zone, power = given.pop(b"zone", None), given.pop(b"power", None)
    if (
        given
        or coord not in (b"gcj02", b"wgs84")
        or zone not in (None, b"resident", b"public")
        or power not in (None, b"fast", b"slow")
        or not _DEGREES.fullmatch(lat)
        or not _DEGREES.fullmatch(lng)
        or not _RADIUS.fullmatch(radius)
        or int(radius) > WIDEST_M
        or abs(float(lat)) > 90
        or abs(float(lng)) > 180
    ):
        return None
    return PlainQuery(
        read_position(lat=float(lat), lng=float(lng), coord=coord.decode()),
        int(radius),
        cast(Any, zone and zone.decode()),
        cast(Any, power and power.decode()),
    )


class PlainSearch:
    """Answers plain searches, and hands everything else on."""

    def __init__(self, app: ASGIApp, *, services: Services) -> None:
        self._app = app
        self._services = services

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        """Serve one request, WebSocket or lifespan."""
        if scope["type"] == "http" and scope["path"] == PATH and scope["method"] == "GET":
            answer = self._answer(scope)
            if answer is not None:
                await answer(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _answer(self, scope: Any) -> Any:
        headers = scope["headers"]
        view = self._services.get(Board).live_view()
        if view is None or any(name == b"authorization" for name, _ in headers):
            return None
        asked = read_plain(scope["query_string"])
        if asked is None:
            return None
        now = self._services.get(Clock).now()  # type: ignore[type-abstract]
        found = find_nearby(
            view, centre=asked.centre, radius_m=asked.radius_m, zone=asked.zone, speed=asked.power, free=False, now=now
        )
        if len(found.hits) > PAGE:
            return None
        body = encode_found(found, start=0, limit=PAGE, next_cursor=None, measured_from="point", companies=frozenset())
        scope["path_template"] = PATH  # what Litestar would say: metrics are counted by it
        return etag_answer(headers, body).to_asgi_response()
