"""A company with a merchant account at the sandbox's WeChat Pay, and services that reach it.

These tests run at the present: the sandbox checks the age of requests, and the client library signs with the machine's
clock.
"""

from datetime import datetime
from uuid import UUID

import pytest
from piccolo.engine.postgres import PostgresEngine

from backend.core.clock import SystemClock
from backend.core.services import Services
from backend.payments.gateways import PaymentGateways
from backend.payments.gateways.wechat_pay import WeChatPay
from sandbox.providers import Providers
from tests.cast import ALICE
from tests.factories.accounts import add_company, add_person
from tests.factories.payments import Callbacks, add_merchant_account
from tests.providers import providers, running_providers

__all__ = ["providers", "running_providers"]


@pytest.fixture
def now() -> datetime:
    """The present instant."""
    return SystemClock().now()


@pytest.fixture
def paying(services: Services, providers: Providers) -> Services:
    """Services whose WeChat Pay is the sandbox's."""
    gateway = WeChatPay(url=providers.settings["LINLI_WECHAT_PAY_URL"], public_url="http://127.0.0.1:9")
    services.put(PaymentGateways, PaymentGateways({"wechat_pay": gateway}))
    return services


@pytest.fixture
async def company(database: PostgresEngine, providers: Providers, now: datetime) -> UUID:
    """An operator company that can be paid."""
    company_id = await add_company(now=now)
    await add_merchant_account(operator_company_id=company_id, merchant=providers.wechat_pay.keys.merchants[0], now=now)
    return company_id


@pytest.fixture
async def alice(database: PostgresEngine, now: datetime) -> UUID:
    """A resident who pays."""
    return await add_person(ALICE, now=now)


@pytest.fixture
def callbacks(providers: Providers, now: datetime) -> Callbacks:
    """Callbacks of the company's merchant."""
    keys = providers.wechat_pay.keys
    return Callbacks(keys=keys, merchant=keys.merchants[0], now=now)
