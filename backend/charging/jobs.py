"""Timers and reactions to events of this feature."""

from backend.core.jobs import Jobs

JOBS = Jobs("charging")
