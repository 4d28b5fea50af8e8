"""From month to month: a copy of the last version as a draft, drafts thrown away, versions taken back or retired."""

from datetime import datetime
from uuid import UUID

from backend.core import db
from backend.core.errors import Conflict
from backend.stations import service as stations
from backend.tariffs import service as tariffs
from backend.tariffs import store
from backend.tariffs.rules.bands import BEIJING
from backend.tariffs.rules.versions import TariffVersionView


class TariffInForce(Conflict):
    """Retiring the version would leave stations without a price."""

    code = "tariff_in_force"
    title_en = "The version is in force and nothing would take its place"
    title_zh = "该版本正在生效且无替代价格"
    detail_en = (
        "Publish its successor: the version then ends by itself. Without a price nothing can be sold at {stations}."
    )
    detail_zh = "请先发布后续版本，本版本将自动结束。否则 {stations} 将没有价格，无法充电。"


def next_month(at: datetime) -> datetime:
    """Return the beginning of the Beijing month after `at`."""
    start = at.astimezone(BEIJING).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    return start.replace(year=start.year + start.month // 12, month=start.month % 12 + 1)


async def copy_version(
    *,
    version_id: UUID,
    company_ids: frozenset[UUID],
    effective_from: datetime | None,
    effective_to: datetime | None,
    name: str | None,
    actor_id: UUID,
    now: datetime,
) -> TariffVersionView:
    """Draft a version with the schedule, prices and parking of another one, for the month after now unless told.

    A version that is to be published ahead closes the open end before it. Raises NotFound, TariffInvalid.
    """
    source = await tariffs.get_version(version_id=version_id, company_ids=company_ids)
    start = effective_from or next_month(max(now, source.effective_from))
    return await tariffs.draft_version(
        operator_company_id=source.operator_company_id,
        station_id=source.station_id,
        station_group_id=source.station_group_id,
        supply_class=source.supply_class,
        name=source.name if name is None else name,
        effective_from=start,
        effective_to=effective_to,
        spans=source.spans,
        prices=source.prices,
        parking=source.parking,
        actor_id=actor_id,
        now=now,
    )


async def discard_draft(*, version_id: UUID, company_ids: frozenset[UUID], actor_id: UUID, now: datetime) -> None:
    """Throw a draft away; raises NotFound, TariffNotDraft."""
    async with db.transaction():
        version = await tariffs.lock_version(version_id, company_ids, "draft")
        await store.delete_draft(version_id)
        await tariffs.record("tariff.draft_deleted", version_id, version.operator_company_id, actor_id, now)


async def retire_version(
    *, version_id: UUID, company_ids: frozenset[UUID], actor_id: UUID, now: datetime
) -> TariffVersionView:
    """Retire a version that has not begun, or one that others take the place of; raises NotFound, TariffNotDraft.

    One that has not begun never held: the version before it goes on to the end it had. One in force may end now only
    where every station it prices has another version beneath (a station's own over its group's or company's); raises
    TariffInForce otherwise. One that is over is retired as it is.
    """
    async with db.transaction():
        version = await tariffs.lock_version(version_id, company_ids, "approved", "published")
        await store.list_published(version.scope_id, version.supply_class)  # alone with the scope's publications
        if version.status == "approved" or version.effective_from > now:
            ends = version.effective_from
        elif version.effective_to is not None and version.effective_to <= now:
            ends = version.effective_to
        else:
            ends = now
        await store.retire(version_id, effective_to=ends, retired_by=actor_id, now=now)
        if version.status == "published" and version.effective_from > now:
            await store.reopen_before(version)
        elif ends == now:
            await _check_priced(version, now)
        await tariffs.record(
            "tariff.retired",
            version_id,
            version.operator_company_id,
            actor_id,
            now,
            {"was": version.status, "effective_to": ends.isoformat()},
        )
    return await tariffs.get_version(version_id=version_id, company_ids=company_ids)


async def _check_priced(version: TariffVersionView, now: datetime) -> None:
    """Look at the stations as they would be without the version; raises TariffInForce, which rolls it back."""
    places = await stations.list_stations(operator_company_id=version.operator_company_id)
    if version.station_id is not None:
        places = [place for place in places if place.id == version.station_id]
    elif version.station_group_id is not None:
        groups = await store.groups_of([place.id for place in places])
        places = [place for place in places if groups.get(place.id) == version.station_group_id]
    if version.station_id is None:
        places = [place for place in places if place.supply_class == version.supply_class]
    priced = await tariffs.current_prices(station_ids=[place.id for place in places], at=now)
    bare = [place.name for place in places if place.id not in priced]
    if bare:
        raise TariffInForce(stations=", ".join(bare[:5]) + (" …" if len(bare) > 5 else ""))


async def retire_over(*, now: datetime) -> int:
    """Retire every version whose period is over; returns how many."""
    retired = 0
    async with db.transaction():
        for row in await store.list_over(now):
            await store.retire(row["id"], effective_to=row["effective_to"], retired_by=None, now=now)
            await tariffs.record("tariff.retired", row["id"], row["operator_company_id"], None, now)
            retired += 1
    return retired
