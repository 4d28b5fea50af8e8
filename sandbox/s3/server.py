"""PUT, GET and DELETE of objects, refusing what S3 refuses: a wrong signature, body digest, key id, or a late request.

The signature is computed from the request as it came, by its own few lines, so that a mistake of the client's is not
repeated here. Source: docs.aws.amazon.com, "Authenticating Requests (AWS Signature Version 4)".
"""

import hashlib
import hmac
import re
import time
from collections.abc import Callable
from datetime import UTC, datetime

from sandbox.http1 import HttpServer, Request, Response

LATE_S = 15 * 60
AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 Credential=([^/]+)/(\d{8})/([^/]+)/s3/aws4_request,"
    r" ?SignedHeaders=([a-z0-9;-]+), ?Signature=([0-9a-f]{64})"
)


class S3Server:
    """One bucket in memory."""

    def __init__(
        self, *, bucket: str, region: str, key_id: str, secret: str, clock: Callable[[], float] = time.time
    ) -> None:
        self.bucket, self.region, self.key_id, self._secret = bucket, region, key_id, secret
        self.objects: dict[str, bytes] = {}
        self._clock = clock
        self.http = HttpServer(self.handle)

    async def handle(self, request: Request) -> Response:
        """Answer one request."""
        if (refusal := self._refusal(request)) is not None:
            return _error(*refusal)
        bucket, _, name = request.path.lstrip("/").partition("/")
        if bucket != self.bucket or not name:
            return _error(404, "NoSuchBucket")
        if request.method == "PUT":
            self.objects[name] = request.body
            return Response(200)
        if request.method == "DELETE":
            self.objects.pop(name, None)
            return Response(204)
        if request.method == "GET":
            return Response(200, self.objects[name]) if name in self.objects else _error(404, "NoSuchKey")
        return _error(405, "MethodNotAllowed")

    def _refusal(self, request: Request) -> tuple[int, str] | None:
        found = AUTHORIZATION.fullmatch(request.headers.get("authorization", ""))
        stamp = request.headers.get("x-amz-date", "")
        if found is None or not re.fullmatch(r"\d{8}T\d{6}Z", stamp):
            return 403, "AccessDenied"
        key_id, day, region, names, signature = found.groups()
        sent = datetime.strptime(stamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        if key_id != self.key_id:
            return 403, "InvalidAccessKeyId"
        if region != self.region or day != stamp[:8]:
            return 400, "AuthorizationHeaderMalformed"
        if abs(self._clock() - sent.timestamp()) > LATE_S:
            return 403, "RequestTimeTooSkewed"
        if request.headers.get("x-amz-content-sha256") != hashlib.sha256(request.body).hexdigest():
            return 400, "XAmzContentSHA256Mismatch"
        signed = names.split(";")
        if not {"host", "x-amz-date", "x-amz-content-sha256"} <= set(signed) or signed != sorted(signed):
            return 403, "AccessDenied"
        lines = [request.method, request.path, request.query]
        lines += [f"{name}:{request.headers.get(name, '').strip()}" for name in signed]
        lines += ["", names, request.headers["x-amz-content-sha256"]]
        digest = hashlib.sha256("\n".join(lines).encode()).hexdigest()
        secret = ("AWS4" + self._secret).encode()
        for part in (day, region, "s3", "aws4_request"):
            secret = hmac.new(secret, part.encode(), hashlib.sha256).digest()
        text = f"AWS4-HMAC-SHA256\n{stamp}\n{day}/{region}/s3/aws4_request\n{digest}"
        right = hmac.new(secret, text.encode(), hashlib.sha256).hexdigest()
        return None if hmac.compare_digest(right, signature) else (403, "SignatureDoesNotMatch")


def _error(status: int, code: str) -> Response:
    body = f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{code}</Code></Error>'
    return Response(status, body.encode(), {"Content-Type": "application/xml"})
