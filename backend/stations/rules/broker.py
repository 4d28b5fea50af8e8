"""What the broker is told of our devices: password hashes and access rules in Mosquitto's own formats."""

import base64
import hashlib
import hmac
import secrets
from collections.abc import Iterable

ITERATIONS = 101
"""Rounds that `mosquitto_passwd` itself uses. Device passwords are 24 random bytes, so more rounds would guard nothing
and cost the broker (and a fleet that reconnects at once) a second of computing per thousand devices."""


def new_password() -> str:
    """Return a fresh device password: 24 random bytes, URL-safe."""
    return secrets.token_urlsafe(24)


def hash_password(password: str, *, salt: bytes | None = None, iterations: int = ITERATIONS) -> str:
    """Return Mosquitto's `$7$iterations$salt$hash` (PBKDF2-HMAC-SHA-512, 64 bytes) of `password`."""
    used = secrets.token_bytes(12) if salt is None else salt
    digest = hashlib.pbkdf2_hmac("sha512", password.encode(), used, iterations, dklen=64)
    return f"$7${iterations}${base64.b64encode(used).decode()}${base64.b64encode(digest).decode()}"


def matches_password(password: str, hashed: str) -> bool:
    """Say whether `password` is the one `hashed` was made of."""
    try:
        _, kind, iterations, salt, _ = hashed.split("$")
        again = hash_password(password, salt=base64.b64decode(salt), iterations=int(iterations))
    except ValueError:
        return False
    return kind == "7" and hmac.compare_digest(again, hashed)


def password_file(devices: Iterable[tuple[str, str]]) -> str:
    """Return the password file: one `code:hash` a line."""
    return "".join(f"{code}:{hashed}\n" for code, hashed in devices)


def access_file(devices: Iterable[tuple[str, str, str]]) -> str:
    """Return the access list for (station code, kind, device code): each device writes its own four channels and
    reads its own `cmd`.

    Named rules, not patterns: a pattern with %u could not say which station a device belongs to (mqtt.md).
    """
    lines: list[str] = []
    for station, kind, code in devices:
        base = f"ev/v1/{station}/{kind}/{code}"
        lines.append(f"user {code}\n")
        lines.extend(f"topic write {base}/{channel}\n" for channel in ("telemetry", "state", "event", "ack"))
        lines.append(f"topic read {base}/cmd\n\n")
    return "".join(lines)
