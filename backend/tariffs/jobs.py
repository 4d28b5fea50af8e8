"""Once an hour versions whose time is over are retired."""

from backend.core.jobs import JobContext, Jobs
from backend.tariffs.service import lifecycle

JOBS = Jobs("tariffs")


@JOBS.every("retire_over", seconds=3600)
async def retire_over(job: JobContext) -> None:
    """Retire what is over."""
    await lifecycle.retire_over(now=job.now)
