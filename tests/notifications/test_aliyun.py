"""SMS and calls against the sandbox's Aliyun, and the signature against the published example."""

from datetime import UTC, datetime

import pytest

from backend.core.errors import GatewayError
from backend.notifications.gateways import template_codes
from backend.notifications.gateways.aliyun_signing import AliyunClient, sign_headers
from backend.notifications.gateways.aliyun_sms import AliyunSms
from backend.notifications.gateways.aliyun_voice import AliyunVoice
from sandbox.providers import Providers

PHONE = "13800000001"


class TestSignHeaders:
    def test_equals_the_fixed_example_of_aliyuns_documentation(self) -> None:
        headers = sign_headers(
            key_id="YourAccessKeyId",
            key_secret="YourAccessKeySecret",
            method="POST",
            host="ecs.cn-shanghai.aliyuncs.com",
            query={"ImageId": "win2019_1809_x64_dtc_zh-cn_40G_alibase_20230811.vhd", "RegionId": "cn-shanghai"},
            action="RunInstances",
            version="2014-05-26",
            at=datetime(2023, 10, 26, 10, 22, 32, tzinfo=UTC),
            nonce="3156853299f313e23d1673dc12e1703d",
        )
        assert headers["Authorization"] == (
            "ACS3-HMAC-SHA256 Credential=YourAccessKeyId,SignedHeaders=host;x-acs-action;x-acs-content-sha256;"
            "x-acs-date;x-acs-signature-nonce;x-acs-version,"
            "Signature=06563a9e1b43f5dfe96b81484da74bceab24a1d853912eee15083a6f0f3283c0"
        )


class TestSms:
    async def test_arrives_filled_in(self, sms: AliyunSms, providers: Providers) -> None:
        biz_id = await sms.send(phone="+8613800000001", template="login_code", params={"code": "482913"})
        (sent,) = providers.sent_sms
        assert (sent.phone, sent.biz_id) == (PHONE, biz_id)
        assert sent.text == "【邻里充电】您的登录验证码为482913，5分钟内有效，请勿告知他人。"

    async def test_follows_the_persons_language(self, sms: AliyunSms, providers: Providers) -> None:
        await sms.send(phone=PHONE, template="login_code", params={"code": "482913"}, locale="en")
        assert "Your login code is 482913" in providers.sent_sms[-1].text

    @pytest.mark.parametrize(
        ("fault", "permanent"),
        [("drop", False), ("500", False), ("503", False), ("throttled", False), ("business_limit", False)],
    )
    async def test_a_passing_failure_may_be_repeated(
        self, sms: AliyunSms, providers: Providers, fault: str, permanent: bool
    ) -> None:
        providers.faults["aliyun"].add(fault)
        with pytest.raises(GatewayError) as raised:
            await sms.send(phone=PHONE, template="login_code", params={"code": "482913"})
        assert raised.value.permanent == permanent
        await sms.send(phone=PHONE, template="login_code", params={"code": "482913"})

    @pytest.mark.parametrize("phone", ["12345", "23800000001", "+4915112345678", ""])
    async def test_a_number_that_is_none_is_refused_for_good(self, sms: AliyunSms, phone: str) -> None:
        with pytest.raises(GatewayError) as raised:
            await sms.send(phone=phone, template="login_code", params={"code": "482913"})
        assert raised.value.permanent

    async def test_an_error_never_carries_the_number(self, sms: AliyunSms, providers: Providers) -> None:
        for fault in ("drop", "500", "business_limit"):
            providers.faults["aliyun"].add(fault)
            with pytest.raises(GatewayError) as raised:
                await sms.send(phone=PHONE, template="login_code", params={"code": "482913"})
            assert PHONE not in repr(raised.value) + str(raised.value)
            assert raised.value.__cause__ is None

    async def test_a_wrong_secret_is_refused(self, providers: Providers) -> None:
        stranger = AliyunClient(key_id=providers.settings["LINLI_ALIYUN_KEY_ID"], key_secret="guessed")
        sms = AliyunSms(client=stranger, url=providers.settings["LINLI_SMS_URL"], sign_name="邻里充电", codes={})
        with pytest.raises(GatewayError) as raised:
            await sms.send(phone=PHONE, template="login_code", params={"code": "1"})
        assert raised.value.code == "SignatureDoesNotMatch"
        assert not providers.sent_sms

    async def test_without_a_key_it_says_so(self) -> None:
        unset = AliyunSms(client=AliyunClient(key_id="", key_secret=""), url="http://x", sign_name="x", codes={})
        with pytest.raises(GatewayError) as raised:
            await unset.send(phone=PHONE, template="login_code", params={"code": "1"})
        assert raised.value.code == "not_configured"


class TestVoice:
    async def test_rings_and_reads_the_text_three_times(self, voice: AliyunVoice, providers: Providers) -> None:
        call_id = await voice.call(
            phone=PHONE, template="incident_page", params={"station": "天通苑北站", "reason": "烟感报警"}
        )
        (call,) = providers.calls
        assert (call.phone, call.call_id, call.play_times) == (PHONE, call_id, 3)
        assert "天通苑北站发生紧急事件：烟感报警" in call.text


class TestTemplateCodes:
    def test_reads_the_setting(self) -> None:
        assert template_codes(" SMS_login_code_zh=SMS_1, TTS_incident_page_zh=TTS_2,") == {
            "SMS_login_code_zh": "SMS_1",
            "TTS_incident_page_zh": "TTS_2",
        }
