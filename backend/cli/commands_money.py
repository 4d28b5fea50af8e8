"""The commands about money as they are typed; what they do is in `money`, imported when it is run."""

from pathlib import Path

import click


@click.command(name="export-month")
@click.argument("company")
@click.argument("month")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="Default: COMPANY-MONTH.xlsx here.")
@click.option("--language", type=click.Choice(["zh-CN", "en"]), default="zh-CN", show_default=True)
def export_month(company: str, month: str, out: Path | None, language: str) -> None:
    """Write a month of an operator company as a spreadsheet.

    COMPANY is its code, MONTH like 2026-06: every bill, statement, payment, refund and ledger entry booked in it.
    """
    from backend.cli import _run, _settings, money

    file = out or Path(f"{company}-{month}.xlsx")
    _run(money.export_month(_settings(), company=company, month=month, out=file, locale=language))


@click.command()
@click.argument("company")
@click.option("--mchid", required=True, help="Merchant number.")
@click.option("--app-id", required=True, help="AppID the merchant is bound to.")
@click.option("--serial", required=True, help="Serial number of the merchant's certificate.")
@click.option("--private-key", required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--api-key", prompt="APIv3 key", hide_input=True, envvar="LINLI_MERCHANT_API_KEY", help="Asked for.")
@click.option("--platform-key-id", required=True, help="PUB_KEY_ID_... of WeChat Pay's public key.")
@click.option("--platform-key", required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
def merchant(
    company: str,
    mchid: str,
    app_id: str,
    serial: str,
    private_key: Path,
    api_key: str,
    platform_key_id: str,
    platform_key: Path,
) -> None:
    """Set where a company is paid (WeChat Pay), or change its keys.

    The keys are checked, stored encrypted, and used from the next call on; nothing has to be restarted.
    """
    from backend.cli import _run, _settings, money

    _run(
        money.put_merchant(
            _settings(),
            company=company,
            mchid=mchid,
            app_id=app_id,
            serial=serial,
            private_key=private_key.read_text(encoding="utf-8", errors="replace"),
            api_key=api_key,
            platform_key_id=platform_key_id,
            platform_key=platform_key.read_text(encoding="utf-8", errors="replace"),
        )
    )


@click.command(name="refund-limit")
@click.argument("company")
@click.argument("fen", type=int, required=False)
def refund_limit(company: str, fen: int | None) -> None:
    """Show or set above which amount a company's refunds need a second person.

    The company's own operators change it by two people at /v1/operator/settings/refunds.
    """
    from backend.cli import _run, _settings, money

    _run(money.refund_limit(_settings(), company=company, fen=fen))


COMMANDS: tuple[click.Command, ...] = (export_month, merchant, refund_limit)
