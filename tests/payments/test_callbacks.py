"""WeChat Pay's callbacks over HTTP: true ones have one effect, all others none."""

import base64
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from random import Random
from uuid import UUID

import httpx
import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from backend.core import db
from backend.core.ids import new_id
from backend.core.services import Services
from backend.payments import service as payments
from backend.payments.service import PaymentSheet, settling
from sandbox.providers import Providers
from sandbox.wechat_pay.signing import answer_message, sign
from tests.factories.payments import Callbacks, start_payment
from tests.fakes import FixedClock

Send = Callable[[bytes, dict[str, str]], Awaitable[httpx.Response]]
BAD_HEADERS: list[tuple[str, str]] = [
    ("Wechatpay-Serial", "PUB_KEY_ID_0000000000000024101100397200000006"),
    ("Wechatpay-Serial", "5DEA10EF55877E3CF6C33255C2E7DEFFF7E427EC"),
    ("Wechatpay-Serial", ""),
    ("Wechatpay-Timestamp", "yesterday"),
    ("Wechatpay-Timestamp", "-1"),
    ("Wechatpay-Timestamp", "²³"),
    ("Wechatpay-Timestamp", ""),
    ("Wechatpay-Nonce", ""),
    ("Wechatpay-Nonce", "n" * 65),
    ("Wechatpay-Nonce", "another-nonce-than-signed"),
    ("Wechatpay-Signature", ""),
    ("Wechatpay-Signature", "WECHATPAY/SIGNTEST/QsMa0+VRDlJp1Wp5p0nO8"),
    ("Wechatpay-Signature", "不是签名"),
    ("Wechatpay-Signature-Type", "WECHATPAY2-SM2-WITH-SM3"),
]
MISMATCHES: list[tuple[dict[str, object], int]] = [
    ({"amount": {"total": 1, "currency": "CNY"}}, 422),
    ({"amount": {"total": 2345, "currency": "USD"}}, 422),
    ({"amount": None}, 422),
    ({"mchid": "1900000000"}, 422),
    ({"appid": "wx0000000000000000"}, 422),
    ({"trade_state": "NOTPAY"}, 422),
    ({"out_trade_no": "0" * 32}, 404),
    ({"out_trade_no": "not-a-number-of-ours"}, 404),
    ({"transaction_id": None}, 422),
    ({"out_trade_no": 17}, 400),
]
NO_NOTIFICATIONS: list[bytes] = [
    b"",
    b"{}",
    b"[]",
    b"\xff\xfe",
    b'{"resource": ' * 2000,
    b'{"event_type":"TRANSACTION.SUCCESS","resource_type":"encrypt-resource","resource":{"algorithm":"ROT13",'
    b'"ciphertext":"x","nonce":"12345678"}}',
    b'{"event_type":"TRANSACTION.SUCCESS","resource_type":"encrypt-resource","resource":{"algorithm":'
    b'"AEAD_AES_256_GCM","ciphertext":"x","nonce":"12345678"}}',
    b'{"event_type":"TRANSACTION.SUCCESS","resource_type":"encrypt-resource","resource":{"algorithm":'
    b'"AEAD_AES_256_GCM","ciphertext":"","nonce":"12345678"}}',
    b'{"event_type":"TRANSACTION.SUCCESS","resource_type":"encrypt-resource","resource":{"algorithm":'
    b'"AEAD_AES_256_GCM","ciphertext":"AAAA","nonce":"12345678"}}',
]

STRANGERS_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)


async def state_of(sheet: PaymentSheet) -> str:
    (view,) = await payments.list_payments(order_id=sheet.order_id)
    return view.state


async def counts() -> tuple[int, int, int]:
    """Return how many entries, success events and nonces there are."""
    row = await db.fetchrow(
        "SELECT (SELECT count(*) FROM ledger_entry) AS entries, (SELECT count(*) FROM callback_nonce) AS nonces,"
        " (SELECT count(*) FROM domain_event WHERE name IN ('PaymentSucceeded', 'RefundSucceeded')) AS events"
    )
    assert row is not None
    return row["entries"], row["events"], row["nonces"]


@pytest.fixture
async def sheet(company: UUID, alice: UUID, paying: Services, now: datetime) -> PaymentSheet:
    """An open payment of 23.45 yuan."""
    return await start_payment(operator_company_id=company, account_id=alice, services=paying, now=now)


@pytest.fixture
def send(api: httpx.AsyncClient, callbacks: Callbacks) -> Send:
    """Post a body to the company's payment callback."""

    async def post(body: bytes, headers: dict[str, str]) -> httpx.Response:
        path = f"/v1/payments/wechat/{callbacks.merchant.mchid}/notify"
        return await api.post(path, content=body, headers=headers)

    return post


