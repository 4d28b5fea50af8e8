"""The console is no part of the API: `backend.app` mounts it at /admin, and only where LINLI_ADMIN says so."""

from litestar import asgi
from litestar.enums import ScopeType
from litestar.handlers import ASGIRouteHandler
from litestar.types import ControllerRouterHandler, Receive, Scope, Send

from backend.console.controllers_door import make_door
from backend.core.services import Services

ROUTES: list[ControllerRouterHandler] = []


def mount_console(services: Services) -> ASGIRouteHandler:
    """Return the console mounted at /admin; its own login, its own cookies."""
    door = make_door(services)

    @asgi("/admin", is_mount=True, copy_scope=True)
    async def console(scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request to the console, which has no live paths."""
        if scope["type"] == ScopeType.HTTP:
            await door(scope, receive, send)

    return console
