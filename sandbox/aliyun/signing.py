"""Aliyun's V3 request signature (ACS3-HMAC-SHA256), the checking half, held against its published fixed example.

Source: help.aliyun.com, V3版本请求体&签名机制.
"""

import hashlib
import hmac
import re
from collections.abc import Mapping
from urllib.parse import parse_qsl, quote

ALGORITHM = "ACS3-HMAC-SHA256"
_AUTHORIZATION = re.compile(rf"^{ALGORITHM} Credential=([^,]+),\s*SignedHeaders=([^,]+),\s*Signature=([0-9a-f]{{64}})$")


def parse_authorization(header: str) -> tuple[str, tuple[str, ...], str] | None:
    """Return (access key id, signed header names, signature), or None when the header is not of this form."""
    found = _AUTHORIZATION.match(header)
    return (found[1], tuple(found[2].split(";")), found[3]) if found else None


def canonical_query(query: str) -> str:
    """Return the query sorted and percent-encoded as RFC 3986 says."""
    pairs = sorted(parse_qsl(query, keep_blank_values=True))
    return "&".join(f"{quote(name, safe='-_.~')}={quote(value, safe='-_.~')}" for name, value in pairs)


def signature(
    *,
    secret: str,
    method: str,
    path: str,
    query: str,
    headers: Mapping[str, str],
    signed_headers: tuple[str, ...],
    body_sha256: str,
) -> str:
    """Return the signature the client must have sent; header names are lower case."""
    lines = "".join(f"{name}:{headers.get(name, '').strip()}\n" for name in signed_headers)
    canonical = "\n".join([method, path or "/", canonical_query(query), lines, ";".join(signed_headers), body_sha256])
    to_sign = f"{ALGORITHM}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    return hmac.new(secret.encode(), to_sign.encode(), hashlib.sha256).hexdigest()
