"""Merchant accounts: secrets encrypted, one per company, keys that rotate under running processes, kept apart."""

from datetime import datetime, timedelta
from uuid import UUID

import httpx
import msgspec
import pytest

from backend.core import db
from backend.core.services import Services
from backend.payments import service as payments
from backend.payments.service import merchants
from sandbox.providers import Providers
from sandbox.wechat_pay.keys import Keys, Merchant, new_keys
from tests.factories.accounts import add_company
from tests.factories.payments import Callbacks, add_merchant_account, start_payment


@pytest.fixture(scope="module")
def newer() -> Keys:
    """Another platform key and another merchant key, as after a rotation."""
    return new_keys(appid="wx1", merchants=1)


def with_platform_key(keys: Keys, merchant: Merchant, newer: Keys) -> tuple[Keys, Merchant]:
    """The same merchant after WeChat Pay changed its public key."""
    changed = msgspec.structs.replace(
        merchant,
        platform_public_key_id=newer.platform_public_key_id,
        platform_public_key=newer.merchants[0].platform_public_key,
    )
    platform = msgspec.structs.replace(
        keys,
        platform_private_key=newer.platform_private_key,
        platform_public_key_id=newer.platform_public_key_id,
        merchants=(changed,),
    )
    return platform, changed


async def notify(api: httpx.AsyncClient, callbacks: Callbacks, sheet: payments.PaymentSheet) -> int:
    body = callbacks.payment(number=sheet.number, total=sheet.amount_fen)
    path = f"/v1/payments/wechat/{callbacks.merchant.mchid}/notify"
    return (await api.post(path, content=body, headers=callbacks.headers(body))).status_code


class TestPutMerchantAccount:
    async def test_keeps_no_secret_in_clear(self, company: UUID, providers: Providers) -> None:
        merchant = providers.wechat_pay.keys.merchants[0]
        stored = "\n".join(row["t"] for row in await db.fetch("SELECT m::text AS t FROM merchant_account m"))
        assert merchant.mchid in stored
        for secret in (merchant.api_v3_key, merchant.private_key.splitlines()[5]):
            assert secret not in stored and secret.encode().hex() not in stored
        row = await db.fetchrow("SELECT detail::text AS detail FROM audit_entry WHERE action = 'merchant_account.set'")
        assert row is not None and merchant.api_v3_key not in row["detail"]

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("merchant_no", "1900 010001"),
            ("api_key", "too-short"),
            ("private_key", "-----BEGIN PRIVATE KEY-----\nnot one\n-----END PRIVATE KEY-----"),
            ("platform_public_key", ""),
        ],
    )
    async def test_refuses_keys_that_cannot_work_and_says_which(
        self, company: UUID, providers: Providers, now: datetime, field: str, value: str
    ) -> None:
        merchant = providers.wechat_pay.keys.merchants[1]
        given = {
            "merchant_no": merchant.mchid,
            "app_id": merchant.appid,
            "cert_serial_no": merchant.cert_serial_no,
            "private_key": merchant.private_key,
            "api_key": merchant.api_v3_key,
            "platform_key_id": merchant.platform_public_key_id,
            "platform_public_key": merchant.platform_public_key,
            field: value,
        }
        with pytest.raises(merchants.MerchantInvalid) as refused:
            await merchants.put_merchant_account(operator_company_id=company, now=now, **given)
        assert refused.value.params["field"] == field
        assert await db.fetchval("SELECT count(*) FROM merchant_account") == 1


class TestRotation:
    async def test_callbacks_of_the_former_platform_key_are_believed_two_days_more(
        self,
        company: UUID,
        alice: UUID,
        paying: Services,
        providers: Providers,
        api: httpx.AsyncClient,
        now: datetime,
        newer: Keys,
    ) -> None:
        keys = providers.wechat_pay.keys
        sheets = [
            await start_payment(operator_company_id=company, account_id=alice, services=paying, now=now)
            for _ in range(3)
        ]
        changed_keys, changed = with_platform_key(keys, keys.merchants[0], newer)
        await add_merchant_account(operator_company_id=company, merchant=changed, now=now)
        former = Callbacks(keys=keys, merchant=keys.merchants[0], now=now)
        present = Callbacks(keys=changed_keys, merchant=changed, now=now)
        assert await notify(api, former, sheets[0]) == 200
        assert await notify(api, present, sheets[1]) == 200
        await db.execute("UPDATE merchant_account SET former_until = $1", now)
        assert await notify(api, former, sheets[2]) == 401
        assert await notify(api, present, sheets[2]) == 200

    async def test_putting_the_same_account_again_keeps_the_former_key(
        self, company: UUID, providers: Providers, now: datetime, newer: Keys
    ) -> None:
        keys = providers.wechat_pay.keys
        _, changed = with_platform_key(keys, keys.merchants[0], newer)
        for _ in range(2):
            await add_merchant_account(operator_company_id=company, merchant=changed, now=now)
        row = await db.fetchrow("SELECT former_key_id, former_until FROM merchant_account")
        assert row is not None
        assert (row["former_key_id"], row["former_until"]) == (keys.platform_public_key_id, now + timedelta(days=2))

    async def test_a_running_process_signs_with_the_new_key_at_its_next_call(
        self, company: UUID, alice: UUID, paying: Services, providers: Providers, now: datetime, newer: Keys
    ) -> None:
        good = providers.wechat_pay.keys.merchants[0]
        bad = msgspec.structs.replace(good, private_key=newer.merchants[0].private_key)
        await start_payment(operator_company_id=company, account_id=alice, services=paying, now=now)
        await add_merchant_account(operator_company_id=company, merchant=bad, now=now)
        with pytest.raises(payments.ProviderUnavailable):
            await start_payment(operator_company_id=company, account_id=alice, services=paying, now=now)
        await add_merchant_account(operator_company_id=company, merchant=good, now=now)
        await start_payment(operator_company_id=company, account_id=alice, services=paying, now=now)


class TestTwoCompanies:
    async def test_are_paid_each_at_its_own_account(
        self,
        company: UUID,
        alice: UUID,
        paying: Services,
        providers: Providers,
        api: httpx.AsyncClient,
        now: datetime,
    ) -> None:
        keys = providers.wechat_pay.keys
        other = await add_company(name="远邻充电", now=now)
        await add_merchant_account(operator_company_id=other, merchant=keys.merchants[1], now=now)
        paid = {}
        for number, company_id in enumerate((company, other)):
            sheet = await start_payment(
                operator_company_id=company_id, account_id=alice, services=paying, now=now, amount_fen=100 + number
            )
            trade = providers.wechat_pay.books.find_trade(mchid=keys.merchants[number].mchid, out_trade_no=sheet.number)
            assert trade is not None and trade.total == 100 + number
            strangers = Callbacks(keys=keys, merchant=keys.merchants[1 - number], now=now)
            assert await notify(api, strangers, sheet) == 404
            own = Callbacks(keys=keys, merchant=keys.merchants[number], now=now)
            body = own.payment(number=sheet.number, total=100 + number)
            wrong_door = f"/v1/payments/wechat/{keys.merchants[1 - number].mchid}/notify"
            assert (await api.post(wrong_door, content=body, headers=own.headers(body))).status_code == 401
            assert await notify(api, own, sheet) == 200
            paid[company_id] = f"provider:{keys.merchants[number].mchid}"
        for number, (company_id, account) in enumerate(paid.items()):
            balance = await payments.trial_balance(operator_company_id=company_id)
            assert balance == {account: 100 + number, "receivable": -100 - number}
