"""The mini-program's login: jscode2session of the WeChat server.

Source: developers.weixin.qq.com, auth.code2Session. The answer is HTTP 200, JSON in `text/plain`, errors in `errcode`.
The app secret travels in the query: never log this address (httpx's own request log is silenced in core.logging).
"""

import httpx
import msgspec

from backend.core.errors import GatewayError

BAD_CODE = frozenset({40029, 40163, 40226, 41008})
"""Unknown or over; used before; held by WeChat as a high-risk user; missing: trying this code again cannot help."""


class _Answer(msgspec.Struct, frozen=True):
    openid: str = ""
    errcode: int = 0
    errmsg: str = ""


class WeChatCodes:
    """A `WeChatLogin` over HTTPS."""

    def __init__(self, *, base_url: str, app_id: str, app_secret: str, client: httpx.AsyncClient | None = None) -> None:
        self._client = client or httpx.AsyncClient(base_url=base_url, timeout=httpx.Timeout(5, connect=3))
        self._app_id = app_id
        self._app_secret = app_secret

    async def close(self) -> None:
        """Close the connections for good."""
        await self._client.aclose()

    async def openid_for(self, code: str) -> str:
        """Return the openid behind a code of `wx.login()`; raises GatewayError, permanent if the code is at fault."""
        query = {
            "appid": self._app_id,
            "secret": self._app_secret,
            "js_code": code,
            "grant_type": "authorization_code",
        }
        try:
            response = await self._client.get("/sns/jscode2session", params=query)
        except httpx.HTTPError as error:
            # The cause would carry the address, and with it the secret, into a log.
            raise GatewayError(f"WeChat login: {type(error).__name__}", permanent=False) from None
        if response.status_code != 200:
            raise GatewayError(f"WeChat login: HTTP {response.status_code}", permanent=False)
        try:
            answer = msgspec.json.decode(response.content, type=_Answer)
        except msgspec.MsgspecError:
            raise GatewayError(
                "WeChat login: the answer is not JSON of the documented shape", permanent=False
            ) from None
        if answer.errcode or not answer.openid:
            raise GatewayError(
                f"WeChat login: errcode {answer.errcode}",
                permanent=answer.errcode in BAD_CODE,
                code=str(answer.errcode),
            )
        return answer.openid
