"""Jobs of the console: forget sessions that are over."""

from backend.console.service import people
from backend.core.jobs import JobContext, Jobs

JOBS = Jobs("console")


@JOBS.every("sweep", seconds=6 * 3600)
async def sweep(job: JobContext) -> None:
    """Forget sessions that are over, and what only stops double clicks."""
    await people.sweep(now=job.now)
