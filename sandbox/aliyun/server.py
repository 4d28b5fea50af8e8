"""Aliyun's SendSms and SingleCallByTts: the signature and parameters are checked, what was sent can be read.

Source: help.aliyun.com, Dysmsapi 2017-05-25 SendSms, Dyvmsapi 2017-05-25 SingleCallByTts, and the common error codes.
Both actions are served at one address; the real ones differ by host name only.
"""

import hashlib
import hmac
import re
import secrets
import time
import uuid
from collections import deque
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from urllib.parse import parse_qsl

import msgspec

from sandbox.aliyun.signing import parse_authorization, signature
from sandbox.faults import Faults
from sandbox.http1 import HttpServer, Request, Response

DATE_WINDOW_S = 900
KEEP = 500
_PHONE = re.compile(r"^(\+?86)?1[3-9]\d{9}$")
_VARIABLE = re.compile(r"\$\{(\w+)\}")
_MUST_BE_SIGNED = (
    "host",
    "x-acs-action",
    "x-acs-content-sha256",
    "x-acs-date",
    "x-acs-signature-nonce",
    "x-acs-version",
)
FAULTS = frozenset({"drop", "500", "503", "throttled", "business_limit"})


class SentSms(msgspec.Struct, frozen=True, kw_only=True):
    """A text message that was accepted; `text` is the template filled in, as the phone shows it."""

    at: float
    phone: str
    sign_name: str
    template_code: str
    params: dict[str, str]
    text: str
    biz_id: str


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """A ringing call that was accepted; `text` is what is read out, `play_times` times."""

    at: float
    phone: str
    tts_code: str
    params: dict[str, str]
    text: str
    play_times: int
    call_id: str


class _Refused(Exception):
    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(code)
        self.status = status
        self.code = code
        self.message = message


