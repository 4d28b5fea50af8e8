"""Whether devices reach us now: the broker answers, a bridge carries, ingest works. For /readyz.

None of the three keeps the API from serving residents (bookings, bills, payments), so without one it is degraded, not
unready: taking it out of the balancer would turn an outage of the devices into one of everything.
"""

import asyncio
from datetime import datetime
from urllib.parse import urlsplit

from backend.telemetry import store_states
from backend.telemetry.silence import PROCESS_ALIVE_S

OK = "ok"
CONNECT_WITHIN_S = 2.0


async def check_broker(*, url: str) -> str:
    """Open a connection to the broker's port and close it again; `ok`, or what was wrong."""
    parts = urlsplit(url)
    port = parts.port or (8883 if parts.scheme == "mqtts" else 1883)
    try:
        async with asyncio.timeout(CONNECT_WITHIN_S):
            _, writer = await asyncio.open_connection(parts.hostname or "localhost", port)
    except (OSError, TimeoutError) as error:
        return f"unreachable: {type(error).__name__}"
    writer.close()
    return OK


async def check_lanes(*, now: datetime) -> dict[str, str]:
    """Whether a bridge carries the lanes and an ingest process writes, by what they reported; needs PostgreSQL."""
    alive = await store_states.list_alive_roles(now, PROCESS_ALIVE_S)
    missing = f"none has reported for {PROCESS_ALIVE_S} s"
    return {role: OK if role in alive else missing for role in ("bridge", "ingest")}
