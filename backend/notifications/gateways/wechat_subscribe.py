"""Subscribe messages of the WeChat mini-program: one consent of the person, one message.

Source: developers.weixin.qq.com, 订阅消息 subscribeMessage.send and 稳定版接口调用凭据 getStableAccessToken. Answers
are HTTP 200 with `errcode`; 43101 means that the person has not consented (any more). Never a safety channel.
"""

from collections.abc import Callable, Mapping
from typing import TypeVar

import httpx
import msgspec

from backend.core.errors import GatewayError
from backend.notifications.rules import texts

NO_CONSENT = "43101"
STALE_TOKEN = frozenset({40001, 40014, 42001})
PASSING = frozenset({-1, 45009, 45011, 50002})
VALUE_LIMIT = 20
"""Characters of a `thing` value; a longer one is refused with 47003."""
RENEW_BEFORE_S = 300


class _Token(msgspec.Struct, frozen=True):
    access_token: str = ""
    expires_in: int = 0
    errcode: int = 0


class _Answer(msgspec.Struct, frozen=True):
    errcode: int = 0
    msgid: int | str = ""


Shape = TypeVar("Shape")


class WeChatSubscribe:
    """Sends subscribe messages; `template_ids` maps our template names to those WeChat gave them."""

    def __init__(
        self,
        *,
        base_url: str,
        app_id: str,
        app_secret: str,
        template_ids: Mapping[str, str],
        clock: Callable[[], float],
        client: httpx.AsyncClient | None = None,
    ) -> None:
        self._client = client or httpx.AsyncClient(base_url=base_url, timeout=httpx.Timeout(5, connect=3))
        self._app_id = app_id
        self._app_secret = app_secret
        self._template_ids = template_ids
        self._clock = clock
        self._token = ""
        self._token_until = 0.0

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def send(self, *, openid: str, template: str, params: Mapping[str, str | int], locale: str) -> str:
        """Send one message; returns WeChat's message id, raises GatewayError (code is the errcode)."""
        text = texts.render(template, locale=locale, params=params)
        body = {
            "touser": openid,
            "template_id": self._template_ids.get(template, template),
            "page": "pages/inbox/inbox",
            "data": {"thing1": {"value": text.title[:VALUE_LIMIT]}, "thing2": {"value": text.body[:VALUE_LIMIT]}},
            "lang": "en_US" if locale == "en" else "zh_CN",
        }
        for first in (True, False):
            answer = await self._post(
                "/cgi-bin/message/subscribe/send", body, _Answer, params={"access_token": await self._access_token()}
            )
            if answer.errcode == 0:
                return str(answer.msgid)
            if answer.errcode in STALE_TOKEN and first:
                self._token = ""
                continue
            raise GatewayError(
                f"WeChat message: errcode {answer.errcode}",
                permanent=answer.errcode not in PASSING and answer.errcode not in STALE_TOKEN,
                code=str(answer.errcode),
            )
        raise AssertionError("the second try returns or raises")

    async def _access_token(self) -> str:
        if not self._app_id:
            raise GatewayError("WeChat is not configured (LINLI_WECHAT_APP_ID)", permanent=True, code="not_configured")
        if self._token and self._clock() < self._token_until:
            return self._token
        body = {"grant_type": "client_credential", "appid": self._app_id, "secret": self._app_secret}
        answer = await self._post("/cgi-bin/stable_token", body, _Token)
        if answer.errcode or not answer.access_token:
            raise GatewayError(
                f"WeChat token: errcode {answer.errcode}",
                permanent=answer.errcode not in PASSING,
                code=str(answer.errcode),
            )
        self._token = answer.access_token
        self._token_until = self._clock() + max(0, answer.expires_in - RENEW_BEFORE_S)
        return self._token

    async def _post(
        self, path: str, body: object, shape: type[Shape], params: Mapping[str, str] | None = None
    ) -> Shape:
        try:
            response = await self._client.post(path, content=msgspec.json.encode(body), params=params)
        except httpx.HTTPError as error:
            # The cause would carry the address, and with it the token, into a log.
            raise GatewayError(f"WeChat message: {type(error).__name__}", permanent=False) from None
        if response.status_code != 200:
            raise GatewayError(f"WeChat message: HTTP {response.status_code}", permanent=False)
        try:
            return msgspec.json.decode(response.content, type=shape)
        except msgspec.MsgspecError:
            raise GatewayError("WeChat message: the answer is not of the documented shape", permanent=False) from None
