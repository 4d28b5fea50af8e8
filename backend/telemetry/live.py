"""Showing connector states to whoever watches, after the commit."""

from collections.abc import Iterable

import asyncpg

from backend.core.live import Live
from backend.telemetry.service import as_connector_state


async def show(rows: Iterable[asyncpg.Record], *, live: Live) -> None:
    """Publish `ConnectorState` of changed rows: on `connector:{id}` always, on `station:{id}` when the status changed.

    Of several rows of one connector only the last is shown.
    """
    for row in {row["connector_id"]: row for row in rows}.values():
        state = as_connector_state(row)
        await live.publish(f"connector:{state.connector_id}", state)
        if row["status"] != row["previous"]:
            await live.publish(f"station:{state.station_id}", state)
