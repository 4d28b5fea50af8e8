"""Subscribe messages of the mini-program: access tokens, consents of people, one consent for one message.

Source: developers.weixin.qq.com, getStableAccessToken and subscribeMessage.send: HTTP 200 with `errcode`; 40001 for a
bad token, 43101 where the person has not consented (any more), 47003 for a value that is too long.
"""

import secrets
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs

import msgspec

from sandbox.http1 import Request, Response

TOKEN_LIFETIME_S = 7200
VALUE_LIMIT = 20


@dataclass(frozen=True)
class SentMessage:
    """A message that WeChat took."""

    openid: str
    template_id: str
    data: dict[str, str]
    at: float


class SubscribeDesk:
    """What stands behind `/cgi-bin`; `consent` is the person's tap in `wx.requestSubscribeMessage`."""

    def __init__(self, *, appid: str, secret: str, clock: Callable[[], float] = time.time) -> None:
        self.appid = appid
        self.secret = secret
        self.sent: deque[SentMessage] = deque(maxlen=500)
        self._clock = clock
        self._token = ""
        self._token_until = 0.0
        self._consents: Counter[tuple[str, str]] = Counter()

    def consent(self, openid: str, template_id: str) -> None:
        """Let the person accept one message of a template."""
        self._consents[openid, template_id] += 1

    def list_consents(self) -> list[tuple[str, str, int]]:
        """(openid, template, messages still allowed) of everybody who accepted more than was sent."""
        return [(openid, template, left) for (openid, template), left in sorted(self._consents.items()) if left > 0]

    def withdraw(self, openid: str) -> int:
        """Let the person switch our messages off in WeChat; returns how many consents are void by it."""
        gone = [key for key in self._consents if key[0] == openid]
        return sum(self._consents.pop(key) for key in gone)

    def revoke_token(self) -> None:
        """Make the access token void, as another process asking with force_refresh would."""
        self._token = ""

    def clear(self) -> None:
        """Forget messages and consents."""
        self.sent.clear()
        self._consents.clear()

    def handle(self, request: Request) -> Response | None:
        """Answer a request of this part; None for paths that are not its own."""
        if request.path == "/cgi-bin/stable_token":
            return _answer(self._give_token(request))
        if request.path == "/cgi-bin/message/subscribe/send":
            return _answer(self._send(request))
        return None

    def _give_token(self, request: Request) -> dict[str, object]:
        body = _json(request)
        if request.method != "POST" or body.get("grant_type") != "client_credential":
            return {"errcode": 40002, "errmsg": "invalid grant_type"}
        if body.get("appid") != self.appid:
            return {"errcode": 40013, "errmsg": "invalid appid"}
        if body.get("secret") != self.secret:
            return {"errcode": 40125, "errmsg": "invalid appsecret"}
        if not self._token or self._clock() >= self._token_until:
            self._token = secrets.token_urlsafe(48)
            self._token_until = self._clock() + TOKEN_LIFETIME_S
        return {"access_token": self._token, "expires_in": int(self._token_until - self._clock())}

    def _send(self, request: Request) -> dict[str, object]:
        query = {name: values[0] for name, values in parse_qs(request.query).items()}
        token = query.get("access_token", "")
        if not self._token or not secrets.compare_digest(token, self._token):
            return {"errcode": 40001, "errmsg": "invalid credential, access_token is invalid or not latest"}
        if self._clock() >= self._token_until:
            return {"errcode": 42001, "errmsg": "access_token expired"}
        body = _json(request)
        openid, template_id, data = body.get("touser"), body.get("template_id"), body.get("data")
        if not isinstance(openid, str) or not openid:
            return {"errcode": 40003, "errmsg": "invalid openid"}
        if not isinstance(template_id, str) or not template_id:
            return {"errcode": 40037, "errmsg": "invalid template_id"}
        if not isinstance(data, dict) or not data:
            return {"errcode": 47003, "errmsg": "argument invalid! data is empty"}
        values: dict[str, str] = {}
        for name, field in data.items():
            value = field.get("value") if isinstance(field, dict) else None
            if not isinstance(value, str) or not value or (name.startswith("thing") and len(value) > VALUE_LIMIT):
                return {"errcode": 47003, "errmsg": f"argument invalid! data.{name}.value invalid"}
            values[name] = value
        if self._consents[openid, template_id] < 1:
            return {"errcode": 43101, "errmsg": "user refuse to accept the msg"}
        self._consents[openid, template_id] -= 1
        self.sent.append(SentMessage(openid, template_id, values, self._clock()))
        return {"errcode": 0, "errmsg": "ok", "msgid": len(self.sent)}


def _json(request: Request) -> dict[str, Any]:
    try:
        return msgspec.json.decode(request.body, type=dict[str, Any])
    except msgspec.MsgspecError:
        return {}


def _answer(body: dict[str, object]) -> Response:
    return Response(200, msgspec.json.encode(body), {"Content-Type": "application/json; charset=UTF-8"})
