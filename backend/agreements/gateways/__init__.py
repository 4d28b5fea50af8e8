"""The evidence store that agreements uses, put where the composition root looks for it."""

from pathlib import Path

from backend.agreements.gateways.evidence import EvidenceStore, LocalEvidence
from backend.core.services import Services
from backend.core.settings import Settings


def put_gateways(services: Services, settings: Settings) -> None:
    """Make the evidence store from the settings."""
    services.put(EvidenceStore, LocalEvidence(Path(settings.evidence_dir)))  # type: ignore[type-abstract]
