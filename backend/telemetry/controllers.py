"""HTTP paths of this feature."""

from litestar.types import ControllerRouterHandler

from backend.telemetry.controllers_devices import ROUTES as DEVICE_ROUTES
from backend.telemetry.controllers_letters import ROUTES as LETTER_ROUTES

ROUTES: list[ControllerRouterHandler] = [*DEVICE_ROUTES, *LETTER_ROUTES]
