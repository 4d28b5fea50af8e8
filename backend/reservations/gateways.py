"""What this feature puts into a process: the kept answers of `/slots`."""

from backend.core.services import Services
from backend.core.settings import Settings
from backend.reservations.service.kept_slots import KeptSlots


def put_gateways(services: Services, settings: Settings) -> None:
    """Offer the kept answers; there are none yet."""
    services.put(KeptSlots, KeptSlots())
