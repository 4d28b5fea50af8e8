"""Showing connector states to whoever watches, after the commit."""

from collections.abc import Iterable
from uuid import UUID

import asyncpg

from backend.core.live import Live
from backend.telemetry.service import as_connector_state


async def show(rows: Iterable[asyncpg.Record], *, live: Live) -> None:
    """Publish `ConnectorState` of changed rows: on `connector:{id}` always, on `station:{id}` when the status changed.

    Of several rows of one connector only the last is shown.
    """
    newest: dict[UUID, asyncpg.Record] = {}
    changed: set[UUID] = set()
    for row in rows:
        newest[row["connector_id"]] = row
        if row["status"] != row["previous"]:
            changed.add(row["connector_id"])
    for connector_id, row in newest.items():
        state = as_connector_state(row)
        await live.publish(f"connector:{connector_id}", state)
        if connector_id in changed:
            await live.publish(f"station:{state.station_id}", state)
