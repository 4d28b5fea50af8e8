"""HTTP paths of packages: what is offered, the choice of residents, the drafts of operators."""

from datetime import datetime
from uuid import UUID

from litestar import Controller, delete, get, post, put
from litestar.types import ControllerRouterHandler

from backend.agreements import service as agreements
from backend.agreements.schemas_packages import (
    ChosenAnswer,
    CompanyPackageAnswer,
    PackageAnswer,
    PackageBody,
    PackageDraftBody,
)
from backend.agreements.service import AgreementOver, packages
from backend.agreements.service.packages import (
    PackageCodeTaken,
    PackageNeedsSecondPerson,
    PackageNotDraft,
    PackageNotYet,
    PackageOver,
    PackageWrong,
    TrialRefused,
)
from backend.core.auth import Principal, Staff, StaffOnly
from backend.core.errors import NotFound, Unauthenticated
from backend.core.paging import Page
from backend.core.problem_docs import answers
from backend.stations.service.operate import own_company


@get(
    "/v1/packages",
    tags=["agreements"],
    operation_id="listPackages",
    summary="List the packages that are offered",
    description="Pay as you go is offered by every company. All on one page, cheapest first.",
)
async def list_packages(locale: str, now: datetime, operator_company_id: UUID | None = None) -> Page[PackageAnswer]:
    """List packages, of one company where it is named."""
    ids = None if operator_company_id is None else [operator_company_id]
    found = await packages.list_packages(operator_company_ids=ids, at=now)
    return Page([PackageAnswer.of(view, locale) for view in found])


class AgreementPackage(Controller):
    """The package of an own agreement."""

    path = "/v1/agreements/{agreement_id:uuid}/package"
    tags = ("agreements",)

    async def _chosen(self, principal: Principal, agreement_id: UUID, now: datetime, locale: str) -> ChosenAnswer:
        await agreements.get_agreement(account_id=principal.account_id, agreement_id=agreement_id)
        return ChosenAnswer.of(await packages.chosen_of(agreement_id=agreement_id, at=now), locale)

    @get(
        operation_id="getAgreementPackage",
        summary="The package of an own agreement",
        description="The one in force now, and the one that follows it where it changes.",
        responses=answers(Unauthenticated, NotFound),
    )
    async def read(self, principal: Principal, agreement_id: UUID, now: datetime, locale: str) -> ChosenAnswer:
        """Read."""
        return await self._chosen(principal, agreement_id, now, locale)

    @post(
        status_code=200,
        operation_id="choosePackage",
        summary="Choose or change the package",
        description=(
            "From pay as you go a package begins at once, with the share of its price and energy that is left of the"
            " month; from another package it begins with the next month. The newest choice counts. Billed in arrears."
        ),
        responses=answers(Unauthenticated, NotFound, AgreementOver, PackageOver, PackageNotYet, TrialRefused),
    )
    async def choose(
        self, principal: Principal, agreement_id: UUID, data: PackageBody, now: datetime, locale: str
    ) -> ChosenAnswer:
        """Choose."""
        await packages.choose_package(
            account_id=principal.account_id, agreement_id=agreement_id, package_id=data.package_id, now=now
        )
        return await self._chosen(principal, agreement_id, now, locale)

    @post(
        "/end",
        status_code=200,
        operation_id="endPackage",
        summary="End the package",
        description="Pay as you go from the next month on; the month that runs is billed in its statement.",
        responses=answers(Unauthenticated, NotFound, AgreementOver),
    )
    async def end(self, principal: Principal, agreement_id: UUID, now: datetime, locale: str) -> ChosenAnswer:
        """End."""
        await packages.end_package(account_id=principal.account_id, agreement_id=agreement_id, now=now)
        return await self._chosen(principal, agreement_id, now, locale)


