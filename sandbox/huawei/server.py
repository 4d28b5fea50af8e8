"""Huawei Push Kit: OAuth tokens and `messages:send`, with the checks and codes of the real one.

Source: developer.huawei.com, Push Kit REST API (Android): "OAuth 2.0 client credentials" and "Sending Messages".
"""

import secrets
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs

import msgspec

from sandbox.faults import Faults
from sandbox.http1 import HttpServer, Request, Response

TOKEN_LIFETIME_S = 3600
PAYLOAD_LIMIT = 4096
OK = "80000000"


@dataclass(frozen=True)
class VendorPush:
    """A push that was taken."""

    token: str
    title: str
    body: str
    urgency: str
    at: float


class HuaweiServer:
    """Both endpoints on one port; `unregister` is the app deleted from the phone with that token."""

    def __init__(self, *, app_id: str, secret: str, clock: Callable[[], float] = time.time) -> None:
        self.app_id = app_id
        self.secret = secret
        self.faults = Faults({"500", "503", "drop"})
        self.pushes: deque[VendorPush] = deque(maxlen=500)
        self.unregistered: set[str] = set()
        self._clock = clock
        self._tokens: dict[str, float] = {}
        self.http = HttpServer(self.handle)

    def unregister(self, token: str) -> None:
        """Let a device token be void from now on."""
        self.unregistered.add(token)

    def expire_tokens(self) -> None:
        """Let every access token be over."""
        self._tokens = dict.fromkeys(self._tokens, 0.0)

    async def handle(self, request: Request) -> Response:
        """Answer one request."""
        match self.faults.take():
            case "drop":
                return Response(200, drop=True)
            case "500" | "503" as status:
                return Response(int(status))
        if request.path == "/oauth2/v3/token" and request.method == "POST":
            return self._give_token(request)
        if request.path == f"/v1/{self.app_id}/messages:send" and request.method == "POST":
            return self._send(request)
        return Response(404)

    def _give_token(self, request: Request) -> Response:
        form = {name: values[0] for name, values in parse_qs(request.body.decode()).items()}
        if form.get("grant_type") != "client_credentials":
            return _answer(400, {"error": 1102, "sub_error": 20113, "error_description": "grant_type is invalid"})
        if form.get("client_id") != self.app_id or form.get("client_secret") != self.secret:
            return _answer(401, {"error": 1101, "sub_error": 20041, "error_description": "invalid client"})
        token = secrets.token_urlsafe(48)
        self._tokens[token] = self._clock() + TOKEN_LIFETIME_S
        return _answer(200, {"access_token": token, "expires_in": TOKEN_LIFETIME_S, "token_type": "Bearer"})

    def _send(self, request: Request) -> Response:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        until = self._tokens.get(token)
        if scheme != "Bearer" or until is None:
            return _code(401, "80200001", "oauth authentication error")
        if self._clock() >= until:
            return _code(401, "80200003", "oauth token expired")
        if len(request.body) > PAYLOAD_LIMIT:
            return _code(400, "80300008", "message body size exceeds the default value")
        try:
            message: dict[str, Any] = msgspec.convert(
                msgspec.json.decode(request.body, type=dict[str, Any])["message"], dict[str, Any]
            )
            devices = msgspec.convert(message["token"], list[str])
            shown = msgspec.convert(message["notification"], dict[str, str])
            android = msgspec.convert(message.get("android", {}), dict[str, Any])
            title, body = shown["title"], shown["body"]
        except (msgspec.MsgspecError, KeyError):
            return _code(400, "80100001", "some parameters are wrong")
        if not devices or not title or not body:
            return _code(400, "80100001", "some parameters are wrong")
        good = [device for device in devices if device not in self.unregistered]
        if not good:
            return _code(400, "80300007", "all tokens are invalid")
        urgency, at = str(android.get("urgency", "NORMAL")), self._clock()
        self.pushes.extend(VendorPush(device, title, body, urgency, at) for device in good)
        return _code(200, OK if len(good) == len(devices) else "80100000", "Success")


def _code(status: int, code: str, text: str) -> Response:
    return _answer(status, {"code": code, "msg": text, "requestId": secrets.token_hex(12)})


def _answer(status: int, body: dict[str, object]) -> Response:
    return Response(status, msgspec.json.encode(body), {"Content-Type": "application/json"})
