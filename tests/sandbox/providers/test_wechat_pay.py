"""The sandbox's WeChat Pay against what WeChat Pay publishes, and what it refuses.

Published examples: the signature of 签名生成 (GET /v3/refund/…, verified with the public half of the test key the
documentation prints) and the AEAD vector of the official Java SDK's tests.
"""

import asyncio
import base64
from pathlib import Path

import httpx
import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key

from backend.core.clock import SystemClock
from backend.core.ids import new_id
from sandbox.http1 import HttpServer, Request, Response
from sandbox.providers import Providers
from sandbox.wechat_pay.books import Books, Trade
from sandbox.wechat_pay.keys import Merchant
from sandbox.wechat_pay.server import CannotPay
from sandbox.wechat_pay.signing import (
    BadAuthorization,
    answer_message,
    encrypt_resource,
    parse_authorization,
    request_message,
    sign,
    verifies,
)

PUBLISHED_KEY = base64.b64decode(
    "MIIEogIBAAKCAQEAptpm+qvIDCh/9wjU26SQCK26ogYkBhDrYxnAaw2JbbBsp1oDbHKk+1r381NeBUG2HEFAuU+Fr72u5ot3yKdzoF/FajAzQNKn"
    "m569/D3upKoi8mYBaST15Uig8j8qoUW1U217LL0jEHlSnHV3lcaDTXqDpTRR4Bfz9IqOgJgFZ8/oTfEomSrjrLYef81Eyxr7ZIMQXEKKEK7V4UXK"
    "S0+/fDsiG/cXidhzt8UbTL9vqXqxM2+IDImyO+FAc/tkBG55LmzxPto1Nq0WbnZzRM/wTzrd0I/8NlevxtFbphg4evlHjFNI7+GrqR87ViEwuAJJ"
    "9Je5QQjct5YJfFRWiZ5CMQIDAQABAoIB"
)
"""The start of the key apiclient_test_key.pem that the documentation prints: version and modulus, no private part."""
PUBLISHED_SIGNATURE = (
    "Lc9VXxmeonkdV8Xk9tmigQFLhl0vRWTerdmoRu01aAnYwIrD/5nsSwE1WlmZGLRlAFTNQ3QsMa0+VRDlJp1Wp5p0nO8EK68b5sJBbjouxaFciIfq"
    "1zfDWWz+jqhcMoKXI1A6dPm1AW7D4d30WsMTNzp6g23OXakIsh9LO3lUmwvTuE0BY8ncf6tNGk4wKmvXwERd/ZpoQY3MAVKz+Nakwc+2XBmzT66K"
    "cUehU5kr4IvGa/lEU5RZb/q00zP9VLdBhC/jQSX3X1UcJLCtEc4gTmib4tnmAT+bHF/e17ZAuxDNcx6rqT8gNEXqaJGG+1OflMSTU2tpyG65G4dM"
    "KdFcoA=="
)
PUBLISHED_AUTHORIZATION = (
    'WECHATPAY2-SHA256-RSA2048 mchid="1900007291",nonce_str="593BEC0C930BF1AFEB40B4A08C8FB242",'
    f'signature="{PUBLISHED_SIGNATURE}",timestamp="1554208460",serial_no="408B07E79B8269FEC3D5D3E6AB8ED163A6A380DB"'
)


def published_public_key() -> rsa.RSAPublicKey:
    start = PUBLISHED_KEY.index(bytes.fromhex("02820101")) + 4
    modulus = int.from_bytes(PUBLISHED_KEY[start : start + 257], "big")
    return rsa.RSAPublicNumbers(65537, modulus).public_key()


