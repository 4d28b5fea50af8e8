"""`linli export-month`, `linli merchant`, `linli refund-limit`: a company's books, its account, its limit."""

from pathlib import Path
from uuid import UUID

import click

from backend.accounts import service as accounts
from backend.cli.data import opened
from backend.core.errors import DomainError
from backend.core.settings import Settings
from backend.payments.service import limits, merchants, refunds
from backend.reports import service as reports

BY = "platform command line"


async def _company(code: str) -> UUID:
    found = await accounts.find_operator_company_by_code(code=code)
    if found is None:
        raise click.BadParameter(f"no operator company has the code {code!r}")
    return found.id


def _refused(error: DomainError) -> int:
    click.echo(error.detail("en") or error.title("en"), err=True)
    return 1


async def export_month(settings: Settings, *, company: str, month: str, out: Path, locale: str) -> int:
    """Write a month's workbook; returns 1 and writes nothing when there is no such month."""
    async with opened(settings) as now:
        company_id = await _company(company)
        try:
            await reports.write_month(
                operator_company_id=company_id,
                month=month,
                file=out,
                locale=locale,
                actor_id=None,
                actor_role=BY,
                now=now,
            )
        except DomainError as error:
            return _refused(error)
    click.echo(f"{out} is written.")
    return 0


async def put_merchant(
    settings: Settings,
    *,
    company: str,
    mchid: str,
    app_id: str,
    serial: str,
    private_key: str,
    api_key: str,
    platform_key_id: str,
    platform_key: str,
) -> int:
    """Set where a company is paid, or change its keys; returns 1 when a part of it cannot work."""
    async with opened(settings) as now:
        company_id = await _company(company)
        try:
            await merchants.put_merchant_account(
                operator_company_id=company_id,
                merchant_no=mchid,
                app_id=app_id,
                cert_serial_no=serial,
                private_key=private_key,
                api_key=api_key,
                platform_key_id=platform_key_id,
                platform_public_key=platform_key,
                now=now,
                actor_role=BY,
            )
        except DomainError as error:
            return _refused(error)
    click.echo(f"{company} is paid at merchant {mchid}; the keys are stored encrypted.")
    return 0


async def refund_limit(settings: Settings, *, company: str, fen: int | None) -> int:
    """Show a company's limit, or set it outright; returns 1 for a limit that is none."""
    async with opened(settings) as now:
        company_id = await _company(company)
        if fen is not None:
            try:
                await refunds.set_second_person_above(
                    operator_company_id=company_id, amount_fen=fen, actor_id=None, actor_role=BY, now=now
                )
            except DomainError as error:
                return _refused(error)
        shown = await limits.get_limit(operator_company_id=company_id)
    default = " (the default)" if shown.is_default else ""
    click.echo(f"{company}: above {shown.second_person_above_fen} fen a second person decides{default}.")
    for change in shown.changes:
        click.echo(f"  {change.proposed_at:%Y-%m-%d %H:%M}Z  {change.second_person_above_fen} fen  {change.state}")
    return 0
