"""Ringing calls through Aliyun (SingleCallByTts)."""

from collections.abc import Mapping

import msgspec

from backend.notifications.gateways.aliyun_signing import AliyunClient
from backend.notifications.rules import texts

PLAY_TIMES = 3


class AliyunVoice:
    """A `VoiceGateway`; `show_number` is the number shown, empty for the provider's pool."""

    def __init__(self, *, client: AliyunClient, url: str, show_number: str, codes: Mapping[str, str]) -> None:
        self._client = client
        self._url = url
        self._show_number = show_number
        self._codes = codes

    async def call(self, *, phone: str, template: str, params: Mapping[str, str | int], locale: str = "zh-CN") -> str:
        """Ring and read a template three times; returns the CallId. Source: Dyvmsapi 2017-05-25 SingleCallByTts."""
        code = texts.provider_code("TTS", template, locale)
        wanted = {name: str(value) for name, value in params.items() if name in texts.get(template).placeholders()}
        query = {
            "CalledNumber": phone.removeprefix("+86"),
            "TtsCode": self._codes.get(code, code),
            "TtsParam": msgspec.json.encode(wanted).decode(),
            "PlayTimes": str(PLAY_TIMES),
        }
        if self._show_number:
            query["CalledShowNumber"] = self._show_number
        answer = await self._client.call(url=self._url, action="SingleCallByTts", params=query)
        return answer.call_id
