"""`linli export-month`, `merchant` and `refund-limit` as a person of the platform types them."""

import asyncio
from datetime import datetime
from pathlib import Path

import pytest
from openpyxl import load_workbook
from piccolo.engine.postgres import PostgresEngine

from backend.core import db
from sandbox.servers.postgres import APP, PostgresServer
from sandbox.wechat_pay.keys import new_keys
from tests.cli.test_commands import environment, linli
from tests.factories.accounts import add_company

__all__ = ["environment"]


@pytest.fixture
async def company(
    committing: PostgresEngine, postgres: PostgresServer, environment: dict[str, str], now: datetime
) -> tuple[str, dict[str, str]]:
    """A company's code, and settings that lead to its database."""
    company_id = await add_company(now=now)
    code: str = await db.fetchval("SELECT code FROM operator_company WHERE id = $1", company_id)
    name: str = await db.fetchval("SELECT current_database()")
    return code, environment | {"LINLI_DATABASE_URL": postgres.url(APP, name)}


class TestMoney:
    async def test_writes_a_month_or_says_what_is_wrong(
        self, company: tuple[str, dict[str, str]], tmp_path: Path
    ) -> None:
        code, settings = company
        file = tmp_path / "may.xlsx"
        done = await asyncio.to_thread(linli, "export-month", code, "2026-05", "--out", file, environment=settings)
        assert (done.returncode, done.stderr) == (0, ""), done.stderr
        assert load_workbook(file).sheetnames[0] == "概要"
        out = tmp_path / "x.xlsx"
        refused = await asyncio.to_thread(linli, "export-month", code, "2026-5", "--out", out, environment=settings)
        assert refused.returncode == 1 and "2026-06" in refused.stderr and not out.exists()

    async def test_sets_the_limit_of_refunds(self, company: tuple[str, dict[str, str]]) -> None:
        code, settings = company
        done = await asyncio.to_thread(linli, "refund-limit", code, "2500", environment=settings)
        assert (done.returncode, "above 2500 fen" in done.stdout) == (0, True)
        assert await db.fetchval("SELECT second_person_above_fen FROM refund_rule") == 2500

    async def test_sets_where_a_company_is_paid_and_names_the_bad_key(
        self, company: tuple[str, dict[str, str]], tmp_path: Path
    ) -> None:
        code, settings = company
        merchant = new_keys(appid="wx1", merchants=1).merchants[0]
        (tmp_path / "key.pem").write_text(merchant.private_key)
        (tmp_path / "pub.pem").write_text(merchant.platform_public_key)
        words = ["merchant", code, "--mchid", merchant.mchid, "--app-id", "wx1", "--serial", merchant.cert_serial_no]
        words += ["--platform-key-id", merchant.platform_public_key_id, "--platform-key", str(tmp_path / "pub.pem")]
        secret = settings | {"LINLI_MERCHANT_API_KEY": merchant.api_v3_key}
        wrong = [*words, "--private-key", str(tmp_path / "pub.pem")]
        refused = await asyncio.to_thread(linli, *wrong, environment=secret)
        assert refused.returncode == 1 and "private_key" in refused.stderr
        assert await db.fetchval("SELECT count(*) FROM merchant_account") == 0
        done = await asyncio.to_thread(linli, *words, "--private-key", str(tmp_path / "key.pem"), environment=secret)
        assert done.returncode == 0 and merchant.api_v3_key not in done.stdout
        assert await db.fetchval("SELECT merchant_no FROM merchant_account WHERE active") == merchant.mchid