class TestPublishedExamples:
    def test_the_documented_request_signature_verifies(self) -> None:
        found = parse_authorization(PUBLISHED_AUTHORIZATION)
        message = request_message(
            method="GET",
            target="/v3/refund/domestic/refunds/123123123123",
            timestamp=found.timestamp,
            nonce=found.nonce_str,
            body=b"",
        )
        assert found.mchid == "1900007291"
        assert verifies(published_public_key(), message, found.signature)
        assert not verifies(published_public_key(), message + b"\n", found.signature)

    def test_the_aead_vector_of_the_official_sdk(self) -> None:
        assert (
            encrypt_resource(
                api_v3_key="a7cde1ZJB1kG2e7VfTs3jQzaWizur8Gb",
                nonce="uluk4a9R25RW",
                associated_data="associatedData",
                plain=b"message",
            )
            == "ulwSiIajGClcvcOYvOQ7+l+0PAbzzwI="
        )

    @pytest.mark.parametrize(
        "header",
        [
            "",
            "Bearer x",
            PUBLISHED_AUTHORIZATION.replace("RSA2048", "SM3"),
            PUBLISHED_AUTHORIZATION.replace(',timestamp="1554208460"', ""),
            PUBLISHED_AUTHORIZATION.replace('"1900007291"', "1900007291"),
            PUBLISHED_AUTHORIZATION + ',mchid="1"',
        ],
    )
    def test_another_form_of_authorization_is_refused(self, header: str) -> None:
        with pytest.raises(BadAuthorization):
            parse_authorization(header)


def present() -> float:
    """Return the present in seconds since the epoch."""
    return SystemClock().now().timestamp()


class RawClient:
    """Signs requests by hand, apart from any client library."""

    def __init__(self, providers: Providers, merchant: Merchant) -> None:
        self.url = providers.settings["LINLI_WECHAT_PAY_URL"]
        self.merchant = merchant
        self.platform_key = load_pem_public_key(merchant.platform_public_key.encode())
        key = load_pem_private_key(merchant.private_key.encode(), password=None)
        assert isinstance(key, rsa.RSAPrivateKey)
        self.key = key

    async def call(
        self,
        method: str,
        target: str,
        body: object | None = None,
        *,
        at: float | None = None,
        serial_no: str | None = None,
        sign_body: bytes | None = None,
        headers: dict[str, str] | None = None,
    ) -> httpx.Response:
        content = b"" if body is None else body if isinstance(body, bytes) else msgspec.json.encode(body)
        timestamp = str(int(present() if at is None else at))
        nonce = "593BEC0C930BF1AFEB40B4A08C8FB242"
        signed = content if sign_body is None else sign_body
        message = request_message(method=method, target=target, timestamp=timestamp, nonce=nonce, body=signed)
        all_headers = {
            "Authorization": f'WECHATPAY2-SHA256-RSA2048 mchid="{self.merchant.mchid}",nonce_str="{nonce}",'
            f'signature="{sign(self.key, message)}",timestamp="{timestamp}",'
            f'serial_no="{serial_no or self.merchant.cert_serial_no}"',
            "Accept": "application/json",
            "User-Agent": "tests",
            "Content-Type": "application/json",
        } | (headers or {})
        async with httpx.AsyncClient(trust_env=False) as client:
            return await client.request(method, self.url + target, content=content, headers=all_headers)

    def prepay(self, **changes: object) -> dict[str, object]:
        """Return the documented example body of JSAPI 下单, with our merchant."""
        return {
            "appid": self.merchant.appid,
            "mchid": self.merchant.mchid,
            "description": "Image形象店-深圳腾大-QQ公仔",
            "out_trade_no": new_id().hex,
            "notify_url": "https://www.weixin.qq.com/wxpay/pay.php",
            "amount": {"total": 100, "currency": "CNY"},
            "payer": {"openid": "oUpF8uMuAJO_M2pxb1Q9zNjWeS6o"},
        } | changes


@pytest.fixture
def raw(providers: Providers) -> RawClient:
    """A client of the first merchant."""
    return RawClient(providers, providers.wechat_pay.keys.merchants[0])


