"""The photo store of inspections, put where the composition root looks for it."""

from pathlib import Path

from backend.core.services import Services
from backend.core.settings import Settings
from backend.maintenance.gateways.photos import LocalPhotos, PhotoStore


def put_gateways(services: Services, settings: Settings) -> None:
    """Make the photo store from the settings."""
    services.put(PhotoStore, LocalPhotos(Path(settings.evidence_dir) / "maintenance"))  # type: ignore[type-abstract]
