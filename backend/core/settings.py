"""Settings: one frozen object read from the environment at the composition root and handed down.

A missing or malformed value fails at start with its name and how to set it. `linli up` writes all of them itself.
"""

import base64
import binascii
import os
from collections.abc import Mapping
from typing import Annotated, Any, get_type_hints
from urllib.parse import urlsplit

import msgspec


class BadSetting(Exception):
    """One or more settings are missing or malformed; the message lists each with what would be right."""


def _doc(text: str, *, default: str | None = None, secret: bool = False) -> Any:
    return msgspec.Meta(description=text, extra={"default": default, "secret": secret})


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Every setting of the service; the environment variable is `LINLI_` and the name in capitals."""

    database_url: Annotated[
        str, _doc("PostgreSQL of the service, role linli_app: postgresql://user:password@host:port/db", secret=True)
    ]
    owner_database_url: Annotated[
        str, _doc("PostgreSQL as the owner of the tables; only `linli migrate` uses it", default="", secret=True)
    ]
    redis_url: Annotated[str, _doc("Valkey or Redis: redis://:password@host:port/0", secret=True)]
    mqtt_url: Annotated[
        str, _doc("MQTT broker of the devices: mqtt://user:password@host:port (mqtts:// for TLS)", secret=True)
    ]
    token_secret: Annotated[str, _doc("Key of the access tokens, at least 32 characters", secret=True)]
    data_keys: Annotated[
        str, _doc("Data keys as id:base64(32 bytes), comma-separated; the highest id encrypts", secret=True)
    ]
    lookup_key: Annotated[
        str, _doc("Key of the lookup hashes, base64 of 32 bytes; never changed once in use", secret=True)
    ]
    api_host: Annotated[str, _doc("Address the API listens on", default="127.0.0.1")]
    api_port: Annotated[int, _doc("Port the API listens on", default="8000")]
    public_url: Annotated[
        str, _doc("Address under which clients and providers reach the API", default="http://127.0.0.1:8000")
    ]
    admin: Annotated[
        str,
        _doc(
            "on: the operator console at /admin, for staff of the platform; needs a LINLI_PUBLIC_URL of https://,"
            " or of this machine",
            default="off",
        ),
    ]
    trusted_proxies: Annotated[
        str, _doc("Addresses of proxies whose X-Forwarded-For is believed, comma-separated", default="")
    ]
    log_format: Annotated[str, _doc("json, pretty, or auto (pretty on a terminal)", default="auto")]
    log_level: Annotated[str, _doc("debug, info, warning or error", default="info")]
    rate_per_minute: Annotated[int, _doc("Requests one address may make in a minute", default="1200")]
    otlp_endpoint: Annotated[
        str, _doc("OpenTelemetry collector (OTLP over HTTP); empty switches tracing off", default="")
    ]
    evidence_dir: Annotated[str, _doc("Folder of the encrypted evidence files", default="./evidence")]
    evidence_s3_url: Annotated[
        str,
        _doc(
            "Bucket of the evidence (S3-compatible), https://host/bucket; empty: the folder LINLI_EVIDENCE_DIR",
            default="",
        ),
    ]
    evidence_s3_region: Annotated[str, _doc("Region of the evidence bucket", default="cn-beijing")]
    evidence_s3_key_id: Annotated[str, _doc("Access key id of the evidence bucket", default="")]
    evidence_s3_secret: Annotated[str, _doc("Secret key of the evidence bucket", default="", secret=True)]
    database_pool_size: Annotated[int, _doc("Connections to PostgreSQL per process", default="10")]
    sms_url: Annotated[str, _doc("Aliyun SMS endpoint", default="https://dysmsapi.aliyuncs.com")]
    voice_url: Annotated[str, _doc("Aliyun voice endpoint", default="https://dyvmsapi.aliyuncs.com")]
    aliyun_key_id: Annotated[str, _doc("Aliyun AccessKey id", default="")]
    aliyun_key_secret: Annotated[str, _doc("Aliyun AccessKey secret", default="", secret=True)]
    sms_sign_name: Annotated[str, _doc("SMS signature registered at Aliyun", default="邻里充电")]
    aliyun_templates: Annotated[
        str,
        _doc(
            "Codes Aliyun gave our approved templates: SMS_login_code_zh=SMS_123456789,TTS_incident_page_zh=TTS_…; "
            "one that is not named goes by our own code",
            default="",
        ),
    ]
    voice_show_number: Annotated[
        str, _doc("Number shown on ringing calls; empty: one of the provider's pool", default="")
    ]
    wechat_url: Annotated[str, _doc("WeChat API of the mini-program", default="https://api.weixin.qq.com")]
    wechat_app_id: Annotated[str, _doc("AppID of the mini-program", default="")]
    wechat_app_secret: Annotated[str, _doc("AppSecret of the mini-program", default="", secret=True)]
    wechat_templates: Annotated[
        str,
        _doc(
            "Ids WeChat gave our subscribe messages: order_ready=TEMPLATE_ID,queue_offer=…; "
            "one that is not named goes by our own name",
            default="",
        ),
    ]
    wechat_pay_url: Annotated[str, _doc("WeChat Pay v3 gateway", default="https://api.mch.weixin.qq.com")]
    huawei_push_url: Annotated[
        str, _doc("Huawei Push Kit, for Android phones", default="https://push-api.cloud.huawei.com")
    ]
    huawei_login_url: Annotated[str, _doc("Huawei's OAuth endpoint", default="https://oauth-login.cloud.huawei.com")]
    huawei_app_id: Annotated[str, _doc("Huawei app id; empty: no push to Android", default="")]
    huawei_app_secret: Annotated[str, _doc("Huawei app secret", default="", secret=True)]
    apns_url: Annotated[str, _doc("APNs endpoint", default="https://api.push.apple.com")]
    apns_key_id: Annotated[str, _doc("APNs key id (10 characters)", default="")]
    apns_team_id: Annotated[str, _doc("Apple team id (10 characters)", default="")]
    apns_topic: Annotated[str, _doc("Bundle id of the app", default="cn.linli.app")]
    apns_key_file: Annotated[str, _doc("Path of the APNs .p8 key", default="")]
    apns_ca_file: Annotated[
        str, _doc("Certificate authority to trust for APNs instead of the system's (sandbox only)", default="")
    ]

    def keyring_keys(self) -> dict[int, bytes]:
        """Return the data keys by id."""
        keys = {}
        for part in self.data_keys.split(","):
            key_id, _, encoded = part.strip().partition(":")
            keys[int(key_id)] = base64.b64decode(encoded, validate=True)
        return keys

    def lookup_key_bytes(self) -> bytes:
        """Return the key of the lookup hashes."""
        return base64.b64decode(self.lookup_key, validate=True)

    @staticmethod
    def from_environ(environ: Mapping[str, str] | None = None) -> "Settings":
        """Read the settings; raises BadSetting with every problem at once."""
        environ = os.environ if environ is None else environ
        hints = get_type_hints(Settings, include_extras=True)
        values: dict[str, Any] = {}
        problems: list[str] = []
        for name in Settings.__struct_fields__:
            meta = hints[name].__metadata__[0]
            variable = f"LINLI_{name.upper()}"
            raw = environ.get(variable, meta.extra["default"])
            if raw is None:
                problems.append(f"{variable} is not set: {meta.description}")
                continue
            kind = hints[name].__origin__
            try:
                values[name] = kind(raw)
            except ValueError:
                problems.append(f"{variable} must be a {kind.__name__}: {meta.description}")
        problems.extend(_check(values))
        if problems:
            raise BadSetting("\n".join(problems))
        return Settings(**values)


def _is_private_or_tls(url: str) -> bool:
    parts = urlsplit(url)
    return parts.scheme == "https" or parts.hostname in ("127.0.0.1", "localhost", "::1")


def _check(values: dict[str, Any]) -> list[str]:
    problems = []
    schemes = {
        "database_url": ("postgresql://", "postgres://"),
        "redis_url": ("redis://", "rediss://", "unix://"),
        "mqtt_url": ("mqtt://", "mqtts://"),
    }
    for name, allowed in schemes.items():
        if name in values and not values[name].startswith(allowed):
            problems.append(f"LINLI_{name.upper()} must start with {' or '.join(allowed)}")
    if values.get("evidence_s3_url"):
        if not values["evidence_s3_url"].startswith(("https://", "http://")):
            problems.append("LINLI_EVIDENCE_S3_URL must start with https:// or http://")
        if not (values.get("evidence_s3_key_id") and values.get("evidence_s3_secret")):
            problems.append("LINLI_EVIDENCE_S3_URL needs LINLI_EVIDENCE_S3_KEY_ID and LINLI_EVIDENCE_S3_SECRET")
    if values.get("admin", "off") not in ("on", "off"):
        problems.append("LINLI_ADMIN must be on or off")
    if values.get("admin") == "on" and not _is_private_or_tls(values.get("public_url", "")):
        problems.append("LINLI_ADMIN=on needs LINLI_PUBLIC_URL to begin with https:// (or to be of this machine)")
    if len(values.get("token_secret", "x" * 32)) < 32:
        problems.append("LINLI_TOKEN_SECRET must have at least 32 characters: openssl rand -base64 48")
    if "data_keys" in values:
        try:
            for part in values["data_keys"].split(","):
                key_id, _, encoded = part.strip().partition(":")
                if not 1 <= int(key_id) <= 255 or len(base64.b64decode(encoded, validate=True)) != 32:
                    raise ValueError
        except (ValueError, binascii.Error):
            problems.append("LINLI_DATA_KEYS must read 1:BASE64 (32 bytes): echo 1:$(openssl rand -base64 32)")
    if "lookup_key" in values:
        try:
            if len(base64.b64decode(values["lookup_key"], validate=True)) < 32:
                raise ValueError
        except (ValueError, binascii.Error):
            problems.append("LINLI_LOOKUP_KEY must be base64 of 32 bytes: openssl rand -base64 32")
    return problems
