"""The sandbox's Aliyun and WeChat login: published signature, parameters, one-use codes."""

import hashlib
from collections.abc import Callable
from datetime import UTC, datetime

import httpx
import msgspec
import pytest

from backend.core.clock import SystemClock
from backend.core.ids import new_id
from backend.notifications.gateways.aliyun_signing import canonical_query, sign_headers
from backend.notifications.rules import texts
from sandbox.aliyun.signing import parse_authorization, signature
from sandbox.providers import Providers
from sandbox.wechat.server import WeChatServer


class TestPublishedSignature:
    def test_aliyuns_fixed_example_verifies(self) -> None:
        headers = {
            "host": "ecs.cn-shanghai.aliyuncs.com",
            "x-acs-action": "RunInstances",
            "x-acs-content-sha256": hashlib.sha256(b"").hexdigest(),
            "x-acs-date": "2023-10-26T10:22:32Z",
            "x-acs-signature-nonce": "3156853299f313e23d1673dc12e1703d",
            "x-acs-version": "2014-05-26",
        }
        parsed = parse_authorization(
            "ACS3-HMAC-SHA256 Credential=YourAccessKeyId,SignedHeaders=host;x-acs-action;x-acs-content-sha256;"
            "x-acs-date;x-acs-signature-nonce;x-acs-version"
            ",Signature=06563a9e1b43f5dfe96b81484da74bceab24a1d853912eee15083a6f0f3283c0"
        )
        assert parsed is not None
        key_id, signed_headers, given = parsed
        assert key_id == "YourAccessKeyId"
        assert given == signature(
            secret="YourAccessKeySecret",
            method="POST",
            path="/",
            query="RegionId=cn-shanghai&ImageId=win2019_1809_x64_dtc_zh-cn_40G_alibase_20230811.vhd",
            headers=headers,
            signed_headers=signed_headers,
            body_sha256=headers["x-acs-content-sha256"],
        )


GOOD = {
    "PhoneNumbers": "13800000001",
    "SignName": "邻里充电",
    "TemplateCode": "SMS_login_code_zh",
    "TemplateParam": '{"code":"123456"}',
}


async def call(
    providers: Providers,
    *,
    query: dict[str, str] | None = None,
    action: str = "SendSms",
    version: str = "2017-05-25",
    at: datetime | None = None,
    nonce: str | None = None,
    change: Callable[[dict[str, str]], None] | None = None,
) -> tuple[int, str]:
    url = providers.settings["LINLI_SMS_URL"]
    params = GOOD if query is None else query
    headers = sign_headers(
        key_id=providers.settings["LINLI_ALIYUN_KEY_ID"],
        key_secret=providers.settings["LINLI_ALIYUN_KEY_SECRET"],
        method="POST",
        host=url.removeprefix("http://"),
        query=params,
        action=action,
        version=version,
        at=at or SystemClock().now(),
        nonce=nonce or new_id().hex,
    )
    if change is not None:
        change(headers)
    async with httpx.AsyncClient(trust_env=False) as client:
        answer = await client.post(f"{url}/?{canonical_query(params)}", headers=headers)
    return answer.status_code, answer.json()["Code"]


