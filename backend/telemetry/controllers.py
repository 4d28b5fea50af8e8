"""HTTP paths of this feature."""

from litestar.types import ControllerRouterHandler

from backend.telemetry.controllers_devices import ROUTES as DEVICE_ROUTES
from backend.telemetry.controllers_history import ROUTES as HISTORY_ROUTES
from backend.telemetry.controllers_letters import ROUTES as LETTER_ROUTES
from backend.telemetry.controllers_site import ROUTES as SITE_ROUTES

ROUTES: list[ControllerRouterHandler] = [*DEVICE_ROUTES, *HISTORY_ROUTES, *LETTER_ROUTES, *SITE_ROUTES]
