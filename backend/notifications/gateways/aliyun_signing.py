"""Signed calls to Aliyun's RPC services (V3 signature, ACS3-HMAC-SHA256) over httpx.

Source: help.aliyun.com, V3版本请求体&签名机制. Why not the SDK: docs/decisions (Aliyun without its SDK).
"""

import hashlib
import hmac
import secrets
from collections.abc import Mapping
from datetime import datetime
from urllib.parse import quote, urlsplit

import httpx
import msgspec

from backend.core.clock import Clock, SystemClock
from backend.core.errors import GatewayError

ALGORITHM = "ACS3-HMAC-SHA256"
VERSION = "2017-05-25"
PASSING = ("Throttling", "ServiceUnavailable", "InternalError", "SignatureNonceUsed", "InvalidTimeStamp")
PASSING_BUSINESS = {"isv.BUSINESS_LIMIT_CONTROL": 60.0, "isp.SYSTEM_ERROR": 5.0, "isp.RAM_PERMISSION_DENY": 60.0}
"""Business codes that pass, with the seconds to wait; every other one will not change by itself."""


class Answer(msgspec.Struct, frozen=True, rename="pascal"):
    """What both services answer."""

    code: str
    message: str = ""
    biz_id: str = ""
    call_id: str = ""


def sign_headers(
    *,
    key_id: str,
    key_secret: str,
    method: str,
    host: str,
    query: Mapping[str, str],
    action: str,
    version: str,
    at: datetime,
    nonce: str,
    body: bytes = b"",
) -> dict[str, str]:
    """Return the headers of a request, with its Authorization."""
    digest = hashlib.sha256(body).hexdigest()
    headers = {
        "host": host,
        "x-acs-action": action,
        "x-acs-content-sha256": digest,
        "x-acs-date": at.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "x-acs-signature-nonce": nonce,
        "x-acs-version": version,
    }
    names = ";".join(sorted(headers))
    lines = "".join(f"{name}:{headers[name]}\n" for name in sorted(headers))
    canonical = "\n".join([method, "/", canonical_query(query), lines, names, digest])
    to_sign = f"{ALGORITHM}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    signature = hmac.new(key_secret.encode(), to_sign.encode(), hashlib.sha256).hexdigest()
    return headers | {"Authorization": f"{ALGORITHM} Credential={key_id},SignedHeaders={names},Signature={signature}"}


def canonical_query(query: Mapping[str, str]) -> str:
    """Return the query sorted and percent-encoded as RFC 3986 says; it is also what is sent."""
    return "&".join(f"{quote(name, safe='-_.~')}={quote(query[name], safe='-_.~')}" for name in sorted(query))


class AliyunClient:
    """Calls actions of Aliyun's RPC services."""

    def __init__(self, *, key_id: str, key_secret: str, clock: Clock | None = None) -> None:
        self._key_id = key_id
        self._key_secret = key_secret
        self._clock = clock or SystemClock()
        self._http: httpx.AsyncClient | None = None

    async def call(self, *, url: str, action: str, params: Mapping[str, str]) -> Answer:
        """Call `action`; raises GatewayError with the provider's code unless it says OK."""
        if not self._key_id:
            raise GatewayError("Aliyun is not configured (LINLI_ALIYUN_KEY_ID)", permanent=True, code="not_configured")
        headers = sign_headers(
            key_id=self._key_id,
            key_secret=self._key_secret,
            method="POST",
            host=urlsplit(url).netloc,
            query=params,
            action=action,
            version=VERSION,
            at=self._clock.now(),
            nonce=secrets.token_hex(16),
        )
        if self._http is None:
            self._http = httpx.AsyncClient(timeout=httpx.Timeout(5, connect=3), trust_env=False)
        try:
            response = await self._http.post(f"{url.rstrip('/')}/?{canonical_query(params)}", headers=headers)
        except httpx.HTTPError as error:
            # The address carries the phone number: never let it into a log.
            raise GatewayError(f"Aliyun {action}: {type(error).__name__}", permanent=False) from None
        return self._read(action, response)

    async def close(self) -> None:
        """Close the connections; a later call opens them again."""
        if self._http is not None:
            await self._http.aclose()
            self._http = None

    def _read(self, action: str, response: httpx.Response) -> Answer:
        try:
            answer = msgspec.json.decode(response.content, type=Answer)
        except msgspec.MsgspecError:
            raise GatewayError(f"Aliyun {action}: HTTP {response.status_code}", permanent=False) from None
        if response.status_code == 200 and answer.code == "OK":
            return answer
        text = f"Aliyun {action}: HTTP {response.status_code} {answer.code}"
        if response.status_code != 200:
            passing = response.status_code >= 500 or answer.code.startswith(PASSING)
            raise GatewayError(text, permanent=not passing, code=answer.code)
        wait_s = PASSING_BUSINESS.get(answer.code)
        raise GatewayError(text, permanent=wait_s is None, retry_after_s=wait_s, code=answer.code)