class OperatorPackages(Controller):
    """The packages of the caller's own companies."""

    path = "/v1/operator/packages"
    tags = ("operator",)

    @get(
        operation_id="listCompanyPackages",
        summary="List the own company's packages",
        description="In any status, newest first, all on one page. For operators, leads and inspectors.",
        responses=answers(Unauthenticated, StaffOnly),
    )
    async def list_all(self, staff: Staff) -> Page[CompanyPackageAnswer]:
        """List."""
        return Page([CompanyPackageAnswer.of(view) for view in await packages.list_company_packages(staff=staff)])

    @get(
        "/{package_id:uuid}",
        operation_id="getCompanyPackage",
        summary="Read a package of the own company",
        description="Another company's package is a 404.",
        responses=answers(Unauthenticated, StaffOnly, NotFound),
    )
    async def read(self, staff: Staff, package_id: UUID) -> CompanyPackageAnswer:
        """Read."""
        return CompanyPackageAnswer.of(await packages.get_company_package(staff=staff, package_id=package_id))

    @post(
        operation_id="draftPackage",
        summary="Draft a package",
        description="It is offered once another operator of the company approved it; from then on its terms stay.",
        responses=answers(Unauthenticated, StaffOnly, NotFound, PackageWrong, PackageCodeTaken),
    )
    async def draft(self, staff: Staff, data: PackageDraftBody, now: datetime) -> CompanyPackageAnswer:
        """Draft."""
        company_id = own_company(staff, data.operator_company_id)
        view = await packages.draft_package(staff=staff, operator_company_id=company_id, draft=data.draft(), now=now)
        return CompanyPackageAnswer.of(view)

    @put(
        "/{package_id:uuid}",
        operation_id="replacePackageDraft",
        summary="Write a draft anew",
        description="Makes the caller its author, so that approval still needs a second person.",
        responses=answers(Unauthenticated, StaffOnly, NotFound, PackageWrong, PackageCodeTaken, PackageNotDraft),
    )
    async def replace(
        self, staff: Staff, package_id: UUID, data: PackageDraftBody, now: datetime
    ) -> CompanyPackageAnswer:
        """Replace."""
        view = await packages.replace_draft(staff=staff, package_id=package_id, draft=data.draft(), now=now)
        return CompanyPackageAnswer.of(view)

    @delete(
        "/{package_id:uuid}",
        operation_id="deletePackageDraft",
        summary="Throw a draft away",
        description="Only drafts; an offered package is withdrawn.",
        responses=answers(Unauthenticated, StaffOnly, NotFound, PackageNotDraft),
    )
    async def throw_away(self, staff: Staff, package_id: UUID, now: datetime) -> None:
        """Delete."""
        await packages.delete_draft(staff=staff, package_id=package_id, now=now)

    @post(
        "/{package_id:uuid}/approve",
        status_code=200,
        operation_id="approvePackage",
        summary="Approve a draft as the second person",
        description="It is on offer from its `available_from`, or at once.",
        responses=answers(Unauthenticated, StaffOnly, NotFound, PackageNotDraft, PackageNeedsSecondPerson),
    )
    async def approve(self, staff: Staff, package_id: UUID, now: datetime) -> CompanyPackageAnswer:
        """Approve."""
        view = await packages.approve_package(staff=staff, package_id=package_id, now=now)
        return CompanyPackageAnswer.of(view)

    @post(
        "/{package_id:uuid}/withdraw",
        status_code=200,
        operation_id="withdrawPackage",
        summary="Take a package off the offer",
        description="Who has it keeps it to the end of the month that runs, then pays as they go.",
        responses=answers(Unauthenticated, StaffOnly, NotFound, PackageNotDraft),
    )
    async def withdraw(self, staff: Staff, package_id: UUID, now: datetime) -> CompanyPackageAnswer:
        """Withdraw."""
        view = await packages.withdraw_package(staff=staff, package_id=package_id, now=now)
        return CompanyPackageAnswer.of(view)


PACKAGE_ROUTES: list[ControllerRouterHandler] = [list_packages, AgreementPackage, OperatorPackages]
