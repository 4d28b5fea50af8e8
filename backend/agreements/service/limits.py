"""The signing limit of a station: signing warns the company's people at it, and stops beyond it where they chose so.

An agreement leans on the station nearest to the home, of those kept with its signature. A renewal of the same vehicle
takes no further place.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from backend.accounts import service as accounts
from backend.agreements import store_limits
from backend.agreements.rules.limits import decide_signing
from backend.core.errors import Conflict
from backend.notifications import service as notifications
from backend.stations import service as stations


class SigningLimitReached(Conflict):
    """The station nearest to the home carries as many agreements as it can without longer waits."""

    code = "signing_limit_reached"
    title_en = "No more agreements at this station"
    title_zh = "该站签约数已满"
    detail_en = "{station} carries {limit} agreements, as many as it can while everybody waits at most five minutes."
    detail_zh = "{station}已签约{limit}份，达到排队不超过五分钟的承载上限，暂不能再签约。"


async def check_signing_limit(
    *,
    near: Sequence[Mapping[str, Any]],
    operator_company_id: UUID,
    agreement_id: UUID,
    plate_hash: bytes,
    now: datetime,
) -> None:
    """Look at the limit of the nearest station inside the signing's transaction; raises SigningLimitReached."""
    if not near:
        return
    station = await stations.get_station(station_id=UUID(near[0]["id"]))
    limit = station.settings.signing_limit
    if limit is None:
        return
    await store_limits.lock_signing(station.id)
    signed = await store_limits.count_signed(
        station_id=station.id, operator_company_id=operator_company_id, besides=plate_hash, at=now
    )
    decision = decide_signing(signed=signed, limit=limit, refuses=station.settings.signing_limit_refuses)
    if decision == "refused":
        raise SigningLimitReached(station=station.name, limit=limit)
    if decision == "free":
        return
    people = await accounts.list_staff(
        operator_company_id=operator_company_id, roles=("operator", "lead"), station_id=station.id
    )
    for account_id in sorted({person.account_id for person in people}):
        await notifications.notify(
            recipient=account_id,
            event_key=f"agreement:{agreement_id}:signing-limit",
            template="signing_limit_reached",
            params={"station": station.name},
            safety=False,
            now=now,
        )
