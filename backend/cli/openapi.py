"""The OpenAPI text without a running service: the application is composed and asked, nothing is connected to."""

import base64

import msgspec

from backend import wiring
from backend.app import build_app
from backend.core.settings import Settings


def openapi_text() -> str:
    """Return the OpenAPI 3.1 document as indented JSON."""
    nowhere = base64.b64encode(bytes(32)).decode()
    settings = Settings.from_environ(
        {
            "LINLI_DATABASE_URL": "postgresql://nobody@127.0.0.1:9/none",
            "LINLI_REDIS_URL": "redis://127.0.0.1:9/0",
            "LINLI_MQTT_URL": "mqtt://127.0.0.1:9",
            "LINLI_TOKEN_SECRET": "x" * 32,
            "LINLI_DATA_KEYS": f"1:{nowhere}",
            "LINLI_LOOKUP_KEY": nowhere,
        }
    )
    schema = build_app(wiring.build_services(settings)).openapi_schema.to_schema()
    return msgspec.json.format(msgspec.json.encode(schema), indent=2).decode()
