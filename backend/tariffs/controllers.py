"""Operators' tariff versions: draft, approve as a second person, publish ahead."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from litestar import Controller, delete, get, post, put
from litestar.params import Parameter
from litestar.types import ControllerRouterHandler

from backend.accounts.service.staff import CompanyUnclear
from backend.core.auth import Staff, StaffOnly
from backend.core.errors import NotFound, Unauthenticated
from backend.core.paging import Page
from backend.core.problem_docs import answers
from backend.stations.service.operate import own_company
from backend.tariffs import service as tariffs
from backend.tariffs.controllers_lifecycle import LIFECYCLE_ROUTES
from backend.tariffs.controllers_prices import PRICE_ROUTES
from backend.tariffs.rules.versions import TariffVersionView
from backend.tariffs.schemas import TariffBody
from backend.tariffs.service import (
    TARIFF_FAULTS,
    TariffNeedsSecondPerson,
    TariffNotDraft,
    TariffPeriodRefused,
    lifecycle,
)


class OperatorTariffs(Controller):
    """The tariff versions of the caller's companies."""

    path = "/v1/operator/tariffs"
    tags = ("operator",)

    @get(
        operation_id="listTariffs",
        summary="List tariff versions",
        description="Latest first, all on one page.",
        responses=answers(Unauthenticated, StaffOnly),
    )
    async def list_versions(
        self,
        staff: Staff,
        status: Annotated[
            Literal["draft", "approved", "published", "retired"] | None,
            Parameter(description="Only versions in this state"),
        ] = None,
    ) -> Page[TariffVersionView]:
        """List versions."""
        companies = staff.company_ids("operator", "lead", "inspector")
        return Page(await tariffs.list_versions(company_ids=companies, status=status))

    @post(
        operation_id="draftTariff",
        summary="Draft a tariff version",
        description="A second operator approves it, then it is published ahead of its start and never changes.",
        responses=answers(Unauthenticated, StaffOnly, NotFound, CompanyUnclear, *TARIFF_FAULTS),
    )
    async def draft(self, staff: Staff, data: TariffBody, now: datetime) -> TariffVersionView:
        """Draft a version."""
        return await self._write(staff, own_company(staff, data.operator_company_id), data, None, now)

    @get(
        "/{tariff_id:uuid}",
        operation_id="getTariff",
        summary="Read a tariff version",
        description="With its schedule, prices, and who wrote, approved and published it.",
        responses=answers(Unauthenticated, StaffOnly, NotFound),
    )
    async def read(self, staff: Staff, tariff_id: UUID) -> TariffVersionView:
        """Read a version."""
        companies = staff.company_ids("operator", "lead", "inspector")
        return await tariffs.get_version(version_id=tariff_id, company_ids=companies)

    @put(
        "/{tariff_id:uuid}",
        operation_id="replaceTariff",
        summary="Write a draft anew",
        description="Only a draft; the caller becomes its author, so another person has to approve it.",
        responses=answers(Unauthenticated, StaffOnly, NotFound, *TARIFF_FAULTS, TariffNotDraft),
    )
    async def replace(self, staff: Staff, tariff_id: UUID, data: TariffBody, now: datetime) -> TariffVersionView:
        """Replace a draft."""
        present = await tariffs.get_version(version_id=tariff_id, company_ids=staff.company_ids("operator"))
        return await self._write(staff, present.operator_company_id, data, tariff_id, now)

    @delete(
        "/{tariff_id:uuid}",
        operation_id="discardTariff",
        summary="Throw a draft away",
        description="Only a draft; an approved or published version is retired.",
        responses=answers(Unauthenticated, StaffOnly, NotFound, TariffNotDraft),
    )
    async def discard(self, staff: Staff, tariff_id: UUID, now: datetime) -> None:
        """Discard a draft."""
        await lifecycle.discard_draft(
            version_id=tariff_id, company_ids=staff.company_ids("operator"), actor_id=staff.account_id, now=now
        )

    async def _write(
        self, staff: Staff, company_id: UUID, data: TariffBody, replaces: UUID | None, now: datetime
    ) -> TariffVersionView:
        return await tariffs.draft_version(
            operator_company_id=company_id,
            station_id=data.station_id,
            station_group_id=data.station_group_id,
            supply_class=data.supply_class,
            name=data.name,
            effective_from=data.effective_from,
            effective_to=data.effective_to,
            spans=data.span_rules(),
            prices=data.price_rules(),
            parking=data.parking_terms(),
            actor_id=staff.account_id,
            now=now,
            replaces=replaces,
        )

    @post(
        "/{tariff_id:uuid}/approve",
        operation_id="approveTariff",
        summary="Approve a draft as the second person",
        description="Never by its author.",
        status_code=200,
        responses=answers(Unauthenticated, StaffOnly, NotFound, TariffNeedsSecondPerson, TariffNotDraft),
    )
    async def approve(self, staff: Staff, tariff_id: UUID, now: datetime) -> TariffVersionView:
        """Approve a draft."""
        return await tariffs.approve_version(
            version_id=tariff_id, company_ids=staff.company_ids("operator"), actor_id=staff.account_id, now=now
        )

    @post(
        "/{tariff_id:uuid}/publish",
        operation_id="publishTariff",
        summary="Publish an approved version",
        description=(
            "It must start in the future (the first one of a scope may start in the past) and follow the version before"
            " without overlap or gap; an open end before it is closed at its start."
        ),
        status_code=200,
        responses=answers(Unauthenticated, StaffOnly, NotFound, TariffNotDraft, TariffPeriodRefused),
    )
    async def publish(self, staff: Staff, tariff_id: UUID, now: datetime) -> TariffVersionView:
        """Publish a version."""
        return await tariffs.publish_version(
            version_id=tariff_id, company_ids=staff.company_ids("operator"), actor_id=staff.account_id, now=now
        )


ROUTES: list[ControllerRouterHandler] = [OperatorTariffs, *LIFECYCLE_ROUTES, *PRICE_ROUTES]