class TestAuthentication:
    async def test_the_documented_example_body_is_accepted_and_the_answer_is_signed(self, raw: RawClient) -> None:
        answer = await raw.call("POST", "/v3/pay/transactions/jsapi", raw.prepay())
        assert answer.status_code == 200
        assert set(answer.json()) == {"prepay_id"}
        message = answer_message(
            timestamp=answer.headers["Wechatpay-Timestamp"],
            nonce=answer.headers["Wechatpay-Nonce"],
            body=answer.content,
        )
        assert isinstance(raw.platform_key, rsa.RSAPublicKey)
        assert verifies(raw.platform_key, message, answer.headers["Wechatpay-Signature"])
        assert answer.headers["Wechatpay-Serial"] == raw.merchant.platform_public_key_id

    async def test_a_signature_over_another_body_is_refused(self, raw: RawClient) -> None:
        answer = await raw.call("POST", "/v3/pay/transactions/jsapi", raw.prepay(), sign_body=b"{}")
        assert (answer.status_code, answer.json()["code"]) == (401, "SIGN_ERROR")

    async def test_a_signature_over_the_path_without_its_query_is_refused(self, raw: RawClient) -> None:
        target = f"/v3/pay/transactions/out-trade-no/T1234567?mchid={raw.merchant.mchid}"
        message_target = target.partition("?")[0]
        timestamp, nonce = str(int(present())), "n" * 32
        bad = sign(
            raw.key,
            request_message(method="GET", target=message_target, timestamp=timestamp, nonce=nonce, body=b""),
        )
        headers = {
            "Authorization": f'WECHATPAY2-SHA256-RSA2048 mchid="{raw.merchant.mchid}",nonce_str="{nonce}",'
            f'signature="{bad}",timestamp="{timestamp}",serial_no="{raw.merchant.cert_serial_no}"'
        }
        assert (await raw.call("GET", target, headers=headers)).status_code == 401
        assert (await raw.call("GET", target)).status_code == 404

    @pytest.mark.parametrize("offset", [-400, 400])
    async def test_an_old_or_future_timestamp_is_refused(self, raw: RawClient, offset: int) -> None:
        answer = await raw.call("POST", "/v3/pay/transactions/jsapi", raw.prepay(), at=present() + offset)
        assert (answer.status_code, answer.json()["code"]) == (401, "SIGN_ERROR")

    async def test_another_certificates_serial_is_refused(self, raw: RawClient) -> None:
        answer = await raw.call("POST", "/v3/pay/transactions/jsapi", raw.prepay(), serial_no="0" * 40)
        assert (answer.status_code, answer.json()["code"]) == (401, "SIGN_ERROR")

    @pytest.mark.parametrize(
        ("headers", "status"),
        [({"Accept": "text/html"}, 406), ({"Content-Type": "text/plain"}, 415), ({"Wechatpay-Serial": "other"}, 400)],
    )
    async def test_headers_are_checked(self, raw: RawClient, headers: dict[str, str], status: int) -> None:
        answer = await raw.call("POST", "/v3/pay/transactions/jsapi", raw.prepay(), headers=headers)
        assert answer.status_code == status
        assert set(answer.json()) >= {"code", "message"}


