"""SMS through Aliyun (SendSms)."""

from collections.abc import Mapping

import msgspec

from backend.notifications.gateways.aliyun_signing import AliyunClient
from backend.notifications.rules import texts


class AliyunSms:
    """A `SmsGateway`; `codes` maps our default template codes to the provider's."""

    def __init__(self, *, client: AliyunClient, url: str, sign_name: str, codes: Mapping[str, str]) -> None:
        self._client = client
        self._url = url
        self._sign_name = sign_name
        self._codes = codes

    async def send(self, *, phone: str, template: str, params: Mapping[str, str | int], locale: str = "zh-CN") -> str:
        """Send an approved template; returns the provider's BizId. Source: Dysmsapi 2017-05-25 SendSms."""
        code = texts.provider_code("SMS", template, locale)
        wanted = {name: str(value) for name, value in params.items() if name in texts.get(template).placeholders()}
        answer = await self._client.call(
            url=self._url,
            action="SendSms",
            params={
                "PhoneNumbers": phone.removeprefix("+86"),
                "SignName": self._sign_name,
                "TemplateCode": self._codes.get(code, code),
                "TemplateParam": msgspec.json.encode(wanted).decode(),
            },
        )
        return answer.biz_id
