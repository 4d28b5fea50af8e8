"""Prometheus metrics of the HTTP edge; features count in their own modules with the same client library."""

from prometheus_client import Counter, Gauge, Histogram

HTTP_REQUESTS = Counter("linli_http_requests_total", "Requests answered", ["method", "path", "status"])
HTTP_SECONDS = Histogram(
    "linli_http_request_seconds",
    "Time to answer",
    ["method", "path"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10),
)
LIVE_CONNECTIONS = Gauge("linli_live_connections", "Open WebSocket and SSE connections", ["path"])
JOBS_RUN = Counter("linli_jobs_total", "Jobs run", ["name", "outcome"])
JOB_SECONDS = Histogram("linli_job_seconds", "Time a job ran", ["name"])
