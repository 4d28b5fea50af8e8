"""The evidence store that agreements uses, put where the composition root looks for it."""

from pathlib import Path

from backend.agreements.gateways.evidence import EvidenceStore, LocalEvidence
from backend.agreements.gateways.s3 import S3Evidence
from backend.core.clock import Clock
from backend.core.services import Services
from backend.core.settings import Settings


def put_gateways(services: Services, settings: Settings) -> None:
    """Make the evidence store from the settings: an S3-compatible bucket where one is set, else the local folder."""
    services.put(EvidenceStore, make_store(settings, services.get(Clock)))  # type: ignore[type-abstract]


def make_store(settings: Settings, clock: Clock) -> EvidenceStore:
    """Return the evidence store of the settings."""
    if not settings.evidence_s3_url:
        return LocalEvidence(Path(settings.evidence_dir))
    return S3Evidence(
        url=settings.evidence_s3_url,
        region=settings.evidence_s3_region,
        key_id=settings.evidence_s3_key_id,
        secret=settings.evidence_s3_secret,
        clock=clock,
    )