class TestPaymentCallback:
    async def test_a_true_one_pays_the_order(self, sheet: PaymentSheet, send: Send, callbacks: Callbacks) -> None:
        body = callbacks.payment(number=sheet.number, total=2345)
        answer = await send(body, callbacks.headers(body))
        assert (answer.status_code, answer.content) == (200, b"")
        assert await state_of(sheet) == "succeeded"
        assert await counts() == (1, 1, 1)

    async def test_the_servers_own_callback_is_believed(
        self, sheet: PaymentSheet, send: Send, providers: Providers
    ) -> None:
        providers.faults["wechat_callback"].add("lose_callback")
        trade = await providers.pay(sheet.number)
        sender = providers.wechat_pay.callbacks
        body = sender.build(
            merchant=providers.wechat_pay.keys.merchants[0],
            event_type="TRANSACTION.SUCCESS",
            original_type="transaction",
            summary="支付成功",
            resource=providers.wechat_pay._trade_view(trade),
        )
        assert (await send(body, sender.headers(body))).status_code == 200
        paid = await payments.find_paid(order_id=sheet.order_id)
        assert paid is not None and paid.transaction_no == trade.transaction_id

    async def test_a_legitimate_retry_is_answered_200_without_another_effect(
        self, sheet: PaymentSheet, send: Send, callbacks: Callbacks
    ) -> None:
        body = callbacks.payment(number=sheet.number, total=2345)
        for _ in range(3):
            assert (await send(body, callbacks.headers(body))).status_code == 200
        assert (await counts())[:2] == (1, 1)

    async def test_an_exact_replay_is_refused(self, sheet: PaymentSheet, send: Send, callbacks: Callbacks) -> None:
        body = callbacks.payment(number=sheet.number, total=2345)
        headers = callbacks.headers(body)
        assert (await send(body, headers)).status_code == 200
        answer = await send(body, headers)
        assert answer.status_code == 409
        assert answer.json()["code"] == "FAIL"
        assert await counts() == (1, 1, 1)

    @pytest.mark.parametrize("minutes", [-6, 6, -60 * 24 * 730])
    async def test_one_signed_at_another_time_is_refused(
        self, sheet: PaymentSheet, send: Send, providers: Providers, now: datetime, minutes: int
    ) -> None:
        keys = providers.wechat_pay.keys
        old = Callbacks(keys=keys, merchant=keys.merchants[0], now=now + timedelta(minutes=minutes))
        body = old.payment(number=sheet.number, total=2345)
        assert (await send(body, old.headers(body))).status_code == 401
        assert await state_of(sheet) == "prepared"

    async def test_one_signed_by_a_stranger_is_refused(
        self, sheet: PaymentSheet, send: Send, callbacks: Callbacks
    ) -> None:
        body = callbacks.payment(number=sheet.number, total=2345)
        headers = callbacks.headers(body)
        message = answer_message(timestamp=headers["Wechatpay-Timestamp"], nonce=headers["Wechatpay-Nonce"], body=body)
        headers["Wechatpay-Signature"] = sign(STRANGERS_KEY, message)
        assert (await send(body, headers)).status_code == 401
        assert await state_of(sheet) == "prepared"
        assert await counts() == (0, 0, 0)

    async def test_one_with_a_bad_header_is_refused(
        self, sheet: PaymentSheet, send: Send, callbacks: Callbacks
    ) -> None:
        body = callbacks.payment(number=sheet.number, total=2345)
        for header, value in BAD_HEADERS:
            headers = callbacks.headers(body) | {header: value}
            answer = await send(body, {name.encode(): text.encode() for name, text in headers.items()})  # type: ignore[misc]
            assert answer.status_code == 401, (header, value)
        assert await counts() == (0, 0, 0)

    async def test_a_true_signature_over_what_does_not_match_changes_nothing(
        self, sheet: PaymentSheet, send: Send, callbacks: Callbacks
    ) -> None:
        for changes, status in MISMATCHES:
            body = callbacks.payment(number=sheet.number, total=2345, **changes)
            answer = await send(body, callbacks.headers(body))
            assert (answer.status_code, answer.json()["code"]) == (status, "FAIL"), changes
        assert await state_of(sheet) == "prepared"
        assert await counts() == (0, 0, 0)

    async def test_a_body_that_is_no_notification_is_4xx_even_when_signed(
        self, sheet: PaymentSheet, send: Send, callbacks: Callbacks
    ) -> None:
        for body in NO_NOTIFICATIONS:
            answer = await send(body, callbacks.headers(body))
            assert 400 <= answer.status_code < 500, body[:80]
        assert await counts() == (0, 0, 0)

    async def test_a_resource_encrypted_with_another_key_is_refused(
        self, sheet: PaymentSheet, send: Send, callbacks: Callbacks
    ) -> None:
        body = callbacks.payment(number=sheet.number, total=2345)
        notice = msgspec.json.decode(body)
        sealed = bytearray(base64.b64decode(notice["resource"]["ciphertext"]))
        sealed[0] ^= 1
        notice["resource"]["ciphertext"] = base64.b64encode(sealed).decode()
        body = msgspec.json.encode(notice)
        assert (await send(body, callbacks.headers(body))).status_code == 401

    async def test_another_companys_payment_cannot_be_paid_through_ours(
        self, sheet: PaymentSheet, api: httpx.AsyncClient, providers: Providers, now: datetime
    ) -> None:
        from tests.factories.accounts import add_company
        from tests.factories.payments import add_merchant_account

        keys = providers.wechat_pay.keys
        other = await add_company(name="远邻充电", now=now)
        await add_merchant_account(operator_company_id=other, merchant=keys.merchants[1], now=now)
        theirs = Callbacks(keys=keys, merchant=keys.merchants[1], now=now)
        body = theirs.payment(number=sheet.number, total=2345)
        path = f"/v1/payments/wechat/{keys.merchants[1].mchid}/notify"
        assert (await api.post(path, content=body, headers=theirs.headers(body))).status_code == 404
        assert await state_of(sheet) == "prepared"

    async def test_an_unknown_merchant_is_404(self, api: httpx.AsyncClient, callbacks: Callbacks) -> None:
        body = callbacks.payment(number="0" * 32, total=1)
        path = "/v1/payments/wechat/1999999999/notify"
        assert (await api.post(path, content=body, headers=callbacks.headers(body))).status_code == 404


