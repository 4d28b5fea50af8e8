"""The control port as an ASGI application, and the server that carries it in the fleet's own loop."""

from __future__ import annotations

import asyncio
import contextlib

from granian.constants import Interfaces
from granian.server.embed import Server
from litestar import Litestar
from litestar.di import Provide
from litestar.exceptions import HTTPException

from sandbox.control.desk import Desk
from sandbox.control.index import show_health, show_index
from sandbox.control.problems import render_fault, render_http, render_refusal
from sandbox.control.sent import SentController
from sandbox.control.street import CarController, StreetController
from sandbox.fleet.errors import SandboxError

BODY_LIMIT = 64 * 1024


def create_app(*, desk: Desk) -> Litestar:
    """The application over one desk."""

    def the_desk() -> Desk:
        return desk

    return Litestar(
        route_handlers=[show_index, show_health, SentController, StreetController, CarController],
        dependencies={"desk": Provide(the_desk, sync_to_thread=False)},
        exception_handlers={
            SandboxError: render_refusal,
            HTTPException: render_http,
            Exception: render_fault,
        },
        openapi_config=None,
        request_max_body_size=BODY_LIMIT,
        debug=False,
    )


class ControlPort:
    """The one HTTP port. Granian embedded: its sockets live in a Rust thread, the handlers in this loop."""

    def __init__(self, *, desk: Desk, host: str, port: int) -> None:
        self.url = f"http://{host}:{port}"
        self._server = Server(
            create_app(desk=desk), address=host, port=port, interface=Interfaces.ASGI, log_enabled=False
        )
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Listen, and return at once."""
        self._task = asyncio.get_running_loop().create_task(self._server.serve())

    async def stop(self) -> None:
        """Stop listening."""
        if self._task is None:
            return
        self._server.stop()  # type: ignore[no-untyped-call]
        with contextlib.suppress(asyncio.CancelledError, TimeoutError):
            await asyncio.wait_for(self._task, 3.0)
        self._task = None
