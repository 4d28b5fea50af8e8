"""HTTP paths of this feature."""

from litestar.types import ControllerRouterHandler

from backend.telemetry.controllers_devices import ROUTES as DEVICE_ROUTES

ROUTES: list[ControllerRouterHandler] = [*DEVICE_ROUTES]
