"""The safety table and its numbers: read, propose, approve as a second person."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from litestar import Controller, get, post
from litestar.params import Parameter
from litestar.status_codes import HTTP_200_OK

from backend.accounts.service.staff import CompanyUnclear
from backend.alerts.schemas_rules import RulesBody
from backend.alerts.service import thresholds
from backend.alerts.service.thresholds import (
    RuleInForce,
    RuleNumbersInvalid,
    RulesNeedSecondPerson,
    RuleVersionDecided,
    RuleVersionView,
)
from backend.core.auth import Staff, StaffOnly
from backend.core.errors import NotFound, Unauthenticated
from backend.core.paging import Page, decode_cursor, encode_cursor
from backend.core.problem_docs import answers
from backend.stations.service.operate import own_company


class RulesController(Controller):
    """Numbers of the rules."""

    path = "/v1/operator/settings/rules"
    tags = ("operator",)

    @get(
        operation_id="listRules",
        summary="The safety table as it holds at a station",
        description="Every rule with the numbers in force per chemistry, and what is done at which level.",
        responses=answers(Unauthenticated, StaffOnly, NotFound),
    )
    async def rules(
        self, staff: Staff, station_id: Annotated[UUID, Parameter(description="The station")]
    ) -> Page[RuleInForce]:
        """Return every rule."""
        return Page(items=await thresholds.in_force(staff=staff, station_id=station_id), next=None)

    @post(
        operation_id="proposeRules",
        summary="Propose other numbers",
        description=(
            "A second operator approves them. A warning comes before the critical number, nothing may be laxer than a "
            "fifth beyond our default, and a rule that can be critical is never switched off."
        ),
        responses=answers(Unauthenticated, StaffOnly, NotFound, CompanyUnclear, RuleNumbersInvalid),
    )
    async def propose(self, staff: Staff, data: RulesBody, now: datetime) -> RuleVersionView:
        """Propose a version."""
        return await thresholds.propose(
            staff=staff,
            operator_company_id=own_company(staff, data.operator_company_id),
            station_id=data.station_id,
            rules=data.rules,
            reason=data.reason,
            now=now,
        )

    @get(
        "/versions",
        operation_id="listRuleVersions",
        summary="Versions of the numbers, newest first",
        description="With who proposed and who decided; never edited, never deleted.",
        responses=answers(Unauthenticated, StaffOnly),
    )
    async def versions(
        self,
        staff: Staff,
        cursor: Annotated[str | None, Parameter(description="`next` of the page before")] = None,
        limit: Annotated[int, Parameter(ge=1, le=100, description="Items a page")] = 50,
    ) -> Page[RuleVersionView]:
        """Return one page."""
        before: UUID | None = decode_cursor(cursor, UUID)[0] if cursor is not None else None
        found = await thresholds.list_versions(staff=staff, before=before, limit=limit + 1)
        shown = found[:limit]
        return Page(items=shown, next=encode_cursor(shown[-1].id) if len(found) > limit else None)

    @post(
        "/versions/{version_id:uuid}/approve",
        status_code=HTTP_200_OK,
        operation_id="approveRules",
        summary="Put a version in force",
        description="Only by another person than who proposed it; it replaces the version in force at once.",
        responses=answers(Unauthenticated, StaffOnly, NotFound, RulesNeedSecondPerson, RuleVersionDecided),
    )
    async def approve(self, staff: Staff, version_id: UUID, now: datetime) -> RuleVersionView:
        """Approve a version."""
        return await thresholds.approve(staff=staff, version_id=version_id, now=now)

    @post(
        "/versions/{version_id:uuid}/reject",
        status_code=HTTP_200_OK,
        operation_id="rejectRules",
        summary="Turn a version down",
        description="Its author may withdraw it in the same way.",
        responses=answers(Unauthenticated, StaffOnly, NotFound, RuleVersionDecided),
    )
    async def reject(self, staff: Staff, version_id: UUID, now: datetime) -> RuleVersionView:
        """Reject a version."""
        return await thresholds.reject(staff=staff, version_id=version_id, now=now)
