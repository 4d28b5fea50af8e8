"""Timers and reactions to events of this feature: none."""

from backend.core.jobs import Jobs

JOBS = Jobs("reports")
