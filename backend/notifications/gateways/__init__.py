"""One small transport per channel, put where the composition root looks for them."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol
from uuid import UUID

import msgspec

from backend.core.clock import Clock
from backend.core.gateways import SmsGateway, VoiceGateway
from backend.core.services import Services
from backend.core.settings import Settings

DEVICE_GONE = frozenset({"Unregistered", "BadDeviceToken", "DeviceTokenNotForTopic", "ExpiredToken"})
"""Codes of a GatewayError that say a device token will never work (again)."""


class Push(msgspec.Struct, frozen=True, kw_only=True):
    """A notification for a device; `id` is the delivery's, repeated on a retry."""

    id: UUID
    title: str
    body: str
    template: str
    event_key: str
    safety: bool


class PushGateway(Protocol):
    """Pushes to the devices of one platform."""

    async def push(self, *, token: str, push: Push) -> str:
        """Hand `push` over for the device; returns the provider's id, raises GatewayError (code in DEVICE_GONE)."""
        ...


class PushGateways:
    """The push gateways by platform; a platform without one has no push."""

    def __init__(self, by_platform: Mapping[str, PushGateway]) -> None:
        self._by_platform = dict(by_platform)

    def find(self, platform: str) -> PushGateway | None:
        """Return the gateway of `platform`, if there is one."""
        return self._by_platform.get(platform)


class Connections:
    """How the connections of this feature's clients are closed."""

    def __init__(self, *closers: Callable[[], Awaitable[None]]) -> None:
        self.closers = closers


def put_gateways(services: Services, settings: Settings) -> None:
    """Make the clients of notifications from the settings."""
    from backend.notifications.gateways.aliyun_signing import AliyunClient  # the transports import this module
    from backend.notifications.gateways.aliyun_sms import AliyunSms
    from backend.notifications.gateways.aliyun_voice import AliyunVoice
    from backend.notifications.gateways.apns import Apns
    from backend.notifications.gateways.huawei import HuaweiPush
    from backend.notifications.gateways.wechat_subscribe import WeChatSubscribe

    codes = template_codes(settings.aliyun_templates)
    client = AliyunClient(key_id=settings.aliyun_key_id, key_secret=settings.aliyun_key_secret)
    services.put(
        SmsGateway,  # type: ignore[type-abstract]
        AliyunSms(client=client, url=settings.sms_url, sign_name=settings.sms_sign_name, codes=codes),
    )
    services.put(
        VoiceGateway,  # type: ignore[type-abstract]
        AliyunVoice(client=client, url=settings.voice_url, show_number=settings.voice_show_number, codes=codes),
    )
    apns = Apns(
        url=settings.apns_url,
        key_file=settings.apns_key_file,
        key_id=settings.apns_key_id,
        team_id=settings.apns_team_id,
        topic=settings.apns_topic,
        ca_file=settings.apns_ca_file,
    )
    huawei = HuaweiPush(
        push_url=settings.huawei_push_url,
        login_url=settings.huawei_login_url,
        app_id=settings.huawei_app_id,
        app_secret=settings.huawei_app_secret,
        clock=lambda: services.get(Clock).now().timestamp(),  # type: ignore[type-abstract]
    )
    services.put(PushGateways, PushGateways({"ios": apns, "android": huawei}))
    wechat = WeChatSubscribe(
        base_url=settings.wechat_url,
        app_id=settings.wechat_app_id,
        app_secret=settings.wechat_app_secret,
        template_ids=template_codes(settings.wechat_templates),
        clock=lambda: services.get(Clock).now().timestamp(),  # type: ignore[type-abstract]
    )
    services.put(WeChatSubscribe, wechat)
    services.put(Connections, Connections(apns.close, huawei.close, client.close, wechat.close))


def template_codes(text: str) -> dict[str, str]:
    """Read `SMS_login_code_zh=SMS_123456,…`: our default code of a template → the one the provider gave it."""
    pairs = (part.partition("=") for part in text.split(",") if part.strip())
    return {ours.strip(): theirs.strip() for ours, _, theirs in pairs}


async def close_gateways(services: Services) -> None:
    """Close what `put_gateways` opened (the composition root calls it when the process ends)."""
    for close in services.get(Connections).closers:
        await close()