class TestManyCallbacks:
    async def test_replayed_and_shuffled_ones_have_one_effect_each(
        self,
        company: UUID,
        alice: UUID,
        paying: Services,
        send: Send,
        callbacks: Callbacks,
        now: datetime,
    ) -> None:
        sheets = [
            await start_payment(
                operator_company_id=company, account_id=alice, services=paying, now=now, amount_fen=100 + number
            )
            for number in range(5)
        ]
        deliveries = []
        for sheet in sheets:
            body = callbacks.payment(number=sheet.number, total=sheet.amount_fen)
            deliveries += [(body, callbacks.headers(body)) for _ in range(4)]
            replayed = callbacks.headers(body)
            deliveries += [(body, replayed)] * 4
        Random(20261121).shuffle(deliveries)
        statuses = [(await send(body, headers)).status_code for body, headers in deliveries]
        assert set(statuses) == {200, 409}
        assert statuses.count(409) == 3 * len(sheets)
        assert (await counts())[:2] == (5, 5)
        balance = await payments.trial_balance(operator_company_id=company)
        assert balance["receivable"] == -sum(sheet.amount_fen for sheet in sheets)
        assert sum(balance.values()) == 0

    @pytest.mark.slow
    async def test_a_thousand_shuffled_with_forgeries_between_them(
        self,
        company: UUID,
        alice: UUID,
        paying: Services,
        send: Send,
        callbacks: Callbacks,
        now: datetime,
    ) -> None:
        """100 payments: of each 5 true deliveries, 5 replays of one, one forged; one effect each."""
        sheets = [
            await start_payment(
                operator_company_id=company, account_id=alice, services=paying, now=now, amount_fen=100 + number
            )
            for number in range(100)
        ]
        deliveries: list[tuple[str, bytes, dict[str, str]]] = []
        for sheet in sheets:
            body = callbacks.payment(number=sheet.number, total=sheet.amount_fen)
            deliveries += [("true", body, callbacks.headers(body)) for _ in range(5)]
            replayed = callbacks.headers(body)
            deliveries += [("replay", body, replayed)] * 5
            forged = callbacks.payment(number=sheet.number, total=1)
            deliveries.append(("forged", forged, callbacks.headers(body)))
        Random(20261122).shuffle(deliveries)
        answers = [(kind, (await send(body, headers)).status_code) for kind, body, headers in deliveries]
        assert {status for kind, status in answers if kind == "true"} == {200}
        assert [status for kind, status in answers if kind == "replay"].count(200) == len(sheets)
        assert {status for kind, status in answers if kind == "replay"} == {200, 409}
        assert {status for kind, status in answers if kind == "forged"} == {401}
        assert (await counts())[:2] == (100, 100)
        balance = await payments.trial_balance(operator_company_id=company)
        assert balance["receivable"] == -sum(sheet.amount_fen for sheet in sheets)


