"""Ringing people about an incident, and the time line's word of each of them."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

from backend.alerts import store_incidents
from backend.notifications import service as notifications


async def page(
    *,
    people: Sequence[UUID],
    incident_id: UUID | None,
    event_key: str,
    template: str,
    params: Mapping[str, str | int],
    now: datetime,
    detail: Mapping[str, str | int] | None = None,
) -> None:
    """Ring all of them, once for `event_key`, with an entry in the incident's time line for each.

    Belongs inside the caller's transaction. An alert without an incident has no time line.
    """
    await notifications.page(recipients=people, event_key=event_key, template=template, params=params, now=now)
    if incident_id is not None:
        details = [{**(detail or {}), "account_id": str(account_id)} for account_id in people]
        await store_incidents.add_steps(incident_id, at=now, kind="message", what=template, details=details)