class TestPrepay:
    @pytest.mark.parametrize(
        ("changes", "status", "code"),
        [
            ({"amount": {"total": 0, "currency": "CNY"}}, 400, "PARAM_ERROR"),
            ({"amount": {"total": -1}}, 400, "PARAM_ERROR"),
            ({"amount": {"total": "100"}}, 400, "PARAM_ERROR"),
            ({"amount": {"total": 100, "currency": "USD"}}, 400, "PARAM_ERROR"),
            ({"payer": {"openid": ""}}, 400, "PARAM_ERROR"),
            ({"payer": None}, 400, "PARAM_ERROR"),
            ({"description": "x" * 128}, 400, "PARAM_ERROR"),
            ({"description": ""}, 400, "PARAM_ERROR"),
            ({"out_trade_no": "short"}, 400, "PARAM_ERROR"),
            ({"out_trade_no": "x" * 33}, 400, "PARAM_ERROR"),
            ({"out_trade_no": "with space"}, 400, "PARAM_ERROR"),
            ({"notify_url": "http://example.com/pay"}, 400, "PARAM_ERROR"),
            ({"notify_url": "https://example.com/pay?a=1"}, 400, "PARAM_ERROR"),
            ({"notify_url": "/pay"}, 400, "PARAM_ERROR"),
            ({"mchid": "1900007291"}, 400, "PARAM_ERROR"),
            ({"appid": "wxd678efh567hg6787"}, 400, "APPID_MCHID_NOT_MATCH"),
            ({"time_expire": "2018-06-08T10:34:56+08:00"}, 400, "PARAM_ERROR"),
            ({"time_expire": "tomorrow"}, 400, "PARAM_ERROR"),
        ],
    )
    async def test_refuses_what_wechat_pay_refuses(
        self, raw: RawClient, changes: dict[str, object], status: int, code: str
    ) -> None:
        answer = await raw.call("POST", "/v3/pay/transactions/jsapi", raw.prepay(**changes))
        assert (answer.status_code, answer.json()["code"]) == (status, code)

    async def test_a_body_that_is_not_json_is_refused(self, raw: RawClient) -> None:
        answer = await raw.call("POST", "/v3/pay/transactions/jsapi", b"{")
        assert (answer.status_code, answer.json()["code"]) == (400, "PARAM_ERROR")

    async def test_a_missing_field_is_named(self, raw: RawClient) -> None:
        body = raw.prepay()
        del body["description"]
        answer = await raw.call("POST", "/v3/pay/transactions/jsapi", body)
        assert answer.json()["detail"]["field"] == "/body/description"

    async def test_the_same_order_again_has_the_same_prepay_id_and_another_one_is_refused(self, raw: RawClient) -> None:
        body = raw.prepay()
        first = await raw.call("POST", "/v3/pay/transactions/jsapi", body)
        again = await raw.call("POST", "/v3/pay/transactions/jsapi", body)
        assert first.json() == again.json()
        other = await raw.call("POST", "/v3/pay/transactions/jsapi", body | {"amount": {"total": 101}})
        assert (other.status_code, other.json()["code"]) == (403, "OUT_TRADE_NO_USED")


class TestLifeOfAnOrder:
    async def query(self, raw: RawClient, number: object) -> httpx.Response:
        return await raw.call("GET", f"/v3/pay/transactions/out-trade-no/{number}?mchid={raw.merchant.mchid}")

    async def test_paid_then_refunded_in_parts_but_never_more_than_paid(
        self, raw: RawClient, providers: Providers
    ) -> None:
        body = raw.prepay()
        number = str(body["out_trade_no"])
        await raw.call("POST", "/v3/pay/transactions/jsapi", body)
        assert (await self.query(raw, number)).json()["trade_state"] == "NOTPAY"
        providers.faults["wechat_callback"].add("lose_callback")
        await providers.pay(number)
        view = (await self.query(raw, number)).json()
        assert (view["trade_state"], view["amount"]["total"]) == ("SUCCESS", 100)
        by_id = await raw.call("GET", f"/v3/pay/transactions/id/{view['transaction_id']}?mchid={raw.merchant.mchid}")
        assert by_id.json() == view

        def refund(number_of_refund: str, amount: int, total: int = 100) -> dict[str, object]:
            return {
                "out_trade_no": number,
                "out_refund_no": number_of_refund,
                "amount": {"refund": amount, "total": total, "currency": "CNY"},
            }

        path = "/v3/refund/domestic/refunds"
        first = await raw.call("POST", path, refund(f"{number}A", 60))
        assert first.json()["status"] == "PROCESSING"
        assert (await raw.call("POST", path, refund(f"{number}A", 60))).json()["refund_id"] == first.json()["refund_id"]
        changed = await raw.call("POST", path, refund(f"{number}A", 61))
        assert (changed.status_code, changed.json()["code"]) == (400, "INVALID_REQUEST")
        too_much = await raw.call("POST", path, refund(f"{number}B", 41))
        assert (too_much.status_code, too_much.json()["code"]) == (400, "INVALID_REQUEST")
        wrong_total = await raw.call("POST", path, refund(f"{number}B", 40, total=200))
        assert wrong_total.status_code == 400
        assert (await raw.call("POST", path, refund(f"{number}B", 40))).status_code == 200
        assert (await raw.call("GET", f"{path}/{number}A")).json()["status"] == "SUCCESS"
        assert (await self.query(raw, number)).json()["trade_state"] == "REFUND"

    async def test_a_closed_order_cannot_be_paid(self, raw: RawClient, providers: Providers) -> None:
        body = raw.prepay()
        number = str(body["out_trade_no"])
        await raw.call("POST", "/v3/pay/transactions/jsapi", body)
        closed = await raw.call(
            "POST", f"/v3/pay/transactions/out-trade-no/{number}/close", {"mchid": raw.merchant.mchid}
        )
        assert (closed.status_code, closed.content) == (204, b"")
        with pytest.raises(CannotPay):
            await providers.pay(number)
        again = await raw.call("POST", "/v3/pay/transactions/jsapi", body)
        assert again.json()["code"] == "ORDER_CLOSED"

    async def test_another_merchant_sees_nothing_of_it(self, raw: RawClient, providers: Providers) -> None:
        body = raw.prepay()
        await raw.call("POST", "/v3/pay/transactions/jsapi", body)
        other = RawClient(providers, providers.wechat_pay.keys.merchants[1])
        answer = await self.query(other, body["out_trade_no"])
        assert (answer.status_code, answer.json()["code"]) == (404, "ORDER_NOT_EXIST")
        foreign = await other.call(
            "GET", f"/v3/pay/transactions/out-trade-no/{body['out_trade_no']}?mchid={raw.merchant.mchid}"
        )
        assert foreign.status_code == 400

    async def test_nobody_can_refund_what_was_not_paid(self, raw: RawClient) -> None:
        body = raw.prepay()
        await raw.call("POST", "/v3/pay/transactions/jsapi", body)
        answer = await raw.call(
            "POST",
            "/v3/refund/domestic/refunds",
            {
                "out_trade_no": body["out_trade_no"],
                "out_refund_no": "R1",
                "amount": {"refund": 1, "total": 100, "currency": "CNY"},
            },
        )
        assert (answer.status_code, answer.json()["code"]) == (404, "RESOURCE_NOT_EXISTS")