class TestRefundCallback:
    @pytest.fixture
    async def refund(self, sheet: PaymentSheet, send: Send, callbacks: Callbacks, now: datetime) -> payments.RefundView:
        """A refund of 3.45 yuan that is on its way."""
        body = callbacks.payment(number=sheet.number, total=2345)
        assert (await send(body, callbacks.headers(body))).status_code == 200
        return await payments.refund(payment_id=sheet.payment_id, amount_fen=345, reason="退款", key="k", now=now)

    async def post(self, api: httpx.AsyncClient, callbacks: Callbacks, body: bytes) -> int:
        path = f"/v1/payments/wechat/{callbacks.merchant.mchid}/refund-notify"
        return (await api.post(path, content=body, headers=callbacks.headers(body))).status_code

    async def test_a_true_one_settles_it_once(
        self, refund: payments.RefundView, sheet: PaymentSheet, api: httpx.AsyncClient, callbacks: Callbacks
    ) -> None:
        body = callbacks.refund(number=refund.id.hex, payment_number=sheet.number, amount=345, total=2345)
        assert [await self.post(api, callbacks, body) for _ in range(3)] == [200, 200, 200]
        (view,) = await payments.list_refunds(payment_id=sheet.payment_id)
        assert view.state == "succeeded"
        assert (await counts())[:2] == (2, 2)

    async def test_one_that_failed_frees_the_amount_and_books_nothing(
        self,
        refund: payments.RefundView,
        sheet: PaymentSheet,
        api: httpx.AsyncClient,
        callbacks: Callbacks,
        now: datetime,
    ) -> None:
        body = callbacks.refund(
            number=refund.id.hex, payment_number=sheet.number, amount=345, total=2345, status="ABNORMAL"
        )
        assert await self.post(api, callbacks, body) == 200
        (view,) = await payments.list_refunds(payment_id=sheet.payment_id)
        assert view.state == "failed"
        assert (await counts())[0] == 1
        await payments.refund(payment_id=sheet.payment_id, amount_fen=2345, reason="再退", key="again", now=now)

    @pytest.mark.parametrize(("amount", "number"), [(344, None), (345, "0" * 32)])
    async def test_a_wrong_amount_or_an_unknown_refund_changes_nothing(
        self,
        refund: payments.RefundView,
        sheet: PaymentSheet,
        api: httpx.AsyncClient,
        callbacks: Callbacks,
        amount: int,
        number: str | None,
    ) -> None:
        body = callbacks.refund(number=number or refund.id.hex, payment_number=sheet.number, amount=amount, total=2345)
        assert 400 <= await self.post(api, callbacks, body) < 500
        (view,) = await payments.list_refunds(payment_id=sheet.payment_id)
        assert view.state == "created"

    async def test_a_payment_callback_is_no_refund(
        self, refund: payments.RefundView, sheet: PaymentSheet, api: httpx.AsyncClient, callbacks: Callbacks
    ) -> None:
        body = callbacks.payment(number=sheet.number, total=2345)
        assert await self.post(api, callbacks, body) == 400


class TestNothingStored:
    async def test_a_database_that_is_away_is_503_and_the_retry_pays(
        self, sheet: PaymentSheet, send: Send, callbacks: Callbacks, clock: FixedClock, paying: Services
    ) -> None:
        # The table is gone for the length of a savepoint: PostgreSQL refuses the nonce, nothing is stored.
        body = callbacks.payment(number=sheet.number, total=2345)
        headers = callbacks.headers(body)
        await db.execute("SET LOCAL transaction_read_only = on")
        assert (await send(body, headers)).status_code == 503
        assert await state_of(sheet) == "prepared"

    async def test_a_check_and_a_callback_together_have_one_effect(
        self,
        sheet: PaymentSheet,
        send: Send,
        providers: Providers,
        callbacks: Callbacks,
        clock: FixedClock,
        paying: Services,
    ) -> None:
        providers.faults["wechat_callback"].add("lose_callback")
        trade = await providers.pay(sheet.number)
        clock.advance(seconds=11)
        await settling.check_payment(payment_id=sheet.payment_id, services=paying)
        body = callbacks.payment(number=sheet.number, total=2345, transaction_id=trade.transaction_id)
        assert (await send(body, callbacks.headers(body))).status_code == 200
        assert (await counts())[:2] == (1, 1)


class TestUnknownIds:
    async def test_a_refund_of_nothing_is_not_found(self, company: UUID, now: datetime) -> None:
        with pytest.raises(payments.PaymentNotFound):
            await payments.refund(payment_id=new_id(), amount_fen=1, reason="退款", key="k", now=now)
