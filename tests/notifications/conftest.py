"""The sandbox's providers, and services that reach them."""

import pytest
from piccolo.engine.postgres import PostgresEngine

from backend.core.gateways import SmsGateway, VoiceGateway
from backend.core.services import Services
from backend.notifications.gateways import PushGateways
from backend.notifications.gateways.aliyun_signing import AliyunClient
from backend.notifications.gateways.aliyun_sms import AliyunSms
from backend.notifications.gateways.aliyun_voice import AliyunVoice
from backend.notifications.gateways.apns import Apns
from sandbox.providers import Providers
from tests.providers import providers, running_providers

__all__ = ["providers", "running_providers"]


@pytest.fixture
def apns(providers: Providers) -> Apns:
    """The APNs transport against the sandbox's APNs."""
    settings = providers.settings
    return Apns(
        url=settings["LINLI_APNS_URL"],
        key_file=settings["LINLI_APNS_KEY_FILE"],
        key_id=settings["LINLI_APNS_KEY_ID"],
        team_id=settings["LINLI_APNS_TEAM_ID"],
        topic=settings["LINLI_APNS_TOPIC"],
        ca_file=settings["LINLI_APNS_CA_FILE"],
    )


@pytest.fixture
def aliyun(providers: Providers) -> AliyunClient:
    """A client with the sandbox's AccessKey."""
    settings = providers.settings
    return AliyunClient(key_id=settings["LINLI_ALIYUN_KEY_ID"], key_secret=settings["LINLI_ALIYUN_KEY_SECRET"])


@pytest.fixture
def sms(providers: Providers, aliyun: AliyunClient) -> AliyunSms:
    """The SMS transport against the sandbox."""
    return AliyunSms(
        client=aliyun,
        url=providers.settings["LINLI_SMS_URL"],
        sign_name=providers.settings["LINLI_SMS_SIGN_NAME"],
        codes={},
    )


@pytest.fixture
def voice(providers: Providers, aliyun: AliyunClient) -> AliyunVoice:
    """The voice transport against the sandbox."""
    return AliyunVoice(client=aliyun, url=providers.settings["LINLI_VOICE_URL"], show_number="", codes={})


@pytest.fixture
def sending(database: PostgresEngine, services: Services, apns: Apns, sms: AliyunSms, voice: AliyunVoice) -> Services:
    """Services whose push, SMS and voice are the sandbox's."""
    services.put(PushGateways, PushGateways({"ios": apns}))
    services.put(SmsGateway, sms)  # type: ignore[type-abstract]
    services.put(VoiceGateway, voice)  # type: ignore[type-abstract]
    return services
