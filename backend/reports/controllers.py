"""The month's workbook over HTTP."""

import asyncio
import tempfile
from datetime import datetime
from pathlib import Path
from typing import Annotated
from uuid import UUID

from litestar import Response, get
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import Parameter
from litestar.types import ControllerRouterHandler

from backend.accounts.service.staff import CompanyUnclear
from backend.core.auth import Staff, StaffOnly
from backend.core.errors import NotFound, Unauthenticated
from backend.core.problem_docs import answers
from backend.reports import service as reports
from backend.reports.service import MonthInvalid

XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"


@get(
    "/v1/operator/exports/{month:str}",
    tags=["operator"],
    operation_id="exportMonth",
    summary="A month of the company as a spreadsheet (XLSX)",
    description=(
        "Sheets: summary with the trial balance, orders, order lines, statements with how the cap was applied, "
        "corrections, payments, refunds, ledger entries, reconciled days. Everything booked in the month "
        "(Asia/Shanghai); of the present month up to now. Amounts in fen, energy in Wh; headings in the language of "
        "the request. No personal data. Audited."
    ),
    responses={
        **answers(Unauthenticated, StaffOnly, NotFound, CompanyUnclear, MonthInvalid),
        200: ResponseSpec(data_container=bytes, media_type=XLSX, generate_examples=False, description="The workbook"),
    },
)
async def export_month(
    month: Annotated[str, Parameter(description="The month, such as 2026-06", max_length=20)],
    staff: Staff,
    now: datetime,
    locale: str,
    operator_company_id: Annotated[UUID | None, Parameter(description="For staff of several companies")] = None,
) -> Response[bytes]:
    """Return the workbook."""
    company_id = _company(staff, operator_company_id)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "month.xlsx"
        await reports.write_month(
            operator_company_id=company_id,
            month=month,
            file=file,
            locale=locale,
            actor_id=staff.account_id,
            actor_role=staff.role_at(company_id),
            now=now,
        )
        content = await asyncio.to_thread(file.read_bytes)
    headers = {"content-disposition": f'attachment; filename="linli-{month}.xlsx"', "cache-control": "no-store"}
    return Response(content, media_type=XLSX, headers=headers)


def _company(staff: Staff, operator_company_id: UUID | None) -> UUID:
    own = staff.company_ids("operator", "lead", "inspector")
    if operator_company_id is not None:
        if operator_company_id not in own:
            raise NotFound(kind="operator_company")
        return operator_company_id
    if len(own) > 1:
        raise CompanyUnclear(field="operator_company_id")
    return next(iter(own))


ROUTES: list[ControllerRouterHandler] = [export_month]
