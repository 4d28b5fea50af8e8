"""HTTP and live paths of this feature."""

from litestar.types import ControllerRouterHandler

ROUTES: list[ControllerRouterHandler] = []
