"""The bridge's settings: the few of the service's variables it needs, checked at start."""

import base64
import binascii
import os
from collections.abc import Mapping
from dataclasses import dataclass


class BadSetting(Exception):
    """A setting is missing or malformed; the message names it and says what would be right."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Read from `LINLI_DATABASE_URL` and so on; the same names and values as the rest of the service."""

    database_url: str
    redis_url: str
    mqtt_url: str
    data_keys: dict[int, bytes]
    session_expiry_s: int
    receive_maximum: int

    @staticmethod
    def from_environ(environ: Mapping[str, str] | None = None) -> "Settings":
        """Read the settings; raises BadSetting."""
        environ = os.environ if environ is None else environ
        values = {}
        for name, meaning in (
            ("LINLI_DATABASE_URL", "PostgreSQL of the service: postgresql://user:password@host:port/db"),
            ("LINLI_REDIS_URL", "Valkey: redis://:password@host:port/0"),
            ("LINLI_MQTT_URL", "MQTT broker: mqtt://user:password@host:port (mqtts:// for TLS)"),
            ("LINLI_DATA_KEYS", "data keys, 1:BASE64 (32 bytes)"),
        ):
            if not environ.get(name):
                raise BadSetting(f"{name} is not set: {meaning}")
            values[name] = environ[name]
        return Settings(
            database_url=values["LINLI_DATABASE_URL"],
            redis_url=values["LINLI_REDIS_URL"],
            mqtt_url=values["LINLI_MQTT_URL"],
            data_keys=_keys(values["LINLI_DATA_KEYS"]),
            session_expiry_s=_number(environ, "LINLI_BRIDGE_SESSION_EXPIRY_S", 86_400),
            receive_maximum=_number(environ, "LINLI_BRIDGE_RECEIVE_MAXIMUM", 2_000),
        )


def _keys(text: str) -> dict[int, bytes]:
    try:
        keys = {}
        for part in text.split(","):
            key_id, _, encoded = part.strip().partition(":")
            keys[int(key_id)] = base64.b64decode(encoded, validate=True)
    except (ValueError, binascii.Error):
        keys = {}
    if not keys or any(not 1 <= key_id <= 255 or len(key) != 32 for key_id, key in keys.items()):
        raise BadSetting("LINLI_DATA_KEYS must read 1:BASE64 (32 bytes): echo 1:$(openssl rand -base64 32)")
    return keys


def _number(environ: Mapping[str, str], name: str, default: int) -> int:
    text = environ.get(name) or str(default)
    if not text.isdigit() or not 1 <= int(text) <= 65_535 * 100:
        raise BadSetting(f"{name} must be a whole number above 0")
    return int(text)
