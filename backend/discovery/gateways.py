"""What this feature puts into a process: the board of stations."""

from backend.core.clock import Clock
from backend.core.services import Services
from backend.core.settings import Settings
from backend.discovery.service.board import Board


def put_gateways(services: Services, settings: Settings) -> None:
    """Offer the board; it connects at the first search."""
    services.put(Board, Board(settings.database_url, services.get(Clock)))  # type: ignore[type-abstract]


async def close_gateways(services: Services) -> None:
    """Give the board's connection back."""
    await services.get(Board).close()