class TestAliyun:
    async def test_takes_a_signed_message(self, providers: Providers) -> None:
        assert await call(providers) == (200, "OK")
        assert providers.sent_sms[-1].params == {"code": "123456"}

    async def test_a_nonce_works_once(self, providers: Providers) -> None:
        nonce = new_id().hex
        assert (await call(providers, nonce=nonce))[0] == 200
        assert await call(providers, nonce=nonce) == (400, "SignatureNonceUsed")

    async def test_an_old_date_is_expired(self, providers: Providers) -> None:
        assert await call(providers, at=datetime(2023, 10, 26, tzinfo=UTC)) == (400, "InvalidTimeStamp.Expired")

    @pytest.mark.parametrize(
        ("header", "value", "status", "code"),
        [
            ("x-acs-action", "QuerySendDetails", 400, "SignatureDoesNotMatch"),
            ("x-acs-content-sha256", "0" * 64, 400, "SignatureDoesNotMatch"),
            ("Authorization", "ACS3-HMAC-SHA256 Credential=x", 400, "IncompleteSignature"),
            (
                "Authorization",
                f"ACS3-HMAC-SHA256 Credential=stranger,SignedHeaders=host,Signature={'0' * 64}",
                404,
                "InvalidAccessKeyId.NotFound",
            ),
        ],
    )
    async def test_a_changed_header_is_refused(
        self, providers: Providers, header: str, value: str, status: int, code: str
    ) -> None:
        assert await call(providers, change=lambda headers: headers.update({header: value})) == (status, code)

    async def test_every_header_of_the_protocol_must_be_signed(self, providers: Providers) -> None:
        def unsign(headers: dict[str, str]) -> None:
            headers["Authorization"] = headers["Authorization"].replace(";x-acs-signature-nonce", "")

        assert await call(providers, change=unsign) == (400, "IncompleteSignature")

    async def test_unknown_action_and_version(self, providers: Providers) -> None:
        assert await call(providers, action="SendFax") == (404, "InvalidAction.NotFound")
        assert await call(providers, version="2014-05-26") == (400, "InvalidVersion")

    @pytest.mark.parametrize(
        ("changes", "code"),
        [
            ({"PhoneNumbers": "12345"}, "isv.MOBILE_NUMBER_ILLEGAL"),
            ({"SignName": "别人"}, "isv.SMS_SIGNATURE_ILLEGAL"),
            ({"TemplateCode": "SMS_0"}, "isv.SMS_TEMPLATE_ILLEGAL"),
            ({"TemplateCode": "TTS_login_code_zh"}, "isv.SMS_TEMPLATE_ILLEGAL"),
            ({"TemplateParam": "{"}, "isv.INVALID_JSON_PARAM"),
            ({"TemplateParam": '{"code":1}'}, "isv.INVALID_JSON_PARAM"),
            ({"TemplateParam": "{}"}, "isv.TEMPLATE_MISSING_PARAMETERS"),
        ],
    )
    async def test_business_errors_come_with_200(
        self, providers: Providers, changes: dict[str, str], code: str
    ) -> None:
        assert await call(providers, query=GOOD | changes) == (200, code)
        assert not providers.sent_sms

    async def test_a_call_needs_its_own_template(self, providers: Providers) -> None:
        query = {"CalledNumber": "13800000011", "TtsCode": "SMS_login_code_zh", "TtsParam": '{"code":"1"}'}
        assert await call(providers, action="SingleCallByTts", query=query) == (200, "isv.TTS_TEMPLATE_ILLEGAL")

    async def test_knows_every_template_of_ours(self, providers: Providers) -> None:
        params = dict.fromkeys(texts.PLACEHOLDERS, "x")
        for name in texts.TEMPLATES:
            query = GOOD | {
                "TemplateCode": texts.provider_code("SMS", name, "en"),
                "TemplateParam": msgspec.json.encode(params).decode(),
            }
            assert await call(providers, query=query) == (200, "OK"), name


class TestWeChatLogin:
    async def ask(self, providers: Providers, **changes: str) -> dict[str, object]:
        settings = providers.settings
        params = {
            "appid": settings["LINLI_WECHAT_APP_ID"],
            "secret": settings["LINLI_WECHAT_APP_SECRET"],
            "grant_type": "authorization_code",
        } | changes
        async with httpx.AsyncClient(trust_env=False) as client:
            answer = await client.get(f"{settings['LINLI_WECHAT_URL']}/sns/jscode2session", params=params)
        assert answer.status_code == 200
        found: dict[str, object] = answer.json()
        return found

    async def test_a_code_gives_its_openid_once(self, providers: Providers) -> None:
        code = providers.new_login_code("openid-of-alice")
        answer = await self.ask(providers, js_code=code)
        assert answer["openid"] == "openid-of-alice"
        assert answer["session_key"]
        assert (await self.ask(providers, js_code=code))["errcode"] == 40163

    @pytest.mark.parametrize(
        ("changes", "errcode"),
        [
            ({"js_code": "made-up"}, 40029),
            ({"js_code": "x", "appid": "wx0"}, 40013),
            ({"js_code": "x", "secret": "guessed"}, 40125),
            ({"js_code": "x", "grant_type": "password"}, 40002),
        ],
    )
    async def test_says_what_is_wrong(self, providers: Providers, changes: dict[str, str], errcode: int) -> None:
        assert (await self.ask(providers, **changes))["errcode"] == errcode

    async def test_a_code_lives_five_minutes(self) -> None:
        from sandbox.http1 import Request

        moment = [1000.0]
        server = WeChatServer(appid="wx1", secret="s", clock=lambda: moment[0])
        code = server.new_login_code("o")
        moment[0] += 301
        target = f"/sns/jscode2session?appid=wx1&secret=s&grant_type=authorization_code&js_code={code}"
        answer = await server.handle(Request("GET", target, {}, b""))
        assert msgspec.json.decode(answer.body)["errcode"] == 40029
