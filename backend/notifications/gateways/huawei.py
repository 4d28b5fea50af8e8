"""Push to Android phones by Huawei Push Kit, behind the same `PushGateway` as APNs.

Source: developer.huawei.com, Push Kit REST API: OAuth client credentials, `messages:send`; codes are strings, 80000000
is success, 80300007 says that the device token is void.
"""

from collections.abc import Callable
from typing import TypeVar

import httpx
import msgspec

from backend.core.errors import GatewayError
from backend.notifications.gateways import Push

OK = "80000000"
TOKEN_VOID = "80300007"
LOGIN_OVER = frozenset({"80200001", "80200003"})
PERMANENT = frozenset({"80100001", "80100003", "80300002", "80300008"})
RENEW_BEFORE_S = 300


Shape = TypeVar("Shape", bound=msgspec.Struct)


class _Login(msgspec.Struct, frozen=True):
    access_token: str = ""
    expires_in: int = 0


class _Answer(msgspec.Struct, frozen=True, rename="camel"):
    code: str = ""
    request_id: str = ""


class HuaweiPush:
    """The `PushGateway` of Android."""

    def __init__(
        self, *, push_url: str, login_url: str, app_id: str, app_secret: str, clock: Callable[[], float]
    ) -> None:
        self._client = httpx.AsyncClient(timeout=httpx.Timeout(5, connect=3), trust_env=False)
        self._push_url = f"{push_url.rstrip('/')}/v1/{app_id}/messages:send"
        self._login_url = f"{login_url.rstrip('/')}/oauth2/v3/token"
        self._app_id = app_id
        self._app_secret = app_secret
        self._clock = clock
        self._token = ""
        self._token_until = 0.0

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def push(self, *, token: str, push: Push) -> str:
        """Push to one device; returns Huawei's request id, raises GatewayError ("Unregistered" for a void token)."""
        body = msgspec.json.encode(
            {
                "validate_only": False,
                "message": {
                    "notification": {"title": push.title, "body": push.body},
                    "android": {
                        "urgency": "HIGH" if push.safety else "NORMAL",
                        "ttl": "86400s",
                        "notification": {"click_action": {"type": 3}, "tag": str(push.id)},
                    },
                    "data": msgspec.json.encode({"template": push.template, "delivery_id": str(push.id)}).decode(),
                    "token": [token],
                },
            }
        )
        for first in (True, False):
            headers = {"authorization": f"Bearer {await self._login()}", "content-type": "application/json"}
            response = await self._post(self._push_url, content=body, headers=headers)
            answer = _decode(response, _Answer)
            if response.status_code == 200 and answer.code == OK:
                return answer.request_id
            if answer.code in LOGIN_OVER and first:
                self._token = ""
                continue
            raise GatewayError(
                f"Huawei push: HTTP {response.status_code} {answer.code}",
                permanent=answer.code in PERMANENT or answer.code == TOKEN_VOID,
                code="Unregistered" if answer.code == TOKEN_VOID else answer.code or str(response.status_code),
            )
        raise AssertionError("the second try returns or raises")

    async def _login(self) -> str:
        if not self._app_id:
            raise GatewayError("Huawei is not configured (LINLI_HUAWEI_APP_ID)", permanent=True, code="not_configured")
        if self._token and self._clock() < self._token_until:
            return self._token
        form = {"grant_type": "client_credentials", "client_id": self._app_id, "client_secret": self._app_secret}
        response = await self._post(self._login_url, data=form)
        answer = _decode(response, _Login)
        if response.status_code != 200 or not answer.access_token:
            raise GatewayError(
                f"Huawei login: HTTP {response.status_code}",
                permanent=400 <= response.status_code < 500 and response.status_code != 429,
                code=str(response.status_code),
            )
        self._token = answer.access_token
        self._token_until = self._clock() + max(0, answer.expires_in - RENEW_BEFORE_S)
        return self._token

    async def _post(
        self,
        url: str,
        *,
        content: bytes | None = None,
        data: dict[str, str] | None = None,
        headers: dict[str, str] | None = None,
    ) -> httpx.Response:
        try:
            return await self._client.post(url, content=content, data=data, headers=headers)
        except httpx.HTTPError as error:
            raise GatewayError(f"Huawei push: {type(error).__name__}", permanent=False) from None


def _decode(response: httpx.Response, shape: type[Shape]) -> Shape:
    try:
        return msgspec.json.decode(response.content, type=shape)
    except msgspec.MsgspecError:
        return shape()
