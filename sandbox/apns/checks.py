"""What APNs demands of a push request, as its documentation says it.

Source: developer.apple.com, "Sending notification requests to APNs", "Establishing a token-based connection to APNs",
"Handling notification responses from APNs" (statuses and reasons), and the archived "Communicating with APNs".
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import jwt
import msgspec
from cryptography.hazmat.primitives.asymmetric import ec

PAYLOAD_LIMIT = 4096
VOIP_PAYLOAD_LIMIT = 5120
TOKEN_LIFETIME_S = 3600
TOKEN_SKEW_S = 60
COLLAPSE_ID_LIMIT = 64
PUSH_TYPES = frozenset(
    {
        "alert",
        "background",
        "location",
        "voip",
        "complication",
        "fileprovider",
        "mdm",
        "liveactivity",
        "pushtotalk",
        "controls",
        "widgets",
    }
)
_DEVICE_TOKEN = re.compile(r"^[0-9a-fA-F]{64,200}$")
_UUID = re.compile(r"^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$")


class Refused(Exception):
    """A request APNs refuses: status, reason and, for 410, since when (milliseconds)."""

    def __init__(self, status: int, reason: str, *, timestamp: int | None = None) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason
        self.timestamp = timestamp

    def body(self) -> bytes:
        """Return the JSON of the answer."""
        content: dict[str, object] = {"reason": self.reason}
        if self.timestamp is not None:
            content["timestamp"] = self.timestamp
        return msgspec.json.encode(content)


@dataclass(frozen=True)
class Push:
    """A notification that was accepted."""

    at: float
    apns_id: str
    device_token: str
    topic: str
    push_type: str
    priority: int
    collapse_id: str | None
    expiration: int | None
    payload: dict[str, object]


def one_value_each(headers: Sequence[tuple[str, str]]) -> dict[str, str]:
    """Return the headers as a mapping; a repeated one is DuplicateHeaders."""
    found: dict[str, str] = {}
    for name, value in headers:
        if name in found:
            raise Refused(400, "DuplicateHeaders")
        found[name] = value
    return found


def provider_token(
    authorization: str | None, *, key: ec.EllipticCurvePublicKey, key_id: str, team_id: str, now: float
) -> str:
    """Return the provider token of the Authorization header if Apple would accept it."""
    if not authorization:
        raise Refused(403, "MissingProviderToken")
    scheme, _, token = authorization.partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise Refused(403, "InvalidProviderToken")
    try:
        head = jwt.get_unverified_header(token)
        if head.get("alg") != "ES256" or head.get("kid") != key_id:
            raise Refused(403, "InvalidProviderToken")
        claims = jwt.decode(
            token,
            key,
            algorithms=["ES256"],
            options={"verify_exp": False, "verify_iat": False, "verify_aud": False, "verify_nbf": False},
        )
    except jwt.PyJWTError as error:
        raise Refused(403, "InvalidProviderToken") from error
    issued_at = claims.get("iat")
    if claims.get("iss") != team_id or not isinstance(issued_at, int | float) or issued_at > now + TOKEN_SKEW_S:
        raise Refused(403, "InvalidProviderToken")
    if now - issued_at > TOKEN_LIFETIME_S:
        raise Refused(403, "ExpiredProviderToken")
    return token


def device_token(headers: dict[str, str]) -> str:
    """Return the device token of `:path`; the request must be a POST to /3/device/TOKEN."""
    if headers.get(":method") != "POST":
        raise Refused(405, "MethodNotAllowed")
    path = headers.get(":path", "")
    if path.rstrip("/") == "/3/device":
        raise Refused(400, "MissingDeviceToken")
    prefix, _, token = path.rpartition("/")
    if prefix != "/3/device":
        raise Refused(404, "BadPath")
    if not _DEVICE_TOKEN.match(token):
        raise Refused(400, "BadDeviceToken")
    return token.lower()


def push(headers: dict[str, str], body: bytes, *, device: str, topics: frozenset[str], now: float, new_id: str) -> Push:
    """Return the notification the request asks for, or refuse it with APNs's reason."""
    apns_id = headers.get("apns-id", new_id)
    if not _UUID.match(apns_id):
        raise Refused(400, "BadMessageId")
    topic = headers.get("apns-topic")
    if not topic:
        raise Refused(400, "MissingTopic")
    if topic not in topics:
        raise Refused(400, "TopicDisallowed")
    push_type = headers.get("apns-push-type", "")
    if push_type not in PUSH_TYPES:
        raise Refused(400, "InvalidPushType")
    priority = headers.get("apns-priority", "10")
    if priority not in ("1", "5", "10") or (push_type == "background" and priority == "10"):
        raise Refused(400, "BadPriority")
    expiration = headers.get("apns-expiration")
    if expiration is not None and not expiration.isdigit():
        raise Refused(400, "BadExpirationDate")
    collapse_id = headers.get("apns-collapse-id")
    if collapse_id is not None and len(collapse_id.encode()) > COLLAPSE_ID_LIMIT:
        raise Refused(400, "BadCollapseId")
    if not body:
        raise Refused(400, "PayloadEmpty")
    if len(body) > (VOIP_PAYLOAD_LIMIT if push_type == "voip" else PAYLOAD_LIMIT):
        raise Refused(413, "PayloadTooLarge")
    try:
        payload = msgspec.json.decode(body, type=dict[str, object])
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise Refused(400, "PayloadEmpty") from error
    if not isinstance(payload.get("aps"), dict):
        raise Refused(400, "PayloadEmpty")
    return Push(
        at=now,
        apns_id=apns_id,
        device_token=device,
        topic=topic,
        push_type=push_type,
        priority=int(priority),
        collapse_id=collapse_id,
        expiration=int(expiration) if expiration is not None else None,
        payload=payload,
    )
