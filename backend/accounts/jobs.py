"""Jobs of accounts: hand over one-time codes, sweep old logins."""

import structlog

from backend.accounts.service import codes, logins
from backend.accounts.service.codes import SendCode
from backend.core.gateways import SmsGateway
from backend.core.jobs import JobContext, Jobs

log = structlog.get_logger()
JOBS = Jobs("accounts")


@JOBS.timer("send_code", SendCode)
async def send_code(payload: SendCode, job: JobContext) -> None:
    """Hand the SMS of a one-time code over; a repeat finds the code forgotten and does nothing."""
    gateway = job.services.get(SmsGateway)  # type: ignore[type-abstract]
    outcome = await codes.send_code(code_id=payload.code_id, gateway=gateway, now=job.now)
    if outcome == "refused":
        log.warning("sms_code_refused", code_id=str(payload.code_id))


@JOBS.every("sweep", seconds=6 * 3600)
async def sweep(job: JobContext) -> None:
    """Forget old logins and codes."""
    await logins.sweep(now=job.now)
