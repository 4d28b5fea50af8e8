"""How a report becomes a document."""

from backend.core.services import Services
from backend.core.settings import Settings


def put_gateways(services: Services, settings: Settings) -> None:
    """Nothing to wire: Typst runs in the process and needs no client."""
