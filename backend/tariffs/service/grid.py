"""Monthly grid prices (电网代购电价) by class of supply, and the drafts of all versions that take them over.

What the grid company publishes is entered once for a month; energy prices are its, service prices stay as they are.
Prices are stored as published, never derived from one another (domain.md, Money).
"""

from collections.abc import Mapping
from datetime import date, datetime, time
from uuid import UUID

import msgspec
from asyncpg import Record

from backend.core import audit, db
from backend.core.errors import Conflict, NotFound
from backend.tariffs import service as tariffs
from backend.tariffs import store, store_prices
from backend.tariffs.rules.bands import BEIJING
from backend.tariffs.rules.versions import Price, TariffVersionView


class GridPriceView(msgspec.Struct, frozen=True, kw_only=True):
    """The energy prices of a month and a class of supply, 1/10000 yuan per kWh by band."""

    id: UUID
    operator_company_id: UUID
    supply_class: str
    month: date
    bands: dict[str, int]
    source: str
    entered_by: UUID
    entered_at: datetime


class GridDrafts(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a month's grid prices: drafts made, and scopes that have a version for the month already."""

    drafted: list[TariffVersionView]
    already: list[UUID]


class GridBandMissing(Conflict):
    """A version has a band that the month's grid prices do not have."""

    code = "grid_band_missing"
    title_en = "The grid prices lack a band"
    title_zh = "代购电价缺少时段"
    detail_en = "Version {version} has the band {band}, for which {month} has no grid price. Nothing was drafted."
    detail_zh = "价格版本 {version} 含 {band} 时段，{month} 代购电价未填写该时段，未生成任何草稿。"


class NothingToFollow(Conflict):
    """No version of this class of supply is in force at the month's beginning."""

    code = "grid_nothing_to_follow"
    title_en = "No version of this supply class is in force"
    title_zh = "该供电类别没有生效的价格版本"
    detail_en = "Draft the first version by hand; the following months are drafted from it."
    detail_zh = "首个版本须手工起草，之后各月可据此生成。"


def month_start(month: date) -> datetime:
    """Return when a Beijing month begins."""
    return datetime.combine(month.replace(day=1), time(), BEIJING)


async def list_grid_prices(*, company_ids: frozenset[UUID]) -> list[GridPriceView]:
    """Return the companies' grid prices, latest month first."""
    return [_view(row) for row in await store_prices.list_grid_prices(sorted(company_ids))]


async def put_grid_price(
    *,
    operator_company_id: UUID,
    supply_class: str,
    month: date,
    bands: Mapping[str, int],
    source: str,
    actor_id: UUID,
    now: datetime,
) -> GridPriceView:
    """Write what the grid company published for a month, or write it anew; versions that exist do not change."""
    async with db.transaction():
        row = await store_prices.put_grid_price(
            operator_company_id, supply_class, month.replace(day=1), dict(bands), source, actor_id, now
        )
        await audit.record(
            actor_id=actor_id,
            actor_role="operator",
            action="grid_price.entered",
            object_kind="grid_price",
            object_id=row["id"],
            detail={"month": f"{month:%Y-%m}", "supply_class": supply_class, "bands": dict(bands)},
            now=now,
            operator_company_id=operator_company_id,
        )
    return _view(row)


async def draft_month(
    *, company_ids: frozenset[UUID], supply_class: str, month: date, actor_id: UUID, now: datetime
) -> GridDrafts:
    """Draft the month's version of every station, group and company of this class of supply from the one before.

    All or none: schedule, service prices and parking are those of the version that holds when the month begins, the
    energy prices are the month's. A scope that has a version from the month's beginning is left alone, so that the
    call may be repeated. Raises NotFound, NothingToFollow, GridBandMissing, TariffInvalid.
    """
    rows = [
        row
        for row in await store_prices.list_grid_prices(sorted(company_ids))
        if (row["supply_class"], row["month"]) == (supply_class, month.replace(day=1))
    ]
    if not rows:
        raise NotFound(kind="grid_price")
    price, start = _view(rows[0]), month_start(month)
    drafted: list[TariffVersionView] = []
    already: list[UUID] = []
    async with db.transaction():
        await store_prices.lock_drafting(price.operator_company_id)
        versions = await store.list_versions([price.operator_company_id], None)
        mine = [v for v in versions if v.supply_class == supply_class]
        taken = {v.scope_id for v in mine if v.effective_from == start and v.status != "retired"}
        before = [v for v in mine if v.status == "published" and v.effective_from < start and _holds(v, start)]
        if not before and not taken:
            raise NothingToFollow(supply_class=supply_class)
        already.extend(sorted(taken))
        for version in [v for v in before if v.scope_id not in taken]:
            drafted.append(await _draft(version, price, start, actor_id, now))  # noqa: PERF401  one after the other
    return GridDrafts(drafted=drafted, already=already)


def _holds(version: TariffVersionView, start: datetime) -> bool:
    return version.effective_to is None or version.effective_to >= start


async def _draft(
    version: TariffVersionView, price: GridPriceView, start: datetime, actor_id: UUID, now: datetime
) -> TariffVersionView:
    month = f"{price.month:%Y-%m}"
    for each in version.prices:
        if each.band not in price.bands:
            raise GridBandMissing(version=version.name or str(version.id), band=each.band, month=month)
    return await tariffs.draft_version(
        operator_company_id=version.operator_company_id,
        station_id=version.station_id,
        station_group_id=version.station_group_id,
        supply_class=version.supply_class,
        name=f"{month} 代购电价",
        effective_from=start,
        effective_to=None,
        spans=version.spans,
        prices=[
            Price(
                user_class=each.user_class,
                band=each.band,
                energy_e4=price.bands[each.band],
                service_e4=each.service_e4,
            )
            for each in version.prices
        ],
        parking=version.parking,
        actor_id=actor_id,
        now=now,
    )


def _view(row: Record) -> GridPriceView:
    values = {name: row[name] for name in GridPriceView.__struct_fields__}
    values["bands"] = msgspec.json.decode(values["bands"], type=dict[str, int])
    return GridPriceView(**values)
