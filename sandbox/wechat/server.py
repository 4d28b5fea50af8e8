"""jscode2session of the WeChat mini-program: one-use login codes against appid and secret.

Source: developers.weixin.qq.com, 小程序登录 auth.code2Session: answers are HTTP 200 with `errcode` in the body,
codes live five minutes and work once.
"""

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import parse_qs

import msgspec

from sandbox.faults import Faults
from sandbox.http1 import HttpServer, Request, Response
from sandbox.wechat.subscribe import SubscribeDesk

CODE_LIFETIME_S = 300


@dataclass
class _Code:
    openid: str
    made_at: float
    used: bool = False


class WeChatServer:
    """The login server; `new_login_code` is what `wx.login()` would give the app of that person."""

    def __init__(self, *, appid: str, secret: str, clock: Callable[[], float] = time.time) -> None:
        self.appid = appid
        self.secret = secret
        self.faults = Faults({"busy", "500", "drop"})
        self._clock = clock
        self._codes: dict[str, _Code] = {}
        self.subscribe = SubscribeDesk(appid=appid, secret=secret, clock=clock)
        self.http = HttpServer(self.handle)

    def new_login_code(self, openid: str) -> str:
        """Return a fresh login code of `openid`, good once within five minutes."""
        horizon = self._clock() - 2 * CODE_LIFETIME_S
        self._codes = {code: entry for code, entry in self._codes.items() if entry.made_at > horizon}
        code = secrets.token_urlsafe(24)
        self._codes[code] = _Code(openid=openid, made_at=self._clock())
        return code

    async def handle(self, request: Request) -> Response:
        """Answer one request."""
        match self.faults.take():
            case "drop":
                return Response(200, drop=True)
            case "500":
                return Response(500)
            case "busy":
                return _answer({"errcode": -1, "errmsg": "system error"})
        if (answered := self.subscribe.handle(request)) is not None:
            return answered
        if request.path != "/sns/jscode2session":
            return Response(404)
        query = {name: values[0] for name, values in parse_qs(request.query).items()}
        if query.get("appid") != self.appid:
            return _answer({"errcode": 40013, "errmsg": "invalid appid"})
        if query.get("secret") != self.secret:
            return _answer({"errcode": 40125, "errmsg": "invalid appsecret"})
        if query.get("grant_type") != "authorization_code":
            return _answer({"errcode": 40002, "errmsg": "invalid grant_type"})
        entry = self._codes.get(query.get("js_code", ""))
        if entry is None or self._clock() - entry.made_at > CODE_LIFETIME_S:
            return _answer({"errcode": 40029, "errmsg": "invalid code"})
        if entry.used:
            return _answer({"errcode": 40163, "errmsg": "code been used"})
        entry.used = True
        return _answer({"openid": entry.openid, "session_key": secrets.token_urlsafe(16)})


def _answer(body: dict[str, object]) -> Response:
    return Response(200, msgspec.json.encode(body), {"Content-Type": "text/plain"})