class AliyunServer:
    """The two services; `templates` maps a template code to its approved text with `${variables}`."""

    def __init__(
        self,
        *,
        access_key_id: str,
        access_key_secret: str,
        sign_name: str,
        templates: Mapping[str, str],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.access_key_id = access_key_id
        self.sign_name = sign_name
        self.sent_sms: deque[SentSms] = deque(maxlen=KEEP)
        self.calls: deque[Call] = deque(maxlen=KEEP)
        self.faults = Faults(FAULTS)
        self.http = HttpServer(self.handle)
        self._secret = access_key_secret
        self._templates = dict(templates)
        self._clock = clock
        self._nonces: dict[str, float] = {}

    async def handle(self, request: Request) -> Response:
        """Answer one request."""
        fault = self.faults.take()
        try:
            match fault:
                case "drop":
                    return Response(200, drop=True)
                case "500":
                    raise _Refused(500, "InternalError", "The request processing has failed due to some unknown error.")
                case "503":
                    raise _Refused(503, "ServiceUnavailable", "The request has failed due to a temporary failure.")
                case "throttled":
                    raise _Refused(400, "Throttling.User", "Request was denied due to user flow control.")
            self._authenticate(request)
            params = dict(parse_qsl(request.query, keep_blank_values=True))
            if request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
                params |= dict(parse_qsl(request.body.decode("utf-8", "replace"), keep_blank_values=True))
            if request.headers["x-acs-version"] != "2017-05-25":
                raise _Refused(400, "InvalidVersion", "Specified parameter Version is not valid.")
            match request.headers["x-acs-action"]:
                case "SendSms":
                    return self._send_sms(params, limited=fault == "business_limit")
                case "SingleCallByTts":
                    return self._call(params, limited=fault == "business_limit")
            raise _Refused(404, "InvalidAction.NotFound", "Specified api is not found, check url and method.")
        except _Refused as refusal:
            return _json(
                refusal.status,
                {"Code": refusal.code, "Message": refusal.message, "RequestId": str(uuid.uuid4()).upper()},
            )

    def _authenticate(self, request: Request) -> None:
        parsed = parse_authorization(request.headers.get("authorization", ""))
        if parsed is None:
            raise _Refused(400, "IncompleteSignature", "The request signature does not conform to Aliyun standards.")
        key_id, signed_headers, given = parsed
        if key_id != self.access_key_id:
            raise _Refused(404, "InvalidAccessKeyId.NotFound", "Specified access key is not found.")
        for name in _MUST_BE_SIGNED:
            if name not in signed_headers or not request.headers.get(name):
                raise _Refused(400, "IncompleteSignature", f"The header {name} must be present and signed.")
        if list(signed_headers) != sorted(signed_headers):
            raise _Refused(400, "IncompleteSignature", "SignedHeaders must be sorted.")
        digest = hashlib.sha256(request.body).hexdigest()
        if request.headers["x-acs-content-sha256"] != digest:
            raise _Refused(400, "SignatureDoesNotMatch", "x-acs-content-sha256 is not the digest of the body.")
        expected = signature(
            secret=self._secret,
            method=request.method,
            path=request.path,
            query=request.query,
            headers=request.headers,
            signed_headers=signed_headers,
            body_sha256=digest,
        )
        if not hmac.compare_digest(expected, given):
            raise _Refused(400, "SignatureDoesNotMatch", "Specified signature is not matched with our calculation.")
        now = self._clock()
        try:
            sent = datetime.strptime(request.headers["x-acs-date"], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
        except ValueError:
            raise _Refused(400, "InvalidTimeStamp.Format", "Specified time stamp is not well formatted.") from None
        if abs(now - sent.timestamp()) > DATE_WINDOW_S:
            raise _Refused(400, "InvalidTimeStamp.Expired", "Specified time stamp or date value is expired.")
        self._nonces = {nonce: at for nonce, at in self._nonces.items() if now - at < 2 * DATE_WINDOW_S}
        nonce = request.headers["x-acs-signature-nonce"]
        if nonce in self._nonces:
            raise _Refused(400, "SignatureNonceUsed", "Specified signature nonce was used already.")
        self._nonces[nonce] = now

    def _send_sms(self, params: Mapping[str, str], *, limited: bool) -> Response:
        for name in ("PhoneNumbers", "SignName", "TemplateCode"):
            if not params.get(name):
                raise _Refused(400, f"Missing{name}", f"{name} is mandatory for this action.")
        phone = params["PhoneNumbers"]
        if not _PHONE.match(phone):
            return _business("isv.MOBILE_NUMBER_ILLEGAL", "非法手机号")
        if params["SignName"] != self.sign_name:
            return _business("isv.SMS_SIGNATURE_ILLEGAL", "短信签名不合法")
        content = self._templates.get(params["TemplateCode"])
        if content is None or not params["TemplateCode"].startswith("SMS_"):
            return _business("isv.SMS_TEMPLATE_ILLEGAL", "短信模板不合法")
        values = _values(params.get("TemplateParam", ""))
        if values is None:
            return _business("isv.INVALID_JSON_PARAM", "JSON参数不合法，只接受字符串值")
        if set(_VARIABLE.findall(content)) - values.keys():
            return _business("isv.TEMPLATE_MISSING_PARAMETERS", "模板缺少变量")
        if limited:
            return _business("isv.BUSINESS_LIMIT_CONTROL", "触发分钟级流控Permits:1")
        biz_id = f"{secrets.randbelow(10**18):018d}^0"
        self.sent_sms.append(
            SentSms(
                at=self._clock(),
                phone=phone,
                sign_name=params["SignName"],
                template_code=params["TemplateCode"],
                params=values,
                text=f"【{params['SignName']}】" + _VARIABLE.sub(lambda found: values[found[1]], content),
                biz_id=biz_id,
            )
        )
        return _business("OK", "OK", BizId=biz_id)

    def _call(self, params: Mapping[str, str], *, limited: bool) -> Response:
        for name in ("CalledNumber", "TtsCode"):
            if not params.get(name):
                raise _Refused(400, f"Missing{name}", f"{name} is mandatory for this action.")
        if not _PHONE.match(params["CalledNumber"]):
            return _business("isv.MOBILE_NUMBER_ILLEGAL", "非法手机号")
        content = self._templates.get(params["TtsCode"])
        if content is None or not params["TtsCode"].startswith("TTS_"):
            return _business("isv.TTS_TEMPLATE_ILLEGAL", "TTS模板不合法")
        values = _values(params.get("TtsParam", ""))
        if values is None:
            return _business("isv.INVALID_JSON_PARAM", "JSON参数不合法")
        if set(_VARIABLE.findall(content)) - values.keys():
            return _business("isv.TEMPLATE_MISSING_PARAMETERS", "模板缺少变量")
        times = params.get("PlayTimes", "3")
        if times not in ("1", "2", "3"):
            return _business("isv.INVALID_PARAMETERS", "PlayTimes 取值范围 1-3")
        if limited:
            return _business("isv.BUSINESS_LIMIT_CONTROL", "触发流控")
        call_id = f"{secrets.randbelow(10**12):012d}^{secrets.randbelow(10**12):012d}"
        self.calls.append(
            Call(
                at=self._clock(),
                phone=params["CalledNumber"],
                tts_code=params["TtsCode"],
                params=values,
                text=_VARIABLE.sub(lambda found: values[found[1]], content),
                play_times=int(times),
                call_id=call_id,
            )
        )
        return _business("OK", "OK", CallId=call_id)


def _values(text: str) -> dict[str, str] | None:
    """Return template values, or None when they are not a JSON object of strings."""
    if not text:
        return {}
    try:
        return msgspec.json.decode(text, type=dict[str, str])
    except (msgspec.DecodeError, msgspec.ValidationError):
        return None


def _business(code: str, message: str, **more: str) -> Response:
    return _json(200, {"Code": code, "Message": message, "RequestId": str(uuid.uuid4()).upper(), **more})


def _json(status: int, body: dict[str, str]) -> Response:
    return Response(status, msgspec.json.encode(body), {"Content-Type": "application/json;charset=utf-8"})
