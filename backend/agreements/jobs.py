"""Jobs of agreements: make the document, lapse what nobody signs, remove files, sweep what was kept long enough."""

from backend.agreements import service as agreements
from backend.agreements.events import AgreementSigned
from backend.agreements.gateways.evidence import EvidenceStore
from backend.agreements.service import DeleteFiles, behalf, sign
from backend.agreements.service.sign import Lapse
from backend.core.jobs import JobContext, Jobs
from backend.core.services import Services
from backend.core.settings import Settings

JOBS = Jobs("agreements")


def _evidence(services: Services) -> EvidenceStore:
    return services.get(EvidenceStore)  # type: ignore[type-abstract]


@JOBS.on(AgreementSigned)
async def make_document(event: AgreementSigned, job: JobContext) -> None:
    """Make the PDF right after the signature; a repeat finds it made."""
    await sign.make_document(
        agreement_id=event.agreement_id,
        evidence=_evidence(job.services),
        public_url=job.services.get(Settings).public_url,
        now=job.now,
    )


@JOBS.timer("lapse", Lapse)
async def lapse(payload: Lapse, job: JobContext) -> None:
    """End an approved application that nobody signed."""
    await sign.lapse(agreement_id=payload.agreement_id, now=job.now)


@JOBS.timer("delete_files", DeleteFiles)
async def delete_files(payload: DeleteFiles, job: JobContext) -> None:
    """Remove files whose rows are gone; a repeat finds nothing."""
    for key in payload.keys:
        await _evidence(job.services).delete(key)


@JOBS.every("sweep", seconds=24 * 3600)
async def sweep(job: JobContext) -> None:
    """Delete what was kept long enough."""
    while await agreements.sweep(now=job.now):
        pass


@JOBS.every("remind_expiring", seconds=6 * 3600)
async def remind_expiring(job: JobContext) -> None:
    """Tell residents 30 and 7 days before their term ends."""
    await behalf.remind_expiring(now=job.now)
