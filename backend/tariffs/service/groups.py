"""Groups of stations that share their prices; a station is in one at most."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import msgspec

from backend.core import audit, db
from backend.core.errors import Conflict, NotFound
from backend.core.ids import new_id
from backend.stations import service as stations
from backend.tariffs import service as tariffs
from backend.tariffs import store_prices


class StationGroupView(msgspec.Struct, frozen=True, kw_only=True):
    """A group and its stations."""

    id: UUID
    operator_company_id: UUID
    name: str
    station_ids: tuple[UUID, ...]


class GroupNameTaken(Conflict):
    """The company has a group of this name."""

    code = "station_group_name_taken"
    title_en = "There is a group with this name"
    title_zh = "站点组名称已存在"
    detail_en = "Names of groups are unique in a company; choose another."
    detail_zh = "站点组名称在公司内唯一，请更换。"


class StationElsewhere(Conflict):
    """A station is in another group, and would have two prices."""

    code = "station_in_other_group"
    title_en = "A station is in another group"
    title_zh = "站点已属于其他站点组"
    detail_en = "Take {stations} out of the other group first."
    detail_zh = "请先将 {stations} 移出原站点组。"


class GroupLeavesNoPrice(Conflict):
    """A station would be left without a price."""

    code = "station_group_no_price"
    title_en = "A station would be left without a price"
    title_zh = "站点将没有价格"
    detail_en = "Publish a version for {stations} or for the company and its supply class first."
    detail_zh = "请先为 {stations} 或公司相应供电类别发布价格。"


async def list_groups(*, company_ids: frozenset[UUID]) -> list[StationGroupView]:
    """Return the companies' groups by name."""
    return [StationGroupView(**row) for row in await store_prices.list_groups(sorted(company_ids))]


async def save_group(
    *,
    operator_company_id: UUID,
    name: str,
    station_ids: Sequence[UUID],
    actor_id: UUID,
    now: datetime,
    group_id: UUID | None = None,
) -> StationGroupView:
    """Make a group, or write one anew; what its stations cost changes with the next session.

    Raises NotFound (a group or station of another company), GroupNameTaken, StationElsewhere, GroupLeavesNoPrice.
    """
    places = {p.id: p for p in await stations.list_stations(operator_company_id=operator_company_id)}
    if not set(station_ids) <= places.keys():
        raise NotFound(kind="station")
    async with db.transaction():
        present: tuple[UUID, ...] = ()
        if group_id is not None:
            found = await list_groups(company_ids=frozenset({operator_company_id}))
            group = next((each for each in found if each.id == group_id), None)
            if group is None:
                raise NotFound(kind="station_group")
            present = group.station_ids
        priced = await tariffs.current_prices(station_ids=present, at=now)
        saved = group_id or new_id()
        if not await store_prices.put_group(saved, operator_company_id, name, actor_id, now):
            raise GroupNameTaken(field="name")
        elsewhere = await store_prices.set_members(saved, list(dict.fromkeys(station_ids)))
        if elsewhere:
            raise StationElsewhere(field="station_ids", stations=", ".join(places[i].name for i in elsewhere))
        after = await tariffs.current_prices(station_ids=present, at=now)
        bare = [places[i].name for i in priced if i not in after]
        if bare:
            raise GroupLeavesNoPrice(field="station_ids", stations=", ".join(bare))
        await audit.record(
            actor_id=actor_id,
            actor_role="operator",
            action="station_group.saved",
            object_kind="station_group",
            object_id=saved,
            detail={"name": name, "stations": len(set(station_ids))},
            now=now,
            operator_company_id=operator_company_id,
        )
    [made] = [g for g in await list_groups(company_ids=frozenset({operator_company_id})) if g.id == saved]
    return made
