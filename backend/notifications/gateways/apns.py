"""Apple's push service: apns2's payload, token and errors over httpx with HTTP/2.

apns2's own client never recovers from a dropped connection (architecture.md, traps); httpx opens a new one.
Source: developer.apple.com, "Sending notification requests to APNs" and "Handling notification responses from APNs".
"""

import hashlib
import ssl
from collections.abc import Callable

import httpx
import msgspec
from apns2.credentials import TokenCredentials
from apns2.errors import exception_class_for_reason
from apns2.payload import Payload, PayloadAlert

from backend.core.errors import GatewayError
from backend.notifications.gateways import DEVICE_GONE, Push

TRIES = 3
"""Tries within one delivery when the connection breaks (GOAWAY, drop): each opens a new one."""
PASSING_REASONS = frozenset(
    {"TooManyRequests", "TooManyProviderTokenUpdates", "InternalServerError", "ServiceUnavailable", "Shutdown"}
    | {"IdleTimeout", "ExpiredProviderToken", "InvalidProviderToken", "MissingProviderToken"}
)
PAYLOAD_LIMIT = 4096


class _Refusal(msgspec.Struct, frozen=True):
    reason: str = ""
    timestamp: int | None = None


class Apns:
    """The `PushGateway` of iOS."""

    def __init__(self, *, url: str, key_file: str, key_id: str, team_id: str, topic: str, ca_file: str = "") -> None:
        self._url = url.rstrip("/")
        self._topic = topic
        self._ca_file = ca_file
        self._make_credentials: Callable[[], TokenCredentials] | None = None
        if key_file:
            self._make_credentials = lambda: TokenCredentials(key_file, key_id, team_id)
        self._credentials: TokenCredentials | None = None
        self._http: httpx.AsyncClient | None = None

    async def push(self, *, token: str, push: Push) -> str:
        """Push to one device; returns the apns-id, raises GatewayError (code is APNs's reason)."""
        body = payload(push)
        for attempt in range(1, TRIES + 1):
            try:
                return await self._post(token, push, body)
            except httpx.TransportError as error:
                if attempt == TRIES:
                    raise GatewayError(f"APNs: {type(error).__name__}", permanent=False) from None
            except GatewayError as error:
                if error.code != "ExpiredProviderToken" or attempt == TRIES:
                    raise
                self._credentials = None
        raise AssertionError("the last try returns or raises")

    async def close(self) -> None:
        """Close the connections."""
        if self._http is not None:
            await self._http.aclose()
            self._http = None

    def _client(self) -> httpx.AsyncClient:
        if self._http is None:
            context = ssl.create_default_context(cafile=self._ca_file or None)
            self._http = httpx.AsyncClient(
                http2=True, verify=context, timeout=httpx.Timeout(5, connect=3), trust_env=False
            )
        return self._http

    async def _post(self, token: str, push: Push, body: bytes) -> str:
        if self._make_credentials is None:
            raise GatewayError("APNs is not configured (LINLI_APNS_KEY_FILE)", permanent=True, code="not_configured")
        if self._credentials is None:
            self._credentials = self._make_credentials()
        response = await self._client().post(
            f"{self._url}/3/device/{token}",
            content=body,
            headers={
                "authorization": str(self._credentials.get_authorization_header(self._topic)),
                "apns-topic": self._topic,
                "apns-push-type": "alert",
                "apns-priority": "10",
                "apns-id": str(push.id),
                "apns-collapse-id": hashlib.sha256(push.event_key.encode()).hexdigest(),
            },
        )
        if response.status_code == 200:
            return str(response.headers.get("apns-id", push.id))
        raise refusal(response)


def payload(push: Push) -> bytes:
    """Return the JSON of a push; a safety message breaks through a phone's focus as time-sensitive."""
    content = Payload(
        alert=PayloadAlert(title=push.title, body=push.body),
        sound="default",
        mutable_content=False,
        custom={"template": push.template, "delivery_id": str(push.id)},
    ).dict()
    if push.safety:
        content["aps"]["interruption-level"] = "time-sensitive"
    body: bytes = msgspec.json.encode(content)
    if len(body) > PAYLOAD_LIMIT:
        raise GatewayError("APNs: the payload is larger than 4096 bytes", permanent=True, code="PayloadTooLarge")
    return body


def refusal(response: httpx.Response) -> GatewayError:
    """Return the GatewayError for an answer that is not 200; an empty body counts by its status."""
    try:
        reason = msgspec.json.decode(response.content, type=_Refusal).reason
    except msgspec.MsgspecError:
        reason = ""
    wait = response.headers.get("retry-after", "")
    retry_after_s = float(wait) if wait.isdigit() else None
    passing = reason in PASSING_REASONS or response.status_code >= 500 or response.status_code == 429
    if response.status_code == 410 and reason not in DEVICE_GONE:
        reason = "Unregistered"
    return GatewayError(
        f"APNs: HTTP {response.status_code} {_describe(reason)}",
        permanent=not passing,
        retry_after_s=retry_after_s,
        code=reason or str(response.status_code),
    )


def _describe(reason: str) -> str:
    """Return apns2's name for a reason, or the reason itself where apns2 does not know it."""
    try:
        return str(exception_class_for_reason(reason).__name__)
    except KeyError:
        return reason or "without a reason"
