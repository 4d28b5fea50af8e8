"""Fakes of the outside world that accounts talks to."""

import pytest

from backend.core.gateways import SmsGateway, WeChatLogin
from backend.core.services import Services
from tests.factories.accounts import KnownWechatCodes, SentSms


@pytest.fixture
def sms(services: Services) -> SentSms:
    """The SMS gateway of the test."""
    fake = SentSms()
    services.put(SmsGateway, fake)  # type: ignore[type-abstract]
    return fake


@pytest.fixture
def wechat(services: Services) -> KnownWechatCodes:
    """The WeChat login of the test: two people with a phone in hand."""
    fake = KnownWechatCodes(
        {"alices-code": "openid-of-alice", "alices-next-code": "openid-of-alice", "bobs-code": "openid-of-bob"}
    )
    services.put(WeChatLogin, fake)  # type: ignore[type-abstract]
    return fake
