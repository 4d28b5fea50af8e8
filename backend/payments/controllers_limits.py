"""The amount above which a company's refunds need a second person: read, lower, raise by two people."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from litestar import Controller, get, post, put
from litestar.params import Parameter
from litestar.status_codes import HTTP_200_OK

from backend.accounts.service.staff import CompanyUnclear
from backend.core.auth import Staff, StaffOnly
from backend.core.errors import NotFound, Unauthenticated
from backend.core.problem_docs import answers
from backend.payments.schemas import LimitBody, LimitChangeOut, LimitOut, limit_change_out
from backend.payments.service import limits
from backend.payments.service.limits import LimitChangeNotFound, LimitView, RefundLimitPending
from backend.payments.service.refunds import AlreadyDecided, RefundLimitInvalid, SecondPersonNeeded
from backend.stations.service.operate import own_company


class RefundLimitController(Controller):
    """The limit of the caller's operator company."""

    path = "/v1/operator/settings/refunds"
    tags = ("operator",)

    @get(
        operation_id="getRefundLimit",
        summary="Above which amount refunds need a second person",
        description="With the latest changes. For operators.",
        responses=answers(Unauthenticated, StaffOnly, NotFound, CompanyUnclear),
    )
    async def read(
        self,
        staff: Staff,
        operator_company_id: Annotated[UUID | None, Parameter(description="For operators of several companies")] = None,
    ) -> LimitOut:
        """Return the limit."""
        company_id = own_company(staff, operator_company_id)
        return _limit_out(await limits.get_limit(operator_company_id=company_id))

    @put(
        operation_id="putRefundLimit",
        summary="Set another limit",
        description=(
            "A lower one (or the same) is in force at once; a higher one waits until another operator of the company "
            "approves it. Audited."
        ),
        responses=answers(Unauthenticated, StaffOnly, NotFound, CompanyUnclear, RefundLimitInvalid, RefundLimitPending),
    )
    async def propose(self, data: LimitBody, staff: Staff, now: datetime) -> LimitOut:
        """Change the limit, or propose to."""
        company_id = own_company(staff, data.operator_company_id)
        await limits.propose_limit(
            operator_company_id=company_id,
            amount_fen=data.second_person_above_fen,
            reason=data.reason,
            actor_id=staff.account_id,
            role="operator",
            now=now,
        )
        return _limit_out(await limits.get_limit(operator_company_id=company_id))

    @post(
        "/{change_id:uuid}/approve",
        status_code=HTTP_200_OK,
        operation_id="approveRefundLimit",
        summary="Put a higher limit in force as the second person",
        description="Whoever proposed it cannot approve it. Audited.",
        responses=answers(Unauthenticated, StaffOnly, LimitChangeNotFound, AlreadyDecided, SecondPersonNeeded),
    )
    async def approve(self, change_id: UUID, staff: Staff, now: datetime) -> LimitChangeOut:
        """Approve a change."""
        change = await limits.approve_limit(
            change_id=change_id,
            company_ids=staff.company_ids("operator"),
            actor_id=staff.account_id,
            role="operator",
            now=now,
        )
        return limit_change_out(change)

    @post(
        "/{change_id:uuid}/reject",
        status_code=HTTP_200_OK,
        operation_id="rejectRefundLimit",
        summary="Turn a higher limit down, or take it back",
        description="The limit stays as it is. Audited.",
        responses=answers(Unauthenticated, StaffOnly, LimitChangeNotFound, AlreadyDecided),
    )
    async def reject(self, change_id: UUID, staff: Staff, now: datetime) -> LimitChangeOut:
        """Reject a change."""
        change = await limits.reject_limit(
            change_id=change_id,
            company_ids=staff.company_ids("operator"),
            actor_id=staff.account_id,
            role="operator",
            now=now,
        )
        return limit_change_out(change)


def _limit_out(view: LimitView) -> LimitOut:
    return LimitOut(
        operator_company_id=view.operator_company_id,
        second_person_above_fen=view.second_person_above_fen,
        is_default=view.is_default,
        changes=[limit_change_out(change) for change in view.changes],
    )
