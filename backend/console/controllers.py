"""The console is no part of the API: `backend.app` mounts it at /admin, and only where LINLI_ADMIN says so."""

from litestar.types import ControllerRouterHandler

ROUTES: list[ControllerRouterHandler] = []