class TestCallbacks:
    async def test_are_sent_again_until_taken(self, raw: RawClient, providers: Providers) -> None:
        seen: list[Request] = []
        arrived = asyncio.Event()

        async def take(request: Request) -> Response:
            seen.append(request)
            arrived.set()
            return Response(503 if len(seen) < 3 else 200)

        shop = HttpServer(take)
        await shop.start(host="127.0.0.1", port=0)
        try:
            body = raw.prepay(notify_url=f"http://127.0.0.1:{shop.port}/notify")
            await raw.call("POST", "/v3/pay/transactions/jsapi", body)
            trade = await providers.pay(str(body["out_trade_no"]))
            async with asyncio.timeout(5):
                while len(seen) < 3:
                    await arrived.wait()
                    arrived.clear()
        finally:
            await shop.close()
        assert len({request.headers["wechatpay-nonce"] for request in seen}) == 3
        assert len({request.body for request in seen}) == 1
        assert isinstance(raw.platform_key, rsa.RSAPublicKey)
        for request in seen:
            message = answer_message(
                timestamp=request.headers["wechatpay-timestamp"],
                nonce=request.headers["wechatpay-nonce"],
                body=request.body,
            )
            assert verifies(raw.platform_key, message, request.headers["wechatpay-signature"])
        assert msgspec.json.decode(seen[0].body)["event_type"] == "TRANSACTION.SUCCESS"
        assert trade.state == "SUCCESS"


class TestBooks:
    def test_survive_a_restart(self, tmp_path: Path) -> None:
        path = tmp_path / "books.sqlite"
        books = Books(path)
        trade = Trade(
            mchid="1",
            appid="a",
            out_trade_no="T1234567",
            description="d",
            notify_url="https://x",
            total=5,
            openid="o",
            prepay_id="p",
        )
        books.keep_trade(trade)
        books.close()
        assert Books(path).find_trade(mchid="1", out_trade_no="T1234567") == trade
