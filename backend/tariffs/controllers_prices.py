"""Groups of stations and monthly grid prices."""

from datetime import date, datetime
from typing import Annotated, get_args
from uuid import UUID

import msgspec
from litestar import Controller, get, post, put
from litestar.params import Parameter
from litestar.types import ControllerRouterHandler
from msgspec import Meta

from backend.accounts.service.staff import CompanyUnclear
from backend.core.auth import Staff, StaffOnly
from backend.core.errors import Invalid, NotFound, Unauthenticated
from backend.core.paging import Page
from backend.core.problem_docs import answers
from backend.stations.service.operate import own_company
from backend.tariffs.rules.versions import TariffVersionView
from backend.tariffs.schemas import GridPriceBody, StationGroupBody, SupplyClass
from backend.tariffs.service import TARIFF_FAULTS, grid, groups
from backend.tariffs.service.grid import GridBandMissing, GridPriceView, NothingToFollow
from backend.tariffs.service.groups import GroupLeavesNoPrice, GroupNameTaken, StationElsewhere, StationGroupView

Month = Annotated[str, Parameter(description="Beijing month, YYYY-MM", pattern=r"^20\d\d-(0[1-9]|1[0-2])$")]
GROUP_PROBLEMS = (NotFound, GroupNameTaken, StationElsewhere, GroupLeavesNoPrice)


class GridPriceInvalid(Invalid):
    """The path names no month or supply class, or a band is given twice."""

    code = "grid_price_invalid"
    title_en = "The grid price is not valid"
    title_zh = "代购电价无效"
    detail_en = "{field}: right is {right}."
    detail_zh = "{field} 应为：{right}。"


class GridDraftsOut(msgspec.Struct, frozen=True, kw_only=True):
    """The drafts of a month."""

    drafted: Annotated[list[TariffVersionView], Meta(description="A draft for each scope that had no version for it")]
    already: Annotated[list[UUID], Meta(description="Stations, groups, companies that have a version from then")]


class OperatorStationGroups(Controller):
    """Groups of stations that share their prices."""

    path = "/v1/operator/station-groups"
    tags = ("operator",)

    @get(
        operation_id="listStationGroups",
        summary="List groups of stations",
        description="All of the caller's companies, on one page.",
        responses=answers(Unauthenticated, StaffOnly),
    )
    async def list_groups(self, staff: Staff) -> Page[StationGroupView]:
        """List groups."""
        return Page(await groups.list_groups(company_ids=staff.company_ids("operator", "lead", "inspector")))

    @post(
        operation_id="addStationGroup",
        summary="Make a group of stations",
        description="A tariff version may be for a group: it goes before the company's and after a station's own.",
        responses=answers(Unauthenticated, StaffOnly, CompanyUnclear, *GROUP_PROBLEMS),
    )
    async def add(self, staff: Staff, data: StationGroupBody, now: datetime) -> StationGroupView:
        """Make a group."""
        return await groups.save_group(
            operator_company_id=own_company(staff, data.operator_company_id),
            name=data.name.strip(),
            station_ids=data.station_ids,
            actor_id=staff.account_id,
            now=now,
        )

    @put(
        "/{group_id:uuid}",
        operation_id="replaceStationGroup",
        summary="Write a group anew",
        description="Sessions that began keep their price. No station may be left without one.",
        responses=answers(Unauthenticated, StaffOnly, CompanyUnclear, *GROUP_PROBLEMS),
    )
    async def replace(self, staff: Staff, group_id: UUID, data: StationGroupBody, now: datetime) -> StationGroupView:
        """Replace a group."""
        return await groups.save_group(
            operator_company_id=own_company(staff, data.operator_company_id),
            name=data.name.strip(),
            station_ids=data.station_ids,
            actor_id=staff.account_id,
            now=now,
            group_id=group_id,
        )


class OperatorGridPrices(Controller):
    """What the grid company published by month and class of supply."""

    path = "/v1/operator/grid-prices"
    tags = ("operator",)

    @get(
        operation_id="listGridPrices",
        summary="List monthly grid prices",
        description="Latest month first, all on one page.",
        responses=answers(Unauthenticated, StaffOnly),
    )
    async def list_prices(self, staff: Staff) -> Page[GridPriceView]:
        """List grid prices."""
        return Page(await grid.list_grid_prices(company_ids=staff.company_ids("operator", "lead", "inspector")))

    @put(
        "/{supply_class:str}/{month:str}",
        operation_id="putGridPrice",
        summary="Enter a month's grid prices",
        description="As published, never derived from another month. Versions that exist already do not change.",
        responses=answers(Unauthenticated, StaffOnly, CompanyUnclear, GridPriceInvalid),
    )
    async def put_price(
        self, staff: Staff, supply_class: str, month: Month, data: GridPriceBody, now: datetime
    ) -> GridPriceView:
        """Enter grid prices."""
        bands = {str(price.band): price.energy_e4 for price in data.prices}
        if len(bands) != len(data.prices):
            raise GridPriceInvalid(field="prices", right="each band once")
        return await grid.put_grid_price(
            operator_company_id=own_company(staff, data.operator_company_id),
            supply_class=_supply_class(supply_class),
            month=_month(month),
            bands=bands,
            source=data.source,
            actor_id=staff.account_id,
            now=now,
        )

    @post(
        "/{supply_class:str}/{month:str}/drafts",
        operation_id="draftGridMonth",
        summary="Draft a month's versions from its grid prices",
        description=(
            "For every station, group and company of this supply class that has a version when the month begins:"
            " a draft with the month's energy prices and the service prices, schedule and parking of that version."
            " All or nothing, safe to repeat. Each draft then goes its way by two people."
        ),
        responses=answers(
            Unauthenticated, StaffOnly, NotFound, GridPriceInvalid, GridBandMissing, NothingToFollow, *TARIFF_FAULTS
        ),
    )
    async def draft_month(self, staff: Staff, supply_class: str, month: Month, now: datetime) -> GridDraftsOut:
        """Draft a month."""
        made = await grid.draft_month(
            company_ids=staff.company_ids("operator"),
            supply_class=_supply_class(supply_class),
            month=_month(month),
            actor_id=staff.account_id,
            now=now,
        )
        return GridDraftsOut(drafted=made.drafted, already=made.already)


def _supply_class(text: str) -> str:
    if text not in get_args(SupplyClass):
        raise GridPriceInvalid(field="supply_class", right=", ".join(get_args(SupplyClass)))
    return text


def _month(text: str) -> date:
    try:
        return date.fromisoformat(f"{text}-01")
    except ValueError as error:
        raise GridPriceInvalid(field="month", right="YYYY-MM") from error


PRICE_ROUTES: list[ControllerRouterHandler] = [OperatorStationGroups, OperatorGridPrices]
