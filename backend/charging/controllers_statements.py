"""HTTP paths of monthly statements."""

import base64
import hashlib
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from litestar import Controller, Request, Response, get, post
from litestar.params import Parameter
from litestar.types import ControllerRouterHandler

from backend.accounts import service as accounts
from backend.charging import statement_paper
from backend.charging.schemas import PayBody
from backend.charging.schemas_statements import StatementOut, month_of_statement, statement_out
from backend.charging.service import statements, supplements
from backend.charging.service.statements import StatementNotPayable, StatementView
from backend.core.auth import Principal, Staff, StaffOnly
from backend.core.errors import NotFound, Unauthenticated
from backend.core.http import etag_response
from backend.core.paging import Page, decode_cursor, encode_cursor
from backend.core.problem_docs import answers
from backend.core.services import Services
from backend.payments.service import ChannelUnknown, MerchantMissing, OpenidMissing, PaymentSheet
from backend.stations import service as stations

AnyRequest = Request[Any, Any, Any]
Cursor = Annotated[str | None, Parameter(description="`next` of the page before")]
Limit = Annotated[int, Parameter(ge=1, le=100, description="Items a page")]


async def _page(found: list[StatementView], limit: int, locale: str) -> Page[StatementOut]:
    more = await supplements.sum_unpaid(subject_ids=[statement.id for statement in found])
    shown = [statement_out(each, locale=locale, more_fen=more.get(each.id, 0)) for each in found[:limit]]
    return Page(items=shown, next=encode_cursor(shown[-1].id) if len(found) > limit else None)


async def _whole(statement: StatementView, locale: str) -> StatementOut:
    more = await supplements.sum_unpaid(subject_ids=[statement.id])
    return statement_out(
        statement,
        locale=locale,
        more_fen=more.get(statement.id, 0),
        orders=await statements.list_statement_orders(statement_id=statement.id),
        corrections=await statements.list_corrections(statement_id=statement.id),
    )


class StatementController(Controller):
    """The caller's months."""

    path = "/v1/statements"
    tags = ("orders",)

    @get(
        operation_id="listStatements",
        summary="The caller's monthly statements, newest first",
        description=(
            "One for each month and operator company, made after the month's end: its orders, its packages, and how the"
            " cap of 0.5 yuan/kWh was applied to each package period."
        ),
        responses=answers(Unauthenticated),
    )
    async def list_statements(
        self, principal: Principal, locale: str, cursor: Cursor = None, limit: Limit = 20
    ) -> Page[StatementOut]:
        """Return one page."""
        before: UUID | None = decode_cursor(cursor, UUID)[0] if cursor is not None else None
        found = await statements.list_statements(account_id=principal.account_id, before=before, limit=limit + 1)
        return await _page(found, limit, locale)

    @get(
        "/{statement_id:uuid}",
        operation_id="getStatement",
        summary="A statement with every order",
        description="Another resident's statement is a 404.",
        responses=answers(Unauthenticated, NotFound),
    )
    async def get_statement(
        self, statement_id: UUID, request: AnyRequest, principal: Principal, locale: str
    ) -> Response[StatementOut]:
        """Return the statement."""
        statement = await statements.get_statement(statement_id=statement_id, account_id=principal.account_id)
        return etag_response(request, await _whole(statement, locale))

    @get(
        "/{statement_id:uuid}/document",
        operation_id="getStatementDocument",
        summary="A statement as PDF, in Chinese",
        description="The same figures, with the cap spelled out; the header Repr-Digest carries its SHA-256.",
        responses=answers(Unauthenticated, NotFound),
    )
    async def document(self, statement_id: UUID, principal: Principal) -> Response[bytes]:
        """Return the PDF."""
        statement = await statements.get_statement(statement_id=statement_id, account_id=principal.account_id)
        orders = await statements.list_statement_orders(statement_id=statement_id)
        names = {s.id: s.name for s in await stations.list_stations_of(station_ids={o.station_id for o in orders})}
        company = await accounts.get_operator_company(company_id=statement.operator_company_id)
        paper = statement_paper.paper_of(
            statement,
            [(order, names.get(order.station_id, "")) for order in orders],
            company=company.name,
            hotline=company.hotline,
        )
        made = await statement_paper.render(paper)
        headers = {
            "content-disposition": f'inline; filename="statement-{month_of_statement(statement)}.pdf"',
            "repr-digest": f"sha-256=:{base64.b64encode(hashlib.sha256(made).digest()).decode()}:",
            "cache-control": "private, no-store",
        }
        return Response(made, media_type="application/pdf", headers=headers)

    @post(
        "/{statement_id:uuid}/pay",
        status_code=200,
        operation_id="payStatement",
        summary="Begin to pay a statement's package fee",
        description="As an order is paid: answers the parameters of the payment sheet.",
        responses=answers(
            Unauthenticated, NotFound, StatementNotPayable, ChannelUnknown, OpenidMissing, MerchantMissing
        ),
    )
    async def pay(
        self, statement_id: UUID, data: PayBody, principal: Principal, services: Services, now: datetime
    ) -> PaymentSheet:
        """Start a payment."""
        return await statements.pay_statement(
            statement_id=statement_id,
            account_id=principal.account_id,
            channel=data.channel,
            services=services,
            now=now,
        )


class OperatorStatementController(Controller):
    """The months of the company's residents."""

    path = "/v1/operator/statements"
    tags = ("operator",)

    @get(
        operation_id="listCompanyStatements",
        summary="The company's statements, newest first",
        description="For operators, leads and inspectors.",
        responses=answers(Unauthenticated, StaffOnly),
    )
    async def list_statements(
        self, staff: Staff, locale: str, cursor: Cursor = None, limit: Limit = 50
    ) -> Page[StatementOut]:
        """Return one page."""
        before: UUID | None = decode_cursor(cursor, UUID)[0] if cursor is not None else None
        companies = staff.company_ids("operator", "lead", "inspector")
        found = await statements.list_statements(company_ids=companies, before=before, limit=limit + 1)
        return await _page(found, limit, locale)

    @get(
        "/{statement_id:uuid}",
        operation_id="getCompanyStatement",
        summary="A statement of the company",
        description="With every order. Another company's statement is a 404.",
        responses=answers(Unauthenticated, StaffOnly, NotFound),
    )
    async def get_statement(self, statement_id: UUID, staff: Staff, locale: str) -> StatementOut:
        """Return the statement."""
        companies = staff.company_ids("operator", "lead", "inspector")
        statement = await statements.get_company_statement(statement_id=statement_id, company_ids=companies)
        return await _whole(statement, locale)


STATEMENT_ROUTES: list[ControllerRouterHandler] = [StatementController, OperatorStatementController]
